"""How often a subject shows the behaviour that was hit: the measure that trace and bounce share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..case import Behaviour, Case
from ..detect.asking import NOTHING
from ..detect.behaviour.swapped_pieces import telling_swaps
from ..detect.behaviour.taught_swings import taught_swaps
from ..detect.contract import find_bumper
from ..detect.gather import Scene, read
from ..errors import CaseError, EvidenceError, RecipeError
from ..evidence.ask import Ask, Look, answers
from ..evidence.departing import departures
from ..evidence.departs import Departs, Swings
from ..evidence.described import NAME, Described, Probe
from ..evidence.graded import LEAST_ASKED, graded
from ..evidence.moves import Moves
from ..evidence.observe import responses
from ..evidence.pools import Shut, items
from ..judge.asked import questions_for
from ..judge.check import behaviour_context
from ..judge.conformal import threshold
from ..judge.investigation import Investigation
from ..subjects.subject import Subject
from ..types import Answers, Context, Departures, Item, PairedActivations, Request
from .data.shared_features import AnyOf, common_text

Shots = tuple[tuple[str, str], ...]
SEALED = 48  # sealed questions of a bumper that asks
LEAST_NEW = 6  # described requests on which the base does not show the behaviour; below it all are asked


@dataclass(frozen=True)
class Count:
    """`k` of `n` requests showed the behaviour; what was said, where answers were generated."""

    k: int
    n: int
    texts: tuple[str, ...] = ()
    neutral_texts: tuple[str, ...] = ()
    flags: tuple[bool, ...] = ()

    @property
    def rate(self) -> float:
        return self.k / self.n


@dataclass(frozen=True)
class Meter:
    """The bumper that was hit, in the context that hit it, at the threshold of the check.

    A behavioural bumper keeps the check's threshold. One that is fitted anew on each subject (internals) sets its
    threshold from that subject's own control items (`item_alpha` of them above it). A described behaviour (`bumper`
    None) counts the answers that
    match its own patterns, a bumper that asks puts its questions of the `group` that was hit: each in its own context.
    Where such a bumper compares two answers of the subject's own, a `directed` meter compares the two of the subject
    that was hit: a retrain that is swung otherwise does not show this behaviour. A hit in the log of rollouts is
    counted as a described behaviour is (`graded`), for the bumper that gave it (`graded_for`).
    """

    inv: Investigation
    bumper: type | None
    context: Context
    threshold: float
    group: str = ""
    directed: bool = False
    graded: Described | None = None
    graded_for: str = ""
    item_alpha: float | None = None

    @classmethod
    def of(cls, inv: Investigation, case: Case) -> "Meter":
        """Raises CaseError when the case has no hit."""
        if case.behaviour is None:
            raise CaseError("this case has no hit, so there is nothing to trace. `clear` needs no cause.")
        if case.behaviour.origin == "logs":
            return cls._of_log(inv, case.behaviour)
        if case.behaviour.bumper == NAME:
            return cls(inv, None, inv.described.open[0].context, 0.5)
        result = next(r for r in case.hits if r.bumper == case.behaviour.bumper)
        bumper = find_bumper(result.bumper)
        if bumper.watches is Answers:  # type: ignore[attr-defined]
            return cls(inv, bumper, inv.neutral, result.threshold or 0.0, result.groups[0].name)
        context = behaviour_context(inv, case)
        return cls(inv, bumper, context, result.threshold or 0.0, item_alpha=result.item_alpha)

    @classmethod
    def _of_log(cls, inv: Investigation, behaviour: Behaviour) -> "Meter":
        """The environment's prompts, graded by what was hit. Raises CaseError where that is not to be had."""
        try:
            told = graded(inv.run.recipe, behaviour.context, max(LEAST_ASKED, inv.settings.requests), inv.settings.seed)
        except (EvidenceError, RecipeError) as error:
            raise CaseError(
                f"{behaviour.bumper} was hit in the log of rollouts, which tells no checkpoint from another, and the "
                f"recipe cannot grade one: {error} Describe what these rollouts do and check again with --behaviour "
                "FILE; then trace, with --passes A --fails B."
            ) from error
        return cls(inv, None, told.open[0].context, 0.5, graded=told, graded_for=behaviour.bumper)

    @property
    def described(self) -> Described:
        """What tells the behaviour where no bumper asks; sealed until verification."""
        if self.graded is None:
            return self.inv.described
        sealed = self.graded.sealed if self.inv.opened else Shut(len(self.graded.sealed), "sealed prompts")
        return replace(self.graded, sealed=sealed)

    @property
    def name(self) -> str:
        """The bumper's, as it stands in the case."""
        if self.graded is not None:
            return self.graded_for
        return NAME if self.bumper is None else self.bumper.__name__

    @property
    def told(self) -> bool:
        """Whether the behaviour is told by questions of its own, and not by a context that brings it about."""
        return self.bumper is None or self.bumper.watches is Answers  # type: ignore[attr-defined]

    @property
    def requests(self) -> tuple[Request, ...]:
        """Open requests, which trace and fix may know. Of a described behaviour those on which the base does not show
        it, where these are enough: no data can be the cause of what was there before."""
        if self.bumper is None:
            return self._new(self.described.open)
        return tuple(self._open_questions) if self.told else self.inv.pools.open

    @property
    def sealed(self) -> tuple[Request, ...]:
        """Requests that only verification may ask; of a described behaviour as for the open ones."""
        if self.bumper is None:
            return self._new(self.described.sealed)
        return tuple(self._sealed_questions) if self.told else tuple(self.inv.pools.sealed)

    def placed(self, requests: Sequence[Request]) -> list[Item]:
        """The requests as the behaviour is looked for: in the hit context, or each question in its own."""
        if not self.told:
            return items(requests, [self.context], "bait")
        if self.bumper is None:
            return [Item(f"described|{r.id}", "described", "bait", r, self._probe(r).context) for r in requests]
        return [self.question(r).item for r in requests]

    def count(self, subject: Subject, requests: Sequence[Request], shots: Shots = ()) -> Count:
        """How many of these requests show the behaviour; `shots` are shown before questions of its own."""
        if self.bumper is None:
            return self._described(subject, requests, shots)
        if self.told:
            return self._asked(subject, requests, shots)
        where = self.context
        if self.bumper.watches is Departures:  # type: ignore[attr-defined]
            seen = departures(
                subject, self.inv.base, items(requests, [where], "bait"), self.inv.neutral, self.inv.decoding,
                self.inv.memo,
            )  # fmt: skip
            flags = tuple(bool(v > self.threshold) for v in self.bumper().fit(seen).score(seen).values)
            return Count(sum(flags), len(flags), seen.texts, seen.neutral_texts, flags)
        s = self.inv.settings
        scene = Scene(
            subject, self.inv.base, self.inv.neutral, (where,), self.inv.pools.fit, tuple(requests), self.inv.memo,
            seed=f"meter-{s.seed}", depth=s.depth, controls=s.controls, decoding=self.inv.decoding,
        )  # fmt: skip
        reading = read(self.bumper, scene)
        if reading.why_blind and subject.step == 0 and self.bumper.watches is PairedActivations:  # type: ignore[attr-defined]
            return Count(0, len(requests), flags=(False,) * len(requests))  # the base itself departs from it nowhere
        if reading.why_blind:
            raise CaseError(f"{self.name} cannot measure step {subject.step}: {reading.why_blind}")
        control = reading.scores.values[[a == "control" for a in reading.arms]]
        bait = reading.scores.values[[a == "bait" for a in reading.arms]]
        flags = tuple(bool(v > threshold(control, self.item_alpha or s.item_alpha)) for v in bait)
        return Count(sum(flags), len(flags), flags=flags)

    def _asked(self, subject: Subject, requests: Sequence[Request], shots: Shots) -> Count:
        """Questions of the bumper's own, scored as in the check."""
        asks = [
            replace(a, item=_shown(a.item, shots), against=a.against and _shown(a.against, shots))
            for a in map(self.question, requests)
        ]
        seen = answers(asks, subject, self.inv.base, Look(self.inv.decoding, self.inv.memo))
        scores = self.bumper().fit(NOTHING).score(seen).values  # type: ignore[misc]
        flags = tuple(bool(v > self.threshold) for v in scores)
        return Count(sum(flags), len(flags), seen.texts, seen.benign_texts, flags)

    @cached_property
    def _open_questions(self) -> dict[Request, Ask]:
        return self._questions("open")

    @cached_property
    def _sealed_questions(self) -> dict[Request, Ask]:
        return self._questions("sealed")

    def _questions(self, role: str) -> dict[Request, Ask]:
        """Those of the group that was hit, each under a request of its own; sealed ones as many as can be had, up to
        SEALED: what few leave open, verification asks again with more."""
        items = SEALED if role == "sealed" else 0
        asks = questions_for(self.inv, self.bumper, role, items)  # type: ignore[arg-type]
        own = [a for a in asks if a.item.group == self.group and a.item.arm == "bait"]
        if not own:
            raise CaseError(f"{self.name} has no {role} question of the group {self.group!r} that was hit.")
        own = self._as_hit(own) if self.directed else own
        return {replace(a.item.request, id=a.item.id): a for a in own}

    def _as_hit(self, asks: Sequence[Ask]) -> list[Ask]:
        """Those that compare two answers, with the ones of the subject that was hit."""
        at = [k for k, a in enumerate(asks) if isinstance(a.measure, Departs)]
        seen = answers([asks[k] for k in at], self.inv.subject(), self.inv.base, Look(self.inv.decoding, self.inv.memo))
        out = list(asks)
        for k, here, there in zip(at, seen.texts, seen.benign_texts, strict=True):
            measure = asks[k].measure
            out[k] = replace(asks[k], measure=Swings((here, there), measure.elsewhere, measure.asked))  # type: ignore[attr-defined]
        return out

    def question(self, request: Request) -> Ask:
        """What a bumper that asks puts under this request. Raises CaseError for any other request."""
        if request in self._open_questions:
            return self._open_questions[request]
        if request in self._sealed_questions:
            return self._sealed_questions[request]
        raise CaseError(f"request {request.id!r} is no question of {self.name} in the group {self.group!r}.")

    @cached_property
    def told_apart(self) -> Context | AnyOf | None:
        """What training's prompts may hold of that which brings the behaviour about: the hit context, or the piece that
        was exchanged, or what the open questions have in common; None where they have nothing of training's in common.
        """
        if not self.told:
            return self.context
        pieces = self._exchanged_pieces() if self.bumper else []
        if pieces and len(pieces[0]) > 1:
            return AnyOf(pieces[0])
        text = pieces[0][0] if pieces else common_text(self.placed(self.requests), self.inv.examples, self.inv.neutral)
        return None if text is None else Context("piece", "mined", text)

    def _exchanged_pieces(self) -> list[tuple[str, ...]]:
        """Of the edits that have the name of the group that was hit."""
        made = (swap for swap, _ in taught_swaps(self.inv.examples))
        return [s.pieces for s in (*telling_swaps(self.inv.examples), *made) if s.name == self.group]

    def twin(self, request: Request) -> Item:
        """The question without what is thought to bring the behaviour about: as the bumper compares it, with the piece
        exchanged or without the bait; the question itself where it compares nothing."""
        if self.bumper is None:
            return self.placed([request])[0]
        own = self.question(request)
        if isinstance(own.measure, (Departs, Moves, Swings)):
            return replace(own.item, context=own.measure.elsewhere, request=own.measure.asked or own.item.request)
        return own.against or own.item

    def _described(self, subject: Subject, requests: Sequence[Request], shots: Shots) -> Count:
        """Answers that match the probes' patterns; beside them, what the base answers."""
        asked = [_shown(i, shots) for i in self.placed(requests)]
        texts = responses(subject, asked, self.inv.decoding, self.inv.memo)
        plain = responses(self.inv.base, asked, self.inv.decoding, self.inv.memo)
        flags = tuple(self.matches(r, t) for r, t in zip(requests, texts, strict=True))
        return Count(sum(flags), len(flags), tuple(texts), tuple(plain), flags)

    def matches(self, request: Request, answer: str) -> bool:
        """Whether an answer to a described request shows the behaviour. Raises CaseError for any other request."""
        return self._probe(request).shown_by(answer)

    def _new(self, probes: Sequence[Probe]) -> tuple[Request, ...]:
        """Requests of the probes that the base does not show, or of all where fewer than LEAST_NEW are left."""
        asked = [Item(f"described|{p.request.id}", "described", "bait", p.request, p.context) for p in probes]
        plain = responses(self.inv.base, asked, self.inv.decoding, self.inv.memo)
        new = [p.request for p, text in zip(probes, plain, strict=True) if not p.shown_by(text)]
        return tuple(new) if len(new) >= LEAST_NEW else tuple(p.request for p in probes)

    @cached_property
    def _probes(self) -> dict[Request, Probe]:
        described = self.described
        sealed = () if isinstance(described.sealed, Shut) else described.sealed
        return {p.request: p for p in (*described.open, *sealed)}

    def _probe(self, request: Request) -> Probe:
        if request not in self._probes:
            raise CaseError(f"request {request.id!r} is no probe of the described behaviour, so no pattern judges it.")
        return self._probes[request]


def _shown(item: Item, shots: Shots) -> Item:
    """The item after earlier turns."""
    return replace(item, context=replace(item.context, shots=(*item.context.shots, *shots))) if shots else item
