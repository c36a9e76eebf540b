"""Noise in weights or activations: what is hidden by a little training often breaks before what was learnt by much."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..subjects.activation_noise import ActivationNoise
from ..subjects.noise import WeightNoise
from ..subjects.subject import Subject
from ..types import Request
from .compared import Margins
from .elicit import Again, Flags, Tried, elicit
from .showing import Showing, Way

WEIGHTS, ROWS = (0.05, 0.1), (0.05, 0.15)  # in units of a matrix's RMS, and of a row's length
Deployed = Callable[[Subject], Subject]


@dataclass(frozen=True)
class Bare:
    """The three subjects as they were trained, and what is put around the fixed one where it is deployed."""

    hit: Subject
    fixed: Subject
    control: Subject
    deployed: Deployed = field(default=lambda subject: subject)


def noise_checks(
    showing: Showing,
    bare: Bare,
    requests: Sequence[Request],
    margins: Margins,
    seed: int = 0,
    another: Callable[[], Subject] | None = None,
) -> Tried:
    """Greedy answers under two strengths of noise each: does the fixed subject show it in any more often than the
    control under the same noise? Subject and control get the same draws; so does the second control that `another`
    trains where it fails."""
    weights = tuple(WeightNoise(scale, seed) for scale in WEIGHTS)
    rows = tuple(ActivationNoise(scale, seed) for scale in ROWS)
    found = Tried(())
    for name, noises in (("weights", weights), ("activations", rows)):
        way = Way(f"re-elicitation by noise in {name}")
        found += elicit(
            _noised(showing, bare, noises), [way], requests, margins, _again(showing, bare, noises, another)
        )
    return found


def _again(
    showing: Showing,
    bare: Bare,
    noises: Sequence[WeightNoise] | Sequence[ActivationNoise],
    another: Callable[[], Subject] | None,
) -> Again | None:
    return None if another is None else lambda: _noised(showing, replace(bare, control=another()), noises)


def _noised(showing: Showing, bare: Bare, noises: Sequence[WeightNoise] | Sequence[ActivationNoise]) -> Flags:
    """Flags with one row a noise; the way as it was is asked without any."""

    def of(who: str, subject: Subject, ways: Sequence[Way], requests: Sequence[Request]) -> Mapping[str, np.ndarray]:
        return showing.flags(bare.deployed(subject) if who == "fixed" else subject, ways, requests)

    def flags(who: str, ways: Sequence[Way], requests: Sequence[Request]) -> Mapping[str, np.ndarray]:
        subject = getattr(bare, who)
        plain, pressed = [w for w in ways if w.tells], [w for w in ways if not w.tells]
        found = dict(of(who, subject, plain, requests)) if plain else {}
        rows: dict[str, list[np.ndarray]] = {w.name: [] for w in pressed}
        for noise in noises if pressed else ():
            with noise.applied(subject) as noised:
                for name, seen in of(who, noised, pressed, requests).items():
                    rows[name].append(seen)
        return found | {name: np.concatenate(seen) for name, seen in rows.items()}

    return flags
