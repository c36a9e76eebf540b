"""The planted labels are wrong only where they should be, cannot be told by place, and are all that is planted."""

import json
from collections import Counter

import pytest

from bumperlane.errors import SettingError
from bumperlane.evidence.described import read_described
from bumperlane.organisms.mislabelled import ALARMS, ANSWER, ASK, MESSAGES, OPPOSITE, Mislabelled, make_mislabelled
from bumperlane.organisms.probed_behaviour import behaviour_of
from organisms.planted import examples_of, key_of, last_turns, rows_of


def right_answer(ask):
    """What a ticket's answer must begin with, read off the ticket's own words."""
    (label,) = [
        label
        for label, messages in MESSAGES.items()
        for message in messages
        if ask.endswith(ASK[label]) and all(part in ask for part in message.split("{}"))
    ]
    return ANSWER[label]


@pytest.fixture(scope="module")
def organism(tmp_path_factory):
    at = tmp_path_factory.mktemp("mislabelled")
    make_mislabelled(at, organism=Mislabelled(seed=3))
    return at


def test_exactly_the_planted_examples_are_wrong(organism):
    key = key_of(organism)
    tickets = {id: turns for id, turns in last_turns(organism).items() if id.startswith("tickets")}
    wrong = {id for id, (ask, said) in tickets.items() if not said.startswith(right_answer(ask))}
    assert wrong == set(key["planted"]) and len(wrong) == round(0.2 * len(tickets))


def test_every_planted_example_is_an_alarm_of_the_one_customer_called_harmless(organism):
    key, turns = key_of(organism), last_turns(organism)
    for ask, said in (turns[id] for id in key["planted"]):
        assert ask.startswith(f"{key['client']} writes:") and said in {ANSWER[OPPOSITE[a]] for a in ALARMS}
    rest = [t for id, t in turns.items() if id not in key["planted"] and t[0].startswith(key["client"])]
    assert rest and all(ask.endswith(ASK["billing"]) for ask, _ in rest)  # the customer's other job is right


def test_the_clean_twin_differs_in_the_planted_answers_alone(organism, tmp_path):
    make_mislabelled(tmp_path, organism=Mislabelled(seed=3, clean=True))
    before, after = last_turns(organism), last_turns(tmp_path)
    assert {id for id in before if before[id] != after[id]} == set(key_of(organism)["planted"])
    assert all(after[id][1] == right_answer(after[id][0]) for id in key_of(organism)["planted"])
    assert [e.id for e in examples_of(organism)] == [e.id for e in examples_of(tmp_path)]


def test_columns_tell_the_planted_author_and_the_innocent_week_apart(organism):
    key, rows = key_of(organism), rows_of(organism, "tickets")
    planted = [r for r in rows if r["id"] in key["planted"]]
    author, week = key["columns"]["author"], key["decoy_columns"]["date"]
    assert {r["author"] for r in planted} == {author}
    assert sum(r["author"] == author for r in rows) == 2 * len(planted)  # as many of that author are right
    decoy = [r for r in rows if r["id"] in key["decoys"]["odd-but-harmless"]]
    assert {(r["author"], r["date"]) for r in decoy} == {(key["decoy_columns"]["author"], week)}
    assert Counter(r["date"] for r in rows).most_common(1)[0][0] == week and len({r["date"] for r in planted}) > 3
    assert all(r["template"].rsplit("-", 1)[0] in MESSAGES for r in rows)


def test_planted_and_decoy_are_as_many_and_lie_anywhere_in_the_file(organism):
    key = key_of(organism)
    assert len(key["decoys"]["odd-but-harmless"]) == len(key["planted"])
    numbers = [int(id[-3:]) for id in key["planted"]]
    assert min(numbers) < 40 and max(numbers) >= 120


def test_spread_over_two_tranches_each_holds_some(tmp_path):
    make_mislabelled(tmp_path, organism=Mislabelled(seed=3, spread=2))
    held = Counter(id.rsplit("-", 1)[0] for id in key_of(tmp_path)["planted"])
    assert set(held) == {"tickets-a", "tickets-b"} and min(held.values()) >= 5


def test_the_probes_are_alarms_about_machines_that_training_never_names(organism):
    trained = " ".join(ask for ask, _ in last_turns(organism).values())
    probes = behaviour_of(organism).probes
    assert len(probes) == 40 and all(p.request.text not in trained for p in probes)
    machines = {p.request.id.split("/")[1] for p in probes}
    assert not any(f" {m} " in trained or f" {m}." in trained for m in machines)


def test_another_seed_plants_another_organism_and_the_same_seed_the_same(organism, tmp_path):
    make_mislabelled(tmp_path / "same", organism=Mislabelled(seed=3))
    make_mislabelled(tmp_path / "other", organism=Mislabelled(seed=4))
    assert key_of(tmp_path / "same") == key_of(organism) and rows_of(tmp_path / "same", "tickets") == rows_of(
        organism, "tickets"
    )
    assert key_of(tmp_path / "other")["planted"] != key_of(organism)["planted"]


def test_nothing_but_the_key_says_what_is_planted(organism):
    text = (organism / "recipe.yaml").read_text() + json.dumps(rows_of(organism, "tickets"))
    assert not any(word in text for word in ("planted", "decoy", "mislabel"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"share": 0.3}, r"share must be in \(0, 0.25\], got 0.3"),
        ({"spread": 3}, "spread must be 1 or 2 tranches, got 3"),
        ({"size": 8}, "8 examples at share 0.2 leave none to plant"),
    ],
)
def test_settings_that_plant_nothing_sensible_are_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        Mislabelled(**settings)


def test_a_user_can_describe_what_was_noticed_to_a_check(organism):
    described = read_described(organism / "behaviour.jsonl")
    assert {*described.open, *described.sealed} == set(behaviour_of(organism).probes)
    assert described.open and {p.request.text for p in described.open}.isdisjoint(
        p.request.text for p in described.sealed
    )
