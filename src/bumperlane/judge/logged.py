"""What was hit in the log of rollouts, in a case: the rollouts themselves."""

from collections.abc import Sequence

import numpy as np

from ..case import Behaviour, Sample
from ..errors import EvidenceError, ModelError, SettingError
from ..evidence.checked_rollouts import rollouts_in
from ..evidence.log_hits import flags_of, in_environment, in_steps
from ..evidence.rollout_table import RolloutTable
from ..evidence.traits import TRAITS, Trait
from ..recipes.run import Run

SAMPLES = 6
LOOKED_AT = 512  # of the last rollouts of the group


def logged_behaviour(run: Run, bumper: str, group: str) -> Behaviour:
    """The last rollouts of the group's steps that are what the hit says, such as those in which what is paid for stands
    well above what it was to stand for; each prompt once. Nothing is asked and no function of the recipe is called: it
    is all in the log."""
    try:
        table = rollouts_in(run.path)
    except EvidenceError:
        table = None
    return behaviour_in(table, bumper, group)


def behaviour_in(table: RolloutTable | None, bumper: str, group: str) -> Behaviour:
    """Of rollouts, wherever they are from."""
    try:
        samples = samples_in(table, group) if table is not None else []
    except (EvidenceError, ModelError, SettingError):  # a bumper of another kind: its groups are named otherwise
        samples = []
    return Behaviour(bumper=bumper, context=group, origin="logs", tranches=[], samples=samples)


def samples_in(table: RolloutTable, group: str, traits: Sequence[Trait] = TRAITS) -> list[Sample]:
    """Of a log. Raises EvidenceError or SettingError for a group that names nothing in it."""
    here = np.flatnonzero(in_environment(table, group) & in_steps(table, group))
    here = here[np.argsort(table.step[here], kind="stable")][-LOOKED_AT:]
    flags = flags_of(table, group, here, traits)
    rows = here[flags.values[here]][::-1]
    _, first = np.unique(table.group[rows], return_index=True)
    chosen = rows[np.sort(first)][:SAMPLES]
    texts = zip(table.prompts(chosen), table.responses(chosen), strict=True)
    return [Sample(request=prompt, context="", response=said, neutral_response="") for prompt, said in texts]
