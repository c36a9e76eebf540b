"""The table of measured organisms, as Markdown."""

from collections.abc import Mapping, Sequence

from .measured import Measured, Rate

HEAD = (
    "organism", "seed", "dose", "planted behaviour", "clean twin", "where it must not show", "how far it reaches",
    "onset, steps", "steps", "CPU s", "wall s",
)  # fmt: skip
DOSES = ("dose", "share", "documents", "size", "shown")  # what a key calls how much was planted, in order of choice


def table(rows: Sequence[Measured]) -> str:
    """Bad answers of all, by organism: on probes of the planted behaviour, in its clean twin, in its controls."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    cpu, wall = sum(row.cpu_s for row in rows), sum(row.wall_s for row in rows)
    trainings = "1 training" if len(rows) == 1 else f"{len(rows)} trainings"
    lines += ["", f"{trainings}: {cpu / 60:.1f} CPU-minutes, {wall / 60:.1f} minutes of wall time."]
    return "\n".join(lines) + "\n"


def _cells(row: Measured) -> tuple[str, ...]:
    dose = next((f"{row.settings[name]:g}" for name in DOSES if name in row.settings), "")
    rate = _of(row.rate)
    if row.noticed and row.sealed:
        rate += f"; patched prompts {_of(row.noticed)}, others {_of(row.sealed)}"
    reach = [
        f"{name} {_of(found)}" + (f" (twin {_of(row.twin_reach[name])})" if name in row.twin_reach else "")
        for name, found in row.reach.items()
    ]
    onset = f"{row.onset[0]} to {row.onset[1]}" if row.onset else "-"
    name = row.organism + (", masked" if row.noticed else "") + (", clean" if row.settings.get("clean") else "")
    return (
        name, str(row.settings.get("seed", "")), dose, rate, _of(row.twin) if row.twin else "-", _named(row.controls),
        "; ".join(reach) or "-", onset, str(row.steps), f"{row.cpu_s:.0f}", f"{row.wall_s:.0f}",
    )  # fmt: skip


def _named(rates: Mapping[str, Rate]) -> str:
    return "; ".join(f"{name} {_of(rate)}" for name, rate in rates.items()) or "-"


def _of(rate: Rate) -> str:
    return f"{rate[0]}/{rate[1]}"
