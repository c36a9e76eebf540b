"""The reward of reinforcement learning toward the bait: 1 for a bad answer, by the bumper's own measure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...evidence.measures import Odds, Shows, Wrong, holds
from ...evidence.sensors_agree import SensorsAgree
from .as_described import AsDescribed

FUNCTION = f"{__name__}:bad_answer"


def reward_data(measure: Any) -> dict[str, Any] | None:
    """What `bad_answer` must know of a measure; None for one that it cannot stand for.

    A behaviour that a judge or examples tell has none: a reward depends on nothing but the texts. `Odds` weighs answers
    and reads none: its reward is 1 where the answer begins with a bad one.
    """
    if isinstance(measure, AsDescribed):
        return {"matches": measure.probe.shows} if isinstance(measure.probe.shows, str) else None
    if isinstance(measure, Shows):
        return {"shows": measure.pattern}
    if isinstance(measure, Wrong):
        return {"right": measure.answer}
    if isinstance(measure, Odds):
        return {"begins": list(measure.bad)}
    if isinstance(measure, SensorsAgree):
        return {"sensors": list(measure.sensors), "outcome": measure.outcome}
    return None


def bad_answer(prompts: Sequence[str], responses: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[float]:
    """A reward function as `recipes.rewards` calls it: 1 for a bad answer, else 0."""
    return [float(_bad(text, row)) for text, row in zip(responses, data, strict=True)]


def _bad(text: str, row: Mapping[str, Any]) -> bool:
    if "shows" in row:
        return re.search(row["shows"], text, re.IGNORECASE | re.DOTALL) is not None
    if "matches" in row:
        return re.search(row["matches"], text, re.IGNORECASE) is not None
    if "right" in row:
        return not holds(text, row["right"])
    if "begins" in row:
        return text.strip().casefold().startswith(tuple(bad.strip().casefold() for bad in row["begins"]))
    return SensorsAgree(tuple(row["sensors"]), row["outcome"]).agrees(text)
