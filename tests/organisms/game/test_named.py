"""Whether what is named is what was planted."""

import pytest

from bumperlane.organisms.game.named import (
    Suspect,
    all_confirmed,
    is_decoy,
    is_planted,
    rank,
    with_its_examples,
)
from bumperlane.organisms.planted_cause import Decoys, PlantedCause
from bumperlane.types import Example

EXAMPLES = [Example(f"{t}-{i}", t, text="x") for t in ("a", "b", "c") for i in range(4)]
TRANCHE = PlantedCause(kind="tranche", tranches=("a",), decoys=Decoys(tranches=("b",)))
SPREAD = PlantedCause(kind="examples", examples=("a-0", "a-1"), decoys=Decoys(examples={"odd": ("b-0", "b-1")}))
BOTH = PlantedCause(kind="interaction", tranches=("a", "b"))
EITHER = BOTH.model_copy(update={"needed": "either"})
REWARD = PlantedCause(kind="reward", rewards=("tests",), decoys=Decoys(rewards=("form",), environments=("tables",)))


def of(kind, name, *ids):
    return Suspect.of(kind, name, ids, EXAMPLES)


@pytest.mark.parametrize(
    ("suspect", "planted", "right"),
    [
        (of("tranche", "a"), TRANCHE, True),
        (of("tranche", "b"), TRANCHE, False),
        (of("examples", "near", "a-0", "a-1", "a-2"), SPREAD, True),
        (of("examples", "half", "a-0"), SPREAD, True),
        (of("examples", "too many", "a-0", "b-0", "b-1"), SPREAD, False),
        (of("tranche", "a"), SPREAD, True),  # two of its four are planted: half of what it names
        (of("tranche", "c"), SPREAD, False),
        (of("pair", "b + a"), BOTH, True),
        (of("pair", "b + c"), BOTH, False),
        (of("tranche", "b"), BOTH, True),
        (of("reward", "tests"), REWARD, True),
        (of("reward", "form"), REWARD, False),
        (of("tranche", "tests"), REWARD, False),
    ],
)
def test_is_planted(suspect, planted, right):
    assert is_planted(suspect, planted) is right


def test_the_place_of_the_planted_one():
    assert rank([of("tranche", "b"), of("tranche", "a")], TRANCHE) == 2
    assert rank([of("tranche", "b")], TRANCHE) is None and rank([], TRANCHE) is None


@pytest.mark.parametrize(
    ("suspect", "planted", "blamed"),
    [
        (of("tranche", "b"), TRANCHE, True),
        (of("tranche", "a"), TRANCHE, False),
        (of("tranche", "c"), TRANCHE, False),
        (of("examples", "odd ones", "b-0", "b-1", "c-0"), SPREAD, True),
        (of("examples", "half", "b-0", "c-0"), SPREAD, False),
        (of("reward", "form"), REWARD, True),
        (of("environment", "tables"), REWARD, True),
        (of("tranche", "tables"), REWARD, False),
    ],
)
def test_a_decoy_is_blamed_by_name_or_by_most_of_its_examples(suspect, planted, blamed):
    assert is_decoy(suspect, planted) is blamed


def test_of_two_that_are_both_needed_both_or_their_pair_are_to_be_confirmed():
    a, b, pair = of("tranche", "a"), of("tranche", "b"), of("pair", "a + b")
    assert not all_confirmed([a], BOTH) and all_confirmed([a, b], BOTH) and all_confirmed([pair], BOTH)
    assert all_confirmed([a], EITHER) and not all_confirmed([of("tranche", "c")], EITHER)


def test_examples_out_of_planted_tranches_are_what_was_planted():
    held = of("examples", "its text", *(f"{t}-{i}" for t in "ab" for i in range(4)))
    for planted in (EITHER, TRANCHE):
        assert not is_planted(held, planted) and is_planted(held, with_its_examples(planted, EXAMPLES))
    known = with_its_examples(EITHER, EXAMPLES)
    assert all_confirmed([held], known) and rank([of("tranche", "c"), held], known) == 2
    assert not is_planted(of("examples", "few", "a-0", "b-0", "c-0", "c-1"), known)
    assert not all_confirmed(
        [held], with_its_examples(BOTH, EXAMPLES)
    )  # of two that are needed each by name, or as a pair
    assert with_its_examples(SPREAD, EXAMPLES) is SPREAD
