"""What a bumper that asks was hit by, in a case."""

from ..case import Behaviour, Sample
from ..detect.asking import asks_of, prepared
from ..detect.sources import Sources
from ..evidence.ask import Ask, Look, answers
from ..types import Judgement, Reading
from .investigation import Investigation

SAMPLES = 6


def sources_of(inv: Investigation, role: str) -> Sources:
    """What a bumper may ask of this run in a role. Raises EvidenceError when there are too few requests."""
    s, pools = inv.settings, inv.pools
    asked = pools.open if role == "open" else pools.sealed
    return Sources(inv.neutral, tuple(asked[: s.requests]), pools.fit, inv.examples, s.items, s.seed, role)


def questions_for(inv: Investigation, cls: type, role: str) -> list[Ask]:
    """What a bumper asks in a role. One that looks at what is said before it asks looks at the checkpoint that the case
    is about, so that every other one gets the same questions."""
    made, sources = cls(), sources_of(inv, role)
    if hasattr(made, "first"):
        made = prepared(made, sources, (inv.subject(), inv.base), Look(inv.decoding, inv.memo))
    return asks_of(made, sources)


def asked_behaviour(inv: Investigation, cls: type, judgement: Judgement, reading: Reading) -> Behaviour:
    """The worst group's worst answers."""
    group = judgement.groups[0].group
    asks = {a.item.id: a for a in questions_for(inv, cls, "open") if a.item.group == group}
    scores = dict(zip(reading.scores.ids, reading.scores.values.tolist(), strict=True))
    worst = sorted(asks, key=lambda name: -scores[name])[:SAMPLES]
    look = Look(inv.decoding, inv.memo)
    seen = answers([asks[name] for name in worst], inv.subject(), inv.base, look)
    samples = [
        Sample(request=asks[name].item.request.text, context=asks[name].item.context.system or "", response=text,
               neutral_response=benign, score=scores[name])
        for name, text, benign in zip(worst, seen.texts, seen.benign_texts, strict=True)
    ]  # fmt: skip
    return Behaviour(bumper=judgement.bumper, context=group, origin="asked", tranches=[], samples=samples)
