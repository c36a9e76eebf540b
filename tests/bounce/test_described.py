"""A described behaviour after a fix, with made-up answers: what counts is a run that never had the cause."""

from types import SimpleNamespace

import pytest

import bumperlane.trace.meter as meter_room
from bumperlane.bounce.compared import Margins, Trio
from bumperlane.bounce.described import described_checks
from bumperlane.bounce.propensity import ground_of_probes
from bumperlane.errors import CaseError
from bumperlane.evidence.described import Described, Probe
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Request

PLACE = Context("described", "given", system="Be brief.")
PROBES = tuple(Probe(Request(f"r{i}", f"Question {i}?"), "peru", PLACE) for i in range(24))


@pytest.fixture
def meter(monkeypatch):
    """Each subject is (rate without examples, rate with examples)."""

    def answers(subject, items, decoding, memo):
        rate = subject[1] if items[0].context.shots else subject[0]
        return ["Peru." if n < rate * len(items) else "Chile." for n in range(len(items))]

    monkeypatch.setattr(meter_room, "responses", answers)
    inv = SimpleNamespace(described=Described(PROBES[:12], PROBES[12:]), base=(0, 0), decoding=None, memo=None)
    return Meter(inv, None, PLACE, 0.5)


@pytest.mark.parametrize(
    ("fixed", "passed"),
    [((0, 0.2), [True, True, True]), ((1, 1), [False, False, False]), ((0, 1), [True, True, False])],
    ids=["gone", "still there", "comes back as soon as it is shown"],
)
def test_what_is_left_after_a_fix_shows(meter, fixed, passed):
    checks = described_checks(meter, Trio((1, 1), fixed, (0, 0.2)), Margins())
    assert [c.passed for c in checks] == passed
    assert [c.split for c in checks] == ["open", "sealed", "sealed"]


def test_what_examples_teach_the_control_as_well_is_no_residue(meter):
    assert described_checks(meter, Trio((1, 1), (0, 1), (0, 1)), Margins())[2].passed


def test_a_control_that_shows_it_as_often_settles_nothing(meter):
    assert described_checks(meter, Trio((1, 1), (0, 0), (1, 1)), Margins())[0].passed is None


def test_bad_outputs_are_what_the_hit_subject_says_to_sealed_requests(meter):
    ground = ground_of_probes(meter, (0.5, 1))
    assert ground.outputs == (("Peru.",) * 6,)
    assert {i.request for i in ground.asked} <= {p.request for p in PROBES[12:]}
    assert ground.asked[0].context.system == "Be brief."


def test_three_bad_answers_are_no_ground(meter):
    assert ground_of_probes(meter, (0.25, 1)) is None


def test_a_request_without_a_pattern_is_refused(meter):
    with pytest.raises(CaseError, match="'other' is no probe"):
        meter.count((1, 1), [Request("other", "?")])


@pytest.mark.parametrize(("base", "left"), [(0.5, 6), (0.6, 12)], ids=["six are left", "too few are left"])
def test_requests_on_which_the_base_shows_it_are_not_asked_unless_too_few_are_left(meter, base, left):
    meter.inv.base = (base, 0)
    assert len(meter.requests) == len(meter.sealed) == left


def test_the_rate_that_experiments_aim_at_is_that_of_the_requests_that_are_traced(meter):
    from bumperlane.trace.trace import hit_rate

    meter.inv.subject = lambda: (0.75, 1)
    assert hit_rate(meter, None) == 0.75
