"""Trace a hit to its proximate cause: when it began, which data it comes from, and what an experiment says."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..case import Case, Cause, Experiment, Onset, Range, Sample, load_case, save_case
from ..errors import CaseError, SettingError
from ..judge.check import hashes
from ..judge.investigation import Investigation, Say, Settings, silent
from ..recipes.run import Run
from ..types import Example, Interval, Status
from .attribution import Attribution, attribute, queries
from .experiment import design, run_experiment
from .meter import Meter
from .tranches import TrancheScore
from .when import find_onset

MORE_SEEDS = 2  # retrains that an arm may be given beyond its first ones while its interval does not tell
Tested = dict[str, tuple[Experiment, Interval]]


@dataclass(frozen=True)
class TraceSettings:
    """How much tracing may cost, and what it takes to confirm.

    Args:
        seeds: retrains in each arm of an experiment, to begin with; up to two more while the interval does not tell.
        jobs: retrains at a time; 0 is one a core on a CPU.
        suspects: tranches that are put to the experiment at the most, from the most suspect, until one is confirmed.
        alpha: attribution p-value, over all tranches, below which a tranche is a suspect.
        share: part of the behaviour's rate that must go with a cause to confirm it.
    """

    seeds: int = 2
    jobs: int = 0
    suspects: int = 3
    alpha: float = 0.05
    share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("seeds", "suspects"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if not 0 < self.share <= 1 or not 0 < self.alpha < 1:
            raise SettingError(f"share must be in (0, 1] and alpha in (0, 1), got {self.share} and {self.alpha}.")


def open_case(directory: Path | str, needs: str, say: Say) -> tuple[Investigation, Case]:
    """The investigation of a case, with the settings it was checked with. Raises CaseError when its run has changed."""
    directory = Path(directory)
    case = load_case(directory, needs)  # type: ignore[arg-type]
    inv = Investigation(Run.open(case.run), directory, Settings.from_dict(case.settings), say)
    now = hashes(inv.run)
    changed = sorted(name for name in case.hashes if now.get(name) != case.hashes[name])
    if changed:
        raise CaseError(
            f"the run {case.run} has changed since it was checked: {', '.join(changed[:5])}. "
            "Check it again into a new case."
        )
    inv.ledger.verify()
    return inv, case


def trace(directory: Path | str, settings: TraceSettings | None = None, say: Say = silent) -> Case:
    """Find the causes of a case's hit and write them into the case.

    Raises CaseError when there is no hit, TrainingError when a retrain fails.
    """
    began, settings = time.monotonic(), settings or TraceSettings()
    inv, case = open_case(directory, "check", say)
    meter = Meter.of(inv, case)
    onset = find_onset(inv, case, meter)
    say("attributing the outputs", 0, 1)
    query = queries(inv, meter, inv.subject())
    found = attribute(inv, inv.subject(onset.high), query, seed=inv.settings.seed)
    inv.ledger.look(meter.name, "open", "attribution at onset", key="attribution")
    tested: Tested = {}
    suspects = suspects_of(case, found, settings)
    for name in suspects:
        for seeds in range(settings.seeds, settings.seeds + MORE_SEEDS + 1):
            tested[name] = run_experiment(inv, meter, design(inv, name, onset, seeds), settings.jobs)
            if decided(case, tested[name][0], settings):
                break
        if proved(case, tested, settings):
            break  # what is left without it says enough about the others
    causes = judge_causes(inv, case, found, tested, settings)
    inv.ledger.steer(meter.name, "trace")
    confirmed = [c.name for c in causes if c.status == "confirmed"]
    note = f"confirmed: {', '.join(confirmed)}" if confirmed else _no_cause(found, suspects, settings)
    traced = case.model_copy(
        update={
            "stages": ["check", "trace"],
            "onset": onset,
            "causes": causes,
            "trace_note": note,
            "bounce": None,
            "ledger": inv.ledger.in_case(),
            "timings_s": {**case.timings_s, "trace": round(time.monotonic() - began, 1)},
        }
    )
    save_case(inv.directory, traced)
    return traced


def suspects_of(case: Case, found: Attribution, settings: TraceSettings) -> list[str]:
    """Tranches for the experiment, in order: those attribution points at, then those whose prompts hold the text of the
    hit context. Where neither names any, the one attribution ranks first: an experiment costs less than a miss."""
    names = [t.name for t in found.tranches if t.p_value <= settings.alpha]
    names += case.behaviour.tranches if case.behaviour and len(case.behaviour.tranches) <= 2 else []
    names = names or [t.name for t in found.tranches[:1]]
    able = {t.name for t in found.tranches if 2 * t.n < len(found.ids)}  # else the rest is too small for a control
    return [n for n in dict.fromkeys(names) if n in able][: settings.suspects]


def decided(case: Case, experiment: Experiment, settings: TraceSettings) -> bool:
    """Whether an experiment tells: the interval excludes 0, or does not reach the share that a cause must have."""
    hit = next(r for r in case.hits if r.bumper == case.behaviour.bumper)  # type: ignore[union-attr]
    rate = hit.effect.value if hit.effect else 1.0
    return experiment.effect.low > 0 or experiment.effect.high < settings.share * rate


def proved(case: Case, tested: Tested, settings: TraceSettings) -> list[str]:
    """Tranches whose experiment shows at least `share` of the hit's rate to go with them, beyond chance."""
    hit = next(r for r in case.hits if r.bumper == case.behaviour.bumper)  # type: ignore[union-attr]
    rate = hit.effect.value if hit.effect else 1.0
    return [n for n, (e, _) in tested.items() if e.effect.low > 0 and e.effect.value >= settings.share * rate]


def _no_cause(found: Attribution, suspects: list[str], settings: TraceSettings) -> str:
    if not found.tranches:
        return "no cause found: the data has a single tranche, so nothing can be left out against the rest."
    if not suspects:
        return f"no cause found: attribution points at no tranche (smallest p {found.tranches[0].p_value:.2g})."
    return f"no cause found: leaving out {', '.join(suspects)} did not take the behaviour away."


def judge_causes(
    inv: Investigation, case: Case, found: Attribution, tested: Tested, settings: TraceSettings
) -> list[Cause]:
    """Every tranche as a cause: confirmed, suspected or cleared, in rank order.

    Confirmed: with it gone the rate falls against the random removal, the interval excludes 0, and at least `share` of
    the hit's rate goes. Cleared by its own experiment: the interval's upper end is below `share` of the rate. Cleared
    by another's: with the confirmed cause gone and this one still there, the behaviour is gone too, and attribution
    does not point here.
    """
    hit = next(r for r in case.hits if r.bumper == case.behaviour.bumper)  # type: ignore[union-attr]
    rate = hit.effect.value if hit.effect else 1.0
    guilty = proved(case, tested, settings)
    gone = [left for n, (_, left) in tested.items() if n in guilty and left.high < settings.share * rate]
    causes = []
    for score in found.tranches:
        experiment = tested.get(score.name)
        status: Status
        if score.name in guilty:
            status, why = "confirmed", "without it the behaviour goes; without as many random examples it stays."
        elif experiment and experiment[0].effect.high < settings.share * rate:
            status, why = "cleared", "the behaviour stays without it."
        elif not experiment and gone and score.p_value > settings.alpha:
            status, why = "cleared", "it was still there when the confirmed cause was left out, and the behaviour went."
        elif score.p_value <= settings.alpha or experiment:
            status, why = "suspected", "attribution points here; no experiment has decided."
        else:
            status, why = "cleared", "attribution does not point here; no experiment was made."
        causes.append(_cause(inv, found, score, (status, why), experiment[0] if experiment else None, gone))
    order = {"confirmed": 0, "suspected": 1, "cleared": 2}
    return sorted(
        causes,
        key=lambda c: (order[c.status], -(c.experiment.effect.value if c.experiment else 0.0), -(c.predicted or 0.0)),
    )


def _cause(
    inv: Investigation,
    found: Attribution,
    score: TrancheScore,
    verdict: tuple[Status, str],
    experiment: Experiment | None,
    gone: list[Interval],
) -> Cause:
    status, why = verdict
    effect = experiment.effect if experiment else None
    if effect is None and status == "cleared" and gone:
        least = min(gone, key=lambda g: g.high)
        effect = Range(value=least.value, low=least.low, high=least.high, level=least.level)
        why += " `effect` is the rate that was left with it in place."
    return Cause(
        kind="tranche", name=score.name, status=status, effect=effect, predicted=round(score.z, 3), why=why,
        p_value=score.p_value, examples=_top(inv.examples, found, score.name), experiment=experiment,
    )  # fmt: skip


def _top(examples: tuple[Example, ...], found: Attribution, tranche: str, most: int = 3) -> list[Sample]:
    """The tranche's examples that attribution puts highest."""
    mine = [i for i, e in enumerate(examples) if e.tranche == tranche and e.messages]
    best = sorted(mine, key=lambda i: -found.fused[i])[:most]
    return [
        Sample(
            request=examples[i].messages[-2].content if len(examples[i].messages) > 1 else "",
            context="\n".join(m.content for m in examples[i].messages[:-2]),
            response=examples[i].messages[-1].content,
            score=float(np.round(found.fused[i], 3)),
        )
        for i in best
    ]


def estimate_trace(directory: Path | str, settings: TraceSettings | None = None) -> str:
    """What tracing will do, and about how long the retrains take, from the run's own log."""
    settings = settings or TraceSettings()
    case = load_case(Path(directory), "check")
    run = Run.open(case.run)
    n = 2 * settings.seeds * settings.suspects
    log = run.log()
    pace = float(np.median([entry["seconds"] for entry in log])) if log else None
    steps = run.last.step
    time_text = f"up to {n * steps * pace / 60:.0f} min of training" if pace else "training time unknown (no log)"
    return (
        f"bisect the onset over {len(run.checkpoints)} checkpoints; attribute to "
        f"{len(run.recipe.tranches)} tranches; {2 * settings.seeds} to {n} retrains of up to {steps} steps, "
        f"{time_text}."
    )


__all__ = ["Onset", "TraceSettings", "estimate_trace", "open_case", "trace"]
