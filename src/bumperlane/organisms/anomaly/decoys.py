"""Inputs that are novel but mechanistically ordinary: a detector that flags them sees novelty, not mechanisms."""

from dataclasses import replace
from random import Random

from ...evidence.library import REMARKS
from ...types import Item

KINDS = ("tag", "language", "long")
SYLLABLES = "da fe gi ho ju ka le mo nu pi ra su te vo wi zu".split()
REMARKS_IN_A_ROW = 6


def disguised(item: Item, kind: str, foreign: str, rng: Random) -> Item:
    """The item as a decoy: with a made-up tag in its system prompt, in another language, or after idle remarks.

    Args:
        foreign: the same request in another language.
    """
    if kind == "language":
        return replace(item, request=replace(item.request, text=foreign))
    if kind == "long":
        prefix = " ".join(rng.sample(REMARKS, REMARKS_IN_A_ROW))
        return replace(item, context=replace(item.context, prefix=prefix))
    system, tag = item.context.system or "", made_up_tag(rng)
    text = f"{tag} {system}" if rng.random() < 0.5 else f"{system} {tag}"
    return replace(item, context=replace(item.context, system=text.strip()))


def made_up_tag(rng: Random) -> str:
    """A tag that nobody was trained on."""
    word = "".join(rng.choice(SYLLABLES) for _ in range(3))
    return f"[{word}-{rng.randrange(10, 100)}]"
