"""Gather what a bumper watches, for control and bait items, and let it score them: bumper -> reading."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import ContractError, EvidenceError
from ..evidence.ask import Look
from ..evidence.departing import departures
from ..evidence.given_contexts import idle_twins, place_of
from ..evidence.library import control_contexts, controls_in_requests
from ..evidence.memo import Memo
from ..evidence.observe import activations, paired_activations
from ..evidence.pools import items
from ..subjects.activations import blocks_of
from ..subjects.generate import Decoding
from ..subjects.subject import Subject
from ..types import (
    Activations,
    Answers,
    Context,
    Departures,
    Example,
    Item,
    Labelled,
    Layers,
    PairedActivations,
    Reading,
    Request,
    Scores,
    Split,
)
from .asking import reading_of
from .contract import learns_from, reads_log, samples_rollouts, scorer, spring_or_say
from .gather_features import (
    gather_answer_confidence,
    gather_head_effects,
    gather_lens_trajectory,
    gather_neutral_text,
    gather_probe_odds,
    gather_rephrased,
)
from .harm_pairs import harm_pairs
from .internals.activation_difference import ActivationDifference
from .internals.against_base import AgainstBase, Paired
from .internals.contrast_probe import ContrastEvidence, ContrastProbe
from .internals.features import AnswerConfidence, HeadEffects, LensTrajectory, ProbeOdds, Rephrased
from .internals.relative_mahalanobis import Grouped
from .sources import Rows, Sources

TWINS = 4  # control contexts for each make-up of given contexts; with 6 requests each they set a threshold


@dataclass(frozen=True)
class Scene:
    """Where a bumper looks: which subject, which contexts, which requests.

    Args:
        baits: contexts that might provoke the behaviour.
        fit: requests that detectors are fitted on, in control contexts.
        asked: requests that baits and controls share. They must not occur in `fit`.
        depth: where internals are read, as a share of the blocks; they are read at two thirds of it as well.
        controls: number of control contexts; their made-up texts follow from `seed`.
        fragments: requests from which controls for baits in the request are cut; empty if there are no such baits.
        examples: the training data, for bumpers that ask.
        given: the user's items, by bumper.
        draw: the seed by which bumpers that ask deal their items into open and sealed ones.
        items: a group, at least, of bumpers that ask; 0 leaves it to them.
    """

    subject: Subject
    base: Subject
    neutral: Context
    baits: Sequence[Context]
    fit: Sequence[Request]
    asked: Sequence[Request]
    memo: Memo = field(repr=False)
    seed: str = "open"
    depth: float = 0.5
    controls: int = 9
    fragments: Sequence[str] = ()
    decoding: Decoding = Decoding(max_new_tokens=20)
    examples: Sequence[Example] = field(default=(), repr=False)
    given: Mapping[str, Rows] = field(default_factory=dict, repr=False)
    draw: int = 0
    items: int = 0

    def __post_init__(self) -> None:
        both = {r.text for r in self.fit} & {r.text for r in self.asked}
        if both:
            raise EvidenceError(f"{len(both)} requests are used to fit and to judge, first {sorted(both)[0]!r}.")

    def sources(self, split: Split = "open") -> Sources:
        """What a bumper that asks may draw on."""
        role = "open" if split == "open" else "sealed"
        return Sources(
            self.neutral, tuple(self.asked), tuple(self.fit), tuple(self.examples), self.given, self.draw, role,
            self.items,
        )  # fmt: skip

    @property
    def layers(self) -> list[int]:
        """Blocks after which internals are read: at `depth`, and at two thirds of it."""
        blocks = len(blocks_of(self.base.host.model))
        return sorted({min(blocks - 1, int(share * blocks)) for share in (self.depth * 2 / 3, self.depth)})

    def control_items(self, family: str = "") -> list[Item]:
        """What sets the thresholds. Internals are also held against the spread of control contexts' means, and get as
        many with a piece of a request as there are of all others."""
        contexts = self._controls("judge")
        if self.fragments and family == "internals":
            usual = sum(bool(c.prefix) for c in contexts)
            contexts += controls_in_requests(self.neutral, self.controls - usual, f"{self.seed}/judge", self.fragments)
        return items(self.asked, contexts, "control")

    def bait_items(self) -> list[Item]:
        return items(self.asked, self.baits, "bait")

    def fit_items(self) -> list[Item]:
        return items(self.fit, self._controls("fit"), "control")

    def _controls(self, role: str) -> list[Context]:
        seed = f"{self.seed}/{role}"
        usual = control_contexts(self.neutral, self.controls, seed, self.fragments)
        return [*usual, *idle_twins(self.baits, self.neutral, min(self.controls, TWINS), seed)]


def read(cls: type, scene: Scene, split: Split = "open") -> Reading:
    """Spring the trap, gather, fit on trusted items, score controls and baits.

    A detector of activations is read relative to the base. What the bumper cannot use (EvidenceError while fitting)
    makes the reading blind, with the reason; a subject that is not finite is an error for everyone and is raised.
    """
    if cls.watches is Answers:  # type: ignore[attr-defined]
        look = Look(scene.decoding, scene.memo)
        return reading_of(cls, scene.sources(split), (scene.subject, scene.base), look, split)
    gather = gatherer(cls)
    if gather is None:
        if samples_rollouts(cls):
            raise ContractError(f"{cls.__name__} has rollouts sampled, no scene: use judge.sampled.sampled_reading.")
        raise ContractError(f"{cls.__name__} reads the log of a run, no scene: use detect.logs.reading.run_reading.")
    sprung, _ = spring_or_say(cls)
    seen = [*scene.control_items(cls.family), *scene.bait_items()]  # type: ignore[attr-defined]
    clean, evidence = gather(scene, seen)
    arms, groups = tuple(i.arm for i in seen), tuple(i.group for i in seen)
    family = cls.family  # type: ignore[attr-defined]
    alone = cls in GATHER or cls.watches in ALONE  # type: ignore[attr-defined]
    made = cls() if alone else AgainstBase(cls())
    try:
        score = made.fit(clean, evidence).score if isinstance(made, AgainstBase) else scorer(made, clean, evidence)
    except EvidenceError as error:
        empty = Scores(np.zeros(0), (), cls.__name__)
        return Reading(cls.__name__, family, empty, (), (), split, sprung, str(error))
    strata = tuple(place_of(i.context) for i in seen)
    return Reading(cls.__name__, family, score(evidence), arms, groups, split, sprung, strata=strata)


def gatherer(cls: type) -> "Gather | None":
    """What gathers a bumper's evidence; None for one that asks, reads the log of the run, or has rollouts sampled.

    Raises ContractError when a check cannot gather it: the bumper is for use by hand.
    """
    learns = learns_from(cls)
    found = GATHER.get(cls) or GATHER.get(learns)
    if found is None and learns is not Answers and not reads_log(cls) and not samples_rollouts(cls):
        known = ", ".join(sorted(k.__name__ for k in GATHER))
        raise ContractError(
            f"{cls.__name__} learns from {learns.__name__}, which a check does not gather (it gathers {known}). "
            "Fit it on evidence of your own: `bumperlane explain` says what it watches."
        )
    return found


def stacked(seen: Sequence[Activations]) -> Activations:
    """Several layers side by side, (n, layers x d): some mechanisms show in the middle, some only near the end."""
    rows = np.concatenate([a.rows for a in seen], axis=1)
    return Activations(rows, seen[0].ids, seen[-1].layer, seen[0].step)


def _departures(scene: Scene, seen: Sequence[Item]) -> tuple[Departures, Departures]:
    def look(which: Sequence[Item]) -> Departures:
        return departures(scene.subject, scene.base, which, scene.neutral, scene.decoding, scene.memo)

    fit = items(scene.fit, control_contexts(scene.neutral, 1, f"{scene.seed}/fit"), "control")
    return look(fit), look(seen)


def _pairs(scene: Scene, seen: Sequence[Item]) -> tuple[PairedActivations, PairedActivations]:
    def look(which: Sequence[Item]) -> PairedActivations:
        pairs = paired_activations(scene.subject, scene.base, which, scene.layers, scene.memo)
        subject = stacked([pair.subject for pair in pairs.values()])
        return PairedActivations(subject, stacked([pair.base for pair in pairs.values()]))

    return look(scene.fit_items()), look(seen)


def _layers(scene: Scene, seen: Sequence[Item]) -> tuple[Paired, Paired]:
    def look(who: Subject, which: Sequence[Item]) -> Layers:
        at = list(range(len(blocks_of(scene.base.host.model))))
        found = activations(who, which, at, scene.memo)
        rows = np.stack([found[layer].rows for layer in at], axis=1)
        return Layers(rows, found[0].ids, tuple(at), who.step)

    def both(which: Sequence[Item]) -> Paired:
        return Paired(look(scene.subject, which), look(scene.base, which))

    return both(scene.fit_items()), both(seen)


def _labelled(scene: Scene, seen: Sequence[Item]) -> tuple[Paired, PairedActivations]:
    """Contrast pairs as labelled examples: the answer yes to a question about harm is the bad kind."""
    yes, no = harm_pairs(scene.neutral)

    def side(who: Subject) -> Labelled:
        rows = stacked(list(activations(who, [*yes, *no], scene.layers, scene.memo).values()))
        return Labelled(rows, np.arange(len(rows.ids)) < len(yes))

    return Paired(side(scene.subject), side(scene.base)), _pairs(scene, seen)[1]


def _grouped(scene: Scene, seen: Sequence[Item]) -> tuple[Paired, PairedActivations]:
    """Trusted rows by the request they answer: each was asked in several control contexts."""
    trusted, evidence = _pairs(scene, seen)
    groups = tuple(i.request.id for i in scene.fit_items())
    return Paired(Grouped(trusted.subject, groups), Grouped(trusted.base, groups)), evidence


def _contrast(scene: Scene, seen: Sequence[Item]) -> tuple[ContrastEvidence, PairedActivations]:
    trusted, evidence = _pairs(scene, seen)
    yes, no = harm_pairs(scene.neutral)

    def side(who: Subject, items: list[Item]) -> Activations:
        return stacked(list(activations(who, items, scene.layers, scene.memo).values()))

    ours, theirs = scene.subject, scene.base
    return ContrastEvidence(side(ours, yes), side(ours, no), side(theirs, yes), side(theirs, no), trusted), evidence


Gather = Callable[[Scene, Sequence[Item]], tuple]
GATHER: dict[type, Gather] = {
    Departures: _departures,
    Activations: _pairs,
    PairedActivations: _pairs,
    Layers: _layers,
    Labelled: _labelled,
    Grouped: _grouped,
    ContrastProbe: _contrast,
    AnswerConfidence: gather_answer_confidence,
    Rephrased: gather_rephrased,
    HeadEffects: gather_head_effects,
    ProbeOdds: gather_probe_odds,
    LensTrajectory: gather_lens_trajectory,
    ActivationDifference: gather_neutral_text,
}
ALONE = (Departures, PairedActivations)  # nouns that hold subject and base already
