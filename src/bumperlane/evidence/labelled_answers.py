"""Answers that people (or a better model) have labelled good or bad: what a scorer is validated on."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..recipes.place import Place, refuse_misspelt
from ..recipes.provenance import content_key
from .requests import read_rows

LABELS = {"bad": True, "good": False}


@dataclass(frozen=True)
class LabelledAnswer:
    """`bad` by the majority of those who labelled it; `votes` are (labeller, called it bad)."""

    request: str
    response: str
    bad: bool
    votes: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class LabelledAnswers:
    """Different answers, each with one label, and how far those who labelled several agree.

    Attributes:
        tied: answers left out, for as many called them bad as good.
        agreement: Cohen's kappa over all pairs of labellers, pairs of votes pooled; None where no two share an answer.
    """

    rows: tuple[LabelledAnswer, ...]
    tied: int = 0
    agreement: float | None = None

    @property
    def key(self) -> str:
        """Hash of answers and labels, whatever their order."""
        return content_key(sorted([r.request, r.response, str(r.bad)] for r in self.rows))

    @property
    def bad(self) -> int:
        return sum(r.bad for r in self.rows)


def read_labelled(path: Path) -> LabelledAnswers:
    """Read JSONL rows {"request", "response", "label": "good" or "bad"[, "by": who labelled it]}.

    Rows with the same request and response are votes of different labellers. Raises EvidenceError with file and line.
    """
    votes: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for place, row in read_rows(path, "labelled answers"):
        refuse_misspelt(row, ("request", "response", "label", "by"), place, EvidenceError)
        request, response, by = (_text(row, name, place) for name in ("request", "response", "by"))
        label = row.get("label")
        if not isinstance(label, str) or label not in LABELS:
            raise place.at("label").fault(f'label must be "good" or "bad", got {label!r:.60}.', EvidenceError)
        given = votes[request, response]
        if by in given:
            raise place.at("by").fault(
                f"{by or 'nobody in particular'} labelled this answer in a line before. Say who labelled it "
                'with "by", or remove one.',
                EvidenceError,
            )
        given[by] = LABELS[label]
    return settled(votes)


def settled(votes: Mapping[tuple[str, str], Mapping[str, bool]]) -> LabelledAnswers:
    """Votes by (request, response) and labeller, made into one label each."""
    rows, tied = [], 0
    for (request, response), given in votes.items():
        for_bad = sum(given.values())
        if 2 * for_bad == len(given):
            tied += 1
            continue
        rows.append(LabelledAnswer(request, response, 2 * for_bad > len(given), tuple(given.items())))
    return LabelledAnswers(tuple(rows), tied, _agreement(list(votes.values())))


def kappa_of(pairs: Sequence[tuple[bool, bool]]) -> float:
    """Cohen's kappa of pairs of verdicts: agreement beyond what their rates give by chance. 0 where that is all.

    Source: Cohen 1960.
    """
    n, table = len(pairs), Counter(pairs)
    first, second = ((table[side] + table[True, True]) / n for side in ((True, False), (False, True)))
    agree = (table[True, True] + table[False, False]) / n
    chance = first * second + (1 - first) * (1 - second)
    return 0.0 if chance == 1 else (agree - chance) / (1 - chance)


def _agreement(answers: Sequence[Mapping[str, bool]]) -> float | None:
    pairs = [(given[a], given[b]) for given in answers for a, b in combinations(sorted(given), 2)]
    return kappa_of(pairs) if pairs else None


def _text(row: Mapping[str, Any], name: str, place: Place) -> str:
    value = row.get(name, "" if name == "by" else None)
    if not isinstance(value, str) or (name == "request" and not value.strip()):
        wanted = "a non-empty string" if name == "request" else "a string"
        raise place.at(name).fault(f"{name} must be {wanted}, got {value!r:.60}.", EvidenceError)
    return value
