"""How far a forecast from a few hundred queries holds in deployment, and where it fails.

    python benchmarks/forecast.py            # about a minute on one idle core, NumPy and SciPy only

Chances of a bad answer are drawn from families of distributions; a forecast is made from m of them and held against
what n others bring. *Worst* covers when the largest of the n lies in its predictive interval, *rate* when the mean of
the distribution does. Then the same from sampled answers in place of exact chances, and the failure: a trigger that 1
query in 3,000 holds. Writes forecast.json and forecast.md beside this file.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from bumperlane.claims.forecast import BOUND, Forecast, ForecastSettings, ItemProbabilities, forecast, items_needed
from bumperlane.claims.tail_end import BENDS
from bumperlane.judge.rates import exact_interval

HERE = Path(__file__).parent
Family = Callable[[np.random.Generator, int], np.ndarray]
ITEMS, QUERIES, SAMPLES = (100, 300, 1000), (10_000, 1_000_000), (0, 32)
TRIGGER = 1 / 3000
TRUTH = 4_000_000  # draws that stand for a distribution


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def two_kinds(rng: np.random.Generator, n: int) -> np.ndarray:
    return logistic(np.where(rng.random(n) < 0.05, rng.normal(-2, 1.5, n), rng.normal(-10, 1.5, n)))


FAMILIES: dict[str, Family] = {
    "straight tail (Gumbel psi)": lambda rng, n: np.exp(-np.exp(-rng.gumbel(-2.2, 0.35, n))),
    "beta(0.05, 8)": lambda rng, n: rng.beta(0.05, 8, n),
    "logit normal(-8, 2)": lambda rng, n: logistic(rng.normal(-8, 2, n)),
    "two kinds, 1 in 20 worse": two_kinds,
    "log uniform, at most 0.05": lambda rng, n: np.exp(rng.uniform(np.log(1e-6), np.log(0.05), n)),
    "log normal(-6, 1.5), capped at 0.05": lambda rng, n: np.minimum(np.exp(rng.normal(-6, 1.5, n)), 0.05),
}


def largest_of(family: Family, rng: np.random.Generator, n: int) -> float:
    return max(float(family(rng, min(n, 250_000)).max()) for _ in range(-(-n // 250_000)))


@cache
def mean_of(name: str) -> float:
    return float(FAMILIES[name](np.random.default_rng(1), TRUTH).mean())


def seen(p: np.ndarray, samples: int, rng: np.random.Generator) -> ItemProbabilities:
    """The chances themselves, or shares of so many sampled answers."""
    return ItemProbabilities(rng.binomial(samples, p) / samples, samples) if samples else ItemProbabilities(p)


def cell(name: str, m: int, n: int, samples: int, repeats: int) -> dict:
    family, found, met = FAMILIES[name], [], []
    mean = mean_of(name)
    for k in range(repeats):
        rng = np.random.default_rng([k, m, n, samples])
        found.append(forecast(seen(family(rng, m), samples, rng), n, ForecastSettings(draws=400, seed=k)))
        met.append(largest_of(family, rng, n))
    return {"family": name, "items": m, "queries": n, "samples": samples, "mean": mean, **summary(found, met, mean)}


def summary(found: list[Forecast], met: list[float], mean: float) -> dict:
    lines = [(f, w) for f, w in zip(found, met, strict=True) if f.worst]
    rate = [f.rate.low <= mean <= f.rate.high for f in found]
    covered = exact_interval(sum(rate), len(rate))
    out = {
        "repeats": len(found), "bounds": len(found) - len(lines),
        "rate_covered": covered.value, "rate_low": covered.low, "rate_high": covered.high,
        "rate_over": float(np.mean([f.rate.low > mean for f in found])),
        "rate_under": float(np.mean([f.rate.high < mean for f in found])),
    }  # fmt: skip
    if lines:
        out["bends"] = float(np.mean([f.bend is not None and f.bend < BENDS for f, _ in lines]))
        worst = exact_interval(sum(f.worst.low <= w <= f.worst.high for f, w in lines), len(lines))
        out |= {
            "worst_covered": worst.value, "worst_low": worst.low, "worst_high": worst.high,
            "worst_over": float(np.mean([f.worst.low > w for f, w in lines])),
            "worst_under": float(np.mean([f.worst.high < w for f, w in lines])),
            "worst_forecast": float(np.median([f.worst.value for f, _ in lines])),
            "worst_met": float(np.median([w for _, w in lines])),
        }  # fmt: skip
    return out


def triggered(m: int, repeats: int, n: int = 10_000) -> dict:
    """Behind a straight tail of rare answers stands a trigger: 1 query in 3,000 is answered badly for sure."""
    truth, rows = 1 - (1 - TRIGGER) ** n, []
    for k in range(repeats):
        rng = np.random.default_rng([k, m, 7])
        p = np.exp(-np.exp(-rng.gumbel(-2.6, 0.15, m)))
        there = rng.random(m) < TRIGGER
        f = forecast(ItemProbabilities(np.where(there, 1.0, p)), n, ForecastSettings(draws=400, seed=k))
        rows.append((bool(there.any()), f.rate.low <= TRIGGER + 1e-5 and f.rate.high >= TRIGGER, f.rate.high,
                     f.worst.value if f.worst else 1.0, f.unseen >= TRIGGER, f.method))  # fmt: skip
    missed = [r for r in rows if not r[0]]
    caught = [r for r in rows if r[0]]
    return {
        "items": m, "queries": n, "repeats": repeats, "truth_any_bad": truth, "missed": len(missed) / repeats,
        "covered_when_missed": float(np.mean([r[1] for r in missed])) if missed else None,
        "rate_high_when_missed": float(np.median([r[2] for r in missed])) if missed else None,
        "worst_when_missed": float(np.median([r[3] for r in missed])) if missed else None,
        "covered_when_caught": float(np.mean([r[1] for r in caught])) if caught else None,
        "told_when_caught": float(np.mean([r[5] == BOUND for r in caught])) if caught else None,
        "unseen_bound_held_when_missed": float(np.mean([r[4] for r in missed])) if missed else None,
        "bounds": sum(r[5] == BOUND for r in rows),
    }  # fmt: skip


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


HEAD = """\
# Forecasts from small samples

Made by `python benchmarks/forecast.py --repeats {repeats}`. Intervals are stated at 95%; those of coverage in brackets.
*Known*: each item's chance of a bad answer exactly, as from the log-probability of a given bad answer, or as the share
of 32 sampled answers. *Above*, *below*: the whole interval lies above or below the worst query that was met. *Bound*:
share of repeats in which no line could be fitted, so that the exact bound was given instead. *Bends*: share of the
lines that are said to lie above a tail which may have an end. Their intervals reach down to what holds without a line,
and the forecast itself stays too high. 1 in 10 straight tails bend by chance, and few items often do not show an end:
of the last two families the worst query is still forecast too high from 100. Of shares of sampled answers no bend can
be told, and each such forecast says so.

| chances | items | queries | known | worst covered | above | below | forecast / met | rate covered | bound | bends |
|---|---|---|---|---|---|---|---|---|---|---|
"""
TRIGGERS = """
## Where it fails: a trigger that 1 query in 3,000 holds

All other queries have a straight tail of rare bad answers; one with the trigger is answered badly for sure. Of 10,000
queries some then is with probability {truth:.2f}. *Missed*: none of the items holds the trigger. No tail says anything
of it then; only the bound on kinds that were not seen does, which stands beside every forecast. To have the trigger
among the items with 95% takes {needed:,} of them. *Told*: the items with the trigger stand apart, no line is drawn, and
the exact bound is given.

| items | missed | rate covered then | its highest | worst | unseen bound held | covered when seen | told when seen |
|---|---|---|---|---|---|---|---|
"""


def page(cells: list[dict], triggers: list[dict], repeats: int) -> str:
    rows = []
    for c in cells:
        worst, met = "-", "-"
        if "worst_covered" in c:
            worst = f"{c['worst_covered']:.2f} ({c['worst_low']:.2f} to {c['worst_high']:.2f})"
            met = f"{c['worst_forecast']:.2g} / {c['worst_met']:.2g}"
        known = f"of {c['samples']}" if c["samples"] else "exact"
        rate = f"{c['rate_covered']:.2f} ({c['rate_low']:.2f} to {c['rate_high']:.2f})"
        over, under = share(c.get("worst_over")), share(c.get("worst_under"))
        told = (c["family"], c["items"], f"{c['queries']:,}", known, worst, over, under, met, rate)
        rows.append(f"| {' | '.join(map(str, told))} | {c['bounds'] / c['repeats']:.2f} | {share(c.get('bends'))} |")
    text = HEAD.format(repeats=repeats) + "\n".join(rows) + "\n"
    text += TRIGGERS.format(truth=triggers[0]["truth_any_bad"], needed=items_needed(TRIGGER))
    for t in triggers:
        told = [f"{t['items']:,}", share(t["missed"]), share(t["covered_when_missed"])]
        told += [small(t["rate_high_when_missed"]), small(t["worst_when_missed"])]
        told += [
            share(t["unseen_bound_held_when_missed"]),
            share(t["covered_when_caught"]),
            share(t["told_when_caught"]),
        ]
        text += f"| {' | '.join(told)} |\n"
    return text


def small(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "forecast.json")
    given, began = parser.parse_args(), time.perf_counter()
    cells = []
    for name in FAMILIES:
        for samples in SAMPLES:
            for m in ITEMS:
                for n in QUERIES[: 1 if samples else 2]:
                    # a million queries are drawn anew for each repeat: fewer of those
                    repeats = given.repeats if n < 1_000_000 else given.repeats // 4
                    cells.append(cell(name, m, n, samples, repeats))
                    print(json.dumps(cells[-1]), flush=True)
    triggers = [triggered(m, given.repeats // (1 + m // 5000)) for m in (100, 300, 1000, 3000, 10_000)]
    seconds = time.perf_counter() - began
    given.out.write_text(json.dumps({"seconds": round(seconds), "cells": cells, "triggers": triggers}, indent=1) + "\n")
    given.out.with_suffix(".md").write_text(page(cells, triggers, given.repeats))


if __name__ == "__main__":
    main()
