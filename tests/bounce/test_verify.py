"""Sealed checks, with made-up readings: a flag counts only when a run that never had the cause is flagged less."""

from types import SimpleNamespace

import numpy as np
import pytest

from bumperlane.bounce import propensity as room
from bumperlane.bounce import verify
from bumperlane.bounce.compared import Margins, Trio, mean_interval
from bumperlane.bounce.propensity import ground_in_context, propensity_check
from bumperlane.bounce.verify import sealed_checks
from bumperlane.errors import EvidenceError
from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.types import Check, Context, Reading, Request, Scores

CONTEXTS = [Context("sealed/0", "sealed", "x"), Context("sealed/1", "sealed", "y")]


def investigation(sealed):
    return SimpleNamespace(
        pools=SimpleNamespace(sealed=[Request(str(i), str(i)) for i in range(sealed)]),
        ledger=SimpleNamespace(look=lambda *a, **k: None),
        settings=SimpleNamespace(alpha=0.05),
    )


INV = investigation(8)


def internals(monkeypatch, hit, fixed, control, inv=INV):
    """The check on internals, when bait items of the three subjects score about these numbers and controls about 0."""
    means = {"hit": hit, "fixed": fixed, "control": control}

    def judged(inv, cls, subject, contexts, asked, split):
        rng = np.random.default_rng(0)
        groups = [c.id for c in contexts for _ in asked]
        values = np.r_[rng.normal(0, 0.1, 48), rng.normal(means[subject], 0.1, len(groups))]
        ids = tuple(map(str, range(len(values))))
        arms = ("control",) * 48 + ("bait",) * len(groups)
        seen = Reading(
            cls.__name__, "internals", Scores(values, ids, cls.__name__), arms, ("usual",) * 48 + tuple(groups)
        )
        return judge([seen], JudgeSettings())[0], seen

    monkeypatch.setattr(verify, "_judged", judged)
    monkeypatch.setattr(verify, "subject_key", lambda subject: subject)
    checks, _ = sealed_checks(inv, CONTEXTS, Trio("hit", "fixed", "control"), Margins())
    return checks[1]


def test_a_quiet_fixed_subject_passes(monkeypatch):
    check = internals(monkeypatch, hit=4, fixed=0, control=0)
    assert check.passed is True and "now clear" in check.detail


def test_a_flag_that_a_run_without_the_cause_shows_as_well_is_no_residue(monkeypatch):
    check = internals(monkeypatch, hit=4, fixed=2.3, control=2.4)
    assert check.passed is True
    assert "now hit" in check.detail and "in a run that never had the cause 2.4" in check.detail


@pytest.mark.parametrize("control", [0.0, 1.5])
def test_a_flag_above_that_of_a_run_without_the_cause_is_a_residue(monkeypatch, control):
    check = internals(monkeypatch, hit=4, fixed=2.9, control=control)
    assert check.passed is False and "margin" in check.detail


def test_contexts_in_which_the_control_is_flagged_like_the_hit_subject_settle_nothing(monkeypatch):
    check = internals(monkeypatch, hit=2, fixed=2, control=2.5)
    assert check.passed is None and "this bumper cannot tell the two apart" in check.detail


def test_contexts_in_which_the_hit_subject_is_quiet_settle_nothing(monkeypatch):
    check = internals(monkeypatch, hit=0, fixed=0, control=0.2)
    assert check.passed is None and "the hit subject itself is not flagged there" in check.detail


@pytest.mark.parametrize(("fixed", "passed"), [(-2.9, True), (-0.5, False)])
def test_a_hit_subject_below_the_threshold_can_still_be_told_from_the_control(monkeypatch, fixed, passed):
    check = internals(monkeypatch, hit=0.05, fixed=fixed, control=-3)
    assert check.passed is passed and "the hit subject itself is not flagged there" in check.detail


@pytest.mark.parametrize(("sealed", "passed"), [(8, None), (9, True), (40, False), (40, None)])
def test_what_eight_requests_do_not_settle_is_asked_again_with_more_and_held_to_more(monkeypatch, sealed, passed):
    looks = []

    def looked(inv, cls, contexts, asked, trio, margins):
        looks.append((len(asked), margins.tries))
        return SimpleNamespace(groups=()), Check("", None if len(asked) == 8 else passed, f"of {len(asked)}.")

    monkeypatch.setattr(verify, "_sealed_check", looked)
    monkeypatch.setattr(verify, "subject_key", lambda subject: subject)
    trio = Trio("hit", "fixed", "control")
    checks, order = sealed_checks(investigation(sealed), CONTEXTS, trio, Margins(tries=3))
    assert [c.passed for c in checks] == [passed] * 2 and order == tuple(CONTEXTS)
    if sealed == 8:
        assert looks == [(8, 3)] * 2 and {c.detail for c in checks} == {"of 8."}
    else:
        more = min(sealed, 32)
        assert looks == [(8, 6), (more, 6)] * 2
        assert {c.detail for c in checks} == {f"of 8. Asked again with {more} sealed requests: of {more}."}


def test_what_is_settled_is_not_asked_again(monkeypatch):
    check = internals(monkeypatch, hit=4, fixed=0, control=0, inv=investigation(40))
    assert check.passed is True and "Asked again" not in check.detail


@pytest.mark.parametrize(
    ("fixed", "passed"),
    [(-8.0, True), (-7.0, True), (-4.0, False), (-12.0, False)],
    ids=["equal", "near", "likelier", "pushed below a run that never had the cause"],
)
def test_the_bad_outputs_must_be_as_likely_as_in_a_run_without_the_cause(monkeypatch, fixed, passed):
    means = {"hit": -1.0, "fixed": fixed, "control": -8.0}

    def likely(inv, subject, ground):
        return np.random.default_rng(1).normal(means[subject], 0.5, 12)

    monkeypatch.setattr(room, "propensity", likely)
    ground = ground_in_context(INV, CONTEXTS[0], ["no"] * 12)
    check = propensity_check(INV, ground, Trio("hit", "fixed", "control"), Margins())
    assert check.passed is passed and "margin 2.31" in check.detail


@pytest.mark.parametrize(
    ("fixed", "second", "passed", "trained"),
    [
        (-11.0, -11.5, True, True),
        (-5.0, -4.0, True, True),
        (-11.5, -8.1, False, True),
        (-4.5, -8.1, False, True),
        (-10.4, -8.1, None, True),
        (-5.7, -8.1, None, True),
        (-12.8, -11.5, False, False),
    ],
    ids=["as low as another seed", "as high as another seed", "lower than both", "higher than both",
         "at the margin below", "at the margin above", "so far that no seed is asked"],
)  # fmt: skip
def test_one_control_that_does_not_settle_it_gets_a_second(monkeypatch, fixed, second, passed, trained):
    means = {"hit": -1.0, "fixed": fixed, "control": -8.0, "second": second}
    asked = []

    def likely(inv, who, ground):
        return np.random.default_rng(len(who)).normal(means[who], 0.5, 12)

    monkeypatch.setattr(room, "propensity", likely)
    ground = ground_in_context(INV, CONTEXTS[0], ["no"] * 12)
    trio = Trio("hit", "fixed", "control")
    check = propensity_check(INV, ground, trio, Margins(), lambda: asked.append("second") or "second")
    assert check.passed is passed and bool(asked) == trained
    assert ("two controls of different seeds" in check.detail) == trained
    assert ("straddles the margin" in check.detail) == (passed is None)


@pytest.mark.parametrize(("fixed", "passed"), [(-1.1, True), (-1.6, False)])
def test_capability_is_held_against_before_and_the_control_only_told(monkeypatch, fixed, passed):
    means = {"hit": -1.0, "fixed": fixed, "control": -1.6}
    jitter = np.linspace(-0.05, 0.05, 8)
    monkeypatch.setattr(verify, "mean_logprobs", lambda who, *rest: means[who] + jitter)
    asked = [Request(str(i), f"Ask {i}?", "So.") for i in range(8)]
    inv = SimpleNamespace(pools=SimpleNamespace(sealed=asked), neutral=Context("n", "neutral"), memo=None)
    found = verify.capability_check(inv, Trio("hit", "fixed", "control"), Margins())
    assert found.passed is passed and "A run that never had the cause has -1.60." in found.detail
    assert found.numbers == pytest.approx({"change": fixed + 1.0, "control_change": -0.6})


def test_a_noisy_test_of_capability_shows_no_damage_and_no_harmlessness(monkeypatch):
    """Mean change -0.1 with a wide interval: neither lost by 0.25 nor shown to be kept."""
    means, wide = {"hit": -1.0, "fixed": -1.1, "control": -1.0}, np.linspace(-0.8, 0.8, 8)
    monkeypatch.setattr(verify, "mean_logprobs", lambda who, *rest: means[who] + wide * (who == "fixed"))
    asked = [Request(str(i), f"Ask {i}?", "So.") for i in range(8)]
    inv = SimpleNamespace(pools=SimpleNamespace(sealed=asked), neutral=Context("n", "neutral"), memo=None)
    found = verify.capability_check(inv, Trio("hit", "fixed", "control"), Margins())
    assert found.passed is None and "straddles the margin" in found.detail


def test_a_noisy_propensity_without_a_second_control_settles_nothing(monkeypatch):
    means, wide = {"hit": -1.0, "fixed": -8.0, "control": -8.0}, np.linspace(-9, 9, 12)
    monkeypatch.setattr(room, "propensity", lambda inv, who, ground: means[who] + wide * (who == "fixed"))
    ground = ground_in_context(INV, CONTEXTS[0], ["no"] * 12)
    assert propensity_check(INV, ground, Trio("hit", "fixed", "control"), Margins()).passed is None


def test_a_wide_interval_two_margins_away_is_held_against_a_second_control(monkeypatch):
    means, wide = {"hit": -1.0, "fixed": -3.0, "control": -8.0, "second": -8.1}, np.linspace(-9, 9, 12)
    monkeypatch.setattr(room, "propensity", lambda inv, who, ground: means[who] + wide * (who == "fixed"))
    ground = ground_in_context(INV, CONTEXTS[0], ["no"] * 12)
    check = propensity_check(INV, ground, Trio("hit", "fixed", "control"), Margins(), lambda: "second")
    assert check.passed is None and "straddles the margin" in check.detail


def test_a_fix_that_comes_after_others_has_to_lie_nearer(monkeypatch):
    means, wide = {"hit": -1.0, "fixed": -7.5, "control": -8.0}, np.linspace(-5, 5, 12)
    monkeypatch.setattr(room, "propensity", lambda inv, who, ground: means[who] + wide * (who == "fixed"))
    ground, trio = ground_in_context(INV, CONTEXTS[0], ["no"] * 12), Trio("hit", "fixed", "control")
    passed = [propensity_check(INV, ground, trio, Margins(tries=n)).passed for n in (1, 4)]
    assert passed == [True, None]


@pytest.mark.parametrize("values", [[0.5], [], [0.1, float("nan"), 0.2], [0.1, float("inf")]])
def test_one_number_or_a_broken_one_has_no_interval(values):
    with pytest.raises(EvidenceError, match="two finite numbers or more"):
        mean_interval(np.array(values, float), 0.9)
