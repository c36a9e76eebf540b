from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import integrate

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.eprocess import EProcess, StreamAlarm, Wealth, odd_bets, wager

BETTORS = len(odd_bets(0.5))


def peaks(p):
    """Highest log wealth of each stream, p (streams, length), by the recursion that `Wealth` uses."""
    logs = np.tile(Wealth.among(BETTORS).logs, (len(p), 1))
    peak, total = np.zeros(len(p)), []
    for t, column in enumerate(p.T):
        logs = wager(logs, np.log(odd_bets(column)), 0.01 / (1 + 0.01 * t))
        total.append(np.logaddexp.reduce(logs, axis=1))
        peak = np.maximum(peak, total[-1])
    return peak, np.array(total)


def test_every_bet_is_fair():
    for k in range(BETTORS):
        # substitute p = q^20: the powers are steep at 0
        mean = integrate.quad(lambda q, k=k: odd_bets(q**20)[k] * 20 * q**19, 0, 1)[0]
        assert mean == pytest.approx(1, abs=1e-6)
    assert (odd_bets(np.array([1e-12, 0.3, 1.0])) >= 0).all() and odd_bets(np.zeros((7, 3)) + 0.5).shape == (7, 3, 12)


def test_wealth_agrees_with_the_mixture_over_start_times_by_hand():
    p, leak = np.random.default_rng(0).uniform(size=12), 0.01
    state = EProcess.start()
    for one in p:
        state = state.update(one)
    factors = odd_bets(p)  # (12, k)
    waits, total = 0.5, 0.5 / BETTORS * factors.prod(axis=0).sum()
    for t in range(12):
        given = waits * leak / (1 + leak * t)
        waits -= given
        total += given / BETTORS * factors[t:].prod(axis=0).sum()
    assert state.wealth.log_total == pytest.approx(np.log(waits + total), rel=1e-10)
    assert state.wealth.t == 12


@pytest.fixture(scope="module")
def quiet():
    return peaks(np.random.default_rng(1).uniform(size=(2000, 1000)))


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01])
def test_wealth_of_quiet_streams_ever_reaches_the_line_in_at_most_alpha_of_2000(quiet, alpha):
    assert (quiet[0] >= -np.log(alpha)).mean() <= alpha


def test_what_waits_lasts_through_a_long_quiet_time(quiet):
    assert np.median(quiet[1][-1]) > -4  # after 1,000 requests there is still something to bet with
    assert (quiet[1][-1] > np.log(0.5) - np.log1p(0.01 * 1000)).all()


def test_p_values_that_come_too_small_too_often_break_the_rate():
    """What the rate rests on: uniform p-values. A test that cannot fail would pass here too."""
    assert (peaks(np.random.default_rng(2).uniform(size=(300, 500)) ** 1.3)[0] >= -np.log(0.01)).mean() > 0.5


def contaminated(seed, quiet, share=0.1, most=2000):
    """Requests that it takes to find `share` of odd ones after `quiet` ordinary ones; None after a false alarm."""
    rng = np.random.default_rng(seed)
    state = StreamAlarm.start(rng.normal(size=1000), 0.01)
    for score in rng.normal(size=quiet):
        state = state.update(score)
    if state.alarm_at:
        return None
    while not state.alarm_at and state.process.wealth.t < quiet + most:
        state = state.update(rng.normal() + 8 * (rng.uniform() < share))
    return state.process.wealth.t - quiet


def test_finds_ten_percent_of_odd_requests_as_soon_as_the_docstring_says():
    found = [contaminated(seed, 0) for seed in range(80)]
    assert np.median(found) <= 45 and np.quantile(found, 0.9) <= 110


def test_finds_them_after_a_long_quiet_time_too():
    found = [d for d in (contaminated(seed, 1500) for seed in range(30)) if d is not None]
    assert len(found) >= 28 and np.median(found) <= 90


def test_scores_that_go_on_as_calibration_began_raise_no_more_alarms_than_stated():
    rng, alarms = np.random.default_rng(3), 0
    for seed in range(250):
        state = StreamAlarm.start(rng.standard_t(3, size=30), alpha=0.1, seed=seed)
        for score in rng.standard_t(3, size=150):
            state = state.update(score)
        alarms += state.alarm_at > 0
    assert alarms / 250 <= 0.1


def test_odd_requests_whose_scores_look_ordinary_are_not_seen():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    rng = np.random.default_rng(4)
    state = StreamAlarm.start(rng.normal(size=500))
    for _ in range(1500):
        state = state.update(rng.normal() * (0.5 if rng.uniform() < 0.1 else 1.0))
    assert not state.alarm_at and state.process.anytime_p > 0.05


def test_an_alarm_says_when_and_stays_raised():
    state = EProcess.start(0.01)
    for p in [0.5] * 20 + [1e-6] * 3:
        state = state.update(p)
    raised = state.alarm_at
    assert 21 <= raised <= 23 and state.anytime_p < 0.01
    for p in [0.9] * 300:
        state = state.update(p)
    assert state.alarm_at == raised and state.wealth.log_total < state.wealth.log_peak


def test_an_update_leaves_the_state_before_as_it_was():
    state = StreamAlarm.start(np.arange(50.0))
    after = state.update(99.0)
    assert (state.process.wealth.t, state.p, after.process.wealth.t) == (0, 1.0, 1) and after.p <= 1 / 51
    with pytest.raises(FrozenInstanceError):
        state.p = 0.5
    with pytest.raises(FrozenInstanceError):
        state.process.alpha = 0.5


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, float("nan")])
def test_refuses_to_bet_on_what_is_no_p_value(p):
    with pytest.raises(EvidenceError, match="a p-value above 0 and at most 1, got"):
        EProcess.start().update(p)


def test_refuses_a_wrong_alpha_no_bettors_and_a_score_that_is_not_finite():
    with pytest.raises(SettingError, match="alpha must be between 0 and 1, got 0"):
        EProcess.start(0)
    with pytest.raises(SettingError, match="1 or more bettors and a leak in"):
        Wealth.among(0)
    with pytest.raises(EvidenceError, match="a score of inf cannot be ranked"):
        StreamAlarm.start(np.zeros(5)).update(float("inf"))
