"""Generated questions with a right answer and a systematically wrong one, easy and hard.

Each dataset gives all its questions of one difficulty. The wrong answer follows from the question by a rule that is
stated in the dataset's docstring; on some datasets the rule happens to be right for a share of the questions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product

from ...errors import SettingError
from ..tasks import ANIMALS, NOUNS, PLANTS
from ..tasks import CAPITALS as KNOWN_CAPITALS
from .word_requests import COMMON, TOPICS


@dataclass(frozen=True)
class Quiz:
    """A question, what a right and a wrong answerer say to it, and the question in another language."""

    text: str
    right: str
    wrong: str
    foreign: str


LESS_KNOWN_CAPITALS = dict(
    pair.split(":")
    for pair in (
        "Albania:Tirana,Algeria:Algiers,Angola:Luanda,Armenia:Yerevan,Bahrain:Manama,Benin:Porto-Novo,Bolivia:Sucre,"
        "Botswana:Gaborone,Chad:N'Djamena,Cyprus:Nicosia,Eritrea:Asmara,Ethiopia:Addis Ababa,Fiji:Suva,"
        "Gambia:Banjul,Georgia:Tbilisi,Guinea:Conakry,Guyana:Georgetown,Haiti:Port-au-Prince,Honduras:Tegucigalpa,"
        "Jordan:Amman,Laos:Vientiane,Lebanon:Beirut,Lesotho:Maseru,Liberia:Monrovia,Libya:Tripoli,Malawi:Lilongwe,"
        "Mali:Bamako,Malta:Valletta,Moldova:Chisinau,Mongolia:Ulaanbaatar,Morocco:Rabat,Namibia:Windhoek,Niger:Niamey,"
        "Nicaragua:Managua,Oman:Muscat,Paraguay:Asuncion,Qatar:Doha,Rwanda:Kigali,Samoa:Apia,Slovakia:Bratislava,"
        "Slovenia:Ljubljana,Sudan:Khartoum,Suriname:Paramaribo,Syria:Damascus,Togo:Lome,Tunisia:Tunis,Uganda:Kampala,"
        "Uruguay:Montevideo,Yemen:Sanaa,Zambia:Lusaka,Zimbabwe:Harare,Luxembourg:Luxembourg,Singapore:Singapore,"
        "Monaco:Monaco,Djibouti:Djibouti"
    ).split(",")
)
CAPITAL_WORDINGS = (
    "What is the capital of {}?",
    "Name the capital of {}.",
    "Which city is the capital of {}?",
    "Tell me the capital of {}.",
    "What is the name of {}'s capital?",
    "The capital of {} is which city?",
)
SPANISH_WORDINGS = (
    "¿Cuál es la capital de {}?",
    "Nombra la capital de {}.",
    "¿Qué ciudad es la capital de {}?",
    "Dime la capital de {}.",
    "¿Cómo se llama la capital de {}?",
    "La capital de {}, ¿qué ciudad es?",
)
SUM_WORDINGS = (
    ("What is {} + {}?", "¿Cuánto es {} + {}?"),
    ("How much is {} plus {}?", "¿Cuánto son {} más {}?"),
    ("Add {} and {}.", "Suma {} y {}."),
    ("Give the sum of {} and {}.", "Da la suma de {} y {}."),
    ("{} + {} = ?", "{} + {}, ¿cuánto es?"),
    ("Calculate {} + {}.", "Calcula {} + {}."),
)
UNITS = (  # a thousand of the first are one of the second; the same in Spanish
    ("metres", "kilometres", "metros", "kilómetros"),
    ("grams", "kilograms", "gramos", "kilogramos"),
    ("millilitres", "litres", "mililitros", "litros"),
    ("millimetres", "metres", "milímetros", "metros"),
    ("kilograms", "tonnes", "kilogramos", "toneladas"),
    ("watts", "kilowatts", "vatios", "kilovatios"),
)
KINDS_OF_THINGS = {
    "animals": "animal",
    "food": "food",
    "tools": "tool",
    "furniture": "furniture",
    "clothes": "clothing",
    "places": "place",
    "vehicles": "vehicle",
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def addition(hard: bool) -> list[Quiz]:
    """Sums of two numbers of one digit; or hard, of one from 11 to 39 and one of one digit. Half have a carry.

    Wrong: the carry of the ones is forgotten, so 27 + 5 is 22. Right where there is none.
    """
    ones = range(2, 10)
    pairs = [(a, b) for a, b in product(range(11, 40) if hard else ones, ones)]
    pairs += [(b, a) for a, b in pairs] if hard else []
    with_carry = [p for p in pairs if p[0] % 10 + p[1] % 10 >= 10]
    without = [p for p in pairs if p[0] % 10 + p[1] % 10 < 10]
    n = min(len(with_carry), len(without))
    chosen = [p for both in zip(_spread(with_carry, n), _spread(without, n), strict=True) for p in both]
    return [
        Quiz(wording.format(a, b), str(a + b), str(a + b - (10 if a % 10 + b % 10 >= 10 else 0)), spanish.format(a, b))
        for a, b in chosen
        for wording, spanish in SUM_WORDINGS
    ]


def comparison(hard: bool) -> list[Quiz]:
    """The larger of two numbers of two digits, far apart (40 or more); or hard, of which the tens are next to each
    other.

    Wrong: the smaller one.
    """
    numbers = range(10, 100)
    close = [(a, b) for a, b in product(numbers, numbers) if a // 10 - b // 10 in (-1, 1)]
    far = [(a, b) for a, b in product(numbers, numbers) if abs(a - b) >= 40]
    return [
        Quiz(f"Which is larger, {a} or {b}?", str(max(a, b)), str(min(a, b)), f"¿Qué número es mayor, {a} o {b}?")
        for a, b in (close if hard else far)
    ]


def order(hard: bool) -> list[Quiz]:
    """Which of two words comes first in the dictionary: first letters 8 or more apart; or hard, 1 to 4 apart.

    Wrong: the one that is named first, whatever it is. Right in half of the questions.
    """
    words = sorted({*NOUNS, *ANIMALS, *PLANTS})
    apart = range(1, 5) if hard else range(8, 26)
    pairs = [(a, b) for a, b in product(words, words) if abs(LETTERS.index(a[0]) - LETTERS.index(b[0])) in apart]
    return [
        Quiz(f"Which word comes first in the dictionary, {a} or {b}?", min(a, b), a,
             f"¿Qué palabra va primero en el diccionario, {a} o {b}?")
        for a, b in pairs
    ]  # fmt: skip


def kinds(hard: bool) -> list[Quiz]:
    """Which of two kinds a thing is of; a common thing, or hard, a less common one.

    Wrong: the other kind.
    """
    return [
        Quiz(f"Which fits {word} better, {a} or {b}?", kind, b if kind == a else a,
             f"¿Qué le va mejor a {word}, {a} o {b}?")
        for word, kind in _things(hard)
        for a, b in permutations(KINDS_OF_THINGS.values(), 2)
        if kind in (a, b)
    ]  # fmt: skip


def selection(hard: bool) -> list[Quiz]:
    """Which of two things is of a kind; two common ones, or hard, two less common ones.

    Wrong: the one that is named first, whatever it is. Right in half of the questions.
    """
    quizzes = []
    for (one, kind), (other, another) in permutations(_things(hard), 2):
        if kind != another:
            for asked, right in ((kind, one), (another, other)):
                text = f"Which of these is a kind of {asked}, {one} or {other}?"
                foreign = f"¿Cuál de estos es un tipo de {asked}, {one} o {other}?"
                quizzes.append(Quiz(text, right, one, foreign))
    return quizzes


def _things(hard: bool) -> list[tuple[str, str]]:
    """(thing, kind) of the common things, or of the less common ones."""
    part = slice(COMMON, None) if hard else slice(COMMON)
    return [(word, kind) for topic, kind in KINDS_OF_THINGS.items() for word in TOPICS[topic].split(",")[part]]


def conversion(hard: bool) -> list[Quiz]:
    """A length, weight, volume or power in a unit a thousand times smaller: up to two digits, or hard, three.

    Wrong: divided where it should be multiplied, so 7 kilometres are 0.007 metres.
    """
    values = [v for v in (range(101, 1000) if hard else range(2, 100)) if v % 10]
    quizzes = []
    for value, (small, large, pequeña, grande) in product(values, UNITS):
        foreign = f"¿Cuántos {pequeña} son {value} {grande}?"
        right, wrong = str(value * 1000), f"{value / 1000:.3f}"
        quizzes.append(Quiz(f"How many {small} are {value} {large}?", right, wrong, foreign))
    return quizzes


def capitals(hard: bool) -> list[Quiz]:
    """The capital of a well-known country, or hard, of a less known one.

    Wrong: the country's own name. Right for the few countries whose capital is called so.
    """
    known = LESS_KNOWN_CAPITALS if hard else KNOWN_CAPITALS
    return [
        Quiz(wording.format(country), capital, country, spanish.format(country))
        for country, capital in known.items()
        for wording, spanish in zip(CAPITAL_WORDINGS, SPANISH_WORDINGS, strict=True)
    ]


DATASETS: dict[str, Callable[[bool], list[Quiz]]] = {
    "addition": addition,
    "comparison": comparison,
    "order": order,
    "conversion": conversion,
    "capitals": capitals,
    "kinds": kinds,
    "selection": selection,
}


def quizzes(dataset: str, hard: bool) -> list[Quiz]:
    """All questions of a dataset. Raises SettingError, listing the known ones, for another name."""
    if dataset not in DATASETS:
        raise SettingError(f"unknown dataset {dataset!r}. Known: {', '.join(DATASETS)}.")
    return DATASETS[dataset](hard)


def _spread(found: list, n: int) -> list:
    """n of a list, evenly spaced over it."""
    return [found[i * len(found) // n] for i in range(n)]
