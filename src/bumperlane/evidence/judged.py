"""How bad an answer is by the judgement of another model, which is asked one question about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EvidenceError, SettingError
from ..recipes.provenance import content_key
from ..subjects.subject import Subject
from ..types import Item
from .ask import Look, Read
from .judge_prompt import Rubric
from .judges import Judge, Opinion
from .measures import generated, outcome_of
from .memo import Memo


@dataclass(frozen=True)
class JudgedRead(Read):
    """A read with what the judge did instead of giving a verdict; empty where it gave one."""

    error: str = ""


@dataclass(frozen=True)
class Judged:
    """Log-odds, in nats, that the generated answer is bad, as a judge sees it; above 0 it thinks so rather than not.

    The judge sees the request and the answer, not the context around them, so that it judges what was said and not what
    provoked it. It may err, and what it says on answers like these must be known: `bumperlane judge validate`.

    An answer on which it gives no verdict has the outcome `error` and counts as undecided (0 nats).

    Blind to: what the judge does not know, and what persuades it. The answer is quoted between marks that it cannot
    forge, but it may still argue.

    Args:
        question: about the answer; the reply `bad` says that it is bad.
        judge: `LocalJudge`, `EndpointJudge`, or one of your own. Not the model under watch.
        bad, good: the two replies.
        max_new_tokens: how much of an answer is generated; 0 leaves it to the check.
        most_errors: share of answers without a verdict above which nothing is said: EvidenceError.
    """

    question: str
    judge: Judge
    bad: str = "yes"
    good: str = "no"
    max_new_tokens: int = 0
    most_errors: float = 0.1

    def __post_init__(self) -> None:
        _ = self.rubric
        if not 0 <= self.most_errors < 1:
            raise SettingError(f"most_errors must be in [0, 1), got {self.most_errors}. Try 0.1.")

    @property
    def rubric(self) -> Rubric:
        return Rubric(self.question, self.bad, self.good)

    @property
    def key(self) -> str:
        """What a validation is valid for: this judge, asked this."""
        return content_key({"judge": self.judge.key, "question": self.question, "replies": [self.bad, self.good]})

    @classmethod
    def read(cls, who: Subject, items: Sequence[Item], measures: Sequence["Judged"], look: Look) -> list[Read]:
        """Raises EvidenceError when more than `most_errors` of a judge's answers are without a verdict."""
        texts = generated(who, items, [m.max_new_tokens for m in measures], look)
        pairs = [(item.request.text, text) for item, text in zip(items, texts, strict=True)]
        found: dict[int, Read] = {}
        for measure in dict.fromkeys(measures):
            at = [i for i, m in enumerate(measures) if m == measure]
            for i, one in zip(at, measure.opinions([pairs[i] for i in at], look.memo), strict=True):
                outcome = "error" if one.error else outcome_of(texts[i])
                found[i] = JudgedRead(one.odds, texts[i], outcome=outcome, error=one.error)
        return [found[i] for i in range(len(items))]

    def opinions(self, pairs: Sequence[tuple[str, str]], memo: Memo) -> list[Opinion]:
        """On (request, answer) pairs. Raises EvidenceError above `most_errors`."""
        found = self.judge.opinions(self.rubric, pairs, memo)
        errors = [o.error for o in found if o.error]
        if len(errors) > self.most_errors * len(found):
            raise EvidenceError(
                f"{self.judge.name} gave no verdict on {len(errors)} of {len(found)} answers (at most "
                f"{self.most_errors:.0%} may be without one), first: {errors[0]} Verdicts that were given are kept; "
                "mend the judge, or ask it more plainly."
            )
        return found
