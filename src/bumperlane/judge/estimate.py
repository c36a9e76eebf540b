"""What a check will look at, before anything is loaded."""

from pathlib import Path

from ..case import load_case
from ..detect.asking import asks_of
from ..detect.contract import reads_log, samples_rollouts
from ..errors import BumperlaneError, EvidenceError
from ..evidence.fresh_rollouts import fresh_plan
from ..evidence.library import LIBRARY
from ..recipes.run import Run
from ..types import Answers, Departures
from .asked import sources_of
from .check import bait_contexts
from .investigation import Investigation, Settings
from .who_looks import who_looks

INTERNAL_REQUESTS = 8


def estimate_check(run: Path | str, directory: Path | str, settings: Settings) -> str:
    """One line a bumper, and the time if an earlier check in this directory measured it.

    Raises what a check raises for a wrong run, recipe, setting or too few requests.
    """
    inv = Investigation(Run.open(run), Path(directory), settings)
    inv.run.at(inv.step)
    bumpers, left_out = who_looks(inv)
    baits = bait_contexts(inv)
    built_in = len(LIBRARY) if settings.library else 0
    given = len(settings.contexts) + len(settings.contexts_given)
    lines = [
        f"checkpoint: step {inv.step} of {inv.run.path}",
        f"contexts: {len(baits)}, of them {built_in} built in, {given} given and "
        f"{len(baits) - built_in - given} mined from the training data",
        f"requests: {len(inv.pools.open)} open, {len(inv.pools.fit)} to fit on, {len(inv.pools.sealed)} sealed; "
        f"{inv.pools.source}",
    ]
    for cls in bumpers:
        lines.append(f"{cls.__name__}: {_cost(inv, cls, len(baits))}")
    lines += [f"{name}: left out: {why}" for name, why in left_out.items()]
    return "\n".join([*lines, _time(Path(directory))])


def _cost(inv: Investigation, cls: type, baits: int) -> str:
    watches = cls.watches  # type: ignore[attr-defined]
    if watches is Departures:
        return _answers(inv, baits)
    if samples_rollouts(cls):
        return _rollouts(inv)
    if reads_log(cls):
        return "the log of rollouts is read; no model is asked"
    if watches is not Answers:
        return _prompts(inv, baits)
    try:
        asks = asks_of(cls(), sources_of(inv, "open"))
    except EvidenceError as error:
        return f"blind. {error}"
    return f"{sum(1 + (a.against is not None) for a in asks)} questions to the subject, and the same to its base"


def _answers(inv: Investigation, baits: int) -> str:
    s, there = inv.settings, len(inv.pools.open)
    screen = min(s.screen, there)
    asked = min(s.requests, there - screen)
    n = screen * (baits + 2) + asked * (min(s.keep, baits) + s.controls + 1)
    return f"at most {n:,} answers of up to {s.max_new_tokens} tokens"


def _prompts(inv: Investigation, baits: int) -> str:
    s = inv.settings
    asked = min(s.requests, INTERNAL_REQUESTS, len(inv.pools.open))
    n = asked * (baits + s.controls) + len(inv.pools.fit) * s.controls
    return f"{n:,} prompts read in the subject and in its base (shared among bumpers that look inside)"


def _rollouts(inv: Investigation) -> str:
    try:
        plan = fresh_plan(inv.run, inv.step, inv.settings.seed)
    except EvidenceError as error:
        return f"blind. {error}"
    return (
        f"{plan.size:,} rollouts of up to {plan.stage.max_new_tokens} tokens of the subject, and as many of step "
        f"{plan.before} (shared among bumpers that have rollouts sampled)"
    )


def _time(directory: Path) -> str:
    try:
        seconds = load_case(directory).timings_s.get("check")
    except BumperlaneError:
        seconds = None
    if seconds is None:
        return "time: unknown, nothing like it was measured yet"
    return f"time: at most {seconds:.0f} s, which the last check in {directory} took; finished work is not done again"
