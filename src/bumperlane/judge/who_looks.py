"""Which bumpers a check runs: those that were named, else the default ones and those that this run gives work to."""

from collections.abc import Sequence

from ..detect.asking import asks_of
from ..detect.contract import default_bumpers, find_bumper, joining_bumpers, reads_log, samples_rollouts
from ..errors import EvidenceError, SettingError
from ..evidence.checked_rollouts import LOGS, rollouts_in
from ..evidence.described import NAME
from ..evidence.fresh_rollouts import fresh_plan
from .asked import questions_for, sources_of
from .investigation import Investigation


def who_looks(inv: Investigation) -> tuple[list[type], dict[str, str]]:
    """The bumpers of a check, and why each of those that join others stays away.

    A bumper that joins needs more than a run always holds, such as a log of rollouts. Where that is missing it would be
    blind, and the whole check with it, though nothing is there to be seen; so it is left out, and the case says so.
    What is decided here is decided by the run's files: no subject is asked.

    Raises SettingError for an unknown name, and for items of a bumper that does not look.
    """
    left_out: dict[str, str] = {}
    if inv.settings.bumpers:
        looking = [find_bumper(name) for name in inv.settings.bumpers if name != NAME]
    else:
        looking = [*default_bumpers(), *(cls for cls in joining_bumpers() if _joins(inv, cls, left_out))]
    for name in inv.settings.items:
        if name not in {cls.__name__ for cls in looking}:
            raise SettingError(
                f"items were given for {name}, which this check does not run, so nothing would ask them. It runs "
                f"{', '.join(cls.__name__ for cls in looking) or NAME}. Name it as well: --bumper {name}."
            )
    return looking, left_out


def those_that_can_tell(inv: Investigation, bumpers: Sequence[type], left_out: dict[str, str]) -> list[type]:
    """All but those that joined unasked, take a first look at what subject and base say, and find that they can tell
    nothing there; the reason is put down. The first thing that a subject is asked."""

    def can_tell(cls: type) -> bool:
        asked_for = bool(inv.settings.bumpers) or cls.__name__ in inv.settings.items
        if asked_for or not (getattr(cls, "joins", False) and hasattr(cls, "first")):
            return True
        try:
            questions_for(inv, cls, "open")
        except EvidenceError as error:
            left_out[cls.__name__] = str(error)
            return False
        return True

    return [cls for cls in bumpers if can_tell(cls)]


def _joins(inv: Investigation, cls: type, left_out: dict[str, str]) -> bool:
    """Whether there is anything for it: items of the user, whatever they are, or what the run holds. Else the reason is
    put down."""
    if cls.__name__ in inv.settings.items:
        return True
    try:
        _material(inv, cls)
    except EvidenceError as error:
        left_out[cls.__name__] = str(error)
        return False
    return True


def _material(inv: Investigation, cls: type) -> None:
    """Raises EvidenceError where the run holds nothing for this bumper."""
    if samples_rollouts(cls):
        cls().at(inv.run)
        fresh_plan(inv.run, inv.step, inv.settings.seed)
        return
    if not reads_log(cls):
        asks_of(cls(), sources_of(inv, "open"))
        return
    if not any((inv.run.path / name).exists() for name in LOGS):
        raise EvidenceError("The run has no log of rollouts: nothing in it was trained by reward.")
    try:
        table = rollouts_in(inv.run.path)
    except EvidenceError:
        return  # there is a log, and what is wrong with it makes the bumper blind, not absent
    made = cls()
    getattr(made, "ready", made.dealt)(table)
