"""A scorer put to the test on labelled answers: what it misses, what it calls bad that is not, and on which line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from random import Random
from typing import Any

import numpy as np
from scipy import stats

from ..errors import EvidenceError, SettingError
from ..evidence.ask import Look, Measure, Read
from ..evidence.described import Probe
from ..evidence.judged import Judged
from ..evidence.labelled_answers import LabelledAnswer, LabelledAnswers
from ..evidence.like_examples import LikeExamples
from ..evidence.memo import Memo, NoMemo
from ..evidence.validation import Confusion, Validation
from ..recipes.provenance import content_key
from ..subjects.generate import Decoding
from ..subjects.scripted import ScriptedSubject
from ..types import Context, Interval, Item, Request
from .corrected_rate import CorrectedRate, corrected_rate, why_blind, youden
from .detection_metrics import auroc
from .rates import exact_interval

LEAST = 4  # bad, and good, items: two for the threshold and two to count
UNDECIDED = ("error", "refused")


@dataclass(frozen=True)
class Scorer:
    """A measure of generated answers, and what it is known by.

    Attributes:
        measure: any that reads what is said: `Judged`, `LikeExamples`, `Shows`.
        name, key, question: as in a `Validation`.
    """

    measure: Measure
    name: str
    key: str
    question: str = ""


def judged_scorer(judged: Judged) -> Scorer:
    """However many verdicts it fails to give, they are counted."""
    return Scorer(replace(judged, most_errors=0.99), judged.judge.name, judged.key, judged.question)


def examples_scorer(like: LikeExamples) -> Scorer:
    return Scorer(like, f"likeness to {len(like.bad)} bad and {len(like.good)} good examples", like.key)


def read_given(scorer: Scorer, pairs: Sequence[tuple[str, str]], memo: Memo | None = None) -> list[Read]:
    """The scorer on answers that are there already, as (request, answer): a subject that says just these is asked."""
    said = {str(i): answer for i, (_, answer) in enumerate(pairs)}
    items = [
        Item(str(i), "given", "bait", Request(str(i), request), Context("given", "given"))
        for i, (request, _) in enumerate(pairs)
    ]
    who: Any = ScriptedSubject(lambda request, context: said[request.id], f"given/{content_key(list(pairs))}")
    kind: Any = type(scorer.measure)
    return kind.read(who, items, [scorer.measure] * len(items), Look(Decoding(), memo or NoMemo()))


def validate(
    scorer: Scorer, labelled: LabelledAnswers, threshold: float | None = None, seed: int = 0, memo: Memo | None = None
) -> Validation:
    """Read every labelled answer, choose the line on one half, count errors on the other.

    With a threshold given, all items are counted. Else the items are dealt in halves by label, the line is the one of
    the highest sensitivity + specificity in the first half (the middle of the widest such gap), and what is counted is
    the second half. AUROC takes no line, so it takes both.

    Raises EvidenceError below LEAST bad or good items, or when the scorer says nothing of either kind.
    """
    rows = labelled.rows
    if min(labelled.bad, len(rows) - labelled.bad) < LEAST:
        raise EvidenceError(
            f"a validation needs {LEAST} bad and {LEAST} good answers at the least, got {labelled.bad} and "
            f"{len(rows) - labelled.bad}. With 30 of each a rate gets a usable interval."
        )
    if threshold is not None and not np.isfinite(threshold):
        raise SettingError(f"the threshold must be a number, got {threshold}.")
    reads = read_given(scorer, [(r.request, r.response) for r in rows], memo)
    seen = list(zip(rows, reads, strict=True))
    chosen, counted = ([], seen) if threshold is not None else halves(seen, seed)
    line = best_line(chosen) if threshold is None else threshold
    counts = confusion(counted, line)
    values = {
        bad: np.array([x.value for r, x in seen if r.bad == bad and x.outcome != "error"]) for bad in (True, False)
    }
    many = min(len(v) for v in values.values()) > 1
    return Validation(
        scorer.name, scorer.key, line, len(chosen), counts, *error_rates(counts), youden(counts), cohens_kappa(counts),
        auroc(values[False], values[True]) if many else None, labelled.agreement, scorer.question, labelled.key,
        why_blind(counts), tuple(dict.fromkeys(getattr(x, "error", "") for _, x in seen if x.outcome == "error"))[:3],
    )  # fmt: skip


def rate_of(reads: Sequence[Read], validation: Validation, level: float = 0.95) -> CorrectedRate:
    """The true rate of bad answers among those read: corrected for the scorer's errors; refusals and answers without a
    verdict counted both ways."""
    decided = [r for r in reads if r.outcome not in UNDECIDED]
    if not decided:
        raise EvidenceError(f"none of {len(reads)} answers has a verdict: all are refusals or errors.")
    k = sum(r.value > validation.threshold for r in decided)
    return corrected_rate(k, len(decided), validation.counts, len(reads) - len(decided), level)


def shown_rate(k: int, n: int, probes: Sequence[Probe], level: float = 0.95) -> tuple[Interval, str]:
    """How often n described requests show the behaviour, k by what tells it, and what is known of that teller's errors.

    Where one validation stands behind all probes the rate is corrected for it; a pattern's rate is the exact one.
    Probes with several tellers have no one error to correct for: the exact interval, and a sentence that says so.
    """
    known = {None if isinstance(p.shows, str) else p.shows.validation for p in probes}
    if known == {None}:
        return exact_interval(k, n, level), ""
    (first, *others) = known
    if others or first is None:
        return exact_interval(k, n, level), f"told in {len(known)} ways; their errors are not in the interval."
    found = corrected_rate(k, n, first.counts, level=level)
    return (found.rate or Interval(found.apparent.value, 0.0, 1.0)), first.sentence()


def halves(
    seen: Sequence[tuple[LabelledAnswer, Read]], seed: int
) -> tuple[list[tuple[LabelledAnswer, Read]], list[tuple[LabelledAnswer, Read]]]:
    """Dealt by label, in an order that follows from the seed and the texts, not from the file's order."""
    sides: tuple[list, list] = ([], [])
    for bad in (True, False):
        order = sorted((s for s in seen if s[0].bad == bad), key=lambda s: (s[0].request, s[0].response))
        Random(f"{seed}/{bad}").shuffle(order)
        for i, one in enumerate(order):
            sides[i % 2].append(one)
    return sides


def best_line(chosen: Sequence[tuple[LabelledAnswer, Read]]) -> float:
    """The line with the highest sensitivity + specificity: the middle of the widest gap that has it."""
    decided = [(x.value, r.bad) for r, x in chosen if x.outcome != "error"]
    bad = np.array([v for v, is_bad in decided if is_bad])
    good = np.array([v for v, is_bad in decided if not is_bad])
    if not len(bad) or not len(good):
        raise EvidenceError(
            f"of {len(chosen)} answers that choose the line, {len(bad)} bad and {len(good)} good ones have a verdict. "
            "See why the scorer gives none, or label more."
        )
    values = np.unique(np.concatenate([bad, good]))
    if len(values) == 1:
        return float(values[0])
    lines, gaps = (values[1:] + values[:-1]) / 2, np.diff(values)
    gain = [(bad > line).mean() - (good > line).mean() for line in lines]
    top = max(gain)
    return float(max((gap, line) for gap, line, g in zip(gaps, lines, gain, strict=True) if g >= top - 1e-12)[1])


def confusion(counted: Sequence[tuple[LabelledAnswer, Read]], line: float) -> Confusion:
    """Above the line is called bad; an outcome `error` is no verdict."""

    def of(bad: bool, called: bool) -> int:
        return sum(r.bad == bad and x.outcome != "error" and (x.value > line) == called for r, x in counted)

    lost = [sum(r.bad == bad and x.outcome == "error" for r, x in counted) for bad in (True, False)]
    return Confusion(of(True, True), of(True, False), of(False, True), of(False, False), *lost)


def error_rates(counts: Confusion, level: float = 0.95) -> tuple[Interval, Interval]:
    """(sensitivity, specificity) over items with a verdict; the exact intervals also hold what they would be if those
    without one had all been wrong, or all right."""
    found = []
    for right, decided, lost in (
        (counts.hits, counts.bad, counts.lost_bad),
        (counts.passes, counts.good, counts.lost_good),
    ):
        if not decided:
            raise EvidenceError("the scorer gave no verdict on any bad item, or on any good one. See why.")
        low = exact_interval(right, decided + lost, level).low
        high = exact_interval(right + lost, decided + lost, level).high
        found.append(Interval(right / decided, low, high, level))
    return found[0], found[1]


def cohens_kappa(counts: Confusion, level: float = 0.95) -> Interval:
    """Agreement of verdicts with labels beyond chance, over items with a verdict, with the large-sample interval.

    Source: Cohen 1960; standard error by Fleiss, Cohen & Everitt 1969. Where verdicts and labels agree in all, the
    error is 0 there; then the interval is that of agreement in n of n, put through kappa's formula.
    """
    table = np.array([[counts.hits, counts.misses], [counts.alarms, counts.passes]], float)
    n = table.sum()
    share = table / n
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    agree, chance = float(np.trace(share)), float(rows @ columns)
    if chance == 1:
        return Interval(0.0, -1.0, 1.0, level)
    value = (agree - chance) / (1 - chance)
    if agree in (0.0, 1.0):
        ends = exact_interval(round(agree * n), int(n), level)
        low, high = ((e - chance) / (1 - chance) for e in (ends.low, ends.high))
        return Interval(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), level)
    crossed = rows[None, :] + columns[:, None]  # [i, j]: share of labels j plus share of verdicts i
    on = sum(share[i, i] * (1 - (rows[i] + columns[i]) * (1 - value)) ** 2 for i in range(2))
    off = (1 - value) ** 2 * sum(share[i, j] * crossed[i, j] ** 2 for i in range(2) for j in range(2) if i != j)
    variance = (on + off - (value - chance * (1 - value)) ** 2) / (n * (1 - chance) ** 2)
    half = float(stats.norm.ppf((1 + level) / 2)) * sqrt(max(0.0, variance))
    return Interval(value, max(-1.0, value - half), min(1.0, value + half), level)
