"""Does the rate bound hold, and what do the usual one and re-running until a pass do beside it?

    python benchmarks/claims_coverage.py            # about two minutes on one core, NumPy and SciPy only

Items are bad at a true rate; a bumper sees each bad one with a true recall that it is told only through a finite
positive control. Coverage: how often the bound is at or above the true rate. *Naive* is the exact bound of what was
seen, recall taken as 1. Beside the simulation stands the exact coverage, summed over all counts, for the simulation of
a 95% bound cannot tell 94.9 from 95.1. Then items that go together, good items that are flagged, and somebody who
runs again until the claim "at most T" passes while the truth is just above T. Writes claims_coverage.json and .md.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from bumperlane.claims.bounds import Planned, rate_bound

HERE = Path(__file__).parent
RATES, RECALLS = (0.0, 0.002, 0.01, 0.05), (0.4, 0.6, 0.8, 0.95, 1.0)
ITEMS, PLANTED = (50, 100, 300, 1000, 3000), (20, 100, 400)
LEVEL, DRAWS = 0.95, 20_000


@cache
def bounds(bad: int, of: int, caught: int, planted: int, looks: int | Planned) -> tuple[float, float]:
    found = rate_bound(bad, of, (caught, planted), LEVEL, looks)
    return found.high, found.naive_high


def held(pairs: np.ndarray, of: int, planted: int, rate: float, looks: int | Planned) -> tuple[float, float]:
    """Share of rows (bad, caught) in which ours and the naive bound hold."""
    rows, counts = np.unique(pairs, axis=0, return_counts=True)
    ends = np.array([bounds(int(k), of, int(h), planted, looks) for k, h in rows])
    return tuple(float(v) for v in (counts[:, None] * (ends >= rate)).sum(axis=0) / counts.sum())  # type: ignore


def simulated(rng: np.random.Generator, rate: float, recall: float, of: int, planted: int, draws: int) -> dict:
    bad = rng.binomial(of, rate, draws)
    pairs = np.column_stack([rng.binomial(bad, recall), rng.binomial(planted, recall, draws)])
    ours, naive = held(pairs, of, planted, rate, Planned(1))
    at_once, _ = held(pairs, of, planted, rate, 1)
    high = float(np.median([bounds(int(k), of, int(h), planted, Planned(1))[0] for k, h in pairs[:500]]))
    return {"rate": rate, "recall": recall, "items": of, "planted": planted, "coverage": ours, "naive": naive,
            "unplanned": at_once, "exact": exact(rate, recall, of, planted), "median_high": high}  # fmt: skip


def exact(rate: float, recall: float, of: int, planted: int) -> float:
    """Coverage of ours with one planned look, summed over all counts that are not negligible."""
    k = np.arange(of + 1)
    pk = stats.binom.pmf(k, of, rate * recall)
    h = np.arange(planted + 1)
    ph = stats.binom.pmf(h, planted, recall)
    kept, caught = np.flatnonzero(pk > 1e-9), np.flatnonzero(ph > 1e-9)
    misses = sum(
        pk[i] * ph[j] for i, j in product(kept, caught)
        if bounds(int(i), of, int(j), planted, Planned(1))[0] < rate
    )  # fmt: skip
    return 1 - float(misses)


def with_false_alarms(rng: np.random.Generator, specificity: float, draws: int) -> dict:
    rate, recall, of, planted = 0.01, 0.6, 300, 100
    bad = rng.binomial(of, rate, draws)
    seen = rng.binomial(bad, recall) + rng.binomial(of - bad, 1 - specificity)
    ours, naive = held(np.column_stack([seen, rng.binomial(planted, recall, draws)]), of, planted, rate, Planned(1))
    high = float(np.median([bounds(int(k), of, 60, planted, Planned(1))[0] for k in seen[:500]]))
    return {"specificity": specificity, "coverage": ours, "naive": naive, "median_high": high}


def clustered(rng: np.random.Generator, rate: float, alike: float, clusters: int, each: int, draws: int) -> dict:
    """Templates whose own rates are drawn from a beta with intraclass correlation `alike`; recall 0.8 of 100."""
    strength = 1 / alike - 1
    ours, plain, effective = [], [], []
    for _ in range(draws):
        seen = rng.binomial(rng.binomial(each, rng.beta(rate * strength, (1 - rate) * strength, clusters)), 0.8)
        control, total = (int(rng.binomial(100, 0.8)), 100), int(seen.sum())
        found = rate_bound(total, clusters * each, control, LEVEL, Planned(1), [(int(k), each) for k in seen])
        ours.append(found.high >= rate)
        plain.append(bounds(total, clusters * each, *control, Planned(1))[0] >= rate)
        effective.append(found.effective_n)
    return {"rate": rate, "alike": alike, "clusters": clusters, "each": each, "coverage": float(np.mean(ours)),
            "items as independent": float(np.mean(plain)), "effective_n": float(np.median(effective))}  # fmt: skip


def rerun(rng: np.random.Generator, case: dict, draws: int) -> dict:
    """Run again until the bound is at or below T, at most `runs` times. The truth is T x 1.0001, so a pass is false."""
    of, runs, recall, planted, limit = case["items"], case["runs"], case["recall"], case["planted"], case["limit"]
    rate = limit * 1.0001
    caught = rng.binomial(planted, recall, (draws, runs) if case["control"] == "new each time" else (draws, 1))
    caught = np.broadcast_to(caught, (draws, runs))
    seen, size = rng.binomial(of, rate * recall, (draws, runs)), np.full(runs, of)
    if case["data"] == "added":
        seen, size = seen.cumsum(axis=1), of * np.arange(1, runs + 1)
    ways: dict[str, Callable[[int], int | Planned]] = {
        "spent": lambda i: i + 1, "planned": lambda _: Planned(runs), "each as if alone": lambda _: Planned(1),
    }  # fmt: skip
    out = dict(case)
    for name, looks in ways.items():
        passed = np.zeros(draws, bool)
        for i in range(runs):
            high = np.array([bounds(int(k), int(size[i]), int(h), planted, looks(i))[0]
                             for k, h in zip(seen[:, i], caught[:, i], strict=True)])  # fmt: skip
            passed |= high <= limit
        out[name] = float(passed.mean())
    naive = np.zeros(draws, bool)
    for i in range(runs):
        naive |= np.array([bounds(int(k), int(size[i]), planted, planted, 1)[1] <= limit for k in seen[:, i]])
    out["naive"] = float(naive.mean())
    return out


def reruns(runs: int = 50) -> list[dict]:
    one = {"limit": 0.05, "items": 150, "planted": 200, "runs": runs, "recall": 1.0, "control": "the same",
           "data": "new"}  # fmt: skip
    return [
        one, {**one, "recall": 0.8}, {**one, "recall": 0.4, "items": 400},
        {**one, "recall": 0.8, "control": "new each time"}, {**one, "recall": 0.8, "data": "added"},
        {**one, "limit": 0.01, "items": 500, "recall": 0.8},
    ]  # fmt: skip


def page(found: dict) -> str:
    cover, worst = found["coverage"], {}
    for row in cover:
        key = (row["rate"], row["recall"])
        worst[key] = [row, *worst.get(key, [])]
    sizes, controls = (", ".join(map(str, numbers)) for numbers in (ITEMS, PLANTED))
    lines = [
        "# Does the rate bound hold?",
        "",
        f"Made by `python benchmarks/claims_coverage.py --draws {found['draws']}`. Bounds are stated at {LEVEL:.0%}. A "
        f"row is the worst of {len(ITEMS) * len(PLANTED)} settings: {sizes} items by {controls} planted ones in the "
        "positive control. *Exact*: summed over all counts instead of simulated. *Naive*: the exact bound of what was "
        "seen, recall taken as 1.",
        "",
        "| true rate | recall | worst coverage | worst, exact | naive, worst | naive, mean |",
        "|---|---|---|---|---|---|",
    ]
    for (rate, recall), rows in worst.items():
        numbers = (min(r["coverage"] for r in rows), min(r["exact"] for r in rows), min(r["naive"] for r in rows),
                   float(np.mean([r["naive"] for r in rows])))  # fmt: skip
        lines.append(f"| {rate:.1%} | {recall} | " + " | ".join(f"{v:.3f}" for v in numbers) + " |")
    lines += ["", f"Over all {len(cover)} settings the lowest exact coverage is {min(r['exact'] for r in cover):.4f}. "
              "At a true rate of 0 no bound can fail.", "", "## How wide it is", "",
              "Median bound at a true rate of 0.2% and recall 0.8, one planned look.", "",
              "| items | " + " | ".join(f"{m} planted" for m in PLANTED) + " |",
              "|---" * (len(PLANTED) + 1) + "|"]  # fmt: skip
    wide = {(r["items"], r["planted"]): r["median_high"] for r in cover if (r["rate"], r["recall"]) == (0.002, 0.8)}
    lines += [f"| {n} | " + " | ".join(f"{wide[n, m]:.2%}" for m in PLANTED) + " |" for n in ITEMS]
    lines += ["", "## A bumper that also flags good items", "",
              "True rate 1%, recall 0.6, 300 items. False alarms make the bound wider and never wrong.", "",
              "| specificity | coverage | naive | median bound |", "|---|---|---|---|"]  # fmt: skip
    lines += [f"| {r['specificity']} | {r['coverage']:.3f} | {r['naive']:.3f} | {r['median_high']:.1%} |"
              for r in found["false_alarms"]]  # fmt: skip
    lines += ["", "## Items that go together", "",
              "*Alike*: correlation of two items of one template. Recall 0.8 of 100 planted.", "",
              "| true rate | alike | templates | items each | coverage | items as independent | effective n |",
              "|---|---|---|---|---|---|---|"]  # fmt: skip
    lines += [f"| {r['rate']:.0%} | {r['alike']} | {r['clusters']} | {r['each']} | {r['coverage']:.3f} | "
              f"{r['items as independent']:.3f} | {r['effective_n']:.0f} of {r['clusters'] * r['each']} |"
              for r in found["clusters"]]  # fmt: skip
    lines += ["", "## Running again until it passes", "",
              "Share of false claims “at most T” when the truth is just above T, in up to so many runs. *Spent*: "
              "the k-th look gets alpha x 6 / (pi² k²), no number fixed beforehand. *Planned*: alpha divided by the "
              "number of runs. *Each as if alone*: our bound, no looks counted. *Naive*: no looks, no recall.",
              "",
              "| T | recall | items a run | runs | control | data | spent | planned | each as if alone | naive |",
              "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    lines += [f"| {r['limit']:.0%} | {r['recall']} | {r['items']} | {r['runs']} | {r['control']} | {r['data']} | "
              f"{r['spent']:.3f} | {r['planned']:.3f} | {r['each as if alone']:.3f} | {r['naive']:.3f} |"
              for r in found["reruns"]]  # fmt: skip
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, began = np.random.default_rng(args.seed), time.process_time()
    settings = product(RATES, RECALLS, ITEMS, PLANTED)
    few = max(200, args.draws // 10)
    found = {
        "draws": args.draws, "seed": args.seed,
        "coverage": [simulated(rng, *setting, args.draws) for setting in settings],
        "false_alarms": [with_false_alarms(rng, s, args.draws) for s in (1.0, 0.99, 0.95, 0.8)],
        "clusters": [clustered(rng, *at, few) for at in product((0.01, 0.05), (0.05, 0.3, 0.9), (5, 30, 100), (10,))],
        "reruns": [rerun(rng, case, few) for case in reruns()],
    }  # fmt: skip
    found["cpu_s"] = round(time.process_time() - began, 1)
    (HERE / "claims_coverage.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "claims_coverage.md").write_text(page(found))
    print(page(found), f"{found['cpu_s']} s of CPU")


if __name__ == "__main__":
    main()
