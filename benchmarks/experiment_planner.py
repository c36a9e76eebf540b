"""The experiment planner on simulated retrains: is the planted cause found, at how many retrains, and decoys never?

    python benchmarks/experiment_planner.py --cases 40

Every case has 3 to 6 suspects, of which attribution puts the right one (or one of a pair) first in 70% of cases and a
decoy in the others. Beside the planner: every suspect left out in turn, two seeds an arm, one shared random removal,
judged by the interval that `clustered_difference` gives. Then false confirmations of the sequential test, also for
seeds that differ more than it allows for, and its power. Writes experiment_planner.md beside this file.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from bumperlane.judge.rates import clustered_difference, exact_interval
from bumperlane.trace.experiments.conduct import conduct
from bumperlane.trace.experiments.planner import ExperimentSettings, Order, Planner
from bumperlane.trace.experiments.rehearsal import Rehearsal, suspects_alone
from bumperlane.trace.experiments.sequential import FallTest

HERE = Path(__file__).parent
LOW, RATE = 0.03, 0.95
NAMES = "abcdef"
KINDS = ("single", "either of two", "both of two", "each a part", "no suspect")


@dataclass(frozen=True)
class Scene:
    """A made-up case: which suspects are guilty, how, and how attribution ranks them."""

    kind: str
    guilty: tuple[str, ...]
    weights: dict[str, float]
    seed: int

    def truth(self, present):
        there = [present[name] > 0.5 for name in self.guilty]
        if self.kind == "no suspect":
            return RATE
        if self.kind == "either of two":
            return RATE if any(there) else LOW
        if self.kind == "each a part":
            return LOW + (RATE - LOW) * sum(there) / 2
        return RATE if all(there) else LOW


def scene(kind: str, seed: int) -> Scene:
    rng = Random(f"{kind}/{seed}")
    names = list(NAMES[: rng.randint(3, 6)])
    rng.shuffle(names)
    guilty = {"single": 1, "no suspect": 0}.get(kind, 2)
    culprits, decoys = names[:guilty], names[guilty:]
    order = culprits + decoys
    if guilty and rng.random() < 0.3:
        order = decoys[:1] + culprits + decoys[1:]  # attribution is wrong about the first
    return Scene(kind, tuple(culprits), {n: 4.0 / (i + 1) for i, n in enumerate(order)}, seed)


def by_plan(case: Scene, rho: float, failing: float) -> dict:
    """What the planner makes of it."""
    layout = suspects_alone(case.weights)
    laboratory = Rehearsal(layout, case.truth, case.seed, rho, failing)
    log = conduct(Planner.of(layout, RATE, ExperimentSettings(), laboratory))
    first = log.findings[0]
    named = frozenset(layout.hypotheses[i].name for i in first.members) if first.status == "confirmed" else frozenset()
    blamed = {layout.hypotheses[i].name for f in log.confirmed for i in f.members}
    return {
        "found": named == frozenset(case.guilty),
        "decoys": len(blamed - set(case.guilty)),
        "retrains": log.retrains,
    }


def in_turn(case: Scene, rho: float, failing: float) -> dict:
    """Every suspect left out in turn, two seeds an arm, against one shared random removal."""
    layout = suspects_alone(case.weights)
    laboratory = Rehearsal(layout, case.truth, case.seed, rho, failing)
    arm = lambda c: [(o.k, o.n) for o in laboratory.carry_out([Order(c, 0), Order(c, 1)])]  # noqa: E731
    control = arm(layout.control[layout.without(0)])
    blamed = set()
    for i, h in enumerate(layout.hypotheses):
        effect = clustered_difference(control, arm(layout.without(i)))
        if effect.low > 0 and effect.value >= 0.5 * RATE:
            blamed.add(h.name)
    return {
        "found": blamed == set(case.guilty),
        "decoys": len(blamed - set(case.guilty)),
        "retrains": 2 * len(layout.hypotheses) + 2,
    }


def false_confirmations(rho: float, sims: int, fall: float, failing: float = 0.0, rate: float = RATE) -> int:
    """Times that half of the control's rate is called gone although its true fall is `fall`."""
    test, wrong, rng = FallTest(RATE), 0, np.random.default_rng(7)
    size = (1 - rho) / rho
    for _ in range(sims):
        arms = [[], []]
        for _ in range(8):
            for arm, mean in zip(arms, (rate, rate - fall), strict=True):
                failed = rng.random() < failing
                arm.append(
                    (int(rng.binomial(24, rng.random() if failed else rng.beta(mean * size, (1 - mean) * size))), 24)
                )
            if len(arms[0]) >= 2 and test.part_gone(*arms, 0.5, 0.05):
                wrong += 1
                break
    return wrong


def power(rho: float, sims: int) -> list[float]:
    """Share of true causes (0.95 falls to 0.03) that are proved after 2, 3, 4 and 6 retrains an arm, alpha 0.0125."""
    test, rng, size = FallTest(RATE), np.random.default_rng(8), (1 - rho) / rho
    proved = np.zeros(7)
    for _ in range(sims):
        arms = [[], []]
        for n in range(1, 7):
            for arm, mean in zip(arms, (RATE, LOW), strict=True):
                arm.append((int(rng.binomial(24, rng.beta(mean * size, (1 - mean) * size))), 24))
            if n >= 2 and test.part_gone(*arms, 0.5, 0.0125):
                proved[n:] += 1
                break
    return [float(proved[n] / sims) for n in (2, 3, 4, 6)]


def rate(k: int, n: int) -> str:
    interval = exact_interval(k, n)
    return f"{k}/{n} ({interval.low:.3f} to {interval.high:.3f})"


def table(cases: int, sims: int) -> str:
    began = time.process_time()
    lines = [
        "# The experiment planner on simulated retrains",
        "",
        f"Made by `python benchmarks/experiment_planner.py --cases {cases} --sims {sims}`. Nothing is trained: the",
        "rate of a retrain is drawn around the truth, and measured on 24 requests. In brackets: exact 95% intervals.",
        "",
        "Planner, against leaving every suspect out in turn (two seeds an arm, shared control). Found: the planted",
        "cause is first and confirmed, a pair as that pair (in turn: both of it); with no cause, nothing is confirmed.",
        "`rho` is the intra-class correlation of requests within a retrain; failed retrains have any rate.",
        "",
        "| truth | seeds differ by | found | decoys confirmed | retrains (most) | in turn: found | decoys | retrains |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rho, failing in ((0.05, 0.0), (0.1, 0.03)):
        for kind in KINDS:
            scenes = [scene(kind, seed) for seed in range(cases)]
            ours = [by_plan(s, rho, failing) for s in scenes]
            theirs = [in_turn(s, rho, failing) for s in scenes]
            counts = [r["retrains"] for r in ours]
            how = f"rho {rho:g}" + (f", {failing:.0%} fail" if failing else "")
            lines.append(
                f"| {kind} | {how} | {rate(sum(r['found'] for r in ours), cases)} | "
                f"{rate(sum(r['decoys'] > 0 for r in ours), cases)} | {np.mean(counts):.1f} ({max(counts)}) | "
                f"{rate(sum(r['found'] for r in theirs), cases)} | {sum(r['decoys'] > 0 for r in theirs)} | "
                f"{np.mean([r['retrains'] for r in theirs]):.1f} |"
            )
            print(lines[-1], flush=True)
    lines += [
        "",
        "False confirmations of the sequential test alone at alpha 0.05, two to eight retrains an arm, a look after",
        "each pair, where nothing goes or exactly half of the control's rate, as high as the hit's (0.95) or lower.",
        "It allows for rho of at least 0.1.",
        "",
        "| control's rate | true fall | seeds differ by | confirmed |",
        "|---|---|---|---|",
    ]
    for control, fall in ((RATE, 0.0), (RATE, 0.5 * RATE), (0.6, 0.0), (0.6, 0.3)):
        for rho, failing in ((0.02, 0.0), (0.1, 0.0), (0.2, 0.0), (0.4, 0.0), (0.05, 0.2)):
            wrong = false_confirmations(rho, sims, fall, failing, control)
            how = f"rho {rho:g}" + (f", {failing:.0%} fail" if failing else "")
            lines.append(f"| {control:g} | {fall:g} | {how} | {rate(wrong, sims)} |")
            print(lines[-1], flush=True)
    lines += [
        "",
        "Power of the sequential test: share of true causes (0.95 falls to 0.03) proved at alpha 0.0125 (as for four",
        "suspects) after so many retrains an arm.",
        "",
        "| seeds differ by | 2 | 3 | 4 | 6 |",
        "|---|---|---|---|---|",
    ]
    for rho in (0.02, 0.1, 0.2):
        lines.append(f"| rho {rho:g} | " + " | ".join(f"{p:.2f}" for p in power(rho, sims // 4)) + " |")
    lines += ["", f"CPU time of this page: {time.process_time() - began:.0f} s."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=40, help="of each truth and spread between seeds")
    parser.add_argument("--sims", type=int, default=1000)
    args = parser.parse_args()
    (HERE / "experiment_planner.md").write_text(table(args.cases, args.sims))


if __name__ == "__main__":
    main()
