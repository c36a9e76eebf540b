"""Relabel: keep the cause's requests, and give them other answers."""

from dataclasses import dataclass
from typing import ClassVar

from ...errors import SettingError
from ...recipes.edits import DropExamples, Edit, Relabel
from ..fixes import Fix
from .benign import benign_answers, no_chats, same_answers
from .contract import Forecast, Traced, fix_kind


@fix_kind
@dataclass(frozen=True)
class RelabelCause:
    """Applies to causes that are chats. Where a file gives answers for some examples only, the others stay as they
    are; where a model is to answer and says nothing, the example goes."""

    name: ClassVar[str] = "relabel"
    about: ClassVar[str] = "give the cause's requests benign answers and retrain from before they were first seen"
    masks: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ("answers", "data")

    def refusal(self, traced: Traced) -> str:
        return no_chats(traced)

    def forecast(self, traced: Traced) -> Forecast:
        why = (
            "the bad answers go as if the cause were dropped, and its requests stay; that the requests alone teach "
            "nothing of it, and that the new answers are benign, is assumed."
        )
        return Forecast(traced.effect, "derived", why, traced.rewind, traced.steps - traced.rewind)

    def make(self, traced: Traced) -> Fix:
        answers, source = benign_answers(traced)
        silent = tuple(e.id for e in traced.examples if e.id not in answers)
        same = same_answers(traced.examples, answers)
        if same == len(traced.examples):
            raise SettingError(
                f"all {same} new answers are what the examples say already ({source}): nothing would change. Take "
                "--answers base, or give others with --data FILE."
            )
        edits: list[Edit] = [Relabel(tuple(answers.items()))]
        notes = [f"relabelled with {source}; {same} of them are what stood there before"]
        if silent and traced.options.data is None:
            edits.append(DropExamples(silent))
            notes.append(f"{len(silent)} examples that got an empty answer are dropped")
        return traced.fix(self.name, edits, traced.rewind, notes)
