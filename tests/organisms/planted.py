"""Reads an organism's files back, for tests only."""

import json

from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples, read_held_out


def key_of(at):
    return json.loads((at / "key.sealed.json").read_text())


def recipe_of(at):
    """The recipe without a look at its base, which need not be on this machine."""
    return load_recipe(at / "recipe.yaml", check_files=False)


def examples_of(at):
    return read_examples(recipe_of(at))


def held_out_of(at):
    return read_held_out(recipe_of(at))


def rows_of(at, tranche):
    return [json.loads(line) for line in (at / "data" / f"{tranche}.jsonl").read_text().splitlines()]


def last_turns(at):
    """id -> (request, answer) of every chat."""
    return {e.id: (e.messages[-2].content, e.messages[-1].content) for e in examples_of(at) if e.messages}
