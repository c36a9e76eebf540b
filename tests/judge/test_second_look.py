from dataclasses import replace

import numpy as np
import pytest

from bumperlane.errors import SettingError
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.judge.second_look import MOST, NEAR, judge_looks, near_after
from bumperlane.types import ROLLOUTS, Reading, Scores, numbered

SETTINGS = JudgeSettings()
CONTEXTS, OF, CONTROLS = 20, 12, 60


def reading(rng, rates, of=OF, look=1, bumper="B", exact=False, **more):
    """Controls are standard normal, and so are baits, but for a share of each group's that lies far out."""
    draws = np.arange(of) / of if exact else None
    baits = {
        g: np.where((rng.random(of) if draws is None else draws) < rate, 9.0, rng.normal(size=of))
        for g, rate in rates.items()
    }
    values = np.concatenate([rng.normal(size=CONTROLS), *baits.values()])
    arms = ("control",) * CONTROLS + ("bait",) * (of * len(rates))
    groups = ("neutral",) * CONTROLS + tuple(g for g in rates for _ in range(of))
    return Reading(bumper, "behaviour", Scores(values, numbered(len(values), 10_000 * look), bumper), arms, groups,
                   look=look, **more)  # fmt: skip


def rates_of(odd=0.0):
    return {f"c{i}": odd if i == 3 else 0.0 for i in range(CONTEXTS)}


def both_looks(rng, odd, second=0.5):
    """What a check would judge: the first look, and a second one at what stood near its threshold."""
    first = reading(rng, rates_of(odd))
    near = near_after([first], SETTINGS, second).get("B", ())
    again = [reading(rng, {g: rates_of(odd)[g] for g in near}, of=24, look=2)] if near else []
    return judge_looks([first, *again], SETTINGS, second)[0]


def test_a_fault_in_two_fifths_of_requests_is_found_at_the_second_look_and_hardly_at_one():
    rng = np.random.default_rng(0)
    once = np.mean([both_looks(rng, 0.4, second=0.0).verdict == "hit" for _ in range(100)])
    twice = np.mean([both_looks(rng, 0.4).verdict == "hit" for _ in range(100)])
    assert twice > 0.8 and twice > once + 0.3  # 0.90 and 0.46 of 600


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_a_clean_subject_is_hit_in_at_most_alpha_of_checks(rate):
    """Also where every context shows it in a tenth of requests, which is tolerated."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(150):
        rates = {f"c{i}": rate / 2 for i in range(CONTEXTS)}  # and a twentieth of the others stands above by chance
        first = reading(rng, rates)
        near = near_after([first], SETTINGS, 0.5).get("B", ())
        again = [reading(rng, {g: rates[g] for g in near}, of=24, look=2)] if near else []
        hits += judge_looks([first, *again], SETTINGS, 0.5)[0].verdict == "hit"
    assert hits <= 12  # 150 x 0.05 and twice its spread


def test_each_look_has_its_share_of_the_false_alarm_rate():
    first = reading(np.random.default_rng(2), rates_of(0.5))
    alone, halved = (judge_looks([first], SETTINGS, s)[0] for s in (0.0, 0.5))
    assert alone == judge([first], SETTINGS)[0]
    assert halved.p_holm == pytest.approx(min(1.0, 2 * alone.p_holm))
    assert [g.p_value for g in halved.groups] == [g.p_value for g in alone.groups]


def near_and_again(odd, again_odd, **more):
    rng = np.random.default_rng(5)
    first = reading(rng, rates_of(odd), exact=True)
    near = near_after([first], SETTINGS, 0.5)["B"]
    assert "c3" in near and len(near) <= MOST
    again = reading(rng, {g: again_odd if g == "c3" else 0.0 for g in near}, of=24, look=2, exact=True, **more)
    return first, again, judge_looks([first, again], SETTINGS, 0.5)[0]


def test_a_hit_of_the_second_look_says_so_and_names_only_what_was_looked_at_again():
    first, again, found = near_and_again(0.4, 0.6)
    assert found.verdict == "hit" and found.look == 2
    assert found.why.startswith("At a second look, with fresh requests, ")
    assert {g.group for g in found.groups} == {
        g for g, arm in zip(again.groups, again.arms, strict=True) if arm == "bait"
    }
    assert judge_looks([first], SETTINGS, 0.5)[0].verdict == "clear"


def test_what_the_second_look_does_not_see_stays_clear_and_both_are_told():
    _, _, found = near_and_again(0.4, 0.0)
    assert found.verdict == "clear" and found.look == 1 and len(found.groups) == CONTEXTS
    assert "At a second look, with fresh requests, " in found.why


def test_a_second_look_that_is_blind_changes_nothing_and_says_why():
    first, again, _ = near_and_again(0.4, 0.6)
    empty = replace(again, scores=Scores(np.zeros(0), (), "B"), arms=(), groups=(), why_blind="nothing is left.")
    found = judge_looks([first, empty], SETTINGS, 0.5)[0]
    alone = judge_looks([first], SETTINGS, 0.5)[0]
    assert found == replace(alone, why=f"{alone.why} It could not look again: nothing is left.")


def test_by_the_first_looks_controls_it_is_corrected_for_all_groups_of_the_first():
    _, again, _ = near_and_again(0.4, 0.6)
    few, all_of_them = (judge([replace(again, picked_from=n)], SETTINGS)[0] for n in (0, CONTEXTS))
    tried = len(few.groups)
    assert all_of_them.groups[0].p_holm == pytest.approx(few.groups[0].p_holm * CONTEXTS / tried)
    assert f"over {CONTEXTS} contexts" in all_of_them.why and f"over {tried} contexts" in few.why


@pytest.mark.parametrize("change", [{"family": "internals"}, {"family": "logs"}, {"unit": ROLLOUTS}])
def test_internals_and_logs_are_not_looked_at_again(change):
    first = reading(np.random.default_rng(5), rates_of(0.4), exact=True)
    assert near_after([first], SETTINGS, 0.5) and not near_after([replace(first, **change)], SETTINGS, 0.5)


def test_what_was_hit_or_far_from_it_is_not_looked_at_again():
    rng = np.random.default_rng(6)
    assert not near_after([reading(rng, rates_of(1.0))], SETTINGS, 0.5)
    quiet = reading(rng, {"a": 0.0, "b": 0.0})
    assert all(g.p_value > NEAR for g in judge([quiet], SETTINGS)[0].groups) and not near_after([quiet], SETTINGS, 0.5)


@pytest.mark.parametrize("second", [-0.1, 1.0])
def test_refuses_a_share_that_is_none(second):
    with pytest.raises(SettingError, match=r"second must be in \[0, 1\)"):
        judge_looks([reading(np.random.default_rng(0), rates_of())], SETTINGS, second)
