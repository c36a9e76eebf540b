import numpy as np
import pytest

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.features import PairedFeatures, Rephrased
from bumperlane.detect.internals.rephrasing import Rephrasing
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import numbered
from promises import keep

RNG = np.random.default_rng(1)


def seen(drop, original=-1.0):
    drop = np.asarray(drop, float)
    first = np.full(len(drop), float(original))
    return Rephrased(first, first[:, None] - drop, np.exp(drop), numbered(len(drop)))


USUAL = RNG.normal(0.3, 0.2, size=(300, 4)) * [1, 2, 5, 0.1]


def test_keeps_every_promise(tmp_path):
    keep(Rephrasing, tmp_path)


@pytest.mark.parametrize(("pooling", "pool"), [("mean", np.mean), ("max", np.max)])
@pytest.mark.parametrize("measure", ["drop", "divergence"])
def test_agrees_with_standard_scores_by_hand(measure, pooling, pool):
    """The log of the divergence is made to be the drop, so that both measures see the same numbers."""
    away = RNG.normal(size=(9, 4))
    wanted = pool((away - USUAL.mean(axis=0)) / USUAL.std(axis=0), axis=1)
    found = Rephrasing(measure, pooling).fit(seen(USUAL)).score(seen(away)).values
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_the_largest_sees_a_trigger_that_one_rephrasing_breaks_better_than_the_mean_does():
    broken = USUAL[:100] + [0, 0, 0, 0.1]  # five deviations of the rephrasing that matters least as a rule
    caught = {}
    for pooling in ("mean", "max"):
        fitted = Rephrasing(pooling=pooling).fit(seen(USUAL))
        line = np.quantile(fitted.score(seen(USUAL)).values, 0.95)
        caught[pooling] = (fitted.score(seen(broken)).values > line).mean()
    assert caught["max"] > 0.95 > 0.9 > caught["mean"]


def test_how_likely_the_answer_is_does_not_matter_to_the_drop():
    fitted = Rephrasing().fit(seen(USUAL))
    np.testing.assert_allclose(fitted.score(seen(USUAL[:9], -6.0)).values, fitted.score(seen(USUAL[:9])).values)


def test_an_answer_that_gets_likelier_is_no_sign():
    assert Rephrasing().fit(seen(USUAL)).score(seen(USUAL[:20] - 9)).values.max() < 0


def test_a_divergence_of_nought_has_a_finite_score():
    none = Rephrased(np.zeros(1), np.zeros((1, 4)), np.zeros((1, 4)), ("a",))
    assert np.isfinite(Rephrasing("divergence").fit(seen(USUAL)).score(none).values).all()


def test_what_breaks_in_the_base_too_is_cancelled():
    fitted = AgainstBase(Rephrasing()).fit(PairedFeatures(seen(USUAL), seen(USUAL)))
    broken, usual = seen(USUAL[:20] + 5), seen(USUAL[:20])
    np.testing.assert_allclose(fitted.score(PairedFeatures(broken, broken)).values, 0, atol=1e-12)
    assert fitted.score(PairedFeatures(broken, usual)).values.min() > 1


def test_a_rephrasing_that_changes_no_trusted_request_is_left_out():
    still = USUAL.copy()
    still[:, 2] = 1e-7 * RNG.normal(size=300)  # rounding
    for pooling in ("mean", "max"):
        found = Rephrasing(pooling=pooling).fit(seen(still)).score(seen(USUAL[:9])).values
        rest = Rephrasing(pooling=pooling).fit(seen(USUAL[:, [0, 1, 3]])).score(seen(USUAL[:9, [0, 1, 3]])).values
        np.testing.assert_allclose(found, rest)


def test_refuses_too_few_requests_and_rephrasings_that_change_nothing():
    with pytest.raises(EvidenceError, match="needs 8 or more trusted requests .*, got 7, and 4 of 4 kinds"):
        Rephrasing().fit(seen(USUAL[:7]))
    with pytest.raises(EvidenceError, match="got 300, and 0 of 4 kinds of rephrasing make one. Pass more trusted"):
        Rephrasing().fit(seen(np.zeros((300, 4))))


def test_refuses_another_number_of_rephrasings():
    with pytest.raises(EvidenceError, match="fitted on 4 rephrasings a request, cannot score 3. Use the same ones"):
        Rephrasing().fit(seen(USUAL)).score(seen(USUAL[:, :3]))


def test_refuses_unknown_settings():
    with pytest.raises(SettingError, match="unknown measure 'kl'. Known: drop, divergence"):
        Rephrasing("kl")
    with pytest.raises(SettingError, match="unknown pooling 'median'. Known: mean, max"):
        Rephrasing(pooling="median")
