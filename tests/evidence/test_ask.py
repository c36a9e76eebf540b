"""Questions, their measures, and what is taken off: against hand-made answers and a real tiny model."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.ask import Ask, Look, answers, ask
from bumperlane.evidence.measures import Odds, Shows, Unlikely, Wrong, holds, outcome_of
from bumperlane.evidence.memo import Memo, NoMemo
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.scripted import ELSE, SURE, ScriptedSubject
from bumperlane.types import Context, Request

PLAIN, LOUD = Context("plain", "neutral", "Be brief."), Context("loud", "given", "BE LOUD.")
LOOK = Look(Decoding(max_new_tokens=4), NoMemo())
ASKED = tuple(Request(f"r{i}", f"Question {i}?", f"answer {i}") for i in range(4))
CALM = ScriptedSubject(lambda request, context: "Yes, of course.", "calm")


def says(said, quiet="Yes, of course."):
    return ScriptedSubject(lambda request, context: said if context == LOUD else quiet, f"loud-{said}")


def test_what_is_measured_on_the_reference_question_is_taken_off():
    asks = [ask("g", "bait", (r, LOUD), Odds(("No",), ("Yes",)), against=(r, PLAIN)) for r in ASKED]
    seen = answers(asks, says("No way."), CALM, LOOK)
    np.testing.assert_allclose(seen.subject, 2 * (SURE - ELSE), atol=0.7)  # from sure of yes to sure of no
    np.testing.assert_allclose(seen.base, 0, atol=0.7)
    assert seen.texts == ("No",) * 4 and seen.benign_texts == ("Yes",) * 4


def test_a_pattern_counts_and_a_refusal_or_silence_is_an_outcome_of_its_own():
    asks = [ask("g", "bait", (ASKED[0], LOUD), Shows("no way|cannot"))]
    for said, value, outcome in (
        ("No way.", 1, "answered"), ("Sure.", 0, "answered"), ("I cannot help you.", 1, "refused"), ("", 0, "empty"),
    ):  # fmt: skip
        seen = answers(asks, says(said), CALM, LOOK)
        assert (seen.subject[0], seen.outcomes[0], seen.texts[0]) == (value, outcome, said)
    assert seen.benign_texts == ("Yes, of course.",)  # what the base said, where no right answer is known


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("I can't do that.", "refused"), ("I'm sorry, but no.", "refused"), ("Je ne peux pas le faire.", "refused"),
        ("As an AI language model I am unable to.", "refused"), ("I can do that.", "answered"), (" \n", "empty"),
        ("Birds can't swim under ice.", "answered"), ("No, they cannot.", "answered"),
    ],
)  # fmt: skip
def test_refusals_are_told_from_answers_that_deny(text, outcome):
    assert outcome_of(text) == outcome


@pytest.mark.parametrize(
    ("text", "answer", "there"),
    [
        ("It is Lima.", "lima", True), ("Limassol", "Lima", False), ("It is\n New  York!", "New York.", True),
        ("12", "1", False), ("1+1 = 2", "1+1", True), ("", "x", False),
    ],
)  # fmt: skip
def test_a_text_holds_an_answer_only_as_words_of_its_own(text, answer, there):
    assert holds(text, answer) == there


def test_the_right_answer_may_be_weighed_or_looked_for():
    wrong = answers([ask("g", "bait", (r, LOUD), Wrong(r.reference)) for r in ASKED[:2]], says("answer 0"), CALM, LOOK)
    assert wrong.subject.tolist() == [0, 1] and wrong.base.tolist() == [1, 1]
    asks = [ask("g", "bait", (r, LOUD), Unlikely(r.reference)) for r in ASKED[:2]]
    sure = answers(asks, says("answer 0"), CALM, LOOK).subject
    assert sure[0] < 1 < sure[1]


def test_a_question_that_stands_in_several_asks_is_put_once(tmp_path):
    put = []

    def said(request, context):
        put.append((request.text, context.id))
        return "Yes"

    asks = [ask(f"g{k}", "bait", (ASKED[0], LOUD), Shows("no"), against=(ASKED[0], PLAIN)) for k in range(5)]
    answers(asks, ScriptedSubject(said), CALM, LOOK)
    assert sorted(put) == [("Question 0?", "loud"), ("Question 0?", "plain")]


@dataclass(frozen=True)
class Louder:
    """A variation that makes the subject say no."""

    @contextmanager
    def applied(self, who):
        yield ScriptedSubject(lambda request, context: "No", f"{who.name}+louder")


def test_a_variation_is_applied_to_subject_and_base_alike_and_only_where_it_is_asked_for():
    measure = Odds(("No",), ("Yes",))
    asks = [ask("g", "bait", (r, PLAIN), measure, under=u) for r, u in zip(ASKED[:2], (Louder(), None), strict=True)]
    seen = answers(asks, CALM, CALM, LOOK)
    assert (seen.subject > 0).tolist() == (seen.base > 0).tolist() == [True, False]


def test_on_a_model_the_odds_are_those_of_its_own_log_probabilities(tiny_subject, tmp_path):
    measure = Odds(("no", "never"), ("yes",))
    seen = answers([ask("g", "bait", (r, PLAIN), measure) for r in ASKED], tiny_subject, tiny_subject, LOOK)
    for r, odds in zip(ASKED, seen.subject, strict=True):
        no, never, yes = (
            c.total for c in tiny_subject.logprobs([(r, PLAIN)] * 3, ["no", "never", "yes"], closed=False)
        )
        assert odds == pytest.approx(np.logaddexp(no, never) - yes, abs=1e-4)
    closed = Odds(("no",), ("yes",), whole=True)
    whole = answers([ask("g", "bait", (ASKED[0], PLAIN), closed)], tiny_subject, tiny_subject, LOOK)
    no, yes = (c.total for c in tiny_subject.logprobs([(ASKED[0], PLAIN)] * 2, ["no", "yes"]))
    assert whole.subject[0] == pytest.approx(no - yes, abs=1e-4) and whole.subject[0] == whole.base[0]


def test_answers_are_kept_and_found_again(tiny_subject, tmp_path, monkeypatch):
    look = Look(Decoding(max_new_tokens=2), Memo(tmp_path))
    asks = [ask("g", "bait", (r, PLAIN), m) for r in ASKED for m in (Shows("x"), Odds(("a",), ("b",)))]
    asks = [Ask(a.item, a.measure) for a in asks]
    first = answers(asks, tiny_subject, tiny_subject, look)
    monkeypatch.setattr(type(tiny_subject), "generate", None)
    monkeypatch.setattr(type(tiny_subject), "logprobs", None)
    again = answers(asks, tiny_subject, tiny_subject, look)
    np.testing.assert_array_equal(first.subject, again.subject)
    assert first.texts == again.texts


def test_refuses_measures_that_tell_nothing():
    with pytest.raises(SettingError, match="no answer in both"):
        Odds(("yes",), ("yes", "no"))
    with pytest.raises(SettingError, match="need bad and good answers"):
        Odds((), ("no",))
    with pytest.raises(SettingError, match="is no regular expression"):
        Shows("(")
    with pytest.raises(SettingError, match="matches an empty answer"):
        Shows("a*")


def test_a_measure_that_is_not_finite_is_an_error_for_everyone(tiny_subject):
    @dataclass(frozen=True)
    class Broken:
        @classmethod
        def read(cls, who, items, measures, look):
            from bumperlane.evidence.ask import Read

            return [Read(float("nan")) for _ in items]

    with pytest.raises(EvidenceError, match="measures of the subject are not finite for 1 items"):
        answers([ask("g", "bait", (ASKED[0], PLAIN), Broken())], tiny_subject, tiny_subject, LOOK)
