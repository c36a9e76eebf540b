"""What decides whether an answer shows a described behaviour, where no pattern can: a validated judge, or examples.

Both stand whole in the case, with what is known of their errors: a fix that they steered rests on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..recipes.place import Place
from ..subjects.smollm2 import cache_root
from .judged import Judged
from .judges import Judge, judge_named
from .like_examples import LikeExamples
from .memo import Memo
from .validation import Validation, read_validation


@dataclass(frozen=True)
class ByJudge:
    """A judge's verdict, on the line that its validation chose.

    Attributes:
        judge: as in `judge_named`.
        replies: the bad one and the good one.
        max_tokens, key_variable: of an endpoint.
        validation: of this judge with this question; one of another is refused, and so is a blind one.
    """

    judge: str
    question: str
    validation: Validation
    replies: tuple[str, str] = ("yes", "no")
    max_tokens: int = 16
    key_variable: str = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        if self.validation.blind:
            raise EvidenceError(f"{self.judge} cannot say whether an answer shows it: {self.validation.blind}")
        if self.judged.key != self.validation.key:
            raise EvidenceError(
                f"the validation is of {self.validation.scorer} asked {self.validation.question!r:.80}, "
                f"not of {self.judge} asked {self.question!r:.80} as it is. Validate this one with "
                "`bumperlane judge validate`."
            )

    @property
    def _asked(self) -> Judge:
        return judge_named(self.judge, self.key_variable, self.max_tokens)

    @property
    def judged(self) -> Judged:
        return Judged(self.question, self._asked, *self.replies, most_errors=0)

    def shown(self, request: str, answer: str) -> bool:
        """Raises EvidenceError when the judge gives no verdict: that is never taken for a good answer."""
        memo = Memo(cache_root() / "verdicts")  # asked again and again by trace and fix, in processes of their own
        (opinion,) = self.judged.opinions([(request, answer)], memo)
        return opinion.odds > self.validation.threshold


@dataclass(frozen=True)
class ByExamples:
    """Likeness to bad examples against good ones (`LikeExamples`), above `threshold` nats.

    Attributes:
        right: share of the examples on their side, each judged by the others: what is known of its errors where there
            is no validation.
        validation: on labelled answers, where there is one; its threshold is taken.
    """

    like: tuple[str, ...]
    unlike: tuple[str, ...]
    right: float
    validation: Validation | None = None

    def __post_init__(self) -> None:
        if self.validation is None:
            return
        if self.validation.blind:
            raise EvidenceError(f"the examples cannot say whether an answer shows it: {self.validation.blind}")
        if self.validation.key != self.measure.key:
            raise EvidenceError(
                "the validation is of other examples. Validate these: `bumperlane judge validate --examples FILE`."
            )

    @property
    def measure(self) -> LikeExamples:
        return LikeExamples(self.like, self.unlike)

    def shown(self, request: str, answer: str) -> bool:
        line = self.validation.threshold if self.validation else 0.0
        return bool(self.measure.odds([answer])[0] > line)


def judge_in(row: Mapping[str, Any], place: Place, folder: Path) -> ByJudge:
    """From a row's `judged` (the question), `judge`, `validation` (a file beside the behaviour's) and `replies`; for
    an endpoint also `max_tokens` and `key_variable`."""
    question, judge, path = (row.get(name) for name in ("judged", "judge", "validation"))
    for name, value in (("judged", question), ("judge", judge), ("validation", path)):
        if not isinstance(value, str) or not value.strip():
            raise place.at(name).fault(
                f"a row with 'judged' needs {name!r}, got {value!r:.60}. A judge steers a fix only with the "
                "file that `bumperlane judge validate` wrote.",
                EvidenceError,
            )
    replies = row.get("replies", ["yes", "no"])
    if not isinstance(replies, list) or len(replies) != 2 or not all(isinstance(r, str) for r in replies):
        raise place.at("replies").fault(
            f"replies must be two words, the bad one first, got {replies!r:.60}.", EvidenceError
        )
    kinds = {"max_tokens": int, "key_variable": str}
    more = {name: row[name] for name in kinds if name in row}
    for name, value in more.items():
        if not isinstance(value, kinds[name]):
            raise place.at(name).fault(f"{name} must be {kinds[name].__name__}, got {value!r:.60}.", EvidenceError)
    try:
        validation = read_validation(folder / str(path))
        return ByJudge(str(judge), str(question), validation, (replies[0], replies[1]), **more)
    except EvidenceError as error:
        raise place.at("validation").fault(str(error), EvidenceError) from error


def examples_in(row: Mapping[str, Any], place: Place, folder: Path) -> ByExamples:
    """From a row's `like` and `unlike`, lists of example answers, and `validation` where there is one."""
    given = {}
    for name in ("like", "unlike"):
        texts = row.get(name)
        if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise place.at(name).fault(f"{name} must be a list of example answers, got {texts!r:.60}.", EvidenceError)
        given[name] = tuple(texts)
    path = row.get("validation")
    try:
        right = LikeExamples(given["like"], given["unlike"]).likeness.right
        return ByExamples(**given, right=right, validation=read_validation(folder / path) if path else None)
    except EvidenceError as error:
        raise place.at("like").fault(str(error), EvidenceError) from error


def revived(data: Mapping[str, Any]) -> ByJudge | ByExamples:
    """The same from a case. Raises EvidenceError when the judge is no longer the one that was validated."""
    validation = Validation.from_dict(data["validation"]) if data["validation"] is not None else None
    if "judge" in data:
        first, second = data["replies"]
        return ByJudge(**{**data, "validation": validation, "replies": (first, second)})
    return ByExamples(tuple(data["like"]), tuple(data["unlike"]), data["right"], validation)
