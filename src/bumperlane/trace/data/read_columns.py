"""What else the training data says about its examples: any other key of the tranche files, as columns."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import numpy as np

from ...errors import EvidenceError, SettingError
from ...recipes.jsonl_rows import read_rows
from ...recipes.models import Recipe
from ...recipes.tranches import read_tranche

CONTENT = ("id", "messages", "prompt", "response", "text")
NO_VALUE = "(no value)"
RARE = "(rare values)"


def columns_of(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Column -> example id -> value, from the keys of the tranche files that hold no content. `tranche` is one too.

    Mappings are taken apart one level down (`meta.author`), lists become one text; empty values and nulls are left
    out, so an example without a value is in no column's mapping. Examples that the recipe drops are left out.

    Raises RecipeError, with file and line, for rows that cannot be read.
    """
    found: dict[str, dict[str, Any]] = {"tranche": {}}
    for tranche in recipe.tranches:
        dropped = set(tranche.drop)
        examples = read_tranche(tranche.path, tranche.name)
        for example, (_, row) in zip(examples, read_rows(tranche.path), strict=True):
            if example.id in dropped:
                continue
            found["tranche"][example.id] = tranche.name
            for column, value in _flat(row):
                own = f"{column} (in the data)" if column == "tranche" else column
                found.setdefault(own, {})[example.id] = value
    return found


def labels_of(column: Mapping[str, Any], ids: Sequence[str], bins: int = 5, least: int = 3) -> list[str]:
    """One label an example. Numbers and ISO dates with more than `bins` values are cut at their quantiles.

    Values of fewer than `least` examples share one label: alone they could not be told from chance.

    Raises EvidenceError when no id has a value.
    """
    if bins < 2 or least < 1:
        raise SettingError(f"bins must be 2 or more and least 1 or more, got {bins} and {least}. Try 5 and 3.")
    values = [column.get(id) for id in ids]
    known = [v for v in values if v is not None]
    if not known:
        raise EvidenceError(
            f"none of {len(ids)} examples has a value in this column; its first ids are {sorted(column)[:3]}, the "
            f"examples' are {list(ids[:3])}. Key the column by example id."
        )
    ordered = _numbers(known) or _dates(known)
    if ordered and len(set(ordered)) > bins:
        return _cut(values, ordered, bins)
    names = [NO_VALUE if v is None else _text(v) for v in values]
    sizes = Counter(names)
    return [name if sizes[name] >= least else RARE for name in names]


def _cut(values: Sequence[Any], ordered: Sequence[float], bins: int) -> list[str]:
    """Quantile bins, named by the first and the last value that is in them."""
    numbers = np.asarray(ordered)
    edges = np.unique(np.quantile(numbers, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, numbers, side="left")
    known = [v for v in values if v is not None]
    name = {}
    for bin in np.unique(place):
        inside = np.flatnonzero(place == bin)
        low, high = (known[inside[pick(numbers[inside])]] for pick in (np.argmin, np.argmax))
        name[bin] = f"{_text(low)} to {_text(high)}"
    labels = iter([name[bin] for bin in place])
    return [NO_VALUE if v is None else next(labels) for v in values]


def _numbers(values: Sequence[Any]) -> list[float] | None:
    """The values as numbers, where all of them are."""
    if any(isinstance(v, bool) for v in values):
        return None
    try:
        numbers = [float(v) for v in values]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(isfinite, numbers)) else None


def _dates(values: Sequence[Any]) -> list[float] | None:
    """The values as seconds, where all of them are ISO dates or times; those without a zone are taken as UTC."""
    try:
        moments = [datetime.fromisoformat(v) for v in values]
    except (TypeError, ValueError):
        return None
    return [(m if m.tzinfo else m.replace(tzinfo=UTC)).timestamp() for m in moments]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if key in CONTENT:
            continue
        inner = value.items() if isinstance(value, dict) else [(None, value)]
        for below, leaf in inner:
            if isinstance(leaf, list):
                leaf = ", ".join(map(_text, leaf))
            if leaf not in (None, "", {}):
                yield (key if below is None else f"{key}.{below}"), leaf
