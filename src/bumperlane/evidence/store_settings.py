"""What all rows of an activation store share, and the roles that its items may have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import EvidenceError, SettingError
from ..subjects.chunk import Chunk, Site, label
from ..subjects.positions import Position

SCHEMA_VERSION = 1
RECORD = "store.json"
DTYPES = ("float32", "float16", "bfloat16")
Role = Literal["fit", "calibrate", "control", "untrusted"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True)
class StoreSettings:
    """What all rows of a store share.

    Args:
        subject_key: which model they were read in (`evidence.memo.subject_key`).
        sites: as given to the capture.
        position: where in the sequence. A position of your own is known by its name.
        dtype: how rows are kept: float32, float16 or bfloat16. They come back as float32.
        step: optimizer step of the checkpoint; -1 for the untouched base.
    """

    subject_key: str
    sites: tuple[Site, ...]
    position: str | Position = "last"
    dtype: str = "float32"
    step: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise SettingError(f"unknown dtype {self.dtype!r} for a store. Known: {', '.join(DTYPES)}.")
        names = [str(site) for site in self.sites]
        if not names or len(set(names)) < len(names):
            raise SettingError(f"a store needs one or more sites, each under its own name, got {names}.")

    def record(self) -> dict[str, Any]:
        """As it stands in store.json, but for the widths, which the first rows bring."""
        return {
            "schema_version": SCHEMA_VERSION,
            "subject_key": self.subject_key,
            "sites": [label(site) for site in self.sites],
            "position": self.position.name if isinstance(self.position, Position) else self.position,
            "dtype": self.dtype,
            "step": self.step,
        }


def read_record(directory: Path) -> dict[str, Any] | None:
    """What store.json holds; None without one. Raises EvidenceError when it is damaged or of another version."""
    path = directory / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        version, shape = record["schema_version"], (len(record["sites"]), len(record["widths"]))
        StoreSettings(
            record["subject_key"], tuple(record["sites"]), record["position"], record["dtype"], record["step"]
        )
    except (ValueError, KeyError, TypeError, SettingError) as error:
        raise EvidenceError(f"{path} is damaged: {error!r}. Put it back, or capture into another directory.") from error
    if version != SCHEMA_VERSION or shape[0] != shape[1]:
        raise EvidenceError(
            f"{path} has schema version {version} with {shape[0]} sites and {shape[1]} widths; this is version "
            f"{SCHEMA_VERSION}. Read it with the bumperlane that wrote it, or capture into another directory."
        )
    return record


def refuse_other(directory: Path, begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises EvidenceError naming each setting in which what comes now differs from what the store was begun with."""
    other = [f"{name} {begun[name]!r}, now {now[name]!r}" for name in now if begun[name] != now[name]]
    if other:
        raise EvidenceError(
            f"{directory} was begun with {'; '.join(other)}. Such rows do not belong together: begin another store."
        )


def shared_by(chunk: Chunk, order: Sequence[int | str]) -> dict[str, Any]:
    """What a chunk says of itself, with its sites in the store's order where they are the same."""
    by_label = {label(site): seen for site, seen in chunk.items()}
    sites = list(order) if by_label.keys() == set(order) else list(by_label)
    return {
        "sites": sites,
        "widths": [by_label[site].rows.shape[1] for site in sites],
        "position": chunk.position,
        "step": next(iter(chunk.values())).step,
    }


def code_of(role: str) -> int:
    """The number that stands for a role. Raises SettingError, listing the known ones."""
    if role not in ROLES:
        raise SettingError(f"unknown role {role!r}. Known: {', '.join(ROLES)}.")
    return ROLES.index(role)
