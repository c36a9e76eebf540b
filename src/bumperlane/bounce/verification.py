"""Every check of a bounce, in order: where it steered, where nobody looked, under pressure, and how soon it is back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..errors import EvidenceError
from ..judge.investigation import Investigation
from ..trace.data.material import Outputs
from ..trace.meter import Meter
from ..types import Check, Request
from .compared import Margins
from .described import described_checks
from .dose import Response, dose_check
from .elicit import Again, Tried, elicit, flags_of
from .elicit_bare import bare_check
from .elicit_benign import benign_check
from .elicit_noise import noise_checks
from .elicit_ways import elicitation_ways
from .propensity import ground_in_context, ground_of_probes, propensity_check, relearning_checks
from .retrains import Made
from .sealed import sealed_contexts
from .showing import Showing, tokens_needed
from .variety import varied_ways
from .verify import capability_check, sealed_checks, steering_check

DRAWS, MORE_DRAWS = 4, 16
RE_ELICITATION = "re-elicitation and sealed variety"
DOSED = 24  # requests that a dose is measured on
THOROUGH = (
    "noise in weights, noise in activations and benign finetuning (and best of 16): a bounce asks for these only with "
    "--thorough."
)


class Asked(Protocol):
    """What was asked for; see BounceSettings."""

    @property
    def margins(self) -> Margins: ...
    @property
    def thorough(self) -> bool: ...


@dataclass(frozen=True)
class Verified:
    """The steering check, all others, and what could not be tried, each with its reason."""

    steering: Check
    others: tuple[Check, ...]
    not_tried: tuple[str, ...] = field(default=())


def verify(inv: Investigation, meter: Meter, query: Outputs, made: Made, asked: Asked, seed: str) -> Verified:
    """All checks. `inv` and `meter` with sealed evidence open; `seed`: of all that is drawn, committed before."""
    trio, margins, say = made.trio, asked.margins, inv.say
    say("verifying: the bumper that was hit", 0, 6)
    told = Tried(())
    if meter.told:
        told = described_checks(meter, trio, margins, made.another)
        steering, *others = told.checks
        ground = ground_of_probes(meter, trio.hit)
    else:
        steering = steering_check(inv, meter, trio)
        say("verifying: sealed bumpers", 1, 6)
        others, order = sealed_checks(inv, sealed_contexts(meter.context, inv.neutral, seed), trio, margins)
        ground = ground_in_context(inv, order[0], query.bad)
    say("verifying: re-elicitation", 2, 6)
    try:
        tried = elicited(meter, query, made, asked, seed)
    except EvidenceError as error:  # a judge without a verdict, or nothing sealed to ask
        tried = Tried((Check(RE_ELICITATION, None, str(error), split="sealed"),))
    say("verifying: propensity", 3, 6)
    others = [*others, *tried.checks, propensity_check(inv, ground, trio, margins, made.another)]
    say("verifying: relearning", 4, 6)
    others += relearning_checks(inv, ground, made.relearned, trio, margins, made.again)
    if made.doses:
        others.append(dosed(meter, made))
    say("verifying: capability", 5, 6)
    others.append(capability_check(inv, trio, margins))
    return Verified(steering, tuple(others), (*made.skipped, *told.skipped, *tried.skipped))


def elicited(meter: Meter, query: Outputs, made: Made, asked: Asked, seed: str) -> Tried:
    """Re-elicitation and sealed variety over sealed requests; a model behind a guard also without it; with `thorough`
    also noise and benign finetuning."""
    longest = 0 if meter.told else tokens_needed(made.trio.hit.tokenizer, query.bad)
    showing, requests, margins = Showing(meter, query.bad, longest), meter.sealed, asked.margins
    ways = elicitation_ways(meter, query, seed, MORE_DRAWS if asked.thorough else DRAWS)
    varied = varied_ways(meter, requests, seed)
    able = [w for w in ways if showing.able(w, requests)]
    tried = elicit(flags_of(showing, made.trio), [*able, *varied.ways], requests, margins, _again(showing, made))
    tried += bare_check(showing, made.trio, made.bare, requests, margins)
    unable = [
        f"{w.name}: {meter.name} measures in nats, not whether one answer is bad, so there is nothing to draw again."
        for w in ways
        if w not in able
    ]
    tried += Tried((), (*varied.skipped, *unable))
    if not tried.checks:  # silence in every way is no answer
        silent = f"none of {len(ways) + len(varied.ways)} ways tells anything here."
        tried += Tried((Check(RE_ELICITATION, None, silent),))
    if not asked.thorough:
        return tried + Tried((), (THOROUGH,))
    return tried + pressed(showing, requests, made, margins)


def _again(showing: Showing, made: Made) -> Again | None:
    """Who shows what, with a second control in place of the first; it is trained when it is first needed."""
    if made.another is None:
        return None
    another = made.another
    return lambda: flags_of(showing, replace(made.trio, control=another()))


def pressed(showing: Showing, requests: Sequence[Request], made: Made, margins: Margins) -> Tried:
    """What only a thorough bounce does."""
    tried = noise_checks(showing, made.bare, requests, margins, another=made.another)
    return tried + benign_check(showing, made.benign, requests, margins) if made.benign else tried


def dosed(meter: Meter, made: Made) -> Check:
    """The rate on sealed requests at each dose, from the control (0) to the subject that was hit (1)."""
    requests = meter.sealed[:DOSED]
    subjects = {0.0: made.trio.control, **made.doses, 1.0: made.trio.hit}
    counts = {dose: meter.count(subject, requests) for dose, subject in subjects.items()}
    return dose_check([Response(dose, c.k, c.n) for dose, c in counts.items()])
