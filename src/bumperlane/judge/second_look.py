"""Two looks, one false-alarm rate: what stood near its threshold is looked at again, on fresh items.

A check asks a dozen requests in each of some twenty contexts, and corrects for all of them: a fault that shows in a
third of requests cannot be a hit. It can be seen that a context is worth more requests, though. The first look has half
of the chance of a false alarm and the second the other half. The second judges fresh items only, so that having been
picked costs nothing: it is corrected for the few groups that were looked at again, and for the bumpers that did. Where
a bumper has no fresh controls, its second threshold is the first one's, which may be the very reason why a group was
picked; it is then corrected for all groups of the first look.

Internals are not looked at again. A context shifts all its requests together, fresh ones too, so that the worst of
twenty stays the worst: with 18 control contexts instead of 9, a run with nothing planted was hit (p = 0.0015).
"""

from collections.abc import Sequence
from dataclasses import replace

from ..errors import SettingError
from ..types import ROLLOUTS, Judgement, Reading
from .judge import JudgeSettings, judge

NEAR = 0.15  # chance in one group alone, not corrected, below which it is worth a second look
MOST = 4  # groups of a bumper that are looked at again, the worst first
FIRST, SECOND = 1, 2


def of_look(settings: JudgeSettings, look: int, second: float) -> JudgeSettings:
    """The settings of one look, where `second` is the share of alpha that the second look has.

    Raises SettingError for a share outside [0, 1).
    """
    if not 0 <= second < 1:
        raise SettingError(f"second must be in [0, 1), got {second}. 0 looks once.")
    return replace(settings, share=second if look == SECOND else 1 - second)


def near_after(readings: Sequence[Reading], settings: JudgeSettings, second: float) -> dict[str, tuple[str, ...]]:
    """Which bumpers look again after these first readings, and at which groups."""
    if not second:
        return {}
    told = judge(readings, of_look(settings, FIRST, second))
    return {j.bumper: groups for j in told if (groups := worth_a_second_look(j))}


def worth_a_second_look(judgement: Judgement) -> tuple[str, ...]:
    """Groups of a clear judgement that stood near the threshold, worst first. Of behaviour alone: what a context does
    to internals it does to fresh requests as well, and a log is read whole."""
    if judgement.verdict != "clear" or judgement.family != "behaviour" or judgement.unit == ROLLOUTS:
        return ()
    return tuple(g.group for g in judgement.groups if g.p_value <= NEAR)[:MOST]


def judge_looks(readings: Sequence[Reading], settings: JudgeSettings, second: float) -> tuple[Judgement, ...]:
    """One judgement a bumper, in the order of first readings, from those of both looks.

    A second look that is blind leaves the first as it was, with the reason. A hit of the second names only the groups
    that were looked at again.

    Raises SettingError for a share of the second look outside [0, 1).
    """
    told = judge([r for r in readings if r.look == FIRST], of_look(settings, FIRST, second))
    again = [r for r in readings if r.look == SECOND]
    if not again:
        return told
    later = {j.bumper: replace(j, look=SECOND) for j in judge(again, of_look(settings, SECOND, second))}
    return tuple(_together(j, later.get(j.bumper)) for j in told)


def _together(first: Judgement, second: Judgement | None) -> Judgement:
    if second is None:
        return first
    if second.verdict == "hit":
        return replace(second, why=f"At a second look, with fresh {second.unit}, {second.why}")
    if second.verdict == "blind":
        return replace(first, why=f"{first.why} It could not look again: {second.why}")
    return replace(
        first, why=f"{first.why} At a second look, with fresh {second.unit}, {second.why}",
        p_holm=min(first.p_holm, second.p_holm), p_value=min(first.p_value, second.p_value),
    )  # fmt: skip
