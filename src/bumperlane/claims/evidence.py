"""All that is known about one claim, as one frozen record. What it does not hold was not shown."""

from collections import Counter
from typing import Any

from pydantic import Field, model_validator

from ..case import Part
from .parts import (
    Access,
    Attempts,
    Awareness,
    BumperEvidence,
    CauseEvidence,
    Comparator,
    Control,
    Costs,
    Counted,
    Counts,
    Dates,
    IndependenceEvidence,
    ItemResult,
    PlanEvidence,
    Review,
    Rung,
    Safeguard,
    Scope,
    ScorerEvidence,
    Statement,
    Transcripts,
)


class Evidence(Part):
    """What a rule may read. Published as a JSON schema by `bumperlane schema evidence`."""

    claim: Statement
    plan: PlanEvidence | None = None
    counts: Counts | None = None
    items: list[ItemResult] = []
    clusters: dict[str, list[Counted]] = Field(
        default={}, description="label -> counts of each cluster, in place of items"
    )
    attempts: Attempts | None = None
    positive_control: Control | None = None
    negative_control: Control | None = None
    bumpers: list[BumperEvidence] = []
    independence: IndependenceEvidence | None = None
    elicitation: list[Rung] = []
    awareness: Awareness | None = None
    scorer: ScorerEvidence | None = None
    comparator: Comparator | None = None
    tested: Scope | None = Field(default=None, description="what was in fact tested")
    dates: Dates | None = None
    safeguards: list[Safeguard] = []
    cause: CauseEvidence | None = None
    review: Review | None = None
    transcripts: Transcripts | None = None
    access: Access | None = None
    costs: Costs = Costs()
    notes: list[str] = Field(default=[], description="what a reader of another format could not carry over")

    @model_validator(mode="after")
    def _counts_agree(self) -> "Evidence":
        """The same items counted twice must give the same numbers."""
        if self.items:
            often = Counter(i.id for i in self.items)
            twice = min((i for i, n in often.items() if n > 1), default=None)
            if twice is not None:
                raise ValueError(f"item {twice!r} stands {often[twice]} times in items; ids must differ")
        given = (self.counts.bad, self.counts.of) if self.counts else None
        sums = {"items": (sum(i.bad for i in self.items), len(self.items))} if self.items else {}
        sums |= {f"clusters.{k}": (sum(c.bad for c in v), sum(c.of for c in v)) for k, v in self.clusters.items()}
        for name, (bad, of) in sums.items():
            if given is None:
                raise ValueError(
                    f"{name} hold {bad} bad of {of}, and there are no counts. Add counts with these numbers"
                )
            if (bad, of) != given:
                raise ValueError(f"{name} hold {bad} bad of {of}, while counts say {given[0]} of {given[1]}")
        if self.awareness and given and not 0 <= given[0] - self.awareness.bad <= given[1] - self.awareness.of:
            raise ValueError(
                f"awareness tells apart {self.awareness.bad} bad of {self.awareness.of} items, while counts say "
                f"{given[0]} of {given[1]}"
            )
        return self


def evidence_schema() -> dict[str, Any]:
    """The published JSON schema of an evidence file."""
    return Evidence.model_json_schema()
