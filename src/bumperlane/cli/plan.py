"""Commands about plans: seal one before the first sample, and see what was changed since."""

from pathlib import Path

import click

from ..report.clean_text import named
from ..report.screen import HIT, OK, Commands, Screen
from .main import FILE, main


@main.group(cls=Commands)
def plan() -> None:
    """Seal thresholds, bumpers, sample sizes and analysis before the first sample, and show later deviations."""


@plan.command()
@click.argument("file", metavar="PLAN", type=FILE)
@click.option("--timestamp", type=FILE, help="A third party's proof of time of the plan's hash; kept as it is.")
@click.pass_obj
def seal(screen: Screen, file: Path, timestamp: Path | None) -> int:
    """Hash PLAN (a YAML file) and write PLAN.sealed.json beside it, with the time and the git commit.

    A timestamp can be added later: seal, have the hash stamped, and seal again with --timestamp. Exit code 1 when
    samples lie there already: the seal is written and says so, and no claim is supported by it.
    """
    from ..claims.sealing import seal as made
    from ..claims.sealing import sealed_file

    found = made(file, timestamp)
    git = "no git commit shows it"
    if found.git:
        held = "which holds the plan" if found.git.plan_in_commit else "which does NOT hold the plan: commit it first"
        git = f"at commit {found.git.commit[:12]}, {held}"
    lines = [f"sha256 {found.sha256}", f"sealed at {found.sealed_at:%Y-%m-%d %H:%M:%S %Z}, {git}"]
    lines.append(f"timestamp {found.timestamp.file}" if found.timestamp else "no timestamp by a third party")
    lines += [f"SEALED AFTER THE FIRST SAMPLE: {named(s)}" for s in found.samples_there]
    lines.append(f"in {sealed_file(file)}")
    screen.result(found.model_dump(mode="json"), lambda: click.echo("\n".join(lines)))
    return HIT if found.samples_there else OK


@plan.command()
@click.argument("file", metavar="PLAN", type=FILE)
@click.pass_obj
def check(screen: Screen, file: Path) -> int:
    """Show what was changed in PLAN since it was sealed, field by field. Exit code 1 when anything was, or when it was
    sealed after the first sample."""
    from ..claims.sealing import deviations, read_seal

    found, held = deviations(file), read_seal(file)
    late = [f"sealed after the first sample: {s}" for s in held.samples_there]
    lines = [*late, *(f"deviation: {d.text}" for d in found)] or [
        f"as it was sealed at {held.sealed_at:%Y-%m-%d %H:%M:%S %Z}"
    ]
    value = {
        "sha256": held.sha256, "sealed_at": held.sealed_at.isoformat(), "samples_there": held.samples_there,
        "deviations": [{"field": d.field, "sealed": d.sealed, "now": d.now} for d in found],
    }  # fmt: skip
    screen.result(value, lambda: click.echo("\n".join(map(named, lines))))
    return HIT if found or late else OK
