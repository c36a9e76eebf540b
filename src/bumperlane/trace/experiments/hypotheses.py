"""What may have brought the behaviour about, each with the recipe edits that leave it out."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from ...errors import SettingError
from ...recipes.edits import DropExamples, DropTranche, Edit, SetHyperparameter
from ...recipes.grpo_prompts import read_environment
from ...recipes.models import Recipe, SftStage
from ...recipes.schema import nearest


@dataclass(frozen=True)
class Hypothesis:
    """A possible cause.

    Attributes:
        kind: tranche, examples, column value, reward, environment, or another noun of the user's.
        edits: what leaves it out of the recipe.
        ids: the examples (or prompts) that go with it; empty for what is no data, such as a reward term.
        weight: how suspect it is beside the others, from attribution; any positive scale.
        why: what made it a suspect, in a sentence.
    """

    kind: str
    name: str
    edits: tuple[Edit, ...]
    ids: tuple[str, ...] = ()
    weight: float = 1.0
    why: str = ""

    def __post_init__(self) -> None:
        if not self.edits:
            raise SettingError(
                f"hypothesis {self.name!r} has no edits, so nothing would be left out. Give one or more."
            )
        if not (isfinite(self.weight) and self.weight > 0):
            raise SettingError(f"hypothesis {self.name!r} has weight {self.weight}; it must be above 0 and finite.")
        if len(set(self.ids)) != len(self.ids):
            raise SettingError(f"hypothesis {self.name!r} names an id twice. Give each id once.")

    @property
    def removed(self) -> int:
        """Examples or prompts that leaving it out takes away."""
        return len(self.ids)

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"


def tranche_suspect(name: str, ids: Iterable[str], weight: float = 1.0, why: str = "") -> Hypothesis:
    """A whole tranche; `ids` are its examples that are trained on."""
    return Hypothesis("tranche", name, (DropTranche(name),), tuple(ids), weight, why)


def example_suspects(
    name: str, ids: Iterable[str], weight: float = 1.0, why: str = "", kind: str = "examples"
) -> Hypothesis:
    """Examples from wherever they are: those that attribution ranks highest, a cluster, or (with `kind="column
    value"`) all that share an author, a date or a template."""
    ids = tuple(ids)
    return Hypothesis(kind, name, (DropExamples(ids),) if ids else (), ids, weight, why)


def reward_suspect(recipe: Recipe, term: str, weight: float = 1.0, why: str = "") -> Hypothesis:
    """A reward term, left out by a weight of 0 in every stage that has it.

    A command stage must name the term under `rewards`, for only so does the edit reach the user's trainer.

    Raises SettingError when no stage has it, or it is the only term of a stage.
    """
    edits: list[Edit] = []
    known: list[str] = []
    for i, stage in enumerate(recipe.stages):
        rewards = () if isinstance(stage, SftStage) else stage.rewards
        known += [r.name for r in rewards]
        if [r.name for r in rewards if r.weight] == [term]:
            raise SettingError(
                f"reward term {term!r} is the only one that stage {i} pays for: without it nothing would be learned. "
                "Test its environments instead."
            )
        edits += [SetHyperparameter(f"stages.{i}.rewards.{j}.weight", 0.0) for j, r in enumerate(rewards)
                  if r.name == term]  # fmt: skip
    if not edits and not known:
        kinds = ", ".join(stage.kind for stage in recipe.stages)
        raise SettingError(
            f"reward term {term!r} cannot be left out: no stage of the recipe ({kinds}) lists reward terms. List them "
            "under `rewards` of the command stage and let the command read their weights from the recipe it is given, "
            "or make a Hypothesis whose edit changes the stage's `run`."
        )
    if not edits:
        raise SettingError(f"unknown reward term {term!r}. {nearest(term, known, 'reward terms')}")
    return Hypothesis("reward", term, tuple(edits), (), weight, why)


def environment_suspect(recipe: Recipe, name: str, weight: float = 1.0, why: str = "") -> Hypothesis:
    """All prompts of an environment. Raises SettingError when no stage has it, RecipeError when it cannot be read."""
    edits: list[Edit] = []
    ids: dict[str, None] = {}
    known: list[str] = []
    for i, stage in enumerate(recipe.stages):
        for j, environment in enumerate(() if isinstance(stage, SftStage) else stage.environments):
            known.append(environment.name)
            if environment.name == name:
                mine = [p.id for p in read_environment(environment.path, name)]
                ids |= dict.fromkeys(id for id in mine if id not in environment.drop)
                edits.append(SetHyperparameter(f"stages.{i}.environments.{j}.drop", mine))
    if not edits:
        raise SettingError(f"unknown environment {name!r}. {nearest(name, known, 'environments')}")
    return Hypothesis("environment", name, tuple(edits), tuple(ids), weight, why)
