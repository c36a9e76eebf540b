import numpy as np
import pytest

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.features import PairedFeatures, ProbeOdds
from bumperlane.detect.internals.probe_shift import ProbeShift
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import numbered
from promises import keep

RNG = np.random.default_rng(1)
QUESTIONS = ("Is it so?", "Are you sure?", "Is snow white?")
USUAL = 2 * RNG.normal(size=(400, 1)) + RNG.normal(size=(400, 3)) * [0.5, 0.2, 0.3]


def seen(rows, questions=QUESTIONS):
    return ProbeOdds(np.asarray(rows), numbered(len(rows)), questions)


def test_keeps_every_promise(tmp_path):
    keep(ProbeShift, tmp_path)


def test_agrees_with_the_textbook_distance():
    away = RNG.normal(size=(9, 3)) * 3
    gap, inverse = away - USUAL.mean(axis=0), np.linalg.inv(np.cov(USUAL, rowvar=False, bias=True))
    found = ProbeShift(1e-12).fit(seen(USUAL)).score(seen(away)).values
    np.testing.assert_allclose(found, np.log(np.einsum("nd,de,ne->n", gap, inverse, gap) / 3), rtol=1e-7)


def test_one_answer_against_the_others_weighs_more_than_a_lean_of_all():
    fitted = ProbeShift().fit(seen(USUAL))
    against, lean = (fitted.score(seen(USUAL[:50] + shift)).values for shift in (np.array([0, -2.0, 0]), 2.0))
    assert np.median(against) > np.median(lean) + 1


def test_the_order_of_questions_does_not_matter_if_it_is_the_same():
    turned = (2, 0, 1)
    other = ProbeShift().fit(seen(USUAL[:, turned], tuple(QUESTIONS[i] for i in turned)))
    found = other.score(seen(USUAL[:9, turned] + 1, other.questions)).values
    np.testing.assert_allclose(found, ProbeShift().fit(seen(USUAL)).score(seen(USUAL[:9] + 1)).values, rtol=1e-9)


def test_what_shifts_in_the_base_too_is_cancelled():
    fitted = AgainstBase(ProbeShift()).fit(PairedFeatures(seen(USUAL), seen(USUAL)))
    away = seen(USUAL[:20] + [0, -3, 0])
    np.testing.assert_allclose(fitted.score(PairedFeatures(away, away)).values, 0, atol=1e-12)
    assert fitted.score(PairedFeatures(away, seen(USUAL[:20]))).values.min() > 1


def test_is_blind_to_a_lean_of_all_answers_as_trusted_requests_show_it():
    rows = 2 * RNG.normal(size=(9000, 1)) + RNG.normal(size=(9000, 3)) * [0.5, 0.2, 0.3]
    fitted = ProbeShift().fit(seen(rows[:1000]))
    line = np.quantile(fitted.score(seen(rows[1000:5000])).values, 0.95)
    assert (fitted.score(seen(rows[5000:] + 0.6)).values > line).mean() < 0.1


@pytest.mark.parametrize(
    ("questions", "new"),
    [(("Is it so?", "Are you sure?", "Is it?"), r"\['Is it\?'\]"), (QUESTIONS[::-1], r"\[\]")],
)
def test_refuses_other_questions_or_another_order(questions, new):
    with pytest.raises(
        EvidenceError, match=f"fitted on 3 questions, cannot score 3, of which {new} are new. Put the same"
    ):
        ProbeShift().fit(seen(USUAL)).score(seen(USUAL, questions))


def test_refuses_too_few_requests_equal_ones_and_a_wrong_shrinkage():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        ProbeShift().fit(seen(USUAL[:7]))
    with pytest.raises(EvidenceError, match="the answers to the probes are equal for all 9 trusted items"):
        ProbeShift().fit(seen(np.ones((9, 3))))
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\]"):
        ProbeShift(2)
