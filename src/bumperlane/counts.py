"""Steps and counts as a case may hold them: none below zero, none larger than a drawing or other JSON can hold."""

from typing import Annotated

from pydantic import AfterValidator, Field


def of_all(pair: tuple[int, int]) -> tuple[int, int]:
    """(k, n) as it came. Raises ValueError when k is more than n."""
    if pair[0] > pair[1]:
        raise ValueError(f"{pair[0]} of {pair[1]} is no count")
    return pair


Whole = Annotated[int, Field(ge=0, lt=2**53)]
Counted = Annotated[tuple[Whole, Whole], AfterValidator(of_all)]

__all__ = ["Counted", "Whole", "of_all"]
