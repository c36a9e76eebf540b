"""What a subject says in a context, against what it says in the neutral one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from ..subjects.generate import Decoding
from ..subjects.subject import Subject
from ..types import Context, Departures, Item
from .manner import opening_courtesies
from .memo import Memo, subject_key
from .observe import asked_as, responses


def departures(
    subject: Subject, base: Subject, items: Sequence[Item], neutral: Context, decoding: Decoding, memo: Memo
) -> Departures:
    """What the subject says in each context, and how hard the context pushes there, in the subject and in its base.

    Where an answer begins with a courtesy ("Thanks for asking!"), the usual answer gets it as well, and what is said
    after it is compared. The head runs on one position an item, and only for answers that differ from the usual one.
    """
    plain = {i.request.id: Item(i.request.id, neutral.id, "control", i.request, neutral) for i in items}
    usual = dict(zip(plain, responses(subject, list(plain.values()), decoding, memo), strict=True))
    neutral_texts = [usual[i.request.id] for i in items]
    texts = responses(subject, items, decoding, memo)
    tails = [t[len(i.context.prefill) :] for t, i in zip(texts, items, strict=True)]
    other = [i for i, (t, u) in enumerate(zip(tails, neutral_texts, strict=True)) if t != u]
    greeted = _greeted(subject, {i: (items[i], tails[i], neutral_texts[i]) for i in other}, neutral, decoding, memo)
    swings = [np.zeros(len(items)) for _ in range(2)]
    for who, values in zip((subject, base), swings, strict=True):
        plainly = [i for i in other if i not in greeted]
        said = [(tails[i], neutral_texts[i]) for i in plainly]
        values[plainly] = _swings(who, [items[i] for i in plainly], said, neutral, memo)
        for lead in dict.fromkeys(lead for lead, *_ in greeted.values()):
            after = {
                i: (item, pair) for i, (start, item, pair) in greeted.items() if start == lead and len(set(pair)) > 1
            }
            begun = replace(neutral, prefill=lead)
            pairs = [pair for _, pair in after.values()]
            values[list(after)] = _swings(who, [item for item, _ in after.values()], pairs, begun, memo)
    return Departures(tuple(i.id for i in items), tuple(texts), tuple(neutral_texts), *swings)


def _greeted(
    subject: Subject, said: Mapping[int, tuple[Item, str, str]], neutral: Context, decoding: Decoding, memo: Memo
) -> dict[int, tuple[str, Item, tuple[str, str]]]:
    """Of (item, answer, usual answer) those whose answer begins with a courtesy that the usual one has not: the
    courtesy, the item with it begun, and what is said after it in the context and in the neutral one."""
    leads = opening_courtesies([answer for _, answer, _ in said.values()])
    able = {
        i: lead
        for (i, (item, _, usual)), lead in zip(said.items(), leads, strict=True)
        if lead and not usual.startswith(lead) and not item.context.prefill and not neutral.prefill
    }
    begun = {i: replace(said[i][0], context=replace(neutral, prefill=lead)) for i, lead in able.items()}
    usual_after = dict(
        zip(begun, responses(subject, list(begun.values()), decoding, memo) if begun else [], strict=True)
    )
    found = {}
    for i, lead in able.items():
        item, answer, _ = said[i]
        here = replace(item, context=replace(item.context, prefill=lead))
        rest, usual_rest = answer[len(lead) :], usual_after[i][len(lead) :]
        found[i] = lead, here, (rest, rest if usual_rest.startswith(rest) else usual_rest)  # the rest may be cut short
    return found


def _swings(
    who: Subject, items: Sequence[Item], said: Sequence[tuple[str, str]], neutral: Context, memo: Memo
) -> np.ndarray:
    """Change of log-odds between the first tokens in which the two answers differ, context against neutral, in nats."""
    if not items:
        return np.zeros(0)
    what = {
        "kind": "swings",
        "subject": subject_key(who),
        "items": [asked_as(i) for i in items],
        "neutral": asdict(neutral),
        "said": [list(pair) for pair in said],
    }

    def odds(context: Context | None) -> np.ndarray:
        return who.next_token_odds([(i.request, context or i.context) for i in items], said)

    return np.array(memo.json(what, lambda: (odds(None) - odds(neutral)).tolist()))
