"""How often does each bumper cry out where nothing is planted: on an untouched model, and on a benign finetune of it?

    python benchmarks/clean_rates.py -o runs/clean-rates
    python benchmarks/clean_rates.py --bases tiny --draws 4 --finetunes 4

Two bases: SmolLM2-135M-Instruct, on which the bumpers were made, and a tiny Llama of another size, tokenizer and chat
format that is trained here from random weights and that no bumper was ever tried on. On each: the base untouched (an
adapter that changes nothing), checked with several draws of items, and benign finetunes of several seeds. All bumpers
in one check, at 5% over all of them together. What is there already is used again; `--page` only writes the tables.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import yaml
from bumper_matrix import all_bumpers, told

from bumperlane.case import load_case
from bumperlane.judge.check import check
from bumperlane.judge.investigation import Settings
from bumperlane.judge.rates import exact_interval
from bumperlane.organisms.registry import make_organism
from bumperlane.recipes.run import Run
from bumperlane.recipes.train import train

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
UNTOUCHED = 1e-12  # a learning rate at which one step changes nothing


def tiny_base(home: Path, steps: int = 1200) -> Path:
    """A tiny Llama, trained from random weights on the six ordinary tasks: all its weights, byte by byte."""
    from tiny import make_tiny_model

    if not (home / "random" / "config.json").is_file():
        make_tiny_model(home / "random", seed=11, layers=4, d=96)
    if not (home / "taught" / "recipe.yaml").is_file():
        make_organism("clean-null", home / "taught", seed=101, base=str((home / "random").resolve()), clean=True)
        changed(home / "taught" / "recipe.yaml", steps=steps, lr=2e-3, lora=None, checkpoints={"every": steps})
    return train(home / "taught" / "recipe.yaml", home / "taught" / "run").last.path


def changed(recipe: Path, **stage: object) -> Path:
    text = yaml.safe_load(recipe.read_text())
    text["stages"][0] = {**text["stages"][0], **stage}
    recipe.write_text(yaml.safe_dump(text, sort_keys=False))
    return recipe


def subject(home: Path, base: str, kind: str, seed: int) -> Run:
    """The untouched base as a run, or a benign finetune."""
    at = home / f"{kind}-{seed}"
    if not (at / "recipe.yaml").is_file():
        make_organism("clean-null", at, seed=seed, base=base)
        if kind == "untouched":
            changed(at / "recipe.yaml", steps=1, lr=UNTOUCHED, checkpoints={"every": 1})
    return train(at / "recipe.yaml", at / "run")


def look(home: Path, run: Run, name: str, seed: int) -> None:
    at = home / "cases" / name
    if (at / "case.json").is_file():
        return
    print(f"{home.name} {name}", flush=True)
    shared = home.resolve() / "answers"  # kept under the hash of who was asked what: the base is asked once
    shared.mkdir(exist_ok=True)
    at.mkdir(parents=True, exist_ok=True)
    if not (at / "work").exists():
        (at / "work").symlink_to(shared)
    case = check(run.path, at, Settings(bumpers=all_bumpers(), seed=seed), told)
    print(f"  {case.verdict} in {case.timings_s['check']} s: {[h.bumper for h in case.hits]}", flush=True)


def rows_of(home: Path) -> list[dict]:
    rows = []
    for at in sorted(home.glob("*/cases/*/case.json")):
        base, name = at.parts[-4], at.parts[-2]
        found = {b.bumper: {"verdict": b.verdict, "why": b.why} for b in load_case(at.parent).bumpers}
        rows.append({"base": base, "subject": name, "kind": name.rsplit("-", 1)[0], "bumpers": found})
    return rows


def page(rows: list[dict]) -> str:
    groups = sorted({(r["base"], r["kind"]) for r in rows})
    bumpers = list(dict.fromkeys(b for r in rows for b in r["bumpers"]))
    lines = [
        "# False alarms where nothing is planted",
        "",
        "Made by `python benchmarks/clean_rates.py`. In each cell: hits of the checks in which the bumper could look;",
        "`blind` where it never could, `-` where it was not there yet. One check runs all bumpers at 5% over all of",
        "them together.",
        "",
        f"| bumper | {' | '.join(f'{base}, {kind}' for base, kind in groups)} |",
        "|---" * (len(groups) + 1) + "|",
    ]
    for b in bumpers:
        cells = []
        for group in groups:
            mine = [r["bumpers"] for r in rows if (r["base"], r["kind"]) == group]
            said = Counter(found[b]["verdict"] for found in mine if b in found)
            looked = said["hit"] + said["clear"]
            blind = f", {said['blind']} blind" if said["blind"] else ""
            cells.append(f"{said['hit']}/{looked}{blind}" if looked else "blind" if said else "-")
        lines.append(f"| {b} | {' | '.join(cells)} |")
    lines.append("")
    for base, kind in groups:
        mine = [r for r in rows if (r["base"], r["kind"]) == (base, kind)]
        hit = sum(any(v["verdict"] == "hit" for v in r["bumpers"].values()) for r in mine)
        interval = exact_interval(hit, len(mine))
        lines.append(f"- {base}, {kind}: {hit} of {len(mine)} checks hit ({interval.low:.2f} to {interval.high:.2f}).")
    why = Counter(
        (r["base"], b, v["why"]) for r in rows for b, v in r["bumpers"].items() if v["verdict"] in ("hit", "blind")
    )
    lines += ["", "Why blind, and what was hit:", ""]
    lines += [f"- {base}, {b}: {reason} ({n} checks)" for (base, b, reason), n in sorted(why.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", default="smollm2,tiny")
    parser.add_argument("--draws", type=int, default=3, help="checks of the untouched base, each with other items")
    parser.add_argument("--finetunes", type=int, default=3, help="benign finetunes, each with another seed")
    parser.add_argument("--page", action="store_true", help="only write the tables, of the cases that are there")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/clean-rates"))
    args = parser.parse_args()
    began = time.process_time()
    for name in [] if args.page else args.bases.split(","):
        home = args.out / name
        home.mkdir(parents=True, exist_ok=True)
        base = str(tiny_base(home / "base").resolve()) if name == "tiny" else "smollm2-135m"
        for draw in range(args.draws):
            look(home, subject(home, base, "untouched", 1), f"untouched-{draw}", draw)
        for seed in range(1, args.finetunes + 1):
            look(home, subject(home, base, "benign finetune", seed), f"benign finetune-{seed}", 0)
    rows = rows_of(args.out)
    (HERE / "clean_rates.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "clean_rates.md").write_text(page(rows))
    print(page(rows))
    print(f"{time.process_time() - began:.0f} CPU-s in this process")


if __name__ == "__main__":
    main()
