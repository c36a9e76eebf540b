"""Sentences whose every number is computed: `{counts.bad} of {counts.of}`, `{bound.high:percent}`.

A field is a dotted path into the evidence and what follows from it, and after a colon how it is shown, from a closed
list. Nothing is evaluated. A digit or a number word in the prose is refused: it could be another number tomorrow.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from string import Formatter
from typing import Any

from ..errors import EvidenceError
from ..percent import percent
from ..recipes.schema import nearest

WORDS = (
    "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen "
    "half thirds quarter twice thrice none never always"
).split()
NUMBER_WORD = re.compile(rf"\b(({'|'.join(WORDS)})s?|halves)\b", re.IGNORECASE)


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template with every field computed.

    Raises EvidenceError for a digit or number word outside of braces, an unknown path or form, and a value that is not
    there: a sentence with a number that cannot be computed is not written.
    """
    out = []
    for literal, field, form, conversion in parse(template):
        refuse_numbers(literal)
        out.append(literal)
        if field is None:
            continue
        if conversion:
            raise EvidenceError(f"{{{field}!{conversion}}}: conversions are not allowed. Write {{{field}}}.")
        out.append(shown(lookup(field, values), form or "", field))
    return "".join(out)


def parse(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    """(prose, path, form, conversion) of each piece. Raises EvidenceError for braces that do not match."""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise EvidenceError(f"{error}. Every {{ needs its }}; write {{{{ for a brace.") from error
    for _, field, form, _ in pieces:
        if field is not None and (not field.strip() or "{" in (form or "")):
            raise EvidenceError("a pair of braces holds no path. Write such as {counts.bad}.")
    return pieces


def refuse_numbers(prose: str) -> None:
    """Raises EvidenceError where prose holds a digit or a number word."""
    found = next((c for c in prose if c.isnumeric()), None)
    if found:
        around = prose.strip()
        raise EvidenceError(
            f"the number {found!r} stands in the prose, near “{around[:60]}”. Every number is computed: write a "
            "path in braces, such as {counts.of}; a name with digits in it goes into the evidence, such as "
            "{claim.scope.model}."
        )
    word = NUMBER_WORD.search(prose)
    if word:
        raise EvidenceError(
            f"the word {word[0]!r} stands in the prose, and is a number or claims one. Write a path in braces instead, "
            "such as {counts.bad}."
        )


def lookup(path: str, values: Mapping[str, Any]) -> Any:
    """The value at a dotted path. Raises EvidenceError naming what there is, or that it is not known."""
    here: Any = values
    walked: list[str] = []
    for key in path.strip().split("."):
        within = ".".join(walked) or "the evidence"
        if isinstance(here, Mapping):
            if key not in here:
                raise EvidenceError(f"{{{path}}}: {within} has no {key!r}. {nearest(key, map(str, here), 'paths')}")
            here = here[key]
        elif isinstance(here, Sequence) and not isinstance(here, str) and key.isdecimal():
            if int(key) >= len(here):
                raise EvidenceError(f"{{{path}}}: {within} has {len(here)} entries, counted from 0.")
            here = here[int(key)]
        else:
            what = "is not known" if here is None else f"is {type(here).__name__}, which has no parts"
            raise EvidenceError(f"{{{path}}}: {within} {what}. It cannot be computed from this evidence.")
        walked.append(key)
    return here


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EvidenceError(f"{{{path}}}: {value!r:.60} is no number.")
    return value


def _count(value: Any, path: str) -> str:
    number = len(value) if isinstance(value, list) else _number(value, path)
    if number != int(number):
        raise EvidenceError(f"{{{path}:count}}: {number:.3g} is no whole number. Write {{{path}:percent}} or :number.")
    return f"{int(number):,}"


def _list(value: Any, path: str) -> str:
    if not isinstance(value, list):
        raise EvidenceError(f"{{{path}:list}}: it is no list.")
    return ", ".join(str(v.get("name") or v) if isinstance(v, Mapping) else str(v) for v in value) or "none"


def _day(value: Any, path: str) -> str:
    if not isinstance(value, date | datetime):
        raise EvidenceError(f"{{{path}:date}}: {value!r:.60} is no date.")
    return f"{value:%Y-%m-%d}"


FORMS: dict[str, Callable[[Any, str], str]] = {
    "percent": lambda value, path: percent(_number(value, path)),
    "points": lambda value, path: f"{100 * _number(value, path):.1f} points",
    "number": lambda value, path: f"{_number(value, path):.3g}",
    "count": _count,
    "list": _list,
    "date": _day,
}


def shown(value: Any, form: str, path: str) -> str:
    """A value in words."""
    if value is None or value == "" or isinstance(value, Mapping):
        why = "not known" if not isinstance(value, Mapping) else "several values; name one of them"
        raise EvidenceError(f"{{{path}}}: it is {why}, so the sentence cannot be written from this evidence.")
    if form:
        if form not in FORMS:
            raise EvidenceError(f"{{{path}:{form}}}: unknown form {form!r}. {nearest(form, FORMS, 'forms')}")
        return FORMS[form](value, path)
    if isinstance(value, list):
        return _list(value, path)
    if isinstance(value, datetime | date):
        return _day(value, path)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)
