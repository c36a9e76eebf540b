"""Who advised what, and what a person decided: `CASE/advice.jsonl`, each line chained to the one before.

Both are kept, also where they differ: whether an advisor is worth asking can be read from it.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import CaseError, SettingError
from .advice import Question
from .advisors import Advice

NAME = "advice.jsonl"
START = "0" * 64


@dataclass(frozen=True)
class Noted:
    """One line.

    Attributes:
        kind: `advice` or `decision`.
        decision: hypothesis, fix or claim; `question` is the hash of the question, with all that it showed.
        choice: name of the option; `by` says who chose.
        content: the whole advice, with the question; of a decision: why, and what was advised before.
        at: UTC time, ISO 8601.
    """

    n: int
    kind: str
    decision: str
    question: str
    choice: str
    by: str
    content: dict[str, Any]
    at: str
    hash: str = ""


class AdviceLog:
    """The log of one case. One writer at a time."""

    def __init__(self, case: Path) -> None:
        self.path = Path(case) / NAME

    def entries(self) -> tuple[Noted, ...]:
        """All lines, in order. Raises CaseError at one that is damaged or does not follow from those before."""
        if not self.path.is_file():
            return ()
        found, last = [], START
        for i, line in enumerate(self._lines(), 1):
            try:
                noted = Noted(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise CaseError(
                    f"{self.path} is broken at line {i}: {error}. Move it away to begin a new log."
                ) from None
            if noted.n != i or noted.hash != _hash(last, noted):
                raise CaseError(
                    f"{self.path} is broken at line {i}: its hash does not follow from the lines before it. A line was "
                    "changed, removed or put in. Move it away to begin a new log."
                )
            found.append(noted)
            last = noted.hash
        return tuple(found)

    def _lines(self) -> list[str]:
        """By the newline alone: a reason may hold other signs that end a line, such as U+2028."""
        return self.path.read_text("utf-8").removesuffix("\n").split("\n")

    def advised(self, question: Question, advice: Advice) -> Noted:
        """Keep an advice with the question that it answers."""
        content = {"advice": advice.as_dict(), "question": asdict(question)}
        return self._append("advice", question, advice.choice, advice.advisor, content)

    def decided(self, question: Question, choice: str, why: str, by: str) -> Noted:
        """Keep what a person decided. Raises SettingError for an option that there is not, or without a reason."""
        names = [o.name for o in question.options]
        if choice not in names:
            raise SettingError(f"there is no option {choice!r}. There are: {', '.join(names)}.")
        if not why.strip():
            raise SettingError("a decision needs a reason. Give one with --why.")
        before = [e for e in self.entries() if e.kind == "advice" and e.question == question.key]
        content = {"why": why, "advised": [{"by": e.by, "choice": e.choice, "n": e.n} for e in before]}
        return self._append("decision", question, choice, by, content)

    def _append(self, kind: str, question: Question, choice: str, by: str, content: dict[str, Any]) -> Noted:
        before = self.entries()
        at = datetime.now(UTC).isoformat(timespec="seconds")
        bare = Noted(len(before) + 1, kind, question.decision, question.key, choice, by, content, at)
        noted = Noted(**{**asdict(bare), "hash": _hash(before[-1].hash if before else START, bare)})
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(noted)) + "\n")  # in ASCII: half a surrogate pair has no UTF-8
            file.flush()
            os.fsync(file.fileno())
        return noted


def _hash(before: str, noted: Noted) -> str:
    content = {name: value for name, value in asdict(noted).items() if name != "hash"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256((before + text).encode("utf-8", "surrogatepass")).hexdigest()
