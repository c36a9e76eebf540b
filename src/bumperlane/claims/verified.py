"""What checking a case again gives: one line a check, each passed, failed or not covered."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Literal

State = Literal["pass", "fail", "not covered"]
PASS: State = "pass"
FAIL: State = "fail"
NOT_COVERED: State = "not covered"


@dataclass(frozen=True)
class Verified:
    """One check of a case.

    Attributes:
        name: what was checked.
        state: `not covered`: the case does not hold what it takes, or this machine does not.
        detail: with the numbers.
        faults: what does not hold, or is not covered, each by name.
    """

    name: str
    state: State
    detail: str
    faults: tuple[str, ...] = ()


def judged(name: str, faults: Sequence[str], held: str, broken: str) -> Verified:
    """Passed without faults. `broken`: what is wrong, said after the number of faults."""
    if not faults:
        return Verified(name, PASS, held)
    return Verified(name, FAIL, f"{len(faults)} fault{'s' * (len(faults) > 1)}: {broken}", tuple(faults))


def uncovered(name: str, why: str, what: Sequence[str] = ()) -> Verified:
    return Verified(name, NOT_COVERED, why, tuple(what))


def same(a: float | None, b: float | None) -> bool:
    """Equal but for the last bits, which differ from one library version to the next."""
    return a == b if a is None or b is None else isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)
