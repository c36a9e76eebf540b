import pytest

from bumperlane.trace.experiments.hypotheses import example_suspects, tranche_suspect
from bumperlane.trace.experiments.needs import candidates, find_needs, grouped
from bumperlane.trace.experiments.planner import Outcome

SIZES = {"a": 60, "b": 50, "c": 40, "d": 30, "e": 20}


class Bench:
    """The behaviour needs what it needs; retrains are counted."""

    def __init__(self, needs=(), most=99):
        self.needs, self.most, self.asked = set(needs), most, []

    def __call__(self, out):
        if len(self.asked) == self.most:
            return None
        self.asked.append(out)
        return Outcome(1 if self.needs & set(out) else 19, 20)


def test_innocent_tranches_are_cleared_by_two_retrains():
    bench = Bench()
    found = find_needs(SIZES, 400, bench, 0.5)
    assert len(bench.asked) == 1 and set(found.idle) == set(SIZES) and not found.needed
    assert found.idle["a"] == "the behaviour stays without it and 4 more (rate 0.95, one retrain)."
    assert len(find_needs(SIZES, 260, bench := Bench(), 0.5).steps) == len(bench.asked) == 2


@pytest.mark.parametrize("needs", [{"a"}, {"e"}, {"b", "d"}, set(SIZES)])
def test_what_is_needed_is_found_and_the_rest_is_cleared(needs):
    found = find_needs(SIZES, 300, Bench(needs), 0.5)
    assert set(found.needed) == needs and set(found.idle) == set(SIZES) - needs and not found.untried


def test_a_needed_tranche_is_tried_alone_before_it_is_named():
    assert ("c",) in [step.out for step in find_needs(SIZES, 400, Bench({"c"}), 0.5).steps]


def test_what_the_budget_leaves_is_named_and_not_cleared():
    found = find_needs(SIZES, 260, Bench({"a"}, most=1), 0.5)
    assert set(found.idle) | set(found.untried) == set(SIZES) and found.untried and not found.needed
    assert not set(found.idle) & set(found.untried)


def test_a_tranche_too_large_to_leave_out_is_untried():
    assert find_needs({"all": 80, "b": 10}, 100, Bench(), 0.5).untried == ("all",)


def test_groups_hold_at_most_half_of_the_data():
    groups = grouped(SIZES, 100)
    assert sorted(n for g in groups for n in g) == sorted(SIZES)
    assert all(sum(SIZES[n] for n in g) <= 100 for g in groups) and len(groups) == 2


def test_only_tranches_apart_from_the_cause_that_no_experiment_left_out_are_tried():
    tranches = {"a": ["a1", "a2"], "b": ["b1"], "c": ["c1"], "empty": []}
    cause, tried = example_suspects("author x", ["a2"], kind="column value"), tranche_suspect("b", ["b1"])
    assert candidates(tranches, [cause], [cause, tried]) == {"c": 1}
