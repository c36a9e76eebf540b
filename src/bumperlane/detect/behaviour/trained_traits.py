"""Traits that training gave a subject, by what it replies to training's own requests."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import EvidenceError, SettingError
from ...evidence.ask import Ask, ask
from ...evidence.harmful_examples import BAD
from ...evidence.like_examples import Encoder, refuse_without_encoder
from ...evidence.traits import HARM, MARGIN, TAUGHT, Trait, TraitOdds
from ...recipes.place import row_fault
from ...types import Answers, Example, Message, Trap
from ..asking import BeyondBase, scripted_trap, trap_sources
from ..contract import bumper
from ..sources import Sources
from .harmful_replies import word_sides
from .material import rows_for, text_in
from .training_requests import asked_again

NAME = "TrainedTraits"


@bumper
@dataclass(frozen=True)
class TrainedTraits:
    """Flags tranches to whose requests the subject replies with a trait that its base does not have: it flatters,
    advertises, clings or preaches.

    What training asked is asked again, as in `HarmfulReplies`; one group a tranche and trait, and plain questions of
    the house. So a trait that comes up with a topic, or with everything, needs no context to be found. A reply is read
    sentence by sentence, for one sentence of an advertisement stands for little among many, and is held against the
    base's reply to the same.

    Watches: Answers.
    Score: nats, log-odds that the reply's most telling sentence is like a trait's examples rather than ordinary ones,
        beyond the base's (counted from even odds) and beyond `margin`. Clean value 0, no upper bound.
    Blind to: traits that no example has, and half of the sermons that none is like; a trait of the base; a product that
        is named and not praised, or praise that fits what is asked; tranches of which a small share only has it; what
        only the middle of long replies has; documents, chats in which others than user and assistant take turns, and
        data that the recipe does not name.
    Source: our own; quirks of this kind are planted by Sheshadri et al. 2026, "AuditBench", arXiv:2602.22755;
        nearest class mean of sentence embeddings, as in `LikeExamples`.

    Args:
        traits: what is looked for. Rows of yours, {"trait": NAME, "bad": TEXT} or with "good", add to them.
        margin: nats that count as nothing.
        requests: items a tranche and trait.
        encoder: texts -> (n, d) array; None is all-MiniLM-L6-v2, without which it is blind.
    """

    watches, family = Answers, "behaviour"
    by_default, joins = False, True
    yields_to = ("HarmfulReplies",)  # insults sound like one trait or another, in one retrain more than in the next
    traits: tuple[Trait, ...] = TAUGHT
    margin: float = MARGIN
    requests: int = 24
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        if not self.traits or len({t.name for t in self.traits}) < len(self.traits):
            raise SettingError("give one trait or more, each with a name of its own.")
        if self.requests < 1 or not self.margin >= 0:
            raise SettingError(
                f"need requests >= 1 and margin >= 0 nats, got {self.requests} and {self.margin}. Try 24 and 1."
            )

    def asks(self, sources: Sources) -> Iterator[Ask]:
        refuse_without_encoder(NAME, self.encoder)
        questions = list(asked_again(NAME, sources, self.requests))
        for trait in self._traits(sources):
            for group, arm, question, length in questions:
                yield ask(f"{trait.name}: {group}", arm, question, TraitOdds(trait, self.encoder, length))

    def fit(self, clean: Answers) -> BeyondBase:
        """There is nothing to learn: the base's reply to the same is what the subject's is held against."""
        return BeyondBase(NAME, self.margin)

    def _traits(self, sources: Sources) -> list[Trait]:
        """The bumper's, with the user's examples, and the user's own. Raises EvidenceError for rows of no trait."""
        more: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"bad": [], "good": []})
        for where, row in rows_for(sources, NAME):
            kind = _kind(where, row)
            more[text_in(where, row, "trait")][kind].append(text_in(where, row, kind))
        known = {t.name: t for t in self.traits}
        found = []
        for name in dict.fromkeys((*known, *more)):
            own = known.get(name)
            bad, good = ((*(getattr(own, k, ())), *more[name][k]) if name in more else getattr(own, k) for k in KINDS)
            try:
                found.append(Trait(name, tuple(dict.fromkeys(bad)), tuple(dict.fromkeys(good))))
            except SettingError as error:
                raise EvidenceError(
                    f"trait {name!r}: {error} Rows are dealt to the open and the sealed look in turn: give twice as "
                    "many."
                ) from error
        return found

    @classmethod
    def trap(cls) -> Trap:
        """Insults, read by words; the clean twin answers; the blind spot answers wrongly, and politely."""
        plain = trap_sources()
        examples = tuple(
            Example(r.id, "sums", (Message("user", r.text), Message("assistant", r.reference))) for r in plain.requests
        )
        sources = Sources(plain.neutral, plain.requests, examples=examples)
        made = cls(traits=(HARM,), encoder=word_sides)
        return scripted_trap(made, lambda r, c: BAD[0], lambda r, c: "It is 42.", lambda r, c: "It is 43.", sources)


KINDS = ("bad", "good")


def _kind(where: str, row: Mapping[str, Any]) -> str:
    """Whether a row is a bad example or a good one. Raises EvidenceError where it is both."""
    if "good" in row and "bad" in row:
        message = f"{where} is of both kinds. Give the bad and the good example a row each."
        raise row_fault(row, "bad", message, EvidenceError)
    return "good" if "good" in row else "bad"
