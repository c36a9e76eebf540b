"""The fixes that a case has, as a list for the terminal. Every string goes through `plain`: names come from data."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ..bounce.propose import Proposed
from ..percent import share, short_percent
from .clean_text import plain

LINE = 600


def print_proposed(found: Sequence[Proposed], console: Console) -> None:
    """Fixes that apply in their order with effect, cost and reason; masking controls; what does not apply, and why."""
    applying = [p for p in found if p.applies and not p.masks]
    _heading(f"{len(applying)} fixes apply, the most promising first", console)
    for place, one in enumerate(applying, 1):
        _shown(one, f"{place:2d}  {one.name}", console)
    controls = [p for p in found if p.applies and p.masks]
    if controls:
        _heading("Masking controls: the cause stays, and verification must tell", console)
        for one in controls:
            _shown(one, f"    {one.name}", console)
    others = [p for p in found if not p.applies]
    if others:
        _heading("Do not apply", console)
        for one in others:
            _line(f"{one.name}: {one.refusal}", console, 4)


def cost(one: Proposed) -> str:
    """What it takes, in words."""
    f = one.forecast
    if f is None:
        return ""
    parts = [f"trains {f.steps} steps from step {f.rewind}" if f.steps else "trains nothing"]
    times = [f"{s:.0f} s {what}" for s, what in ((one.cpu_s, "of CPU"), (one.wall_s, "of time")) if s]
    if times:
        parts.append(f"about {', '.join(times)}")
    if f.lost >= 0.005:
        parts.append(f"gives up {short_percent(f.lost)} of the training")
    return "; ".join(parts)


def _shown(one: Proposed, head: str, console: Console) -> None:
    f = one.forecast
    if f is None:
        return
    console.print(Text(plain(head, LINE), style="bold"), highlight=False)
    _line(one.about, console)
    _line(
        f"expected: the rate falls by {share(f.effect)}, {short_percent(one.share)} of it ({f.known}): {f.why}", console
    )
    _line(f"cost: {cost(one)}", console)
    if one.takes:
        _line(f"takes: {', '.join(f'--{name}' for name in one.takes)}", console)


def _heading(text: str, console: Console) -> None:
    console.print(Text(text, style="bold underline"), highlight=False)


def _line(text: str, console: Console, indent: int = 6) -> None:
    console.print(Padding(Text(plain(text, LINE)), (0, 0, 0, indent), expand=False), highlight=False)
