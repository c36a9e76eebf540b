"""`claims.yaml`: sentences bound to evidence. They compile to text and grades, or fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..case import Part
from ..errors import BumperlaneError, EvidenceError
from ..judge.rates import exact_interval, rate_difference
from ..recipes.provenance import content_key
from ..recipes.yaml_lines import LinedYaml
from .assess import Assessment, assess, exit_code
from .evidence import Evidence
from .from_case import ABOUT, case_evidence
from .grades import Grade
from .parts import Costs, Moment
from .read_evidence import build, read_evidence, read_lined
from .rule_kinds.cause import effect_of
from .sealing import plan_evidence
from .templates import render
from .weaken import rate_bound_of


class FromCase(Part):
    """Evidence that a case holds."""

    about: Literal["rate", "treated", "cause"]
    name: str = Field(default="", description="the bumper, or the cause; else the first")
    path: str = Field(default="", description="the case; else the one given with --case")


class ClaimEntry(Part):
    """One sentence, and where its evidence lies."""

    text: str = Field(min_length=1)
    id: str = ""
    evidence: str | dict[str, Any] | None = Field(default=None, description="a file (FILE or FILE#id), or the evidence")
    case: FromCase | None = None
    more: dict[str, Any] = Field(default={}, description="parts laid over the evidence, such as access or review")
    plan: str | None = Field(default=None, description="a plan that was sealed")
    threshold: str = Field(default="", description="name of the claim's threshold in the plan")
    first_sample_at: Moment | None = None
    state_as: Literal["SUPPORTED", "WEAK"] = Field(
        default="SUPPORTED", description="the grade that the claim admits to"
    )


class ClaimsFile(Part):
    """The whole of `claims.yaml`."""

    claims: list[ClaimEntry] = Field(min_length=1)
    costs: Costs | None = None


@dataclass(frozen=True)
class Compiled:
    """One claim as compiled: its sentence, the grade that it was stated with, and what the rules say."""

    id: str
    text: str
    state_as: Literal["SUPPORTED", "WEAK"]
    assessment: Assessment
    evidence_key: str

    @property
    def stands(self) -> bool:
        return exit_code([(self.assessment.grade, self.state_as)]) == 0

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "text": self.text, "state_as": self.state_as, "stands": self.stands,
                "evidence_sha256": self.evidence_key, **self.assessment.as_dict()}  # fmt: skip


def compile_claims(file: Path, case: Path | None = None, on: date | None = None) -> list[Compiled]:
    """Compile every claim of a file.

    Raises EvidenceError, with file and line, for a number in the prose that is not computed, or that cannot be.
    """
    lined = read_lined(file, "file of claims", "claims: ...")
    if "claim" in lined.data and "claims" not in lined.data:
        raise lined.place.at("claim", on="key").fault(
            "this is the evidence of a claim, not sentences about it. Grade it with "
            f"`bumperlane claims critique {file}`, or name it in a file with `claims: "
            f"[{{evidence: {file.name}, text: ...}}]`.",
            EvidenceError,
        )
    content = build(ClaimsFile, lined.data, lined)
    return [
        _compiled(entry, content.costs, Source(lined, i, file.parent, case), on)
        for i, entry in enumerate(content.claims)
    ]


def codes(compiled: Sequence[Compiled]) -> int:
    """The exit code of them all: 0 when each is as good as it is stated, 1 when one is not, 3 when only untested."""
    return exit_code([(c.assessment.grade, c.state_as) for c in compiled])


@dataclass(frozen=True)
class Source:
    """Where an entry stands."""

    lined: LinedYaml
    index: int
    folder: Path
    case: Path | None

    def fault(self, message: str, *keys: int | str) -> BumperlaneError:
        """An error in the place of a key of the entry."""
        return self.lined.place.at("claims", self.index, *keys).fault(message, EvidenceError)


def _compiled(entry: ClaimEntry, costs: Costs | None, source: Source, on: date | None) -> Compiled:
    e = _evidence(entry, source)
    if costs is not None and not e.costs.each:
        e = e.model_copy(update={"costs": costs})
    found = assess(e, on)
    try:
        text = render(entry.text.strip(), values(e, found))
    except EvidenceError as error:
        raise source.fault(str(error), "text") from error
    return Compiled(entry.id or e.claim.id or f"claim-{source.index + 1}", text, entry.state_as, found,
                    content_key(e.model_dump(mode="json")))  # fmt: skip


def _evidence(entry: ClaimEntry, source: Source) -> Evidence:
    if (entry.evidence is None) == (entry.case is None):
        raise source.fault("a claim has either `evidence` or `case`. Give one of the two.")
    for key in ("threshold", "first_sample_at"):
        if entry.plan is None and getattr(entry, key):
            raise source.fault(f"{key!r} is of a plan, and none is named. Add `plan: FILE`.", key)
    data = _of_case(entry.case, source) if entry.case else _given(entry.evidence, source)
    if entry.plan is not None:
        plan = plan_evidence(source.folder / entry.plan, entry.threshold, entry.first_sample_at)
        data = {**data, "plan": plan.model_dump()}
    for key, part in entry.more.items():
        data[key] = {**data[key], **part} if isinstance(data.get(key), dict) and isinstance(part, dict) else part
    inline = isinstance(entry.evidence, dict)
    return build(Evidence, data, source.lined, ("claims", source.index, "evidence" if inline else "more"))


def _given(given: str | dict[str, Any] | None, source: Source) -> dict[str, Any]:
    if isinstance(given, dict):
        return dict(given)
    name, _, wanted = str(given).partition("#")
    held = read_evidence(source.folder / name)
    if not wanted and len(held) == 1:
        return held[0].model_dump(exclude_defaults=True)
    for e in held:
        if wanted and e.claim.id == wanted:
            return e.model_dump(exclude_defaults=True)
    known = ", ".join(e.claim.id or "(without id)" for e in held)
    raise source.fault(f"{name} has no claim {wanted!r}. It holds: {known}. Write {name}#ID.", "evidence")


def _of_case(wanted: FromCase, source: Source) -> dict[str, Any]:
    directory = source.folder / wanted.path if wanted.path else source.case
    if directory is None:
        raise source.fault("the claim is about a case, and none is given. Pass --case CASE, or write `path:`.", "case")
    return case_evidence(directory, wanted.about, wanted.name).model_dump(exclude_defaults=True)


def values(e: Evidence, found: Assessment) -> dict[str, Any]:
    """What a sentence may name: the evidence, and what follows from it."""
    out: dict[str, Any] = e.model_dump()
    level, control, other = e.claim.level, e.positive_control, e.comparator
    out["bound"] = rate_bound_of(e)
    out["recall"] = _ends(exact_interval(control.flagged, control.of, level)) if control else None
    counted = e.counts if e.counts and e.counts.of else None
    out["rate"] = _ends(exact_interval(counted.bad, counted.of, level)) if counted else None
    out["difference"] = (
        _ends(rate_difference(counted.bad, counted.of, other.bad, other.of, level))
        if counted and other and other.of
        else None
    )
    effect = effect_of(e.cause, level) if e.cause else None
    out["effect"] = _ends(effect) if effect else None
    out["grade"], out["can_be_said"], out["assessed"] = found.grade, found.weakened.text, found.on
    return out


def _ends(interval: Any) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def as_text(compiled: Sequence[Compiled]) -> str:
    """What a reader gets: each claim with its grade, what holds it down, what can be said, what to get next."""
    return "\n\n".join(assessment_text(c.assessment, c.text, c.state_as) for c in compiled) + "\n"


def assessment_text(a: Assessment, claimed: str, state_as: Grade = "SUPPORTED", most: int = 6) -> str:
    """One claim in plain text."""
    stated = f" (stated as {state_as})" if state_as != "SUPPORTED" else ""
    lines = [f"{a.grade}{stated}  {claimed}"]
    for grade in ("NOT SUPPORTED", "UNTESTED", "WEAK"):
        lines += [f"  {f.code} {grade}: {f.why}" for f in a.at(grade)]
    lines.append(f"  met: {', '.join(f.code for f in a.at('SUPPORTED')) or 'none'}")
    if not a.weakened.holds:
        lines.append(f"  What can be said: {a.weakened.text}")
        if a.weakened.provided:
            lines.append(f"    provided that: {'; '.join(f'{text} ({code})' for code, text in a.weakened.provided)}.")
    lines += _following(a, most)
    return "\n".join([*lines, *(f"  note: {note}" for note in a.notes)])


def _following(a: Assessment, most: int) -> list[str]:
    """What to get next. Facts that only have to be written down cost nothing: they stand first, together."""
    if not a.next:
        return []
    facts = [n for n in a.next if n.unit == "statement"]
    others = [n for n in a.next if n.unit != "statement"]
    said = "; ".join(f"{n.what} ({', '.join(n.codes)})" for n in facts)
    lines = ["  Cheapest next evidence:", *([f"    to be written down: {said}."] if facts else [])]
    lines += [f"    {i}. {n.text}{_price(n.cost, a.cost_unit)}" for i, n in enumerate(others[:most], start=1)]
    return [*lines, *([f"    and {len(others) - most} more (--json lists them all)"] if len(others) > most else [])]


def _price(cost: float | None, unit: str) -> str:
    return " [no price given]" if cost is None else f" [costs {cost:,.4g}{' ' if unit else ''}{unit}]"


__all__ = ["ABOUT", "ClaimEntry", "ClaimsFile", "Compiled", "as_text", "assessment_text", "codes", "compile_claims"]
