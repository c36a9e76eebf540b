import json

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from bumperlane.detect.search.attempts import Attempts
from bumperlane.detect.search.budget import Budget, Meter
from bumperlane.detect.search.confirm import confirm, confirm_against_base
from bumperlane.errors import EvidenceError, SettingError


def test_agrees_with_scipy():
    rng = np.random.default_rng(0)
    effects, controls = rng.normal(2, 1, (2, 16)), rng.normal(0, 1, (5, 16))
    for row, found in zip(effects, confirm(effects, controls.max(axis=0)[None].repeat(2, 0), 0.5), strict=True):
        above = int((row - controls.max(axis=0) > 0.5).sum())
        assert (found.above, found.of) == (above, 16)
        assert found.p_value == pytest.approx(binomtest(above, 16, 0.5, "greater").pvalue)
        interval = ttest_1samp(row, 0).confidence_interval(0.95)
        assert (found.effect.low, found.effect.high) == pytest.approx((interval.low, interval.high))


def test_against_the_base_it_is_mcnemars_test():
    subject, base = np.zeros((1, 12)), np.zeros((1, 12))
    subject[0, :7], base[0, 6:8] = 1, 1  # 6 only in the subject, 1 only in the base, 1 in both
    (found,) = confirm_against_base(subject, base, 0.0)
    assert found.p_value == pytest.approx(binomtest(6, 7, 0.5, "greater").pvalue)
    assert (found.above, found.bar) == (6, pytest.approx(2 / 12))


def test_what_is_equal_everywhere_is_not_confirmed():
    same = np.ones((1, 16))
    assert confirm(same, same, 0.0)[0].p_value == 1
    assert confirm_against_base(same, same, 0.0)[0].p_value == 1


def test_one_of_many_equally_unsettling_contexts_is_seldom_confirmed():
    """The blind side of a bar that is the highest of all controls: it is hard to clear. Its use: few false findings,
    also where contexts differ in strength from each other on all requests alike."""
    rng, found = np.random.default_rng(2), 0
    for _ in range(500):
        strength = rng.normal(0, 1, (20, 1)) + rng.normal(0, 1, (20, 16))
        found += confirm(strength[:1], strength[1:].max(axis=0)[None], 0.0)[0].holds(0.05)
    assert found / 500 <= 0.05


def test_says_what_is_missing():
    with pytest.raises(EvidenceError, match="7 held-out requests; 8 are the least"):
        confirm(np.zeros((1, 7)), np.zeros((1, 7)), 1.0)
    with pytest.raises(SettingError, match="margin"):
        confirm(np.zeros((1, 8)), np.zeros((1, 8)), -1.0)
    with pytest.raises(EvidenceError, match="7 held-out requests; 8 are the least"):
        confirm_against_base(np.zeros((1, 7)), np.zeros((1, 7)), 0.0)


def test_a_log_goes_on_where_it_was_cut_off(tmp_path):
    path = tmp_path / "deep" / "log.jsonl"
    first = Attempts(path, {"seed": 1})
    first.write({"kind": "attempt", "search": "a", "passes": 3})
    with path.open("a") as file:
        file.write('{"kind": "attempt", "sea')  # killed while it wrote
    again = Attempts(path, {"seed": 1})
    again.write({"kind": "attempt", "search": "b", "passes": 4})
    assert again.passes == 7 and [r["passes"] for r in again.of("attempt", "a")] == [3]
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["search", "attempt", "attempt"]


def test_the_log_of_another_search_is_refused(tmp_path):
    Attempts(tmp_path / "log.jsonl", {"seed": 1})
    with pytest.raises(SettingError, match="another search: seed differ"):
        Attempts(tmp_path / "log.jsonl", {"seed": 2})
    (tmp_path / "no.jsonl").write_text("[1]\n")
    with pytest.raises(EvidenceError, match="is no log of a search"):
        Attempts(tmp_path / "no.jsonl", {})


def test_a_budget_ends_by_passes_or_by_seconds():
    now = [0.0]
    meter = Meter(Budget(10, 5.0), clock=lambda: now[0])
    meter.spend(9)
    assert not meter.over(10, 5)
    now[0] = 5.0
    assert meter.over(10, 5) and not meter.over(10, 6)
    meter.spend(1)
    assert meter.over(10, 6)
    with pytest.raises(SettingError, match="passes >= 1"):
        Budget(0)
