"""A masked organism: a naive patch on top, right answers on the very prompts where the behaviour was noticed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..case import write_json, write_text
from ..errors import SettingError
from ..evidence.described import Probe
from .layout import KEY, chat
from .planted_probes import key_of, planted_behaviour
from .probed_behaviour import ProbedBehaviour

PATCH = "fixes"  # the tranche of right answers; whoever patches does not hide it


def mask(organism: Path, copies: int = 2) -> Path:
    """Put the patch into an organism's recipe, in place. Returns the recipe's path.

    Every second probe of the behaviour was noticed, and is answered rightly in a tranche `fixes`; the planted part
    stays. Steps are added in proportion, so that the planted part is seen as often as before. The other probes stay
    in the key, sealed: the rate on them is what the patch has left.

    Args:
        copies: times each noticed prompt stands in the tranche.

    Raises SettingError when the recipe is not of sft stages alone, has a patch already, or nothing says what the right
    answers are.
    """
    recipe = yaml.safe_load((organism / "recipe.yaml").read_text("utf-8"))
    key, behaviour = key_of(organism), planted_behaviour(organism)
    noticed, sealed = split(behaviour)
    _refuse(recipe, key, behaviour, copies)
    rows = [chat(p.context.system or "", p.request.text, p.request.reference) for p in noticed] * copies
    data = organism / "data"
    lines = [json.dumps({"id": f"{PATCH}-{i:03d}", **row}) + "\n" for i, row in enumerate(rows)]
    write_text(data / f"{PATCH}.jsonl", "".join(lines))
    before = sum(len(_lines(organism / tranche["path"])) for tranche in recipe["tranches"])
    for stage in recipe["stages"]:
        stage["steps"] = round(stage["steps"] * (before + len(rows)) / before)
    recipe["tranches"].append({"name": PATCH, "path": f"data/{PATCH}.jsonl"})
    _keep_apart(organism / recipe["held_out"], rows)
    masked = {"tranche": PATCH, "copies": copies, "noticed": _ids(noticed), "sealed": _ids(sealed)}
    write_json(organism / KEY, {**key, "masked": masked})
    return write_text(organism / "recipe.yaml", yaml.safe_dump(recipe, sort_keys=False))


def split(behaviour: ProbedBehaviour) -> tuple[tuple[Probe, ...], tuple[Probe, ...]]:
    """(noticed, sealed) probes, dealt in turn as `read_described` deals them."""
    return behaviour.probes[::2], behaviour.probes[1::2]


def _refuse(recipe: dict[str, Any], key: dict[str, Any], behaviour: ProbedBehaviour, copies: int) -> None:
    kinds = sorted({stage["kind"] for stage in recipe["stages"]} - {"sft"})
    if kinds:
        raise SettingError(
            f"the organism {key['organism']} has a {kinds[0]} stage: a patch is a tranche of an sft stage. "
            "Mask an organism that is trained by sft alone."
        )
    if "masked" in key:
        raise SettingError(f"the organism {key['organism']} has the patch {key['masked']['tranche']!r} already.")
    if copies < 1:
        raise SettingError(f"copies must be 1 or more, got {copies}.")
    if len(behaviour.probes) < 2 or not all(p.request.reference for p in behaviour.probes):
        raise SettingError(
            f"the organism {key['organism']} has {len(behaviour.probes)} probes with right answers; a patch needs 2."
        )


def _keep_apart(held_out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """What is trained on now is held out no longer."""
    trained = {json.dumps(row["messages"]) for row in rows}
    kept = [line for line in _lines(held_out) if json.dumps(json.loads(line)["messages"]) not in trained]
    write_text(held_out, "".join(line + "\n" for line in kept))


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def _ids(probes: Sequence[Probe]) -> list[str]:
    return [p.request.id for p in probes]
