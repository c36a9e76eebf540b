"""One detector, four data roles that cannot overlap, one conformal p-value an item."""

from dataclasses import dataclass, fields, is_dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from scipy import stats

from ..detect.contract import is_offline, pooled, scorer
from ..detect.internals.against_base import AgainstBase
from ..errors import EvidenceError
from ..types import Interval, Scores
from .conformal import Split, p_values, rank, threshold
from .rates import exact_interval


@dataclass(frozen=True)
class TrialIds(Split):
    """The ids of a trial by role. Raises EvidenceError naming the ids that have two roles."""

    untrusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """Evidence by role. Refuses an id that has two roles, and scored roles that hold different kinds of evidence.

    Attributes:
        fit: trusted; detectors learn from it and from nothing else. May be of another kind (labelled rows).
        calibrate: trusted; sets the threshold. Must be drawn as `control` is: the p-values rest on that.
        control: trusted; must not be flagged. The false-alarm rate is measured on it.
        untrusted: what is asked about.
    """

    fit: Any
    calibrate: Any
    control: Any
    untrusted: Any

    def __post_init__(self) -> None:
        TrialIds(**{role.name: ids_of(getattr(self, role.name), role.name) for role in fields(self)})
        kinds = {role: type(getattr(self, role)).__name__ for role in ("calibrate", "control", "untrusted")}
        if len(set(kinds.values())) > 1:
            raise EvidenceError(f"the scored roles hold {kinds}. Read all three in the same way.")


@dataclass(frozen=True)
class TrialResult:
    """What a trial found.

    Attributes:
        calibrate, control, untrusted: the scores by role, as the bumper gave them.
        threshold: a score above it has p <= alpha.
        control_p, untrusted_p: (n,) conformal p-values in the order of `control.ids` and `untrusted.ids`.
        false_alarms: share of control items with p <= alpha; the exact interval is of this threshold's own rate, given
            the calibration items. Over calibration sets that rate is at most alpha on average.
        flag_rate: the same share among untrusted items.
        flagged: ids of untrusted items with p <= alpha.
        control_odds: chance of so many false alarms or more, were control drawn as calibrate is. Where it is small the
            two differ, and no p-value of this trial can be relied on.
    """

    bumper: str
    alpha: float
    calibrate: Scores
    control: Scores
    untrusted: Scores
    threshold: float
    control_p: np.ndarray
    untrusted_p: np.ndarray
    false_alarms: Interval
    flag_rate: Interval
    flagged: tuple[str, ...]
    control_odds: float


def run_trial(bumper: Any, trial: Trial, alpha: float, level: float = 0.95, seed: int = 0) -> TrialResult:
    """Fit on `fit`, calibrate on `calibrate`, and give every control and untrusted item a conformal p-value.

    A trusted item has p <= alpha with probability at most alpha, over the draw of the calibration items too. It needs:
      - the item and the calibration items are exchangeable (drawn alike, no selection by score);
      - online bumper: the fit saw neither;
      - offline bumper: the score function may depend on what it scores, but must not tell a calibration item from the
        tested one. So the batch it is fitted with is untrusted, control *and* calibrate together, in an order drawn
        from `seed`, scored in one call. Were control left out of the batch, its scores would come from a fit that has
        not seen it while those of untrusted items have: the measured false-alarm rate would be that of another
        detector. Were calibrate left out, the same would hold for the threshold. The price is that the share of odd
        items in the batch falls. The p-values of one batch depend on each other.
    Source: split conformal (Vovk et al. 2005); score functions symmetric in calibration and test items (Marandon et
    al. 2024, "Adaptive novelty detection with false discovery rate guarantee").

    Args:
        bumper: made but not fitted; online, offline, or `AgainstBase` of either.
        alpha: false-alarm rate of one item.
        level: confidence level of the intervals.
        seed: draws the order of an offline bumper's batch.

    Raises EvidenceError when calibrate has fewer than 1/alpha - 1 items (with the number missing), when control or
    untrusted is empty, or when the bumper cannot use the evidence.
    """
    for role in ("control", "untrusted"):
        if not getattr(trial, role).ids:
            raise EvidenceError(f"the trial has no {role} items, so its rates mean nothing. Add {role} items.")
    calibrate, control, untrusted = _offline(bumper, trial, seed) if _is_offline(bumper) else _online(bumper, trial)
    line = threshold(calibrate.values, alpha)
    over = int((control.values > line).sum())
    flags = untrusted.values > line
    r, n = rank(len(calibrate.ids), alpha), len(calibrate.ids)
    return TrialResult(
        bumper=calibrate.bumper, alpha=alpha, calibrate=calibrate, control=control, untrusted=untrusted, threshold=line,
        control_p=p_values(calibrate.values, control.values),
        untrusted_p=p_values(calibrate.values, untrusted.values),
        false_alarms=exact_interval(over, len(control.ids), level),
        flag_rate=exact_interval(int(flags.sum()), len(untrusted.ids), level),
        flagged=tuple(i for i, flag in zip(untrusted.ids, flags, strict=True) if flag),
        control_odds=float(stats.betabinom.sf(over - 1, len(control.ids), n + 1 - r, r)),
    )  # fmt: skip


def ids_of(evidence: Any, role: str) -> tuple[str, ...]:
    """The ids of evidence, or of all evidence that it holds. Raises EvidenceError when there are none to be had."""
    if hasattr(evidence, "ids"):
        return tuple(evidence.ids)
    held = [getattr(evidence, f.name) for f in fields(evidence)] if is_dataclass(evidence) else []
    found = {i for part in held if is_dataclass(part) for i in ids_of(part, role)}
    if not found:
        raise EvidenceError(f"{role} is {type(evidence).__name__}, which has no ids. Roles are kept apart by ids.")
    return tuple(sorted(found))


def _is_offline(bumper: Any) -> bool:
    return is_offline(type(bumper.detector if isinstance(bumper, AgainstBase) else bumper))


def _online(bumper: Any, trial: Trial) -> tuple[Scores, Scores, Scores]:
    score = scorer(bumper, trial.fit)
    return score(trial.calibrate), score(trial.control), score(trial.untrusted)


def _offline(bumper: Any, trial: Trial, seed: int) -> tuple[Scores, Scores, Scores]:
    """All scored roles in one batch and one call, so that nothing but its content tells an item from another."""
    parts = (trial.calibrate, trial.control, trial.untrusted)
    batch = reduce(pooled, parts)
    batch = _reordered(batch, np.random.default_rng(seed).permutation(len(batch.ids)))
    if isinstance(bumper, AgainstBase):
        scores = bumper.fit(trial.fit, batch).score(batch)
    else:
        scores = scorer(bumper, trial.fit, batch)(batch)
    value = dict(zip(scores.ids, scores.values.tolist(), strict=True))
    first, second, third = (
        Scores(np.array([value[i] for i in part.ids]), tuple(part.ids), scores.bumper) for part in parts
    )
    return first, second, third


def _reordered(evidence: Any, order: np.ndarray) -> Any:
    """The same evidence with its items in another order: whatever has an entry an item is put in that order."""
    n, moved = len(evidence.ids), {}
    for field in fields(evidence):
        value = getattr(evidence, field.name)
        if is_dataclass(value):
            moved[field.name] = _reordered(value, order)
        elif isinstance(value, np.ndarray) and len(value) == n:
            moved[field.name] = value[order]
        elif isinstance(value, tuple) and len(value) == n and field.name != "layers":
            moved[field.name] = tuple(value[i] for i in order)
    return replace(evidence, **moved)
