"""A plan sealed before the first sample: its hash, when, what shows the time, and every later deviation from it."""

import math
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from .. import __version__
from ..case import Part, write_json
from ..errors import EvidenceError
from ..recipes.provenance import content_key, sha256_file
from .parts import PlanEvidence
from .read_evidence import build, read_lined

BEGIN = "claim: ..."
GIT_S = 20.0


PLAN_FILE = "plan.yaml"  # of a case
GEN_TIME = re.compile(rb"\x18.(\d{14})(?:\.\d+)?Z", re.DOTALL)  # ASN.1 GeneralizedTime: tag, length, text


class Plan(Part):
    """What is fixed before the first sample. `notes` may change; nothing else may."""

    claim: str = Field(min_length=1, description="what is to be claimed")
    thresholds: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        min_length=1, description="name -> value"
    )
    samples: dict[str, Annotated[int, Field(ge=0)]] = Field(
        min_length=1,
        description="what -> how many; compared with the evidence: items, planted, clean, comparator, retrains, runs",
    )
    analysis: str | list[Any] | dict[str, Any] = Field(description="what is computed, and what counts as a pass")
    bumpers: list[str] = []
    evidence: list[str] = Field(default=[], description="files or folders where samples will lie")
    notes: str = ""

    @field_validator("analysis")
    @classmethod
    def _only_numbers_that_can_be_sealed(cls, value: Any) -> Any:
        """JSON has no infinity: it would be sealed as null, which every other infinity would match."""
        odd = next((k for k, v in _leaves(value) if isinstance(v, float) and not math.isfinite(v)), None)
        if odd is not None:
            raise ValueError(f"{odd or 'it'} is infinite or not a number, which no seal can hold. Write it in words")
        return value

    @property
    def sealed_content(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"notes"})


class Git(Part):
    """The repository's state when the plan was sealed. A commit shows the time only if the plan is in it."""

    commit: str
    committed_at: str
    plan_in_commit: bool


class Timestamp(Part):
    """A third party's proof of time, kept as it is: an RFC 3161 token, an OpenTimestamps file. Its signature is not
    checked here; that it holds the plan's hash is."""

    file: str
    sha256: str


class Seal(Part):
    """The whole of `PLAN.sealed.json`."""

    schema_version: int = 1
    sha256: str
    plan: dict[str, Any]
    sealed_at: datetime
    git: Git | None = None
    timestamp: Timestamp | None = None
    samples_there: list[str] = Field(default=[], description="samples that lay there already: sealed after the first")
    bumperlane: str = __version__


@dataclass(frozen=True)
class Deviation:
    """One field that is not as it was sealed. None: not there."""

    field: str
    sealed: Any
    now: Any

    @property
    def text(self) -> str:
        was, now = ("nothing" if x is None else repr(x) for x in (self.sealed, self.now))
        return f"{self.field}: {was} was sealed, now {now}"


def read_plan(file: Path) -> Plan:
    """Raises EvidenceError with file, line, and for an unknown key the nearest valid one."""
    lined = read_lined(file, "plan", BEGIN)
    return build(Plan, lined.data, lined)


def sealed_file(plan: Path) -> Path:
    """plan.yaml -> plan.sealed.json, beside it."""
    return plan.with_name(f"{plan.stem}.sealed.json")


def seal(file: Path, timestamp: Path | None = None, now: datetime | None = None) -> Seal:
    """Seal a plan, and write the seal beside it.

    A seal that is there for the same plan keeps its time. A timestamp may be added to it later, for one can only be
    made of a hash that is known, and so may the commit that first holds the plan: each shows its own time.

    Raises EvidenceError where the plan differs from one that is sealed already, or the timestamp is of something else.
    """
    plan, where = read_plan(file), sealed_file(file)
    key = content_key(plan.sealed_content)
    stamp = _stamp(timestamp, key, file.parent) if timestamp else None
    if where.exists():
        held = read_seal(file)
        if held.sha256 != key:
            raise EvidenceError(
                f"{where} seals another plan ({held.sha256[:12]}, this one is {key[:12]}). A plan is sealed once: see "
                f"what was changed with `bumperlane plan check {file}`, and give a new plan a new name."
            )
        git = held.git if held.git and held.git.plan_in_commit else _git(file) or held.git
        made = held.model_copy(update={"timestamp": stamp or held.timestamp, "git": git})
        if made == held:
            return held
    else:
        made = Seal(sha256=key, plan=plan.sealed_content, sealed_at=now or datetime.now(UTC), git=_git(file),
                    timestamp=stamp, samples_there=samples_there(plan, file.parent))  # fmt: skip
    write_json(where, made.model_dump(mode="json"))
    return made


def read_seal(file: Path) -> Seal:
    """The seal of a plan. Raises EvidenceError where there is none, or it does not hold what it says."""
    where = sealed_file(file)
    if not where.is_file():
        raise EvidenceError(
            f"there is no {where}: the plan was never sealed. Seal it with `bumperlane plan seal {file}`."
        )
    try:
        found = Seal.model_validate_json(where.read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise EvidenceError(
            f"{where} is no seal: {str(error).splitlines()[0]}. Put back the one that was made."
        ) from error
    if content_key(found.plan) != found.sha256:
        raise EvidenceError(
            f"{where} was changed: its plan has the hash {content_key(found.plan)[:12]}, and {found.sha256[:12]} is "
            "written. Do not rely on it; put back the one that was made."
        )
    stamp = found.timestamp
    if stamp and (where.parent / stamp.file).is_file() and sha256_file(where.parent / stamp.file) != stamp.sha256:
        raise EvidenceError(f"{where.parent / stamp.file} is not the timestamp that was sealed. Put that one back.")
    return found


def deviations(file: Path) -> list[Deviation]:
    """What differs between a plan and its seal, field by field. Raises EvidenceError where there is no whole seal."""
    was, now = _flat(read_seal(file).plan), _flat(read_plan(file).sealed_content)
    return [Deviation(k, was.get(k), now.get(k)) for k in dict.fromkeys((*was, *now)) if was.get(k) != now.get(k)]


def sealed_value(directory: Path, value: float) -> str:
    """How a threshold of this value was sealed by the plan in a case, as in `plan 3f2a91c0 of 2026-03-01`; empty where
    no plan in force there has it: none was sealed, or it was changed since, or sealed after the first sample."""
    plan = directory / PLAN_FILE
    if not plan.is_file() or not sealed_file(plan).is_file():
        return ""
    try:
        found = read_seal(plan)
        off = bool(deviations(plan) or found.samples_there)
    except EvidenceError:
        return ""  # `claims verify` says what is wrong with it
    held = value in found.plan["thresholds"].values()
    return f"plan {found.sha256[:8]} of {found.sealed_at:%Y-%m-%d}" if held and not off else ""


def plan_evidence(file: Path, threshold: str = "", first_sample_at: datetime | None = None) -> PlanEvidence:
    """What rule C01 may read of a sealed plan.

    Args:
        threshold: the name of the claim's threshold in the plan; may be left out where the plan has one.

    Raises EvidenceError for a name that the plan does not have.
    """
    found = read_seal(file)
    thresholds: dict[str, float] = found.plan["thresholds"]
    if threshold and threshold not in thresholds:
        raise EvidenceError(f"{file} seals no threshold {threshold!r}. It has: {', '.join(thresholds)}.")
    if not threshold and len(thresholds) > 1:
        raise EvidenceError(f"{file} seals {len(thresholds)} thresholds. Say which one: {', '.join(thresholds)}.")
    name = threshold or next(iter(thresholds))
    samples = dict(found.plan["samples"])
    if name in samples and "items" not in samples:  # sealed for this threshold by its name
        samples["items"] = samples.pop(name)
    first = first_sample_at.replace(tzinfo=first_sample_at.tzinfo or UTC) if first_sample_at else None
    proof = ["timestamp"] if _shows_time(file, found, first) else []
    if (
        found.git
        and found.git.plan_in_commit
        and not (first and datetime.fromisoformat(found.git.committed_at) >= first)
    ):
        proof.append("git")
    return PlanEvidence(
        sha256=found.sha256, sealed_at=found.sealed_at, first_sample_at=first_sample_at,
        after_first_sample=bool(found.samples_there), threshold=thresholds[name], samples=samples,
        deviations=[d.text for d in deviations(file)], proof=proof,  # type: ignore[arg-type]
    )  # fmt: skip


def samples_there(plan: Plan, folder: Path) -> list[str]:
    """Evidence paths of the plan where something lies, with how many files and the earliest time."""
    out = []
    for name in plan.evidence:
        path = folder / name
        files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path] if path.is_file() else []
        full = [f for f in files if f.stat().st_size]
        if full:
            first = datetime.fromtimestamp(min(f.stat().st_mtime for f in full), UTC)
            out.append(f"{name}: {len(full)} file{'s' if len(full) > 1 else ''}, the first of {first:%Y-%m-%d %H:%M}")
    return out


def _stamp(file: Path, key: str, folder: Path) -> Timestamp:
    """Check that it is of this plan, and keep it beside the seal."""
    if not file.is_file():
        raise EvidenceError(f"there is no timestamp {file}. Correct the path.")
    content = file.read_bytes()
    if bytes.fromhex(key) not in content and key.encode() not in content.lower():
        raise EvidenceError(
            f"{file} does not hold the plan's hash {key}, so it is a timestamp of something else. Ask for one of this "
            f"hash, such as with `openssl ts -query -digest {key} -sha256 -cert`."
        )
    kept = folder / file.name
    if kept.resolve() != file.resolve():
        if kept.exists() and kept.read_bytes() != content:
            raise EvidenceError(f"{kept} is there already and is another one. Rename one of the two.")
        kept.write_bytes(content)
    return Timestamp(file=kept.name, sha256=sha256_file(kept))


def _shows_time(file: Path, found: Seal, first: datetime | None) -> bool:
    """Whether a timestamp lies there that does not say itself that it is of after the first sample."""
    token = file.parent / found.timestamp.file if found.timestamp else None
    if token is None or not token.is_file():
        return False
    at = _stamped_at(token.read_bytes(), bytes.fromhex(found.sha256))
    return first is None or at is None or at < first


def _stamped_at(token: bytes, digest: bytes) -> datetime | None:
    """genTime of an RFC 3161 token: the first GeneralizedTime after the hash that it stamps (TSTInfo, section 2.4.2).
    None for a file of another kind, whose time cannot be told here."""
    found = GEN_TIME.search(token, max(0, token.find(digest)))
    try:
        return datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _flat(content: Any, at: str = "") -> dict[str, Any]:
    if isinstance(content, dict) and content:
        return {k: v for name, part in content.items() for k, v in _flat(part, f"{at}.{name}" if at else name).items()}
    return {at: content}


def _leaves(content: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in lists and mappings, keys as well."""
    if isinstance(content, dict):
        for key, part in content.items():
            yield at, key
            yield from _leaves(part, f"{at}.{key}" if at else str(key))
    elif isinstance(content, list | tuple | set):
        for i, part in enumerate(content):
            yield from _leaves(part, f"{at}.{i}" if at else str(i))
    else:
        yield at, content


def _git(file: Path) -> Git | None:
    """None outside of a repository, or without git."""

    def ask(*words: str) -> bytes | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(file.parent.absolute()), *words], capture_output=True, timeout=GIT_S
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    commit, at = ask("rev-parse", "HEAD"), ask("show", "-s", "--format=%cI", "HEAD")
    if commit is None or at is None:
        return None
    inside = ask("show", f"HEAD:./{file.name}") == file.read_bytes()
    return Git(commit=commit.decode().strip(), committed_at=at.decode().strip(), plan_in_commit=inside)
