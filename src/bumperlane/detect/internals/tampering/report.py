"""How well each method tells real positives from fake ones, with intervals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ....errors import EvidenceError, SettingError
from ....types import Interval, Scores
from ..probes.ordering import auroc
from .evidence_probe import TamperingProbe
from .exclusion import Exclusion, Refit
from .references import ground_truth_probe, sensor_probe, trusted_probe
from .task import MeasurementTask, Sensed, refuse_other_sensors

PLAIN = "plain"


@dataclass(frozen=True)
class RealOrFake:
    """AUROC of fake above real positives by method; 0.5 tells nothing.

    Attributes:
        real, fake: items of each kind.
        auroc: by method, with a bootstrap interval over items.
        lift: by method, AUROC less that of `plain` on the same items, with an interval of the difference; empty
            without a method of that name.
        blind: why a method could not be used, by its name.
    """

    real: int
    fake: int
    auroc: Mapping[str, Interval]
    lift: Mapping[str, Interval]
    blind: Mapping[str, str] = field(default_factory=dict)


def compare(
    task: MeasurementTask,
    seen: Sensed,
    exclusion: Exclusion | None = None,
    refit: Refit | None = None,
    resamples: int = 2000,
) -> RealOrFake:
    """Every method of this folder on items that none of them was fitted on, with their truth.

    Methods: plain (the sensor-trained probe), trusted (a probe on trusted truth), evidence (TamperingProbe),
    exclusion (probe refitted), refitted exclusion (predictor refitted; with `refit`), and ground truth (where the
    truth of untrusted items is known). One that cannot be used is named under `blind`, with the reason.
    """
    refuse_other_sensors(task.untrusted, seen, "items to learn from and items to score")
    refuse_other_sensors(task.trusted, seen, "items to learn from and items to score")
    exclusion = exclusion or Exclusion()
    positives, probe = seen.where(seen.all_positive), exclusion.probe
    rows = positives.activations
    methods: dict[str, Callable[[], Scores]] = {
        PLAIN: lambda: sensor_probe(task, probe).score(rows),
        "trusted": lambda: trusted_probe(task, probe).score(rows),
        "evidence": lambda: TamperingProbe(probe).fit(task).score(rows),
        "exclusion": lambda: exclusion.run(task).score(rows),
    }
    if refit is not None:
        methods["refitted exclusion"] = lambda: exclusion.run(task, refit).score_again(positives)
    if task.untrusted.truth is not None:
        methods["ground truth"] = lambda: ground_truth_probe(task, probe).score(rows)
    scores, blind = {}, {}
    for name, method in methods.items():
        try:
            scores[name] = method()
        except EvidenceError as error:
            blind[name] = str(error)
    return replace(real_or_fake(scores, positives, resamples), blind=blind)


def real_or_fake(
    scores: Mapping[str, Scores], seen: Sensed, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> RealOrFake:
    """AUROC of any methods' scores of items with all sensors positive.

    Intervals are percentiles over resamples of real and of fake items, the same for all methods. Where no resample
    differs (perfect order), the end away from the value is Clopper-Pearson's for as many successes as the rarer kind
    has items.

    Raises EvidenceError when the truth is unknown, a kind is missing, or scores are of other items.
    """
    if seen.truth is None:
        raise EvidenceError("real and fake positives can only be told apart where the truth is known. Pass it.")
    if resamples < 100 or not 0 < level < 1:
        raise SettingError(f"resamples must be 100 or more and level in (0, 1), got {resamples} and {level}.")
    positive, fake = seen.all_positive, ~seen.truth
    if not positive.all():
        raise EvidenceError(
            f"{int((~positive).sum())} of {len(positive)} items have a sensor that is not positive. Compare positives "
            "only: seen.where(seen.all_positive)."
        )
    if not fake.any() or fake.all():
        raise EvidenceError(
            f"a comparison needs real and fake positives, got {int((~fake).sum())} real and {int(fake.sum())} fake. "
            "Pass items of both kinds."
        )
    for name, of in scores.items():
        if of.ids != seen.ids:
            raise EvidenceError(f"{name} scored {len(of.ids)} other items than the {len(seen.ids)} compared.")
    values = {name: (of.values[~fake], of.values[fake]) for name, of in scores.items()}
    drawn = _resampled(values, resamples, seed)
    floor = ((1 - level) / 2) ** (1 / min(fake.sum(), (~fake).sum()))
    found = {name: auroc(*pair) for name, pair in values.items()}
    each = {name: _interval(found[name], drawn[name], level, floor) for name in found}
    lift = {}
    if PLAIN in found:
        others = [name for name in found if name != PLAIN]
        lift = {n: _interval(found[n] - found[PLAIN], drawn[n] - drawn[PLAIN], level) for n in others}
    return RealOrFake(int((~fake).sum()), int(fake.sum()), each, lift)


def _resampled(values: Mapping[str, tuple[np.ndarray, np.ndarray]], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """By method, (resamples,) AUROCs of items drawn with replacement within each kind, alike for all methods."""
    rng, out = np.random.default_rng(seed), {name: np.empty(resamples) for name in values}
    kinds = [len(kind) for kind in next(iter(values.values()), ())]
    level = {name: np.unique(np.concatenate(pair), return_inverse=True)[1] for name, pair in values.items()}
    for i in range(resamples if kinds else 0):
        real, fake = (rng.integers(0, n, n) for n in kinds)
        for name, at in level.items():
            reals, fakes = (np.bincount(at[drawn], minlength=len(at)) for drawn in (real, kinds[0] + fake))
            below = np.cumsum(reals) - reals / 2  # ties count half
            out[name][i] = fakes @ below / (kinds[0] * kinds[1])
    return out


def _interval(value: float, drawn: np.ndarray, level: float, floor: float | None = None) -> Interval:
    low, high = (float(q) for q in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]))
    if floor is not None and value in (0.0, 1.0):
        low, high = (floor, 1.0) if value == 1 else (0.0, 1 - floor)
    return Interval(value, min(low, value), max(high, value), level)
