"""The manifest of a case: the hash of every file that carries evidence, and the hash of the manifest in `case.json`.

A case grows stage by stage, so the manifest is written anew with every save. What it listed before is compared: a file
that has changed or gone since is kept under `replaced` and `gone` with its old hashes, so that saving again cannot make
a changed file good.
"""

import re
from pathlib import Path
from typing import Any

from ..case import Case, save_case, write_json
from ..errors import CaseError
from ..recipes.provenance import sha256_file
from ..strict_json import strict_json

NAME = "manifest.json"
OWN = (NAME, "case.json", "ledger.jsonl", "advice.jsonl")  # what holds the hash, and what has a chain of its own
EVIDENCE = (".json", ".jsonl", ".yaml", ".yml")  # of files beside case.json; pages and other output are no evidence
NOT_EVIDENCE = ("trainer.safetensors", "spec.yaml")  # a trainer's state, which may be thrown away; what is intended
KEYED = re.compile(r"-[0-9a-f]{20}\.(json|safetensors)$")  # named for what it was made from, so it never changes


def evidence_files(directory: Path) -> tuple[dict[str, Path], list[str]]:
    """Relative path -> file of all evidence in a case, sorted; and links, which are not followed.

    Evidence is everything in folders, and JSON and YAML beside `case.json`. Hidden files are half-written ones.
    """
    found, links = {}, []
    for path in sorted(directory.rglob("*")):
        inside = path.relative_to(directory)
        if any(part.startswith(".") for part in inside.parts):
            continue
        if path.is_symlink():
            links.append(str(inside))
        elif path.is_file() and inside.name not in NOT_EVIDENCE:
            beside = len(inside.parts) == 1
            if not beside or (path.suffix in EVIDENCE and str(inside) not in OWN):
                found[inside.as_posix()] = path
    return found, links


def save_with_manifest(directory: Path, case: Case) -> Case:
    """Write the manifest of what is there, then `case.json` with its hash; returns the case as written.

    Killed between the two, the case holds the hash of the manifest before: the next save puts it right, and
    `claims verify` says so until then.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    before = read_manifest(directory)
    files, links = evidence_files(directory)
    now = {name: {"sha256": sha256_file(path), "bytes": path.stat().st_size} for name, path in files.items()}
    replaced = {k: list(v) for k, v in before.get("replaced", {}).items()}
    gone = dict(before.get("gone", {}))
    for name, old in before.get("files", {}).items():
        if name not in now:
            gone[name] = old["sha256"]
        elif now[name]["sha256"] != old["sha256"]:
            replaced.setdefault(name, []).append(old["sha256"])
    write_json(directory / NAME, {"version": 1, "files": now, "links": links, "replaced": replaced, "gone": gone})
    sealed = case.model_copy(update={"manifest": sha256_file(directory / NAME)})
    save_case(directory, sealed)
    return sealed


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a case, {} when it has none. Raises CaseError when it cannot be read."""
    path = Path(directory) / NAME
    if not path.is_file():
        return {}
    try:
        found = strict_json(path.read_text("utf-8"))
        if set(found) != {"version", "files", "links", "replaced", "gone"} or found["version"] != 1:
            raise ValueError(f"its keys are {sorted(found)}")
        hashes = [entry["sha256"] for entry in found["files"].values()] + list(found["gone"].values())
        hashes += [one for old in found["replaced"].values() for one in old] + found["links"]
        if not all(isinstance(one, str) for one in hashes):
            raise ValueError("a hash or a link in it is none")
        if not all(isinstance(entry["bytes"], int) for entry in found["files"].values()):
            raise ValueError("a number of bytes in it is none")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CaseError(f"{path} is no manifest ({error}). Do not rely on this case; check it anew.") from error
    return found


def keeps_its_content(name: str) -> bool:
    """Whether a file is named for its content, or is a checkpoint: one that changes was changed by somebody."""
    return bool(KEYED.search(name)) or name.endswith(".safetensors")
