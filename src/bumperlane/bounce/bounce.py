"""Bounce: carry a fix out, and verify it where nobody looked while fixing."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path

from ..case import Bounce, Case, CheckResult, PromptsInData, load_case
from ..errors import SettingError
from ..evidence.manifest import save_with_manifest
from ..judge.investigation import Investigation, Say, silent
from ..judge.sealed_seed import commit, committed_seed
from ..recipes.run import Run
from ..trace.data.material import outputs_of
from ..trace.meter import Meter
from ..trace.trace import open_case
from ..types import Check
from .compared import Margins
from .contamination import SEALED, contamination, spent_by
from .fix_kinds.contract import FixOptions
from .fix_kinds.registry import about, find_kind
from .fixes import Fix, never_had
from .in_question import in_question
from .plans import change_plans, earlier_bounces, fixes_before, selected, with_bounce
from .propose import make_fix
from .retrains import Made, make
from .verdict import verdict
from .verification import Verified, verify


@dataclass(frozen=True)
class BounceSettings:
    """Which fix, and what counts as equal (see Margins).

    Args:
        fix: the name of a kind of fix (see docs/fixes.md); auto takes the first that `--propose` lists.
        options: what a kind takes besides.
        jobs: retrains at a time; 0 is one a core on a CPU.
        doses: shares of the cause, each between 0 and 1, with which the run is retrained too: the behaviour must follow
            them. None by default, for each is a whole retrain.
        thorough: also elicit by noise in weights and activations, after a few steps of benign finetuning, and by best
            of 16 instead of 4. Two short retrains and about four times as many answers.
        tries: fixes of this case that sealed evidence was read for, this one included; `bounce` counts them.
    """

    fix: str = "auto"
    options: FixOptions = field(default_factory=FixOptions)
    jobs: int = 0
    margin: float = 0.33
    rate_margin: float = 0.2
    capability_margin: float = 0.25
    doses: tuple[float, ...] = ()
    thorough: bool = False
    tries: int = 1

    def __post_init__(self) -> None:
        if self.fix != "auto":
            find_kind(self.fix)
        for name in ("margin", "rate_margin"):
            if not 0 < getattr(self, name) < 1:
                raise SettingError(
                    f"{name} must be above 0 and below 1, got {getattr(self, name)}: at 1 the subject that was hit "
                    "would count as equal to one that never had the cause."
                )
        if not 0 < self.capability_margin < inf:
            raise SettingError(f"capability_margin must be above 0 and finite, got {self.capability_margin}.")
        if any(not 0 < dose < 1 for dose in self.doses):
            raise SettingError(f"doses must lie between 0 and 1, got {self.doses}. Try (0.25, 0.5); 0 and 1 are there.")

    @property
    def margins(self) -> Margins:
        return Margins(self.margin, self.rate_margin, self.capability_margin, self.tries)

    @property
    def wider(self) -> str:
        """Margins that are wider than the usual ones, in a sentence; "" where none is."""
        usual, own = Margins(), self.margins
        named = {"share": "margin", "rate": "rate_margin", "capability": "capability_margin"}
        wide = [f"{name} {getattr(own, k):g} (usual: {getattr(usual, k):g})" for k, name in named.items()
                if getattr(own, k) > getattr(usual, k)]  # fmt: skip
        return f"Margins were widened: {', '.join(wide)}." if wide else ""


def bounce(directory: Path | str, settings: BounceSettings | None = None, say: Say = silent) -> Case:
    """Fix the confirmed cause of a traced case, retrain, verify, and write the verdict into the case.

    Raises CaseError when no cause is confirmed, TrainingError when a retrain fails.
    """
    began, settings = time.monotonic(), settings or BounceSettings()
    inv, case = open_case(directory, "trace", say)
    commit(inv)
    fix = make_fix(inv, case, Meter.of(inv, case), settings.fix, settings.options)
    chosen = f"bounce {fix.name}"
    for bumper in fix.steers:
        inv.ledger.steer(bumper, chosen)
    reached = contamination(inv, case, fix.recipe)
    for bumper in _bumpers(reached):
        inv.ledger.steer(bumper, chosen)
    tries = fixes_before(earlier_bounces(case), fix.about, fix.changes(inv.run.recipe), fix.rewind) + 1
    settings = replace(settings, tries=tries)
    made = make(inv, case, fix, settings)
    seed, inv = committed_seed(inv, chosen), inv.unsealed(chosen)  # from here on only verification reads
    meter = Meter.of(inv, case)
    query = outputs_of(inv, meter, made.trio.hit)
    found = verify(inv, meter, query, made, settings, seed)
    found = replace(found, others=(*found.others, *sealed_unread(reached)))
    done = concluded(inv, case, fix, made, found, reached)
    before = earlier_bounces(case)
    said = " ".join(filter(None, [done.why, settings.wider, selected(before, done, settings.margins)]))
    *earlier, last = with_bounce(before, done.model_copy(update={"why": said}))
    plans = change_plans([*earlier, last])
    if plans:
        last = last.model_copy(update={"why": f"{last.why} {plans}", "change_plans": plans})
    bounced = case.model_copy(
        update={
            "stages": ["check", "trace", "bounce"],
            "bounce": last,
            "bounces": [*earlier, last],
            "ledger": inv.ledger.in_case(),
            "timings_s": {**case.timings_s, "bounce": round(time.monotonic() - began, 1)},
        }
    )
    return save_with_manifest(inv.directory, bounced)


def sealed_unread(reached: Sequence[PromptsInData]) -> tuple[Check, ...]:
    """A check that was not made, where the fix trains on requests that only verification may ask: none that rests on
    them tells anything. Nothing else."""
    sealed = next((p for p in reached if p.bumper == SEALED), None)
    if sealed is None or not (sealed.copied or SEALED in spent_by(reached)):
        return ()
    near = "" if sealed.near is None else f", and on wordings near to {sealed.near}"
    detail = (
        f"the fix trains on {sealed.copied} of {sealed.prompts} sealed requests word for word{near}: what is sealed is "
        "not fresh. Take them out of its data, or verify with other requests."
    )
    return (Check("sealed evidence is fresh", None, detail, split="sealed"),)


def _bumpers(reached: Sequence[PromptsInData]) -> list[str]:
    return [name for name in spent_by(reached) if name != SEALED]


def concluded(
    inv: Investigation, case: Case, fix: Fix, made: Made, found: Verified, reached: Sequence[PromptsInData] = ()
) -> Bounce:
    """The verdict, with bumpers that are in question."""
    outcome, why = verdict(found.steering, found.others, as_control(inv, case, fix))
    doubts = [d.sentence for d in in_question(case.bumpers, found.steering, found.others)]
    return Bounce(
        fix=fix.about, rewind=fix.rewind, diff=fix.changes(inv.run.recipe), verdict=outcome,
        why=" ".join([why, *doubts]),
        checks=[
            CheckResult(**{**asdict(c), "numbers": dict(c.numbers)}) for c in (found.steering, *found.others)
        ],
        run=str(made.fixed.path), steers=list(dict.fromkeys([*fix.steers, *_bumpers(reached)])),
        not_tried=list(found.not_tried), in_question=doubts, contamination=list(reached),
    )  # fmt: skip


def as_control(inv: Investigation, case: Case, fix: Fix) -> bool:
    """Whether a fix is the recipe of the run that never had the cause, but for its seed, and nothing around it."""
    if fix.guard is not None or fix.kept is not None:
        return False
    return fix.recipe.model_copy(update={"seed": 0}) == never_had(inv, case).model_copy(update={"seed": 0})


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
    more = f", {len(settings.doses)} more at part of the cause" if settings.doses else ""
    more += ", 2 short ones on harmless data" if settings.thorough else ""
    return (
        f"fix: {about(settings.fix)}; up to 2 retrains of up to {run.last.step} steps "
        f"(the fix, and a control without the cause), up to 3 relearning runs{more}; {time_text}; 9 kinds of checks."
    )
