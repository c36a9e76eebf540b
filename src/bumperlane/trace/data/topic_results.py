"""What a filter of training data leaves behind: the list, the edited recipe, a summary, and a sample to review."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...case import temporary_beside, write_json
from ...errors import SettingError
from ...recipes.edits import apply_edits
from ...recipes.models import Recipe
from ...recipes.schema import dump_recipe
from .topic_filter import Filtered
from .topic_scores import recipe_examples
from .topic_statement import MARK, spoken

RECIPE, LIST, SUMMARY, REVIEW = "recipe.yaml", "filter.jsonl", "filter.json", "review.jsonl"
EXCERPT = 2000  # characters of an example that a reader is shown


def write_filtered(
    out: Path, recipe: Recipe, found: Filtered, drops: bool, shown: dict[str, list[int]]
) -> dict[str, Any]:
    """Write the list, the summary and, when `drops`, the recipe without what is above the line. Returns the summary.

    Args:
        shown: tranche -> places of the examples that the summary shows.

    Raises SettingError when a recipe is asked for and there is no line, or nothing would be left to train on.
    """
    if drops and found.line is None:
        raise SettingError(
            f"{found.by} have no line of their own. State a score (--at) or a false-drop rate with reviewed examples "
            "(--false-drop, --reviewed), or only write the list (--flag)."
        )
    if drops and found.above.all():
        raise SettingError(f"all {len(found.above)} examples are above the line: no recipe is left. Raise the line.")
    decision = ("keep", "drop" if drops else "flag") if found.line else ("scored", "scored")
    _write_lines(out / LIST, _rows(found, decision))
    summary = _summary(recipe, found, shown)
    if drops:
        summary["recipe"] = str(dump_recipe(apply_edits(recipe, found.edits()), out / RECIPE))
    write_json(out / SUMMARY, summary)
    return summary


def write_review(path: Path, recipe: Recipe, found: Filtered, chosen: list[int]) -> None:
    """Write examples for a reader to mark, in the recipe's order, without their scores: those would lead the eye."""
    wanted = {found.scores.ids[i] for i in chosen}
    rows = (
        {"id": e.id, "tranche": e.tranche, MARK: None, "text": spoken(e)[:EXCERPT]}
        for e in recipe_examples(recipe)
        if e.id in wanted
    )
    _write_lines(path, rows)


def _rows(found: Filtered, decision: tuple[str, str]) -> Iterable[dict[str, Any]]:
    for i, (id, tranche) in enumerate(zip(found.scores.ids, found.scores.tranches, strict=True)):
        scores = {name: round(float(values[i]), 6) for name, values in found.scores.by.items()}
        yield {"id": id, "tranche": tranche, **scores, "decision": decision[int(found.above[i])]}


def _summary(recipe: Recipe, found: Filtered, shown: dict[str, list[int]]) -> dict[str, Any]:
    names = np.array(found.scores.tranches)
    wanted = {found.scores.ids[i] for places in shown.values() for i in places}
    texts = {e.id: spoken(e)[:EXCERPT] for e in recipe_examples(recipe) if e.id in wanted}
    tranches = []
    for name in dict.fromkeys(found.scores.tranches):
        here = names == name
        near = [
            {"id": found.scores.ids[i], "score": float(found.score[i]), "above": bool(found.above[i]),
             "text": texts[found.scores.ids[i]]}
            for i in shown.get(name, [])
        ]  # fmt: skip
        tranches.append({"tranche": name, "n": int(here.sum()), "above": int(found.above[here].sum()), "near": near})
    inside = found.inside_above
    return {
        "by": found.by,
        "line": asdict(found.line) if found.line else None,
        "rates_from": found.known,
        "n": len(names),
        "above": int(found.above.sum()),
        "stated_above": None if inside is None else {"above": inside[0], "of": inside[1]},
        "tranches": tranches,
    }


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Whole or not at all, one row at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(path)
    with part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    part.replace(path)
