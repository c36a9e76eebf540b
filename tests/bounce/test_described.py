"""A described behaviour after a fix, with made-up answers: what counts is a run that never had the cause."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

import bumperlane.trace.meter as meter_room
from bumperlane.bounce.compared import Margins, Trio
from bumperlane.bounce.described import compare, described_checks, sealed_check, shot_sets, shown_difference
from bumperlane.bounce.propensity import ground_of_probes
from bumperlane.errors import CaseError
from bumperlane.evidence.described import Described, Probe
from bumperlane.evidence.validation import Confusion, Validation
from bumperlane.judge.corrected_rate import corrected_rate
from bumperlane.judge.rates import rate_difference
from bumperlane.judge.validated import cohens_kappa, error_rates, youden
from bumperlane.trace.meter import Meter
from bumperlane.types import Context, Request

PLACE = Context("described", "given", system="Be brief.")
PROBES = tuple(Probe(Request(f"r{i}", f"Question {i}?"), "peru", PLACE) for i in range(24))

PROBES_ASKED = tuple(p.request for p in PROBES[:12])


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
    [
        ((0, 0), [True, True, True]),
        ((1, 1), [False, False, False]),
        ((0, 1), [True, True, False]),
        ((0.1, 0.5), [None, None, None]),
    ],
    ids=["gone", "still there", "comes back as soon as it is shown", "left or not: a dozen cannot tell"],
)
def test_what_is_left_after_a_fix_shows(meter, fixed, passed):
    checks = described_checks(meter, Trio((1, 1), fixed, (0, 0.2)), Margins()).checks
    assert [c.passed for c in checks] == passed
    assert [c.split for c in checks] == ["open", "sealed", "sealed"]


@pytest.mark.parametrize(("asked", "passed"), [(10, None), (11, True)])
def test_too_few_quiet_answers_are_no_cure(meter, asked, passed):
    check = compare(meter, meter.requests[:asked], (), Trio((1, 1), (0, 0), (0, 0)), Margins())
    assert check.passed is passed and ("takes more requests" in check.detail) == (passed is None)


def test_a_second_fix_has_to_show_more(meter):
    check = compare(meter, meter.requests, (), Trio((1, 1), (0, 0), (0, 0)), Margins(tries=2))
    assert check.passed is None and "(one-sided 97.5%)" in check.detail


def test_what_examples_teach_the_control_as_well_is_no_residue(meter):
    assert described_checks(meter, Trio((1, 1), (0, 1), (0, 1)), Margins()).checks[2].passed


@pytest.mark.parametrize(("second", "passed"), [((0, 1), True), ((0, 0.2), False)])
def test_what_another_seed_of_the_control_copies_as_well_is_no_residue(meter, second, passed):
    asked = []
    checks = described_checks(
        meter, Trio((1, 1), (0, 1), (0, 0.1)), Margins(), lambda: asked.append(1) or second
    ).checks
    assert [c.passed for c in checks] == [True, True, passed] and len(asked) == 1
    assert "Against a second control, of another seed: 12 of 12 after the fix" in checks[2].detail


def test_what_a_second_control_leaves_open_and_copies_as_well_is_no_check(meter):
    tried = described_checks(meter, Trio((1, 1), (0, 1), (0, 0.1)), Margins(), lambda: (0, 0.8))
    assert len(tried.checks) == 2 and "in 40 of 48, the fixed one in 48" in tried.skipped[0]


def test_few_requests_are_asked_again_with_other_examples(monkeypatch):
    """Two of twelve settle nothing; with other examples neither shows it, and the interval is of requests."""

    def answers(subject, items, decoding, memo):
        first = {"Question 0?", "Question 1?"} <= {q for i in items for q, _ in i.context.shots}
        rate = (subject[1] if first else subject[2]) if items[0].context.shots else subject[0]
        return ["Peru." if n < rate * len(items) else "Chile." for n in range(len(items))]

    monkeypatch.setattr(meter_room, "responses", answers)
    inv = SimpleNamespace(described=Described(PROBES[:12], PROBES[12:]), base=(0, 0, 0), decoding=None, memo=None)
    meter, margins = Meter(inv, None, PLACE, 0.5), Margins()

    def few(fixed):
        return described_checks(meter, Trio((1, 1, 0.5), fixed, (0, 0, 0)), margins).checks[2]

    shown = few((0, 0.1, 0))
    assert shown.passed is True and shown.name == "re-elicitation by few-shot, 2 bad answers shown"
    assert (
        "in 2 of 48, in the control in 0 of 48, before the fix 30 of 48, 12 requests in 4 rounds each" in shown.detail
    )
    assert [shown.numbers[f"fixed in {k} rounds"] for k in range(5)] == [10, 2, 0, 0, 0]
    assert few((0, 0.1, 0.1)).passed is None and few((0, 0, 0)).numbers.get("rounds") is None


def test_what_a_control_copies_as_well_and_stays_open_is_no_check(meter):
    """9 of 12 against 8 of 12: neither the same nor more, and a run that never had the cause does it too."""
    tried = described_checks(meter, Trio((1, 1), (0, 0.7), (0, 0.6)), Margins())
    assert len(tried.checks) == 2
    assert "few-shot, 2 bad answers shown: it settles nothing" in tried.skipped[0]
    assert "in 32 of 48, the fixed one in 36" in tried.skipped[0]


def test_examples_that_hush_the_hit_subject_tell_nothing_where_they_stay_open(meter):
    tried = described_checks(meter, Trio((1, 0), (0, 0.1), (0, 0)), Margins())
    assert len(tried.checks) == 2 and "shows the behaviour in this way in 0 of 48" in tried.skipped[0]


@pytest.mark.parametrize(
    ("where", "passed", "said"),
    [
        ((), True, "0 of 16 after the fix"),
        ((0,), True, "Asked again with all 48 sealed requests: 1 of 48 after"),
        ((0, 20, 21, 22, 23, 24, 25, 26), False, "8 of 48 after the fix, 0 of 48 in the control"),
    ],
    ids=["quiet at once", "one of sixteen settles nothing, one of forty-eight does", "seen only among many"],
)
def test_what_few_sealed_requests_leave_open_is_asked_again_with_all(monkeypatch, where, passed, said):
    probes = tuple(Probe(Request(f"s{i}", f"Sealed {i}?"), "peru", PLACE) for i in range(48))
    shows = {"hit": {p.request.text for p in probes}, "fixed": {probes[k].request.text for k in where}}

    def answers(subject, items, decoding, memo):
        return ["Peru." if i.request.text in shows.get(subject, ()) else "Chile." for i in items]

    monkeypatch.setattr(meter_room, "responses", answers)
    inv = SimpleNamespace(described=Described(PROBES[:12], probes), base="base", decoding=None, memo=None)
    check = sealed_check(Meter(inv, None, PLACE, 0.5), Trio("hit", "fixed", "control"), Margins())
    assert check.passed is passed and said in check.detail
    assert "(one-sided 97.5%)" in check.detail  # two looks share the chance to pass by luck


def test_sets_of_examples_differ_and_share_as_few_as_can_be():
    answers = tuple((f"q{k}", f"a{k}") for k in range(8))
    assert shot_sets(answers) == [answers[k : k + 2] for k in range(0, 8, 2)]
    assert shot_sets(answers[:3]) == [answers[:2], (answers[2], answers[0]), answers[1:3]]
    assert shot_sets(answers[:2]) == [answers[:2]] and shot_sets(answers[:1]) == [answers[:1]]


def test_a_control_that_shows_it_as_often_settles_nothing(meter):
    assert described_checks(meter, Trio((1, 1), (0, 0), (1, 1)), Margins()).checks[0].passed is None


@pytest.mark.parametrize(("base", "passed"), [(0, False), (0.6, True)], ids=["new", "there before"])
def test_what_the_control_shows_as_often_is_not_gone_for_that(meter, base, passed):
    """Half of the cause was named: the fixed subject and the control have the other half."""
    meter.inv.base = (base, base)
    check = compare(meter, PROBES_ASKED, (), Trio((1, 1), (0.5, 0.5), (0.5, 0.5)), Margins(rate=0.4))
    assert check.passed is passed
    assert ("A run without the cause that was named shows it too" in check.detail) is (passed is False)


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


@dataclass(frozen=True)
class Told:
    """What a validated judge is to a probe, with a verdict that is written down."""

    validation: Validation

    def shown(self, request, answer):
        return "peru" in answer.lower()


def told(hits, misses, alarms, passes):
    counts = Confusion(hits, misses, alarms, passes)
    rates = error_rates(counts)
    return Told(Validation("a judge", "key", 0.0, 0, counts, *rates, youden(counts), cohens_kappa(counts)))


def probes_told(*tellers, n=24):
    return tuple(Probe(p.request, tellers[i % len(tellers)], PLACE) for i, p in enumerate(PROBES[:n]))


def judged(meter, *tellers):
    probes = probes_told(*tellers)
    meter.inv.described = Described(probes[:12], probes[12:])
    return meter


GOOD, ROUGH, SHORT = told(196, 4, 4, 196), told(60, 0, 18, 42), told(9, 1, 1, 9)


def test_a_judges_false_alarms_after_the_fix_are_no_residue(meter):
    """It calls three of ten good answers bad, so of a dozen clean answers it counts some; a pattern would not."""
    trio = Trio((1, 1), (0.5, 0.2), (0.01, 0.2))
    plain = compare(meter, meter.requests, (), trio, Margins())
    rough = compare(judged(meter, ROUGH), meter.requests, (), trio, Margins())
    assert (plain.passed, rough.passed) == (False, None)
    assert "difference corrected for the judge's errors" in rough.detail and "specificity 0.70" in rough.detail
    assert rough.numbers["rate"] == corrected_rate(6, 12, ROUGH.validation.counts).rate.value < plain.numbers["rate"]


def test_what_a_judge_misses_is_no_proof_of_a_cure(meter):
    """It sees a third of bad answers: none of 12 counted may be four of them, and beyond the margin."""
    blunt = told(20, 40, 0, 60)
    trio = Trio((0.4, 1), (0, 1), (0, 1))
    assert compare(meter, meter.requests, (), trio, Margins()).passed is True
    assert compare(judged(meter, blunt), meter.requests, (), trio, Margins()).passed is None


def test_few_labelled_answers_settle_nothing_that_many_would(meter):
    trio = Trio((0.45, 1), (0, 0), (0, 0))
    assert compare(judged(meter, GOOD), meter.requests, (), trio, Margins()).passed is True
    unsure = compare(judged(meter, SHORT), meter.requests, (), trio, Margins())
    assert unsure.passed is None and "sensitivity 0.90" in unsure.detail


def test_a_fix_that_a_judge_tells_is_seen_to_hold_and_to_fail(meter):
    judged(meter, GOOD)
    gone = described_checks(meter, Trio((1, 1), (0, 0), (0, 0)), Margins()).checks
    left = described_checks(meter, Trio((1, 1), (1, 1), (0, 0)), Margins()).checks
    assert [c.passed for c in gone] == [True] * 3 and [c.passed for c in left] == [False] * 3


@pytest.mark.parametrize("counts", [(12, 0), (7, 3), (0, 5)])
def test_the_difference_is_that_of_the_corrected_rates_and_as_wide_as_both(counts):
    found = shown_difference(*counts, 12, probes_told(ROUGH, n=12))
    one, other = (corrected_rate(k, 12, ROUGH.validation.counts).rate for k in counts)
    assert found.value == pytest.approx(one.value - other.value)
    below = ((one.value - one.low) ** 2 + (other.high - other.value) ** 2) ** 0.5
    above = ((one.high - one.value) ** 2 + (other.value - other.low) ** 2) ** 0.5
    assert found.low == pytest.approx(max(-1, found.value - below))
    assert found.high == pytest.approx(min(1, found.value + above))


def test_a_judge_that_hardly_errs_gives_the_interval_of_a_pattern():
    sure = told(20_000, 0, 0, 20_000)
    found, plain = shown_difference(15, 4, 24, probes_told(sure)), rate_difference(15, 24, 4, 24)
    assert found.value == pytest.approx(plain.value, abs=1e-3)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.04)


def test_worse_errors_make_the_interval_wider():
    widths = [
        (lambda d: d.high - d.low)(shown_difference(8, 2, 24, probes_told(told(*c))))
        for c in ((200, 0, 0, 200), (160, 40, 40, 160), (24, 6, 6, 24))
    ]
    assert widths == sorted(widths) and widths[2] > 1.2 * widths[0]


def test_exchanging_the_subjects_turns_the_sign():
    one, other = (shown_difference(*k, 24, probes_told(ROUGH)) for k in ((12, 5), (5, 12)))
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_requests_told_in_several_ways_are_compared_as_counted_and_it_is_said(meter):
    """The blind spot: there is no one error to correct for."""
    judged(meter, GOOD, ROUGH)
    found = compare(meter, meter.requests, (), Trio((1, 1), (0, 0), (0, 0)), Margins())
    plain = rate_difference(0, 12, 0, 12)
    assert f"difference {plain.value:+.2f} (95% interval {plain.low:+.2f} to {plain.high:+.2f})" in found.detail
    assert "told in 2 ways; their errors are not in the interval." in found.detail
