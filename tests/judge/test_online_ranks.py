from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import stats

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.online_ranks import GAPS, OnlineRanks, draws, p_stream


def streams(times, n, length, draw, seed=0):
    """p-values (times, length) of streams that go on as their calibration scores began."""
    rng = np.random.default_rng(seed)
    return np.array([p_stream(OnlineRanks.of(draw(rng, n), seed=i), draw(rng, length))[0] for i in range(times)])


DRAWS = {
    "smooth": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(size=n),
    "three values": lambda rng, n: rng.integers(0, 3, n).astype(float),
    "one value": lambda rng, n: np.ones(n),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("n", [3, 40])
def test_p_values_are_uniform_and_independent_of_those_before(kind, n):
    p = streams(1500, n, 6, DRAWS[kind])
    assert (p > 0).all() and (p <= 1).all()
    for column in p.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    for one, other in ((0, 1), (1, 2), (0, 5), (4, 5)):
        table = np.histogram2d(p[:, one], p[:, other], bins=3, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(table.ravel()).pvalue > 1e-4


def test_a_fixed_calibration_set_gives_p_values_that_depend_on_each_other():
    """Why ranks are taken among all that was seen. If this fails, the docstring is out of date."""
    rng = np.random.default_rng(1)
    fixed = []
    for _ in range(400):
        clean, new = np.sort(rng.normal(size=10)), rng.normal(size=200)
        fixed.append((1 + 10 - np.searchsorted(clean, new)).mean() / 11)
    spread = np.std(fixed)
    ours = np.std(streams(200, 10, 200, DRAWS["smooth"]).mean(axis=1))
    assert ours == pytest.approx(np.sqrt(1 / 12 / 200), rel=0.25) and spread > 3 * ours


def test_agrees_with_the_urn_by_hand():
    ranks = OnlineRanks.of(np.array([3.0, 1.0, 2.0]), seed=5)
    np.testing.assert_array_equal(ranks.gaps, [1, 1, 1, 1])
    p, ranks = ranks.update(2.5)
    assert p == pytest.approx((1 + draws(5, 0)[1]) / 4)
    p, ranks = ranks.update(9.0)
    assert p == pytest.approx(draws(5, 1)[1] / 5)
    p, ranks = ranks.update(2.6)
    assert p == pytest.approx((2 + 2 * draws(5, 2)[1]) / 6)
    np.testing.assert_array_equal(ranks.counts, [0, 0, 2, 1])
    assert ranks.seen == 3


def test_memory_is_bounded_and_the_top_keeps_its_fineness():
    ranks = OnlineRanks.of(np.random.default_rng(2).permutation(20_000.0 * np.linspace(0, 1, 20_000)))
    assert len(ranks.gaps) == GAPS and ranks.gaps.sum() == 20_001
    assert (ranks.gaps[-256:] == 1).all() and ranks.gaps[:-256].max() <= 27
    p, after = ranks.update(1e9)
    assert p <= 1 / 20_001 and len(after.counts) == GAPS


def test_taking_gaps_together_keeps_p_values_uniform():
    p = streams(40, 3000, 50, DRAWS["smooth"], seed=3).ravel()
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_higher_scores_have_smaller_p_values():
    ranks = OnlineRanks.of(np.arange(100.0))
    p = [ranks.update(s)[0] for s in (-1.0, 20.5, 50.5, 90.5, 200.0)]
    assert p == sorted(p, reverse=True) and p[-1] <= 1 / 101


def test_the_same_seed_gives_the_same_stream_wherever_it_is_taken_up_again():
    rng = np.random.default_rng(4)
    clean, new = np.round(rng.normal(size=60)), np.round(rng.normal(size=40))
    whole, _ = p_stream(OnlineRanks.of(clean, 7), new)
    first, ranks = p_stream(OnlineRanks.of(clean, 7), new[:23])
    np.testing.assert_array_equal(np.r_[first, p_stream(ranks, new[23:])[0]], whole)
    assert not np.array_equal(p_stream(OnlineRanks.of(clean, 8), new)[0], whole)


def test_an_update_leaves_the_state_before_as_it_was():
    ranks = OnlineRanks.of(np.arange(9.0))
    ranks.update(3.5)
    assert ranks.seen == 0
    with pytest.raises(FrozenInstanceError):
        ranks.seed = 1


def test_refuses_scores_that_cannot_be_ranked():
    with pytest.raises(EvidenceError, match=r"1 or more finite calibration scores, got shape \(0,\)"):
        OnlineRanks.of(np.zeros(0))
    with pytest.raises(EvidenceError, match="with 1 not finite"):
        OnlineRanks.of(np.array([1.0, np.inf]))
    with pytest.raises(EvidenceError, match="a score of nan cannot be ranked"):
        OnlineRanks.of(np.zeros(3)).update(float("nan"))
    with pytest.raises(SettingError, match="seed must be 0 or more, got -1"):
        OnlineRanks.of(np.zeros(3), -1)
