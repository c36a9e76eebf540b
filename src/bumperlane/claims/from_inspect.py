"""Inspect evaluation logs (`.json` and `.eval`) as evidence, read without the library. What is not said stays out.

Source: inspect.aisi.org.uk, Log Files; the layout of version 2 logs, also with samples in chunks.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..errors import EvidenceError
from ..recipes.schema import nearest
from .evidence import Evidence

DAMAGED = (json.JSONDecodeError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError)
ODD = (AttributeError, TypeError, ValueError, OverflowError, KeyError)  # what is read has not the shape of the format
MOST_BYTES = 2**30  # of one member of a log; a zip can claim any size
EXACT = ("choice", "match", "includes", "exact", "pattern", "answer")
BY_MODEL = ("model_graded", "grader", "judge")
GRADED = {"C": 1.0, "I": 0.0, "P": 0.5}
YES, NO = ("yes", "true"), ("no", "false")


@dataclass(frozen=True)
class Asked:
    """What is claimed of a file that holds results and no claim.

    Attributes:
        kind: None: as the file suggests.
        event: whether the claim counts items that were scored right, or wrong.
        cut: a graded score above this is right; None: only 0 and 1 are counted.
        scorer: of a log that has several.
    """

    kind: Literal["rate_below", "rate_above"] | None = None
    threshold: float | None = None
    behaviour: str = ""
    event: Literal["right", "wrong"] | None = None
    cut: float | None = None
    scorer: str = ""


@dataclass(frozen=True)
class Log:
    """A log's header, and (id, epoch, scores, failed) of each sample; None where the samples are not all there."""

    head: dict[str, Any]
    samples: list[tuple[str, int, dict[str, Any], bool]] | None


def read_log(file: Path) -> Log:
    """Raises EvidenceError for a file that is no Inspect log, or is damaged."""
    try:
        head, rows = _zipped(file) if zipfile.is_zipfile(file) else _plain(file)
    except DAMAGED as error:  # encrypted, nested too deep, and compressed in an unknown way are all RuntimeError
        raise EvidenceError(
            f"{file} cannot be read as an Inspect log: {error}. If it is compressed in a newer way, write it anew with "
            "`inspect log convert FILE --to json --output-dir DIR`."
        ) from error
    if not isinstance(head, dict) or not isinstance(head.get("eval"), dict):
        raise EvidenceError(
            f"{file} is no Inspect log: it has no `eval`. It holds: {', '.join(map(str, list(head)[:8]))}."
        )
    samples = [_sample(row) for row in rows]
    total = (head.get("results") or {}).get("total_samples")
    whole = samples and (total is None or len(samples) >= total)
    return Log(head, samples if whole else None)


def inspect_evidence(file: Path, asked: Asked | None = None) -> Evidence:
    """One log as the evidence of one claim: how often items were scored right (or wrong).

    Raises EvidenceError for a file that is no Inspect log, is damaged, or holds something in an odd place.
    """
    try:
        return _evidence(file, asked)
    except ODD as error:
        raise odd(file, "an Inspect log", error) from error


def odd(file: Path, what: str, error: Exception) -> EvidenceError:
    """The error for a file that holds something else than its format has in that place."""
    told = f"something of another kind stands where the format has it ({error})"
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        told = where + first["msg"].removeprefix("Value error, ")
    return EvidenceError(f"{file} is not laid out as {what}: {told}. Correct it, or export it anew.")


def _evidence(file: Path, asked: Asked | None) -> Evidence:
    asked, log, notes = asked or Asked(), read_log(file), list[str]()
    head, spec = log.head, log.head["eval"]
    scorer = _scorer(log, asked)
    event, kind = asked.event or "right", asked.kind or "rate_above"
    task = str(spec.get("task") or file.stem)
    out: dict[str, Any] = {
        "claim": {"kind": kind, "threshold": asked.threshold, "id": task,
                  "behaviour": asked.behaviour or f"items of {task} scored {event} by {scorer}"},
        "tested": _tested(head),
        "dates": _dates(spec),
        "scorer": _kind_of_scorer(head, scorer),
    }  # fmt: skip
    if head.get("status") != "success":
        notes.append(f"The log's status is {head.get('status')!r}: items that were not run count as missing.")
    if head.get("invalidated"):
        notes.append("The log is marked as invalidated.")
    if log.samples is None:
        out["counts"] = _from_results(head, scorer, event, notes)
    else:
        out |= _from_samples(log, scorer, event, asked.cut, notes)
    if (spec.get("revision") or {}).get("dirty"):
        notes.append("It was run from a repository with changes that are not committed.")
    return Evidence.model_validate({**{k: v for k, v in out.items() if v is not None}, "notes": notes})


def _from_samples(log: Log, scorer: str, event: str, cut: float | None, notes: list[str]) -> dict[str, Any]:
    items, errors, refusals, graded = list[dict[str, Any]](), 0, 0, 0
    for id, epoch, scores, failed in log.samples or []:
        value = (scores.get(scorer) or {}).get("value") if scorer in scores else None
        right = _right(value, cut)
        if right is None:
            graded += _number(value) is not None
            errors, refusals = errors + failed, refusals + (not failed)
            continue
        items.append({"id": f"{id}/{epoch}", "bad": right == (event == "right"), "labels": {"sample": str(id)}})
    if graded:
        notes.append(f"{graded} scores lie between 0 and 1 and are counted as without a verdict: give a cut for them.")
    results = log.head.get("results") or {}
    planned = max(int(results.get("total_samples") or 0), _planned(log.head), len(log.samples or []))
    counts = {
        "bad": sum(i["bad"] for i in items),
        "of": len(items),
        "errors": errors,
        "refusals": refusals,
        "planned": planned,
    }
    return {"counts": counts, "items": items}


def _from_results(head: dict[str, Any], scorer: str, event: str, notes: list[str]) -> dict[str, Any] | None:
    """Counts behind an accuracy, where that is a whole number of items."""
    results = head.get("results") or {}
    score: dict[str, Any] = next((s for s in results.get("scores") or [] if s.get("name") == scorer), {})
    metrics = score.get("metrics") or {}
    total = int(results.get("total_samples") or 0)
    of = int(score.get("scored_samples") or results.get("completed_samples") or 0)
    value = (metrics.get("accuracy") or {}).get("value")
    notes.append("The log does not hold all of its samples: nothing says how items go together.")
    if (score.get("params") or {}).get("partial_credit") or (value is None and metrics.get("mean")):
        notes.append(f"{scorer} may score between 0 and 1, so that its mean is no count.")
        return None
    if (
        not of
        or not isinstance(value, int | float)
        or (head["eval"].get("config") or {}).get("epochs", 1) not in (1, None)
    ):
        return None
    right = round(value * of)
    if abs(right / of - value) > 1e-6:
        notes.append(f"{scorer} gives {value:.4g} of {of} items, which is no whole number of them: scores are graded.")
        return None
    return {"bad": right if event == "right" else of - right, "of": of, "planned": max(total, _planned(head), of)}


def _right(value: Any, cut: float | None) -> bool | None:
    """None: no verdict, by error, refusal (Inspect's N) or a graded score without a cut."""
    number = _number(value)
    if number is None or number != number:
        return None
    if cut is not None:
        return number > cut
    return number == 1.0 if number in (0.0, 1.0) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        if value in GRADED:
            return GRADED[value]
        if value.lower() in (*YES, *NO):
            return float(value.lower() in YES)
        return float(value) if re.fullmatch(r"-?\d+(\.\d+)?", value) else None
    return None


def _scorer(log: Log, asked: Asked) -> str:
    named = [s.get("name", "") for s in (log.head.get("results") or {}).get("scores") or []]
    named += [str(s.get("name", "")) for s in log.head["eval"].get("scorers") or []]
    named += [name for _, _, scores, _ in log.samples or [] for name in scores]
    known = list(dict.fromkeys(n for n in named if n))
    if asked.scorer and asked.scorer not in known:
        raise EvidenceError(f"the log has no scorer {asked.scorer!r}. {nearest(asked.scorer, known, 'scorers')}")
    return asked.scorer or (known[0] if known else "no scorer")


def _kind_of_scorer(head: dict[str, Any], scorer: str) -> dict[str, Any] | None:
    """Told by names that Inspect gives; a scorer of somebody's own is not known."""
    scores = (head.get("results") or {}).get("scores") or []
    score: dict[str, Any] = next((s for s in scores if s.get("name") == scorer), {})
    words = " ".join([scorer, str(score.get("scorer", "")), *map(str, score.get("params") or {})])
    if any(word in words for word in BY_MODEL):
        return {"kind": "model", "name": scorer}
    return {"kind": "exact", "name": scorer} if str(score.get("scorer") or scorer).split("/")[-1] in EXACT else None


def _tested(head: dict[str, Any]) -> dict[str, Any]:
    spec, plan, data = head["eval"], head.get("plan") or {}, head["eval"].get("dataset") or {}
    steps = {s.get("solver", "").split("/")[-1]: s.get("params") or {} for s in plan.get("steps") or []}
    settings = {**(spec.get("model_generate_config") or {}), **(plan.get("config") or {})}
    settings |= {k: v for k, v in (spec.get("config") or {}).items() if k in ("epochs", "message_limit", "token_limit")}
    ran = (head.get("results") or {}).get("total_samples")
    out: dict[str, Any] = {"model": spec.get("model")}
    prompt = steps.get("system_message", {}).get("template")
    if isinstance(prompt, str):
        out["system_prompt"] = prompt
    if "use_tools" in steps:
        tools = steps["use_tools"].get("tools") or []
        out["tools"] = [str(t.get("name", t)) if isinstance(t, Mapping) else str(t) for t in tools]
    said = [f"{k} {v}" for k, v in settings.items() if isinstance(v, int | float | str)]
    if said:
        out["decoding"] = ", ".join(said)
    if data.get("name"):
        out["contexts"] = (
            f"{data['name']}, {ran if ran is not None else 'some'} of {data.get('samples', 'unknown')} items"
        )
    return out


def _planned(head: dict[str, Any]) -> int:
    spec = head["eval"]
    ids = (spec.get("dataset") or {}).get("sample_ids") or []
    return len(ids) * int((spec.get("config") or {}).get("epochs") or 1)


def _dates(spec: dict[str, Any]) -> dict[str, Any] | None:
    found = re.match(r"\d{4}-\d\d-\d\d", str(spec.get("created", "")))
    return {"tested": date.fromisoformat(found[0])} if found else None


def _sample(row: dict[str, Any]) -> tuple[str, int, dict[str, Any], bool]:
    return str(row.get("id")), int(row.get("epoch") or 1), row.get("scores") or {}, bool(row.get("error"))


def _plain(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    content = json.loads(file.read_text("utf-8"))
    if not isinstance(content, dict):
        raise EvidenceError(f"{file} is no Inspect log: its top level is {type(content).__name__}, not an object.")
    return content, content.get("samples") or []


def _zipped(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        head = "header.json" if "header.json" in names else "_journal/start.json"
        if head not in names:
            raise EvidenceError(f"{file} is no Inspect log: it has neither header.json nor _journal/start.json.")
        content = _member(archive, head)
        if "summaries.json" in names:
            return content, _member(archive, "summaries.json")
        shells = [n for n in sorted(names) if re.fullmatch(r"samples/[^/]+(\.json|/sample\.json)", n)]
        return content, list(_members(archive, shells))


def _members(archive: zipfile.ZipFile, names: list[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        row = _member(archive, name)
        yield {k: row.get(k) for k in ("id", "epoch", "scores", "error")}


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    size = archive.getinfo(name).file_size
    if size > MOST_BYTES:
        raise EvidenceError(f"{name} in the log has {size:,} bytes, more than {MOST_BYTES:,}. It is not read.")
    with archive.open(name) as member:
        return json.loads(member.read(MOST_BYTES + 1))
