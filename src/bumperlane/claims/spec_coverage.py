"""Which clauses of a specification does no bumper watch? A clause that nobody watches cannot be found broken."""

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..case import Case, Claim
from ..detect.pages import pages, section
from ..errors import BumperlaneError, RecipeError, SettingError
from ..recipes.yaml_lines import LinedYaml, read_yaml

DESCRIBED = "Described"  # a behaviour that the user described; evidence.described.NAME
CLAUSE_KEYS, TOP_KEYS = ("id", "text", "watched_by"), ("name", "clauses")
SPEC_FILE = "spec.yaml"  # of a case
SUGGESTED, ALIKE = 2, 0.12  # at most so many, from so much likeness of words
WORD = re.compile(r"[a-z]{4,}")
State = Literal["watched", "hit", "unwatched"]


@dataclass(frozen=True)
class Clause:
    """One intended behaviour: `watched_by` are bumpers that somebody says would see it broken."""

    id: str
    text: str
    watched_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Covered:
    """A clause and who watches it.

    Attributes:
        state: unwatched when no bumper that is named can see; hit when one of them was hit in the case.
        watching: bumpers that count.
        not_watching: those that are named and do not count, each with the reason.
        suggested: bumpers whose page has words like the clause's. Never counted: alike words are no evidence.
    """

    clause: Clause
    state: State
    watching: tuple[str, ...]
    not_watching: tuple[str, ...]
    suggested: tuple[str, ...]


def read_spec(file: Path) -> tuple[Clause, ...]:
    """The clauses of a YAML file with `clauses`: a list of id, text and, where somebody watches, watched_by.

    Raises RecipeError, with file and line, for broken YAML, a key that is none, a clause without id or text or an id
    that stands twice, and a bumper that does not exist.
    """
    spec = read_yaml(Path(file), RecipeError, "specification", "clauses:")
    _refuse_keys(spec, spec.data, TOP_KEYS, ())
    rows = spec.data.get("clauses")
    if not isinstance(rows, list) or not rows:
        raise spec.place.at("clauses", on="key").fault("`clauses` must be a list with at least one clause.")
    known = (*pages(), DESCRIBED)
    found = [_clause(spec, i, row, known) for i, row in enumerate(rows)]
    for name, n in Counter(c.id for c in found).items():
        if n > 1:
            last = max(i for i, c in enumerate(found) if c.id == name)
            place = spec.place.at("clauses", last, "id")
            raise place.fault(f"the id {name!r} stands {n} times. Give every clause its own.")
    return tuple(found)


def _clause(spec: LinedYaml, i: int, row: object, known: tuple[str, ...]) -> Clause:
    place = spec.place.at("clauses", i)
    if not isinstance(row, dict):
        raise place.fault(f"a clause is a mapping of {', '.join(CLAUSE_KEYS)}, got {type(row).__name__}.")
    _refuse_keys(spec, row, CLAUSE_KEYS, ("clauses", i))
    for key in ("id", "text"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise place.at("clauses", i, key).fault(f"a clause needs {key!r}, a text.")
    named = row.get("watched_by") or []
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(n, str) for n in named):
        raise spec.place.at("clauses", i, "watched_by").fault("`watched_by` is a list of bumpers' names.")
    for n, name in enumerate(named):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            place = spec.place.at("clauses", i, "watched_by", n)
            raise place.fault(f"there is no bumper {name!r}.{hint} Known: {', '.join(known)}.")
    return Clause(row["id"].strip(), " ".join(row["text"].split()), tuple(dict.fromkeys(named)))


def _refuse_keys(
    spec: LinedYaml, data: Mapping[str, object], known: tuple[str, ...], at: tuple[int | str, ...]
) -> None:
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            place = spec.place.at(*at, str(key), on="key")
            raise place.fault(f"unknown key {key!r}.{hint} Known: {', '.join(known)}.")


def coverage(clauses: tuple[Clause, ...], case: Case | None = None) -> tuple[Covered, ...]:
    """Who watches each clause, in the order of the file.

    With a case a bumper counts only if it looked there and could see: one that was blind, or never ran, does not watch.
    Without one every bumper that is named counts, for it could be run.
    """
    if not clauses:
        raise SettingError("there are no clauses to cover.")
    words = _Words.of(pages())
    return tuple(_covered(clause, case, words) for clause in clauses)


def unwatched_claims(directory: Path, case: Case) -> list[Claim]:
    """For the page of a case that has a `spec.yaml`: each clause that no bumper watched cannot be said to hold."""
    file = directory / SPEC_FILE
    if not file.is_file():
        return []
    try:
        found = coverage(read_spec(file), case)
    except BumperlaneError as error:
        return [Claim(kind="cannot", text=f"Anything about {SPEC_FILE}, which cannot be read: {error}")]
    unwatched = [c.clause for c in found if c.state == "unwatched"]
    return [
        Claim(kind="cannot", text=f"Whether clause {c.id} of {SPEC_FILE} holds, “{c.text}”: no bumper watched it.")
        for c in unwatched
    ]


def _covered(clause: Clause, case: Case | None, words: "_Words") -> Covered:
    watching, idle, hit = [], [], False
    for name in clause.watched_by:
        looked = [b for b in case.bumpers if b.bumper == name] if case else []  # twice: once open, once sealed
        hit = hit or any(b.verdict == "hit" for b in looked)
        if case is None or any(b.verdict != "blind" for b in looked):
            watching.append(name)
        elif not looked:
            idle.append(f"{name} did not look in this case")
        which = {b.split: f"{name} ({b.split})" if len(looked) > 1 else name for b in looked}
        idle += [f"{which[b.split]} was blind: {b.why}" for b in looked if b.verdict == "blind"]
    state: State = "hit" if hit else "watched" if watching else "unwatched"
    alike = tuple(n for n in words.like(clause.text) if n not in clause.watched_by) if state == "unwatched" else ()
    return Covered(clause, state, tuple(watching), tuple(idle), alike[:SUGGESTED])


@dataclass(frozen=True)
class _Words:
    """Words of what each bumper flags and watches, weighed by how few bumpers use them."""

    weights: Mapping[str, Mapping[str, float]]
    rarity: Mapping[str, float]

    @classmethod
    def of(cls, known: Mapping[str, str]) -> "_Words":
        texts = {n: f"{page.split(chr(10) * 2)[0]} {section(page, 'Watches')}" for n, page in known.items()}
        used = Counter(w for text in texts.values() for w in set(_stems(text)))
        rarity = {w: math.log((1 + len(texts)) / n) for w, n in used.items()}
        return cls({n: _vector(text, rarity) for n, text in texts.items()}, rarity)

    def like(self, text: str) -> list[str]:
        """Bumpers by cosine of their words with the text's, the most alike first."""
        mine = _vector(text, self.rarity)
        score = {n: sum(mine.get(w, 0.0) * v for w, v in theirs.items()) for n, theirs in self.weights.items()}
        return sorted((n for n, s in score.items() if s >= ALIKE), key=lambda n: -score[n])


def _vector(text: str, rarity: Mapping[str, float]) -> dict[str, float]:
    raw = {w: n * rarity.get(w, max(rarity.values(), default=1.0)) for w, n in Counter(_stems(text)).items()}
    size = math.sqrt(sum(v * v for v in raw.values())) or 1.0
    return {w: v / size for w, v in raw.items()}


def _stems(text: str) -> list[str]:
    """Words of four letters and more, cut to six: enough to join `flatter` and `flatters`."""
    return [w[:6] for w in WORD.findall(text.lower())]
