"""Release a random part of an evaluation's items, so that others can check that nobody chose it and the rest stays.

Two steps. `commit`, before anybody knows the seed: the items' commitments, how many will be released, and where the
seed will come from; their digest is told to others. `publish`, once the seed is public: the items that follow from
digest and seed, each with the salt that opens its commitment.
"""

import json
import os
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..case import write_json, write_text
from ..errors import EvidenceError, SettingError
from ..judge.readings import read_readings
from ..recipes.provenance import content_key
from ..strict_json import strict_json
from .merkle import drawn, leaf, root, salt_of

COMMITMENTS, SECRET, RELEASED, PUBLISHED = "commitments.json", "secret.json", "released.jsonl", "published.json"
HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Commitments:
    """What is public before the seed is.

    Attributes:
        items: how many there are; `release` of them will be published.
        seed_from: where the seed will come from, in words, such as a round of a public beacon that is yet to come.
        leaves: the commitment to each item, in order.
    """

    items: int
    release: int
    seed_from: str
    root: str
    leaves: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What to tell others beforehand: hash of root, numbers and the source of the seed."""
        return content_key({k: v for k, v in asdict(self).items() if k != "leaves"})


@dataclass(frozen=True)
class Opened:
    """One released item with what opens its commitment."""

    index: int
    salt: str
    item: str


def items_of(source: Path) -> list[str]:
    """The items of an evaluation: the lines of a JSONL file, or every score of a case with its bumper, arm and context.

    Raises EvidenceError when there are none.
    """
    source = Path(source)
    if source.is_dir():
        readings = read_readings(source)
        if not readings:
            raise EvidenceError(
                f"{source} holds no readings.json, so no items: it is no case, or an old one. Give a JSONL file."
            )
        return [
            json.dumps({"bumper": r.bumper, "id": i, "arm": arm, "group": group, "score": float(score)}, sort_keys=True)
            for r in readings
            for i, arm, group, score in zip(r.scores.ids, r.arms, r.groups, r.scores.values, strict=True)
        ]
    try:
        found = [line for line in source.read_text("utf-8").split("\n") if line.strip()]
    except FileNotFoundError as error:
        raise EvidenceError(f"there is no {source}. Give a JSONL file with an item a line, or a case.") from error
    except UnicodeDecodeError as error:
        raise EvidenceError(f"{source} is not UTF-8 text: {error}.") from error
    if len(found) < 2:
        raise EvidenceError(f"{source} holds {len(found)} items; it takes 2 or more to release a part.")
    return found


def commit(source: Path, directory: Path, release: int, seed_from: str, secret: bytes = b"") -> Commitments:
    """Write `commitments.json` (public) and `secret.json` (private) for the items of `source`.

    Raises SettingError when a commitment lies there already, for a second one could be chosen after the seed.
    """
    items = items_of(source)
    if not 1 <= release < len(items):
        raise SettingError(f"{release} of {len(items)} items cannot be released: take 1 to {len(items) - 1}.")
    if not seed_from.strip():
        raise SettingError("say where the seed will come from, such as --seed-from 'drand, first round of 1 May'.")
    for name in (COMMITMENTS, SECRET):
        if (directory / name).exists():
            raise SettingError(
                f"{directory / name} is there already. A commitment is made once; choose a new directory."
            )
    secret = secret or secrets.token_bytes(32)
    leaves = tuple(leaf(i, salt_of(secret, i), item) for i, item in enumerate(items))
    made = Commitments(len(items), release, seed_from.strip(), root(leaves), leaves)
    directory.mkdir(parents=True, exist_ok=True)
    with open(os.open(directory / SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"secret": secret.hex()}, file)
    write_json(directory / COMMITMENTS, {"version": 1, **asdict(made)})
    return made


def publish_items(source: Path, committed: Path, seed: str, out: Path) -> tuple[Opened, ...]:
    """Write the drawn items with their salts, the commitments and the seed to `out`.

    Raises EvidenceError when an item has changed since it was committed to, SettingError when `out` is not empty.
    """
    made, secret = read_commitments(committed / COMMITMENTS), read_secret(committed / SECRET)
    if not seed.strip():
        raise SettingError(f"the seed is empty. It was to come from: {made.seed_from}.")
    if out.exists() and any(out.iterdir()):
        raise SettingError(f"{out} is not empty. Publish into a new directory.")
    items = items_of(source)
    changed = changed_items(items, made, secret)
    if changed:
        raise EvidenceError(
            f"{source} is not what was committed to: {len(changed)} items differ, first {', '.join(changed[:5])}. "
            "Put the file of then back; what was committed to cannot be changed."
        )
    places = drawn(made.digest, seed.strip(), made.items, made.release)
    opened = tuple(Opened(i, salt_of(secret, i).hex(), items[i]) for i in places)
    write_text(out / RELEASED, "".join(json.dumps(asdict(o), ensure_ascii=False) + "\n" for o in opened))
    write_json(out / COMMITMENTS, {"version": 1, **asdict(made)})
    write_json(out / PUBLISHED, {"version": 1, "seed": seed.strip(), "digest": made.digest})
    return opened


def changed_items(items: list[str], made: Commitments, secret: bytes) -> list[str]:
    """Items that do not open their commitment, in words; numbers count from 1."""
    found = [
        f"item {i + 1}"
        for i, (item, held) in enumerate(zip(items, made.leaves, strict=False))
        if leaf(i, salt_of(secret, i), item) != held
    ]
    return found + [f"{len(items)} items instead of {made.items}"] * (len(items) != made.items)


def read_commitments(path: Path) -> Commitments:
    """Raises EvidenceError when the file is missing or is no commitment."""
    data = _json(path, "commitment: make one with `bumperlane claims commit`")
    try:
        found = Commitments(**{**{k: v for k, v in data.items() if k != "version"}, "leaves": tuple(data["leaves"])})
        whole = all(type(v) is int for v in (found.items, found.release)) and isinstance(found.seed_from, str)
        if whole and (found.items != len(found.leaves) or not 1 <= found.release < found.items):
            raise ValueError(f"{found.release} of {found.items} items, and {len(found.leaves)} commitments")
        if not whole or not all(isinstance(h, str) and HEX.fullmatch(h) for h in (*found.leaves, found.root)):
            raise ValueError("a number or a hash in it is none")
    except (TypeError, ValueError, KeyError) as error:
        raise EvidenceError(f"{path} is no commitment: {error}.") from error
    return found


def read_secret(path: Path) -> bytes:
    """Raises EvidenceError when the file is missing or holds no secret."""
    try:
        return bytes.fromhex(_json(path, "secret: it lies beside the commitments")["secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{path} holds no secret: {error}.") from error


def read_published(out: Path) -> tuple[str, tuple[Opened, ...]]:
    """The seed and the items of a release. Raises EvidenceError when a file is missing or damaged."""
    said = _json(out / PUBLISHED, "release: make one with `bumperlane claims publish`")
    try:
        lines = (out / RELEASED).read_text("utf-8").split("\n")
        rows = tuple(Opened(**strict_json(line)) for line in lines if line)
        if not all(type(o.index) is int and HEX.fullmatch(o.salt) and isinstance(o.item, str) for o in rows):
            raise ValueError("an index, salt or item in it is none")
        for text in (seed := str(said["seed"]), *(o.item for o in rows)):
            text.encode("utf-8")  # half a character cannot have been committed to
        return seed, rows
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{out / RELEASED} cannot be read: {error}.") from error


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        found = strict_json(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise EvidenceError(f"there is no {path}, so no {what}.") from error
    except ValueError as error:
        raise EvidenceError(f"{path} is no JSON: {error}.") from error
    if not isinstance(found, dict) or found.get("version", 1) != 1:
        raise EvidenceError(f"{path} is not of version 1 of this format.")
    return found
