import numpy as np
import pytest

from bumperlane.detect.internals.activation_difference import ActivationDifference
from bumperlane.detect.internals.features import NeutralText
from bumperlane.detect.internals.reference_residual import ReferenceResidual
from bumperlane.errors import EvidenceError, SettingError
from promises import keep
from rows import pair

RNG = np.random.default_rng(1)
IMPRINT = np.array([0.0, 2.0, 0.0, -1.0])


def made(n, strength=1.0, aside=0.0, d=4):
    base = 9 * RNG.normal(size=(n, d))
    added = strength * np.resize(IMPRINT, d) + RNG.normal(size=(n, d))
    added[:, 0] += aside
    return pair(base + added, base)


FIT = NeutralText(made(4000), made(300))
FITTED = ActivationDifference().fit(FIT)


def difference(seen):
    return seen.subject.rows - seen.base.rows


def test_keeps_every_promise(tmp_path):
    keep(ActivationDifference, tmp_path)


def test_agrees_with_the_projection_by_hand():
    unit = difference(FIT.neutral).mean(axis=0)
    unit /= np.linalg.norm(unit)
    ordinary, seen = difference(FIT.trusted) @ unit, made(9, 3)
    wanted = (difference(seen) @ unit - ordinary.mean()) / ordinary.std()
    np.testing.assert_allclose(FITTED.score(seen).values, wanted, rtol=1e-9)
    assert FITTED.strength == pytest.approx(np.linalg.norm(IMPRINT), rel=0.1)
    assert np.abs(FITTED.score(FIT.trusted).values.mean()) < 1e-9


def test_prompts_on_which_the_imprint_is_stronger_score_higher_and_weaker_ones_lower():
    weak, usual, strong = (np.median(FITTED.score(made(200, s)).values) for s in (0, 1, 3))
    assert weak < -1 and abs(usual) < 0.3 and strong > 3


def test_what_both_models_have_cancels():
    seen = made(20, 2)
    both = 1e3 * RNG.normal(size=(20, 4))
    moved = pair(seen.subject.rows + both, seen.base.rows + both)
    np.testing.assert_allclose(FITTED.score(moved).values, FITTED.score(seen).values, atol=1e-9)


def test_in_many_dimensions_one_direction_sees_what_the_spread_of_all_does_not():
    """What sets it apart from ReferenceResidual: there a shift along the mean is one of d parts."""
    neutral, clean, judged, bad = (made(n, s, d=384) for n, s in ((400, 0.3), (400, 0.3), (400, 0.3), (100, 0.5)))
    caught = []
    for fitted in (ActivationDifference().fit(NeutralText(neutral, clean)), ReferenceResidual().fit(clean)):
        line = np.quantile(fitted.score(judged).values, 0.95)
        caught.append((fitted.score(bad).values > line).mean())
    assert caught[0] > 0.9 > 0.5 > caught[1]


def test_is_blind_to_a_change_orthogonal_to_the_imprint():
    line = np.quantile(FITTED.score(made(4000)).values, 0.95)
    assert (FITTED.score(made(4000, aside=6)).values > line).mean() < 0.1
    away = ReferenceResidual().fit(FIT.trusted)
    assert (away.score(made(400, aside=6)).values > np.quantile(away.score(made(400)).values, 0.95)).mean() > 0.9


def test_refuses_a_finetune_that_leaves_no_common_imprint():
    with pytest.raises(
        EvidenceError,
        match=r"no common imprint on 600 neutral texts at layer 12: .*have a cosine of -?0\.\d+, 0.5 is needed",
    ):
        ActivationDifference().fit(NeutralText(made(600, strength=0), made(300)))
    same = pair(FIT.neutral.base.rows, FIT.neutral.base.rows)
    with pytest.raises(EvidenceError, match="have a cosine of 0.00, 0.5 is needed. Read another layer"):
        ActivationDifference().fit(NeutralText(same, FIT.trusted))


def test_refuses_too_few_texts_or_prompts_and_prompts_that_are_all_alike():
    for neutral, trusted, said in ((made(7), made(9), "got 7 and 9"), (made(9), made(7), "got 9 and 7")):
        with pytest.raises(EvidenceError, match=f"needs 8 or more neutral texts and trusted prompts, {said}"):
            ActivationDifference().fit(NeutralText(neutral, trusted))
    rows = np.ones((9, 4))
    with pytest.raises(EvidenceError, match="the imprint is equally strong on all 9 trusted prompts"):
        ActivationDifference().fit(NeutralText(FIT.neutral, pair(rows + IMPRINT, rows)))


@pytest.mark.parametrize(("layer", "d", "there"), [(13, 4, r"\(13, 4\)"), (12, 3, r"\(12, 3\)")])
def test_refuses_to_score_another_layer_or_width(layer, d, there):
    with pytest.raises(EvidenceError, match=rf"fitted at \(layer, d\) \(12, 4\), cannot score {there}. Read the same"):
        FITTED.score(pair(np.ones((3, d)), np.ones((3, d)), layer))


@pytest.mark.parametrize("agreement", [0, 1, -0.5, float("nan")])
def test_refuses_an_agreement_outside_its_range(agreement):
    with pytest.raises(SettingError, match="agreement must be between 0 and 1, got"):
        ActivationDifference(agreement)
