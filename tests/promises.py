"""What every bumper promises, as one function each: `test_contract.py` runs them over all that are installed.

A fault is an AssertionError that says what is wrong. Usable for a bumper of your own: `keep(MyBumper, path)`.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bumperlane.detect.contract import SECTIONS, is_offline, pooled, scorer, spring
from bumperlane.detect.fitted import load_fitted, save_fitted
from bumperlane.errors import BumperlaneError

EVIDENCE = ("clean", "bad", "blind")


class Offline:
    """An offline bumper's fit, seen like an online one: its batch is the clean twin and the bad (or blind) items."""

    def __init__(self, fitted: Any) -> None:
        self.fitted, self.score = fitted, fitted.score_batch


def fitted_on_its_trap(cls: type, batch: str = "bad") -> tuple[Any, Any]:
    trap = cls.trap()
    if is_offline(cls):
        return trap, Offline(trap.bumper.fit(trap.fit, pooled(trap.clean, getattr(trap, batch))))
    return trap, trap.bumper.fit(trap.fit)


def part(evidence: Any, which: slice) -> Any:
    """Some of the items of any evidence: everything in it that has one entry an item is cut alike."""
    n, cut = len(evidence.ids), {}
    for field in fields(evidence):
        value = getattr(evidence, field.name)
        if is_dataclass(value):
            cut[field.name] = part(value, which)
        elif isinstance(value, np.ndarray | tuple) and len(value) == n:
            cut[field.name] = value[which]
    return replace(evidence, **cut)


def spoiled(evidence: Any, value: float) -> Iterator[Callable[[], Any]]:
    """Ways to make the same evidence with one number that is not finite."""
    for field in fields(evidence):
        held = getattr(evidence, field.name)
        if is_dataclass(held):
            for make in spoiled(held, value):
                yield lambda make=make, field=field: replace(evidence, **{field.name: make()})
        elif isinstance(held, np.ndarray) and held.dtype.kind == "f":
            bad = held.copy()
            bad.reshape(-1)[0] = value
            yield lambda bad=bad, field=field: replace(evidence, **{field.name: bad})


def all_ids(evidence: Any) -> set[str]:
    ids = set(getattr(evidence, "ids", ()))
    return ids.union(
        *(all_ids(getattr(evidence, f.name)) for f in fields(evidence) if is_dataclass(getattr(evidence, f.name)))
    )


def same(one: Any, other: Any) -> bool:
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return np.array_equal(one, other)


def over_the_clean_line(values: np.ndarray, clean: np.ndarray) -> float:
    return float((values > np.quantile(clean, 0.95, method="higher")).mean())


def catches_its_own_trap(cls: type, path: Path) -> None:
    sprung, what = spring(cls)
    assert sprung, what


def stays_quiet_on_the_clean_twin(cls: type, path: Path) -> None:
    trap, fitted = fitted_on_its_trap(cls)
    clean = fitted.score(trap.clean).values
    half = len(clean) // 2
    flagged = [over_the_clean_line(*pair) for pair in ((clean[half:], clean[:half]), (clean[:half], clean[half:]))]
    assert half >= 20 and max(flagged) <= 0.1, f"{flagged} of {half} clean items stand above the line of the others"


def does_not_flag_its_blind_spot(cls: type, path: Path) -> None:
    """If this fails, the bumper sees more than its docstring says: correct the docstring."""
    trap, fitted = fitted_on_its_trap(cls, "blind")
    flagged = over_the_clean_line(fitted.score(trap.blind).values, fitted.score(trap.clean).values)
    assert flagged <= 0.1, f"{flagged:.0%} of the blind evidence is flagged"


def gives_the_same_scores_twice_and_keeps_the_ids(cls: type, path: Path) -> None:
    first, again = ([f.score(getattr(t, e)) for e in EVIDENCE] for t, f in (fitted_on_its_trap(cls) for _ in range(2)))
    for one, other, name in zip(first, again, EVIDENCE, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert one.ids == other.ids == getattr(cls.trap(), name).ids, "scores carry other ids than the evidence"
        assert one.bumper == cls.__name__, f"scores are signed by {one.bumper}"


def scores_an_item_alike_whoever_stands_beside_it(cls: type, path: Path) -> None:
    trap, fitted = fitted_on_its_trap(cls)
    for name in EVIDENCE:
        evidence, n = getattr(trap, name), len(getattr(trap, name).ids)
        whole = fitted.score(evidence).values
        cuts = [slice(0, n // 2), slice(n // 2, n - 1), slice(n - 1, n)]
        parts = np.concatenate([fitted.score(part(evidence, cut)).values for cut in cuts])
        np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(fitted.score(part(evidence, slice(None, None, -1))).values[::-1], whole, rtol=1e-9)


def refuses_numbers_that_are_not_finite(cls: type, path: Path) -> None:
    trap, fitted = fitted_on_its_trap(cls)
    for value in (np.nan, np.inf):
        for make in spoiled(trap.bad, value):
            with pytest.raises(BumperlaneError, match="not finite"):
                fitted.score(make())
        for make in spoiled(trap.fit, value):
            with pytest.raises(BumperlaneError, match="not finite"):
                scorer(trap.bumper, make(), trap.bad)


def cannot_be_changed_once_made(cls: type, path: Path) -> None:
    trap, fitted = fitted_on_its_trap(cls)
    for made in (trap.bumper, getattr(fitted, "fitted", fitted)):
        for name in [f.name for f in fields(made)] + ["anything"]:
            with pytest.raises(FrozenInstanceError):
                setattr(made, name, None)


def fits_without_a_trace(cls: type, path: Path) -> None:
    """Fitting and scoring change neither the bumper nor the evidence."""
    trap, untouched = cls.trap(), cls.trap()
    score = scorer(trap.bumper, trap.fit, pooled(trap.clean, trap.bad))
    first = score(trap.bad).values
    score(trap.clean)
    np.testing.assert_array_equal(score(trap.bad).values, first)
    assert trap.bumper == untouched.bumper
    for name in ("fit", *EVIDENCE):
        assert same(getattr(trap, name), getattr(untouched, name)), f"{name} was changed"


def saves_and_loads_to_identical_scores(cls: type, path: Path) -> None:
    trap, fitted = fitted_on_its_trap(cls)
    held = getattr(fitted, "fitted", fitted)
    again = load_fitted(type(held), save_fitted(held, path / f"{cls.__name__}.safetensors"))
    again = Offline(again) if is_offline(cls) else again
    for name in EVIDENCE:
        np.testing.assert_array_equal(again.score(getattr(trap, name)).values, fitted.score(getattr(trap, name)).values)


def has_no_score_before_it_is_fitted(cls: type, path: Path) -> None:
    assert not hasattr(cls, "score"), "an unfitted bumper that can score gives numbers that mean nothing"
    fitted = fitted_on_its_trap(cls)[1]
    assert not isinstance(getattr(fitted, "fitted", fitted), cls)


def says_what_it_flags_and_what_it_is_blind_to(cls: type, path: Path) -> None:
    page = inspect.cleandoc(cls.__doc__ or "")
    assert re.match(r"Flags [^.]+\.(\n|$)", page), "the page begins with one sentence, 'Flags ...'"
    wanted = [*SECTIONS[1:], *(["Args:"] if fields(cls) else [])]
    for section in wanted:
        assert re.search(rf"^{section}\s+\S", page, re.M), f"{section} is missing or empty"
    for field in fields(cls):
        assert re.search(rf"^    {field.name}: \S", page, re.M), f"Args: says nothing about {field.name}"


def plants_its_trap_on_items_it_was_not_fitted_on(cls: type, path: Path) -> None:
    trap = cls.trap()
    for name in EVIDENCE:
        assert not all_ids(trap.fit) & all_ids(getattr(trap, name)), f"{name} shares items with fit"


def is_either_online_or_offline(cls: type, path: Path) -> None:
    """An offline bumper has no `score`: nothing that judges requests as they come can take it by mistake."""
    fitted = fitted_on_its_trap(cls)[1]
    held = getattr(fitted, "fitted", fitted)
    assert hasattr(held, "score") != hasattr(held, "score_batch")
    assert hasattr(held, "score_batch") == is_offline(cls)


PROMISES = (
    catches_its_own_trap,
    stays_quiet_on_the_clean_twin,
    does_not_flag_its_blind_spot,
    gives_the_same_scores_twice_and_keeps_the_ids,
    scores_an_item_alike_whoever_stands_beside_it,
    refuses_numbers_that_are_not_finite,
    cannot_be_changed_once_made,
    fits_without_a_trace,
    saves_and_loads_to_identical_scores,
    has_no_score_before_it_is_fitted,
    says_what_it_flags_and_what_it_is_blind_to,
    plants_its_trap_on_items_it_was_not_fitted_on,
    is_either_online_or_offline,
)


def keep(cls: type, path: Path) -> None:
    """Run every promise over one bumper."""
    for promise in PROMISES:
        promise(cls, path)
