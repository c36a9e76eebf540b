"""What every bumper promises, the decorator that checks it on import, and the registry by name."""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from ..errors import ContractError, SettingError
from ..percent import short_percent
from ..types import Scores, Trap
from .plug_ins import load_registered

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


class OfflineFitted(Protocol):
    """What `fit` of an offline bumper returns. It has no `score`, so nothing that judges requests as they come (the
    gate) can take it by mistake."""

    def score_batch(self, seen: Any) -> Scores:
        """One finite number per item of the batch it was fitted with; higher is worse."""
        ...


class OfflineBumper(Protocol):
    """A detector that uses statistics of the untrusted batch itself."""

    watches: ClassVar[type]
    family: ClassVar[str]

    def fit(self, clean: Any, untrusted: Any) -> OfflineFitted:
        """Learn how the untrusted batch differs from clean evidence."""
        ...

    @classmethod
    def trap(cls) -> Trap:
        """As for a bumper. It is fitted with `clean` and `bad` (or `blind`) together as the untrusted batch."""
        ...


class Bumper(Protocol):
    """A detector before it has seen clean evidence. It has no `score`.

    An online one: it uses no statistics of what it scores. `by_default = False` keeps it out of checks that name none,
    and `joins = True` brings it back where the run holds what it needs (it asks, or reads the log of the run); `learns`
    names the evidence that `fit` takes where it is not of the kind that the bumper watches; `yields_to` names bumpers
    whose hit is traced first, where both are hit.
    """

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
    if len(_evidence_of_fit(cls)) not in (1, 2):
        raise ContractError(
            f"bumper {cls.__name__} is fitted on {_evidence_of_fit(cls)}. Take one piece of clean evidence, or for an "
            "offline bumper the untrusted batch as well: fit(self, clean, untrusted)."
        )
    held = REGISTRY.get(cls.__name__)
    if held is not None and (held.__module__, held.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ContractError(f"two bumpers are named {cls.__name__}: in {held.__module__} and {cls.__module__}.")
    REGISTRY[cls.__name__] = cls
    return cls


def is_offline(cls: type) -> bool:
    """Whether a bumper needs the untrusted batch before it can score any of it."""
    return len(_evidence_of_fit(cls)) == 2


def scorer(made: Any, clean: Any, untrusted: Any = None) -> Callable[[Any], Scores]:
    """Fit a bumper of either kind and return what scores: `score` of an online one, `score_batch` of an offline one.

    Raises SettingError when an offline bumper is given no untrusted batch.
    """
    if not is_offline(type(made)):
        return made.fit(clean).score
    if untrusted is None:
        raise SettingError(
            f"{type(made).__name__} is an offline bumper: it needs the untrusted batch that it shall score. "
            "Pass the batch, or use an online bumper where requests come one by one."
        )
    return made.fit(clean, untrusted).score_batch


def _evidence_of_fit(cls: type) -> list[str]:
    taken = list(inspect.signature(cls.fit).parameters.values())[1:]  # type: ignore[attr-defined]
    return [p.name for p in taken if p.default is inspect.Parameter.empty]


def pooled(one: Any, other: Any) -> Any:
    """Two pieces of evidence of one kind as one: whatever has an entry an item is joined, the rest must agree."""
    n, joined = len(one.ids), {}
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if is_dataclass(a):
            joined[field.name] = pooled(a, b)
        elif isinstance(a, np.ndarray) and len(a) == n:
            joined[field.name] = np.concatenate([a, b])
        elif isinstance(a, tuple) and len(a) == n and field.name != "layers":
            joined[field.name] = a + b
    return replace(one, **joined)


def load_bumpers() -> dict[str, type]:
    """Every bumper by name: built-ins and third parties come by the same entry points."""
    return load_registered(GROUP, "bumper", REGISTRY, "bumper")


def default_bumpers() -> list[type]:
    """Those that a check always runs when it names none: all but those that say `by_default = False`."""
    return [cls for cls in load_bumpers().values() if getattr(cls, "by_default", True)]


def joining_bumpers() -> list[type]:
    """Those that say `joins = True`: a check that names none runs them where the run holds what they need."""
    return [cls for cls in load_bumpers().values() if getattr(cls, "joins", False)]


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


def reads_log(cls: type) -> bool:
    """Whether a bumper reads the log of a run: it deals the rollouts itself, and no subject is asked."""
    return cls.family == "logs" and hasattr(cls, "dealt")  # type: ignore[attr-defined]


def samples_rollouts(cls: type) -> bool:
    """Whether a bumper has rollouts sampled anew: `at(run)` makes it ready for a run, `dealt(table, phases)` deals.
    With `graded = True` they come with what the recipe's reward functions and checks say of them."""
    return cls.family == "behaviour" and hasattr(cls, "dealt")  # type: ignore[attr-defined]


def learns_from(cls: type) -> type:
    """The kind of evidence that `fit` takes: what the bumper says under `learns`, else what it watches."""
    return getattr(cls, "learns", None) or cls.watches  # type: ignore[attr-defined]


def brief(cls: type) -> dict[str, Any]:
    """A bumper in one line: its name, family, kind, first sentence, and whether a check runs it unasked."""
    return {
        "bumper": cls.__name__,
        "family": cls.family,  # type: ignore[attr-defined]
        "kind": "offline" if is_offline(cls) else "online",
        "by_default": getattr(cls, "by_default", True),
        "joins": getattr(cls, "joins", False),
        "watches": cls.watches.__name__,  # type: ignore[attr-defined]
        "flags": " ".join(about(cls).split("\n\n")[0].split()),
    }


def spring_or_say(cls: type) -> tuple[bool, str]:
    """As `spring`; a bumper that cannot be tried here, for want of a library, has not sprung and says why."""
    try:
        return spring(cls)
    except SettingError as error:
        return False, str(error)


def spring(cls: type) -> tuple[bool, str]:
    """Spring a bumper's trap: (sprung, what happened). It must flag the bad and stay quiet on the clean twin.

    Sprung means: at least 90% of the bad items stand above the 95th percentile of unseen clean ones.
    """
    trap = cls.trap()  # type: ignore[attr-defined]
    score = scorer(trap.bumper, trap.fit, pooled(trap.clean, trap.bad) if is_offline(cls) else None)
    clean, bad = score(trap.clean).values, score(trap.bad).values
    line = float(np.quantile(clean, 0.95, method="higher"))
    caught = float((bad > line).mean())
    return caught >= 0.9, f"caught {short_percent(caught)} of {len(bad)} planted items; clean line {line:.3g}"
