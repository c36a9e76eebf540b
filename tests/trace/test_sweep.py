from itertools import combinations

import numpy as np
import pytest
from scipy.special import betaln

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.bisect import BisectSettings, CurveCount
from bumperlane.trace.change_points import JEFFREYS, Levels
from bumperlane.trace.sweep import SweepSettings, read_curve, sweep
from bumperlane.trace.when import Expected, date_onset

SETTINGS = SweepSettings()
BUMP = np.where((np.arange(32) >= 24) | ((np.arange(32) >= 6) & (np.arange(32) < 14)), 0.95, 0.03)


def counts(rates, seed=0, n=12):
    rng = np.random.default_rng(seed)
    return [CurveCount(10 * i, int(rng.binomial(n, r)), n) for i, r in enumerate(rates)]


def asked_of(rates, seed=0, n=12):
    """An `evaluate` that keeps what it was asked."""
    asked = []

    def evaluate(step, look):
        asked.append((step, look))
        return int(np.random.default_rng([seed, step, look]).binomial(n, rates[step // 10])), n

    return evaluate, asked


def steps_of(rates):
    return [10 * i for i in range(len(rates))]


def every_cut(k, n, changes):
    """All ways to cut a curve into levels, with the log probability of each: the sum that the recursion stands for."""
    length, found = len(k), {}
    chance = min(0.5, changes / (length - 1))
    for cuts in (c for m in range(length) for c in combinations(range(1, length), m)):
        edges = [0, *cuts, length]
        logs = len(cuts) * np.log(chance) + (length - 1 - len(cuts)) * np.log1p(-chance)
        for a, b in zip(edges, edges[1:], strict=False):
            over, of = k[a:b].sum(), n[a:b].sum()
            logs += betaln(over + JEFFREYS, of - over + JEFFREYS) - betaln(JEFFREYS, JEFFREYS)
        found[cuts] = logs
    return found


def test_agrees_with_the_sum_over_every_way_to_cut_the_curve():
    k, n = np.array([0.0, 1, 5, 4, 5, 0]), np.array([6.0, 6, 6, 5, 6, 6])
    model, found = Levels.of(k, n, 2.0), every_cut(k, n, 2.0)
    total = np.logaddexp.reduce(list(found.values()))
    by_number = [np.logaddexp.reduce([v for c, v in found.items() if len(c) == m]) for m in range(6)]
    np.testing.assert_allclose(model.forward[1:, -1], by_number, atol=1e-10)
    starts = [sum(np.exp(v - total) for c, v in found.items() if i in c) for i in range(6)]
    np.testing.assert_allclose(model.change_chances(), starts, atol=1e-10)
    levels = model.most_probable_number()
    best = max((c for c in found if len(c) == levels - 1), key=found.get)
    assert tuple(model.best_cuts(levels)) == best


def test_drawn_curves_have_the_exact_mean_of_the_posterior():
    k, n = np.array([0.0, 1, 5, 4]), np.array([6.0, 6, 6, 5])
    found, mean = every_cut(k, n, 2.0), np.zeros(4)
    total = np.logaddexp.reduce(list(found.values()))
    for cuts, logs in found.items():
        for a, b in zip([0, *cuts], [*cuts, 4], strict=True):
            mean[a:b] += np.exp(logs - total) * (k[a:b].sum() + JEFFREYS) / (n[a:b].sum() + 2 * JEFFREYS)
    drawn = Levels.of(k, n, 2.0).draw(np.random.default_rng(0), 20000).mean(axis=0)
    np.testing.assert_allclose(drawn, mean, atol=0.01)


def test_tells_a_rise_a_fall_and_a_rise():
    curve = read_curve(counts(BUMP), SETTINGS)
    assert [c.kind for c in curve.changes] == ["rise", "fall", "rise"] and not curve.monotone
    assert [c.low < t <= c.high for c, t in zip(curve.changes, (60, 140, 240), strict=True)] == [True] * 3
    assert curve.first_crossing.low < 60 <= curve.first_crossing.high
    assert curve.last_crossing.low < 240 <= curve.last_crossing.high
    assert "rises after step 50, by step 60, from 0.0" in curve.text() and "falls after step 130" in curve.text()


def test_a_level_curve_has_no_change():
    found = [read_curve(counts([rate] * 24, s), SETTINGS) for rate in (0.03, 0.3, 0.95) for s in range(20)]
    assert np.mean([not curve.changes for curve in found]) >= 0.95
    assert "level at" in found[0].text() and found[0].last_crossing.at_first


def test_intervals_of_changes_and_of_the_onset_cover_the_truth():
    rng, held, onset = np.random.default_rng(0), [], []
    for seed in range(40):
        a, b = sorted(rng.choice(np.arange(3, 29), 2, replace=False).tolist())
        rates = np.where((np.arange(32) >= a) & (np.arange(32) < b + 3), 0.8, 0.05)
        curve = read_curve(counts(rates, seed), SETTINGS)
        held += [any(c.low < 10 * t <= c.high for c in curve.changes) for t in (a, b + 3) if t < 32]
        onset.append(curve.first_crossing.low < 10 * a <= curve.first_crossing.high)
    assert np.mean(held) >= 0.9 and np.mean(onset) >= 0.9


def test_a_gradual_rise_is_dated_to_where_it_passes_half():
    rng, held = np.random.default_rng(2), []
    for seed in range(40):
        rates = 0.03 + 0.9 / (1 + np.exp(-(np.arange(32) - rng.uniform(8, 24)) / 3))
        curve, truth = read_curve(counts(rates, seed), SETTINGS), int(np.argmax(rates >= rates[-1] / 2))
        held.append(curve.last_crossing.low < 10 * truth <= curve.last_crossing.high)
    assert np.mean(held) >= 0.88


def test_is_the_same_twice_and_read_backwards_falls_where_it_rose():
    forth = read_curve(counts(BUMP), SETTINGS)
    assert forth == read_curve(counts(BUMP), SETTINGS)
    turned = [CurveCount(310 - c.step, c.k, c.n) for c in reversed(counts(BUMP))]
    back = read_curve(turned, SETTINGS)
    assert [(c.kind, 310 - c.high, 310 - c.low) for c in reversed(back.changes)] == [
        ({"rise": "fall", "fall": "rise"}[c.kind], c.low, c.high) for c in forth.changes
    ]


def test_looks_once_at_every_checkpoint_that_is_not_known():
    evaluate, asked = asked_of(BUMP)
    known = [CurveCount(0, 0, 12), CurveCount(310, 12, 12)]
    curve = sweep(steps_of(BUMP), evaluate, SETTINGS, known)
    assert sorted(asked) == [(s, 0) for s in steps_of(BUMP)[1:-1]]
    assert curve.evaluations == 30 and curve.full_sweep == len(curve.counts) == 32


@pytest.mark.parametrize("onset", [5, 23, 40, 61])
def test_a_short_budget_goes_to_where_the_change_is(onset):
    rates = np.where(np.arange(64) >= onset, 0.95, 0.03)
    evaluate, asked = asked_of(rates, seed=onset)
    curve = sweep(steps_of(rates), evaluate, SweepSettings(max_evaluations=16))
    assert curve.evaluations == len(asked) == 16 and len(set(asked)) == 16
    assert curve.last_crossing.low < 10 * onset <= curve.last_crossing.high
    assert curve.last_crossing.high - curve.last_crossing.low <= 20


def test_what_came_and_went_between_two_looks_is_not_seen():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    rates = np.full(64, 0.03)
    rates[10] = 0.97
    seen = [i for i in range(64) if i != 10]
    made = [CurveCount(10 * i, int(np.random.default_rng(i).binomial(12, rates[i])), 12) for i in seen]
    assert read_curve(made, SETTINGS).changes == ()


def test_the_floor_moves_the_onset_to_halfway_between_before_and_after():
    rates = np.where(np.arange(24) >= 15, 0.95, np.where(np.arange(24) >= 6, 0.55, 0.4))
    made = counts(rates, n=60)
    assert read_curve(made, SETTINGS).last_crossing.high < 150
    raised = read_curve(made, SweepSettings(floor=0.4)).last_crossing
    assert raised.low < 150 <= raised.high


def test_an_end_rate_that_may_lie_below_the_floor_is_still_dated():
    counts = [CurveCount(step, k, 12) for step, k in enumerate((1, 2, 1, 2, 3, 2))]
    crossing = read_curve(counts, SweepSettings(floor=0.3)).last_crossing
    assert 0 <= crossing.low < crossing.high <= 5


def test_dating_sweeps_where_the_search_is_contradicted_and_tells_all_rises_and_falls():
    rates, hits = np.where((np.arange(64) >= 50) | (np.abs(np.arange(64) - 15) < 6), 0.97, 0.03), 0
    for seed in range(6):
        evaluate, asked = asked_of(rates, seed)
        found = date_onset(steps_of(rates), evaluate, Expected(0.03, 0.97), BisectSettings())
        assert len(asked) == found.evaluations <= 80 and len(set(asked)) == len(asked)
        if found.changes:
            hits += 1
            assert [c.kind for c in found.changes] == ["rise", "fall", "rise"]
            assert found.low < 500 <= found.high and "The interval is of the rise after which it stayed." in found.note
            assert "the curve is not monotone" in found.note and "Evaluate every checkpoint" not in found.note
    assert hits >= 3


def test_dating_sweeps_where_the_rates_are_too_near_and_where_it_is_asked_to():
    rates = np.where(np.arange(16) >= 9, 0.9, 0.5)
    evaluate, asked = asked_of(rates, n=40)
    found = date_onset(steps_of(rates), evaluate, Expected(0.5, 0.9), BisectSettings())
    assert len(asked) == 16 and found.low < 90 <= found.high
    assert "the rate before, 0.50, is not below half of the rate after, 0.90" in found.note
    evaluate, asked = asked_of(BUMP)
    found = date_onset(steps_of(BUMP), evaluate, Expected(0.03, 0.95), BisectSettings(), how="sweep")
    assert len(asked) == found.evaluations == 32 and "(asked for)" in found.note


def test_a_monotone_curve_is_not_swept():
    rates = np.where(np.arange(64) >= 40, 0.97, 0.03)
    evaluate, _ = asked_of(rates)
    found = date_onset(steps_of(rates), evaluate, Expected(0.03, 0.97), BisectSettings())
    assert (found.low, found.high, found.changes) == (390, 400, ()) and found.evaluations <= 16


def test_refuses_what_is_no_curve():
    evaluate, _ = asked_of(BUMP)
    with pytest.raises(EvidenceError, match=r"ascend without repeats, got \[0, 20, 10\]"):
        sweep([0, 20, 10], evaluate, SETTINGS)
    with pytest.raises(EvidenceError, match=r"known at steps \[15\], where there is no checkpoint"):
        sweep([0, 10, 20], evaluate, SETTINGS, [CurveCount(15, 0, 1)])
    with pytest.raises(EvidenceError, match="k=3 of n=2"):
        sweep([0, 10], lambda *_: (3, 2), SETTINGS)
    with pytest.raises(EvidenceError, match="2 or more checkpoints, got 1"):
        read_curve([CurveCount(0, 0, 1)], SETTINGS)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"level": 0.3}, "level must be between 0.5 and 1, got 0.3"),
        ({"changes": 0}, "changes must be above 0, got 0"),
        ({"max_evaluations": 1}, "max_evaluations must be 2 or more, got 1"),
        ({"floor": 1.0}, r"floor must be in \[0, 1\), got 1.0"),
    ],
)
def test_refuses_settings_that_make_no_sense(given, text):
    with pytest.raises(SettingError, match=text):
        SweepSettings(**given)
