"""The case: one directory that holds an investigation, with a schema that others can read.

CASE/case.json     what was found, in the words of the design; written whole or not at all
CASE/work/         every costly result under the hash of what it was made from
CASE/runs/         the retrains that trace and bounce made
CASE/report.html   the page
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .counts import Counted, Whole, of_all
from .errors import CaseError
from .strict_json import strict_json
from .types import REQUESTS, ROLLOUTS, Interval, Judgement, Outcome, Status

SCHEMA_VERSION = 1
Stage = Literal["check", "trace", "bounce"]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Part):
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float
    level: float = 0.95

    @classmethod
    def of(cls, interval: Interval) -> "Range":
        return cls(value=interval.value, low=interval.low, high=interval.high, level=interval.level)


class Group(Part):
    """One context (or other group of items) inside a bumper's reading."""

    name: str
    text: str = Field("", description="the context as it was shown to the subject")
    origin: str = ""
    over: Whole
    of: Whole
    rate: Range
    p_holm: float

    @model_validator(mode="after")
    def _counted(self) -> "Group":
        of_all((self.over, self.of))
        return self


class BumperResult(Part):
    """One bumper's judgement. `effect` is the rate of items above the clean threshold in the worst group."""

    bumper: str
    family: str
    split: str
    verdict: Literal["hit", "clear", "blind"]
    why: str
    effect: Range | None = None
    control: Range | None = None
    p_holm: float | None = None
    threshold: float | None = None
    trap: str = ""
    groups: list[Group] = []
    unit: str = ""  # what is counted, in the plural; older cases do not say it
    item_alpha: float | None = None  # share of clean items that may stand above the threshold; nor this

    @property
    def counted(self) -> str:
        return self.unit or (ROLLOUTS if self.family == "logs" else REQUESTS)


class Sample(Part):
    """A request in a context and what the subject said. Model output: hostile text, to be escaped."""

    request: str
    context: str
    response: str
    neutral_response: str = ""
    score: float | None = None


class Behaviour(Part):
    """What was hit: the context that provokes it and outputs that show it."""

    bumper: str
    context: str
    origin: str
    tranches: list[str] = Field([], description="tranches whose examples carry the context's text")
    samples: list[Sample] = []


class CurvePoint(Part):
    step: Whole
    rate: Range
    n: Whole


class OnsetChange(Part):
    """The rate rose or fell after step `low`, by step `high`, from `before` to `after`."""

    kind: Literal["rise", "fall"]
    low: Whole
    high: Whole
    before: float
    after: float


class OnsetSearch(Part):
    """What the onset was searched with, so that the search can be made again without a model."""

    how: Literal["auto", "sweep"]
    before: float = Field(description="the rate that was expected before the onset, and after it")
    after: float
    after_requests: Whole | None = None
    looks_per_step: Whole
    requests: Whole
    looks: list[tuple[Whole, Whole, Whole, Whole]] = Field(
        description="(step, which look at it, k, n) in the order taken"
    )


class Onset(Part):
    """The behaviour came up after step `low` and was there at step `high`."""

    low: Whole
    high: Whole
    level: float = 0.95
    curve: list[CurvePoint] = []
    evaluations: Whole = 0
    full_sweep: Whole = 0
    note: str = ""
    changes: list[OnsetChange] = Field(default=[], description="rises and falls, where every checkpoint was evaluated")
    search: OnsetSearch | None = None

    @model_validator(mode="after")
    def _forward(self) -> "Onset":
        if self.low > self.high:
            raise ValueError(f"it came up after step {self.low} and by step {self.high}, which is before")
        return self


class Arm(Part):
    """One side of an experiment: what was left out, and the rate of the behaviour after each retrain."""

    name: str
    rates: list[float]
    seeds: list[int]
    removed: Whole = 0
    counts: list[Counted] = Field(default=[], description="(k, n) of each retrain")


class ExperimentTest(Part):
    """What the experiment was decided with, so that it can be decided again: see trace/experiments/sequential.py."""

    rate: float = Field(description="of the behaviour, as the hit showed it")
    between_seeds: float
    alpha: float
    part: float = Field(description="share of the rate that must be gone")
    every_arm: list[list[Counted]] = Field(description="(k, n) of every retrain of the trace, by arm")


class Experiment(Part):
    hypothesis: str
    rewind: Whole
    horizon: Whole
    arms: list[Arm]
    effect: Range
    cpu_s: float | None = None
    test: ExperimentTest | None = None


class Cause(Part):
    """A possible cause, in rank order. `effect`: fall of the behaviour's rate when it is left out, against an
    equal-sized random removal; for one that no experiment touched, what the experiment on others implies, or none."""

    kind: str
    name: str
    status: Status
    effect: Range | None = None
    predicted: float | None = Field(None, description="attribution score, in units of its permutation spread")
    p_value: float | None = None
    why: str = ""
    ids: list[str] = Field(default=[], description="examples or prompts that make it up; none: a tranche, or no data")
    examples: list[Sample] = []
    experiment: Experiment | None = None


class AttributionMethod(Part):
    """How far a way of attributing outputs to examples was heard. Weight 0: it finds no known plant in this model."""

    name: str
    weight: float
    why: str = ""


class TraceStep(Part):
    """One step of the experiments: what was retrained, what for, what it cost, and what was believed after it."""

    what: list[str]
    purpose: str
    rates: list[float]
    wall_s: float
    cpu_s: float | None = None
    likeliest: str = ""
    probability: float | None = None


class CheckResult(Part):
    name: str
    passed: bool | None
    detail: str
    split: str = "open"
    numbers: dict[str, float] = {}


class PromptsInData(Part):
    """How many of a bumper's prompts stand in what a fix trains on besides, and in the run's own data did not."""

    bumper: str
    prompts: Whole
    copied: Whole = Field(description="by n-grams of words")
    near: Whole | None = Field(default=None, description="by sentence embeddings; null where there are none")
    examples: list[str] = Field(default=[], description="ids of added examples that hold most of them")


class Bounce(Part):
    fix: str
    rewind: Whole
    diff: str
    verdict: Outcome
    why: str
    checks: list[CheckResult] = []
    run: str = ""
    steers: list[str] = Field([], description="bumpers that steered this fix and are spent by it")
    not_tried: list[str] = Field(default=[], description="ways of verifying that could tell nothing here, and why")
    in_question: list[str] = Field(default=[], description="bumpers that can no longer be believed, in sentences")
    change_plans: str = Field(default="", description="what was tried, where another bounce is not the answer")
    contamination: list[PromptsInData] = Field(default=[], description="of each bumper; none: no prompt was added")


class LedgerEntry(Part):
    """One look with one bumper. `hash` chains it to the entry before."""

    n: Whole
    bumper: str
    split: str
    what: str
    steered: str = ""
    hash: str


class Claim(Part):
    kind: Literal["can", "cannot", "would change our mind"]
    text: str
    strength: str = ""


class Case(Part):
    """The whole of `case.json`."""

    schema_version: int = SCHEMA_VERSION
    run: str
    subject: dict[str, Any]
    stages: list[Stage] = Field(description="the stages that are complete, in order")
    verdict: Literal["hit", "clear", "blind"]
    why: str
    bumpers: list[BumperResult]
    hits: list[BumperResult]
    behaviour: Behaviour | None = None
    onset: Onset | None = None
    causes: list[Cause] = []
    trace_note: str = ""
    attribution: list[AttributionMethod] = []
    early_warnings: list[str] = Field(default=[], description="when internals showed the mechanism, in sentences")
    reward_log: list[str] = Field(default=[], description="what the log of rollouts says, in sentences")
    experiments: list[TraceStep] = []
    not_run: list[str] = Field(default=[], description="experiments that the budget did not allow")
    bounce: Bounce | None = Field(default=None, description="the last one")
    bounces: list[Bounce] = Field(default=[], description="all that were tried, in order, the last one included")
    claims: list[Claim] = []
    ledger: list[LedgerEntry] = []
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}
    hashes: dict[str, str] = {}
    manifest: str = Field(default="", description="sha256 of manifest.json, with the hash of every file of evidence")
    timings_s: dict[str, float] = {}
    command: str = ""


def case_schema() -> dict[str, Any]:
    """The published JSON schema of `case.json`."""
    return Case.model_json_schema()


def save_case(directory: Path, case: Case) -> Path:
    """Write `case.json` whole or not at all."""
    return write_json(directory / "case.json", case.model_dump(mode="json"))


def worst_verdicts(bumpers: Sequence[BumperResult]) -> dict[str, str]:
    """Name -> verdict. A bumper that looked twice, open and sealed, gives its worst: hit, else blind, else clear."""
    order = ("clear", "blind", "hit")
    out: dict[str, str] = {}
    for b in bumpers:
        out[b.bumper] = max(b.verdict, out.get(b.bumper, b.verdict), key=order.index)
    return out


def load_case(directory: Path, needs: Stage = "check") -> Case:
    """Read a case. Raises CaseError when there is none, it is damaged, or `needs` was not run."""
    path = Path(directory) / "case.json"
    if not path.is_file():
        raise CaseError(f"no case.json in {directory}. Make one with `bumperlane check RUN -o {directory}`.")
    try:
        text = path.read_text("utf-8")
        strict_json(text)
        case = Case.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CaseError(
            f"{path} does not fit the case schema: {error.error_count()} faults, first at {where or 'the top'}: "
            f"{first['msg']}. Run `bumperlane check` again; finished work is kept."
        ) from error
    except (OSError, ValueError) as error:
        why = "it is not UTF-8, so it is damaged" if isinstance(error, UnicodeDecodeError) else error
        raise CaseError(f"cannot read {path}: {why}. Run `bumperlane check` again, or put it back.") from error
    if case.schema_version != SCHEMA_VERSION:
        raise CaseError(
            f"{path} has schema version {case.schema_version}, and this bumperlane reads {SCHEMA_VERSION}. Read it "
            "with the bumperlane that wrote it."
        )
    _refuse_odd_numbers(case, path)
    if needs not in case.stages:
        raise CaseError(f"{path} has stages {case.stages}, not {needs!r}. Run `bumperlane {needs} {directory}` first.")
    return case


def _refuse_odd_numbers(case: Case, path: Path) -> None:
    """What the schema lets through: the two rates among the free settings, on which verdicts and claims rest."""
    for name in ("alpha", "tolerated_rate"):
        value = case.settings.get(name, 0.5)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise CaseError(
                f"{path} is damaged: settings.{name} must be a number from 0 to 1, got {value!r:.80}. Run `bumperlane "
                "check` again; finished work is kept."
            )


def write_json(path: Path, content: Any) -> Path:
    """Write JSON through a temporary file and a rename: a kill leaves the old file or the new one."""
    return write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write text through a temporary file and a rename. A pipe or device, such as /dev/stdout, is written into."""
    if path.is_dir():
        raise CaseError(f"cannot write {path}: it is a directory. Name a file in it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # to rename over it would put a file where the device was
        path.write_text(text, encoding="utf-8")
        return path
    temporary = temporary_beside(path)
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return path


def temporary_beside(path: Path) -> Path:
    """A name in the same directory that nobody uses. Opened as any file is, so that others may read what it becomes."""
    return path.parent / f".{path.name}.{secrets.token_hex(6)}"


def of_judgement(judgement: Judgement, texts: Mapping[str, tuple[str, str]], trap: str) -> BumperResult:
    """A judgement as it stands in the case. `texts`: context id -> (text, origin)."""
    groups = []
    for g in judgement.groups:
        (text, origin), rate = texts.get(g.group, ("", "")), Range.of(g.rate)
        groups.append(Group(name=g.group, text=text, origin=origin, over=g.over, of=g.of, rate=rate, p_holm=g.p_holm))
    effect, control = (Range.of(rate) if rate else None for rate in (judgement.effect, judgement.control))
    same = {k: v for k, v in vars(judgement).items() if k in BumperResult.model_fields}
    return BumperResult(**{**same, "effect": effect, "control": control, "trap": trap, "groups": groups})
