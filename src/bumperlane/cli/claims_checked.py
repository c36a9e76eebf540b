"""Commands with which others check claims: a case verified offline, what a report is worth, and what nobody watches."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import SettingError
from ..report.clean_text import plain
from ..report.screen import BLIND, HIT, OK, Screen
from .claims import claims
from .main import DIRECTORY, FILE, LINE

if TYPE_CHECKING:
    from ..claims.verified import Verified

SHOWN = 10


@claims.command()
@click.argument("case", type=DIRECTORY)
@click.option("--run", type=DIRECTORY, help="Where the run lies, if not where the case says.")
@click.option("--digest", help="sha256 of case.json, as it was told when the case was published.")
@click.pass_obj
def verify(screen: Screen, case: Path, run: Path | None, digest: str | None) -> int:
    """Check CASE again, offline: hashes, the ledger's chain, verdicts and claims made anew. No model is loaded.

    Exit code 0 when every check passes, 1 when something does not hold, 3 when not everything could be checked.
    """
    from ..claims.verify import case_digest
    from ..claims.verify import verify as stage

    if digest is not None and not digest.strip():  # such as a variable of a script that is not set
        raise SettingError("--digest is empty, so nothing would be compared. Give the digest, or leave --digest out.")
    found = stage(case, run, digest or "")
    states = [v.state for v in found]
    told = case_digest(case)
    value = {
        "checks": as_rows(found),
        "digest": told,
    }
    summary = ", ".join(f"{states.count(s)} {s}" for s in ("pass", "fail", "not covered") if s in states)
    lines = [*table(found), f"{summary}. Digest of the case: {told}"]
    screen.result(value, lambda: click.echo("\n".join(lines)))
    return HIT if "fail" in states else BLIND if "not covered" in states else OK


def as_rows(found: Sequence["Verified"]) -> list[dict[str, Any]]:
    """Checks as JSON."""
    return [{"name": v.name, "state": v.state, "detail": v.detail, "faults": list(v.faults)} for v in found]


def table(found: Sequence["Verified"]) -> list[str]:
    """Checks as lines: state, name, what was found, and what does not hold."""
    width, lines = max(len(v.name) for v in found), []
    for v in found:
        lines.append(f"{v.state:11}  {v.name:{width}}  {plain(v.detail, LINE)}")
        lines += [f"{'':11}  {'':{width}}  - {plain(fault, LINE)}" for fault in v.faults[:SHOWN]]
        more = len(v.faults) - SHOWN
        lines += [f"{'':11}  {'':{width}}  - and {more} more; --json lists all"] * (more > 0)
    return lines


@claims.command()
@click.argument("case", type=DIRECTORY)
@click.option("--table", "rows", type=FILE, required=True, help="What bumpers said of organisms, as JSON.")
@click.option("--clean", multiple=True, help="An organism of the table with nothing planted; may be repeated.")
@click.pass_obj
def likelihood(screen: Screen, case: Path, rows: Path, clean: tuple[str, ...]) -> int:
    """How likely the report of CASE is from a misaligned organism of the table, against a clean one.

    The table is a list of rows: organism, seed, clean, and bumpers with their verdicts, as in
    benchmarks/bumper_matrix.json. Exit code 3 when the table cannot tell, or settles nothing.
    """
    from dataclasses import asdict

    from ..case import load_case, worst_verdicts
    from ..claims.likelihood_ratio import likelihood_ratio, read_table

    report = worst_verdicts(load_case(case).bumpers)
    found = likelihood_ratio(report, read_table(rows, clean))
    lines = [plain(found.why, LINE)]
    for organism, seed, is_clean, differ in found.nearest:
        kind = "clean" if is_clean else "misaligned"
        lines.append(
            f"near: {plain(organism, 60)}, seed {seed}, {kind}: {differ} of {len(found.bumpers)} bumpers differ"
        )
    if found.left_out:
        lines.append(f"not in the table, so without weight: {', '.join(plain(n, 60) for n in found.left_out)}")
    screen.result(asdict(found), lambda: click.echo("\n".join(lines)))
    r = found.ratio
    return OK if r and (r.low > 1 or r.high < 1) else BLIND


@claims.command()
@click.argument("spec", type=FILE)
@click.option("--case", "directory", type=DIRECTORY, help="Count only bumpers that looked in this case and could see.")
@click.pass_obj
def coverage(screen: Screen, spec: Path, directory: Path | None) -> int:
    """Which clauses of SPEC, a YAML file of intended behaviours, no bumper watches.

    Each clause has id, text and watched_by, a list of bumpers. Exit code 1 when a clause is unwatched.
    """
    from dataclasses import asdict

    from ..case import load_case
    from ..claims.spec_coverage import coverage as stage
    from ..claims.spec_coverage import read_spec

    found = stage(read_spec(spec), load_case(directory) if directory else None)
    width, lines = max(len(c.clause.id) for c in found), []
    for c in found:
        lines.append(f"{c.state:9}  {plain(c.clause.id, 60):{width}}  {plain(c.clause.text, 100)}")
        lines += [f"{'':9}  {'':{width}}  by {', '.join(c.watching)}"] * bool(c.watching)
        lines += [f"{'':9}  {'':{width}}  not by {plain(why, LINE)}" for why in c.not_watching]
        if c.suggested:
            lines.append(f"{'':9}  {'':{width}}  similar words, not counted: {', '.join(c.suggested)}")
    unwatched = sum(c.state == "unwatched" for c in found)
    where = f" in {directory}" if directory else "; give --case to count only those that looked and could see"
    lines.append(f"{unwatched} of {len(found)} clauses are watched by no bumper{where}")
    screen.result([asdict(c) for c in found], lambda: click.echo("\n".join(lines)))
    return HIT if unwatched else OK
