"""What every bumper promises, the decorator that checks it on import, and the registry by name."""

import difflib
import inspect
from dataclasses import is_dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from ..errors import ContractError, SettingError
from ..types import Scores, Trap

SECTIONS = ("Flags ", "Watches:", "Score:", "Blind to:", "Source:")
FAMILIES = ("internals", "behaviour", "logs")
GROUP = "bumperlane.bumpers"
REGISTRY: dict[str, type] = {}
T = TypeVar("T", bound=type)


class Fitted(Protocol):
    """What `fit` returns: frozen, and the only thing that can score."""

    def score(self, seen: Any) -> Scores:
        """One finite number per item; higher is worse."""
        ...


class Bumper(Protocol):
    """A detector before it has seen clean evidence. It has no `score`."""

    watches: ClassVar[type]
    family: ClassVar[str]

    def fit(self, clean: Any) -> Fitted:
        """Learn what clean evidence looks like. Raises EvidenceError when there is too little."""
        ...

    @classmethod
    def trap(cls) -> Trap:
        """A planted misbehaviour it must catch, the clean twin, and its blind spot."""
        ...


def bumper(cls: T) -> T:
    """Register a bumper, or say at once what is missing. Raises ContractError."""
    missing = [s.strip() for s in SECTIONS if s not in (cls.__doc__ or "")]
    missing += [m for m in ("watches", "family", "fit", "trap") if m not in vars(cls)]
    if not (is_dataclass(cls) and cls.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        missing.append("@dataclass(frozen=True)")
    if missing:
        raise ContractError(f"bumper {cls.__name__} lacks {missing}. See docs/add-a-bumper.md for a 25-line example.")
    if cls.family not in FAMILIES:  # type: ignore[attr-defined]
        raise ContractError(f"bumper {cls.__name__} has family {cls.family!r}. Known: {', '.join(FAMILIES)}.")  # type: ignore[attr-defined]
    held = REGISTRY.get(cls.__name__)
    if held is not None and (held.__module__, held.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ContractError(f"two bumpers are named {cls.__name__}: in {held.__module__} and {cls.__module__}.")
    REGISTRY[cls.__name__] = cls
    return cls


def load_bumpers() -> dict[str, type]:
    """Every bumper by name: built-ins and third parties come by the same entry points."""
    for point in entry_points(group=GROUP):
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise ContractError(
                f"bumper {point.name!r} ({point.value}) cannot be imported: {error}. "
                "Install what it needs or remove it."
            ) from error
        if found not in REGISTRY.values():
            raise ContractError(f"entry point {point.name!r} ({point.value}) is no bumper. Put @bumper on its class.")
    return dict(sorted(REGISTRY.items()))


def find_bumper(name: str) -> type:
    """A bumper by its name. Raises SettingError listing the known ones."""
    known = load_bumpers()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise SettingError(f"unknown bumper {name!r}.{hint} Known: {', '.join(known)}.")
    return known[name]


def about(cls: type) -> str:
    """The bumper's own page: its docstring."""
    return inspect.cleandoc(cls.__doc__ or "")


def spring(cls: type) -> tuple[bool, str]:
    """Spring a bumper's trap: (sprung, what happened). It must flag the bad and stay quiet on the clean twin.

    Sprung means: at least 90% of the bad items stand above the 95th percentile of unseen clean ones.
    """
    trap = cls.trap()  # type: ignore[attr-defined]
    fitted = trap.bumper.fit(trap.fit)
    clean, bad = fitted.score(trap.clean).values, fitted.score(trap.bad).values
    line = float(np.quantile(clean, 0.95, method="higher"))
    caught = float((bad > line).mean())
    return caught >= 0.9, f"caught {caught:.0%} of {len(bad)} planted items; clean line {line:.3g}"
