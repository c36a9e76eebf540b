"""One organism goes through the loop, as a user's run would: check, trace, fix, verify; then what only masks is tried.

The key is opened to score what came out, never before. What is done already is used again: a game can be stopped at any
moment, and several can play different organisms side by side.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...bounce.bounce import BounceSettings, bounce
from ...bounce.fix_kinds.registry import load_kinds
from ...case import Bounce, Case, load_case, worst_verdicts, write_json
from ...errors import BumperlaneError, SettingError
from ...evidence.described import NAME, read_described
from ...evidence.graded import can_be_graded
from ...judge.check import check
from ...judge.investigation import Investigation, Say, Settings, silent
from ...recipes.edits import apply_edits
from ...recipes.models import Recipe
from ...recipes.provenance import content_key
from ...recipes.run import Run
from ...recipes.schema import load_recipe
from ...recipes.train import train
from ...recipes.tranches import read_examples
from ...trace.experiments.budget import Budget
from ...trace.trace import TraceSettings, trace
from ..layout import NOTICED
from ..planted_cause import PlantedCause, planted_cause, refuse_unknown
from ..planted_probes import key_of, planted_behaviour
from ..probed_behaviour import ProbedBehaviour, true_onset
from .baselines import Guess, at_random, by_attribution, rate_without_the_end
from .named import Suspect, all_confirmed, is_decoy, rank, with_its_examples

GAME, ROW, COSTS, PLAYED = "game", "row.json", "costs.json", "played.json"
DEFAULT, TOLD, AFTER = "default bumpers", "described", "described, after default bumpers led nowhere"
UNCONFIRMED = "no cause was confirmed"


@dataclass(frozen=True)
class GameSettings:
    """How much a game may cost.

    Args:
        budget: of the experiments of each trace.
        jobs: retrains at a time; 0 is one a core on a CPU.
        masks: fixes that only mask, by name, tried after the right one; None takes all that there are.
        described: where the default bumpers are clear, go on with what a user noticed.
        baselines: also ask the baselines.
    """

    budget: Budget = field(default_factory=Budget)
    jobs: int = 0
    masks: tuple[str, ...] | None = None
    described: bool = True
    baselines: bool = True

    def __post_init__(self) -> None:
        known = controls()
        odd = [name for name in self.masks or () if name not in known]
        if odd:
            raise SettingError(f"{odd[0]!r} is no masking control. Known: {', '.join(known)}.")

    @property
    def masking(self) -> tuple[str, ...]:
        return controls() if self.masks is None else self.masks


def controls() -> tuple[str, ...]:
    """Names of the kinds of fix that only mask."""
    return tuple(name for name, kind in load_kinds().items() if kind.masks)


@dataclass
class Player:
    """One organism's directory, and what it costs to play it."""

    organism: Path
    settings: GameSettings
    say: Say = silent

    @cached_property
    def spent(self) -> dict[str, float]:
        """CPU seconds by stage, those of earlier calls included."""
        kept = self.home / COSTS
        return dict(json.loads(kept.read_text("utf-8"))) if kept.is_file() else {}

    @property
    def home(self) -> Path:
        return self.organism / GAME

    @property
    def asked(self) -> dict[str, Any]:
        """The settings that a row follows from."""
        s = self.settings
        return {"masks": list(s.masking), "described": s.described, "baselines": s.baselines}

    @cached_property
    def key(self) -> dict[str, Any]:
        return key_of(self.organism)

    @cached_property
    def planted(self) -> PlantedCause:
        return planted_cause(self.organism, self.key)

    @cached_property
    def probes(self) -> ProbedBehaviour | None:
        """None of an organism in which nothing is planted: no rate could be measured."""
        return planted_behaviour(self.organism) if self.planted.there else None

    @cached_property
    def recipe(self) -> Recipe:
        """The organism's, or that of the finished run which a directory made elsewhere brings instead."""
        return Run.open(self.organism / "run").recipe if self._brings_its_run else load_recipe(self._recipe)

    @cached_property
    def run(self) -> Run:
        """The organism's run; trained where it is not there. A directory made elsewhere brings its own."""
        if self._brings_its_run:
            return Run.open(self.organism / "run")
        with self.costs("train"):
            return train(self._recipe, self.organism / "run", self._training)

    @property
    def _recipe(self) -> Path:
        return self.organism / "recipe.yaml"

    @property
    def _brings_its_run(self) -> bool:
        return not self._recipe.is_file() and (self.organism / "run" / "run.json").is_file()

    @cached_property
    def inv(self) -> Investigation:
        """What the key's probes are asked of; its base is loaded once."""
        return Investigation(self.run, self.home / "probes", Settings(), self.say)

    def _training(self, step: int, of: int, line: str) -> None:
        self.say("training", step, of)

    @contextmanager
    def costs(self, stage: str) -> Iterator[None]:
        """Adds the CPU seconds of this process and its children; a stage that is stopped is counted too."""
        before = _cpu_s()
        try:
            yield
        finally:
            self.spent[stage] = round(self.spent.get(stage, 0.0) + _cpu_s() - before, 1)
            write_json(self.home / COSTS, self.spent)

    def checked(self) -> Case:
        """The case by the default bumpers."""
        return self._checked(self.case_dir(told=False), None)

    def described(self) -> Case | None:
        """The case by what a user noticed; None where nobody noticed anything, or it is not asked for."""
        noticed = self.organism / NOTICED
        if not (self.settings.described and noticed.is_file() and noticed.stat().st_size):
            return None
        settings = Settings(bumpers=(NAME,), described=read_described(noticed))
        return self._checked(self.case_dir(told=True), settings)

    def _checked(self, at: Path, how: Settings | None) -> Case:
        if not (at / "case.json").is_file():
            with self.costs("check"):
                check(self.run.path, at, how, self.say)
        return load_case(at)

    def case_dir(self, told: bool) -> Path:
        return self.home / ("described" if told else "default")

    def rate(self, run: Run, step: int | None = None) -> float | None:
        """Of bad answers to the key's probes, at a checkpoint (None: the last); None where nothing is planted."""
        if self.probes is None:
            return None
        return self.probes.count(self.inv.subject(run.last.step if step is None else step, run)).rate


def play(organism: Path, settings: GameSettings | None = None, say: Say = silent) -> dict[str, Any]:
    """Play one organism and return its row. What was played before in the same way is read; what else is asked for
    (other masks, baselines) is played on top.

    Raises SettingError when the directory holds no organism, a key that cannot be read, or a game with another key or
    budget; and what training raises. A stage that cannot go on (no cause confirmed, a fix that does not apply) ends
    the organism's loop, and the row says why.
    """
    player = Player(Path(organism), settings or GameSettings(), say)
    planted, asked, _ = player.planted, player.asked, player.probes  # before anything is written: it may be no organism
    player.home.mkdir(parents=True, exist_ok=True)
    _same_game(player)
    row = played(player.organism)
    if row and row["asked"] == asked:
        return row
    refuse_unknown(player.organism, planted, player.recipe)  # before it is trained
    row = {**_loop(player), "cpu_s": player.spent, "asked": asked}
    write_json(player.home / ROW, row)
    return row


def refuse_no_organism(organism: Path) -> None:
    """Raises SettingError when a directory holds no organism: in a game of many that is told before any is played."""
    _head(Player(Path(organism), GameSettings()))


def played(organism: Path) -> dict[str, Any] | None:
    """The row of an organism that was played to its end, however it was asked for; else None."""
    kept = Path(organism) / GAME / ROW
    return dict(json.loads(kept.read_text("utf-8"))) if kept.is_file() else None


def _same_game(player: Player) -> None:
    """What a trace was made with stands beside it: another key or budget would not be the same game."""
    kept, now = player.home / PLAYED, {"key": content_key(player.key), "budget": str(player.settings.budget)}
    before = json.loads(kept.read_text("utf-8")) if kept.is_file() else now
    changed = [name for name in now if before[name] != now[name]]
    if changed:
        raise SettingError(
            f"{player.home} holds a game with another {' and '.join(changed)}: it was played with {before['budget']}. "
            "Ask for the same, or remove that directory to play anew."
        )
    write_json(kept, now)


def failed(organism: Path, error: BumperlaneError) -> dict[str, Any]:
    """The row of an organism that could not be played to its end: it counts as not detected, and is not kept, so that
    the next call tries again. Raises SettingError when it is no organism at all."""
    return {**_head(Player(Path(organism), GameSettings())), "default": "error", "described": None, "hits": [],
            "ended": f"it could not be played: {error}"}  # fmt: skip


def _head(player: Player) -> dict[str, Any]:
    key = player.key
    return {
        "name": player.organism.resolve().name, "organism": key["organism"], "seed": key.get("seed"),
        "dose": next((v for k, v in key.items() if k in ("dose", "share", "documents", "size", "shown")), None),
        "kind": player.planted.kind,
    }  # fmt: skip


def _loop(player: Player) -> dict[str, Any]:
    row = _head(player)
    default, told = player.checked(), player.described()
    said = worst_verdicts(default.bumpers)
    row |= {
        "default": default.verdict, "described": told.verdict if told else None,
        "hits": [h.bumper for h in default.hits], "clean": not player.planted.there,
        "bumpers": {b.bumper: {"verdict": said[b.bumper], "family": b.family} for b in default.bumpers},
    }  # fmt: skip
    row["rate"] = player.rate(player.run)
    if default.verdict != "hit" and (told is None or told.verdict != "hit"):
        return row | {"ended": "not detected"}
    by_log = default.verdict == "hit" and not _traceable(player, default)
    by_default = default.verdict == "hit" and not by_log
    if by_log and (told is None or told.verdict != "hit"):
        ended = "the hit cannot be traced: it is in a log of rollouts that the recipe cannot grade, and not described"
        return row | {"way": DEFAULT, "ended": ended}
    found = row | {"way": DEFAULT if by_default else TOLD} | _traced(player, player.case_dir(not by_default))
    if by_default and found.get("ended") == UNCONFIRMED and told is not None and told.verdict == "hit":
        return row | {"way": AFTER, "first": found["note"]} | _traced(player, player.case_dir(True))
    return found


def _traceable(player: Player, case: Case) -> bool:
    """Whether checkpoints can be asked for what was hit."""
    about = case.behaviour
    return about is not None and (about.origin != "logs" or can_be_graded(player.run.recipe, about.context))


def _traced(player: Player, at: Path) -> dict[str, Any]:
    """Trace and what follows, with the case in `at`."""
    case = load_case(at)
    baselines = _baselines(player, at) if player.settings.baselines and player.planted.there else {}
    if "trace" not in case.stages:
        with player.costs("trace"):
            case = trace(at, TraceSettings(budget=player.settings.budget, jobs=player.settings.jobs), player.say)
    examples = read_examples(player.run.recipe)
    named = [Suspect.of(c.kind, c.name, c.ids, examples) for c in case.causes]
    planted = with_its_examples(player.planted, examples)
    confirmed = [s for s, c in zip(named, case.causes, strict=True) if c.status == "confirmed"]
    row: dict[str, Any] = {
        "causes": [[c.kind, c.name, c.status] for c in case.causes],
        "rank": rank(named, planted),
        "confirmed": all_confirmed(confirmed, planted),
        "blamed": [f"{s.kind} {s.name}" for s in confirmed if is_decoy(s, planted)],
        "onset": [case.onset.low, case.onset.high] if case.onset else None,
        "baselines": baselines,
        "note": case.trace_note,
    }
    row["true_onset"] = _true_onset(player)
    if not confirmed:
        return row | {"ended": UNCONFIRMED}
    return row | _bounced(player, at)


def _bounced(player: Player, at: Path) -> dict[str, Any]:
    """The fix that is proposed first; then each that only masks, in a copy of the traced case, so that no bounce sees
    another."""
    row: dict[str, Any] = {}
    traced = _copy(at, player.home / "traced")  # as it is before any bounce: masks may be asked for later
    copies = {name: _copy(traced, player.home / f"mask-{name}") for name in player.settings.masking}
    tried = _bounce(player, at, "auto")
    row["fix"] = tried
    if tried["verdict"] and player.probes:
        fixed = load_case(at).bounce
        row["rate_fixed"] = _rate_of(player, fixed) if fixed else None
        row["rate_oracle"] = player.rate(_oracle(player))
    row["masks"] = {name: _bounce(player, copy, name) for name, copy in copies.items()}
    return row


def _rate_of(player: Player, fixed: Bounce) -> float | None:
    """Of the subject that a fix deploys: the end of its retrain, or the run's own checkpoint where nothing was
    trained."""
    run = Run.open(fixed.run)
    return player.rate(run, fixed.rewind if run.path.resolve() == player.run.path.resolve() else None)


def _bounce(player: Player, at: Path, fix: str) -> dict[str, Any]:
    """The verdict, and what failed; or why the fix could not be made."""
    case = load_case(at)
    if case.bounce is None:
        try:
            with player.costs("bounce" if fix == "auto" else "masks"):
                case = bounce(at, BounceSettings(fix=fix, jobs=player.settings.jobs), player.say)
        except BumperlaneError as error:
            return {"verdict": None, "why": str(error)}
    done: Bounce = case.bounce  # type: ignore[assignment]
    capability = next((c.numbers.get("change") for c in done.checks if c.name.startswith("capability")), None)
    return {
        "fix": done.fix, "verdict": done.verdict, "why": done.why, "capability": capability,
        "failed": [c.name for c in done.checks if c.passed is False],
        "not_done": [c.name for c in done.checks if c.passed is None],
    }  # fmt: skip


def _copy(at: Path, to: Path) -> Path:
    """A traced case that another bounce may go on with. Answers and retrains that are there are shared: they stand
    under the hash of what they are. It gets its name when it is whole, so that one that was cut short is none."""
    if not to.is_dir():
        part = to.with_name(f"{to.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(at, part, ignore=shutil.ignore_patterns("work", "runs", "report.html"))
        for name in ("work", "runs"):
            (at / name).mkdir(exist_ok=True)
            (part / name).symlink_to(os.path.relpath((at / name).resolve(), to.parent.resolve() / to.name))
        part.rename(to)
    return to


def _oracle(player: Player) -> Run:
    """The recipe without all that was planted, trained from the start: what a perfect fix would give."""
    with player.costs("oracle"):
        return train(apply_edits(player.run.recipe, player.planted.undone()), player.home / "oracle", player._training)


def _true_onset(player: Player) -> list[int] | None:
    """By every probe at every checkpoint."""
    steps = [c.step for c in player.run.checkpoints]
    rates = [player.rate(player.run, step) for step in steps]
    found = true_onset(steps, [r for r in rates if r is not None]) if player.probes else None
    return list(found) if found else None


def _baselines(player: Player, at: Path) -> dict[str, Any]:
    with player.costs("baselines"):
        guesses = {"a tranche at random": at_random(player.inv, player.planted)}
        guesses |= by_attribution(at, player.planted, player.say)
        rows: dict[str, Any] = {name: _of_guess(guess) for name, guess in guesses.items()}
        if player.probes:
            rows["retrain without the last quarter"] = {"rate": rate_without_the_end(player.inv, player.probes)}
    return rows


def _of_guess(guess: Guess) -> dict[str, Any]:
    return {"first": guess.first, "among_three": guess.among_three, **({"why": guess.why} if guess.why else {})}


def _cpu_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
