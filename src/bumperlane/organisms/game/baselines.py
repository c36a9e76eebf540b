"""What the loop is held against: naming a tranche at random, one method of attribution alone, forgetting the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...case import Case
from ...errors import EvidenceError
from ...judge.investigation import Investigation
from ...subjects.subject import Subject
from ...trace.data.propose import ProposalSettings, propose
from ...trace.data.trap_weights import equal_weights
from ...trace.meter import Meter
from ...trace.suspects import SuspectSettings, data_suspects
from ...trace.trace import open_case
from ..planted_cause import PlantedCause
from ..probed_behaviour import ProbedBehaviour
from .named import Suspect, rank

METHODS = {"keyword search (BM25)": "bm25", "attribution at the last checkpoint": "gradients"}
FORGOTTEN = 0.25  # share of the steps that are not trained


@dataclass(frozen=True)
class Guess:
    """What a baseline names. `chance` is of naming the planted cause first, and among the first three: 0 or 1 of what
    is no lottery; None where it could not be asked, and why."""

    first: float | None
    among_three: float | None
    why: str = ""


def at_random(inv: Investigation, planted: PlantedCause) -> Guess:
    """One tranche, or reward term where there are any, drawn at random."""
    rewards = {r.name for stage in inv.run.recipe.stages for r in getattr(stage, "rewards", ())}
    names = [*(("tranche", t.name) for t in inv.run.recipe.tranches), *(("reward", r) for r in rewards)]
    of = len(names)
    right = sum(rank([Suspect.of(kind, name, (), inv.examples)], planted) is not None for kind, name in names)
    miss = 1.0
    for drawn in range(min(3, of)):
        miss *= (of - right - drawn) / (of - drawn)
    return Guess(right / of, 1 - miss) if of else Guess(0.0, 0.0, "there is nothing to name")


def by_attribution(case_dir: Path, planted: PlantedCause, say: Callable[[str, int, int], None]) -> dict[str, Guess]:
    """Each method alone, heard in full, on the last checkpoint: no onset, no trap, no experiment."""
    inv, case = open_case(case_dir, "check", say)
    meter = Meter.of(inv, case)
    return {title: _by_method(inv, case, meter, name, planted) for title, name in METHODS.items()}


def _by_method(inv: Investigation, case: Case, meter: Meter, name: str, planted: PlantedCause) -> Guess:
    weights = equal_weights("heard alone")
    try:
        found = propose(inv, meter, [inv.subject()], ProposalSettings((name,)), weights)
        suspects = data_suspects(inv, case, found, SuspectSettings(0.05, 5))
    except EvidenceError as error:
        return Guess(None, None, str(error))
    place = rank([Suspect.of(h.kind, h.name, h.ids, inv.examples) for h in suspects], planted)
    return Guess(float(place == 1), float(place is not None and place <= 3))


def rate_without_the_end(inv: Investigation, probes: ProbedBehaviour) -> float | None:
    """The behaviour's rate where the last quarter of the steps was not trained: at the last checkpoint before it. None
    where none was kept: that of the base would be another baseline."""
    last = inv.run.last.step
    steps: Sequence[int] = [c.step for c in inv.run.checkpoints if c.step <= (1 - FORGOTTEN) * last]
    if not steps:
        return None
    subject: Subject = inv.subject(max(steps))
    return probes.count(subject).rate
