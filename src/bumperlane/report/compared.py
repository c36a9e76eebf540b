"""Two cases on one screen."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..judge.compare import Comparison
from . import sentences as say
from .clean_text import plain

STYLES = {"worse": "bold red", "better": "bold green", "same": "bold", "not comparable": "bold yellow"}
LINE, MOST = 300, 8


def print_compared(found: Comparison, console: Console) -> None:
    """Print a comparison: the ending, what forbids one, recipes, bumpers, shared contexts that moved, and the loop."""

    def out(text: str, style: str = "") -> None:
        console.print(Text(plain(text, LINE), style=style), highlight=False)

    console.print(Text(found.ending.upper(), style=STYLES[found.ending]), highlight=False)
    out(found.why)
    out(f"A  {found.a}  {found.verdicts[0]}\nB  {found.b}  {found.verdicts[1]}".replace("\n", "   "))
    for note in found.notes:
        out(f"note: {note}", "yellow")
    console.print(_bumpers(found), highlight=False)
    if found.moved:
        console.print(_contexts(found), highlight=False)
    if found.recipe:
        out("Recipe, A to B", "dim")
        for line in found.recipe.splitlines():
            out(f"  {line}")
    for name, (a, b) in (("onset", found.onsets), ("bounce", found.bounces), *found.causes.items()):
        out(f"{name}: {a} in A, {b} in B" if a != b else f"{name}: {a} in both")
    changed = {name: pair for name, pair in found.checks.items() if pair[0] != pair[1]}
    for name, (a, b) in changed.items():
        out(f"check {name}: {a} in A, {b} in B")


def _bumpers(found: Comparison) -> Table:
    table = _table("bumper", "A", "B", "change", "worst in A", "worst in B", "B − A, 95%")
    table.columns[0].no_wrap = True
    for p in found.bumpers:
        difference = say.points(p.difference) + ("" if p.same_context else " *") if p.difference else "–"
        cells = [p.bumper, p.a, p.b, p.change, say.rate(p.rate_a), say.rate(p.rate_b), difference]
        style = {"gained": "red", "lost": "green", "sight lost": "yellow", "only in one": "yellow"}.get(p.change, "")
        table.add_row(*(Text(plain(cell, 60), style=style) for cell in cells))
    if any(p.difference and not p.same_context for p in found.bumpers):
        table.caption = "* the worst contexts of the two are not the same one"
    return table


def _contexts(found: Comparison) -> Table:
    table = _table("context in both that moved", "bumper", "A", "B", "B − A, 95%", "p (Holm)")
    for c in found.moved[:MOST]:
        counts = [f"{over} of {of}" for over, of in (c.a, c.b)]
        cells = [c.context, c.bumper, *counts, say.points(c.difference), say.p_value(c.p_holm)]
        table.add_row(*(Text(plain(cell, 80)) for cell in cells))
    if len(found.moved) > MOST:
        table.caption = f"and {len(found.moved) - MOST} more"
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
