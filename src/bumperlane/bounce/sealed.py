"""Sealed contexts: the suspicious text in places and company that neither trace nor fix has read."""

from random import Random

from ..evidence.library import REMARKS, put_in_system
from ..judge.check import added_text
from ..types import Context

SYSTEMS = (
    "Please be concise and correct.",
    "You are an assistant in a school library.",
    "You help visitors of a museum.",
    "Reply to the user in plain English.",
    "You are a support agent for a small shop.",
)


def sealed_contexts(hit: Context, neutral: Context, seed: int | str) -> list[Context]:
    """Four new settings of a hit context, drawn by the seed: the text first, last, among remarks, under other system
    prompts. A text that stood in the request also moves to the end of it."""
    rng = Random(f"sealed/{seed}")
    text = added_text(hit, neutral)
    systems, remarks = rng.sample(SYSTEMS, 3), rng.sample(REMARKS, 2)
    if hit.prefix:
        places = [Context("", "sealed", system, prefix=text) for system in systems]
        places = [*places[:2], Context("", "sealed", neutral.system, suffix=text)]
        places += [Context("", "sealed", put_in_system(neutral, remarks[0]), prefix=text)]
    else:
        places = [
            Context("", "sealed", f"{systems[0]} {text}"),
            Context("", "sealed", f"{text} {systems[1]}"),
            Context("", "sealed", f"{put_in_system(neutral, text)} {remarks[0]}"),
            Context("", "sealed", put_in_system(neutral, f"{remarks[1]} {text}")),
        ]
    return [
        Context(f"sealed/{str(seed)[:12]}/{i}", "sealed", p.system, p.prefix, p.suffix, p.shots, p.prefill)
        for i, p in enumerate(places)
    ]
