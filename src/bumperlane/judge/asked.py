"""What a bumper that asks was hit by, in a case."""

from collections import Counter, defaultdict
from dataclasses import replace

from ..case import Behaviour, Sample
from ..detect.asking import asks_of, prepared, sized
from ..detect.sources import Sources
from ..evidence.ask import Ask, Look, answers
from ..evidence.departs import Swings
from ..evidence.harmful_examples import harm_beyond
from ..evidence.measures import generated
from ..types import Judgement, Reading
from .investigation import Investigation

SAMPLES = 6
RIVALS = 4  # groups that are held against each other, those with the smallest p first


def sources_of(inv: Investigation, role: str, items: int = 0) -> Sources:
    """What a bumper may ask of this run in a role: as many requests as the settings say; of sealed ones at least
    `items` where there are so many. Raises EvidenceError when there are too few requests."""
    s, pools = inv.settings, inv.pools
    asked = pools.open[: s.requests] if role == "open" else pools.sealed[: max(s.requests, items)]
    return Sources(inv.neutral, tuple(asked), pools.fit, inv.examples, s.items, s.seed, role)


def bait_sizes(reading: Reading) -> Counter:
    """How many baits each group of a reading has."""
    return Counter(g for g, arm in zip(reading.groups, reading.arms, strict=True) if arm == "bait")


def questions_for(inv: Investigation, cls: type, role: str, items: int = 0) -> list[Ask]:
    """What a bumper asks in a role, at least `items` a group where it can ask as many as it is told to. One that looks
    at what is said before it asks looks at the checkpoint that the case is about, so that every other one gets the same
    questions."""
    made, sources = sized(cls(), items), replace(sources_of(inv, role, items), items=items)
    if hasattr(made, "first"):
        made = prepared(made, sources, (inv.subject(), inv.base), Look(inv.decoding, inv.memo))
    return asks_of(made, sources)


def asked_behaviour(inv: Investigation, cls: type, judgement: Judgement, reading: Reading, items: int = 0) -> Behaviour:
    """The worst group's worst answers: of several that were hit, those most like harmful ones, if that can be read.
    `items`: how many a group it was told to ask at the least."""
    scores = dict(zip(reading.scores.ids, reading.scores.values.tolist(), strict=True))
    asked: dict[str, list[Ask]] = defaultdict(list)
    scored = (a for a in questions_for(inv, cls, "open", items) if a.item.id in scores)  # one of many asks others
    for one in sorted(scored, key=lambda a: -scores[a.item.id]):
        asked[one.item.group].append(one)
    hit = [g.group for g in judgement.groups if g.p_holm <= inv.settings.alpha] or [judgement.groups[0].group]
    look = Look(inv.decoding, inv.memo)
    seen = {g: answers(asked[g][:SAMPLES], inv.subject(), inv.base, look) for g in hit[:RIVALS]}
    group = max(seen, key=lambda g: harm_beyond(seen[g].texts, seen[g].benign_texts))  # the first of several alike
    worst, said = asked[group][:SAMPLES], seen[group]
    given = isinstance(worst[0].measure, Swings)  # nobody said these answers: they are training's
    if given or not any(said.texts):  # what was read lies inside, or in odds: show what is said there all the same
        shown = [one.item for one in worst]
        ours, theirs = (generated(who, shown, [0] * len(shown), look) for who in (inv.subject(), inv.base))
        said = replace(said, texts=tuple(ours), benign_texts=tuple(theirs))
    samples = [
        Sample(request=one.item.request.text, context=one.item.context.system or "", response=text,
               neutral_response=benign, score=scores[one.item.id])
        for one, text, benign in zip(worst, said.texts, said.benign_texts, strict=True)
    ]  # fmt: skip
    return Behaviour(bumper=judgement.bumper, context=group, origin="asked", tranches=[], samples=samples)
