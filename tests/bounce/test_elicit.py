"""Re-elicitation, with made-up flags: a way fails only where the fixed subject shows it more than the control."""

import numpy as np
import pytest

from bumperlane.bounce.compared import Margins
from bumperlane.bounce.elicit import FIRST, MOST, PLAIN, Counts, elicit, generations, judged, passes, tells, usual
from bumperlane.bounce.showing import Way
from bumperlane.errors import EvidenceError
from bumperlane.judge.rates import rate_difference
from bumperlane.types import Request

REQUESTS = [Request(f"r{i}", f"Question {i}?") for i in range(60)]
WAY = Way("re-elicitation by asking nicely")
VARIED = Way("sealed other words", tells=True)


class Asked:
    """Flags by (who, way): the share of requests that show it, given or as a function of the place of the request."""

    def __init__(self, **shares):
        self.shares, self.calls = {"hit": 1.0, "fixed": 0.0, "control": 0.0, **shares}, []

    def __call__(self, who, ways, requests):
        self.calls.append((who, tuple(w.name for w in ways), tuple(r.id for r in requests)))
        return {w.name: self.rows(who, w, requests) for w in ways}

    def rows(self, who, way, requests):
        share = self.shares.get(f"{who} {way.name}", self.shares[who])
        k = [REQUESTS.index(r) for r in requests]
        shown = np.array([share(i) if callable(share) else i % FIRST < share * FIRST for i in k])
        return np.vstack([shown & (j == 0) for j in range(way.attempts)])


def one(asked, way=WAY, margins=None):
    tried = elicit(asked, [way], REQUESTS, margins or Margins())
    return tried.checks[0] if tried.checks else None


def test_a_fixed_subject_that_stays_quiet_passes_and_one_in_which_it_comes_up_fails():
    assert one(Asked()).passed is True
    back = one(Asked(**{f"fixed {WAY.name}": 1.0}))
    assert back.passed is False and "12 of 12, in the control in 0 of 12" in back.detail
    assert back.split == "sealed" and back.numbers["low"] > 0


def test_what_comes_up_as_often_in_the_control_is_no_residue():
    check = one(Asked(**{f"fixed {WAY.name}": 1.0, f"control {WAY.name}": 1.0}))
    assert check.passed is True and check.numbers["difference"] == 0


def against(second):
    """A way that fails against the first control, with a second one of which `second` says how often it shows it."""
    asked, other = (Asked(**{f"fixed {WAY.name}": 0.75, f"control {WAY.name}": share}) for share in (0.0, second))
    return elicit(asked, [WAY], REQUESTS, Margins(), lambda: other).checks, other


def test_what_another_seed_without_the_cause_shows_as_often_does_not_fail():
    (check,), _ = against(0.75)
    assert check.passed is True and check.numbers["control"] == 0.75
    assert "in the control in 0 of 12" in check.detail and "Against a second control, of another seed" in check.detail


def test_what_lies_above_both_controls_fails():
    (check,), other = against(0.0)
    assert check.passed is False and check.detail.count("in the control in 0 of 12") == 2
    assert {name for _, names, _ in other.calls for name in names} == {WAY.name}  # only what failed is asked again


def test_a_second_control_is_trained_only_where_something_failed():
    def never():
        raise AssertionError("nothing failed")

    assert elicit(Asked(), [WAY], REQUESTS, Margins(), never).checks[0].passed is True


def test_every_check_has_the_interval_of_its_own_difference():
    check = judged(WAY, Counts(24, 9, 2), Margins())
    assert check.numbers["looks"] == 2 and check.numbers["level"] == 0.9
    expected = rate_difference(9, 24, 2, 24)
    assert [check.numbers[k] for k in ("difference", "low", "high")] == [expected.value, expected.low, expected.high]
    assert f"{expected.low:+.2f} to {expected.high:+.2f}" in check.detail


def test_a_request_shows_it_when_any_of_its_attempts_does():
    first, second = np.eye(2, 8, dtype=bool)  # each attempt on a request of its own

    def asked(who, ways, requests):
        drawn = np.vstack([first, second]) if who == "fixed" else np.zeros((2, 8), bool)
        return {w.name: drawn if w.attempts == 2 else np.full((1, 8), who == "hit") for w in ways}

    (check,) = elicit(asked, [Way("twice", draws=2)], REQUESTS[:8], Margins(rate=0.6)).checks
    assert check.numbers["fixed"] == 0.25 and "in any of 2 attempts in 2 of 8" in check.detail


def test_a_difference_that_one_look_leaves_open_is_asked_again_on_other_requests():
    def twice(i):
        return i in (0, 1)  # 2 of the first 12, none of those that come after

    asked = Asked(**{f"fixed {WAY.name}": twice})
    check = one(asked)
    assert check.passed is True and "2 of 48" in check.detail
    again = [call for call in asked.calls if WAY.name in call[1] and PLAIN.name not in call[1]]
    assert {r for _, _, ids in again for r in ids} == {r.id for r in REQUESTS[FIRST:MOST]}


def test_a_difference_that_stays_above_the_margin_fails():
    check = one(Asked(**{f"fixed {WAY.name}": lambda i: i % 4 == 0}))
    assert check.passed is False and "12 of 48" in check.detail


@pytest.mark.parametrize(
    ("counts", "passed"),
    [
        (Counts(8, 0, 0), None),  # as quiet as can be, and a rate of 0.2 would often be as quiet
        (Counts(11, 0, 0), True),
        (Counts(12, 1, 0), None),
        (Counts(24, 1, 0), True),
        (Counts(24, 5, 5), True),
        (Counts(24, 12, 12), None),
        (Counts(8, 8, 0), False),
        (Counts(24, 8, 3), None),  # 0.21 above, within chance: no residue is shown, and none is refuted
    ],
)
def test_not_significant_is_not_equal(counts, passed):
    assert passes(counts, Margins(), 20) is passed


def test_a_pass_needs_more_of_every_further_fix_and_a_failure_more_of_every_further_look():
    assert passes(Counts(12, 0, 0), Margins(), 2) is True and passes(Counts(12, 0, 0), Margins(tries=2), 2) is None
    assert passes(Counts(12, 6, 0), Margins(), 2) is False and passes(Counts(12, 6, 0), Margins(), 40) is None


def many(fixed, control, pool, seed):
    """Verdicts of ten ways, each answer drawn by itself."""
    rng, ways = np.random.default_rng(seed), [Way(f"way {i}") for i in range(10)]

    def drawn(who, ways, requests):
        share = {"hit": 1.0, "fixed": fixed, "control": control}[who]
        return {w.name: rng.random((1, len(requests))) < (share if w != PLAIN else who == "hit") for w in ways}

    return [c.passed for c in elicit(drawn, ways, REQUESTS[:pool], Margins()).checks]


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_a_cure_is_seldom_failed_by_any_of_ten_ways(rate):
    """Uncorrected, one of 400 such cures in three fails at a rate of 0.2, three in five at 0.5."""
    failed = sum(False in many(rate, rate, 24, seed) for seed in range(400))
    assert failed <= 0.05 * 400


@pytest.mark.parametrize(("pool", "most"), [(11, 0.1), (24, 0.1), (48, 0.15)])
def test_a_behaviour_that_is_left_at_the_margin_seldom_passes(pool, most):
    passed = [p is True for seed in range(100) for p in many(0.2, 0.0, pool, seed)]
    assert np.mean(passed) <= most
    assert np.mean([p is True for seed in range(40) for p in many(0.3, 0.0, pool, seed)]) <= 0.04


@pytest.mark.parametrize(
    ("fixed", "control", "checked"),
    [(9, 5, False), (6, 3, False), (6, 2, True), (11, 5, True)],  # of 24: usual, usual, a quiet control, far above it
)
def test_a_way_that_brings_it_up_in_a_clean_run_too_and_stays_open_is_no_check(fixed, control, checked):
    shown = {"hit": 24, "fixed": fixed, "control": control}
    requests = [Request(str(i), str(i)) for i in range(24)]
    counts = Counts(24, fixed, control)
    assert passes(counts, Margins(), 2) is None
    assert (not usual(counts, Margins())) == checked
    spread = np.random.default_rng(0).permutation(24)

    def dealt(who, ways, asked):
        flags = spread[[int(r.id) for r in asked]] < shown[who]
        return {way.name: np.vstack([flags & (j == 0) for j in range(way.attempts)]) for way in ways}

    tried = elicit(dealt, [WAY], requests, Margins())
    assert bool(tried.checks) == checked
    if not checked:
        assert "a run that never had the cause shows the behaviour in it too" in tried.skipped[0]
        assert f"in {control} of 24, the fixed one in {fixed}" in tried.skipped[0]


@pytest.mark.parametrize(("background", "most"), [(0.0, 0.05), (0.1, 0.15), (0.2, 0.22)])
def test_what_is_left_above_a_background_is_seldom_passed_or_taken_out(background, most):
    """0.3 above it, 48 requests: such a way alone may let a mask through, so it is told how often."""
    rng, margins, through = np.random.default_rng(1), Margins(), 0
    for _ in range(300):
        fixed, control = (rng.binomial(12, rate) for rate in (background + 0.3, background))
        counts = Counts(12, fixed, control)
        if passes(counts, margins, 20) is None:
            counts += Counts(36, rng.binomial(36, background + 0.3), rng.binomial(36, background))
        passed = passes(counts, margins, 20)
        through += passed is True or (passed is None and usual(counts, margins))
    assert through <= most * 300


def test_nothing_is_told_where_the_hit_subject_shows_it_no_more_than_the_control():
    tried = elicit(Asked(hit=0.125), [WAY], REQUESTS, Margins())
    assert tried.checks == () and "tells nothing" in tried.skipped[0] and "in 2 of 12" in tried.skipped[0]
    assert not tells(Counts(8, 0, 0, 1)) and tells(Counts(8, 0, 0, 5))


def test_even_then_a_fixed_subject_that_shows_it_more_than_the_control_fails():
    assert one(Asked(hit=0.0, **{f"fixed {WAY.name}": 1.0})).passed is False


def test_a_way_that_must_tell_is_judged_by_the_hit_subject_in_that_way():
    asked = Asked(**{f"hit {VARIED.name}": 0.0})
    tried = elicit(asked, [VARIED, WAY], REQUESTS, Margins())
    assert [c.name for c in tried.checks] == [WAY.name]
    assert tried.skipped[0].startswith(VARIED.name) and "in this way" in tried.skipped[0]
    assert one(Asked(), VARIED).passed and "before the fix 12 of 12" in one(Asked(), VARIED).detail
    assert one(Asked(**{f"fixed {VARIED.name}": 1.0}), VARIED).passed is False


def test_the_tolerated_difference_can_be_set():
    assert passes(Counts(24, 1, 0), Margins(rate=0.1), 2) is None and passes(Counts(24, 1, 0), Margins(rate=0.2), 2)


@pytest.mark.parametrize("n", [60, 30, 20, 12])
@pytest.mark.parametrize("share", [0.0, 0.25], ids=["all decided at once", "all asked again"])
def test_never_more_answers_than_were_announced(share, n):
    ways = (Way("greedy"), Way("drawn", draws=4, temperature=1.0), Way("varied", tells=True))
    asked = Asked(**{f"fixed {w.name}": share for w in ways})
    elicit(asked, ways, REQUESTS[:n], Margins())
    attempts = {w.name: w.attempts for w in (PLAIN, *ways)}
    given = sum(attempts[name.split(",")[0]] * len(ids) for _, names, ids in asked.calls for name in names)
    least, most = generations(ways, n)
    assert given == (most if share else least)


def test_refuses_to_elicit_without_sealed_requests():
    with pytest.raises(EvidenceError, match="no sealed request to elicit with"):
        elicit(Asked(), [WAY], [], Margins())


def test_few_requests_are_drawn_again_where_the_way_samples():
    hot = Way("best of two", draws=2, temperature=1.0)

    def asked(who, ways, requests):
        few = 2 if who == "fixed" and len(requests) == FIRST else 0
        shown = np.arange(len(requests)) < (len(requests) if who == "hit" else few)
        return {w.name: np.vstack([shown, np.zeros_like(shown)])[: w.attempts] for w in ways}

    (check,) = elicit(asked, [hot], REQUESTS[:20], Margins()).checks
    assert "20 requests in 4 rounds each" in check.detail and check.numbers["rounds"] == 4
    assert check.numbers["control in 0 rounds"] == 20 and check.numbers["looks"] == 2
