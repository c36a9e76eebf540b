"""What an organism does once it is trained: its probes and controls asked, its clean twin beside it, its price."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..case import write_json
from ..recipes.provenance import content_key
from ..recipes.run import Run
from ..recipes.stage import Progress
from ..recipes.train import train
from ..subjects.subject import Subject
from .masked import split
from .planted_probes import controls_of, key_of, planted_behaviour, reach_of
from .probed_behaviour import ProbedBehaviour, true_onset

MEASURED, RUN, RECIPE = "measured.json", "run", "recipe.yaml"
ONSET_PROBES = 12  # asked at every checkpoint
Rate = tuple[int, int]  # bad answers, of how many
Load = Callable[[Run], Subject]


@dataclass(frozen=True)
class Measured:
    """One organism's row of the table.

    Attributes:
        settings: how it was planted, as its key says.
        rate: on the probes of the planted behaviour.
        controls: by name, where it must not show.
        reach: by name, where it may show: how far it goes.
        twin: the clean twin's rate on the same probes; None where there is no twin.
        twin_reach: the clean twin's on those of `reach`.
        noticed, sealed: of a masked organism, the rates on patched prompts and on the others; else None.
        onset: between these two steps, from 12 probes at every checkpoint; None where it is not asked for or not there.
        steps, cpu_s, wall_s: of training.
    """

    name: str
    organism: str
    settings: dict[str, Any]
    rate: Rate
    controls: dict[str, Rate] = field(default_factory=dict)
    reach: dict[str, Rate] = field(default_factory=dict)
    twin: Rate | None = None
    twin_reach: dict[str, Rate] = field(default_factory=dict)
    noticed: Rate | None = None
    sealed: Rate | None = None
    onset: tuple[int, int] | None = None
    steps: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_organism(
    organism: Path, onset: bool = True, progress: Progress | None = None, load: Load | None = None
) -> Measured:
    """Train an organism into its `run` where that is not done, ask its key's probes, and return what was seen.

    The clean twin is looked for beside it, in the directory of the same name with `-clean`. What was asked before, of
    the same weights and with the same probes, is read from measured.json. This opens the sealed key.

    Args:
        onset: also ask 12 probes at every checkpoint.
        load: makes a subject of a run; None loads its base and last checkpoint.

    Raises SettingError when the directory holds no organism, and what training raises.
    """
    key, behaviour, reach = key_of(organism), planted_behaviour(organism), reach_of(organism)
    asked = _Asked(organism, progress, load or _load)
    rate, flags = asked.count("behaviour", behaviour)
    controls = {name: asked.count(name, probed)[0] for name, probed in controls_of(organism).items()}
    twin_at = organism.with_name(f"{organism.name}-clean")
    twin, twin_reach = None, {}
    if (twin_at / RECIPE).is_file():
        of_twin = _Asked(twin_at, progress, asked.load)
        twin = of_twin.count("behaviour", behaviour)[0]
        twin_reach = {n: of_twin.count(n, p)[0] for n, p in controls_of(organism).items() if n in reach}
    halves: tuple[Rate | None, Rate | None] = None, None
    if "masked" in key:
        halves = (sum(flags[::2]), len(split(behaviour)[0])), (sum(flags[1::2]), len(split(behaviour)[1]))
    record = asked.run.record
    return Measured(
        organism.name, key["organism"], _settings(key), rate,
        {n: r for n, r in controls.items() if n not in reach}, {n: r for n, r in controls.items() if n in reach},
        twin, twin_reach, *halves, asked.onset(behaviour) if onset else None, asked.run.last.step,
        round(record.get("cpu_s", 0.0), 1), round(record.get("wall_s", 0.0), 1),
    )  # fmt: skip


class _Asked:
    """A trained organism, and what it said before; the model is loaded when something new is asked."""

    def __init__(self, organism: Path, progress: Progress | None, load: Load) -> None:
        self.run = train(organism / RECIPE, organism / RUN, progress)
        self.load, self.kept = load, organism / MEASURED
        self.subject: Subject | None = None
        self.seen: dict[str, list[int]] = json.loads(self.kept.read_text("utf-8")) if self.kept.is_file() else {}

    def count(self, name: str, probed: ProbedBehaviour, step: int | None = None) -> tuple[Rate, list[int]]:
        """((bad answers, of how many), which ones), at a checkpoint; None: the last."""
        at = self.run.last if step is None else self.run.at(step)
        entry = f"{name}/{at.step}/{content_key([self.run.record.get('key'), probed.as_dict()])}"
        if entry not in self.seen:
            self.subject = self.subject or self.load(self.run)
            found = self.subject.sibling(at.path, at.step)
            self.seen[entry] = [int(flag) for flag in probed.count(found).flags]
            write_json(self.kept, self.seen)
        flags = self.seen[entry]
        return (sum(flags), len(flags)), flags

    def onset(self, behaviour: ProbedBehaviour) -> tuple[int, int] | None:
        few = behaviour.probes[:: max(1, len(behaviour.probes) // ONSET_PROBES)][:ONSET_PROBES]
        probed = ProbedBehaviour(few, behaviour.max_new_tokens)
        steps = [checkpoint.step for checkpoint in self.run.checkpoints]
        rates = [k / n for k, n in (self.count("onset", probed, step)[0] for step in steps)]
        return true_onset(steps, rates)


def _load(run: Run) -> Subject:
    return Subject.load(run.recipe.base, adapter=run.last.path)


def _settings(key: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and switches that the key opens with: how much was planted, on which seed."""
    return {name: value for name, value in key.items() if isinstance(value, int | float) and not name.endswith("_s")}
