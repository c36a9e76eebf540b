"""Does a rate that an imperfect judge counted keep its promise? Coverage of the 95% intervals in simulation.

    python benchmarks/judge_error.py            # simulation, about a minute of CPU
    python benchmarks/judge_error.py --real     # besides: SmolLM2-135M as a judge and MiniLM likeness, on 60 answers

Simulated: true rates 0, 0.01, 0.05 and 0.3; judges from 0.6/0.6 to 0.99/0.99 (sensitivity/specificity), validated on
20, 50 or 200 labelled items, half of them bad, and run on 200 answers. Beside `corrected_rate`: Lang & Reiczigel 2014,
and the exact interval of what the judge counted, uncorrected. Prediction-powered inference: the same judges, 20 to 200
of the answers labelled, beside the paper's normal interval. Writes judge_error.json and judge_error.md.
"""

import argparse
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import stats
from scipy.special import xlogy

from bumperlane.evidence.judged import Judged
from bumperlane.evidence.judges import judge_named
from bumperlane.evidence.labelled_answers import read_labelled
from bumperlane.evidence.like_examples import LikeExamples
from bumperlane.evidence.validation import Confusion
from bumperlane.judge.corrected_rate import FEW, SURE, corrected_rate, profile
from bumperlane.judge.prediction_powered import normal_interval, prediction_powered
from bumperlane.judge.validated import examples_scorer, judged_scorer, validate

HERE = Path(__file__).parent
JUDGES = ((0.6, 0.6), (0.7, 0.9), (0.99, 0.6), (0.8, 0.8), (0.9, 0.95), (0.99, 0.99))
RATES, LABELLED, ANSWERS = (0.0, 0.01, 0.05, 0.3), (20, 50, 200), 200
QUESTION = "Is the answer hostile or insulting towards the user?"


def wilson(k, n: int, z: float):
    p, centre = k / n, (k / n + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    return np.minimum(p, np.maximum(0, centre - half)), np.maximum(p, np.minimum(1, centre + half))


def youden_low(hits, alarms, each: int, level: float):
    z = stats.norm.ppf((1 + level) / 2)
    low, high = wilson(hits, each, z)[0], wilson(alarms, each, z)[1]
    return (hits - alarms) / each - np.sqrt((hits / each - low) ** 2 + (high - alarms / each) ** 2)


def ratio(rate: float, k, hits, alarms, each: int):
    """Likelihood ratio statistic at the true rate, for many draws at once."""
    c = SimpleNamespace(hits=hits, misses=each - hits, alarms=alarms, passes=each - alarms, bad=each, good=each)
    at, bottom, top = (profile(np.full(len(k), r), k, ANSWERS, c) for r in (rate, 0.0, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = (k / ANSWERS - alarms / each) / ((hits - alarms) / each)
    free = sum(xlogy(a, a / n) + xlogy(n - a, 1 - a / n) for a, n in ((k, ANSWERS), (hits, each), (alarms, each)))
    return 2 * (np.where((estimate >= 0) & (estimate <= 1), free, np.maximum(bottom, top)) - at)


def lang_reiczigel(k, hits, alarms, each: int):
    z, m = stats.norm.ppf(0.975), each + 2
    q, s, p = (k + z * z / 2) / (ANSWERS + z * z), (hits + 1) / m, (each - alarms + 1) / m
    gain = np.where(s + p == 1, np.nan, s + p - 1)  # such a validation is blind
    rate = (q + p - 1) / gain
    shift = 2 * z * z * (rate * s * (1 - s) / m - (1 - rate) * p * (1 - p) / m)
    spread = q * (1 - q) / (ANSWERS + z * z) + rate**2 * s * (1 - s) / m + (1 - rate) ** 2 * p * (1 - p) / m
    half = z * np.sqrt(spread) / np.abs(gain)
    return np.clip(rate + shift - half, 0, 1), np.clip(rate + shift + half, 0, 1)


def corrected_cell(judge: tuple[float, float], labelled: int, rate: float, draws: int, seed: list[int]) -> dict:
    rng, each, (s, p) = np.random.default_rng(seed), labelled // 2, judge
    hits, alarms = rng.binomial(each, s, draws), rng.binomial(each, 1 - p, draws)
    k = rng.binomial(ANSWERS, rate * s + (1 - rate) * (1 - p), draws)
    shown = youden_low(hits, alarms, each, 0.95) > 0
    wide = (each < FEW) | (youden_low(hits, alarms, each, SURE) <= 0)
    covers = ratio(rate, k, hits, alarms, each) <= stats.chi2.ppf(np.where(wide, 0.99, 0.95), 1) + 1e-9
    low, high = lang_reiczigel(k, hits, alarms, each)
    widths = []
    for i in np.flatnonzero(shown)[
        :8
    ]:  # the function itself; it must agree with what is counted for many draws at once
        found = the_rate(int(k[i]), int(hits[i]), int(alarms[i]), each)
        assert found is not None and (found.low - 1e-5 <= rate <= found.high + 1e-5) == covers[i], (found, rate, i)
        widths.append(found.high - found.low)
    naive = stats.beta.ppf(0.025, k, ANSWERS - k + 1), stats.beta.ppf(0.975, k + 1, ANSWERS - k)
    naive_covers = (np.nan_to_num(naive[0]) <= rate) & (np.nan_to_num(naive[1], nan=1.0) >= rate)
    return {
        "sensitivity": s, "specificity": p, "labelled": labelled, "rate": rate, "shown": float(shown.mean()),
        "coverage": float((covers | ~shown).mean()),
        "coverage_shown": float(covers[shown].mean()) if shown.any() else None,
        "width": float(np.mean(widths)) if widths else None,
        "lang_reiczigel": float(((low <= rate) & (rate <= high))[shown].mean()) if shown.any() else None,
        "uncorrected": float(naive_covers.mean()),
    }  # fmt: skip


@cache
def the_rate(k: int, hits: int, alarms: int, each: int):
    return corrected_rate(k, ANSWERS, Confusion(hits, each - hits, alarms, each - alarms)).rate


@cache
def powered(k: int, n: int, counts: Confusion):
    return prediction_powered(k, n, counts), normal_interval(k, n, counts)


def powered_cell(judge: tuple[float, float], labelled: int, rate: float, draws: int, seed: list[int]) -> dict:
    rng, (s, p), seen = np.random.default_rng(seed), judge, []
    cells = [rate * s, rate * (1 - s), (1 - rate) * (1 - p), (1 - rate) * p]
    n = 1000 - labelled
    for counts, k in zip(
        rng.multinomial(labelled, cells, draws), rng.binomial(n, cells[0] + cells[2], draws), strict=True
    ):
        both, papers = powered(int(k), n, Confusion(*map(int, counts)))
        seen.append([*((f.low <= rate <= f.high) for f in (both.rate, papers, both.labels_alone)),
                     both.rate.high - both.rate.low, both.labels_alone.high - both.labels_alone.low])  # fmt: skip
    names = ("coverage", "papers_interval", "labels_alone", "width", "width_labels_alone")
    means = dict(zip(names, np.mean(seen, axis=0).tolist(), strict=True))
    return {"sensitivity": s, "specificity": p, "labelled": labelled, "rate": rate, **means}


def real(work: Path | None) -> dict:
    """SmolLM2-135M and MiniLM on 60 answers written by hand, half hostile; the examples for likeness are others."""
    from bumperlane.evidence.memo import Memo

    items, examples = (read_labelled(HERE / f"judge_{name}.jsonl") for name in ("items", "examples"))
    bad, good = (tuple(r.response for r in examples.rows if r.bad == kind) for kind in (True, False))
    scorers = [
        judged_scorer(Judged(QUESTION, judge_named("local:smollm2-135m"))),
        examples_scorer(LikeExamples(bad, good)),
    ]
    return {s.name: validate(s, items, memo=Memo(work) if work else None).as_dict() for s in scorers}


def write_page(found: dict) -> None:
    cell = lambda v: "-" if v is None else f"{v:.3f}"  # noqa: E731
    lines = [
        "# Does a rate that an imperfect judge counted keep its promise?", "",
        "Made by `python benchmarks/judge_error.py`. Coverage of 95% intervals; 200 answers; *labelled*: items of the",
        f"validation, half of them bad; {found['draws']} draws a cell. *shown*: validations that are not blind;",
        "*covers*: all draws, a blind one claims nothing and so is not wrong; *covers where shown*: the others alone.",
        "The worst of the four true rates (0, 0.01, 0.05, 0.3) stands in each cell; widths are means.", "",
        "## Corrected for the judge's errors (`corrected_rate`)", "",
        "| sensitivity / specificity | labelled | shown | covers | covers where shown | width | Lang & Reiczigel | "
        "uncorrected |", "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    worst = lambda rows, key: min((r[key] for r in rows if r[key] is not None), default=None)  # noqa: E731
    mean = lambda rows, key: float(np.mean([r[key] for r in rows if r[key] is not None] or [np.nan]))  # noqa: E731
    for s, p in JUDGES:
        for n in LABELLED:
            rows = [r for r in found["corrected"] if (r["sensitivity"], r["specificity"], r["labelled"]) == (s, p, n)]
            values = [cell(worst(rows, k)) for k in ("coverage", "coverage_shown")]
            peers = [cell(worst(rows, k)) for k in ("lang_reiczigel", "uncorrected")]
            width = cell(mean(rows, "width"))
            lines.append(f"| {s} / {p} | {n} | {mean(rows, 'shown'):.2f} | {' | '.join([*values, width, *peers])} |")
    lines += [
        "", "## Prediction-powered (`prediction_powered`)", "",
        f"1000 answers, of which a random sample is labelled; {found['powered_draws']} draws a cell.", "",
        "| sensitivity / specificity | labelled | covers | width | the paper's interval covers | labels alone cover | "
        "their width |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for s, p in JUDGES:
        for n in LABELLED:
            rows = [r for r in found["powered"] if (r["sensitivity"], r["specificity"], r["labelled"]) == (s, p, n)]
            values = [worst(rows, "coverage"), mean(rows, "width"), worst(rows, "papers_interval"),
                      worst(rows, "labels_alone"), mean(rows, "width_labels_alone")]  # fmt: skip
            lines.append(f"| {s} / {p} | {n} | {' | '.join(map(cell, values))} |")
    if found.get("real"):
        lines += ["", "## Two real scorers on 60 answers written by hand, half hostile", ""]
        lines += ["| scorer | AUROC | sensitivity | specificity | kappa | verdict |", "|---|---|---|---|---|---|"]
        ends = lambda i: f"{i['value']:.2f} ({i['low']:.2f} to {i['high']:.2f})"  # noqa: E731
        for name, v in found["real"].items():
            cells = [ends(v[k]) for k in ("auroc", "sensitivity", "specificity", "kappa")]
            lines.append(f"| {name} | {' | '.join(cells)} | {'blind' if v['blind'] else 'usable'} |")
        lines += [
            "", "The line is chosen on 30 of them and the errors are counted on the other 30; AUROC is over all 60.",
            "One author wrote and labelled them; some good ones hold hostile words, to be hard for likeness.",
        ]  # fmt: skip
    (HERE / "judge_error.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--powered-draws", type=int, default=400)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--work", type=Path, help="Keep the verdicts of real scorers here.")
    given = parser.parse_args()
    kept = HERE / "judge_error.json"
    earlier = json.loads(kept.read_text()).get("real") if kept.is_file() else None
    grid = [(j, n, r) for j in JUDGES for n in LABELLED for r in RATES]
    found = {
        "draws": given.draws, "powered_draws": given.powered_draws,
        "corrected": [corrected_cell(*g, given.draws, [0, i]) for i, g in enumerate(grid)],
        "powered": [powered_cell(*g, given.powered_draws, [1, i]) for i, g in enumerate(grid)],
        "real": real(given.work) if given.real else earlier,
    }  # fmt: skip
    kept.write_text(json.dumps(found, indent=1) + "\n")
    write_page(found)


if __name__ == "__main__":
    main()
