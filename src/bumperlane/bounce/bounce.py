"""Bounce: carry a fix out, and verify it where nobody looked while fixing."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ..case import Bounce, Case, CheckResult, load_case, save_case
from ..errors import SettingError
from ..judge.investigation import Investigation, Say, silent
from ..recipes.edits import diff
from ..recipes.run import Run
from ..trace.data.material import Outputs, outputs_of
from ..trace.meter import Meter
from ..trace.retrain import carry_out, continued, planned
from ..trace.trace import open_case
from ..types import Check
from .compared import Margins, Trio
from .described import described_checks
from .fixes import FIXES, Fix, make_fix, never_had
from .propensity import ground_in_context, ground_of_probes, propensity_check, relearning_check
from .relearn import relearn_recipes, relearned_subjects
from .sealed import sealed_contexts
from .verdict import verdict
from .verify import capability_check, elicitation_checks, sealed_checks, steering_check


@dataclass(frozen=True)
class BounceSettings:
    """Which fix, and what counts as equal (see Margins).

    Args:
        fix: auto (drop the confirmed cause) or train-on-bumper (the masking control).
        jobs: retrains at a time; 0 is one a core on a CPU.
    """

    fix: str = "auto"
    jobs: int = 0
    margin: float = 0.33
    rate_margin: float = 0.2
    capability_margin: float = 0.25

    def __post_init__(self) -> None:
        if self.fix != "auto" and self.fix not in FIXES:
            raise SettingError(f"unknown fix {self.fix!r}. Known: auto, {', '.join(FIXES)}.")
        for name in ("margin", "rate_margin", "capability_margin"):
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} must be above 0, got {getattr(self, name)}.")

    @property
    def margins(self) -> Margins:
        return Margins(self.margin, self.rate_margin, self.capability_margin)


def bounce(directory: Path | str, settings: BounceSettings | None = None, say: Say = silent) -> Case:
    """Fix the confirmed cause of a traced case, retrain, verify, and write the verdict into the case.

    Raises CaseError when no cause is confirmed, TrainingError when a retrain fails.
    """
    began, settings = time.monotonic(), settings or BounceSettings()
    inv, case = open_case(directory, "trace", say)
    meter = Meter.of(inv, case)
    fix = make_fix(inv, case, meter, settings.fix)
    fixed, control = retrain(inv, case, fix, settings)
    trio = Trio(inv.subject(), inv.subject(run=fixed), inv.subject(run=control))
    query = outputs_of(inv, meter, trio.hit)
    start = {"fixed": fixed, "control": control}
    relearn = relearn_recipes(inv, case, start)
    done = carry_out(list(relearn.values()), settings.jobs, say)
    relearned = relearned_subjects(inv, start, dict(zip(relearn, done, strict=True)))
    checks = verify(inv, meter, query, trio, relearned, settings)
    outcome, why = verdict(checks[0], checks[1:])
    for bumper in fix.steers:
        inv.ledger.steer(bumper, f"bounce {fix.name}")
    result = Bounce(
        fix=FIXES[fix.name], rewind=fix.rewind, diff=diff(inv.run.recipe, fix.recipe), verdict=outcome, why=why,
        checks=[CheckResult(**{**asdict(c), "numbers": dict(c.numbers)}) for c in checks], run=str(fixed.path),
        steers=list(fix.steers),
    )  # fmt: skip
    bounced = case.model_copy(
        update={
            "stages": ["check", "trace", "bounce"],
            "bounce": result,
            "ledger": inv.ledger.in_case(),
            "timings_s": {**case.timings_s, "bounce": round(time.monotonic() - began, 1)},
        }
    )
    save_case(inv.directory, bounced)
    return bounced


def retrain(inv: Investigation, case: Case, fix: Fix, settings: BounceSettings) -> tuple[Run, Run]:
    """The fixed run and the control that never had the cause. What the experiments computed already is continued."""
    runs = inv.directory / "runs"
    recipes = {"fixed": fix.recipe, "never-had": never_had(inv, case)}
    retrains = [planned(continued(recipe, runs), runs, name) for name, recipe in recipes.items()]
    fixed, control = carry_out(retrains, settings.jobs, inv.say)
    return fixed, control


def verify(
    inv: Investigation, meter: Meter, query: Outputs, trio: Trio, relearned: dict, settings: BounceSettings
) -> list[Check]:
    """All checks, the steering one first."""
    margins, said = settings.margins, inv.say
    said("verifying: the bumper that was hit", 0, 6)
    if meter.told:
        checks, ground = described_checks(meter, trio, margins), ground_of_probes(meter, trio.hit)
    else:
        checks = [steering_check(inv, meter, trio)]
        said("verifying: sealed bumpers", 1, 6)
        places = sealed_contexts(meter.context, inv.neutral, inv.settings.seed)
        sealed, order = sealed_checks(inv, places, trio, margins)
        said("verifying: re-elicitation", 2, 6)
        checks += [*sealed, *elicitation_checks(inv, meter, query, trio, margins)]
        ground = ground_in_context(inv, order[0], query.bad)
    said("verifying: propensity", 3, 6)
    checks.append(propensity_check(inv, ground, trio, margins))
    said("verifying: relearning", 4, 6)
    checks.append(relearning_check(inv, ground, relearned, trio, margins))
    said("verifying: capability", 5, 6)
    return [*checks, capability_check(inv, trio, margins)]


def estimate_bounce(directory: Path | str, settings: BounceSettings | None = None) -> str:
    """What a bounce will do, and about how long its retrains take, from the run's own log."""
    settings = settings or BounceSettings()
    case = load_case(Path(directory), "trace")
    run = Run.open(case.run)
    log = run.log()
    pace = sorted(entry["seconds"] for entry in log)[len(log) // 2] if log else None
    time_text = (
        f"up to {2 * run.last.step * pace / 60:.0f} min of training" if pace else "training time unknown (no log)"
    )
    return (
        f"fix: {FIXES['drop' if settings.fix == 'auto' else settings.fix]}; 2 retrains of up to {run.last.step} steps "
        f"(the fix, and a control without the cause), 2 relearning runs; {time_text}; 7 kinds of checks."
    )
