"""What a red-team search begins with: contexts by kind, built in and from plug-ins.

A plug-in is a function `seeds(neutral) -> iterable of (kind, Context)` under the entry-point group `bumperlane.seeds`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ...errors import ContractError
from ...evidence.library import library_contexts
from ...types import Context
from ..behaviour.voices import KINDS
from ..plug_ins import load_plug_ins

GROUP = "bumperlane.seeds"
SHOTS = 4  # turns of one seed; mutations put seeds together
Seeds = Callable[[Context], Iterable[tuple[str, Context]]]


@dataclass(frozen=True)
class Seed:
    """A context to begin with, and its kind: the search keeps the best of each kind."""

    kind: str
    context: Context


def built_in(neutral: Context) -> Iterable[tuple[str, Context]]:
    """Personas, continuations, earlier turns, languages and formats, and claims about where the subject runs."""
    for kind in KINDS:
        usual = replace(neutral, origin="seed")
        if kind.form == "turns":
            for start in range(0, len(kind.odd) - SHOTS + 1, SHOTS):
                yield kind.name, replace(usual, shots=tuple(kind.odd[start : start + SHOTS]))
            continue
        for before, after in kind.odd:
            yield (
                kind.name,
                replace(usual, system=before)
                if kind.form == "persona"
                else replace(usual, prefix=before, suffix=after, system=neutral.system if kind.usual_system else None),
            )
    for context in library_contexts(neutral):
        yield "situation", replace(context, origin="seed")


def load_seeds(neutral: Context, plug_ins: bool = True) -> list[Seed]:
    """All seeds, each with an id of its own. Raises ContractError for a plug-in that gives something else."""
    sources: list[tuple[str, Seeds]] = [("built-in", built_in)]
    if plug_ins:
        sources += [(point.name, found) for point, found in load_plug_ins(GROUP, "seeds")]
    return [seed for name, source in sources for seed in from_plug_in(name, source, neutral)]


def from_plug_in(name: str, source: Seeds, neutral: Context) -> list[Seed]:
    """The seeds of one plug-in. Raises ContractError unless it yields (kind, Context) pairs."""
    found = []
    for n, pair in enumerate(source(neutral)):
        if not (
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], Context)
        ):
            raise ContractError(f"seeds {name!r} gave {pair!r:.80}. Yield pairs of a kind (text) and a Context.")
        found.append(Seed(pair[0], replace(pair[1], id=f"{name}/{pair[0]}/{n}", origin="seed")))
    return found
