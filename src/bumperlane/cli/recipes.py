"""Commands on recipes: what is trained on, before it is."""

from pathlib import Path
from typing import Any

import click

from ..errors import ModelError, RecipeError, SettingError
from ..report.clean_text import plain
from ..report.screen import OK, Commands, Screen
from .main import DIRECTORY, FILE, main

SHOWN = 100  # characters of an example


@main.group(cls=Commands)
def recipes() -> None:
    """Change what a recipe trains on."""


@recipes.command("filter")
@click.argument("recipe", type=FILE)
@click.option("-o", "--out", type=DIRECTORY, required=True, help="The directory for the list and the new recipe.")
@click.option("--about", default="", help="The topic, in a sentence or two.")
@click.option("--topic", type=FILE, help="JSONL: texts on the topic, and off it with on_topic: false.")
@click.option("--examples-of", type=FILE, multiple=True, help="A tranche file of which all is on the topic.")
@click.option("--reviewed", type=FILE, help="Examples of the recipe that you have marked: review.jsonl, filled in.")
@click.option("--by", type=click.Choice(["classifier", "embeddings", "keywords"]), help="The score that decides.")
@click.option("--at", type=float, help="Above this score an example is on the topic. For the classifier 0.5 is usual.")
@click.option("--false-drop", type=float, help="Share of off-topic examples that may be lost. Needs marked ones.")
@click.option("--drop/--flag", "drops", default=True, help="Write the recipe without them, or only the list.")
@click.option("--no-embeddings", is_flag=True, help="Read words alone; needs no sentence model.")
@click.option("--model", type=DIRECTORY, help="A sentence model. Default: all-MiniLM-L6-v2, which pip fetches.")
@click.option("--review", type=click.IntRange(0), default=200, show_default=True, help="Examples to draw for review.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
@click.pass_obj
def filter_recipe(screen: Screen, recipe: Path, out: Path, drops: bool, review: int, **given: Any) -> int:
    """Drop, or flag, the examples of RECIPE that are about a topic.

    Nothing that is marked or stated is scored by a model that has seen it. Without --reviewed, review.jsonl is written:
    mark its examples and run again, and what the line costs is known.
    """
    from ..recipes.schema import load_recipe
    from ..trace.data.topic_filter import FilterSettings, filter_examples
    from ..trace.data.topic_results import RECIPE, REVIEW, write_filtered, write_review
    from ..trace.data.topic_scores import recipe_examples
    from ..trace.data.topic_statement import read_reviewed, read_topic

    if not recipe.is_file():
        raise RecipeError(f"there is no recipe file {recipe}. Correct the path.")
    if recipe.resolve() == (out / RECIPE).resolve():
        raise SettingError(f"{out} holds the recipe that is read. Choose another directory with -o.")
    content = load_recipe(recipe)
    topic = read_topic(given["topic"], given["about"], given["examples_of"])
    marked = given["reviewed"]
    marks = read_reviewed(marked, {e.id for e in recipe_examples(content)}) if marked else {}
    settings = FilterSettings(given["by"], given["false_drop"], given["at"], given["seed"])
    source = (_encoder(given["model"], given["no_embeddings"]), out / "work")
    with screen.progress() as progress:
        found = filter_examples(content, topic, settings, source, marks, progress)
    if review and not marks and not (out / REVIEW).exists():
        write_review(out / REVIEW, content, found, found.to_review(review, marks, settings.seed))
    summary = write_filtered(out, content, found, drops, found.nearest(settings.seed))
    screen.result(summary, lambda: click.echo(_shown(summary, out, bool(marks))))
    return OK


def _encoder(model: Path | None, left_out: bool) -> Any:
    """The sentence model, or None when words alone are asked for. Raises ModelError when it is not there."""
    from ..trace.data.embedding_similarity import EmbeddingSimilarity

    if left_out:
        return None
    encoder = EmbeddingSimilarity(model)
    try:
        encoder.encoder  # noqa: B018  (loads it now: a minute of reading data later would be too late)
    except (ModelError, ImportError) as error:
        raise ModelError(f"{error} Or read words alone with --no-embeddings.") from error
    return encoder


def _shown(summary: dict[str, Any], out: Path, marked: bool) -> str:
    line, width = summary["line"], max(len(t["tranche"]) for t in summary["tranches"])
    above = f"above {line['at']:.3g} ({line['how']})" if line else "no line: nothing is dropped or flagged"
    lines = [f"by {summary['by']}, {above}: {summary['above']} of {summary['n']} examples"]
    stated = summary["stated_above"]
    if stated:
        lines.append(f"texts of the statement above the line, each held out: {stated['above']} of {stated['of']}")
    for name, what in (("false_drop", "off-topic examples lost"), ("recall", "on-topic examples found")):
        rate = line and line[name]
        if rate:
            count = line["off" if name == "false_drop" else "on"]
            source = summary["rates_from"] if name == "false_drop" else "marked examples"
            share = f"{rate['value']:.3f} ({rate['low']:.3f} to {rate['high']:.3f})"
            lines.append(f"{what}: {share}, from {count} {source}")
    for t in summary["tranches"]:
        lines.append(f"\n{plain(t['tranche'], SHOWN):{width}}  {t['above']} of {t['n']}")
        for near in t["near"]:
            side = "+" if near["above"] else "-"
            lines.append(f"  {side} {near['score']:.3f} {plain(near['id'], 40)}: {plain(near['text'], SHOWN)}")
    if "recipe" in summary:
        lines.append(f"\n{summary['recipe']}\nnext: bumperlane train {summary['recipe']} -o {out / 'run'}")
    if not marked:
        lines.append(f"what the line costs is not known yet: mark {out / 'review.jsonl'} and give it with --reviewed")
    return "\n".join(lines)
