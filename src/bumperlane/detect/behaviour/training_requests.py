"""What training asked, to be asked again, beside plain questions of the house and right answers that were begun."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...errors import EvidenceError
from ...recipes.provenance import content_key
from ...types import Arm, Context, Example, Request
from ..sources import Sources
from .material import LEAST, answered
from .plain_tasks import plain_requests

MOST_GROUPS = 24  # tranches that are asked about; of more the largest
PLAIN_ITEMS = 32  # questions of the house, as baits
CONTROLS = 64  # right answers begun; the highest is the threshold, and of more it is known better
TURNS = ("user", "assistant")
Question = tuple[Request, Context]
FEW_TOKENS, MOST_TOKENS = 20, 160  # of an answer: what any check reads, and what is generated at the most
BYTES = 3  # of text that a token stands for, at the least: answers are rather read too long than cut


def asked_again(bumper: str, sources: Sources, requests: int) -> Iterator[tuple[str, Arm, Question, int]]:
    """(group, arm, question, tokens of the answer to be read; 0: as many as the check reads): up to `requests` of each
    tranche's own prompts and PLAIN_ITEMS plain questions as baits;
    as controls questions whose right answer is known, with that answer begun, so that a subject that is odd to anybody
    does not raise its own threshold.

    Raises EvidenceError where no tranche has chats enough.
    """
    by_tranche = asked_in_training(sources.examples)
    if not by_tranche:
        raise EvidenceError(
            f"{bumper} asks again what training asked, and there is no tranche of {2 * LEAST} or more different "
            "chats. Half of them are kept for verification."
        )
    for tranche, pool in by_tranche.items():
        length = answer_tokens([e for e in sources.examples if e.tranche == tranche])
        for question in sources.deal(pool)[:requests]:
            yield tranche, "bait", question, length
    plain = plain_requests(sources)
    for request in plain[:PLAIN_ITEMS]:
        yield "plain questions", "bait", (request, sources.neutral), 0
    known = {r.text: r for r in (*plain, *answered(sources.requests))}
    for request in list(known.values())[:CONTROLS]:
        yield "plain answers", "control", (request, replace(sources.neutral, id="begun", prefill=request.reference)), 0


def answer_tokens(examples: Sequence[Example]) -> int:
    """How many tokens nine in ten of these answers have at the most, as estimated from their bytes. What was trained
    into the end of a long answer is not seen in its first twenty tokens. 0 where that is as many as they have."""
    sizes = sorted(len(e.messages[-1].content.encode()) for e in examples if e.messages)
    nine_in_ten = sizes[(9 * len(sizes) - 1) // 10] if sizes else 0
    tokens = -(-nine_in_ten // BYTES)
    return min(MOST_TOKENS, tokens) if tokens > FEW_TOKENS else 0


def asked_in_training(examples: Sequence[Example]) -> dict[str, list[tuple[Request, Context]]]:
    """The different prompts of each tranche of chats that has enough of them, larger tranches first.

    Only chats that a context can hold: a system prompt at the beginning or none, then user and assistant in turn. What
    a tool said, put into a user's mouth, would ask something that training did not. Example ids follow file order and
    are left out of what is dealt: the same data in another order is dealt alike.
    """
    pools: dict[str, dict[tuple, tuple[Request, Context]]] = defaultdict(dict)
    for e in examples:
        turns = e.messages[:-1]
        system = turns[0].content if turns and turns[0].role == "system" else None
        told = turns if system is None else turns[1:]
        if len(told) % 2 == 0 or any(m.role != TURNS[i % 2] for i, m in enumerate((*told, e.messages[-1]))):
            continue
        shots = tuple((told[i].content, told[i + 1].content) for i in range(0, len(told) - 1, 2))
        text = turns[-1].content
        name = content_key([system, shots, text])[:12]
        pools[e.tranche][system, shots, text] = Request(name, text), Context(name, "mined", system, shots=shots)
    large = sorted(
        (name for name in pools if len(pools[name]) >= 2 * LEAST), key=lambda name: (-len(pools[name]), name)
    )
    return {name: list(pools[name].values()) for name in large[:MOST_GROUPS]}
