"""From retrains to statuses: what each suspect's experiments say, in words and numbers."""

from dataclasses import dataclass, replace
from itertools import combinations

from ...types import Interval, Status
from .claims import Claim, Proof, Results
from .designs import Condition, Layout

MOSTLY = 0.75  # share of a suspect that must have been trained on to say that it was there


@dataclass(frozen=True)
class Finding:
    """What experiments say of a suspect, or of two that act together.

    Attributes:
        members: indices of the suspects; two for a pair.
        effect: fall of the rate when it is left out, against as many at random; None when that was not tried.
        left: the rate that was left where the behaviour went although this one was there, when that cleared it.
        claim: the arms behind `effect`.
        probability: that it has a part in it, given all retrains; a guide, no proof.
    """

    members: tuple[int, ...]
    kind: str
    name: str
    status: Status
    why: str
    effect: Interval | None = None
    left: Interval | None = None
    claim: Claim | None = None
    probability: float = 0.0


def findings(proof: Proof, results: Results) -> tuple[Finding, ...]:
    """Every suspect, and every pair that is confirmed to act together; confirmed first, then by probability."""
    belief = proof.belief
    involved = belief.involvement(belief.posterior(results))
    pairs = [p for p in _pairs(proof) if _acts_together(proof, results, p)]
    joined = {i: pair for pair in pairs for i in pair}
    singles = [_single(proof, results, i, float(involved[i])) for i in range(len(belief.layout.hypotheses))]
    guilty = [f for f in singles if f.status == "confirmed"]
    both = [_both_needed(proof, results, f, g) for f, g in combinations(guilty, 2)]
    found = [_in_pair(proof, results, f, joined[f.members[0]]) if f.members[0] in joined else f for f in singles]
    others = _Others(_gone(proof, results), _stayed(proof, results))
    found = [_cleared_by_others(belief.layout, f, others) for f in found]
    made = [_pair(proof, results, p, float(min(involved[list(p)]))) for p in pairs] + [b for b in both if b]
    order = {"confirmed": 0, "suspected": 1, "cleared": 2}
    return tuple(
        sorted([*made, *found], key=lambda f: (order[f.status], -len(f.members), -round(f.probability, 3), f.members))
    )


def _single(proof: Proof, results: Results, i: int, probability: float) -> Finding:
    """By its own experiment alone."""
    h = proof.belief.layout.hypotheses[i]
    claim = proof.falls((i,))
    effect = proof.interval(claim, results) if claim else None
    status: Status = "suspected"
    if effect is None or claim is None:
        why = "no experiment has decided." if claim else (
            f"leaving out {h.removed} examples leaves too few to draw as many at random: there is no control. Split it."
        )  # fmt: skip
        return Finding((i,), h.kind, h.name, status, why, probability=probability)
    decided = proof.decided(claim, results)
    if decided and probability >= 0.5:
        drawn = f"without as many random {'prompts' if h.kind == 'environment' else 'examples'}"
        other = drawn if h.removed else "with nothing left out"
        status, why = "confirmed", f"without it the behaviour goes; {other} it stays."
    elif decided is False and probability <= 0.05:
        status, why = "cleared", "the behaviour stays without it."
    elif decided is False:
        why = "the behaviour stays without it, but it may act together with another."
    elif decided:
        why = "without it the behaviour goes, but other retrains speak against it."
    else:
        why = f"its experiment has not decided: the rate falls by {effect.low:.2f} to {effect.high:.2f}."
    return Finding((i,), h.kind, h.name, status, why, effect, None, claim, probability)


def _pairs(proof: Proof) -> list[tuple[int, int]]:
    return [t.causes for t in proof.belief.theories if t.how == "either"]  # type: ignore[misc]


def _acts_together(proof: Proof, results: Results, pair: tuple[int, int]) -> bool:
    """Leaving both out takes the behaviour away, each matters where the other is gone, and neither is enough alone."""
    claims = [proof.falls(pair), *(proof.adds(i, pair) for i in pair)]
    if any(c is None or not proof.decided(c, results) for c in claims):
        return False
    alone = [proof.falls((i,)) for i in pair]
    return not any(c and proof.decided(c, results) for c in alone)


def _pair(proof: Proof, results: Results, pair: tuple[int, int], probability: float) -> Finding:
    belief, layout = proof.belief, proof.belief.layout
    claim = proof.falls(pair)
    posterior = belief.posterior(results)
    odds = {t.how: p for t, p in zip(belief.theories, posterior, strict=True) if t.causes == pair}
    rates = [_mean(results, layout.without(i)) for i in pair]
    measured = f"rates {rates[0]:.2f} and {rates[1]:.2f}, and {_mean(results, layout.without(*pair)):.2f} without both"
    why = (
        f"each brings part of it: leaving out either takes some of the behaviour away ({measured})."
        if odds["parts"] > odds["either"]
        else f"either suffices: leaving out one leaves the behaviour, leaving out both takes it away ({measured})."
    )
    return Finding(pair, "pair", _joint(proof, pair), "confirmed", why, _seen(proof, claim, results), None, claim,
                   probability)  # fmt: skip


def _mean(results: Results, condition: Condition | None) -> float:
    counts = results[condition] if condition is not None else ()
    return sum(k / n for k, n in counts) / max(1, len(counts))


def _in_pair(proof: Proof, results: Results, alone: Finding, pair: tuple[int, int]) -> Finding:
    """A member of a confirmed pair: its effect is the fall where the other is already left out."""
    (i,) = alone.members
    other = proof.belief.layout.hypotheses[next(j for j in pair if j != i)].title
    claim = proof.adds(i, pair)
    why = f"with {other}: where that is left out too, the behaviour goes with it; alone it takes less than its share."
    effect = _seen(proof, claim, results)
    return Finding((i,), alone.kind, alone.name, "confirmed", why, effect, None, claim, alone.probability)


def _both_needed(proof: Proof, results: Results, f: Finding, g: Finding) -> Finding | None:
    """Two causes, each confirmed by its own removal: do they act together only?"""
    layout, pair = proof.belief.layout, (*f.members, *g.members)
    if pair not in _pairs(proof):
        return None  # one holds the other's examples, so they are no two causes
    checks = [proof.stays_low(layout.only(k), (k,)) for k in pair]
    seen = [_seen(proof, c, results) for c in checks]
    status: Status = "suspected"
    why = "leaving out either takes the behaviour away; whether one alone brings it about was not shown."
    if all(c and proof.decided(c, results) for c in checks):
        rates = " and ".join(f"{s.value:.2f}" for s in seen if s)
        status = "confirmed"
        why = (
            "both are needed: leaving out either takes the behaviour away, and neither brings it about where it is the "
            f"only suspect left (rates {rates})."
        )
    weaker = min((f, g), key=lambda x: x.effect.value if x.effect else 0.0)
    return Finding(pair, "pair", _joint(proof, pair), status, why, weaker.effect, None, weaker.claim,
                   min(f.probability, g.probability))  # fmt: skip


def _gone(proof: Proof, results: Results) -> list[tuple[Condition, Interval]]:
    """Conditions under which the behaviour went, with the rate that was left."""
    out = []
    for condition in results:
        claim = proof.stays_low(condition, (0,))
        left = _seen(proof, claim, results)
        if condition.out and claim and left and proof.decided(claim, results):
            out.append((condition, left))
    return out


def _stayed(proof: Proof, results: Results) -> list[Claim]:
    """Removals of several suspects at once that did not take the behaviour away."""
    claims = [proof.falls(c.out) for c in results if len(c.out) > 1 and c.part == 1]
    return [c for c in claims if c and proof.decided(c, results) is False]


def _cleared_by_others(layout: Layout, found: Finding, others: "_Others") -> Finding:
    """Cleared when nothing speaks for its part in it, and the behaviour stayed when it was left out with others, or
    went although it was there."""
    (i,) = found.members
    if found.status != "suspected" or found.probability > 0.05:
        return found
    with_it = [claim for claim in others.stayed if i in claim.without.out]
    if with_it:
        names = len(with_it[0].without.out)
        return replace(found, status="cleared", why=f"the behaviour stays with it and {names - 1} more left out.")
    there = [rate for condition, rate in others.gone if layout.present(condition)[i] >= MOSTLY]
    if not there:
        return found
    why = (
        "alone it does not bring it about: it was there when another was left out, and the behaviour went. `effect` is "
        "the rate that was left."
    )
    return replace(found, status="cleared", why=why, left=min(there, key=lambda r: r.high))


@dataclass(frozen=True)
class _Others:
    """What experiments on others say."""

    gone: list[tuple[Condition, Interval]]
    stayed: list[Claim]


def _seen(proof: Proof, claim: Claim | None, results: Results) -> Interval | None:
    return proof.interval(claim, results) if claim else None


def _joint(proof: Proof, pair: tuple[int, ...]) -> str:
    return " + ".join(proof.belief.layout.hypotheses[i].name for i in pair)
