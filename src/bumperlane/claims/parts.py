"""The pieces of evidence that a rule may read about one claim. Each may be absent: then its rule is UNTESTED."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ..case import Part, Range

ClaimKind = Literal["rate_below", "rate_above", "difference", "equivalent", "treated", "cause"]
Priced = Literal[
    "run", "items", "planted", "clean", "labels", "retrains", "comparator", "attacks", "rungs", "bumpers", "organisms"
]
LadderKind = Literal["prompt", "few-shot", "best-of-k", "finetune"]
Count = Annotated[int, Field(le=10**12)]  # beyond it is a slip, and beyond 2^63 no bound is computed
Moment = Annotated[datetime, AfterValidator(lambda t: t if t.tzinfo else t.replace(tzinfo=UTC))]  # without a zone: UTC


class Scope(Part):
    """What a rate holds for. A field that is absent is not said; an empty list says that there is none."""

    model: str | None = Field(default=None, description="name")
    model_hash: str | None = Field(default=None, description="of the weights; a name can be moved to other weights")
    system_prompt: str | None = Field(default=None, description="its text, or a hash of it")
    tools: list[str] | None = None
    safeguards: list[str] | None = None
    decoding: str | None = Field(default=None, description="temperature, attempts, limits, in words")
    contexts: str | None = Field(default=None, description="from where the items are drawn, in words")


class Statement(Part):
    """What is claimed. Rates are shares of items, in [0, 1]."""

    kind: ClaimKind
    behaviour: str = Field(min_length=1, description="what is counted as bad, in words that follow 'the rate of'")
    id: str = ""
    threshold: float | None = Field(default=None, ge=0, le=1, description="the rate is below (or above) this")
    margin: float | None = Field(
        default=None, ge=0, le=1, description="of a difference: at least; of an equivalence: at most"
    )
    direction: Literal["lower", "higher"] = Field(
        default="lower", description="of a difference, against the comparator"
    )
    effect: float | None = Field(
        default=None, ge=0, le=1, description="what the evaluation must catch; else the threshold"
    )
    level: float = Field(default=0.95, gt=0.5, lt=1)
    scope: Scope = Scope()


class Counted(Part):
    """So many of so many items."""

    bad: Count = Field(ge=0)
    of: Count = Field(ge=0)

    @model_validator(mode="after")
    def _no_more_than_there_are(self) -> "Counted":
        if self.bad > self.of:
            raise ValueError(f"bad {self.bad} is more than of {self.of}")
        return self


class Counts(Counted):
    """Items with a verdict, and those without one."""

    planned: Count | None = Field(default=None, ge=0, description="items that were to be asked")
    errors: Count | None = Field(default=None, ge=0)
    refusals: Count | None = Field(
        default=None, ge=0, description="answers that could not be scored because there was none"
    )


class ItemResult(Part):
    id: str
    bad: bool
    labels: dict[str, str] = Field(default={}, description="what it may go together with: template, seed, conversation")


class PlanEvidence(Part):
    """What is known of when the threshold was fixed. Filled from a sealed plan where one is named."""

    sha256: str = ""
    sealed_at: Moment | None = None
    first_sample_at: Moment | None = None
    after_first_sample: bool = Field(default=False, description="samples lay there when the plan was sealed")
    threshold: float | None = Field(default=None, description="as it was sealed")
    samples: dict[str, Count] = Field(
        default={},
        description="what -> how many, as sealed; items, planted, clean, comparator, retrains and runs are compared",
    )
    deviations: list[str] = Field(default=[], description="what was changed since, as `plan check` says it")
    proof: list[Literal["git", "timestamp"]] = Field(
        default=[], description="what shows the time besides the sealer's clock"
    )


class Attempts(Part):
    """How often this evaluation was run on this subject, runs that were thrown away included."""

    run: Count = Field(ge=1)
    reported: Count = Field(ge=0)
    planned: Count | None = Field(default=None, ge=1, description="how many a plan fixed before the first")
    results: list[Counted] = []


class Control(Part):
    """Planted misbehaviour that was caught, or clean items that were flagged, of so many."""

    flagged: Count = Field(ge=0)
    of: Count = Field(ge=1)
    what: str = ""
    chosen_from: Count = Field(default=1, ge=1, description="it is the most flagged of so many that were looked at")

    @model_validator(mode="after")
    def _no_more_than_there_are(self) -> "Control":
        if self.flagged > self.of:
            raise ValueError(f"flagged {self.flagged} is more than of {self.of}")
        return self


class BumperEvidence(Part):
    """A detector that the claim rests on. Sealed: nothing that made or chose this subject has read it."""

    name: str
    family: str = ""
    split: Literal["open", "sealed", "spent"]
    verdict: Literal["hit", "clear", "blind"] | None = None


class IndependenceEvidence(Part):
    """How many independent bumpers they are worth: measured on organisms, or the table to measure it from."""

    effective: Range | None = None
    caught: dict[str, dict[str, bool]] = Field(default={}, description="organism -> bumper -> caught")


class Rung(Counted):
    """One step of the elicitation ladder, from little effort to much."""

    kind: LadderKind
    name: str = ""


class Awareness(Part):
    """Items by whether the subject took them for a test."""

    aware: Counted
    unaware: Counted
    told_by: str = Field(
        default="", description="what tells them apart: a probe, a judge on its reasoning, realism of prompts"
    )

    @property
    def bad(self) -> int:
        return self.aware.bad + self.unaware.bad

    @property
    def of(self) -> int:
        return self.aware.of + self.unaware.of


class ScorerEvidence(Part):
    """What says that an answer is bad, and how it did on labelled answers."""

    kind: Literal["exact", "model", "human", "probe"]
    name: str = ""
    labelled_by: Literal["humans", "model"] | None = None
    tp: Count | None = Field(default=None, ge=0)
    fn: Count | None = Field(default=None, ge=0)
    fp: Count | None = Field(default=None, ge=0)
    tn: Count | None = Field(default=None, ge=0)


class Comparator(Counted):
    """What the subject is compared with, on what."""

    name: str
    same_items: bool | None = None
    same_settings: bool | None = None


class Dates(Part):
    tested: date | None = None
    expires: date | None = None


class Safeguard(Part):
    """A safeguard in the deployment that the claim is about. Efficacy, uptime and failing open are three things."""

    name: str
    stopped: Count | None = Field(default=None, ge=0)
    of: Count | None = Field(default=None, ge=1, description="attacks that it was tried on")
    needed: float | None = Field(default=None, ge=0, le=1, description="share that the claim needs it to stop")
    uptime: float | None = Field(default=None, ge=0, le=1)
    failed_open: Count | None = Field(default=None, ge=0, description="requests let through because it erred")
    requests: Count | None = Field(default=None, ge=1, description="requests over which fail-open was counted")


class Retrain(Part):
    """One retrain: the rate of the behaviour after it. `of` is needed for an interval of our own."""

    seed: int
    rate: float = Field(ge=0, le=1)
    of: Count | None = Field(default=None, ge=1)


class CauseEvidence(Part):
    """An experiment: retrains without the suspect, and without as much at random."""

    suspect: str
    removed: list[Retrain]
    random_removal: list[Retrain] = []
    effect: Range | None = Field(
        default=None, description="fall of the rate beyond a random removal, where it was computed"
    )


class Defeater(Part):
    """A reason why the claim may be wrong all the same."""

    text: str
    status: Literal["open", "answered", "conceded"]
    answer: str = ""


class Dissent(Part):
    by: str
    text: str
    answer: str = ""


class Review(Part):
    """Who was asked for reasons against the claim, and what they said."""

    asked: list[str]
    defeaters: list[Defeater] = []
    dissent: list[Dissent] = []


class Transcripts(Part):
    """Transcripts that are shown with the claim."""

    drawn: Count = Field(ge=0)
    of: Count = Field(ge=1)
    how: Literal["random", "chosen"]
    seed: str | None = None
    seed_fixed_at: Moment | None = None

    @model_validator(mode="after")
    def _no_more_than_there_are(self) -> "Transcripts":
        if self.drawn > self.of:
            raise ValueError(f"drawn {self.drawn} is more than of {self.of}")
        return self


class Access(Part):
    """Who ran the evaluation, what ties them to the maker, and what they could see."""

    by: str
    relation: Literal["self", "paid", "independent"] | None = None
    access: list[str] = Field(
        default=[], description="such as outputs, log-probabilities, weights, training data, finetuning"
    )
    conflicts: str = ""


class Costs(Part):
    """What one more of each would cost."""

    unit: str = ""
    each: dict[Priced, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
