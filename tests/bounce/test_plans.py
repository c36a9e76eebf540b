import pytest

from bumperlane.bounce.bounce import BounceSettings
from bumperlane.bounce.compared import Margins
from bumperlane.bounce.plans import change_plans, fixes_before, selected, with_bounce
from bumperlane.case import Bounce, CheckResult
from bumperlane.errors import SettingError


def tried(fix="drop it", verdict="masked", failed=("sealed behaviour: X in 4 new contexts",), rewind=0):
    checks = [CheckResult(name=name, passed=False, detail="") for name in failed]
    checks.append(CheckResult(name="capability: right answers", passed=True, detail=""))
    return Bounce(fix=fix, rewind=rewind, diff=fix, verdict=verdict, why="so it is.", checks=checks)


def test_one_bounce_is_no_pattern_and_neither_are_two_that_failed_differently():
    assert change_plans([]) == change_plans([tried()]) == ""
    assert change_plans([tried(), tried("filter", "untreated", ("X, which was hit",))]) == ""
    assert change_plans([tried(), tried("filter", failed=("relearning speed, against a run",))]) == ""


def test_two_that_fail_in_the_same_way_say_so_and_list_what_was_tried():
    told = change_plans([tried("drop it", rewind=8), tried("patch it", failed=("sealed behaviour: Y in 2", "more"))])
    assert told.startswith("Change plans: 2 bounces failed in the same way (sealed behaviour failed each time)")
    assert "(1) drop it, from step 8: masked; (2) patch it, from step 0: masked" in told


def test_how_many_it_takes_can_be_said_and_only_the_last_ones_count():
    bounces = [tried("a"), tried("b", "treated", ()), tried("c"), tried("d")]
    assert "2 bounces" in change_plans(bounces) and change_plans(bounces, most=3) == ""
    assert change_plans([*bounces, tried("e", "treated", ())]) == ""


def test_treated_and_inconclusive_bounces_are_no_failures():
    for verdict in ("treated", "inconclusive"):
        assert change_plans([tried("a", verdict, ()), tried("b", verdict, ())]) == ""


def test_untreated_twice_is_the_same_way_whatever_else_failed():
    steer = ("X, which was hit",)
    assert "2 bounces" in change_plans([tried("a", "untreated", steer), tried("b", "untreated", (*steer, "sealed: c"))])


def test_the_same_fix_with_the_same_result_is_no_other_try():
    first, again = tried("drop it"), tried("drop it").model_copy(update={"run": "elsewhere"})
    assert with_bounce([first], again) == [again]
    assert with_bounce([first, tried("patch")], again) == [tried("patch"), again]
    assert with_bounce([first], tried("drop it", rewind=8)) == [first, tried("drop it", rewind=8)]


def test_the_same_fix_with_another_result_hides_nothing():
    """As by wider margins, or without --thorough after it had failed with it."""
    first, kinder = tried("drop it"), tried("drop it", "treated", ())
    assert with_bounce([first], kinder) == [first, kinder]
    assert selected([first], kinder, Margins()) == "The same fix was verified before, and called masked."
    assert selected([first], first, Margins()) == selected([], first, Margins()) == ""


def test_every_other_fix_before_it_counts_once_and_the_same_one_keeps_its_place():
    before = [tried("a"), tried("a", "treated", ()), tried("b")]
    assert [fixes_before(before, fix, fix, 0) for fix in ("a", "b", "c")] == [0, 1, 2]
    assert fixes_before(before, "a", "a", 8) == 2
    told = selected(before, tried("c"), Margins(tries=3))
    assert "read for 2 other fixes of this case" in told and "96.7% intervals instead of 90%" in told


def test_fixes_that_are_tried_one_after_another_share_the_chance_of_a_lucky_pass():
    assert [round(Margins(tries=n).level, 3) for n in (1, 2, 5)] == [0.9, 0.95, 0.98]
    assert [Margins(tries=n).interval for n in (1, 2)] == ["90% interval", "95% interval"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"margin": 1.0}, "margin must be above 0 and below 1, got 1.0: at 1 the subject that was hit would count"),
        ({"margin": float("inf")}, "margin must be above 0 and below 1, got inf"),
        ({"margin": float("nan")}, "margin must be above 0 and below 1, got nan"),
        ({"rate_margin": 1.5}, "rate_margin must be above 0 and below 1"),
        ({"capability_margin": float("inf")}, "capability_margin must be above 0 and finite, got inf"),
    ],
)
def test_margins_at_which_everything_is_equal_are_refused(given, said):
    with pytest.raises(SettingError, match=said):
        BounceSettings(**given)


def test_margins_that_were_widened_are_told():
    assert BounceSettings().wider == BounceSettings(margin=0.2).wider == ""
    told = BounceSettings(margin=0.75, capability_margin=1).wider
    assert told == "Margins were widened: margin 0.75 (usual: 0.33), capability_margin 1 (usual: 0.25)."
