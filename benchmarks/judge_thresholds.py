"""What does judging at a second, wide threshold find, and what does it cost in false alarms?

    python benchmarks/judge_thresholds.py            # about three minutes on one core, NumPy and SciPy only

Checks of three bumpers are drawn and judged twice, at the strict threshold alone and at both. In null checks nothing
is wrong: items are exchangeable, or contexts differ in how often their items go far, which the judge assumes they do
not. In the others one context of one bumper departs. Writes judge_thresholds.json and .md.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bumperlane.judge.judge import JudgeSettings, judge
from bumperlane.judge.rates import exact_interval
from bumperlane.types import Reading, Scores, numbered

HERE = Path(__file__).parent
Items = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def far(share: float) -> Items:
    """Most items at 0, a share of them far away."""
    return lambda rng, n: np.where(rng.random(n) < share, 3 + rng.exponential(9, n), 0.0)


def uneven(a: float, b: float) -> Items:
    """The same, with another share in every context."""
    return lambda rng, n: far(rng.beta(a, b))(rng, n)


def departs(share: float) -> Items:
    """A context of which a share of the items departs moderately."""
    return lambda rng, n: np.where(rng.random(n) < share, rng.normal(10, 2, n), 0.0)


@dataclass(frozen=True)
class Draw:
    """Args: contexts and items a context, of controls and of baits; what clean contexts are like; the bad one."""

    what: str
    controls: tuple[int, int]
    baits: tuple[int, int]
    clean: Items
    bad: Items | None = None

    def reading(self, rng: np.random.Generator, bumper: str, with_bad: bool) -> Reading:
        values, arms, groups = [], [], []
        for arm, (contexts, items) in (("control", self.controls), ("bait", self.baits)):
            for k in range(contexts):
                drawn = self.bad if self.bad and with_bad and arm == "bait" and k == 0 else self.clean
                values.append(drawn(rng, items))
                arms += [arm] * items
                groups += [f"{arm} {k}"] * items
        scores = Scores(np.concatenate(values), numbered(len(arms)), bumper)
        return Reading(bumper, "behaviour", scores, tuple(arms), tuple(groups))


ONE, MANY = ((1, 31), (4, 16)), ((9, 12), (8, 12))
DRAWS = (
    Draw("nothing wrong: 31 controls", *ONE, normal),
    Draw("nothing wrong: 31 controls, 10% of all items far away", *ONE, far(0.1)),
    Draw("nothing wrong: 31 controls, 30% far away", *ONE, far(0.3)),
    Draw("nothing wrong: 9 control contexts of 12", *MANY, normal),
    Draw("contexts differ: of 9 control contexts, 5% far away on average", *MANY, uneven(0.2, 4)),
    Draw("contexts differ: of 9 control contexts, 20% on average", *MANY, uneven(0.5, 2)),
    Draw("contexts differ: 31 controls of one context, 20% on average", *ONE, uneven(0.5, 2)),
    Draw("one context departs in 95%; 31 controls, 10% far away", *ONE, far(0.1), departs(0.95)),
    Draw("one context departs in 70%; 31 controls, 10% far away", *ONE, far(0.1), departs(0.7)),
    Draw("one context departs in 60%; 9 control contexts, none far away", *MANY, far(0.01), departs(0.6)),
    Draw("one context departs in 50%; 9 control contexts, none far away", *MANY, far(0.01), departs(0.5)),
)


def hits(draw: Draw, times: int, seed: int) -> dict[str, int]:
    """Of so many checks, those with any hit; with one threshold and with two."""
    found = {"one": 0, "two": 0}
    for k in range(times):
        rng = np.random.default_rng([seed, k])
        readings = [draw.reading(rng, name, name == "x") for name in "xyz"]
        for name, looks in (("one", 1), ("two", 2)):
            found[name] += any(j.verdict == "hit" for j in judge(readings, JudgeSettings(looks=looks)))
    return found


def page(rows: list[dict], times: int) -> str:
    lines = [
        "# One threshold or two",
        "",
        f"Made by `python benchmarks/judge_thresholds.py`: {times} checks of three bumpers a row. Share of checks",
        "with any hit, at a stated false-alarm rate of 5%; 95% intervals.",
        "",
        "| checks | strict threshold | both |",
        "|---|---|---|",
    ]
    for row in rows:
        cells = [exact_interval(row[name], times) for name in ("one", "two")]
        shown = " | ".join(f"{c.value:.3f} ({c.low:.3f} to {c.high:.3f})" for c in cells)
        lines.append(f"| {row['what']} | {shown} |")
    lines += [
        "",
        "Where contexts differ of themselves neither holds: that is what control contexts of the same kind, and scores",
        "relative to the untouched base, are for.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checks", type=int, default=400)
    args = parser.parse_args()
    began, rows = time.process_time(), []
    for seed, draw in enumerate(DRAWS):
        rows.append({"what": draw.what, **hits(draw, args.checks, seed)})
        print(rows[-1], flush=True)
    content = {"checks": args.checks, "rows": rows, "cpu_s": round(time.process_time() - began, 1)}
    (HERE / "judge_thresholds.json").write_text(json.dumps(content, indent=1) + "\n")
    (HERE / "judge_thresholds.md").write_text(page(rows, args.checks))


if __name__ == "__main__":
    main()
