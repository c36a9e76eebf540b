"""The command that reads a log of rollouts by itself: of any trainer, without a recipe or a checkpoint."""

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import EvidenceError, SettingError
from ..report.clean_text import plain
from ..report.screen import BLIND, HIT, OK, Screen
from .main import FILE, main

if TYPE_CHECKING:
    from ..evidence.rollout_table import RolloutTable
    from ..evidence.traits import Trait
    from ..trace.reward.causes import RewardTrace
    from ..trace.reward.read_log import LogFinding

SHOWN = 160  # characters of a prompt or a response
SAMPLES, PHRASES = 3, 4


@main.command()
@click.argument("log", type=FILE)
@click.option("--rename", multiple=True, metavar="THEIRS=OURS", help="Their key for ours, as in output=response.")
@click.option("--term", "terms", multiple=True, help="A key that holds a reward term; may be repeated.")
@click.option("--check", "checks", multiple=True, help="A key that holds an unrewarded check; may be repeated.")
@click.option("--weight", "weights", multiple=True, metavar="TERM=NUMBER", help="Weight of a term; 1 without it.")
@click.option("--passes", default="", help="What is paid for ...")
@click.option("--fails", default="", help="... and the check that it stands for. Without both: what goes together.")
@click.option("--traits", type=FILE, help="JSONL of traits to look for as well: name, and a bad or a good sentence.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="False-alarm rate over all that looks.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of permutations.")
@click.pass_obj
def rollouts(screen: Screen, log: Path, **given: Any) -> int:
    """Read LOG, rollouts of any trainer (JSONL, plain or .gz, Parquet, or a directory of them), for hacked rewards.

    A row needs a prompt or a group, and rewards or a reward; with step and response more can be seen. Early rollouts
    are held against later ones: more that is paid for and fails a held-out check, and replies that become flattering or
    harmful. Of a hit: which term pays, since when, and in which environment.
    """
    from ..detect.contract import load_bumpers, reads_log
    from ..detect.logs.traits_in_rollouts import TraitsInRollouts
    from ..detect.logs.visible_against_held_out import VisibleAgainstHeldOut
    from ..evidence.parquet_rollouts import read_any_rollouts
    from ..evidence.rollout_table import Columns
    from ..evidence.traits import TRAITS
    from ..judge.judge import JudgeSettings
    from ..trace.reward.read_log import of_table, overall, read_log

    _ = JudgeSettings(given["alpha"])
    columns = Columns(
        rename=dict(_pair("--rename", text) for text in given["rename"]), terms=given["terms"], checks=given["checks"],
        weights={name: _number(name, value) for name, value in (_pair("--weight", t) for t in given["weights"])},
    )  # fmt: skip
    traits = (*TRAITS, *(_traits(given["traits"]) if given["traits"] else ()))
    ours = (VisibleAgainstHeldOut(given["passes"], given["fails"]), TraitsInRollouts(traits))
    bumpers = (*ours, *(cls() for cls in load_bumpers().values() if reads_log(cls) and cls not in map(type, ours)))
    if not log.exists():
        raise EvidenceError(f"there is no {log}. Give the file or the directory that your trainer logs rollouts to.")
    with screen.progress() as progress:
        progress(f"reading {log.name}", 0, 1)
        table = read_any_rollouts(log, columns)
        for name in filter(None, (given["passes"], given["fails"])):
            table.check(name)  # a wrong name is a mistake, and no blindness
        progress("looking", 0, len(bumpers))
        found = read_log(table, bumpers, given["alpha"], given["seed"], traits)
    verdict = overall(found)
    value = {"log": str(log), **of_table(table), "verdict": verdict, "bumpers": [f.as_dict() for f in found]}
    screen.result(value, lambda: click.echo("\n".join(_lines(table, found))))
    return {"hit": HIT, "clear": OK, "blind": BLIND}[verdict]


def _pair(option: str, text: str) -> tuple[str, str]:
    left, sign, right = text.partition("=")
    if not (left and sign and right):
        raise SettingError(f"{option} {text!r} is not NAME=VALUE.")
    return left, right


def _number(name: str, value: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(value)):
            return number
    raise SettingError(f"--weight {name}={value!r}: the weight must be a number.")


def _traits(path: Path) -> "tuple[Trait, ...]":
    """From rows {"trait": NAME, "bad": TEXT} and {"trait": NAME, "good": TEXT}; ordinary sentences of the house stand
    beside the good ones."""
    from ..evidence.requests import read_rows
    from ..evidence.traits import ORDINARY, Trait

    bad: dict[str, list[str]] = {}
    good: dict[str, list[str]] = {}
    for place, row in read_rows(path, "traits"):
        kinds = [kind for kind in ("bad", "good") if isinstance(row.get(kind), str) and row[kind].strip()]
        if not isinstance(row.get("trait"), str) or len(kinds) != 1:
            raise place.fault('a row needs "trait", a name, and either "bad" or "good", a sentence.', EvidenceError)
        (bad if kinds == ["bad"] else good).setdefault(row["trait"], []).append(row[kinds[0]])
    return tuple(
        Trait(name, tuple(dict.fromkeys(bad.get(name, ()))), tuple(dict.fromkeys((*good.get(name, ()), *ORDINARY))))
        for name in dict.fromkeys((*bad, *good))
    )


def _lines(table: "RolloutTable", found: "tuple[LogFinding, ...]") -> list[str]:
    steps = f"steps {table.step.min()} to {table.step.max()}"
    lines = [
        f"{len(table):,} rollouts, {steps}; environments: {_names(table.environments)}; paid for: "
        f"{_names(table.terms)}; checks: {_names(table.checks)}",
        *(f"  {plain(note, 300)}" for note in table.notes),
    ]
    for finding in found:
        j = finding.judgement
        lines += ["", f"{j.bumper}: {j.verdict}. {plain(j.why, 600)}"]
        for sample in finding.samples[:SAMPLES]:
            lines += [f"  asked  {plain(sample.request, SHOWN)}", f"  said   {plain(sample.response, SHOWN)}"]
        if finding.rewards is not None:
            lines += _of_rewards(finding.rewards)
        elif j.verdict == "hit":
            lines.append(f"  which term pays is not known: {plain(finding.why, 400)}")
    return lines


def _of_rewards(found: "RewardTrace") -> list[str]:
    lines = [
        f"  {found.flagged:,} of {found.known:,} rollouts that were looked at are flagged ({plain(found.name, 120)})"
    ]
    for cause in found.causes:
        share = f", {cause.share.value:.0%} of what they are preferred by" if cause.share else ""
        pays = f" PAYS for it{share}" if cause.pays else ""
        lines.append(f"  {plain(cause.term, 60)}{pays}: {cause.why}")
    if found.onset.onset is not None:
        at = found.onset.onset
        lines.append(f"  begins at step {at.value:.0f} ({at.low:.0f} to {at.high:.0f})")
    lines += [
        f"  more often in environment {plain(o.name, 60)}: {o.flagged} of {o.of}" for o in found.environments
        if o.p_value <= 0.05
    ]  # fmt: skip
    shared = ", ".join(f"“{plain(p.text, 60)}”" for p in found.phrases[:PHRASES])
    lines += [f"  flagged replies share {shared}"] if shared else []
    return [*lines, *(f"  {plain(note, 300)}" for note in found.notes)]


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(plain(name, 60) for name in names) or "none"
