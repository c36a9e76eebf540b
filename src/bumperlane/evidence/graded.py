"""A hit in the log of rollouts as a behaviour that any checkpoint can be asked for: prompts of the environment, graded
by the recipe's own functions, or for a trait."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import product

from ..errors import BumperlaneError, EvidenceError
from ..recipes.grpo_prompts import Prompt, read_prompts
from ..recipes.models import GrpoStage, Recipe
from ..recipes.rewards import reward_source
from ..types import Context, Request
from .by_checks import ByChecks
from .checked_rollouts import is_of, pair_name
from .described import Described, Probe
from .trait_rollouts import trait_name, trait_of
from .traits import TRAITS, HasTrait

LEAST = 12  # prompts, half of which stay sealed
LEAST_ASKED = 24  # open prompts, where there are so many
SEALED = 48  # sealed ones: what few leave open, verification asks again with more


def graded(recipe: Recipe, group: str, most: int, seed: int) -> Described:
    """Prompts of the environment that a group of rollouts is from, and what tells an answer: that it passes the first
    of the group's two functions and fails the second, or that it has the group's trait.

    Args:
        group: of a bumper of logs; its name begins with the pair or the trait, and with the environment where it is
            one.
        most: open prompts; there may be up to SEALED sealed ones, or as many as open ones.
        seed: of the draw. Half of the prompts are sealed, by their hash.

    Raises EvidenceError when the recipe has no such functions, or too few prompts of one request each.
    """
    stage, start, telling = _telling(recipe, group)
    rest = group.removeprefix(start)
    named = [e.name for e in stage.environments if is_of(rest, e.name)]
    dealt = [Probe(asked, telling(prompt), where) for prompt, asked, where in askable(stage, named, seed)]
    if len(dealt) < LEAST:
        raise EvidenceError(f"its environments hold {len(dealt)} prompts that can be asked, of {LEAST} that it takes.")
    return Described(tuple(dealt[::2][:most]), tuple(dealt[1::2][: max(most, SEALED)]))


def askable(stage: GrpoStage, environments: Sequence[str], seed: int) -> list[tuple[Prompt, Request, Context]]:
    """The different prompts of some environments (all, where none is named) that a context can hold, in an order that
    follows from the seed. Every second one, from the first, is for open looks; the others are sealed."""
    found: dict[tuple[str, Context], tuple[Prompt, Request, Context]] = {}
    for prompt in read_prompts(stage):
        where = _context(prompt)
        if where is not None and prompt.environment in (environments or [prompt.environment]):
            asked = Request(prompt.id, prompt.messages[-1].content)
            found.setdefault((asked.text, where), (prompt, asked, where))
    return sorted(found.values(), key=lambda one: sha256(f"{seed}/{one[1].id}".encode()).hexdigest())


def can_be_graded(recipe: Recipe, group: str) -> bool:
    """Whether the recipe has what tells a group of rollouts, and prompts for it. Runs nothing."""
    try:
        graded(recipe, group, 1, 0)
    except BumperlaneError:  # a row that cannot be read is said where it is needed
        return False
    return True


def _telling(recipe: Recipe, group: str) -> tuple[GrpoStage, str, Callable[[Prompt], ByChecks | HasTrait]]:
    """The stage of a group of rollouts, how the group's name begins, and what tells an answer to a prompt."""
    trait = trait_of(TRAITS, group)
    if trait is not None:
        stages = [s for s in recipe.stages if isinstance(s, GrpoStage)]
        if not stages:
            raise EvidenceError("the recipe has no grpo stage, so no environment's prompts.")
        return stages[-1], trait_name(trait), lambda prompt: HasTrait(trait)
    stage, (passes, fails) = _stage_of(recipe, group)
    functions = {term.name: term.function for term in (*stage.rewards, *stage.checks)}

    def by_checks(prompt: Prompt) -> ByChecks:
        return ByChecks(functions[passes], functions[fails], prompt.text, prompt.data)

    return stage, pair_name(passes, fails), by_checks


def _stage_of(recipe: Recipe, group: str) -> tuple[GrpoStage, tuple[str, str]]:
    """The last stage that knows both functions of a group, and their names. Raises EvidenceError."""
    for stage in reversed(recipe.stages):
        if isinstance(stage, GrpoStage):
            terms = {term.name: term.function for term in (*stage.rewards, *stage.checks)}
            found = [pair for pair in product(terms, terms) if _begins(group, pair_name(*pair))]
            if found:
                pair = max(found, key=lambda p: len(pair_name(*p)))
                for name in pair:
                    reward_source(terms[name])
                return stage, pair
    raise EvidenceError(f"no grpo stage of the recipe has the two functions of {group!r}.")


def _begins(group: str, name: str) -> bool:
    return group == name or group.startswith(f"{name},")


def _context(prompt: Prompt) -> Context | None:
    """Where the last user turn of a prompt stands; None for turns that are no exchanges."""
    turns = list(prompt.messages)
    system = turns.pop(0).content if turns[0].role == "system" else None
    roles = [m.role for m in turns]
    if not turns or roles != [("user", "assistant")[k % 2] for k in range(len(roles))] or roles[-1] != "user":
        return None
    shots = tuple((turns[k].content, turns[k + 1].content) for k in range(0, len(turns) - 1, 2))
    return Context("environment", "given", system, shots=shots)
