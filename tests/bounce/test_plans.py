from bumperlane.bounce.plans import change_plans, with_bounce
from bumperlane.case import Bounce, CheckResult


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


def test_the_same_fix_again_is_no_other_try():
    first, again = tried("drop it"), tried("drop it", failed=("capability",))
    assert with_bounce([first], again) == [again]
    assert with_bounce([first, tried("patch")], again) == [tried("patch"), again]
    assert with_bounce([first], tried("drop it", rewind=8)) == [first, tried("drop it", rewind=8)]
