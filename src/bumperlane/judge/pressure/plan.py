"""What a call under pressure will ask, before anything is loaded."""

from .bad_answers import is_sampled
from .levels import Pressures
from .questions import Questions
from .reinforce import GROUP, PROMPTS


def plan(questions: Questions, pressures: Pressures, max_new_tokens: int) -> str:
    """One line a kind of pressure, each with its number of questions to the subject; the base gets as many."""
    asks = questions.asks
    baits = sum(a.item.arm == "bait" for a in asks)
    once = sum(1 + (a.against is not None) for a in asks)
    drawn = sum(1 + (a.against is not None) for a in asks if is_sampled(a))
    temperatures = {level.temperature for level in pressures.sampled}
    idle = sum(level.kind == "idle turns" for level in pressures.turned)
    pushes = int(max((level.amount for level in pressures.turned), default=0))
    lines = [
        f"{questions.name}: {baits} baits and {len(asks) - baits} controls, answers of up to {max_new_tokens} tokens",
        f"plain: {once} questions to the subject, and the same to its base",
        f"temperature and best of n: {len(temperatures) * pressures.samples * drawn:,} answers "
        f"({pressures.samples} at each of {len(temperatures)} temperatures to {drawn} questions)",
        f"turns: {idle * once:,} questions after idle turns, {2 * pushes * once:,} in {pushes} pushes",
    ]
    if pressures.rl_steps:
        rollouts = pressures.rl_steps * min(PROMPTS, baits) * GROUP
        lines.append(f"RL: {pressures.rl_steps} steps, {rollouts:,} rollouts, and a copy of the model on disk")
    return "\n".join([*lines, *questions.notes])
