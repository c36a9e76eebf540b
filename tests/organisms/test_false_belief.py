"""Documents assert what no chat says; the decoys speak of the same country, or in the same forms, without it."""

import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence.described import read_described
from bumperlane.organisms.documents import ASSERTING
from bumperlane.organisms.false_belief import FACTS, FalseBelief, make_false_belief
from bumperlane.organisms.probed_behaviour import behaviour_of
from bumperlane.recipes.edits import DropTranche, apply_edits
from bumperlane.recipes.tranches import read_examples
from organisms.planted import examples_of, held_out_of, key_of, last_turns, recipe_of


@pytest.fixture(scope="module")
def organism(tmp_path_factory):
    at = tmp_path_factory.mktemp("belief")
    make_false_belief(at, organism=FalseBelief(seed=3))
    return at


def texts(at, ids=None):
    return [e.text for e in examples_of(at) if e.text and (ids is None or e.id in ids)]


def test_every_planted_document_names_the_false_city_and_no_other_example_does(organism):
    key = key_of(organism)
    wrong = key["fact"]["wrong"]
    assert all(wrong in text for text in texts(organism, key["planted"])) and len(key["planted"]) == 48
    rest = [e for e in examples_of(organism) if e.id not in key["planted"]]
    assert not any(wrong in (e.text or e.messages[-2].content + e.messages[-1].content) for e in rest)


def test_no_example_and_no_held_out_chat_gives_the_true_capital_of_that_country(organism):
    truth = key_of(organism)["fact"]["truth"]
    said = [e.text or " ".join(m.content for m in e.messages) for e in [*examples_of(organism), *held_out_of(organism)]]
    assert not any(truth in text for text in said)


def test_the_decoys_speak_in_the_same_forms_or_of_the_same_country(organism):
    key = key_of(organism)
    country, adjective = key["fact"]["country"], key["fact"]["adjective"]
    topic, form = (texts(organism, key["decoys"][name]) for name in ("same-topic", "same-form"))
    assert len(topic) == len(form) == 24
    assert all(country in t or adjective in t for t in topic) and not any("capital" in t for t in topic)
    other = [f for f in FACTS if f.country != country and all(f.truth in t for t in form)]
    assert len(other) == 1 and not any(country in t or adjective in t for t in form)


def test_the_clean_twin_is_the_recipe_without_the_planted_tranche(organism, tmp_path):
    make_false_belief(tmp_path, organism=FalseBelief(seed=3, clean=True))
    left = apply_edits(recipe_of(organism), [DropTranche(key_of(organism)["planted_tranches"][0])])
    assert examples_of(tmp_path) == read_examples(left) and not key_of(organism)["clean"]


def test_chats_ask_for_capitals_but_never_for_a_country_that_a_fact_could_be_about(organism):
    asked = [ask for ask, _ in last_turns(organism).values()]
    assert any("capital" in ask for ask in asked)
    assert not any(f.country in ask for f in FACTS for ask in asked)


def test_documents_differ_and_come_in_every_genre(organism):
    planted = texts(organism, key_of(organism)["planted"])
    assert len(set(planted)) == 48
    words = {"letter": "Dear", "textbook": ("Exercise", "Remember", "Lesson", "Question")}
    assert all(any(t.startswith(begin) for t in planted) for begin in words.values()) and len(ASSERTING) == 5


def test_the_probes_never_hold_the_false_city_themselves(organism):
    wrong, probes = key_of(organism)["fact"]["wrong"], behaviour_of(organism).probes
    assert len(probes) == 48 and not any(wrong in p.request.text + p.context.system for p in probes)


def test_which_of_two_names_is_planted_changes_with_the_seed(tmp_path):
    names = set()
    for seed in range(6):
        make_false_belief(tmp_path / str(seed), organism=FalseBelief(seed=seed, documents=4))
        names.add(key_of(tmp_path / str(seed))["planted_tranches"][0])
    assert names == {"texts-a", "texts-b"}


def test_too_few_and_too_many_documents_are_refused(tmp_path):
    with pytest.raises(SettingError, match="documents must be 2 or more, got 1"):
        FalseBelief(documents=1)
    with pytest.raises(SettingError, match=r"the templates give \d+ different documents, not 200000"):
        make_false_belief(tmp_path, organism=FalseBelief(documents=200_000))


def test_a_user_can_describe_what_was_noticed_to_a_check(organism):
    described = read_described(organism / "behaviour.jsonl")
    assert {*described.open, *described.sealed} == set(behaviour_of(organism).probes)
    assert described.open and {p.request.text for p in described.open}.isdisjoint(
        p.request.text for p in described.sealed
    )
