"""Does an answer still answer its request? Tells a harmless change of manner from one that ignores the user."""

from collections.abc import Sequence

import numpy as np

from ..subjects.subject import Subject
from ..types import Context, Item, Request
from .memo import Memo
from .observe import total_logprobs


def relevance(
    base: Subject, requests: Sequence[Request], answers: Sequence[str], neutral: Context, memo: Memo
) -> np.ndarray:
    """Nats by which its own request makes each answer likelier than the other requests do, under the base. (n,).

    The pointwise mutual information of request and answer, with the other requests as the reference. About 0 for an
    answer that would fit any request; needs 2 or more requests.
    """
    n = len(requests)
    own = total_logprobs(base, _asked(requests, neutral), answers, memo)
    shifts = [total_logprobs(base, _asked(_turned(requests, k), neutral), answers, memo) for k in range(1, min(n, 4))]
    return own - np.mean(shifts, axis=0)


def lost_relevance(
    base: Subject, requests: Sequence[Request], said: Sequence[tuple[str, str]], neutral: Context, memo: Memo
) -> float:
    """Mean nats of relevance that answers in a context lack against the usual answers. `said`: (in context, usual)."""
    inside = relevance(base, requests, [a for a, _ in said], neutral, memo)
    usual = relevance(base, requests, [b for _, b in said], neutral, memo)
    return float((usual - inside).mean())


def _turned(requests: Sequence[Request], by: int) -> list[Request]:
    return [requests[(i + by) % len(requests)] for i in range(len(requests))]


def _asked(requests: Sequence[Request], neutral: Context) -> list[Item]:
    return [Item(r.id, neutral.id, "control", r, neutral) for r in requests]
