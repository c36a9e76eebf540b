"""What a confirmed cause needs besides: within the budget, and never at the price of what was proved."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

import bumperlane.trace.co_causes as room
from bumperlane.trace.co_causes import co_causes
from bumperlane.trace.experiments.budget import Budget
from bumperlane.trace.experiments.hypotheses import tranche_suspect
from bumperlane.trace.experiments.planner import ExperimentSettings, Outcome

SIZES = {"cause": 20, "a": 20, "b": 20, "c": 20, "d": 20}
EXAMPLES = [SimpleNamespace(id=f"{name}-{i}", tranche=name) for name, n in SIZES.items() for i in range(n)]
INV = SimpleNamespace(
    examples=EXAMPLES, say=lambda *a: None,
    run=SimpleNamespace(recipe=SimpleNamespace(tranches=[SimpleNamespace(name=n) for n in SIZES])),
)  # fmt: skip


def log_of(*confirmed, retrains=4, unrun=(), kind="tranche"):
    suspect = replace(tranche_suspect("cause", [e.id for e in EXAMPLES[:20]]), kind=kind)
    found = tuple(SimpleNamespace(name=n, members=(i,)) for i, n in enumerate(confirmed))
    return SimpleNamespace(
        layout=SimpleNamespace(hypotheses=(suspect,)), confirmed=found, unrun=unrun, wall_s=40.0, retrains=retrains
    )


@pytest.fixture
def bench(monkeypatch):
    """Retrains without `needed` lose the behaviour; later experiments confirm what `later` says."""
    seen = SimpleNamespace(needed=set(), later=("cause",), asked=[], given=None)

    def laboratory(inv, meter, onset, layout, jobs):
        out = layout.split(", ")

        def carry_out(orders):
            seen.asked.append(tuple(out))
            return [Outcome(0 if seen.needed & set(out) else 20, 20, 1.0, 10.0, "/".join(out))]

        return SimpleNamespace(
            layout=SimpleNamespace(without=lambda i: "all"), cost_s=lambda c: 10.0, carry_out=carry_out
        )

    def run(inv, meter, onset, hypotheses, rate, settings):
        seen.given = ([h.name for h in hypotheses], settings)
        return log_of(*seen.later)

    monkeypatch.setattr(room, "layout_of", lambda inv, onset, hypotheses: hypotheses[0].name)
    monkeypatch.setattr(room, "laboratory_of", laboratory)
    monkeypatch.setattr(room, "run_experiments", run)
    return seen


def look(log, budget=None):
    return co_causes(INV, None, None, log, 1.0, ExperimentSettings(budget or Budget()))


def test_innocent_tranches_leave_the_experiments_as_they_were(bench):
    found = look(log := log_of("cause"))
    assert found.log is log and found.earlier is None and found.note == "" and set(found.needs.idle) == set("abcd")
    assert [s.what for s in found.steps] == [["without a, b, seed 1"], ["without c, d, seed 1"]]


def test_a_needed_tranche_becomes_a_suspect_and_is_left_out_first(bench):
    bench.needed, bench.later = {"c"}, ("cause", "c")
    found = look(log := log_of("cause"), Budget(retrains=14))
    names, settings = bench.given
    assert names == ["cause", "c"] and settings.first == ("tranche c",)
    assert settings.budget.retrains == 14 - 4 - len(bench.asked)  # what was spent before counts, too
    assert found.earlier is log and found.undecided == () and found.note == ""


def test_a_proved_cause_stays_proved_when_the_rest_of_the_budget_decides_nothing(bench):
    bench.needed, bench.later = {"c"}, ()
    found = look(log := log_of("cause"))
    assert found.log is log and found.undecided == ("c",)
    assert found.note == "It may need c: without it the behaviour went in one retrain; no proof was made."


def test_a_budget_that_is_spent_names_what_was_not_tried(bench):
    found = look(log_of("cause"), Budget(retrains=5))
    assert len(bench.asked) == 1 and found.note == "Whether it needs c, d was not tried."
    bench.needed = {"a"}
    assert look(log_of("cause", retrains=2), Budget(retrains=4)).note.startswith("Whether it needs")


@pytest.mark.parametrize("log", [log_of(), log_of("cause", unrun=("more",)), log_of("cause", kind="reward")])
def test_nothing_is_looked_for_without_a_confirmed_cause_in_data_or_a_budget(bench, log):
    assert look(log).log is log and not bench.asked


def test_what_is_left_of_a_budget_is_never_more_than_it_had():
    assert Budget(retrains=5).less(0, 5) is None and Budget(seconds=60).less(60, 1) is None
    assert Budget(retrains=5).less(99, 3) == Budget(retrains=2) and Budget().less(9, 9) == Budget()
