"""The scores that a check was judged on, kept in the case so that anybody can judge them again without a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..case import write_json
from ..errors import CaseError, EvidenceError
from ..strict_json import strict_json
from ..types import REQUESTS, ROLLOUTS, Reading, Scores

NAME = "readings.json"


def write_readings(directory: Path, readings: Sequence[Reading]) -> Path:
    """Write `readings.json`. JSON holds every digit of a float, so a judge that reads it decides the same."""
    return write_json(directory / NAME, {"version": 1, "readings": [_as_dict(r) for r in readings]})


def read_readings(directory: Path) -> tuple[Reading, ...] | None:
    """The readings of a case, in the order they were judged; None for a case that keeps none.

    Raises CaseError when the file is no list of readings.
    """
    path = Path(directory) / NAME
    if not path.is_file():
        return None
    try:
        content = strict_json(path.read_text("utf-8"))
        if content["version"] != 1:
            raise ValueError(f"they are of version {content['version']}, known is 1")
        return tuple(_reading(data) for data in content["readings"])
    except (ValueError, TypeError, KeyError, OverflowError, EvidenceError) as error:
        raise CaseError(f"{path} holds no readings ({error!r}). Do not rely on this case; check it anew.") from error


def _as_dict(r: Reading) -> dict[str, Any]:
    return {
        "bumper": r.bumper, "family": r.family, "split": r.split, "trap_sprung": r.trap_sprung,
        "why_blind": r.why_blind, "note": r.note, "unit": r.unit, "dtype": str(r.scores.values.dtype),
        "scores": r.scores.values.tolist(), "ids": list(r.scores.ids), "arms": list(r.arms), "groups": list(r.groups),
        "strata": list(r.strata), **({"look": r.look, "picked_from": r.picked_from} if r.look > 1 else {}),
    }  # fmt: skip


def _reading(data: dict[str, Any]) -> Reading:
    unit = data.get("unit", ROLLOUTS if data["family"] == "logs" else REQUESTS)  # older cases do not say it
    texts = [unit, *(data[k] for k in ("bumper", "family", "split", "why_blind", "note", "dtype"))]
    lists = [data[k] for k in ("ids", "arms", "groups", "strata")]
    if not all(isinstance(one, list) for one in lists) or not isinstance(data["trap_sprung"], bool):
        raise ValueError(f"a list of {data['bumper']} is none, or whether its trap sprang is not said")
    if not all(isinstance(one, str) for one in (*texts, *(name for one in lists for name in one))):
        raise ValueError(f"a word of {data['bumper']} is none")
    if len(data["strata"]) not in (0, len(data["ids"])):
        raise ValueError(f"{data['bumper']} has {len(data['ids'])} items, {len(data['strata'])} of them with a stratum")
    if np.dtype(data["dtype"]).kind not in "biuf":
        raise ValueError(f"scores of {data['bumper']} are of dtype {data['dtype']!r}")
    look, picked_from = data.get("look", 1), data.get("picked_from", 0)
    if look not in (1, 2) or not isinstance(picked_from, int) or picked_from < 0:
        raise ValueError(f"{data['bumper']} has the look {look!r}, picked from {picked_from!r}")
    scores = Scores(np.array(data["scores"], np.dtype(data["dtype"])), tuple(data["ids"]), data["bumper"])
    return Reading(
        data["bumper"], data["family"], scores, tuple(data["arms"]), tuple(data["groups"]), data["split"],
        data["trap_sprung"], data["why_blind"], tuple(data["strata"]), data["note"], unit, look, picked_from,
    )  # fmt: skip
