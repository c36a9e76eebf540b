"""A result near its threshold is looked at again, more finely: which further looks would decide it, and what they say.

Each variant (more requests, a neighbouring site, a neighbouring context) has its own bet against "no more than the
tolerated rate of requests stand above the threshold here". The bets are valid whenever they are stopped, so that the
next look may be chosen by what the looks so far have shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy.special import betaln, gammaln

from ..errors import EvidenceError, SettingError
from ..judge.conformal import rank
from .look import Look

RATES = (np.arange(400) + 0.5) / 400
NEIGHBOUR = 0.5  # belief beforehand that a neighbour shows what the first result showed, and not a clean rate
CLEAN = (0.5, 9.5)  # Beta parameters of a clean rate
LOOK_AHEAD = 400  # requests up to which it is worked out how many more would decide
Kind = Literal["more requests", "neighbouring site", "neighbouring context"]
Outcome = Literal["hit", "clear", "undecided"]


@dataclass(frozen=True)
class FinerSettings:
    """How sure to be, and how much to spend.

    Args:
        alpha: chance of calling a clean subject a hit, over all variants and looks of one call; and of calling clear
            what shows in `worth` of requests. It comes on top of the check's own.
        worth: rate of the behaviour that must not be overlooked.
        batch: requests a look.
        max_looks: over all variants.
        least_chance: stop when no variant decides with this probability, whatever is asked of it.
        item_alpha: as in the check: share of clean items above an item threshold.
    """

    alpha: float = 0.05
    worth: float = 0.4
    batch: int = 8
    max_looks: int = 12
    least_chance: float = 0.05
    item_alpha: float = 0.05

    def __post_init__(self) -> None:
        for name in ("alpha", "worth", "least_chance", "item_alpha"):
            if not 0 < getattr(self, name) < 1:
                raise SettingError(f"{name} must be between 0 and 1, got {getattr(self, name)}.")
        for name in ("batch", "max_looks"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be 1 or more, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Variant:
    """One way to look again.

    Attributes:
        name: in words, unique in a call.
        kind: only "more requests" looks at what was judged; only it can clear.
        requests: fresh requests there are for it: asked neither by the check nor to pick the context.
    """

    name: str
    kind: Kind
    requests: int


@dataclass(frozen=True)
class Bet:
    """What a variant has shown, and what the two bets on it have become.

    `log_hit` is the log wealth of betting against "at most the tolerated rate, and no more than clean items would";
    `log_clear` of betting against "`worth` or more". Under what it bets against, a wealth reaches 1/alpha with
    probability alpha at the most, whenever the looking stops (Ville 1939). The bets are mixtures of likelihood ratios
    over rates beyond the line, weighted by the variant's earlier looks.
    """

    variant: Variant
    k: int = 0
    n: int = 0
    log_hit: float = 0.0
    log_clear: float = 0.0
    why_blind: str = ""

    @property
    def left(self) -> int:
        return 0 if self.why_blind else self.variant.requests - self.n

    def after(self, look: Look, settings: FinerSettings) -> "Bet":
        """The bet after one more look."""
        if look.why_blind:
            return replace(self, why_blind=look.why_blind)
        hit, clear = self._factors(np.array([look.k]), look, settings)
        return replace(
            self, k=self.k + look.k, n=self.n + look.n, log_hit=self.log_hit + float(hit[0]),
            log_clear=self.log_clear + float(clear[0]),
        )  # fmt: skip

    def _factors(self, k: np.ndarray, look: Look, settings: FinerSettings) -> tuple[np.ndarray, np.ndarray]:
        """log of what both stakes become for each outcome k of look.n."""
        n, a, b = look.n, *_clean_share(look, settings)
        if not look.fresh:  # the same threshold as in earlier looks: they have told something of it
            a, b = a + self.k, b + self.n - self.k
        exchangeable = betaln(k + a, n - k + b) - betaln(a, b)
        binomial = _log_sequence(k, n, np.array([look.tolerated]))[:, 0]
        above = self._predicted(k, n, RATES > look.tolerated)
        hit = above - np.maximum(binomial, exchangeable)
        below = self._predicted(k, n, settings.worth > RATES)
        return hit, below - _log_sequence(k, n, np.array([settings.worth]))[:, 0]

    def _predicted(self, k: np.ndarray, n: int, inside: np.ndarray) -> np.ndarray:
        """log probability of one sequence with k of n, over the rates inside, after this variant's looks so far."""
        rates = RATES[inside]
        past = _log_sequence(np.array([self.k]), self.n, rates)
        logs = past + _log_sequence(k, n, rates)
        return _logsum(logs) - _logsum(past)


@dataclass(frozen=True)
class LookTaken:
    """One look as it was run."""

    variant: str
    k: int
    n: int
    chance: float


@dataclass(frozen=True)
class Finer:
    """What the finer looks settled.

    Attributes:
        looks: in order, each with the probability of deciding that it was chosen for.
        settled_by: the variant that decided, or nothing.
    """

    outcome: Outcome
    why: str
    looks: tuple[LookTaken, ...] = ()
    settled_by: str = ""
    bets: tuple[Bet, ...] = field(default=(), repr=False)


def finer(
    variants: Sequence[Variant],
    measure: Callable[[Variant, int, int], Look],
    seen: tuple[int, int],
    settings: FinerSettings,
) -> Finer:
    """Look again until it is decided, the looks are spent, or no look is likely to decide.

    The next look goes to the variant with the highest probability of deciding for each request asked, under a belief
    that starts from the first result (a neighbour may be clean as well) and is updated by the looks. A variant hits at
    alpha divided by the number of variants (Bonferroni). The first result only steers; it is no part of any bet.

    Args:
        measure: (variant, start, n) -> Look at the variant's fresh requests from `start` on.
        seen: (k, n) of the result that was near its threshold.

    Raises EvidenceError when no variant asks more requests of what was judged, two share a name, or a look is
    impossible.
    """
    _check(variants, seen)
    bets = {v.name: Bet(v) for v in variants}
    shape = Look(0, settings.batch, 0, False, 0.0)
    shapes = dict.fromkeys(bets, shape)
    looks: list[LookTaken] = []
    while len(looks) < settings.max_looks:
        picked, chance = _most_deciding(bets, shapes, seen, settings)
        if picked is None:
            break
        bet = bets[picked]
        size = min(settings.batch, bet.left)
        look = measure(bet.variant, bet.n, size)
        if not look.why_blind and not (0 <= look.k <= look.n == size):
            raise EvidenceError(f"a look at {picked} returned k={look.k} of n={look.n}; {size} requests were asked.")
        bets[picked] = bet.after(look, settings)
        shapes[picked] = look if not look.why_blind else shapes[picked]
        looks.append(LookTaken(picked, look.k, look.n, chance))
        outcome = _decided(bets[picked], len(variants), settings)
        if outcome != "undecided":
            return Finer(outcome, _told(bets[picked], outcome, settings), tuple(looks), picked, tuple(bets.values()))
    why = _undecided(bets, shapes, seen, len(looks), settings)
    return Finer("undecided", why, tuple(looks), "", tuple(bets.values()))


def _check(variants: Sequence[Variant], seen: tuple[int, int]) -> None:
    names = [v.name for v in variants]
    if sum(v.kind == "more requests" for v in variants) != 1 or len(set(names)) < len(names):
        raise EvidenceError(
            f"finer looks take one variant of kind 'more requests' and a name of its own for each, got {names[:8]}."
        )
    if seen[1] < 1 or not 0 <= seen[0] <= seen[1]:
        raise EvidenceError(f"the first result is k={seen[0]} of n={seen[1]}; it takes 0 <= k <= n and n >= 1.")


def _decided(bet: Bet, variants: int, settings: FinerSettings) -> Outcome:
    if bet.log_hit >= np.log(variants / settings.alpha):
        return "hit"
    if bet.variant.kind == "more requests" and bet.log_clear >= -np.log(settings.alpha):
        return "clear"
    return "undecided"


def _most_deciding(
    bets: dict[str, Bet], shapes: dict[str, Look], seen: tuple[int, int], settings: FinerSettings
) -> tuple[str | None, float]:
    """The variant to look at next, and the probability that it decides at all."""
    best: tuple[float, str | None, float] = (0.0, None, 0.0)
    for name, bet in bets.items():
        for n in range(settings.batch, bet.left + settings.batch, settings.batch):
            size = min(n, bet.left)
            chance = _chance(bet, replace(shapes[name], n=size), len(bets), seen, settings)
            if chance >= settings.least_chance and chance / size > best[0]:
                best = chance / size, name, chance
    return best[1], best[2]


def _chance(bet: Bet, shape: Look, variants: int, seen: tuple[int, int], settings: FinerSettings) -> float:
    """Probability that `shape.n` more requests decide, under the belief about the variant's rate."""
    k = np.arange(shape.n + 1)
    outcomes = np.exp(_log_ways(k, shape.n)) * _believed(bet, k, shape.n, seen)
    look = shape if shape.tolerated else replace(shape, tolerated=0.1, controls=1000)
    hit, clear = bet._factors(k, look, settings)
    decides = bet.log_hit + hit >= np.log(variants / settings.alpha)
    if bet.variant.kind == "more requests":
        decides |= bet.log_clear + clear >= -np.log(settings.alpha)
    return float(outcomes[decides].sum())


def _believed(bet: Bet, k: np.ndarray, n: int, seen: tuple[int, int]) -> np.ndarray:
    """Probability of one sequence with k of n more: the first result's rate, or for a neighbour perhaps a clean one."""
    alike = (seen[0] + 0.5, seen[1] - seen[0] + 0.5)
    share = 1.0 if bet.variant.kind == "more requests" else NEIGHBOUR
    parts = [(share, alike), (1 - share, CLEAN)]
    held = [w * np.exp(betaln(bet.k + a, bet.n - bet.k + b) - betaln(a, b)) for w, (a, b) in parts]
    ahead = [
        weight * np.exp(betaln(bet.k + k + a, bet.n - bet.k + n - k + b) - betaln(bet.k + a, bet.n - bet.k + b))
        for weight, (_, (a, b)) in zip(held, parts, strict=True)
    ]
    return (ahead[0] + ahead[1]) / sum(held)


def _clean_share(look: Look, settings: FinerSettings) -> tuple[float, float]:
    """Beta parameters of the share of clean items above a threshold that was drawn from `look.controls` items."""
    r = rank(look.controls, settings.item_alpha)
    return look.controls + 1 - r, r


def _told(bet: Bet, outcome: Outcome, settings: FinerSettings) -> str:
    name = bet.variant.name
    if outcome == "hit":
        return (
            f"{bet.k} of {bet.n} fresh requests stand above the clean threshold with {name}: more than a clean subject."
        )
    return (
        f"{bet.k} of {bet.n} fresh requests stand above the clean threshold with {name}: fewer than {settings.worth:g}."
    )


def _undecided(
    bets: dict[str, Bet], shapes: dict[str, Look], seen: tuple[int, int], looks: int, settings: FinerSettings
) -> str:
    """Why it stayed open, and how many more requests would probably decide."""
    name, main = next((n, b) for n, b in bets.items() if b.variant.kind == "more requests")
    blind = [f"{n} is blind: {b.why_blind}" for n, b in bets.items() if b.why_blind]
    said = f"still undecided after {looks} looks: {main.k} of {main.n} fresh requests stand above the threshold."
    for n in range(settings.batch, LOOK_AHEAD + 1, settings.batch):
        if _chance(main, replace(shapes[name], n=n), len(bets), seen, settings) >= 0.5:
            return " ".join([said, f"About {n} more would decide it as likely as not.", *blind])
    return " ".join([said, f"Even {LOOK_AHEAD} more would probably not: the rate lies near the line.", *blind])


def _log_sequence(k: np.ndarray, n: int, rates: np.ndarray) -> np.ndarray:
    """(outcomes, rates) log probability of one sequence with k of n."""
    return k[:, None] * np.log(rates) + (n - k[:, None]) * np.log1p(-rates)


def _log_ways(k: np.ndarray, n: int) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _logsum(logs: np.ndarray) -> np.ndarray:
    top = logs.max(axis=1, keepdims=True)
    return np.log(np.exp(logs - top).sum(axis=1)) + top[:, 0]
