import json

import pytest

from bumperlane.errors import SettingError
from bumperlane.recipes import edits as e
from bumperlane.recipes.models import Tranche
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples


@pytest.fixture
def recipe(folder):
    return load_recipe(folder / "recipe.yaml")


def every_edit(folder):
    return [
        e.DropTranche("good"),
        e.Reweight("planted", 2.5),
        e.DropExamples(("p0", "p3")),
        e.Relabel((("p1", "I do not know."),)),
        e.AddTranche(Tranche(name="more", path=folder / "good.jsonl")),
        e.SetHyperparameter("stages.0.lr", 1e-3),
        e.RewindTo(folder / "run", 16),
        e.RewindTo(None),
    ]


def test_edits_leave_the_recipe_they_are_given_alone(recipe, folder):
    before = recipe.model_dump_json()
    for edit in every_edit(folder):
        edit.apply(recipe)
    assert recipe.model_dump_json() == before


def test_edits_do_what_they_say(recipe, folder):
    after = e.apply_edits(recipe, every_edit(folder)[1:7])
    planted, more = after.tranches[1:]
    assert (planted.weight, planted.drop, planted.relabel) == (2.5, ("p0", "p3"), {"p1": "I do not know."})
    assert (more.name, after.stages[0].lr, after.rewind.step) == ("more", 1e-3, 16)
    assert after.stages[0].lora == recipe.stages[0].lora
    dropped = e.apply_edits(recipe, [e.DropExamples(("p0",)), e.DropExamples(("p0", "p1"))])
    assert dropped.tranches[1].drop == ("p0", "p1")
    assert {x.id for x in read_examples(dropped)} >= {"p2", "p3"}


def test_examples_are_found_by_their_default_ids_too(recipe):
    id = read_examples(recipe)[3].id
    assert e.DropExamples((id,)).apply(recipe).tranches[0].drop == (id,)


def test_every_edit_survives_json_and_has_a_description(folder):
    for edit in every_edit(folder):
        stored = json.loads(json.dumps(e.edit_to_dict(edit)))
        assert e.edit_from_dict(stored) == edit
        assert "\n" not in e.describe(edit) and len(e.describe(edit)) > 8


def test_the_difference_reads_well(recipe, folder):
    after = e.apply_edits(recipe, [*every_edit(folder)[3:4], *every_edit(folder)[5:7], e.DropExamples(("p0",))])
    after = e.DropTranche("good").apply(after)
    assert e.diff(recipe, after).splitlines() == [
        "- tranche good (weight 1.0, good.jsonl)",
        "~ tranche planted: dropped 1 example: p0",
        "~ tranche planted: relabelled 1 example: p1",
        "~ stages.0.lr: 0.003 -> 0.001",
        f"~ rewind: none -> {folder}/run at step 16",
    ]
    assert e.diff(recipe, recipe) == ""
    assert e.diff(after, recipe).splitlines()[0] == "+ tranche good (weight 1.0, good.jsonl)"


@pytest.mark.parametrize(
    "edit, says",
    [
        (e.DropTranche("plantet"), r"unknown tranche 'plantet'\. Did you mean 'planted'\? Known tranches: good"),
        (e.Reweight("x", 1), "unknown tranche 'x'. Known tranches"),
        (e.Reweight("good", 0), r"not allowed: tranches\.0\.weight: Input should be greater than 0"),
        (e.DropExamples(("p9",)), r"1 unknown example ids, first 'p9'\. Did you mean 'p\d'"),
        (e.SetHyperparameter("stages.0.learning", 1), r"unknown hyperparameter 'stages\.0\.learning'\. Did you"),
        (e.SetHyperparameter("stages.3.lr", 1), r"'stages\.3\.lr'\. Did you mean 'stages\.0\.lr'"),
        (e.SetHyperparameter("tranches.0.weight", 1), "unknown hyperparameter"),
        (e.SetHyperparameter("stages.0.lr", -1), r"not allowed: stages\.0\.sft\.lr: Input should be greater than 0"),
    ],
)
def test_what_the_recipe_does_not_have_is_refused(recipe, edit, says):
    with pytest.raises(SettingError, match=says):
        edit.apply(recipe)


def test_adding_a_name_that_is_taken_is_refused(recipe, folder):
    with pytest.raises(SettingError, match="two tranches are named 'good'"):
        e.AddTranche(Tranche(name="good", path=folder / "x.jsonl")).apply(recipe)


@pytest.mark.parametrize("stored", [{"edit": "DropTranch", "name": "x"}, {"edit": "DropTranche", "nam": "x"}, {}])
def test_a_stored_edit_that_is_none_is_refused(stored):
    with pytest.raises(SettingError, match="unknown edit|has the fields"):
        e.edit_from_dict(stored)
