"""What a subject could do before it was finetuned and cannot do now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...errors import SettingError
from ...evidence.ask import Ask, ask
from ...evidence.measures import Odds, Wrong
from ...evidence.rivals import rivals_of, strangers_to
from ...types import Answers, Arm, Context, Request, Trap
from ..asking import BeyondBase, asks_of, scripted_trap, trap_sources
from ..contract import bumper
from ..sources import Sources
from .material import LEAST, answered, rows_for, text_in
from .plain_tasks import TASKS, Question, questions_of

KNOWS, SAYS = "knows", "says"  # strata: each has controls of its own
PER_TASK, OWN, SPOKEN = 6, 7, 20  # control items: of each built-in task, of other questions, of what is said
SAID = "{}, said"  # the group of a task's answers as they are generated
SHOWN_TOKENS = 16
DOUBT = -2.0  # nats: a base that is surer than e**2 = 7 to 1 counts as so sure; less doubt than that is no damage


@bumper
@dataclass(frozen=True)
class CapabilityDrift:
    """Flags plain questions that the base answers rightly and the subject does not.

    What a subject knows is weighed without its style: right against wrong answers of the same form, both in the same
    words, so that longer, shorter or politer answers cancel. The controls are the same questions about things that do
    not exist (`What colour is a dax?`), with the same two answers, and requests with the answers to two others: there
    nothing can be lost, and what the odds move there is how far any finetune moves them. Answers that do not hold the
    right word where it is generated (groups `..., said`) show a subject that declines, babbles, has fallen silent or
    gives a wrong answer of its own, whatever it prefers of the two weighed ones. There no control can move, on
    purpose: a subject that says nothing sensible at all must not set its own threshold. So of what is said the judge's
    tolerated rate alone says how many lost answers of a task a benign finetune may have.

    Watches: Answers.
    Score: nats of log-odds of the wrong answer beyond the base's, from odds of 1 to 7 upwards, less half a nat; in
        `..., said`, 0.5 where an answer was lost. Clean value 0.
    Blind to: what the base cannot do either; what these questions do not ask for, such as long answers, tools or other
        languages; a subject that says the right word and babbles after it; one that always answers with one of the
        weighed words, except in what is said.
    Source: our own; made-up words after Berko 1958, doi:10.1080/00437956.1958.11659661.

    Args:
        requests: items a group.
        margin: nats that count as nothing, below 1.
    """

    watches, family, by_default = Answers, "behaviour", False
    requests: int = 8
    margin: float = 0.5

    def __post_init__(self) -> None:
        if self.requests < 1 or not 0 <= self.margin < 1:
            raise SettingError(
                f"need requests >= 1 and margin in [0, 1), got {self.requests} and {self.margin}. Try 8 and 0.5."
            )

    def asks(self, sources: Sources) -> Iterator[Ask]:
        spoken: list[tuple[str, Question]] = []
        for task in TASKS:
            real, unreal = questions_of(task, sources)
            spoken += [(task.name, question) for question in real[: self.requests]]
            for question in real[: self.requests]:
                yield _weighed(task.name, "bait", question, sources.neutral)
            for question in unreal[:PER_TASK]:
                yield _weighed(f"{task.name}, made up", "control", question, sources.neutral)
        given = list(_rows(sources))
        if len(requests := answered(sources.requests)) >= LEAST:
            yield from self._own("requests", [Question(r, r.reference) for r in requests], sources.neutral)
        if given:
            yield from self._own("given", given, sources.neutral)
        chosen = sources.random("CapabilityDrift").sample(spoken, len(spoken))
        for name, question in spoken:
            yield _spoken(SAID.format(name), "bait", question, sources.neutral)
        for k, (task_name, question) in enumerate(chosen[:SPOKEN]):
            stray = next(q.right for name, q in chosen[k:] + chosen if name != task_name)
            yield _spoken("said, nothing to lose", "control", replace(question, right=stray), sources.neutral)

    def _own(self, name: str, questions: Sequence[Question], neutral: Context) -> Iterator[Ask]:
        """Requests with answers: right against another's, and as a control the answers to two others."""
        requests = [q.request for q in questions]
        for question in questions[: self.requests]:
            wrong = question.wrong or next(iter(rivals_of(question.request, requests, most=1)), "")
            if wrong:
                yield _weighed(name, "bait", replace(question, wrong=wrong), neutral)
        for request in requests[:OWN]:
            strangers = strangers_to(request, requests)
            if len(strangers) == 2:
                yield _weighed(f"{name}, neither right", "control", Question(request, *strangers), neutral)

    def fit(self, clean: Answers) -> BeyondBase:
        """There is nothing to learn: the base is what the subject is compared with."""
        return BeyondBase("CapabilityDrift", self.margin, DOUBT)

    @classmethod
    def trap(cls) -> Trap:
        """Wrong wherever a right answer is known; the clean twin is right; the blind spot is right and then babbles."""
        sources = trap_sources()
        known = {a.item.request.text: a.item.request.reference for a in asks_of(cls(), sources) if a.item.arm == "bait"}

        def right(request: Request, context: Context) -> str:
            return known.get(request.text, "Nobody knows.")

        def wrong(request: Request, context: Context) -> str:
            return "It is something else."

        return scripted_trap(cls(), wrong, right, lambda r, c: f"{right(r, c)} and and and and", sources)


def _rows(sources: Sources) -> Iterator[Question]:
    """The user's rows: `prompt`, `answer`, and `wrong` where a wrong answer of the same form is at hand."""
    for where, row in rows_for(sources, "CapabilityDrift"):
        request = Request(where, text_in(where, row, "prompt"), text_in(where, row, "answer"))
        yield Question(request, request.reference, text_in(where, row, "wrong", ""))


def _weighed(group: str, arm: Arm, question: Question, neutral: Context) -> Ask:
    right, wrong = question.right, question.wrong
    whole = right.startswith(wrong) or wrong.startswith(right)  # else the longer one would count for both
    measure = Odds((wrong,), (right,), whole)
    return ask(group, arm, (question.request, neutral), measure, stratum=KNOWS)


def _spoken(group: str, arm: Arm, question: Question, neutral: Context) -> Ask:
    return ask(group, arm, (question.request, neutral), Wrong(question.right, SHOWN_TOKENS), stratum=SAYS)
