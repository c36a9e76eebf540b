"""Rules by which attribution and experiments become causes. The whole of `trace` runs in test_own_run.py."""

from dataclasses import dataclass

import numpy as np
import pytest

from bumperlane.case import Arm, Experiment, Range
from bumperlane.trace.attribution import Attribution
from bumperlane.trace.trace import TraceSettings, judge_causes, proved, suspects_of
from bumperlane.trace.tranches import TrancheScore
from bumperlane.types import Example, Interval, Message
from report.cases import treated_case

NAMES = ("a", "b", "c", "d")
EXAMPLES = tuple(
    Example(f"{name}{i}", name, (Message("user", "ask"), Message("assistant", "answer")))
    for name in NAMES
    for i in range(5)
)


@dataclass
class Inv:
    examples: tuple


def found(**p_values):
    scores = tuple(TrancheScore(n, z=4.0 - i, p_value=p_values.get(n, 1.0), n=5, enrichment=1, p_enrichment=1)
                   for i, n in enumerate(NAMES))  # fmt: skip
    return Attribution(tuple(e.id for e in EXAMPLES), {}, np.zeros(len(EXAMPLES)), scores)


def experiment(value, low, high):
    effect = Range(value=value, low=low, high=high)
    arm = Arm(name="without", rates=[0.0, 0.0], seeds=[0, 1])
    return Experiment(hypothesis="h", rewind=0, horizon=8, arms=[arm], effect=effect)


def case(*tranches):
    made = treated_case()
    return made.model_copy(update={"behaviour": made.behaviour.model_copy(update={"tranches": list(tranches)})})


def statuses(attribution, tested, made=None):
    causes = judge_causes(Inv(EXAMPLES), made or case(), attribution, tested, TraceSettings())
    return {c.name: c.status for c in causes}, causes


GONE, STAYS = Interval(0.0, 0.0, 0.1), Interval(0.9, 0.8, 1.0)


def test_confirms_by_experiment_and_clears_what_was_still_there():
    status, causes = statuses(found(a=0.001), {"a": (experiment(0.95, 0.8, 1.0), GONE)})
    assert status == {"a": "confirmed", "b": "cleared", "c": "cleared", "d": "cleared"}
    assert causes[0].name == "a" and causes[1].effect.high == 0.1


def test_attribution_alone_never_confirms():
    assert statuses(found(a=0.001), {})[0]["a"] == "suspected"


def test_clears_a_suspect_that_was_left_out_in_vain():
    status, _ = statuses(found(a=0.001, b=0.01), {"a": (experiment(0.0, -0.1, 0.1), STAYS)})
    assert (status["a"], status["b"]) == ("cleared", "suspected")


def test_an_interval_that_holds_zero_confirms_nothing():
    assert statuses(found(a=0.001), {"a": (experiment(0.6, -0.2, 1.0), GONE)})[0]["a"] == "suspected"


def test_a_suspect_beside_the_confirmed_cause_stays_suspected_until_it_is_tried():
    assert statuses(found(a=0.001, b=0.01), {"a": (experiment(0.95, 0.8, 1.0), GONE)})[0]["b"] == "suspected"


def test_stops_when_one_is_proved():
    tested = {"a": (experiment(0.95, 0.8, 1.0), GONE), "b": (experiment(0.1, -0.2, 0.4), STAYS)}
    assert proved(case(), tested, TraceSettings()) == ["a"]


@pytest.mark.parametrize(
    ("p", "holders", "wanted"),
    [
        ({"a": 0.001, "c": 0.01}, ("d",), ["a", "c", "d"]),
        ({}, ("c",), ["c"]),
        ({}, ("a", "b", "c"), ["a"]),  # text that stands everywhere names nobody
        ({"a": 0.001}, ("a",), ["a"]),
    ],
)
def test_suspects_come_from_attribution_then_from_the_texts_of_the_context(p, holders, wanted):
    assert suspects_of(case(*holders), found(**p), TraceSettings()) == wanted


def test_a_tranche_that_is_half_the_data_has_no_control_and_is_no_suspect():
    large = Attribution(("x",) * 10, {}, np.zeros(10), (TrancheScore("a", 3, 0.001, 5, 1, 1),))
    assert suspects_of(case("a"), large, TraceSettings()) == []
