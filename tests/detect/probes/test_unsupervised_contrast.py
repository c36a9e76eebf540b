from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA

import promises
from bumperlane.detect.internals.probes.ordering import auroc
from bumperlane.detect.internals.unsupervised_contrast import ContrastSet, Pairs, UnsupervisedContrast, first_component
from bumperlane.errors import EvidenceError, SettingError
from rows import rows

RNG = np.random.default_rng(11)


def pairs(bad, d=10, topic=3.0, other=0.0, start=0):
    """Yes and no share their item's topic; the model's belief pulls them apart on axis 0, something else on axis 1."""
    n = len(bad)
    lean, shared = np.where(bad, 2.0, -2.0), RNG.normal(size=(n, d)) * topic
    beside = np.outer(RNG.choice([-1, 1], n) * other, np.eye(d)[1])
    word = np.eye(d)[-1] * 30
    yes, no = (
        shared + s * (np.outer(lean, np.eye(d)[0]) + beside + word) + RNG.normal(size=(n, d)) * 0.5 for s in (1, -1)
    )
    return Pairs(rows(yes, start=start), rows(no, start=start))


def some(n, share=0.5):
    return RNG.random(n) < share


HALF = np.arange(20) % 2 == 0
FIT = ContrastSet(pairs(some(300)), pairs(HALF, start=1000), HALF)
FITTED = UnsupervisedContrast().fit(FIT)
FEW_BAD = np.arange(200) < 20


def test_keeps_every_promise(tmp_path):
    promises.keep(UnsupervisedContrast, tmp_path)


@pytest.mark.parametrize(("n", "d"), [(100, 6), (30, 50)])
def test_the_first_component_agrees_with_scikit_learn(n, d):
    x = RNG.normal(size=(n, d)) * RNG.uniform(0.5, 3, d)
    x -= x.mean(axis=0)
    theirs = PCA(1, svd_solver="full").fit(x)
    direction, share = first_component(x)
    assert abs(direction @ theirs.components_[0]) == pytest.approx(1, abs=1e-9)
    assert share == pytest.approx(theirs.explained_variance_ratio_[0])
    assert direction[np.abs(direction).argmax()] > 0


def test_agrees_with_the_projection_by_hand():
    def normal(side):
        return (side.rows - side.rows.mean(axis=0)) / side.rows.std(axis=0)

    gaps = normal(FIT.pairs.yes) - normal(FIT.pairs.no)
    by_hand = gaps @ PCA(1, svd_solver="full").fit(gaps).components_[0]
    by_hand *= np.sign(by_hand @ FITTED.score(FIT.pairs).values) / by_hand.std()
    np.testing.assert_allclose(FITTED.score(FIT.pairs).values, by_hand, rtol=1e-7, atol=1e-9)


def test_tells_without_a_label_what_the_model_believes():
    bad = some(300)
    values = FITTED.score(pairs(bad)).values
    assert auroc(values[~bad], values[bad]) > 0.99
    assert values[bad].min() > 0 > values[~bad].max()


def test_the_words_yes_and_no_do_not_enter():
    """They are the largest difference of all, and the same in every pair."""
    assert abs(FITTED.yes_weights[-1]) < 0.1 * abs(FITTED.yes_weights[0])


def test_anchors_with_the_opposite_answers_turn_the_scores_round():
    turned = UnsupervisedContrast().fit(replace(FIT, bad=~FIT.bad))
    np.testing.assert_allclose(turned.score(FIT.pairs).values, -FITTED.score(FIT.pairs).values, rtol=1e-12)


def test_exchanging_yes_and_no_turns_the_scores_of_seen_pairs_round():
    seen = pairs(some(50))
    centred = ContrastSet(FIT.pairs, FIT.anchors, FIT.bad)
    swapped = ContrastSet(*(Pairs(p.no, p.yes) for p in (FIT.pairs, FIT.anchors)), ~centred.bad)
    fitted = UnsupervisedContrast().fit(swapped)
    np.testing.assert_allclose(
        fitted.score(Pairs(seen.no, seen.yes)).values, -FITTED.score(seen).values, rtol=1e-7, atol=1e-9
    )


def test_the_rarer_end_is_bad_when_told_so():
    fitted = UnsupervisedContrast("rarer").fit(ContrastSet(pairs(some(400, 0.1))))
    values = fitted.score(pairs(FEW_BAD)).values
    assert auroc(values[~FEW_BAD], values[FEW_BAD]) > 0.99


def test_the_rarer_end_is_the_wrong_one_where_most_are_bad():
    """The assumption named in the docstring. If this fails, the docstring is out of date."""
    fitted = UnsupervisedContrast("rarer").fit(ContrastSet(pairs(some(400, 0.9))))
    values = fitted.score(pairs(FEW_BAD)).values
    assert auroc(values[~FEW_BAD], values[FEW_BAD]) < 0.01


def test_refuses_to_guess_the_sign_where_both_ends_look_alike():
    with pytest.raises(EvidenceError, match="two ends of 300 pairs look alike .skewness .*Pass anchors"):
        UnsupervisedContrast("rarer").fit(ContrastSet(pairs(np.arange(300) % 2 == 0)))


def test_another_prominent_feature_takes_the_component_and_the_anchors_say_so():
    """The blind spot named in the docstring: nothing in the method prefers truth."""
    fit = ContrastSet(pairs(some(300), topic=0.5, other=2.0), pairs(some(40), topic=0.5, other=2.0), some(40))
    with pytest.raises(EvidenceError, match=r"orders the anchors with AUROC 0.\d+, 0.9 is needed: the first component"):
        UnsupervisedContrast().fit(fit)


def test_inconsistency_is_small_for_pairs_that_mirror_each_other_and_needs_no_sign():
    seen = pairs(some(100), topic=0.0)
    both = Pairs(seen.yes, replace(seen.no, rows=seen.yes.rows + np.eye(10)[-1] * -60))  # read as yes on both sides
    small, large = FITTED.inconsistency(seen), FITTED.inconsistency(both)
    assert np.median(large) > 5 * np.median(small)
    np.testing.assert_allclose(FITTED.turned(-1).inconsistency(seen), small)


def test_the_sum_and_the_difference_of_the_sides_are_what_is_reported():
    seen = pairs(some(20))
    yes, no = FITTED.sides(seen)
    np.testing.assert_allclose(FITTED.score(seen).values, yes - no)
    np.testing.assert_allclose(FITTED.inconsistency(seen), abs(yes + no))


def test_refuses_to_fit_without_a_sign():
    for anchors, got in ((None, "none"), (np.arange(8) < 3, "5 good and 3 bad")):
        known = None if anchors is None else pairs(anchors, start=1000)
        with pytest.raises(EvidenceError, match=f"no sign of its own: 4 or more anchors of each answer.* got {got}"):
            UnsupervisedContrast().fit(ContrastSet(FIT.pairs, known, anchors))


def test_refuses_too_few_pairs_another_place_and_evidence_of_another_kind():
    with pytest.raises(EvidenceError, match="ContrastSet of 20 or more pairs, got 19 pairs"):
        UnsupervisedContrast().fit(ContrastSet(pairs(some(19)), FIT.anchors, FIT.bad))
    with pytest.raises(EvidenceError, match="ContrastSet of 20 or more pairs, got Pairs"):
        UnsupervisedContrast().fit(FIT.pairs)
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 10\), cannot score \(12, 9\)"):
        FITTED.score(pairs(some(5), d=9))


def test_says_where_to_read_when_yes_and_no_do_not_differ():
    same = rows(RNG.normal(size=(30, 4)))
    with pytest.raises(EvidenceError, match="differ by the same on all 30 pairs at layer 12. Read at the token"):
        UnsupervisedContrast("rarer").fit(ContrastSet(Pairs(same, same)))


def test_refuses_pairs_and_anchors_that_do_not_fit_together():
    one, other = rows(np.zeros((3, 2))), rows(np.zeros((3, 2)), start=5)
    with pytest.raises(
        EvidenceError, match=r"must hold the same items at the same place, got 3 items at \(12, 2\) and 3"
    ):
        Pairs(one, other)
    with pytest.raises(EvidenceError, match="anchors need their answers"):
        ContrastSet(FIT.pairs, FIT.anchors)
    with pytest.raises(EvidenceError, match="answers must be 20 booleans, one an anchor, got float64"):
        ContrastSet(FIT.pairs, FIT.anchors, np.ones(20))
    with pytest.raises(EvidenceError, match=r"anchors lie at \(12, 2\) and pairs at \(12, 10\)"):
        ContrastSet(FIT.pairs, Pairs(one, one), np.ones(3, bool))


def test_refuses_settings_that_mean_nothing():
    with pytest.raises(SettingError, match="sign must be 'anchors' or 'rarer', got 'up'"):
        UnsupervisedContrast("up")
    with pytest.raises(SettingError, match="order must be above 0.5 and at most 1, got 0.5"):
        UnsupervisedContrast(order=0.5)
