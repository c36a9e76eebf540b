from dataclasses import FrozenInstanceError, dataclass, replace

import numpy as np
import pytest
from scipy import stats

from bumperlane.detect.contract import pooled, scorer
from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.contrast_probe import ContrastProbe
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.conformal import p_values
from bumperlane.judge.trial import Trial, run_trial
from bumperlane.types import Activations, Labelled, PairedActivations, Scores
from rows import rows

D = 5


def drawn(seed=0, fit=100, calibrate=199, control=200, untrusted=100, shift=0.0, d=D):
    rng, start, made = np.random.default_rng(seed), 0, {}
    for role, n in {"fit": fit, "calibrate": calibrate, "control": control, "untrusted": untrusted}.items():
        moved = shift * np.eye(d)[0] if role == "untrusted" else 0
        made[role] = rows(rng.normal(size=(n, d)) + moved, start=start)
        start += n
    return Trial(**made)


@dataclass(frozen=True)
class Discriminator:
    """An offline detector that tells clean rows from its batch, and learns the batch by heart where d is large."""

    def fit(self, clean, untrusted):
        x = np.concatenate([clean.rows, untrusted.rows])
        y = np.repeat([-1.0, 1.0], [len(clean.ids), len(untrusted.ids)])
        return FittedDiscriminator(x.T @ np.linalg.solve(x @ x.T + 1e-3 * np.eye(len(x)), y))


@dataclass(frozen=True)
class FittedDiscriminator:
    weights: np.ndarray

    def score_batch(self, seen):
        return Scores(seen.rows @ self.weights, seen.ids, "Discriminator")


@dataclass(frozen=True)
class ByPlace:
    """An offline detector with a fault: it scores items by their place in the batch."""

    def fit(self, clean, untrusted):
        return self

    def score_batch(self, seen):
        return Scores(np.arange(len(seen.ids), dtype=float), seen.ids, "ByPlace")


def test_scores_and_p_values_are_those_of_the_parts_done_by_hand():
    trial = drawn(shift=3)
    score = Mahalanobis().fit(trial.fit).score
    found = run_trial(Mahalanobis(), trial, 0.05)
    p = p_values(score(trial.calibrate).values, score(trial.untrusted).values)
    np.testing.assert_array_equal(found.untrusted_p, p)
    assert found.flagged == tuple(i for i, one in zip(trial.untrusted.ids, p, strict=True) if one <= 0.05)
    assert found.flag_rate.value == len(found.flagged) / 100 > 0.3
    over = int((score(trial.control).values > found.threshold).sum())
    exact = stats.binomtest(over, 200).proportion_ci(method="exact")
    assert (found.false_alarms.low, found.false_alarms.high) == pytest.approx((exact.low, exact.high))
    assert (found.control_p <= 0.05).sum() == over and found.bumper == "Mahalanobis"


def mean_false_alarms(bumper, alpha, times, **sizes):
    return np.mean([run_trial(bumper, drawn(i, **sizes), alpha).false_alarms.value for i in range(times)])


def spread_of_mean(alpha, calibrate, control, times):
    return np.sqrt(alpha * (1 - alpha) * (1 / (calibrate + 2) + 1 / control) / times)


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_measured_false_alarm_rate_is_the_stated_one(alpha):
    found = mean_false_alarms(Mahalanobis(), alpha, 150)
    assert abs(found - alpha) < 3 * spread_of_mean(alpha, 199, 200, 150)


def test_an_offline_detector_that_knows_its_batch_by_heart_keeps_the_stated_rate():
    sizes = {"fit": 60, "calibrate": 99, "control": 50, "untrusted": 50, "d": 1000}
    found = mean_false_alarms(Discriminator(), 0.1, 40, **sizes)
    assert abs(found - 0.1) < 3.5 * spread_of_mean(0.1, 99, 50, 40)
    trial = drawn(0, **sizes)
    score = scorer(Discriminator(), trial.fit, pooled(trial.untrusted, trial.control))
    naive = p_values(score(trial.calibrate).values, score(trial.control).values)
    assert (naive <= 0.1).mean() > 0.5  # calibration items outside the batch: most ordinary items are flagged


def test_an_offline_detector_finds_what_only_its_batch_shows():
    found = run_trial(Discriminator(), drawn(fit=400, shift=3), 0.05)
    assert found.flag_rate.low > 0.5 and found.false_alarms.high < 0.12


def test_the_batch_of_an_offline_detector_is_in_an_order_that_tells_no_role():
    found = run_trial(ByPlace(), drawn(), 0.05)
    assert found.false_alarms.value < 0.15 and found.control_odds > 1e-3
    assert sorted(np.r_[found.calibrate.values, found.control.values, found.untrusted.values]) == list(range(499))
    other = run_trial(ByPlace(), drawn(), 0.05, seed=1)
    assert not np.array_equal(other.control.values, found.control.values)
    np.testing.assert_array_equal(run_trial(ByPlace(), drawn(), 0.05).control_p, found.control_p)


def test_labels_and_pairs_move_with_their_items_when_the_batch_is_put_in_order():
    @dataclass(frozen=True)
    class Labels:
        def fit(self, clean, untrusted):
            return self

        def score_batch(self, seen):
            rows_ = seen.activations.rows[:, 0]
            np.testing.assert_array_equal(rows_ > 0, seen.labels)
            return Scores(rows_, seen.ids, "Labels")

    plain = drawn()
    parts = {
        r: Labelled(a := getattr(plain, r), a.rows[:, 0] > 0) for r in ("fit", "calibrate", "control", "untrusted")
    }
    found = run_trial(Labels(), Trial(**parts), 0.05)
    np.testing.assert_array_equal(found.control.values, plain.control.rows[:, 0])


def in_pairs(trial, ours=0.0):
    def pair(role):
        seen = getattr(trial, role)
        other = np.random.default_rng(9).normal(size=seen.rows.shape)
        return PairedActivations(seen, replace(seen, rows=other))

    return Trial(**{role: pair(role) for role in ("fit", "calibrate", "control", "untrusted")})


@pytest.mark.parametrize("detector", [Mahalanobis(), Discriminator()])
def test_a_detector_read_against_the_base_is_tried_like_any_other(detector):
    found = run_trial(AgainstBase(detector), in_pairs(drawn(fit=400, shift=4)), 0.05)
    assert found.flag_rate.value > 0.4 and found.control_odds > 0.001


def test_fit_may_be_evidence_of_another_kind_whose_parts_have_the_ids():
    trap = ContrastProbe.trap()
    ids = tuple(f"c{i}" for i in range(200))
    control = PairedActivations(replace(trap.clean.subject, ids=ids), replace(trap.clean.base, ids=ids))
    found = run_trial(ContrastProbe(), Trial(trap.fit, trap.clean, control, trap.bad), 0.05)
    assert found.flag_rate.value == 1
    with pytest.raises(EvidenceError, match=r"0 \(fit and calibrate\)"):
        Trial(trap.fit, replace_ids(trap.clean, "0"), control, trap.bad)


def replace_ids(pair, first):
    ids = (first, *pair.ids[1:])
    return PairedActivations(replace(pair.subject, ids=ids), replace(pair.base, ids=ids))


def test_odds_are_small_where_control_is_drawn_otherwise_than_calibrate():
    trial = drawn()
    moved = replace(trial, control=replace(trial.control, rows=trial.control.rows + 2))
    assert run_trial(Mahalanobis(), moved, 0.05).control_odds < 1e-6
    odds = [run_trial(Mahalanobis(), drawn(i), 0.05).control_odds for i in range(60)]
    assert np.mean(np.array(odds) <= 0.1) < 0.25


def test_odds_agree_with_the_share_above_an_order_statistic_drawn_at_random():
    found = run_trial(Mahalanobis(), drawn(3), 0.05)
    above = np.random.default_rng(0).beta(10, 190, 400_000)  # share above the 190th of 199 scores
    over = round(found.false_alarms.value * 200)
    assert over > 2 and found.control_odds == pytest.approx(stats.binom.sf(over - 1, 200, above).mean(), rel=0.02)


def test_scores_equal_to_the_threshold_are_not_flagged():
    @dataclass(frozen=True)
    class Rounded:
        def fit(self, clean):
            return self

        def score(self, seen):
            return Scores(np.round(seen.rows[:, 0]), seen.ids, "Rounded")

    found = run_trial(Rounded(), drawn(), 0.1)
    assert (found.untrusted.values == found.threshold).any()
    assert len(found.flagged) == (found.untrusted_p <= 0.1).sum() == (found.untrusted.values > found.threshold).sum()


def test_refuses_an_id_with_two_roles_and_names_both():
    trial = drawn()
    shared = rows(trial.control.rows, start=50)
    with pytest.raises(EvidenceError, match=r"200 ids have two roles, first .*50 \(fit and control\)"):
        replace(trial, control=shared)
    with pytest.raises(EvidenceError, match=r"299 \(control and untrusted\)|\(calibrate and untrusted\)"):
        replace(trial, untrusted=rows(trial.untrusted.rows, start=299))


def test_refuses_roles_of_different_kinds_and_evidence_without_ids():
    trial = drawn()
    with pytest.raises(EvidenceError, match="'control': 'PairedActivations'.*Read all three in the same way"):
        replace(trial, control=PairedActivations(trial.control, trial.control))
    with pytest.raises(EvidenceError, match="fit is ndarray, which has no ids"):
        replace(trial, fit=trial.fit.rows)


def test_says_how_many_calibration_items_are_missing():
    with pytest.raises(EvidenceError, match="takes 99 clean items, got 90: 9 are missing"):
        run_trial(Mahalanobis(), drawn(calibrate=90), 0.01)


def test_refuses_empty_roles_and_a_wrong_alpha():
    with pytest.raises(EvidenceError, match="the trial has no control items"):
        run_trial(Mahalanobis(), drawn(control=0), 0.05)
    with pytest.raises(EvidenceError, match="the trial has no untrusted items"):
        run_trial(Mahalanobis(), drawn(untrusted=0), 0.05)
    with pytest.raises(SettingError, match="alpha must be between 0 and 1, got 5"):
        run_trial(Mahalanobis(), drawn(), 5)


def test_a_trial_and_its_result_cannot_be_changed():
    trial = drawn()
    with pytest.raises(FrozenInstanceError):
        trial.fit = trial.control
    with pytest.raises(FrozenInstanceError):
        run_trial(Mahalanobis(), trial, 0.05).alpha = 0.5


def test_cannot_see_that_calibration_items_were_picked_by_score():
    """The limit named in the docstring: exchangeability is assumed. Only control, drawn otherwise, shows it."""
    trial = drawn(calibrate=400)
    near = np.argsort(np.linalg.norm(trial.calibrate.rows, axis=1))[:200]
    picked = Activations(trial.calibrate.rows[near], tuple(trial.calibrate.ids[i] for i in near), trial.calibrate.layer)
    found = run_trial(Mahalanobis(), replace(trial, calibrate=picked), 0.05)
    assert found.false_alarms.low > 0.3 and found.control_odds < 1e-6
