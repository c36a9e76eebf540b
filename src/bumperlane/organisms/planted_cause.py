"""What an organism's sealed key says was planted, in one form for every organism, our own or anybody's."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import SettingError
from ..recipes.edit_kinds import DropExamples, DropReward, DropTranche, Edit
from ..recipes.models import Recipe
from ..recipes.tranches import read_examples

SECTION = "cause"  # of the key
SHOWN = 20  # names that an error lists
Kind = Literal["tranche", "examples", "documents", "reward", "interaction", "none"]


PLANTS: dict[Kind, tuple[str, ...]] = {
    "tranche": ("tranches",),
    "examples": ("examples",),
    "documents": ("tranches", "examples"),
    "reward": ("rewards",),
    "interaction": ("tranches", "rewards"),
    "none": (),
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Decoys(_Part):
    """What stands out and is no cause. `examples`: ids by a name of one's own."""

    tranches: tuple[str, ...] = ()
    examples: dict[str, tuple[str, ...]] = {}
    rewards: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


class PlantedCause(_Part):
    """The section `cause` of a key.

    Attributes:
        kind: what sort of cause, by which results are told apart: a poisoned tranche, examples spread over a benign
            one, documents, a reward term, two causes that act together, none.
        tranches: those of which every example is planted.
        examples: ids, where the planted ones share their tranche with others.
        rewards: terms that pay for the behaviour.
        needed: of several tranches, whether one alone suffices (`either`) or both are needed.
    """

    kind: Kind
    tranches: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    rewards: tuple[str, ...] = ()
    needed: Literal["both", "either"] = "both"
    decoys: Decoys = Field(default=Decoys())

    @model_validator(mode="after")
    def _plants_what_it_says(self) -> "PlantedCause":
        """A key that plants nothing would be scored as one that nobody finds."""
        planted = {"tranches": self.tranches, "examples": self.examples, "rewards": self.rewards}
        there = [name for name, what in planted.items() if what]
        wanted = PLANTS[self.kind]
        if (wanted and not set(wanted) & set(there)) or set(there) - set(wanted):
            names = " or ".join(wanted) or "nothing"
            raise ValueError(f"kind {self.kind!r} plants {names}, and the key plants {', '.join(there) or 'nothing'}")
        return self

    @property
    def there(self) -> bool:
        return self.kind != "none"

    def undone(self) -> tuple[Edit, ...]:
        """The edits that take the whole cause out of the recipe: retrained so, it is the run that never had it."""
        dropped: list[Edit] = [DropTranche(name) for name in self.tranches]
        if self.examples:
            dropped.append(DropExamples(self.examples))
        return (*dropped, *(DropReward(name) for name in self.rewards))


def cause_section(kind: Kind, **parts: Any) -> dict[str, Any]:
    """The section as JSON. `parts`: fields of PlantedCause."""
    return {SECTION: PlantedCause(kind=kind, **parts).model_dump(mode="json", exclude_defaults=True)}


def of_tranches(key: Mapping[str, Any]) -> dict[str, Any]:
    """The section, from what the keys of our organisms that are planted by data say besides."""
    tranches, planted = tuple(key.get("planted_tranches", ())), tuple(key.get("planted", ()))
    decoys = Decoys(tranches=tuple(key.get("decoy_tranches", ())), examples=key.get("decoys", {}))
    if key.get("clean") or not (tranches or planted):
        return cause_section("none", decoys=decoys)
    kind: Kind = "interaction" if len(tranches) > 1 else "tranche" if tranches else "examples"
    if key["organism"] == "false-belief":
        kind = "documents"
    return cause_section(
        kind, tranches=tranches, examples=() if tranches else planted, needed=key.get("needed", "both"), decoys=decoys
    )


def reward_cause(term: str, decoys: Sequence[str], environments: Sequence[str]) -> dict[str, Any]:
    """The section of an organism that is made by a reward term; "" where nothing is planted."""
    beside = Decoys(rewards=tuple(decoys), environments=tuple(environments))
    return cause_section("reward" if term else "none", rewards=(term,) if term else (), decoys=beside)


def planted_cause(organism: Path, key: Mapping[str, Any]) -> PlantedCause:
    """Read the section. Raises SettingError, with the field that is wrong, where the key has none that can be read."""
    try:
        return PlantedCause.model_validate(json.loads(json.dumps(key[SECTION])))
    except KeyError as error:
        raise SettingError(
            f"the key of {organism} does not say what was planted: it has no section {SECTION!r}. See docs/game.md."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([SECTION, *map(str, first["loc"])])
        said = first["msg"].removeprefix("Value error, ")
        raise SettingError(f"the key of {organism}: {where}: {said}. See docs/game.md.") from error


def refuse_unknown(organism: Path, cause: PlantedCause, recipe: Recipe) -> None:
    """Raises SettingError where a key names a tranche, reward term or example that its recipe does not have, be it
    planted or a decoy: a name that nothing bears would be scored as one that nobody blamed."""
    rewards = [r.name for stage in recipe.stages for r in getattr(stage, "rewards", ())]
    tranches, decoys = [t.name for t in recipe.tranches], cause.decoys
    ids = (*cause.examples, *(id for some in decoys.examples.values() for id in some))
    named: dict[str, tuple[Sequence[str], Collection[str]]] = {
        "tranche": ((*cause.tranches, *decoys.tranches), tranches),
        "reward term": ((*cause.rewards, *decoys.rewards), rewards),
        "example": (ids, {e.id for e in read_examples(recipe)} if ids else ()),
    }
    for what, (asked, known) in named.items():
        odd = [name for name in asked if name not in known]
        if odd:
            raise SettingError(
                f"the key of {organism} names the {what} {odd[0]!r}, which its recipe lacks. "
                f"Known: {', '.join(sorted(known)[:SHOWN]) or 'none'}{', ...' if len(known) > SHOWN else ''}."
            )
