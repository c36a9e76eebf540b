"""Numbers that several rules share: the honest bound with each correction on or off, recall, clusters."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from ..judge.rates import exact_interval
from ..types import Interval
from .bounds import Planned, RateBound, Recall, clustered_upper, exact_lower, exact_upper, rate_bound
from .evidence import Evidence
from .parts import Control, Counted

MOST_ITEMS = 10_000_000  # nobody samples more; what needs more is said to be out of reach
LUMPS = 10_000  # clusters of items without a verdict at the most: fewer and larger ones tell less, which is safe
UP = ("rate_below", "treated")  # claims that a rate is low; they rest on an upper bound


@dataclass(frozen=True)
class Corrections:
    """Which corrections a bound has. `worst`: items without a verdict count against the claim."""

    recall: bool = True
    clusters: bool = True
    looks: bool = True
    worst: bool = True


ALL, NONE = Corrections(), Corrections(False, False, False, False)


@dataclass(frozen=True)
class Limit:
    """A one-sided bound against the threshold of a claim: `value` must lie on the good side of it."""

    value: float
    low_is_good: bool
    why: str = ""

    def holds(self, threshold: float) -> bool:
        return self.value <= threshold if self.low_is_good else self.value >= threshold

    @property
    def word(self) -> str:
        return "at most" if self.low_is_good else "at least"


def unscored(e: Evidence) -> int | None:
    """Items without a verdict: errors, refusals, and planned ones that are missing. None: not said."""
    c = e.counts
    if c is None or (c.errors is None and c.refusals is None and c.planned is None):
        return None
    named = (c.errors or 0) + (c.refusals or 0)
    return max(named, c.planned - c.of) if c.planned is not None else named


def clusters_of(e: Evidence) -> dict[str, list[tuple[int, int]]]:
    """label -> (bad, of) of each cluster; from the items where they are there, else as given."""
    found: dict[str, list[tuple[int, int]]] = {k: [(c.bad, c.of) for c in v] for k, v in e.clusters.items()}
    for label in dict.fromkeys(k for i in e.items for k in i.labels):
        together: dict[str, list[bool]] = {}
        for item in e.items:
            together.setdefault(item.labels.get(label, f"\0{item.id}"), []).append(item.bad)  # unlabelled: alone
        found[label] = [(sum(v), len(v)) for v in together.values()]
    return {k: [c for c in v if c[1]] for k, v in found.items()}


def condensed(e: Evidence) -> Evidence:
    """The same evidence with items added up into their clusters: what the rules read, and quick to read often."""
    if not e.items:
        return e
    clusters = {k: [Counted(bad=bad, of=of) for bad, of in v] for k, v in clusters_of(e).items()}
    return e.model_copy(update={"clusters": clusters, "items": []})


def coarsest(e: Evidence) -> tuple[str, list[tuple[int, int]]] | None:
    """The label whose clusters take most from the sample: the one with the widest bound, not the one with the fewest
    clusters, for one cluster that holds nearly all items counts for more than how many others there are."""
    found = clusters_of(e)
    if len(found) < 2:
        return next(iter(found.items()), None)
    return max(found.items(), key=lambda kv: (_width(kv[1], e), -len(kv[1])))


def _width(clusters: list[tuple[int, int]], e: Evidence) -> float:
    if not clusters or all(n == 1 for _, n in clusters):
        return 0.0
    facing = clusters if e.claim.kind in UP else [(n - k, n) for k, n in clusters]
    return clustered_upper(facing, 1 - e.claim.level)


def looks_of(e: Evidence) -> int | Planned:
    """Runs, and whether a plan fixed how many before the first. Unknown: taken as one that was planned."""
    a = e.attempts
    if a is None:
        return Planned(1)
    runs = max(a.run, len(a.results), a.reported)
    return Planned(a.planned) if a.planned is not None and runs <= a.planned else runs


def recall_of(e: Evidence) -> Recall | None:
    p = e.positive_control
    return Recall(p.flagged, p.of, p.chosen_from) if p else None


def bound_of(e: Evidence, c: Corrections = ALL) -> RateBound | None:
    """The bound with the corrections asked for. None without counts of at least one item."""
    if e.counts is None or e.counts.of == 0:
        return None
    bad, of, up = e.counts.bad, e.counts.of, e.claim.kind in UP
    groups = coarsest(e) if c.clusters else None
    clusters = groups[1] if groups else None
    extra = (unscored(e) or 0) if c.worst else 0
    looks = looks_of(e) if c.looks else Planned(1)
    worst = (bad + extra, of + extra, _with(clusters, extra, bad=True))
    recall = recall_of(e) if c.recall else None
    bound = rate_bound(*worst[:2], recall, e.claim.level, looks, worst[2])
    if not c.recall:
        bound = _of_what_is_seen(bound, *worst)
    best = rate_bound(bad, of + extra, None, e.claim.level, looks, _with(clusters, extra, bad=False))
    caught = recall[0] / recall[1] if recall else 0.0
    value = min(bound.high, max(best.low, bad / of / (caught or 1.0)))
    # Each end is the worst case for whoever leans on it: what has no verdict is bad at the high one, good at the low.
    return replace(bound, low=best.low, value=value, naive_high=exact_upper(bad, of, 1 - e.claim.level),
                   effective_n=(bound if up else best).effective_n)  # fmt: skip


def _with(clusters: list[tuple[int, int]] | None, extra: int, bad: bool) -> list[tuple[int, int]] | None:
    """Clusters and the items that have no verdict. Those fall into clusters as large as the largest: to count each for
    a cluster of its own would make them tell more than a template that failed as a whole does."""
    if not clusters or not extra:
        return clusters
    size = max(*(n for _, n in clusters), ceil(extra / LUMPS))
    sizes = [size] * (extra // size) + [extra % size] * bool(extra % size)
    return [*clusters, *((n if bad else 0, n) for n in sizes)]


def _of_what_is_seen(bound: RateBound, bad: int, of: int, clusters: list[tuple[int, int]] | None) -> RateBound:
    """The bound of the rate at which items are flagged: nothing is divided by recall."""
    alpha = 1 - bound.level_each
    high = exact_upper(bad, of, alpha)
    if clusters and any(n > 1 for _, n in clusters):
        high = max(high, clustered_upper(clusters, alpha))
    return replace(bound, value=bad / of, high=high, recall_low=1.0, why=f"{bad} of {of} were seen as bad.")


def limit_of(e: Evidence, c: Corrections = ALL) -> Limit | None:
    """The end of the bound that the claim rests on: the upper one for a low rate, the lower one for a high rate.

    A high rate is net of false alarms: of items that are flagged at rate p, at most f of clean ones being flagged, at
    least (p - f) / (1 - f) are bad (Rogan & Gladen 1978 at sensitivity 1, which is the least).
    """
    b = bound_of(e, c)
    if b is None:
        return None
    if e.claim.kind in UP:
        return Limit(b.high, True, b.why)
    return Limit(net_of_alarms(b.low, e if c.recall else None), False)


def net_of_alarms(low: float, e: Evidence | None) -> float:
    """The least rate of bad items where at least `low` are flagged; false alarms are none where they were not
    measured."""
    alarms = high_of(e.negative_control, e.claim.level) if e and e.negative_control else 0.0
    return 0.0 if alarms >= 1 else max(0.0, (low - alarms) / (1 - alarms))


def high_of(control: Control, level: float) -> float:
    """One-sided exact upper bound of a control's rate."""
    return exact_interval(control.flagged, control.of, 2 * level - 1).high


def low_of(control: Control, level: float) -> float:
    """One-sided exact lower bound of a control's rate; of one that was chosen as the most flagged, a bound that holds
    for all that it was chosen from, and so for whichever it was."""
    return exact_lower(control.flagged, control.of, (1 - level) / control.chosen_from)


def two_sided(bad: int, of: int, level: float) -> Interval:
    return exact_interval(bad, of, level)


def grown(e: Evidence, items: float = 1.0, planted: float = 1.0) -> Evidence:
    """The same evidence if more were sampled and came out at the same rates, its clusters growing in number."""

    def times(k: int, factor: float) -> int:
        return ceil(k * factor - 1e-9)

    c, p = e.counts, e.positive_control
    counts = c and c.model_copy(update={k: times(v, items) for k, v in c.model_dump().items() if isinstance(v, int)})
    if counts and c and c.bad:
        counts = counts.model_copy(update={"bad": min(counts.of, round(c.bad * items))})
    control = p and p.model_copy(update={"flagged": int(p.flagged * planted), "of": times(p.of, planted)})
    return e.model_copy(update={"counts": counts, "positive_control": control, "items": [], "clusters": {}})


def items_for(e: Evidence, c: Corrections = ALL, planted: float = 1.0) -> int | None:
    """Items in all at which the claim would follow, if more came out at the same rate. None: no number does.

    More clusters are taken to come in the sizes of these.
    """
    if e.counts is None or e.counts.of == 0 or e.claim.threshold is None:
        return None
    threshold, of = e.claim.threshold, e.counts.of
    found = coarsest(e) if c.clusters else None
    groups = found[1] if found and any(n > 1 for _, n in found[1]) else []
    plain, extra = replace(c, clusters=False), (unscored(e) or 0) if c.worst else 0

    def holds(factor: float) -> bool:
        more = grown(e, factor, planted)
        limits = [limit_of(more, plain)]
        if groups:
            limits.append(_clustered_limit(more, plain, _with(groups, extra, e.claim.kind in UP) or groups, factor))
        return all(limit is not None and limit.holds(threshold) for limit in limits)

    factor = smallest(holds, MOST_ITEMS / of)
    return None if factor is None else ceil(of * factor) + (max(n for _, n in groups) if groups and factor > 1 else 0)


def _clustered_limit(more: Evidence, c: Corrections, groups: list[tuple[int, int]], times: float) -> Limit | None:
    """The limit of evidence that was grown, if its clusters had grown so many times in number."""
    b = bound_of(more, c)
    if b is None:
        return None
    if more.claim.kind in UP:
        return Limit(clustered_upper(groups, b.alpha_seen, times) / b.recall_low if b.recall_low else 1.0, True)
    low = 1 - clustered_upper([(n - k, n) for k, n in groups], 1 - b.level_each, times)
    return Limit(net_of_alarms(low, more if c.recall else None), False)


def smallest(holds: Callable[[float], bool], most: float) -> float | None:
    """The smallest factor at or above 1 at which something holds, to a thousandth; None if not even at `most`."""
    high = 1.0
    while not holds(high):
        high *= 2
        if high > most:
            return None
    if high == 1.0:
        return 1.0
    low = high / 2
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
