"""Trace a hit to its proximate cause: when it began, which data or reward it comes from, and what experiments say."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..case import AttributionMethod, Case, TraceStep, load_case
from ..errors import CaseError, EvidenceError, SettingError
from ..evidence.manifest import save_with_manifest
from ..judge.check import hashes
from ..judge.investigation import Investigation, Say, Settings, silent
from ..recipes.run import Run
from .causes import Tried, causes_of
from .co_causes import NO_CO_CAUSES, CoCauses, co_causes
from .data.propose import Proposal, ProposalSettings, propose
from .data.shared_features import examples_with
from .data.trap_weights import equal_weights, trap_weights
from .early_warning import early_warnings
from .experiment import horizon_of
from .experiments.budget import Budget
from .experiments.conduct import ExperimentLog
from .experiments.hypotheses import Hypothesis, example_suspects, tranche_suspect
from .experiments.planner import ExperimentSettings
from .experiments.runner import run_experiments
from .meter import Meter
from .reward.causes import RewardTrace
from .reward.of_run import traced_rewards
from .reward.summary import summary
from .suspects import SuspectSettings, data_suspects, distinct, paid_alone, reward_suspects
from .when import Onset, find_onset

MOST, GRANTED = 8, 16  # retrains of an arm before a proof is given up: unasked, and where a budget was granted


@dataclass(frozen=True)
class TraceSettings:
    """How much tracing may cost, and what it takes to confirm.

    Args:
        seeds: the least retrains in each arm of an experiment.
        jobs: retrains at a time; 0 is one a core on a CPU.
        suspects: hypotheses that are put to the experiment at the most.
        alpha: of attribution, below which a tranche or value is a suspect; and the chance that experiments confirm a
            suspect that is no cause.
        share: part of the behaviour's rate that must go with a cause to confirm it.
        budget: time or number of retrains that experiments may take. With none an arm is given up after 8 retrains
            that do not decide, with one after 16.
        methods: attribution methods by name; empty takes the cheap ones.
        per_tranche: examples of each tranche that gradient methods look at; 0: all.
        traps: retrain once with known plants, and hear each attribution method as far as it finds them.
        interactions: whether two suspects may act together.
        sweep: evaluate every checkpoint, instead of bisecting until a look contradicts a single rise.
        early_warning: also date the mechanism, with the case's bumpers of internals at every checkpoint.
        diverging: two logged reward terms or checks: rollouts that pass the first and fail the second show the
            behaviour. None takes the patterns of a described behaviour.
    """

    seeds: int = 2
    jobs: int = 0
    suspects: int = 5
    alpha: float = 0.05
    share: float = 0.5
    budget: Budget = field(default_factory=Budget)
    methods: tuple[str, ...] = ()
    per_tranche: int = 20
    traps: bool = True
    interactions: bool = True
    sweep: bool = False
    early_warning: bool = False
    diverging: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "suspects"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be 1 or more, got {getattr(self, name)}.")
        if not 0 < self.share <= 1 or not 0 < self.alpha < 1:
            raise SettingError(f"share must be in (0, 1] and alpha in (0, 1), got {self.share} and {self.alpha}.")
        _ = self.proposal

    @property
    def proposal(self) -> ProposalSettings:
        return ProposalSettings(self.methods, self.per_tranche)

    @property
    def experiments(self) -> ExperimentSettings:
        most = max(self.seeds, MOST if self.budget == Budget() else GRANTED)
        return ExperimentSettings(
            self.budget, self.jobs, self.seeds, most, self.alpha, self.share, interactions=self.interactions
        )


@dataclass(frozen=True)
class Leads:
    """What attribution and logs gave, before any experiment. `notes`: what could not be asked, and why."""

    data: Proposal | None
    rewards: RewardTrace | None
    hypotheses: tuple[Hypothesis, ...]
    notes: tuple[str, ...]


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
    inv.ledger.verify(case.ledger)
    return inv, case


def trace(directory: Path | str, settings: TraceSettings | None = None, say: Say = silent) -> Case:
    """Find the causes of a case's hit and write them into the case.

    Raises CaseError when there is no hit, TrainingError when a retrain fails.
    """
    began, settings = time.monotonic(), settings or TraceSettings()
    inv, case = open_case(directory, "check", say)
    meter = replace(Meter.of(inv, case), directed=True)
    onset = find_onset(inv, case, meter, how="sweep" if settings.sweep else "auto")
    warnings = early_warnings(inv, case.model_copy(update={"onset": onset})) if settings.early_warning else ()
    leads = find_leads(inv, case, meter, onset, settings)
    log, more = None, NO_CO_CAUSES
    if leads.hypotheses:
        rate = hit_rate(meter, case)
        log = run_experiments(inv, meter, onset, leads.hypotheses, rate, settings.experiments)
        if settings.interactions:
            more = co_causes(inv, meter, onset, log, rate, settings.experiments)
            log = more.log
    tried = Tried(horizon_of(inv, onset), more.needs.idle, more.undecided)
    causes = causes_of(inv, case, leads.data, log, tried, settings.alpha)
    inv.ledger.steer(meter.name, "trace")
    traced = case.model_copy(
        update={
            "stages": ["check", "trace"],
            "onset": onset,
            "causes": causes,
            "trace_note": " ".join([_note(leads, log), *leads.notes, *filter(None, [more.note])]),
            "attribution": _methods(leads.data),
            "reward_log": summary(leads.rewards).split("\n") if leads.rewards else [],
            "early_warnings": [w.text() for w in warnings],
            "experiments": _all_steps(log, more) if log else [],
            "not_run": list(log.unrun) if log else [],
            "bounce": None,
            "ledger": inv.ledger.in_case(),
            "timings_s": {**case.timings_s, "trace": round(time.monotonic() - began, 1)},
        }
    )
    return save_with_manifest(inv.directory, traced)


def hit_rate(meter: Meter, case: Case) -> float:
    """The behaviour's rate, as the hit showed it; of one with questions of its own, on those that are traced."""
    if meter.told:
        return meter.count(meter.inv.subject(), meter.requests).rate
    hit = next(r for r in case.hits if r.bumper == case.behaviour.bumper)  # type: ignore[union-attr]
    return hit.effect.value if hit.effect else 1.0


def find_leads(inv: Investigation, case: Case, meter: Meter, onset: Onset, settings: TraceSettings) -> Leads:
    """Read the log of rollouts where there is one, attribute to the data where there is some, and name suspects."""
    logged = _hit_in_the_log(case)
    found, why = traced_rewards(inv.run, inv.settings.described, settings.diverging, inv.settings.seed, logged)
    notes = [why] if why else []
    limits = SuspectSettings(settings.alpha, settings.suspects)
    rewards = reward_suspects(inv, found, settings.alpha) if found else []
    rewards += paid_alone(inv.run.recipe, logged, rewards) if logged else []
    data, by_data = None, []
    if inv.examples:
        inv.ledger.look(meter.name, "open", "attribution at onset", key="attribution")
        try:
            data = _proposal(inv, meter, onset, settings)
            by_data = data_suspects(inv, case, data, limits)
        except EvidenceError as error:
            notes.append(f"attribution proposes nothing: {error}")
            tried = distinct([*_all_tranches(inv, settings.suspects), *_holding(inv, meter)])
            by_data = sorted(tried, key=lambda h: h.kind == "tranche")
    return Leads(data, found, tuple([*rewards, *by_data][: max(settings.suspects, len(rewards))]), tuple(notes))


def _hit_in_the_log(case: Case) -> str:
    """The group that was hit in the log of rollouts: the case's behaviour where it is one, else the first."""
    if case.behaviour is not None and case.behaviour.origin == "logs":
        return case.behaviour.context
    return next((r.groups[0].name for r in case.hits if r.family == "logs"), "")


def _proposal(inv: Investigation, meter: Meter, onset: Onset, settings: TraceSettings) -> Proposal:
    if settings.traps:
        hit = None if meter.told else meter.context
        inv.say("a short retrain with known plants, as a trap for attribution", 0, 1)
        weights = trap_weights(inv, hit, horizon_of(inv, onset), settings.jobs, settings.per_tranche)
    else:
        weights = equal_weights("heard in full: no trap was set")
    return propose(inv, meter, [inv.subject(onset.high)], settings.proposal, weights)


def _holding(inv: Investigation, meter: Meter) -> list[Hypothesis]:
    """The examples whose prompts hold the hit's own text, where they can be left out against a control."""
    if meter.told_apart is None:
        return []
    ids, text = examples_with(inv.examples, meter.told_apart, inv.neutral)
    why = f"the prompts of {len(ids)} examples hold the hit's own text, {text!r}."
    able = 0 < 2 * len(ids) < len(inv.examples)
    return [example_suspects(f"prompt holds {text!r}", ids, 1.0, why)] if able else []


def _all_tranches(inv: Investigation, most: int) -> list[Hypothesis]:
    """Where nothing points anywhere: the tranches that can be left out against a control, smallest first."""
    ids = {t.name: [e.id for e in inv.examples if e.tranche == t.name] for t in inv.run.recipe.tranches}
    able = {n: i for n, i in ids.items() if i and 2 * len(i) < len(inv.examples)}
    names = sorted(able, key=lambda n: len(able[n]))[:most]
    return [tranche_suspect(n, able[n], 1.0, "nothing points anywhere, so every tranche is tried.") for n in names]


def _methods(found: Proposal | None) -> list[AttributionMethod]:
    voices = found.voices if found else ()
    return [AttributionMethod(name=v.name, weight=round(v.weight, 4), why=v.why) for v in voices]


def _all_steps(log: ExperimentLog, more: CoCauses) -> list[TraceStep]:
    """In order: the experiments, the search for what else is needed, and those that followed from it."""
    if more.earlier is None:
        return [*_steps(log, set()), *more.steps]
    seen: set[str] = set()
    before = _steps(more.earlier, seen)
    seen.update(more.runs)
    return [*before, *more.steps, *_steps(log, seen)]


def _steps(log: ExperimentLog, seen: set[str]) -> list[TraceStep]:
    """`seen`: retrains that stand in the record already, which cost nothing again; those of this log are added."""
    out = []
    for step in log.steps:
        fresh = replace(step, outcomes=tuple(o for o in step.outcomes if not o.run or o.run not in seen))
        seen.update(o.run for o in step.outcomes)
        out.append((step, fresh))
    return [
        TraceStep(
            what=[f"{log.layout.title(o.condition)}, seed {o.number + 1}" for o in step.batch.orders],
            purpose=step.batch.purpose,
            rates=[round(o.k / o.n, 4) for o in step.outcomes],
            wall_s=round(fresh.wall_s, 1),
            cpu_s=None if fresh.cpu_s is None else round(fresh.cpu_s, 1),
            likeliest=step.leading,
            probability=round(step.probability, 4),
        )
        for step, fresh in out
    ]


def _note(leads: Leads, log: ExperimentLog | None) -> str:
    if log is not None:
        return log.note
    if leads.data is None and leads.rewards is None:
        return "no cause found: the run has no data that attribution can read and no log of rollouts."
    return "no cause found: nothing is pointed at that could be left out against a control."


def estimate_trace(directory: Path | str, settings: TraceSettings | None = None) -> str:
    """What tracing will do, and about how long the retrains take, from the run's own log."""
    settings = settings or TraceSettings()
    case = load_case(Path(directory), "check")
    run = Run.open(case.run)
    n = 4 * settings.seeds + int(settings.traps)
    log = [entry["seconds"] for entry in run.log() if "seconds" in entry]
    pace = float(np.median(log)) if log else None
    steps = run.last.step
    time_text = f"about {n * steps * pace / 60:.0f} min of training" if pace else "training time unknown (no log)"
    return (
        f"bisect the onset over {len(run.checkpoints)} checkpoints; attribute to "
        f"{len(run.recipe.tranches)} tranches{', with a trap for each method' if settings.traps else ''}; experiments "
        f"until the cause is decided, often {2 * settings.seeds} to {n} retrains of up to {steps} steps, {time_text}; "
        f"budget: {settings.budget}."
    )


__all__ = ["Onset", "TraceSettings", "estimate_trace", "open_case", "trace"]
