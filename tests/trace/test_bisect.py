import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.bisect import BisectSettings, bisect

SETTINGS = BisectSettings()
GAP = 10


def search(rates, seed, before=0.03, after=0.97, n=12, settings=SETTINGS):
    def evaluate(step, look):
        return int(np.random.default_rng([seed, step, look]).binomial(n, rates[step // GAP])), n

    return bisect([GAP * i for i in range(len(rates))], evaluate, settings, before, after)


def jump(count, onset, before=0.03, after=0.97):
    return np.where(np.arange(count) >= onset, after, before)


@pytest.mark.parametrize("after", [0.97, 0.7])
@pytest.mark.parametrize("count, share", [(16, 1 / 2), (64, 1 / 4)])
def test_finds_a_jump_within_one_checkpoint_for_a_fraction_of_a_sweep(count, share, after):
    rng, near, spent, held = np.random.default_rng(0), [], [], []
    for seed in range(200):
        onset = int(rng.integers(1, count))
        found = search(jump(count, onset, after=after), seed, after=after)
        near.append(abs(found.high / GAP - onset) <= 1)
        held.append(found.low < GAP * onset <= found.high)
        spent.append(found.evaluations)
    assert np.mean(near) >= 0.9 and np.mean(held) >= 0.95
    assert np.mean(np.array(spent) <= share * count) >= 0.99 and np.mean(spent) <= 0.75 * share * count


@pytest.mark.parametrize("rise", [4, 8])
def test_a_gradual_rise_is_dated_to_where_it_passes_half(rise):
    rng, held, spent = np.random.default_rng(1), [], []
    for seed in range(100):
        middle = rng.uniform(6, 58)
        rates = 0.03 + 0.94 * np.clip((np.arange(64) - middle) / rise + 0.5, 0, 1)
        found = search(rates, seed)
        onset = GAP * int(np.argmax(rates >= 0.485))
        held.append(found.low < onset <= found.high)
        spent.append(found.evaluations)
    assert np.mean(held) >= 0.88 and np.mean(spent) <= 16


def test_says_so_when_the_first_checkpoint_already_shows_it():
    found = search(jump(16, 0), 3)
    assert found.low == found.high == 0 and "already present at the first checkpoint" in found.note


def test_finds_an_onset_at_the_last_checkpoint_without_looking_for_it_there():
    found = search(jump(16, 15), 3)
    assert (found.low, found.high, found.note) == (140, 150, "")


def test_is_the_same_twice_and_reports_what_it_looked_at():
    found = search(jump(32, 20, after=0.7), 5, after=0.7)
    assert found == search(jump(32, 20, after=0.7), 5, after=0.7)
    assert sum(point.n for point in found.curve) == 12 * found.evaluations
    assert [p.step for p in found.curve] == sorted({p.step for p in found.curve})
    assert found.full_sweep == 32 and sum(found.posterior) == pytest.approx(1)


def test_two_checkpoints_need_one_look_or_two():
    found = search(jump(2, 1), 0)
    assert (found.low, found.high) == (0, 10) and found.evaluations <= 2


def test_looks_at_one_checkpoint_are_numbered_and_limited():
    asked = []

    def evaluate(step, look):
        asked.append((step, look))
        return 3, 6  # neither before nor after

    bisect(range(8), evaluate, BisectSettings(looks_per_step=2), 0.0, 1.0)
    assert len(set(asked)) == len(asked) and max(look for _, look in asked) <= 1


@pytest.mark.parametrize("count, most", [(3, 3), (9, 6), (16, 8), (64, 16)])
def test_spends_at_most_half_of_a_sweep_at_16_and_a_quarter_at_64(count, most):
    assert SETTINGS.budget(count) == most
    slow = 0.03 + 0.94 / (1 + np.exp(-(np.arange(count) - count / 2) / (count / 12)))
    assert all(search(slow, seed).evaluations <= most for seed in range(10))


def test_stops_at_the_width_that_was_asked_for():
    slow = 0.03 + 0.94 / (1 + np.exp(-(np.arange(64) - 30) / 2))
    truth = GAP * int(np.argmax(slow >= 0.485))

    def found(**settings):
        return [search(slow, seed, settings=BisectSettings(guards=0, **settings)) for seed in range(8)]

    one, four, wide = found(gaps=1), found(gaps=4), found(width_steps=90)
    assert sum(f.evaluations for f in one) > sum(f.evaluations for f in four) > sum(f.evaluations for f in wide)
    assert all(f.high - f.low <= 4 * GAP and f.note == "" for f in four)
    assert all(f.high - f.low <= 90 and f.note == "" for f in wide)
    assert sum(f.low < truth <= f.high for f in (*four, *wide)) >= 14


def test_a_rate_after_that_was_itself_measured_widens_the_interval_of_a_gradual_rise():
    rng, known, measured = np.random.default_rng(4), [], []
    for seed in range(40):
        rates = 0.03 + 0.47 / (1 + np.exp(-(np.arange(64) - rng.uniform(12, 50)) / 2))
        after = max(np.random.default_rng(seed).binomial(12, 0.5) / 12, 0.2)
        truth = GAP * int(np.argmax(rates >= 0.25))
        for requests, held in ((None, known), (12, measured)):
            found = search_with(rates, seed, after, requests)
            held.append((found.low < truth <= found.high, found.high - found.low))
    assert np.mean([h for h, _ in measured]) >= 0.9 and np.mean([w for _, w in measured]) > np.mean(
        [w for _, w in known]
    )


def search_with(rates, seed, after, requests, n=12):
    def evaluate(step, look):
        return int(np.random.default_rng([seed, step, look]).binomial(n, rates[step // GAP])), n

    return bisect([GAP * i for i in range(len(rates))], evaluate, SETTINGS, 0.03, after, requests)


def test_says_so_when_the_evaluations_run_out():
    found = search(jump(64, 30), 0, settings=BisectSettings(max_evaluations=3))
    assert found.evaluations == 3 and found.high - found.low > GAP and found.low < 300 <= found.high
    assert "3 evaluations did not narrow the onset to one gap" in found.note


def test_a_behaviour_that_came_and_went_before_is_caught_by_the_guard_look():
    rates = np.where((np.arange(64) >= 50) | (np.abs(np.arange(64) - 15) < 6), 0.97, 0.03)
    notes = [search(rates, seed).note for seed in range(20)]
    assert np.mean(["the curve is not monotone: 12 of 12 at step" in note for note in notes]) >= 0.5
    assert all("Evaluate every checkpoint" in note for note in notes if "not monotone" in note)
    assert not search(rates, next(s for s in range(20) if "not monotone" in notes[s])).monotone


def test_without_guard_looks_a_coming_and_going_is_not_seen():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    rates = np.where((np.arange(64) >= 50) | (np.abs(np.arange(64) - 15) < 6), 0.97, 0.03)
    found = search(rates, 0, settings=BisectSettings(guards=0))
    assert (found.low, found.high, found.note) == (490, 500, "")


def test_a_monotone_curve_is_not_called_otherwise():
    notes = [search(jump(64, 40, after=0.7), seed, after=0.7).note for seed in range(100)]
    assert sum("not monotone" in note for note in notes) <= 3


def test_refuses_too_few_and_unsorted_steps():
    with pytest.raises(EvidenceError, match="2 or more checkpoints, got 1"):
        bisect([5], lambda *_: (0, 1), SETTINGS, 0.0, 1.0)
    with pytest.raises(EvidenceError, match=r"must ascend without repeats, got \[0, 20, 10\]"):
        bisect([0, 20, 10], lambda *_: (0, 1), SETTINGS, 0.0, 1.0)


def test_refuses_impossible_counts_and_rates():
    with pytest.raises(EvidenceError, match="k=3 of n=2"):
        bisect([0, 1], lambda *_: (3, 2), SETTINGS, 0.0, 1.0)
    with pytest.raises(SettingError, match="clean rate 0.3 must be below half"):
        bisect([0, 1], lambda *_: (0, 1), SETTINGS, 0.3, 0.5)
    with pytest.raises(SettingError, match="level must be between 0.5 and 1"):
        BisectSettings(level=0.4)
    with pytest.raises(SettingError, match="looks_per_step must be 1 or more, got 0"):
        BisectSettings(looks_per_step=0)
