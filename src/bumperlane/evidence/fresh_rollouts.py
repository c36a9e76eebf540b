"""Rollouts sampled anew from a policy as reinforcement learning found it and as it left it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

from ..errors import EvidenceError, RecipeError, TrainingError
from ..recipes.grpo_prompts import Prompt
from ..recipes.models import GrpoStage
from ..recipes.rewards import load_reward, score_rollouts
from ..recipes.run import Run
from ..subjects.generate import Decoding
from ..subjects.subject import Subject
from ..types import Context, Item, Request
from .checked_rollouts import EARLY_BATCHES, TwoPolicies
from .graded import LEAST, askable
from .memo import Memo, subject_key

ENVIRONMENTS = 3  # that are sampled, those with the most prompts first
Asked = tuple[Prompt, Request, Context]


@dataclass(frozen=True)
class FreshPlan:
    """What is sampled.

    Attributes:
        stage: of reinforcement learning, the last that the checkpoint has been in.
        before: step of the checkpoint at which that stage began; 0 is the base.
        asked: prompts by environment, those of one role.
        batch: rollouts of a prompt in a round.
    """

    stage: GrpoStage
    before: int
    asked: Mapping[str, tuple[Asked, ...]]
    batch: int = 8

    @property
    def rounds(self) -> int:
        """Of either policy; an environment with many prompts takes fewer."""
        return max(self._rounds(len(some)) for some in self.asked.values())

    @property
    def phases(self) -> TwoPolicies:
        return TwoPolicies(batch=self.batch, rounds=self.rounds)

    @property
    def size(self) -> int:
        """Rollouts of either policy."""
        return self.batch * sum(len(some) * self._rounds(len(some)) for some in self.asked.values())

    @cached_property
    def rows(self) -> list[tuple[int, Asked]]:
        """(round, what is asked) of each rollout of one policy."""
        every = [(some, self._rounds(len(some))) for some in self.asked.values()]
        return [(r, one) for some, n in every for r in range(n) for one in some for _ in range(self.batch)]

    def _rounds(self, prompts: int) -> int:
        return -(-EARLY_BATCHES // prompts)


def fresh_plan(run: Run, step: int, seed: int, role: str = "open") -> FreshPlan:
    """What to sample for a checkpoint. An environment's prompts are dealt to open and sealed looks by their hashes, as
    those are that a hit is traced by.

    Raises EvidenceError where nothing before that step was trained by reward here, the policy that it began with is
    not kept, or no environment has enough prompts.
    """
    offset, stage = _last_stage(run, step)
    kept = [c.step for c in (*([run.start] if run.start else []), *run.checkpoints) if c.step <= offset]
    if offset and not kept:
        raise EvidenceError(
            f"The policy that reinforcement learning began with is not kept: no checkpoint at step {offset} or before."
        )
    found = {e.name: askable(stage, [e.name], seed) for e in stage.environments}
    enough = [name for name, some in found.items() if len(some) >= LEAST]
    if not enough:
        raise EvidenceError(f"No environment has {LEAST} different prompts that can be asked.")
    chosen = sorted(enough, key=lambda name: (-len(found[name]), name))[:ENVIRONMENTS]
    asked = {name: tuple(found[name][role != "open" :: 2][:EARLY_BATCHES]) for name in chosen}
    return FreshPlan(stage, max(kept) if offset else 0, asked)


def _last_stage(run: Run, step: int) -> tuple[int, GrpoStage]:
    """The last stage of reinforcement learning that a checkpoint has been in, and the step it began after."""
    found, offset = None, 0
    for stage in run.recipe.stages:
        if isinstance(stage, GrpoStage) and offset < step:
            found = offset, stage
        if stage.steps is None:  # a command of which nobody knows how far it goes
            break
        offset += stage.steps
    if found is None:
        raise EvidenceError("The recipe trains nothing by reward before this checkpoint: there is no grpo stage.")
    return found


def fresh_rollouts(
    plan: FreshPlan, before: Subject, after: Subject, memo: Memo, say: Callable[[str, int, int], None]
) -> list[dict[str, Any]]:
    """Rollouts of both policies on the same prompts, as rows that `rollouts_of` reads. Steps are rounds: those of the
    policy before come first. No function of the recipe is called."""
    rows = []
    for start, who, name in ((0, before, "before"), (plan.rounds, after, "after")):
        said = _sampled(plan, who, memo, partial(say, f"rollouts of the policy {name}"))
        rows += [
            {
                "id": f"{name}/{k}", "step": start + number, "group": prompt.id, "environment": prompt.environment,
                "prompt": prompt.text, "response": text, "reward": 0.0,
            }
            for k, ((number, (prompt, _, _)), text) in enumerate(zip(plan.rows, said, strict=True))
        ]  # fmt: skip
    return rows


def with_grades(plan: FreshPlan, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rollouts with what the stage's own functions say of them.

    Raises EvidenceError when one fails or cannot be loaded.
    """
    prompts = [prompt for _, (prompt, _, _) in plan.rows] * 2
    ids, said = [row["id"] for row in rows], [row["response"] for row in rows]
    scored = ([p.text for p in prompts], said, [dict(p.data) for p in prompts])
    try:
        terms, checks = (
            {term.name: score_rollouts(term.name, load_reward(term.function), ids, scored) for term in some}
            for some in (plan.stage.rewards, plan.stage.checks)
        )
    except (TrainingError, RecipeError) as error:
        raise EvidenceError(str(error)) from error
    weights = {term.name: term.weight for term in plan.stage.rewards}
    graded = [
        {"rewards": {n: v[k] for n, v in terms.items()}, "checks": {n: v[k] for n, v in checks.items()}}
        for k in range(len(rows))
    ]
    plain = [{key: value for key, value in row.items() if key != "reward"} for row in rows]
    return [{**row, **grade, "weights": weights} for row, grade in zip(plain, graded, strict=True)]


def _sampled(plan: FreshPlan, who: Subject, memo: Memo, progress: Callable[[int, int], None]) -> list[str]:
    decoding = Decoding(plan.stage.max_new_tokens, plan.stage.temperature)
    items = [Item(f"{k}", "fresh", "bait", asked, where) for k, (_, (_, asked, where)) in enumerate(plan.rows)]
    what = {
        "kind": "fresh-rollouts",
        "subject": subject_key(who),
        "decoding": asdict(decoding),
        "items": [[i.request.text, asdict(replace(i.context, id=""))] for i in items],
    }
    return memo.json(what, lambda: who.generate(items, decoding, progress))
