import numpy as np
import pytest

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.confidence import Confidence
from bumperlane.detect.internals.features import AnswerConfidence, PairedFeatures
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import numbered
from promises import keep, over_the_clean_line

RNG = np.random.default_rng(1)


def seen(odds, entropy=None, margin=None, tokens=4):
    odds = np.asarray(odds, float)
    other = [odds if v is None else np.asarray(v, float) for v in (entropy, margin)]
    return AnswerConfidence(odds, *other, numbered(len(odds)), tokens)


USUAL = RNG.normal(3, 2, size=300)


def test_keeps_every_promise(tmp_path):
    keep(Confidence, tmp_path)


def test_agrees_with_the_distance_by_hand():
    odds = RNG.normal(size=9) * 5
    found = Confidence().fit(seen(USUAL)).score(seen(odds)).values
    np.testing.assert_allclose(found, abs(odds - USUAL.mean()) / USUAL.std(), rtol=1e-12)


@pytest.mark.parametrize(("measure", "column"), [("log-odds", 0), ("entropy", 1), ("margin", 2)])
def test_each_measure_reads_its_own_numbers(measure, column):
    clean, away = RNG.normal(size=(3, 50)), RNG.normal(size=(3, 4))
    found = Confidence(measure).fit(seen(*clean)).score(seen(*away)).values
    np.testing.assert_allclose(found, abs(away[column] - clean[column].mean()) / clean[column].std())


def test_sees_too_much_confidence_and_too_little():
    fitted = Confidence().fit(seen(USUAL))
    line = np.quantile(fitted.score(seen(RNG.normal(3, 2, 500))).values, 0.95)
    assert (fitted.score(seen(USUAL[:50] + 12)).values > line).all()
    assert (fitted.score(seen(USUAL[:50] - 12)).values > line).all()


def test_tells_a_probability_of_nearly_one_from_one_still_nearer():
    """In probabilities the two differ by one part in a hundred."""
    sure, surer = (np.log(p / (1 - p)) for p in (0.99, 0.9999))
    fitted = Confidence().fit(seen(sure + 0.3 * RNG.normal(size=100)))
    assert fitted.score(seen([surer])).values[0] > 8


def test_units_do_not_matter():
    one = Confidence().fit(seen(USUAL)).score(seen(USUAL[:9] + 4)).values
    other = Confidence().fit(seen(USUAL * 7 - 2)).score(seen((USUAL[:9] + 4) * 7 - 2)).values
    np.testing.assert_allclose(one, other)


def test_what_the_base_is_as_unsure_of_is_cancelled():
    fitted = AgainstBase(Confidence()).fit(PairedFeatures(seen(USUAL), seen(USUAL)))
    hard = seen(USUAL[:20] - 9)
    np.testing.assert_allclose(fitted.score(PairedFeatures(hard, hard)).values, 0, atol=1e-12)
    assert (fitted.score(PairedFeatures(hard, seen(USUAL[:20]))).values > 1).all()


def test_is_blind_to_a_wrong_answer_of_the_usual_confidence():
    fitted = Confidence().fit(seen(USUAL))
    usual, wrong = (fitted.score(seen(RNG.normal(3, 2, 4000))).values for _ in range(2))
    assert over_the_clean_line(wrong, usual) < 0.1


def test_refuses_too_few_answers_or_equal_ones():
    with pytest.raises(
        EvidenceError, match="needs 8 or more trusted answers that differ in log-odds, got 7 answers and 7"
    ):
        Confidence().fit(seen(USUAL[:7]))
    with pytest.raises(
        EvidenceError, match="differ in margin, got 9 answers and 1 different values. Pass more trusted"
    ):
        Confidence("margin").fit(seen(USUAL[:9], margin=np.ones(9)))


def test_refuses_another_number_of_answer_tokens():
    with pytest.raises(EvidenceError, match="fitted on the first 4 tokens of answers, cannot score the first 1. Read"):
        Confidence().fit(seen(USUAL)).score(seen(USUAL[:3], tokens=1))


def test_refuses_an_unknown_measure():
    with pytest.raises(SettingError, match="unknown measure 'sureness'. Known: log-odds, entropy, margin"):
        Confidence("sureness")
