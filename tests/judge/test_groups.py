from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.conformal import p_values, threshold
from bumperlane.judge.groups import judge_groups, length_bins

ALPHA = 0.05
MEANS = {"en": 0.0, "de": 2.0, "sw": 4.0}  # a rarer language scores higher, clean as it is


def drawn(rng, sizes):
    groups = tuple(name for name, n in sizes.items() for _ in range(n))
    return rng.normal(size=len(groups)) + [MEANS[g] for g in groups], groups


def of_group(result, groups, name):
    return [v for v, g in zip(result.verdicts, groups, strict=True) if g == name]


def test_agrees_with_p_values_taken_in_each_group_by_hand():
    rng = np.random.default_rng(0)
    clean, seen = drawn(rng, {"en": 60, "de": 30}), drawn(rng, {"de": 20, "en": 25})
    found = judge_groups(clean, seen, ALPHA)
    for name in ("en", "de"):
        own, new = clean[0][np.array(clean[1]) == name], np.array(seen[1]) == name
        np.testing.assert_array_equal(found.p[new], p_values(own, seen[0][new]))
        (line,) = [line for line in found.lines if line.group == name]
        assert (line.clean, line.missing, line.threshold) == (len(own), 0, threshold(own, ALPHA))
        assert of_group(found, seen[1], name) == ["hit" if v > line.threshold else "clear" for v in seen[0][new]]


def test_the_rate_holds_in_every_group_and_not_on_average_only():
    rng, rates, shared = np.random.default_rng(1), {name: [] for name in MEANS}, []
    for _ in range(400):
        clean, seen = drawn(rng, {"en": 200, "de": 39, "sw": 19}), drawn(rng, dict.fromkeys(MEANS, 10))
        found = judge_groups(clean, seen, ALPHA)
        for name, kept in rates.items():
            kept.append(np.mean([v == "hit" for v in of_group(found, seen[1], name)]))
        shared.append(np.mean(p_values(clean[0], seen[0])[20:] <= ALPHA))  # the rare language, one line for all
    for kept in rates.values():
        assert abs(np.mean(kept) - ALPHA) < 3.5 * np.std(kept) / 20
    assert np.mean(shared) > 0.3


def test_a_group_with_too_few_clean_items_is_blind_with_the_number_that_is_missing():
    rng = np.random.default_rng(2)
    clean, seen = drawn(rng, {"en": 19, "de": 18}), drawn(rng, {"en": 5, "de": 5, "sw": 5})
    found = judge_groups(clean, seen, ALPHA)
    assert found.missing == {"de": 1, "sw": 19}
    assert set(of_group(found, seen[1], "de") + of_group(found, seen[1], "sw")) == {"blind"}
    assert "blind" not in of_group(found, seen[1], "en")
    assert np.isnan(found.p[5:]).all() and np.isfinite(found.p[:5]).all()


def test_a_blind_group_is_compared_with_all_only_when_that_is_asked_for_and_says_so():
    rng = np.random.default_rng(3)
    clean, seen = drawn(rng, {"en": 100, "sw": 5}), drawn(rng, {"en": 5, "sw": 5})
    found = judge_groups(clean, seen, ALPHA, pool="all")
    en, sw = found.lines
    assert (sw.pooled, sw.missing, sw.blind, en.pooled) == (True, 14, False, False)
    np.testing.assert_array_equal(found.p[5:], p_values(clean[0], seen[0][5:]))
    assert sw.threshold == threshold(clean[0], ALPHA) and found.missing == {}


def test_pooling_flags_a_clean_group_that_differs():
    """The limit that pool='all' names. If this fails, the docstring is out of date."""
    rng = np.random.default_rng(4)
    clean, seen = drawn(rng, {"en": 300, "sw": 5}), drawn(rng, {"sw": 50})
    assert judge_groups(clean, seen, ALPHA, pool="all").verdicts.count("hit") > 40


def test_too_few_items_in_all_groups_together_stay_blind_when_pooled():
    rng = np.random.default_rng(5)
    found = judge_groups(drawn(rng, {"en": 9, "de": 9}), drawn(rng, {"en": 3}), ALPHA, pool="all")
    assert found.verdicts == ("blind",) * 3 and found.missing == {"de": 10, "en": 10}


def test_order_of_items_does_not_matter():
    rng = np.random.default_rng(6)
    (scores, groups), seen = drawn(rng, {"en": 40, "de": 40}), drawn(rng, {"de": 9, "en": 9})
    order = rng.permutation(80)
    again = judge_groups((scores[order], [groups[i] for i in order]), seen, ALPHA)
    np.testing.assert_array_equal(again.p, judge_groups((scores, groups), seen, ALPHA).p)


def test_lengths_are_binned_by_edges_that_name_the_bins():
    assert length_bins([0, 127, 128, 511, 512, 9000], [128, 512]) == (
        "0-127", "0-127", "128-511", "128-511", "512+", "512+",
    )  # fmt: skip


@pytest.mark.parametrize("edges", [[], [512, 128], [128, 128], [0, 10]])
def test_refuses_edges_that_do_not_grow(edges):
    with pytest.raises(SettingError, match="edges must be positive lengths in tokens that grow"):
        length_bins([1], edges)


def test_refuses_scores_without_groups_not_finite_scores_and_unknown_settings():
    good = (np.zeros(30), ("en",) * 30)
    with pytest.raises(EvidenceError, match="seen must be one finite score and one group an item.* 2 groups"):
        judge_groups(good, (np.zeros(3), ("en", "de")), ALPHA)
    with pytest.raises(EvidenceError, match="calibration must be .* 1 of them not finite"):
        judge_groups((np.array([np.nan]), ("en",)), good, ALPHA)
    with pytest.raises(SettingError, match="unknown pool 'rare'. Known: refuse, all"):
        judge_groups(good, good, ALPHA, pool="rare")
    with pytest.raises(EvidenceError, match="cannot be negative, got -1"):
        length_bins([5, -1], [128])
    with pytest.raises(FrozenInstanceError):
        judge_groups(good, good, ALPHA).alpha = 1
