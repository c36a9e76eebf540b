from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import integrate, stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.conformal import threshold
from bumperlane.judge.drift import DriftWatch, Page, more_bets, moved_bets

ALPHA, QUIET, MORE = 0.02, 500, 1200


def watch(seed, change, quiet=QUIET, n=1000, after=100):
    """(first report with an alarm, report `after` requests later), counted from the change; None after a false one."""
    rng = np.random.default_rng(seed)
    state = DriftWatch.start(rng.normal(size=n), ALPHA, seed=seed).update_all(rng.normal(size=quiet))
    if state.drift_at or state.spikes_at:
        return None
    for k in range(MORE):
        state = state.update(change(rng, k))
        if state.drift_at or state.spikes_at:
            return state.report(), state.update_all([change(rng, k + j) for j in range(after)]).report()
    return state.report(), state.report()


CHANGES = {
    "higher": lambda rng, k: rng.normal() + 0.6,
    "lower": lambda rng, k: rng.normal() - 0.6,
    "wider": lambda rng, k: rng.normal() * 1.6,
    "narrower": lambda rng, k: rng.normal() * 0.6,
}


def attacks(rng, k):
    return rng.normal() + 8 * (rng.uniform() < 0.15)


def slowly(rng, k):
    return rng.normal() + k / 500


@pytest.mark.parametrize("turn", CHANGES)
def test_finds_a_body_that_moved_says_how_and_about_since_when(turn):
    found = [f for f in (watch(seed, CHANGES[turn], after=250) for seed in range(12)) if f]
    first, later = zip(*found, strict=True)
    assert len(found) >= 11
    assert np.median([r.at - QUIET for r in first]) <= 220
    assert [r.kind for r in later].count("drift") >= 8
    assert [r.turn for r in later if r.kind == "drift"].count(turn) >= 7
    assert np.median([abs(r.since - QUIET - 1) for r in later]) <= 40


def test_finds_a_slow_drift():
    found = [f for f in (watch(seed, slowly, after=250) for seed in range(10)) if f]
    assert [later.kind for _, later in found].count("drift") >= 8
    assert np.median([first.at - QUIET for first, _ in found]) <= 450


def test_calls_attacks_spikes_not_drift_and_says_about_since_when():
    found = [f for f in (watch(seed, attacks) for seed in range(15)) if f]
    kinds = [r.kind for pair in found for r in pair]
    assert kinds.count("drift") == 0 and kinds.count("spikes") >= 0.75 * len(kinds)
    assert np.median([first.at - QUIET for first, _ in found]) <= 130
    assert np.median([abs(later.since - QUIET - 1) for _, later in found]) <= 30
    assert all(r.turn == "" for pair in found for r in pair)
    assert np.mean([later.set_aside for _, later in found]) > 1.2 * found[0][1].expected


def test_drift_is_rarely_called_spikes_even_at_the_first_alarm():
    found = [f for f in (watch(seed, CHANGES["higher"]) for seed in range(20)) if f]
    assert [first.kind for first, _ in found].count("spikes") <= 4


def test_advice_differs_drift_is_for_calibrating_anew_and_attacks_are_not():
    drift = next(f for f in (watch(s, CHANGES["lower"]) for s in range(3)) if f)[1]
    spikes = next(r for f in (watch(s, attacks) for s in range(5)) if f for r in f if r.kind == "spikes")
    assert f"from number {drift.since} on by hand" in drift.advice and "calibrate anew on 1000 or more" in drift.advice
    assert "Do not calibrate anew on this traffic" in spikes.advice
    quiet = DriftWatch.start(np.arange(100.0)).report()
    assert (quiet.kind, quiet.at, quiet.since, quiet.turn) == ("quiet", 0, 0, "") and "100 calibration" in quiet.advice


@pytest.mark.parametrize("kind", ["smooth", "discrete"])
def test_ever_raises_a_false_alarm_in_at_most_alpha_of_streams(kind):
    rng, alarms, times = np.random.default_rng(5), 0, 200

    def draw(n):
        return rng.normal(size=n) if kind == "smooth" else rng.integers(0, 6, n).astype(float)

    for seed in range(times):
        state = DriftWatch.start(draw(60), alpha=0.2, set_aside=0.1, seed=seed).update_all(draw(150))
        alarms += bool(state.drift_at or state.spikes_at)
    assert alarms / times <= 0.2


def test_every_bet_is_fair_and_can_be_lost_only_in_part():
    for k in range(12):
        assert integrate.quad(lambda p, k=k: moved_bets(p)[k], 0, 1)[0] == pytest.approx(1)
    assert min(moved_bets(p).min() for p in np.linspace(0, 1, 101)) > 0.1
    for chance in (0.001, 0.05, 0.3, 0.9):
        np.testing.assert_allclose(chance * more_bets(True, chance) + (1 - chance) * more_bets(False, chance), 1)
        assert (more_bets(False, chance) > 0).all() and (more_bets(True, chance) > 1).all()


def test_the_cut_is_the_conformal_threshold_and_parts_the_calibration_scores():
    clean = np.random.default_rng(6).normal(size=199)
    state = DriftWatch.start(clean, set_aside=0.1)
    assert state.cut == threshold(clean, 0.1)
    assert (state.above, int(state.body.gaps.sum())) == (20, 180) and state.expected == pytest.approx(0.1)
    after = state.update(state.cut + 1e-9).update(state.cut - 1e-9)
    assert (after.above, after.body.seen, after.t) == (21, 1, 2)


def test_attacks_above_the_cut_leave_the_ranks_of_the_body_alone():
    rng = np.random.default_rng(7)
    clean, ordinary = rng.normal(size=300), rng.normal(size=80)
    start = DriftWatch.start(clean)
    ordinary = ordinary[ordinary < start.cut]
    plain = start.update_all(ordinary)
    mixed = start.update_all([s for one in ordinary for s in (one, 50.0)])
    np.testing.assert_array_equal(mixed.body.counts, plain.body.counts)
    assert mixed.spikes_at and not mixed.drift_at


def test_window_distance_agrees_with_the_two_sample_test():
    rng = np.random.default_rng(8)
    clean, new = rng.normal(size=300), rng.normal(size=150) + 0.4
    state = DriftWatch.start(clean).update_all(new)
    report = state.report()
    theirs = stats.ks_2samp(clean[clean < state.cut], new[new < state.cut], method="asymp")
    assert report.ks == pytest.approx(theirs.statistic, abs=0.01)
    assert report.ks_p == pytest.approx(theirs.pvalue, abs=0.02)


def test_pages_estimate_agrees_with_the_best_start_found_by_trying_all():
    rng = np.random.default_rng(9)
    p = np.r_[rng.uniform(size=60), rng.beta(0.6, 1.2, size=60)]
    page, wins = Page.of(12), np.array([moved_bets(v) for v in p])
    for t, one in enumerate(wins, 1):
        page = page.update(one, t)
    later = np.log(wins)[::-1].cumsum(axis=0)[::-1]  # winnings from each start to the end
    assert page.gain.max() == pytest.approx(later.max())
    assert page.since == later[:, page.best].argmax() + 1


def test_a_drift_too_small_for_the_calibration_scores_is_not_seen():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    rng, seen = np.random.default_rng(10), 0
    for seed in range(6):
        state = DriftWatch.start(rng.normal(size=100), ALPHA, seed=seed).update_all(rng.normal(size=1500) + 0.15)
        seen += bool(state.drift_at)
    assert seen <= 1


def test_an_attack_inside_the_body_looks_like_drift():
    """The limit named in the docstring. If this fails, the docstring is out of date."""

    def inside(rng, k):
        return 1.0 + 0.1 * rng.normal() if rng.uniform() < 0.3 else rng.normal()

    found = [f for f in (watch(seed, inside, after=0) for seed in range(5)) if f]
    assert [first.kind for first, _ in found].count("drift") >= 4


def test_an_update_leaves_the_state_before_as_it_was():
    state = DriftWatch.start(np.arange(50.0))
    state.update(3.0)
    assert state.t == 0 and state.body.seen == 0 and len(state.recent) == 0
    with pytest.raises(FrozenInstanceError):
        state.t = 5


def test_the_window_does_not_grow():
    state = DriftWatch.start(np.arange(100.0)).update_all(np.random.default_rng(11).uniform(0, 80, 260))
    assert len(state.recent) == 200 and state.recent[-1, 0] == 260


def test_refuses_too_few_calibration_scores_and_wrong_settings():
    with pytest.raises(EvidenceError, match="sets aside 0.01 takes 99 calibration scores, got 90: 9 are missing"):
        DriftWatch.start(np.arange(90.0), set_aside=0.01)
    with pytest.raises(EvidenceError, match="takes 20 calibration scores, got 19: 1 are missing"):
        DriftWatch.start(np.arange(19.0), set_aside=0.3)
    with pytest.raises(SettingError, match="alpha must be between 0 and 1, got 2"):
        DriftWatch.start(np.arange(90.0), alpha=2)
    with pytest.raises(EvidenceError, match="with 1 not finite"):
        DriftWatch.start(np.r_[np.arange(90.0), np.nan])
    with pytest.raises(EvidenceError, match="a score of nan cannot be ranked"):
        DriftWatch.start(np.arange(90.0)).update(float("nan"))
