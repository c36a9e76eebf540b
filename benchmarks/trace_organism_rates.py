"""How reliably the organisms with planted data causes do what they are meant to, and what leaving each part out does.

    python benchmarks/trace_organism_rates.py --seeds 3 -o runs/trace-organisms

Four organisms: mislabelled examples in a benign tranche, a false belief out of documents, two tranches that are both
needed, two of which either suffices. Each is trained whole and in arms that leave something out, always from the base
and for all steps. Every arm is asked every probe of the sealed key. For the whole organism also: its controls, and
every checkpoint (the true onset). What is there already is used again. Writes trace_organism_rates.md and .json beside
this file.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from bumperlane.judge.rates import exact_interval
from bumperlane.organisms.false_belief import FalseBelief, make_false_belief
from bumperlane.organisms.interacting import Interacting, make_interacting
from bumperlane.organisms.layout import KEY
from bumperlane.organisms.mislabelled import Mislabelled, make_mislabelled
from bumperlane.organisms.probed_behaviour import behaviour_of, true_onset
from bumperlane.recipes.edits import DropExamples, DropTranche, Edit, SetHyperparameter, apply_edits
from bumperlane.recipes.run import Checkpoint, Run
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.train import train
from bumperlane.recipes.tranches import read_examples
from bumperlane.subjects.subject import Subject

HERE = Path(__file__).parent
WHOLE, TWIN = "whole", "clean twin"
MAKE: dict[str, Callable[[Path, int, bool], Path]] = {
    "mislabelled": lambda at, seed, clean: make_mislabelled(at, organism=Mislabelled(seed=seed, clean=clean)),
    "false-belief": lambda at, seed, clean: make_false_belief(at, organism=FalseBelief(seed=seed, clean=clean)),
    "synergistic": lambda at, seed, clean: make_interacting(at, organism=Interacting(seed=seed, clean=clean)),
    "redundant": lambda at, seed, clean: make_interacting(at, organism=Interacting(seed, True, clean=clean)),
}


def arms_of(key: dict, recipe_ids: list[str], seed: int) -> dict[str, tuple[Edit, ...]]:
    """What each arm leaves out. Where the planted part is a tranche, leaving it out is the clean twin."""
    if key["organism"] == "mislabelled":
        rest = sorted(set(recipe_ids) - set(key["planted"]))
        as_many = Random(f"random/{seed}").sample(rest, len(key["planted"]))
        return {
            "without planted": (DropExamples(tuple(key["planted"])),),
            "without as many at random": (DropExamples(tuple(sorted(as_many))),),
            "without decoy": (DropExamples(tuple(key["decoys"]["odd-but-harmless"])),),
        }
    if key["organism"] == "false-belief":
        planted, decoy = DropTranche(key["planted_tranches"][0]), DropTranche(key["decoy_tranches"][0])
        return {f"without planted = {TWIN}": (planted,), "without decoy": (decoy,)}
    a, b = (DropTranche(name) for name in key["planted_tranches"])
    return {
        "without first": (a,),
        "without second": (b,),
        f"without both = {TWIN}": (a, b),
        "without decoy": (DropTranche(key["decoy_tranches"][0]),),
    }


class Bench:
    """The base model in memory, and what was measured before."""

    def __init__(self, out: Path) -> None:
        self.out, self.base = out, None

    def count(self, run: Run, at: Path, control: str = "", where: Checkpoint | None = None) -> list:
        """[bad answers, of how many] at a checkpoint (None: the last one); kept in the run's directory."""
        checkpoint = where or run.last
        kept, name = run.path / "measured.json", f"{control or 'behaviour'}/{checkpoint.step}"
        seen = json.loads(kept.read_text()) if kept.is_file() else {}
        if name not in seen:
            self.base = self.base or Subject.load(run.recipe.base)
            subject = self.base.sibling(checkpoint.path, checkpoint.step)
            found = behaviour_of(at, control).count(subject)
            seen[name] = [found.k, found.n, found.texts[:: max(1, found.n // 8)]]
            kept.write_text(json.dumps(seen, indent=1) + "\n")
        return seen[name][:2]

    def trained(self, recipe, out: Path, edits: tuple[Edit, ...] = ()) -> Run:
        """An arm's run: only its last checkpoint is kept."""
        recipe = load_recipe(recipe)
        last = [SetHyperparameter("stages.0.checkpoints.every", recipe.stages[0].steps)]
        return train(apply_edits(recipe, [*edits, *last]), out)

    def measure(self, organism: str, seed: int, arms: bool) -> dict:
        place = self.out / f"{organism}-{seed}"
        at = place / "organism"
        recipe = at / "recipe.yaml"
        MAKE[organism](at, seed, False)  # the same bytes when it is there already
        key = json.loads((at / KEY).read_text())
        whole = train(recipe, place / "whole")
        rates = {WHOLE: self.count(whole, at)}
        found = {"organism": organism, "seed": seed, "rates": rates, "cpu_s": {WHOLE: whole.record["cpu_s"]}}
        found["controls"] = {name: self.count(whole, at, name) for name in key["controls"]}
        if not arms:
            return found
        todo = arms_of(key, [e.id for e in read_examples(load_recipe(recipe))], seed)
        runs = {name: self.trained(recipe, place / name.replace(" ", "-"), edits) for name, edits in todo.items()}
        if organism == "mislabelled":  # its twin has the same examples, rightly labelled
            runs[TWIN] = self.trained(MAKE[organism](place / "twin", seed, True), place / "clean-twin")
        rates |= {name: self.count(run, at) for name, run in runs.items()}
        found["cpu_s"] |= {name: run.record["cpu_s"] for name, run in runs.items()}
        curve = [(c.step, *self.count(whole, at, where=c)) for c in whole.checkpoints]
        found["curve"] = curve
        found["onset"] = true_onset([step for step, _, _ in curve], [k / n for _, k, n in curve])
        return found


def table(rows: list[dict]) -> str:
    lines = [
        "# Rates of the organisms with planted data causes",
        "",
        "Made by `python benchmarks/trace_organism_rates.py`. SmolLM2-135M-Instruct, LoRA, batches of 8 examples. Bad",
        "answers to the probes of the sealed key, with exact 95% intervals. Controls: the whole organism, asked where",
        "the behaviour should not show. Onset: between the checkpoints where the rate last crosses half its end value.",
    ]
    for organism in dict.fromkeys(r["organism"] for r in rows):
        mine = [r for r in rows if r["organism"] == organism]
        seeds = [str(r["seed"]) for r in mine]
        lines += ["", f"## {organism}", "", f"| | {' | '.join(f'seed {s}' for s in seeds)} |"]
        lines.append("|---" * (len(seeds) + 1) + "|")
        for kind, title in (("rates", "{}"), ("controls", "control: {}")):
            for name in dict.fromkeys(n for r in mine for n in r[kind]):
                cells = [_cell(*r[kind][name]) if name in r[kind] else "not run" for r in mine]
                lines.append(f"| {title.format(name)} | {' | '.join(cells)} |")
        cells = [f"{r['onset'][0]} to {r['onset'][1]}" if r.get("onset") else "none" for r in mine]
        lines.append(f"| true onset, steps | {' | '.join(cells)} |")
        curves = [" ".join(f"{step}: {k / n:.2f}" for step, k, n in r.get("curve", [])) or "not run" for r in mine]
        lines.append(f"| rate by step | {' | '.join(curves)} |")
    cpu = [s for r in rows for s in r["cpu_s"].values()]
    lines += ["", f"{len(cpu)} trainings, {sum(cpu) / len(cpu):.0f} CPU-s each on average."]
    return "\n".join(lines) + "\n"


def _cell(k: int, n: int) -> str:
    interval = exact_interval(k, n)
    return f"{k}/{n} ({interval.low:.2f} to {interval.high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--organisms", default=",".join(MAKE))
    parser.add_argument("--whole-only", action="store_true", help="train no arms, and write no table")
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/trace-organisms"))
    args = parser.parse_args()
    bench, found = Bench(args.out), []
    for seed in range(1, args.seeds + 1):
        for organism in args.organisms.split(","):
            began = time.monotonic()
            found.append(bench.measure(organism, seed, not args.whole_only))
            print(json.dumps(found[-1]), f"{time.monotonic() - began:.0f} s", flush=True)
            if not args.whole_only:
                (HERE / "trace_organism_rates.md").write_text(table(found))
                (HERE / "trace_organism_rates.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
