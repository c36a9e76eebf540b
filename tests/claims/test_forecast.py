from math import exp, log

import numpy as np
import pytest

from bumperlane.claims.forecast import (
    BOUND,
    TAIL,
    ForecastSettings,
    ItemProbabilities,
    bound,
    forecast,
    items_needed,
    largest_gap,
    psi,
    tail_forecast,
)
from bumperlane.claims.tail_end import BENDS, bend, exceeded
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.rates import exact_interval


def on_a_line(m=200, slope=0.4, height=-2.5):
    """Probabilities whose psi lies on a straight line over the log survival (i - 1/2) / m, without noise."""
    survival = (np.arange(1, m + 1) - 0.5) / m
    return ItemProbabilities(np.exp(-np.exp(slope * np.log(survival) - height)))


def straight(seed, m=300):
    """A sample of a distribution whose psi has an exponential tail."""
    return ItemProbabilities(np.exp(-np.exp(-np.random.default_rng(seed).gumbel(-2.2, 0.35, m))))


def test_psi_is_minus_log_of_minus_log():
    np.testing.assert_allclose(psi(np.array([exp(-1), exp(-exp(2))])), [0, -2], atol=1e-12)
    assert psi(np.zeros(1))[0] == -np.inf and np.isfinite(psi(np.ones(1)))[0]


@pytest.mark.parametrize("queries", [100, 10_000, 10**7])
def test_the_worst_of_n_is_what_the_line_says_by_hand(queries):
    wanted = exp(-exp(0.4 * log(log(2) / queries) + 2.5))
    assert tail_forecast(on_a_line(), queries).worst.value == pytest.approx(wanted, rel=1e-9)


def test_the_line_is_that_of_numpys_least_squares():
    items = straight(5)
    top = np.sort(items.values)[::-1][:10]
    slope, height = np.polyfit(np.log((np.arange(1, 11) - 0.5) / 300), psi(top), 1)
    wanted = exp(-exp(-(slope * log(log(2) / 5000) + height)))
    assert tail_forecast(items, 5000).worst.value == pytest.approx(wanted, rel=1e-9)


def test_the_rate_is_the_mean_over_the_items_and_the_line():
    found = tail_forecast(on_a_line(), 1000)
    survival = (np.arange(4_000_000) + 0.5) / 4_000_000
    wanted = np.exp(-np.exp(0.4 * np.log(survival) + 2.5)).mean()
    assert found.rate.value == pytest.approx(wanted, rel=0.02)
    assert found.any_bad.value == pytest.approx(1 - (1 - found.rate.value) ** 1000, rel=1e-9)


def test_a_better_sample_narrows_the_interval_and_more_queries_never_lower_the_worst():
    few, many = (tail_forecast(straight(1, m), 10_000) for m in (60, 2000))
    assert many.worst.high - many.worst.low < few.worst.high - few.worst.low
    worst = [tail_forecast(straight(1), n).worst.value for n in (1, 100, 10_000)]
    assert worst == sorted(worst)


def test_order_of_items_does_not_matter_and_the_seed_decides_the_interval():
    items = straight(2)
    turned = ItemProbabilities(items.values[::-1].copy())
    assert tail_forecast(items, 1000) == tail_forecast(turned, 1000)
    other = tail_forecast(items, 1000, ForecastSettings(seed=1))
    assert other != tail_forecast(items, 1000) and other.worst.value == tail_forecast(items, 1000).worst.value


def test_the_intervals_cover_where_the_tail_is_straight():
    truth = float(np.exp(-np.exp(-np.random.default_rng(0).gumbel(-2.2, 0.35, 2_000_000))).mean())
    worst = rate = 0
    for seed in range(120):
        found = forecast(straight(seed, 120), 5000, ForecastSettings(draws=300, seed=seed))
        met = straight(10_000 + seed, 5000).values.max()
        worst += found.worst is not None and found.worst.low <= met <= found.worst.high
        rate += found.rate.low <= truth <= found.rate.high
    assert worst >= 0.88 * 120 and rate >= 0.85 * 120


def test_is_blind_to_a_mode_that_no_item_shows_and_says_so():
    """The blind spot: 1 query in 3,000 is answered badly for sure; 300 items hold none of them."""
    found = tail_forecast(straight(3), 10_000)
    quiet = ItemProbabilities(straight(3).values * 1e-3)
    missed = forecast(quiet, 10_000)
    truth = 1 - (1 - 1 / 3000) ** 10_000
    assert missed.method == TAIL and missed.rate.high < 1 / 3000 < missed.unseen < truth
    assert "assumes no unseen mode" in missed.text and "up to 1 in 101 may be (95%)" in missed.text
    assert found.unseen == pytest.approx(1 - 0.05 ** (1 / 300)) == missed.unseen
    assert items_needed(1 / 3000) == 8986 and (1 - 1 / 3000) ** 8986 <= 0.05 < (1 - 1 / 3000) ** 8985


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (ItemProbabilities(np.full(29, 0.1)), "29 items; a line through the top 10 needs 30. Give 1 more"),
        (ItemProbabilities(np.zeros(100), 32), "0 of 100 items were answered badly in 32 samples each.*no sampling"),
        (ItemProbabilities(np.zeros(100)), "0 of 100 items were answered badly at all"),
        (ItemProbabilities(np.array([0.5] * 9 + [0.0] * 91), 2), "9 of 100 items"),
        (ItemProbabilities(np.full(100, 0.25), 4), "the 10 largest probabilities are all 0.25: there is no slope"),
    ],
)
def test_refuses_to_draw_a_line_through_what_is_none_and_gives_the_bound_instead(items, message):
    with pytest.raises(EvidenceError, match=message):
        tail_forecast(items, 1000)
    found = forecast(items, 1000)
    assert found.method == BOUND and found.worst is None and "No line was fitted:" in found.text
    assert found.why and "exact bound" in found.text and "no unseen mode" in found.text


def test_the_bound_of_samples_is_clopper_and_pearsons_on_items():
    items = ItemProbabilities(np.array([0.0] * 98 + [1 / 32, 0.5]), 32)
    found = bound(items, 100)
    assert found.rate.high == pytest.approx(exact_interval(2, 100, 0.9).high)
    assert found.any_bad.high == pytest.approx(1 - (1 - found.rate.high) ** 100)
    assert bound(ItemProbabilities(np.zeros(100), 32), 1).rate.high == pytest.approx(1 - 0.05**0.01)


def test_the_bound_of_exact_probabilities_holds_whatever_the_distribution():
    rng, held = np.random.default_rng(6), 0
    for _ in range(300):  # a lump at 1 that 40 items miss more often than not
        p = np.where(rng.random(40) < 0.02, 1.0, 1e-4)
        held += bound(ItemProbabilities(p), 10).rate.high >= 0.02 + 0.98e-4
    assert held >= 0.95 * 300


def test_an_item_of_a_kind_of_its_own_bends_the_tail_and_is_told():
    p = straight(4).values.copy()
    p[:2] = 0.9999
    with pytest.raises(EvidenceError, match="lie on no line: 2 of them, from 1, stand as far above the next"):
        tail_forecast(ItemProbabilities(p), 1000)
    assert forecast(ItemProbabilities(p), 1000).rate.high < 0.2


def test_the_largest_gap_of_a_straight_tail_is_as_rare_as_it_says():
    rng = np.random.default_rng(7)
    chances = []
    for _ in range(2000):
        scores = np.sort(rng.exponential(size=200))[::-1][:10]
        chances.append(largest_gap(scores)[1])
    for level in (0.01, 0.1, 0.5):
        assert np.mean(np.array(chances) < level) == pytest.approx(level, abs=4 * (level * (1 - level) / 2000) ** 0.5)
    assert largest_gap(np.array([9.0, 8.9, 3.0, 2.9]))[0] == 2


def test_a_bad_answer_to_every_sample_is_no_certainty():
    shares = np.concatenate([np.arange(1, 12) / 16, [14 / 16, 1.0], np.zeros(60)])
    assert tail_forecast(ItemProbabilities(shares, 16), 10).worst.value < 1


def test_attempts_raise_each_items_probability():
    items = ItemProbabilities(np.array([0.0, 1e-9, 0.3, 1.0]))
    np.testing.assert_allclose(items.attempted(4).values, [0, 4e-9, 1 - 0.7**4, 1], rtol=1e-6)
    assert items.attempted(1).values == pytest.approx(items.values)
    with pytest.raises(SettingError, match="attempts must be 1 or more"):
        items.attempted(0)
    shares = ItemProbabilities(np.array([0.0, 1 / 8, 1.0]), 8)
    np.testing.assert_allclose(shares.attempted(4).values, [0, 0.5, 1])
    with pytest.raises(SettingError, match="attempts must be 1 to 8, the number of samples, got 9"):
        shares.attempted(9)


@pytest.mark.parametrize("values", [np.array([1.2]), np.array([np.nan]), np.zeros(0), np.zeros((2, 2))])
def test_refuses_what_are_no_probabilities(values):
    with pytest.raises(EvidenceError, match="need one probability in \\[0, 1\\] for each item"):
        ItemProbabilities(values)


def test_refuses_settings_that_mean_nothing():
    with pytest.raises(SettingError, match="need top >= 3"):
        ForecastSettings(top=2)
    with pytest.raises(SettingError, match="need 1 query or more"):
        forecast(on_a_line(), 0)
    with pytest.raises(SettingError, match="need share and level"):
        items_needed(0.0)


def capped(seed, m):
    """A log-normal tail that ends at 0.05."""
    return ItemProbabilities(np.minimum(np.exp(np.random.default_rng(seed).normal(-6, 1.5, m)), 0.05))


def bends(found):
    return found.bend is not None and found.bend < BENDS


def test_a_straight_tail_is_said_to_bend_as_often_as_stated():
    found = [forecast(straight(seed), 1000, ForecastSettings(draws=100)) for seed in range(300)]
    share = np.mean([bends(f) for f in found if f.method == TAIL])
    assert share == pytest.approx(BENDS, abs=3 * (BENDS * (1 - BENDS) / 300) ** 0.5)
    for f in found:
        assert bends(f) == ("The tail bends down" in f.text) and f.warning in f.text


def test_a_capped_tail_is_told_and_its_interval_reaches_down_to_what_is_met():
    """Straight lines alone covered the worst of 20,000 queries, 0.05, in 0.38 of such samples."""
    found = [forecast(capped(seed, 300), 20_000, ForecastSettings(draws=200)) for seed in range(100)]
    lines = [f for f in found if f.worst]
    assert np.mean([bends(f) for f in lines]) > 0.6
    assert all(f.worst.low <= 0.05 <= f.worst.high for f in lines if bends(f))
    assert "it may have an end" in next(f for f in lines if bends(f)).text


def test_few_items_and_sampled_answers_are_said_not_to_show_an_end():
    few = next(f for f in (forecast(straight(s, 60), 1000) for s in range(9)) if f.worst and not bends(f))
    assert "often does not show in 10 tail items; should it have one, the worst query may lie below" in few.text
    shares = ItemProbabilities(np.random.default_rng(0).binomial(32, straight(1, 500).values) / 32, 32)
    found = tail_forecast(shares, 1000)
    assert found.bend is None and "cannot be told from these items" in found.text
    many = next(f for f in (forecast(straight(s, 500), 1000) for s in range(9)) if f.worst and not bends(f))
    assert many.warning == ""


def test_the_worst_of_n_exceeds_what_is_said_whatever_the_tail():
    rng, met = np.random.default_rng(3), []
    for _ in range(2000):
        p = np.sort(rng.random(40))[::-1]
        met.append(rng.random(60).max() >= exceeded(p, 60, 0.1))
    assert np.mean(met) >= 0.9 - 3 * (0.09 / 2000) ** 0.5
    assert exceeded(np.array([0.5, 0.2]), 1000, 0.025) == 0.5 and exceeded(np.array([0.5]), 1, 0.025) == 0.0


def test_scores_that_are_all_alike_or_too_few_tell_nothing_of_an_end():
    assert bend(np.ones(12)) is None and bend(np.array([3.0, 2.0, 1.0])) is None
    assert bend(np.array([1.0] * 20 + [0.0])) < 1e-3  # all at one cap
