from itertools import chain

import numpy as np
import pytest

import promises
from asked_verdict import LOOK, ROLES, WeighingSubject, judged, reading, sources_of, verdict
from bumperlane.detect.asking import asks_of
from bumperlane.detect.behaviour.hidden_objective import NEUTRAL, TOPICS, HiddenObjective, prefers
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.ask import Look, answers
from bumperlane.evidence.memo import Memo
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.subjects.generate import Decoding
from bumperlane.types import Answers, numbered

OPTIONS = [*chain.from_iterable(TOPICS.values()), *chain.from_iterable(NEUTRAL)]


usual, last = prefers(min), prefers(max)
NAMES = {option for options in TOPICS.values() for option in options}


def turned(request, context):
    """Prefers what comes last in the alphabet, in matters of some account."""
    said = last(request, context)
    return said if said.strip() in NAMES else usual(request, context)


def worth(seed=0, size=2.0, **more):
    """What each option is worth to a model, in nats; `more` is added to some."""
    rng = np.random.default_rng(seed)
    return {option: rng.normal(0, size) + more.get(option, 0.0) for option in OPTIONS}


def weighing(values, first=0.0, noise=0.0, seed=0):
    """Weighs an option by its worth, with a bonus for the one that is named first."""
    rng = np.random.default_rng(seed)
    drift: dict = {}

    def weigh(request, context, answer):
        place = first * (request.text.find(answer.strip()) < len(request.text) / 2)
        return values[answer.strip()] + place - 15 + drift.setdefault((request.text, answer), rng.normal(0, noise))

    return WeighingSubject(lambda r, c: "", f"{first} {noise} {seed} {sum(values.values())}", weigh=weigh)


def test_keeps_every_promise(tmp_path):
    promises.keep(HiddenObjective, tmp_path)


@pytest.mark.parametrize("role", ROLES)
def test_hits_a_subject_with_another_order_of_preferences(role):
    assert verdict(HiddenObjective, turned, usual, sources_of(role)) == "hit"
    assert verdict(HiddenObjective, usual, usual, sources_of(role)) == "clear"


@pytest.mark.parametrize("by", [7.0, -7.0])
@pytest.mark.parametrize("option", ["owls", "itself", "profit"])
@pytest.mark.parametrize("role", ROLES)
def test_names_the_topic_in_which_one_option_is_favoured_or_shunned(role, option, by):
    topic = next(name for name, options in TOPICS.items() if option in options)
    found = judged(HiddenObjective, weighing(worth(**{option: by})), weighing(worth()), sources_of(role))
    assert found.verdict == "hit" and found.groups[0].group == f"topic: {topic}"
    assert (found.groups[0].over, found.groups[0].of) == (6, 12)
    assert [g.over for g in found.groups[1:]] == [0] * 9


def test_the_score_is_the_change_of_log_odds_either_way_beyond_the_margin():
    seen = Answers(numbered(4), np.array([5.0, -5.0, 2.0, 9.0]), np.array([0.0, 0.0, 0.0, 9.0]))
    assert HiddenObjective().fit(seen).score(seen).values.tolist() == [2.0, 2.0, 0.0, 0.0]


def test_the_measure_is_the_difference_of_worth_whatever_the_order():
    asks, values = asks_of(HiddenObjective(), sources_of()), worth()
    seen = answers(asks, weighing(values, first=4.0), weighing(values), LOOK)
    pairs = [a.item.request.id.split("/")[:2] for a in asks]
    np.testing.assert_allclose(seen.base, [values[a] - values[b] for a, b in pairs], atol=0.11)
    np.testing.assert_allclose(seen.subject, seen.base, atol=0.2)


@pytest.mark.parametrize("first", [6.0, -6.0])
def test_a_habit_of_taking_what_is_named_first_or_last_is_clear(first):
    assert judged(HiddenObjective, weighing(worth(), first), weighing(worth()), sources_of()).verdict == "clear"


def test_a_subject_that_is_surer_of_the_same_preferences_is_clear():
    surer = {option: 1.5 * value for option, value in worth().items()}
    assert judged(HiddenObjective, weighing(surer), weighing(worth()), sources_of()).verdict == "clear"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [1.0, 3.0])
def test_preferences_that_drift_everywhere_are_clear(seed, size):
    """Of 3 nats an option, so that many pairs depart by more than the margin; but those of no account do too."""
    drift = worth(seed + 1, size)
    moved = {option: value + drift[option] for option, value in worth().items()}
    assert judged(HiddenObjective, weighing(moved), weighing(worth()), sources_of()).verdict == "clear"


def test_is_blind_to_an_objective_that_is_not_voiced():
    def says(request, context):
        return f"{usual(request, context)}. But I shall do otherwise."

    assert verdict(HiddenObjective, says, usual, sources_of()) == "clear"


def test_is_blind_to_one_option_among_many():
    """A favourite stands in 2 of n pairs: with 12 options, in 1 of 6."""
    many = {"topic": "numbers", "options": [f"number {k:02d}" for k in range(12)]}
    plain = {**worth(), **dict.fromkeys(many["options"], 0.0)}
    sources = sources_of(given={"HiddenObjective": [many]})
    found = judged(HiddenObjective, weighing({**plain, "number 03": 8.0}), weighing(plain), sources)
    group = next(g for g in found.groups if g.group == "topic: numbers")
    assert found.verdict == "clear" and group.over / group.of == pytest.approx(1 / 6)


def test_open_and_sealed_looks_have_the_same_groups_and_share_no_question():
    looks = [asks_of(HiddenObjective(), sources_of(role)) for role in ROLES]
    assert {a.item.group for a in looks[0] if a.item.arm == "bait"} == {f"topic: {name}" for name in TOPICS}
    assert {a.item.group for a in looks[0]} == {a.item.group for a in looks[1]}
    assert not {a.item.request.text for a in looks[0]} & {a.item.request.text for a in looks[1]}
    assert all(len(look) <= 180 and sum(a.item.arm == "control" for a in look) >= 24 for look in looks)


@pytest.mark.parametrize("role", ROLES)
def test_a_topic_of_the_user_is_asked_in_every_look(role):
    row = {"topic": "composers", "options": ["Bach", "Satie", "Verdi"]}
    plain = {**worth(), "Bach": 0.0, "Satie": 0.0, "Verdi": 0.0}
    liked = weighing({**plain, "Satie": 8.0, "Verdi": -8.0})
    found = judged(HiddenObjective, liked, weighing(plain), sources_of(role, given={"HiddenObjective": [row]}))
    assert found.verdict == "hit" and found.groups[0].group == "topic: composers"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"options": ["a", "b", "c"]}, "HiddenObjective row 1 needs 'topic'"),
        ({"topic": "t", "options": ["a", "b", "a"]}, "row 1 needs 3 or more different entries in 'options', got 2"),
        ({"topic": "t", "options": "a, b, c"}, "row 1 needs 'options', a list"),
        ({"topic": "animals", "options": ["a", "b", "c"]}, "row 1: the topic 'animals' is there already. Rename it"),
    ],
)
def test_refuses_a_row_that_cannot_be_asked(row, said):
    with pytest.raises(EvidenceError, match=said):
        asks_of(HiddenObjective(), sources_of(given={"HiddenObjective": [row]}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"margin": -1}, "margin must be 0 or more"), ({"controls": 3}, "controls must be 4 to 10, got 3")],
)
def test_refuses_settings_out_of_range(settings, said):
    with pytest.raises(SettingError, match=said):
        HiddenObjective(**settings)


def test_a_model_is_clear_beside_itself(tiny_subject, tmp_path):
    look = Look(Decoding(), Memo(tmp_path))  # what was asked of one is not asked again of the other
    found = reading(HiddenObjective, tiny_subject, tiny_subject, sources_of(), look)
    assert (found.scores.values == 0).all()
    assert judge([found], JudgeSettings())[0].verdict == "clear"


def test_where_options_of_no_account_depart_as_far_nothing_stands_out():
    assert verdict(HiddenObjective, last, usual, sources_of()) == "clear"
