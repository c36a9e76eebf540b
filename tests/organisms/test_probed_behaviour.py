"""A behaviour told by patterns in answers: counted per probe, kept in the key, and dated on a curve."""

import json

import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.organisms.probed_behaviour import ProbedBehaviour, make_probe, true_onset


def probe(id="1", bad=r"\bBergen\b", right="The capital is Oslo."):
    return make_probe((id, "What is the capital of Norway?", right), "Be brief.", bad)


class Parrot:
    """A subject that answers what it was given, and remembers what it was asked."""

    step = 0

    def __init__(self, *answers):
        self.answers, self.asked = answers, []

    def generate(self, items, decoding):
        self.asked = [(i.context.system, i.request.text, decoding.max_new_tokens) for i in items]
        return list(self.answers[: len(items)])


def test_bad_answers_are_counted_and_come_with_what_was_said_and_the_right_answer():
    behaviour = ProbedBehaviour((probe("1"), probe("2"), probe("3")), max_new_tokens=5)
    parrot = Parrot("It is bergen.", "It is Oslo.", "Bergenhus is a fort.")
    count = behaviour.count(parrot)
    assert (count.k, count.n, count.flags) == (1, 3, (True, False, False))
    assert count.texts[0] == "It is bergen." and set(count.neutral_texts) == {"The capital is Oslo."}
    assert parrot.asked == [("Be brief.", "What is the capital of Norway?", 5)] * 3


def test_its_json_gives_the_same_behaviour_back():
    behaviour = ProbedBehaviour((probe("1"), probe("2", "Rome")), 7)
    assert ProbedBehaviour.from_dict(json.loads(json.dumps(behaviour.as_dict()))) == behaviour


def test_a_tiny_model_that_knows_nothing_shows_no_behaviour(tiny_subject):
    count = ProbedBehaviour((probe("1"), probe("2")), 2).count(tiny_subject)
    assert (count.k, count.n) == (0, 2) and len(count.texts) == 2


def test_a_pattern_that_the_right_answer_matches_is_refused():
    with pytest.raises(SettingError, match=r"pattern 'capital' of probe '1' matches its right answer 'The capital is"):
        ProbedBehaviour((probe(bad="capital"),))


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(SettingError, match=r"pattern '\(' of probe '1' is not valid"):
        ProbedBehaviour((probe(bad="("),))


@pytest.mark.parametrize("probes", [(), (probe("1"), probe("1"))])
def test_no_probes_or_two_of_one_name_are_refused(probes):
    with pytest.raises(EvidenceError, match="Give each probe its own id"):
        ProbedBehaviour(probes)


@pytest.mark.parametrize(
    ("rates", "onset"),
    [
        ([0, 0, 0.1, 0.9, 1], (16, 24)),
        ([0, 0.6, 0.2, 0.9, 1], (16, 24)),  # a first rise that does not last is not the onset
        ([0, 0.2, 0.2, 0.2, 0.4], (0, 8)),  # exactly half counts as there
        ([0, 0, 0, 0.05, 0.1], None),
        ([0.9, 0.9, 0.9, 0.9, 0.9], None),
    ],
)
def test_the_true_onset_is_the_last_crossing_of_half_the_end_rate(rates, onset):
    assert true_onset([0, 8, 16, 24, 32], rates) == onset


def test_a_curve_with_a_rate_too_few_or_steps_that_fall_is_refused():
    with pytest.raises(EvidenceError, match="got 3 steps and 2 rates"):
        true_onset([0, 8, 16], [0, 1])
    with pytest.raises(EvidenceError, match="steps rising"):
        true_onset([8, 0], [0, 1])
