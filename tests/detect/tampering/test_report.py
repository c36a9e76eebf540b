from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bumperlane.detect.internals.probes.logistic import LogisticProbe
from bumperlane.detect.internals.probes.ordering import auroc
from bumperlane.detect.internals.tampering.exclusion import Exclusion
from bumperlane.detect.internals.tampering.references import ground_truth_probe, sensor_probe, trusted_probe
from bumperlane.detect.internals.tampering.report import _resampled, compare, real_or_fake
from bumperlane.detect.internals.tampering.task import Sensed
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, Scores, numbered

RNG = np.random.default_rng(3)


def scored(real, fake, **more):
    """Scores of real items, then of fake ones, by any number of methods."""
    n, truth = len(real) + len(fake), np.arange(len(real) + len(fake)) < len(real)
    seen = Sensed(Activations(np.zeros((n, 1)), numbered(n)), np.ones((n, 2), bool), truth)
    methods = {"plain": np.concatenate([real, fake]), **more}
    return {name: Scores(np.asarray(v, float), seen.ids, name) for name, v in methods.items()}, seen


def test_agrees_with_scikit_learn():
    real, fake = RNG.normal(size=80).round(1), RNG.normal(size=50).round(1) + 0.7
    scores, seen = scored(real, fake)
    found = real_or_fake(scores, seen)
    theirs = roc_auc_score(~seen.truth, scores["plain"].values)
    assert found.auroc["plain"].value == pytest.approx(theirs, abs=1e-12)
    assert (found.real, found.fake) == (80, 50) and found.lift == {}


def test_resamples_are_ordered_as_all_items_are():
    values = {"plain": (RNG.integers(0, 5, 30).astype(float), RNG.integers(1, 6, 20).astype(float))}
    rng = np.random.default_rng(4)
    real, fake = values["plain"]
    by_hand = []
    for _ in range(20):
        drawn = rng.integers(0, 30, 30), rng.integers(0, 20, 20)
        by_hand.append(auroc(real[drawn[0]], fake[drawn[1]]))
    np.testing.assert_allclose(_resampled(values, 20, 4)["plain"], by_hand)


def test_intervals_cover_the_true_order_as_often_as_they_say():
    true, inside = norm.cdf(1 / 2**0.5), 0
    rng = np.random.default_rng(0)
    for _ in range(200):
        scores, seen = scored(rng.normal(size=60), rng.normal(size=40) + 1)
        interval = real_or_fake(scores, seen, resamples=200).auroc["plain"]
        inside += interval.low <= true <= interval.high
    assert 0.90 <= inside / 200 <= 0.99


def test_the_difference_of_two_like_methods_has_a_narrower_interval_than_either():
    """Both are resampled alike: what they share cancels."""
    real, fake = RNG.normal(size=60), RNG.normal(size=60) + 1
    near = np.concatenate([real, fake]) + 0.05 * RNG.normal(size=120)
    found = real_or_fake(*scored(real, fake, near=near))
    width = lambda i: i.high - i.low  # noqa: E731
    assert width(found.lift["near"]) < 0.3 * width(found.auroc["near"])
    assert found.lift["near"].value == pytest.approx(found.auroc["near"].value - found.auroc["plain"].value)


@pytest.mark.parametrize(("sign", "low", "high"), [(1, 0.025**0.2, 1.0), (-1, 0.0, 1 - 0.025**0.2)])
def test_a_perfect_order_of_five_fakes_is_not_said_to_be_certain(sign, low, high):
    found = real_or_fake(*scored(np.arange(30.0), sign * np.arange(100.0, 105.0))).auroc["plain"]
    assert (found.value, found.low, found.high) == (float(sign > 0), pytest.approx(low), pytest.approx(high))


def test_the_same_seed_gives_the_same_intervals():
    made = scored(RNG.normal(size=20), RNG.normal(size=20))
    assert real_or_fake(*made) == real_or_fake(*made)
    assert real_or_fake(*made) != real_or_fake(*made, seed=1)


def test_refuses_items_that_cannot_be_compared():
    scores, seen = scored(RNG.normal(size=5), RNG.normal(size=5))
    with pytest.raises(EvidenceError, match="only be told apart where the truth is known"):
        real_or_fake(scores, replace(seen, truth=None))
    with pytest.raises(EvidenceError, match="needs real and fake positives, got 10 real and 0 fake"):
        real_or_fake(scores, replace(seen, truth=np.ones(10, bool)))
    mixed = replace(seen, sensors=np.array([[True, i > 2] for i in range(10)]))
    with pytest.raises(EvidenceError, match="3 of 10 items have a sensor that is not positive"):
        real_or_fake(scores, mixed)
    with pytest.raises(EvidenceError, match="plain scored 9 other items than the 10 compared"):
        real_or_fake({"plain": Scores(np.zeros(9), numbered(9), "x")}, seen)
    with pytest.raises(SettingError, match="resamples must be 100 or more and level in"):
        real_or_fake(scores, seen, resamples=10)


@pytest.mark.parametrize("seed", range(3))
def test_the_methods_lie_between_their_references(world, seed):
    of = world(trace=1.0, outcome=1.0, seed=seed)
    found = compare(of.task(), of.unseen(), resamples=300)
    values = {name: interval.value for name, interval in found.auroc.items()}
    assert abs(values["plain"] - 0.5) < 0.1 < values["trusted"]
    assert values["plain"] + 0.2 < values["exclusion"] <= values["ground truth"]
    assert values["plain"] + 0.2 < values["evidence"] <= values["ground truth"] + 0.005
    assert found.lift["exclusion"].low > 0.2 and "refitted exclusion" not in values


@pytest.mark.parametrize("seed", range(3))
def test_says_that_exclusion_does_not_help_where_the_sensors_mislead_nobody_inside(world, seed):
    """Tampering leaves no trace, but the predictor knows that the outcome failed: the plain probe is as good."""
    of = world(trace=0.0, seed=seed)
    found = compare(of.task(), of.unseen(), resamples=300)
    assert found.auroc["plain"].value > 0.85
    assert found.lift["exclusion"].high < 0.01


def test_without_the_truth_of_untrusted_items_there_is_no_upper_reference(world):
    of = world()
    assert "ground truth" not in compare(of.task(known=False), of.unseen(), resamples=300).auroc


def test_a_method_that_cannot_be_used_is_named_with_the_reason_and_the_others_go_on(world):
    of = world()
    task = of.task()
    task = replace(task, untrusted=task.untrusted.where(~task.untrusted.inconsistent))
    found = compare(task, of.unseen(), resamples=300)
    assert set(found.blind) == {"evidence", "exclusion"} and set(found.auroc) == {"plain", "trusted", "ground truth"}
    assert found.blind["evidence"].startswith("the 3 sensors agree on all")


def test_refuses_to_score_items_that_were_learned_from(world):
    of = world()
    task = of.task()
    for part in (task.trusted, task.untrusted):
        with pytest.raises(EvidenceError, match=f"items to learn from and items to score share {len(part.ids)} items"):
            compare(task, part)


def test_references_are_fitted_on_what_they_are_named_for(world, monkeypatch):
    given = []
    monkeypatch.setattr(LogisticProbe, "fit", lambda self, labelled: given.append(labelled))
    task, probe = world().task(), LogisticProbe()
    for reference in (sensor_probe, trusted_probe, ground_truth_probe):
        reference(task, probe)
    plain, trusted, truth = given
    assert plain.ids == task.ids
    np.testing.assert_array_equal(plain.labels[300:], ~task.untrusted.sensors.all(axis=1))
    assert trusted.ids == task.trusted.ids
    np.testing.assert_array_equal(trusted.labels, ~task.trusted.truth)
    positive = task.untrusted.sensors.all(axis=1)
    assert truth.ids == tuple(np.array(task.untrusted.ids)[positive])
    np.testing.assert_array_equal(truth.labels, ~task.untrusted.truth[positive])


def test_the_upper_reference_needs_the_truth(world):
    with pytest.raises(EvidenceError, match="needs the truth of untrusted items. Pass it, or do without"):
        ground_truth_probe(world().task(known=False), LogisticProbe())


def test_the_rule_of_the_exclusion_is_the_one_that_is_given(world):
    of = world(believes=True)
    task, seen = of.task(), of.unseen()
    values = [
        compare(task, seen, Exclusion(rule=rule), resamples=100).auroc["exclusion"].value
        for rule in ("flagged", "all-positive")
    ]
    assert values[0] > values[1]
