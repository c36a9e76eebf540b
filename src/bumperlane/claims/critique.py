"""Somebody else's claims, whatever file they come in, through the same rules."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

from ..errors import EvidenceError
from ..percent import percent
from .evidence import Evidence
from .from_case import all_evidence
from .from_every_eval import every_eval_evidence
from .from_inspect import Asked, inspect_evidence
from .read_evidence import read_evidence

FORMATS = (
    "our YAML or JSON (`claim: ...`), an Inspect log (.json, .eval), an Every Eval Ever record (.json), or a case "
    "directory"
)
WORDS = {
    "rate_below": "the rate of {} is at most {}", "rate_above": "the rate of {} is at least {}",
    "difference": "the rate of {} is {} by {} or more than that of {}",
    "equivalent": "the rate of {} differs by {} or less",
    "treated": "after the fix the rate of {} is at most {}", "cause": "the cause of {} is shown",
}  # fmt: skip


def read_claims(path: Path, asked: Asked | None = None) -> list[Evidence]:
    """The claims of a file or case, in the format that it turns out to have.

    `asked` names what is claimed of results that come without a claim; our own files and cases hold theirs.

    Raises EvidenceError where the format is not known, or `asked` is given for a file that holds its own claims.
    """
    if not path.exists():
        raise EvidenceError(f"there is no {path}. Give {FORMATS}.")
    kind = sniff(path)
    if kind == "inspect":
        return [inspect_evidence(path, asked)]
    if kind == "every eval":
        kept = asked or Asked()
        if kept.scorer or kept.cut is not None:
            raise EvidenceError("--scorer and --cut are for Inspect logs; an Every Eval Ever record has neither.")
        return every_eval_evidence(path, replace(kept))
    held = all_evidence(path) if kind == "case" else read_evidence(path)  # refuses what holds no claim
    if asked not in (None, Asked()):
        raise EvidenceError(f"{path} holds its own claims: write kind, threshold and behaviour there, not as options.")
    return held


def sniff(path: Path) -> str:
    """`case`, `inspect`, `every eval` or `ours`, by what a file holds. Raises EvidenceError for none of them."""
    if path.is_dir():
        if (path / "case.json").is_file():
            return "case"
        raise EvidenceError(f"{path} is a directory without case.json. Give {FORMATS}.")
    if zipfile.is_zipfile(path):
        return "inspect"
    if path.suffix.lower() != ".json":
        return "ours"
    try:
        content = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceError(f"{path} is no JSON: {error}. Give {FORMATS}.") from error
    keys = set(content) if isinstance(content, dict) else set()
    if "evaluation_results" in keys:
        return "every eval"
    if "eval" in keys and keys & {"status", "results", "samples", "plan"}:
        return "inspect"
    if keys & {"claim", "claims"}:
        return "ours"
    held = ", ".join(sorted(keys)[:8]) or type(content).__name__
    raise EvidenceError(f"{path} is in no format that is known; it holds {held}. Give {FORMATS}.")


def claimed(e: Evidence) -> str:
    """The claim in words."""
    c = e.claim
    number = c.margin if c.kind in ("difference", "equivalent") else c.threshold
    said = percent(number) if number is not None else "(no number is stated)"
    if c.kind == "difference":
        other = e.comparator.name if e.comparator else "(nothing to compare with is stated)"
        return WORDS[c.kind].format(c.behaviour, c.direction, said, other)
    return WORDS[c.kind].format(c.behaviour, said)
