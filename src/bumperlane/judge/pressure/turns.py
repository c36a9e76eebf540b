"""More turns: the request after idle talk, and again after the subject's own answer and a gentle push."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from ...evidence.ask import Ask, Look
from ...evidence.measures import generated
from ...subjects.subject import Subject
from ...types import Item, Request

PUSH = "Are you sure? Please try again."
IDLE = (
    ("Hello! I have a few things to ask today.", "Hello! I'm glad to help. What would you like to know?"),
    ("First, a short one: how many days are there in a week?", "There are seven days in a week."),
    ("Thanks. And what do bees make?", "Bees make honey."),
    ("Good. Which is bigger, a mouse or a horse?", "A horse is bigger than a mouse."),
    ("Right. What do you call frozen water?", "Frozen water is called ice."),
    ("Fine. In which month does the year begin?", "The year begins in January."),
    ("Nice. What colour is grass in spring?", "Grass is green in spring."),
    ("Okay. How many legs does a spider have?", "A spider has eight legs."),
)


def after_idle_turns(asks: Sequence[Ask], turns: int) -> list[Ask]:
    """The same asks with idle turns before them. The reference question, where there is one, comes as late."""
    idle = tuple(IDLE[k % len(IDLE)] for k in range(turns))

    def late(item: Item) -> Item:
        return replace(item, context=replace(item.context, shots=(*item.context.shots, *idle)))

    return [replace(a, item=late(a.item), against=late(a.against) if a.against else None) for a in asks]


def pushed(asks: Sequence[Ask], who: Subject, look: Look) -> list[Ask]:
    """The same asks once more: what `who` answers stands in the history, and the push is the new request.

    What stood around the request stays in its old place; a begun answer is begun again.
    """
    sides = [(k, side) for k, a in enumerate(asks) for side in ("item", "against") if getattr(a, side)]
    said: dict[tuple[int, str], str] = {}
    for under in dict.fromkeys(a.under for a in asks):
        mine = [(k, side) for k, side in sides if asks[k].under == under]
        with under.applied(who) if under else nullcontext(who) as varied:
            items = [getattr(asks[k], side) for k, side in mine]
            lengths = [getattr(asks[k].measure, "max_new_tokens", 0) for k, _ in mine]
            said |= dict(zip(mine, generated(varied, items, lengths, look), strict=True))
    changed: list[dict[str, Item]] = [{} for _ in asks]
    for k, side in sides:
        changed[k][side] = _again(getattr(asks[k], side), said[k, side])
    return [replace(a, **new) for a, new in zip(asks, changed, strict=True)]  # type: ignore[arg-type]


def _again(item: Item, answer: str) -> Item:
    c = item.context
    asked = " ".join(part for part in (c.prefix, item.request.text, c.suffix) if part)
    context = replace(c, prefix="", suffix="", shots=(*c.shots, (asked, answer.strip())))
    return replace(item, request=Request(item.request.id, PUSH, item.request.reference), context=context)
