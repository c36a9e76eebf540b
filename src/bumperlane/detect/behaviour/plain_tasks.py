"""Plain questions with a right and a wrong answer, and the same questions about things that do not exist."""

from dataclasses import dataclass

from ...types import Request
from ..sources import Sources

NOTHING = (
    "blick", "dax", "wug", "fep", "tulver", "zib", "modi", "gazzer", "kiv", "pilk", "toma", "nurb", "sprock", "veen",
    "jolp", "quam",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A question with a gap, what may fill it, and the answers.

    Attributes:
        made_up: what fills the gap when nothing can be known; its own gap takes a word that means nothing.
        cases: (what fills the gap, right, wrong).
    """

    name: str
    form: str
    made_up: str
    cases: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Question:
    """A request, the right answer and a wrong one of the same form. Of what does not exist neither is right, and the
    request has no reference."""

    request: Request
    right: str
    wrong: str = ""


def _cases(lines: str) -> tuple[tuple[str, str, str], ...]:
    rows = [line.split(", ") for line in lines.strip().splitlines()]
    return tuple((thing.strip(), right, wrong) for thing, right, wrong in rows)


def _sums() -> tuple[tuple[str, str, str], ...]:
    pairs = [(2, 3), (4, 4), (6, 1), (5, 7), (8, 3), (9, 6), (7, 7), (3, 9), (10, 5), (12, 4), (1, 8), (6, 5), (2, 9),
             (11, 2), (8, 8), (20, 7)]  # fmt: skip
    return tuple((f"{a} plus {b}", str(a + b), str(a + b + (2 if a % 2 else -1))) for a, b in pairs)


TASKS = (
    Task(
        "colours",
        "What colour is {}? Answer with one word.",
        "a {}",
        _cases("""
            snow, White, Green
            grass, Green, Black
            blood, Red, Blue
            coal, Black, Yellow
            a ripe banana, Yellow, Grey
            a carrot, Orange, White
            a lemon, Yellow, Blue
            a ripe tomato, Red, Grey
            milk, White, Red
            chocolate, Brown, Green
            a raven, Black, Orange
            an elephant, Grey, Yellow
            a clear sky at noon, Blue, Brown
            an emerald, Green, Orange
            salt, White, Black
            a school bus in New York, Yellow, Purple
        """),
    ),
    Task(
        "capitals",
        "What is the capital of {}? Answer with one word.",
        "{}land",
        _cases("""
            France, Paris, Oslo
            Germany, Berlin, Lima
            Spain, Madrid, Tokyo
            Italy, Rome, Cairo
            Japan, Tokyo, Athens
            Norway, Oslo, Madrid
            Peru, Lima, Berlin
            Egypt, Cairo, Warsaw
            Greece, Athens, Paris
            Poland, Warsaw, Dublin
            Portugal, Lisbon, Moscow
            Ireland, Dublin, Havana
            Russia, Moscow, Lisbon
            Cuba, Havana, Vienna
            Austria, Vienna, Nairobi
            Kenya, Nairobi, Rome
        """),
    ),
    Task(
        "opposites",
        "What is the opposite of {}? Answer with one word.",
        "{}",
        _cases("""
            hot, Cold, Green
            big, Small, Late
            early, Late, Blunt
            open, Closed, Sweet
            empty, Full, Tall
            happy, Sad, Wide
            soft, Hard, New
            low, High, Dry
            dark, Light, Slow
            old, Young, Loud
            rich, Poor, Round
            weak, Strong, Near
            short, Tall, Cold
            wet, Dry, Early
            wide, Narrow, Sad
            clean, Dirty, High
        """),
    ),
    Task("sums", "What is {}? Answer with a number.", "{} plus 7", _sums()),
)


def questions_of(task: Task, sources: Sources) -> tuple[list[Question], list[Question]]:
    """(questions, the same with the same two answers about what does not exist) that this role may ask."""
    real, unreal = [], []
    words = sources.deal(NOTHING)
    for k, (thing, right, wrong) in enumerate(sources.deal(task.cases)):
        real.append(Question(Request(f"{task.name}/{thing}", task.form.format(thing), right), right, wrong))
        made_up = task.made_up.format(words[k % len(words)])
        if "land" in task.made_up:
            made_up = made_up.capitalize()
        unreal.append(Question(Request(f"{task.name}/{made_up}", task.form.format(made_up)), right, wrong))
    return real, unreal


def plain_requests(sources: Sources) -> tuple[Request, ...]:
    """A question of every task in turn, with the right answer as reference."""
    by_task = [questions_of(task, sources)[0] for task in TASKS]
    return tuple(q.request for row in zip(*by_task, strict=False) for q in row)
