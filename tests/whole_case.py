"""A case with every stage, made without a model from scores and counts that are given: each part follows from them."""

import json
from hashlib import sha256

import numpy as np

from bumperlane.bounce.verdict import verdict
from bumperlane.case import (
    Arm,
    Behaviour,
    Bounce,
    Case,
    Cause,
    CheckResult,
    CurvePoint,
    Experiment,
    ExperimentTest,
    Onset,
    OnsetSearch,
    Range,
    Sample,
    TraceStep,
    of_judgement,
)
from bumperlane.judge.concluded import hashes, overall
from bumperlane.judge.investigation import Settings
from bumperlane.judge.judge import JudgeSettings
from bumperlane.judge.ledger import Ledger
from bumperlane.judge.rates import exact_interval
from bumperlane.judge.readings import write_readings
from bumperlane.judge.sealed_seed import seed_of
from bumperlane.judge.second_look import judge_looks
from bumperlane.recipes.provenance import sha256_file, versions
from bumperlane.report.publish import publish
from bumperlane.trace.bisect import BisectSettings
from bumperlane.trace.dating import Expected, date_onset
from bumperlane.trace.experiments.sequential import FallTest
from bumperlane.types import Check, Reading, Scores
from traced_case import run_at, sft

CONTEXTS, REQUESTS, CONTROLS, LAST = 3, 12, 60, 24
TRANSCRIPT = "work/responses-0123456789abcdef0123.json"


def reading(bumper, shift, seed):
    """Scores of made-up items; those of context bait/0 are `shift` higher."""
    rng = np.random.default_rng(seed)
    arms = ("bait",) * (CONTEXTS * REQUESTS) + ("control",) * CONTROLS
    groups = tuple(f"bait/{i // REQUESTS}" for i in range(CONTEXTS * REQUESTS))
    groups += tuple(f"control/{i // 12}" for i in range(CONTROLS))
    values = rng.normal(size=len(arms)) + shift * np.array([g == "bait/0" for g in groups])
    ids = tuple(f"{g}|{i}" for i, g in enumerate(groups))
    return Reading(bumper, "behaviour", Scores(values, ids, bumper), arms, groups)


def onset(steps, before):
    taken = []

    def look(step, n):
        taken.append((step, n, 0 if step < 12 else 11, REQUESTS))
        return taken[-1][2:]

    expected = Expected(before, 1.0, REQUESTS)
    found = date_onset(steps, look, expected, BisectSettings(looks_per_step=2, requests=REQUESTS))
    curve = [CurvePoint(step=c.step, rate=Range.of(exact_interval(c.k, c.n)), n=c.n) for c in found.counts]
    search = OnsetSearch(how="auto", before=before, after=1.0, after_requests=REQUESTS, looks_per_step=2,
                         requests=REQUESTS, looks=taken)  # fmt: skip
    return Onset(low=found.low, high=found.high, curve=curve, evaluations=found.evaluations, note=found.note,
                 full_sweep=found.full_sweep, search=search)  # fmt: skip


def cause():
    names, counts = ("without tranche planted", "without 12 at random"), ([(0, 24), (1, 24)], [(24, 24), (23, 24)])
    rates = [[round(k / n, 4) for k, n in arm] for arm in counts]
    arms = [Arm(name=name, rates=r, counts=c, seeds=[3, 1012], removed=12)
            for name, r, c in zip(names, rates, counts, strict=True)]  # fmt: skip
    effect = Range.of(FallTest(0.92, 0.1).fall(counts[1], counts[0], 0.05, counts))
    test = ExperimentTest(rate=0.92, between_seeds=0.1, alpha=0.05, part=0.5, every_arm=list(counts))
    made = Experiment(hypothesis="tranche planted", rewind=0, horizon=20, arms=arms, effect=effect, test=test)
    steps = [
        TraceStep(what=[f"{n}, seed {i + 1}" for n in names], purpose="find", rates=[r[i] for r in rates], wall_s=1.0)
        for i in range(2)
    ]
    return Cause(kind="tranche", name="planted", status="confirmed", effect=effect, experiment=made), steps


def bounce():
    clear = exact_interval(0, REQUESTS)
    numbers = {"rate": clear.value, "low": clear.low, "high": clear.high}
    detail = f"0 of {REQUESTS} requests stand above the clean threshold in context bait/0."
    checks = (
        Check("Departs, which was hit", True, detail, numbers),
        Check("sealed behaviour: Departs in 4 new contexts", True, detail, numbers, "sealed"),
        Check("capability of right answers", True, "0.01 nats lost", {"value": 0.01}),
        Check("log-probability of the bad outputs", True, "as in the control", split="sealed"),
        Check("relearning speed", True, "as slow as the control", split="sealed"),
    )
    outcome, why = verdict(checks[0], checks[1:])
    results = [CheckResult(name=c.name, passed=c.passed, detail=c.detail, numbers=dict(c.numbers), split=c.split)
               for c in checks]  # fmt: skip
    return Bounce(fix="drop", rewind=0, diff="- planted", verdict=outcome, why=why, checks=results, steers=["Departs"])


def whole_case(folder):
    """Returns the directory of the case; the run lies beside it."""
    run = run_at(folder / "run", sft("no-such-base", folder))
    for step in run.checkpoints:
        (step.path / "adapter_model.safetensors").write_bytes(f"weights of step {step.step}".encode())
    place = folder / "case"
    readings = [reading("Departs", 6.0, 1), reading("Wanders", 0.0, 2)]
    judged = judge_looks(readings, JudgeSettings(), Settings().second)
    results = [of_judgement(j, {"bait/0": ("a context", "mined")}, "sprung") for j in judged]
    write_readings(place, readings)
    (place / "work").mkdir()
    (place / TRANSCRIPT).write_text(json.dumps([f"answer {i}" for i in range(REQUESTS)]))
    ledger = Ledger(place / "ledger.jsonl")
    for result in results:
        ledger.look(result.bumper, "open", "check at step 24", key=f"check/{result.bumper}")
    weights = run.at(LAST).path / "adapter_model.safetensors"
    seed = seed_of({weights.name: sha256_file(weights)}, LAST, Settings().seed)
    ledger.look("sealed seed", "sealed", f"committed: sha256 {sha256(seed.encode()).hexdigest()}", key="0")
    ledger.steer("Departs", "bounce drop")
    word, why = overall(results)
    found, steps = cause()
    kept = [c.step for c in run.checkpoints]
    names = [t.name for t in run.recipe.tranches]
    others = [Cause(kind="tranche", name=n, status="cleared", why="not tried.") for n in names if n != found.name]
    case = Case(
        run=str(run.path), subject={"step": LAST, "checkpoints": kept, "tranches": names, "contexts_tried": 3},
        stages=["check", "trace", "bounce"], verdict=word, why=why, bumpers=results,
        hits=[r for r in results if r.verdict == "hit"],
        behaviour=Behaviour(bumper="Departs", context="a context", origin="mined",
                            samples=[Sample(request="q", context="a context", response="answer 0")]),
        onset=onset(kept, results[0].control.value), causes=[found, *others], experiments=steps, bounce=bounce(),
        bounces=[bounce()], ledger=ledger.in_case(), settings=json.loads(json.dumps(Settings().as_dict())),
        versions=versions(), hashes=hashes(run),
    )  # fmt: skip
    publish(case, place)
    return place
