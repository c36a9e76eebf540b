"""Commands that release a random part of an evaluation's items, and check somebody else's release."""

from pathlib import Path

import click

from ..errors import SettingError
from ..report.clean_text import plain
from ..report.screen import BLIND, HIT, OK, Screen
from .claims import claims
from .claims_checked import as_rows, table
from .main import DIRECTORY, FILE, LINE


@claims.command()
@click.argument("evaluation", type=FILE)
@click.option("-n", "release", type=click.IntRange(1), required=True, help="How many items will be released.")
@click.option("--seed-from", required=True, help="Where the seed will come from, in words: something yet to come.")
@click.option("-o", "--out", type=DIRECTORY, required=True, help="For commitments.json, and secret.json to keep.")
@click.pass_obj
def commit(screen: Screen, evaluation: Path, release: int, seed_from: str, out: Path) -> int:
    """First step of a release: commit to the items of EVALUATION, a JSONL file or a case.

    Tell the digest to others, with a date, before the seed can be known.
    """
    from ..claims.release import COMMITMENTS, SECRET
    from ..claims.release import commit as stage

    made = stage(evaluation, out, release, seed_from)
    lines = [
        f"{made.items} items committed to, {made.release} to be released, seed from: {plain(made.seed_from, LINE)}",
        f"digest {made.digest}",
        f"tell the digest before the seed is public; {out / COMMITMENTS} may be public, {out / SECRET} must not be",
    ]
    value = {
        "items": made.items,
        "release": made.release,
        "root": made.root,
        "digest": made.digest,
        "written": str(out),
    }
    screen.result(value, lambda: click.echo("\n".join(lines)))
    return OK


@claims.command()
@click.argument("evaluation", type=FILE)
@click.option("--commitment", type=DIRECTORY, required=True, help="Where `claims commit` wrote.")
@click.option("--seed", required=True, help="As the public source gives it.")
@click.option("-n", "release", type=click.IntRange(1), help="How many items; it must be the number committed to.")
@click.option("-o", "--out", type=DIRECTORY, required=True, help="A new directory to give away.")
@click.pass_obj
def publish(
    screen: Screen, evaluation: Path, commitment: Path, seed: str, release: int | None, out: Path
) -> int:  # fmt: skip
    """Second step of a release: the items of EVALUATION that follow from commitment and seed, with what opens them."""
    from ..claims.release import COMMITMENTS, publish_items, read_commitments

    made = read_commitments(commitment / COMMITMENTS)
    if release not in (None, made.release):
        raise SettingError(f"-n {release}, but {made.release} were committed to: the number is fixed before the seed.")
    opened = publish_items(evaluation, commitment, seed, out)
    numbers = ", ".join(str(o.index + 1) for o in opened[:12]) + (" ..." if len(opened) > 12 else "")
    value = {"released": [o.index for o in opened], "digest": made.digest, "seed": seed.strip(), "written": str(out)}
    lines = [
        f"released {len(opened)} of {made.items} items into {out}: {numbers}",
        f"others check it with: bumperlane claims check-published {out} --digest {made.digest} --seed SEED",
    ]
    screen.result(value, lambda: click.echo("\n".join(lines)))
    return OK


@claims.command("check-published")
@click.argument("published", type=DIRECTORY)
@click.option("--digest", default="", help="As it was told before the seed was public.")
@click.option("--seed", default="", help="As the public source gives it.")
@click.option("--private", "evaluation", type=FILE, help="For an auditor: the whole evaluation ...")
@click.option("--secret", type=FILE, help="... and its secret.json.")
@click.pass_obj
def check_published(
    screen: Screen, published: Path, digest: str, seed: str, evaluation: Path | None, secret: Path | None
) -> int:
    """Check a release that somebody made: the subset was drawn and not chosen, its items are those committed to.

    Exit code 0 when all holds, 1 when something does not, 3 without the digest or the seed from elsewhere.
    """
    from ..claims.check_release import check_published as stage

    if (evaluation is None) != (secret is None):
        raise SettingError("--private and --secret go together: the evaluation and what opens its commitments.")
    found = stage(published, digest, seed, evaluation, secret)
    states = {v.state for v in found}
    screen.result({"checks": as_rows(found)}, lambda: click.echo("\n".join(table(found))))
    return HIT if "fail" in states else BLIND if "not covered" in states else OK
