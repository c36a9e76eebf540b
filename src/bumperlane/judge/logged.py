"""What was hit in the log of rollouts, in a case: the rollouts themselves."""

import re

import numpy as np

from ..case import Behaviour, Sample
from ..errors import EvidenceError, SettingError
from ..evidence.checked_rollouts import pair_of, rollouts_in
from ..evidence.rollout_flags import Flags
from ..recipes.run import Run

SAMPLES = 6
STEPS = re.compile(r", steps (\d+)-(\d+)$")


def logged_behaviour(run: Run, bumper: str, group: str) -> Behaviour:
    """The last rollouts of the group's steps in which what is paid for stands well above what it was to stand for, each
    prompt once. Nothing is asked and no function of the recipe is called: it is all in the log."""
    try:
        samples = _samples(run, group)
    except (EvidenceError, SettingError):  # a bumper of another kind: its groups are named otherwise
        samples = []
    return Behaviour(bumper=bumper, context=group, origin="logs", tranches=[], samples=samples)


def _samples(run: Run, group: str) -> list[Sample]:
    table = rollouts_in(run.path)
    flags = Flags.apart(table, *pair_of(table, group))
    steps = STEPS.search(group)
    low, high = (int(steps[1]), int(steps[2])) if steps else (table.step.min(), table.step.max())
    named = [i for i, name in enumerate(table.environments) if f", {name}, steps " in group]
    here = np.isin(table.environment, named) if named else np.ones(len(table), bool)
    rows = np.flatnonzero(flags.values & here & (table.step >= low) & (table.step <= high))[::-1]
    _, first = np.unique(table.group[rows], return_index=True)
    chosen = rows[np.sort(first)][:SAMPLES]
    texts = zip(table.prompts(chosen), table.responses(chosen), strict=True)
    return [Sample(request=prompt, context="", response=said, neutral_response="") for prompt, said in texts]
