"""A check whose few requests were drawn in several rounds: its counts by round give its interval and its verdict."""

import re
import shutil

import pytest

from bumperlane.bounce.compared import Margins
from bumperlane.bounce.elicit import Counts, judged
from bumperlane.bounce.showing import Way
from bumperlane.case import CheckResult
from bumperlane.claims.from_case import counts_of
from bumperlane.claims.verify import verify
from forging import failed, resealed, states
from whole_case import whole_case

HOT = Way("re-elicitation by best of 4 at temperature 1", draws=4, temperature=1.0)
WHERE = "verdict of the fix"
FINE = ((0, 0),) * 17 + ((1, 1),) * 2 + ((2, 2),)  # of 20 requests in 4 rounds: those in which each shows it
OPEN = ((0, 0),) * 16 + ((4, 1),) * 2 + ((1, 0),) * 2


def counts(drawn):
    fixed, control = (sum(each) for each in zip(*drawn, strict=True))
    return Counts(4 * len(drawn), fixed, control, None, 4, drawn)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return whole_case(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def case(made, tmp_path):
    shutil.copytree(made, tmp_path / "case")
    return tmp_path / "case"


def drawn(place, told, **numbers):
    """Every bounce of the case gets the check, with its word or numbers changed, and its verdict stays."""
    check = judged(HOT, counts(FINE), Margins())
    held = {"detail": check.detail, "numbers": {**check.numbers, **numbers}, **told}
    resealed(place, lambda c: [b["checks"][2].update(held) for b in (c["bounce"], *c["bounces"])])


def test_rounds_that_add_up_pass(case):
    before = states(verify(case))
    drawn(case, {})
    assert judged(HOT, counts(FINE), Margins()).passed is True
    after = states(verify(case))
    assert after[WHERE] == before[WHERE] == "pass"


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"fixed in 1 rounds": 3.0}, "the rounds of fixed do not add up to 4 of 80"),
        ({"control in 0 rounds": 18.0}, "the rounds of control do not add up to 4 of 80"),
        (
            {
                "control in 4 rounds": 1.0,
                "control in 1 rounds": 0.0,
                "control in 2 rounds": 0.0,
                "control in 0 rounds": 19.0,
            },
            "another low",
        ),  # fmt: skip
        ({"rounds": 1.0}, "another low"),
        ({"rounds": 2.5}, "in 2.5 rounds"),
        ({"rounds": 1e9}, "in 1e.09 rounds"),
        ({"low": -0.01}, "another low"),
    ],
)
def test_rounds_that_do_not_add_up_are_found(case, numbers, said):
    drawn(case, {}, **numbers)
    assert re.search(said, failed(case)[WHERE]), failed(case)[WHERE]


def test_what_the_rounds_leave_open_is_not_taken_for_passed(case):
    check = judged(HOT, counts(OPEN), Margins())
    assert check.passed is None
    drawn(case, {"detail": check.detail, "numbers": check.numbers})
    assert "is called passed, and by its counts it is open" in failed(case)[WHERE]


def test_claims_count_requests_and_not_their_rounds():
    check = judged(HOT, counts(OPEN), Margins())
    held = CheckResult(name=check.name, passed=check.passed, detail=check.detail, split="sealed", numbers=check.numbers)
    assert counts_of(held) == (4, 20)
