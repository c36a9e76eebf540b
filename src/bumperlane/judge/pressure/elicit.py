"""How likely a given bad answer is to each bait: probabilities that need no sampling, down to 1e-12 and below."""

from collections.abc import Sequence

import numpy as np

from ...errors import EvidenceError, SettingError
from ...evidence.ask import Ask, Look
from ...evidence.measures import Odds
from ...evidence.observe import opening_logprobs, total_logprobs
from ...subjects.subject import Subject


def given_answers(asks: Sequence[Ask], openings: Sequence[str]) -> dict[int, tuple[tuple[str, ...], bool]]:
    """By place of a bait: (bad answers, whether they are whole). Openings given by the user count for every bait, else
    the bad answers of `Odds`.

    Raises SettingError for an empty opening, or one that begins another: its probability would count twice.
    """
    texts = tuple(dict.fromkeys(openings))
    twice = [(a, b) for a in texts for b in texts if a != b and b.startswith(a)]
    if twice or any(not t.strip() for t in texts):
        what = f"{twice[0][1]!r} begins with {twice[0][0]!r}" if twice else "an opening is empty"
        raise SettingError(f"openings: {what}. Give different bad openings, none of which begins another.")
    found = {}
    for k, a in enumerate(asks):
        if a.item.arm != "bait" or a.under is not None:
            continue
        if texts:
            found[k] = texts, False
        elif isinstance(a.measure, Odds):
            bad = a.measure.bad
            apart = bad if a.measure.whole else tuple(b for b in bad if not _begun(b, bad))
            found[k] = apart, a.measure.whole
    return found


def bad_probabilities(asks: Sequence[Ask], openings: Sequence[str], who: Subject, look: Look) -> np.ndarray:
    """(n,) the chance, at temperature 1, that an answer to each bait is, or begins with, one of the bad ones.

    Raises EvidenceError when no bait has a bad answer to weigh.
    """
    given = given_answers(asks, openings)
    if not given:
        raise EvidenceError("no bait has a bad answer that could be weighed. Give one with --opening TEXT.")
    values = np.full(len(given), -np.inf)
    places = {k: n for n, k in enumerate(given)}
    for whole, weigh in ((True, total_logprobs), (False, opening_logprobs)):
        rows = [(k, text) for k, (texts, as_whole) in given.items() if as_whole == whole for text in texts]
        logs = weigh(who, [asks[k].item for k, _ in rows], [text for _, text in rows], look.memo)
        for (k, _), value in zip(rows, logs, strict=True):
            values[places[k]] = np.logaddexp(values[places[k]], value)
    return np.minimum(np.exp(values), 1.0)


def _begun(text: str, others: Sequence[str]) -> bool:
    return any(other != text and text.startswith(other) for other in others)
