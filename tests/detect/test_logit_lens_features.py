import numpy as np
import pytest

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.features import LensTrajectory, PairedFeatures
from bumperlane.detect.internals.logit_lens_features import LogitLensFeatures
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import numbered
from promises import keep

RNG = np.random.default_rng(1)


def made(n, at=5.0, up=0.0):
    """Answers that form around a depth, each as likely in the end as it happens to be."""
    rise = 9 / (1 + np.exp(at - np.arange(8.0))) - 10
    return rise + up + RNG.normal(size=(n, 1)) + 0.2 * RNG.normal(size=(n, 8))


def seen(rows):
    return LensTrajectory(np.asarray(rows), numbered(len(rows)))


USUAL = made(400)


def caught(fitted, rows):
    line = np.quantile(fitted.score(seen(made(4000))).values, 0.95)
    return (fitted.score(seen(rows)).values > line).mean()


def test_keeps_every_promise(tmp_path):
    keep(LogitLensFeatures, tmp_path)


def test_agrees_with_the_textbook_distance():
    away = made(9, at=3)
    gap, inverse = away - USUAL.mean(axis=0), np.linalg.inv(np.cov(USUAL, rowvar=False, bias=True))
    found = LogitLensFeatures(1e-12).fit(seen(USUAL)).score(seen(away)).values
    np.testing.assert_allclose(found, np.log(np.einsum("nd,de,ne->n", gap, inverse, gap) / 8), rtol=1e-6)


@pytest.mark.parametrize("at", [3.5, 6.5])
def test_sees_answers_that_form_early_and_answers_that_form_late(at):
    assert caught(LogitLensFeatures().fit(seen(USUAL)), made(50, at=at)) == 1


def test_is_blind_to_answers_that_are_likelier_at_all_depths():
    assert caught(LogitLensFeatures().fit(seen(USUAL)), made(4000, up=0.5)) < 0.1


def test_what_forms_early_in_the_base_too_is_cancelled():
    fitted = AgainstBase(LogitLensFeatures()).fit(PairedFeatures(seen(USUAL), seen(USUAL)))
    early = seen(made(20, at=2))
    np.testing.assert_allclose(fitted.score(PairedFeatures(early, early)).values, 0, atol=1e-12)
    assert fitted.score(PairedFeatures(early, seen(made(20)))).values.min() > 1


def test_refuses_another_number_of_layers():
    with pytest.raises(
        EvidenceError, match="fitted on trajectories over 8 layers, cannot score 7. Read the same model"
    ):
        LogitLensFeatures().fit(seen(USUAL)).score(seen(USUAL[:, :7]))


def test_refuses_too_few_answers_equal_ones_and_a_wrong_shrinkage():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 7"):
        LogitLensFeatures().fit(seen(USUAL[:7]))
    with pytest.raises(EvidenceError, match="the lens trajectories are equal for all 9 trusted items"):
        LogitLensFeatures().fit(seen(np.ones((9, 8))))
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\]"):
        LogitLensFeatures(-1)
