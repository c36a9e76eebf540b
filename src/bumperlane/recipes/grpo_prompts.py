"""The prompts of an environment, read from JSONL, and the order in which a stage draws them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..types import Message
from .jsonl_rows import RowIds, read_rows
from .models import CommandStage, Environment, GrpoStage, Recipe
from .place import Place, misspelt
from .plan import plan
from .provenance import content_key


@dataclass(frozen=True)
class Prompt:
    """What a policy is asked, and what reward functions may know about it.

    Attributes:
        environment: the name of the environment it is from.
        data: free JSON values for reward functions, such as tests or a right answer.
    """

    id: str
    environment: str
    messages: tuple[Message, ...]
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tranche(self) -> str:
        return self.environment

    @property
    def text(self) -> str:
        """The contents of all messages, joined by blank lines."""
        return "\n\n".join(m.content for m in self.messages if m.content)


def read_prompts(stage: GrpoStage | CommandStage) -> tuple[Prompt, ...]:
    """All prompts that a stage draws from, in its order, after `drop`.

    Raises RecipeError, with file and line, for rows that cannot be read and for ids that are used twice.
    """
    kept: list[Prompt] = []
    first: dict[str, str] = {}
    for environment in stage.environments:
        prompts = read_environment(environment.path, environment.name)
        wrong = unknown_drop(environment, [p.id for p in prompts])
        if wrong:
            raise RecipeError(f"{environment.path}: drop of environment {environment.name!r} names {wrong[1]}")
        for prompt in prompts:
            if prompt.id in first:
                raise RecipeError(
                    f"{environment.path}: id {prompt.id!r} of environment {environment.name!r} is used in environment "
                    f"{first[prompt.id]!r} too. Rename one: an id stands for one prompt."
                )
            first[prompt.id] = environment.name
        kept += [p for p in prompts if p.id not in set(environment.drop)]
    return tuple(kept)


def read_environment(path: Path, name: str) -> tuple[Prompt, ...]:
    """The prompts of one JSONL file, in file order.

    A row is {"messages": [{"role", "content"}, ...]} that does not end with the assistant, or {"prompt": text}, each
    with an optional "id" and an optional mapping "data". The default id is `<name>/<first 10 hex digits of the
    content's sha256>`, with `-2`, `-3` for repeats. Other keys are ignored.

    Raises RecipeError with file and line.
    """
    prompts: list[Prompt] = []
    ids = RowIds(path, name)
    for place, row in read_rows(path):
        messages, data = _messages(row, place), row.get("data") or {}
        if not isinstance(data, dict):
            raise place.at("data").fault(f"data must be a JSON object, got {type(data).__name__}. Put it under a key.")
        key = content_key([[[m.role, m.content] for m in messages], data])
        prompts.append(Prompt(ids.of(place, row, key), name, messages, data))
    return tuple(prompts)


def prompt_row(prompt: Prompt) -> dict[str, Any]:
    """The JSONL row of a prompt, id included."""
    messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
    return {"id": prompt.id, "messages": messages, "data": dict(prompt.data)}


def prompt_plan(recipe: Recipe, index: int, prompts: Sequence[Prompt]) -> list[list[int]]:
    """For each step of a grpo stage, the indices into `prompts` that it samples; one may come twice.

    Like the order of training examples, it depends on seed, epoch and id alone.
    """
    stage: Any = recipe.stages[index]
    weights = {environment.name: environment.weight for environment in stage.environments}
    return plan(prompts, weights, stage.prompts, stage.steps, recipe.seed + 1_000_003 * index)


def unknown_drop(environment: Environment, ids: Sequence[str]) -> tuple[int, str] | None:
    """The first id in `drop` that no prompt has: (place in it, what to say). None if all exist."""
    known = sorted(ids)
    for place, id in enumerate(environment.drop):
        if id not in set(known):
            close = difflib.get_close_matches(id, known, n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}?" if close else f"The first ids are {known[:3]}."
            file = environment.path.name
            return place, f"id {id!r}, which none of {len(known)} prompts in {file} has. {hint}"
    return None


def _messages(row: dict[str, Any], place: Place) -> tuple[Message, ...]:
    turns = row.get("messages")
    if turns is None and isinstance(row.get("prompt"), str):
        turns = [{"role": "user", "content": row["prompt"]}]
    if not isinstance(turns, list) or not turns:
        keys, hint = ", ".join(sorted(map(str, row))[:8]) or "none", misspelt(row, ("messages", "prompt"))
        raise place.at("messages").fault(f"a row needs 'messages' or 'prompt'; its keys are {keys}.{hint}")
    messages = []
    for i, turn in enumerate(turns, 1):
        at = place.at("messages", i - 1) if "messages" in row else place.at("prompt")
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise at.fault(f"message {i} needs the strings 'role' and 'content', got {turn!r:.60}.")
        if not content.strip() and role != "system":
            raise at.fault(f"message {i} ({role}) has empty content. Fill it in or remove the row.")
        messages.append(Message(role, content))
    if messages[-1].role == "assistant":
        last = place.at("messages", len(turns) - 1, "role")
        raise last.fault("the last message is from 'assistant'. End a prompt where the policy answers.")
    return tuple(messages)
