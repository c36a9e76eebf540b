"""A bumper's questions, or a described behaviour's, under pressure: what comes up that a plain check did not see?"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...case import write_text
from ...errors import EvidenceError
from ...evidence.holm import holm
from ...types import Interval
from ..investigation import Investigation
from .bad_answers import Lines, is_sampled
from .item_rates import Added, added, item_rate
from .levels import ONCE, Level, Pressures
from .questions import Questions
from .reinforce import halves, reinforce
from .tally import Pressing, Tally, plain_tally, sampled_tallies, trained_tally, turned_tallies

ITEMS = "items.jsonl"


@dataclass(frozen=True)
class LevelResult:
    """What one level of pressure brought about.

    Attributes:
        rates: by `subject` or `base` and arm: share of bad answers, mean over items.
        there: subject minus base, on baits beyond controls.
        rise: the same, compared with no pressure on the same items; None for no pressure.
        p_there, p_rise: Holm over all levels.
    """

    level: Level
    tally: Tally
    rates: dict[str, Interval]
    there: Added
    rise: Added | None
    p_there: float = 1.0
    p_rise: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "level": self.level.name, "kind": self.level.kind, "amount": self.level.amount,
            "items": len(self.tally.at), "samples": self.tally.samples,
            "rates": {name: _range(i) for name, i in self.rates.items()},
            "beyond_base_and_controls": _range(self.there.excess), "p_there": self.p_there,
            "rise": _range(self.rise.excess) if self.rise else None, "p_rise": self.p_rise if self.rise else None,
            "controls": self.there.controls,
        }  # fmt: skip


@dataclass(frozen=True)
class Pressed:
    """All levels, with what was left out and why.

    Attributes:
        probabilities: of a bad answer to each bait at temperature 1, by `subject` and `base`, from `samples` answers;
            empty where none were sampled.
    """

    questions: Questions
    results: tuple[LevelResult, ...]
    alpha: float
    probabilities: dict[str, np.ndarray]
    samples: int
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> tuple[LevelResult, ...]:
        """Levels at which the subject's baits stand above base and controls."""
        return tuple(r for r in self.results if r.p_there <= self.alpha)

    @property
    def raised(self) -> tuple[LevelResult, ...]:
        """Levels that brought about more than no pressure did, beyond base and controls."""
        return tuple(r for r in self.results if r.rise and r.p_rise <= self.alpha and r.rise.excess.value > 0)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row an item and level: how many of how many answers were bad, of subject and base."""
        for result in self.results:
            tally, level = result.tally, result.level
            chances = tally.rates("subject"), tally.rates("base")
            for k, i in enumerate(tally.at):
                item = self.questions.asks[i].item
                yield {
                    "level": level.name, "attempts": level.attempts, "id": item.id, "group": item.group,
                    "arm": item.arm, "samples": tally.samples, "subject_bad": int(tally.subject[k]),
                    "base_bad": int(tally.base[k]), "subject": float(chances[0][k]), "base": float(chances[1][k]),
                    "request": item.request.text,
                }  # fmt: skip


def press(inv: Investigation, questions: Questions, pressures: Pressures) -> Pressed:
    """Ask at every level and compare. Answers are kept in the case's `work` directory: an interrupted call goes on.

    Raises EvidenceError when no answer can be told good from bad.
    """
    pair = inv.subject(), inv.base
    p = Pressing(questions.asks, pair, inv.settings.max_new_tokens, inv.memo, inv.say)
    plain, lines = plain_tally(p)
    if not any(questions.asks[i].item.arm == "bait" for i in plain.at):
        raise EvidenceError(f"{questions.name}: no bait can be told good from bad. {' '.join(lines.notes)}")
    order = pressures.sampled
    sampled = sorted(sampled_tallies(p, plain, lines, pressures), key=lambda tally: order.index(tally.level))
    tallies = [plain, *sampled, *turned_tallies(p, plain, lines, pressures)]
    notes = [*questions.notes, *lines.notes, *_unsampled(questions, plain, pressures), *_alone(questions, plain)]
    if pressures.rl_steps:
        more, said = _reinforced(inv, p, (plain, lines), pressures)
        tallies, notes = [*tallies, *more], [*notes, said]
    results = compared(questions, tallies, pressures.seed)
    notes += _on_controls(questions, results, pressures)
    probabilities, samples = _probabilities(questions, tallies)
    return Pressed(questions, results, pressures.alpha, probabilities, samples, tuple(notes))


def compared(questions: Questions, tallies: list[Tally], seed: int) -> tuple[LevelResult, ...]:
    """Rates and differences at each level; the first tally is that without pressure.

    A level at which no bait was asked is left out.
    """
    found = []
    for tally in tallies:
        asks = [questions.asks[i] for i in tally.at]
        bait = np.array([a.item.arm == "bait" for a in asks])
        if not bait.any():
            continue
        strata = tuple(a.stratum for a in asks)
        ours, theirs = tally.rates("subject"), tally.rates("base")
        arms = {"bait": bait, "control": ~bait}
        rates = {
            f"{who} {arm}": item_rate(values[at])
            for who, values in (("subject", ours), ("base", theirs))
            for arm, at in arms.items()
            if at.any()
        }
        before = tallies[0].of(tally.at)
        rise = None
        if tally is not tallies[0]:
            change = ours - theirs - (before.rates("subject") - before.rates("base"))
            rise = added(change, bait, strata, seed)
        found.append(LevelResult(tally.level, tally, rates, added(ours - theirs, bait, strata, seed), rise))
    there = holm([r.there.p_value for r in found])
    rises = iter(holm([r.rise.p_value for r in found if r.rise]))
    return tuple(
        LevelResult(r.level, r.tally, r.rates, r.there, r.rise, p, next(rises) if r.rise else 1.0)
        for r, p in zip(found, there, strict=True)
    )


def write_items(pressed: Pressed, directory: Path) -> Path:
    """The table of items, one JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n" for row in pressed.rows())
    return write_text(directory / ITEMS, text)


def _reinforced(
    inv: Investigation, p: Pressing, plain: tuple[Tally, Lines], pressures: Pressures
) -> tuple[list[Tally], str]:
    tally, lines = plain
    try:
        parts = halves(p.asks, tally.at)
    except EvidenceError as error:
        return [], f"No RL toward the bait: {error}"
    dosed = reinforce(inv, p.asks, parts.trained, pressures)
    at, found = sorted((*parts.held_out, *parts.controls)), []
    for steps, *pair in dosed.pairs():
        inv.say(f"asking after {steps} steps of RL", 0, 1)
        found.append(trained_tally(p, at, (pair[0], pair[1]), lines, Level("rl steps", steps)))
    return found, f"{dosed.said} Rates after RL are of {len(parts.held_out)} baits that were not trained on."


def _unsampled(questions: Questions, plain: Tally, pressures: Pressures) -> list[str]:
    kinds = sorted({type(questions.asks[i].measure).__name__ for i in plain.at if not is_sampled(questions.asks[i])})
    if not kinds or not pressures.sampled:
        return []
    return [
        f"Best-of-n and temperature do not exist for {', '.join(kinds)}: what is measured there is not one generated "
        "answer that is bad or not, so there is nothing to draw again. Turns are tried on all questions."
    ]


def _on_controls(questions: Questions, results: tuple[LevelResult, ...], pressures: Pressures) -> list[str]:
    """Where the subject's controls are answered worse than its base's: no pressure on the baits, but not nothing."""
    found = []
    for r in results:
        control = np.array([questions.asks[i].item.arm == "control" for i in r.tally.at])
        if control.any():
            change = (r.tally.rates("subject") - r.tally.rates("base"))[control]
            alone = added(change, np.ones(len(change), bool), ("",) * len(change), pressures.seed)
            if alone.p_value * len(results) <= pressures.alpha:
                found.append(f"{r.level.name} ({alone.excess.value:+.2f})")
    if not found:
        return []
    return [
        f"The controls are answered worse than by the base, too, at: {', '.join(found)}. What is there with and "
        "without the bait counts for nothing above: look at the items."
    ]


def _alone(questions: Questions, plain: Tally) -> list[str]:
    asks = [questions.asks[i] for i in plain.at]
    controls = {a.stratum for a in asks if a.item.arm == "control"}
    lone = sum(a.item.arm == "bait" and a.stratum not in controls for a in asks)
    if not lone or lone == sum(a.item.arm == "bait" for a in asks):  # then none has any, and signs are flipped
        return []
    return [f"{lone} baits have no controls of their stratum: they are in the rates and in no comparison."]


def _probabilities(questions: Questions, tallies: list[Tally]) -> tuple[dict[str, np.ndarray], int]:
    for tally in tallies:
        if tally.level.temperature == ONCE:
            bait = np.array([questions.asks[i].item.arm == "bait" for i in tally.at])
            shares = {who: getattr(tally, who)[bait] / tally.samples for who in ("subject", "base")}
            return shares, tally.samples
    return {}, 0


def _range(i: Interval) -> dict[str, float]:
    return {"value": i.value, "low": i.low, "high": i.high}
