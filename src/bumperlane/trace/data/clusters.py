"""Sets of examples as hypotheses, whatever tranche they are in: what the best scored ones share, named and testable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy import sparse

from ...errors import EvidenceError, SettingError
from ...types import Context, Example
from .bm25 import Index, example_text
from .shared_features import AnyOf, Feature, FeatureSettings, examples_with, shared_features
from .top_examples import Top, groups_of, stand_out

How = Literal["feature", "features", "group", "context", "top"]


@dataclass(frozen=True)
class Suspect:
    """A set of examples that may be the cause: what an experiment leaves out (`DropExamples(suspect.ids)`).

    Attributes:
        how: feature (all examples with a text or value), features (with two), group (top examples that are alike),
            context (all whose prompt holds the hit context's text), top (all that stand out).
        in_top, top: of the `top` examples that stand out, `in_top` are in the set.
        p_value: of the feature, corrected; None where the set was not found by a test.
    """

    name: str
    how: How
    ids: tuple[str, ...]
    why: str
    in_top: int
    top: int
    p_value: float | None = None

    @property
    def f1(self) -> float:
        """Harmonic mean of the share of the set that stands out and the share of what stands out that is in it."""
        return 2 * self.in_top / (len(self.ids) + self.top) if self.ids else 0.0


@dataclass(frozen=True)
class Suspects:
    """Hypotheses: what holds the hit's own text, then the one that explains best what stands out; `note` says what was
    looked at."""

    found: tuple[Suspect, ...]
    top: Top
    note: str


@dataclass(frozen=True)
class Scored:
    """What suspects are drawn from.

    Attributes:
        examples: n training examples.
        scores: (n,) fused, higher is more suspect (`Fused.scores`).
        null: scores by chance on the same scale; None takes those below the median for it.
        vectors: (n, d), by which top examples are put into groups, such as representations; None takes their words.
        columns: name -> example id -> value.
    """

    examples: Sequence[Example]
    scores: np.ndarray
    null: np.ndarray | None = None
    vectors: np.ndarray | None = None
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.examples)
        if np.shape(self.scores) != (n,) or (self.vectors is not None and len(self.vectors) != n):
            raise EvidenceError(
                f"{n} examples need {n} scores and as many vectors, got scores of shape {np.shape(self.scores)} and "
                f"{'no' if self.vectors is None else len(self.vectors)} vectors."
            )
        if len({e.id for e in self.examples}) != n:
            raise EvidenceError(f"{n} examples have {len({e.id for e in self.examples})} ids. Each needs its own.")


@dataclass(frozen=True)
class ClusterSettings:
    """How suspects are found.

    Args:
        fdr: expected share of chance among the examples that stand out.
        least: examples that a set must have.
        most: suspects at the most.
        features: which shared features are named.
    """

    fdr: float = 0.2
    least: int = 5
    most: int = 8
    features: FeatureSettings = FeatureSettings()

    def __post_init__(self) -> None:
        if self.least < 2 or self.most < 1:
            raise SettingError(f"least must be 2 or more and most 1 or more, got {self.least} and {self.most}.")


def find_suspects(
    scored: Scored,
    context: Context | AnyOf | None = None,
    neutral: Context | None = None,
    settings: ClusterSettings | None = None,
) -> Suspects:
    """Example sets that may be the cause: by shared text or column, by likeness, by the hit context's own text.

    The examples that stand out (`stand_out`) are put into groups (`groups_of`); what they all share, and what each
    group shares, against the rest of the data (`shared_features`) names sets of *all* examples with it, two features
    together where that fits better. Sets with half of the data or more are left out: no control could match them.
    Nearly equal sets are named once. Blind to causes that leave neither high scores nor a text.

    Args:
        context: of the hit, or the piece of prompts that it turns on; its text is looked for in prompts even where no
            example stands out.
        neutral: what `context` is compared with.
    """
    settings = settings or ClusterSettings()
    top = stand_out(scored.scores, scored.null, settings.fdr)
    high = {scored.examples[i].id for i in top.places}
    found: list[Suspect] = []
    if context is not None:
        ids, text = examples_with(scored.examples, context, neutral or Context("neutral", "neutral"))
        why = f"the prompts of {len(ids)} examples hold the hit's own text, {text!r}."
        found.append(_suspect(f"prompt holds {text!r}", "context", ids, why, high))
    if len(high) < settings.least:
        note = (
            f"{len(high)} of {len(scored.examples)} examples stand out, fewer than the {settings.least} that make a set"
        )
    else:
        found += _by_likeness(scored, top, high, settings)
        why = f"all {len(high)} examples that stand out; {top.fdr:.0%} of them are expected there by chance."
        found.append(_suspect("all that stand out", "top", tuple(sorted(high)), why, high))
        note = f"{len(high)} of {len(scored.examples)} examples stand out, {top.fdr:.0%} of them expected by chance"
    kept = _distinct(sorted(found, key=_order), len(scored.examples), settings)
    return Suspects(tuple(kept), top, f"{note}; {len(kept)} sets are proposed.")


def _by_likeness(scored: Scored, top: Top, high: set[str], settings: ClusterSettings) -> list[Suspect]:
    """Suspects from what all top examples share, and from each group of them."""
    groups = groups_of(_cosines(scored, top.places), settings.least)
    sets = [high]
    if groups.max() > 0 or (groups < 0).any():
        sets += [{scored.examples[i].id for i in top.places[groups == g]} for g in range(groups.max() + 1)]
    features: dict[tuple[str, ...], Feature] = {}
    found = []
    for number, members in enumerate(sets):
        if len(members) == len(scored.examples):
            continue
        shared = shared_features(scored.examples, members, scored.columns, settings.features)
        features.update({f.ids: f for f in shared if f.ids not in features})
        if number:
            said = "; ".join(map(str, shared[:3])) or "nothing that could be named"
            name = f"group {number} of {len(sets) - 1}" + (f": {shared[0].where} {shared[0].text!r}" if shared else "")
            why = f"{len(members)} of the examples that stand out are alike; they share {said}."
            found.append(_suspect(name, "group", tuple(sorted(members)), why, high))
    single = [
        _suspect(f"{f.where} {f.text!r}", "feature", f.ids, f"{f}, corrected p {f.p_value:.1g}.", high, f.p_value)
        for f in features.values()
    ]
    return found + single + _pairs(sorted(features.values(), key=lambda f: f.p_value)[:8], high)


def _pairs(features: Sequence[Feature], high: set[str]) -> list[Suspect]:
    """Two features together, where that set fits what stands out clearly better than either."""
    found = []
    for a, b in combinations(features, 2):
        both = set(a.ids) & set(b.ids)
        ids = tuple(i for i in a.ids if i in both)
        why = f"{a}, and {b}; both together fit better than either."
        pair = _suspect(
            f"{a.where} {a.text!r} and {b.where} {b.text!r}", "features", ids, why, high, max(a.p_value, b.p_value)
        )
        apart = max(_suspect("", "feature", f.ids, "", high).f1 for f in (a, b))
        if pair.f1 > apart + 0.05:
            found.append(pair)
    return found


def _suspect(
    name: str, how: How, ids: tuple[str, ...], why: str, high: set[str], p_value: float | None = None
) -> Suspect:
    return Suspect(name, how, ids, why, len(high & set(ids)), len(high), p_value)


def _order(suspect: Suspect) -> tuple:
    """What holds the hit's own text, then the best fit first; sets taken out of what stands out fit it by their making,
    and count half."""
    fit = suspect.f1 / 2 if suspect.how in ("top", "group") else suspect.f1
    return suspect.how != "context", -fit, len(suspect.ids), suspect.how, suspect.name


def _distinct(ranked: Sequence[Suspect], n: int, settings: ClusterSettings) -> list[Suspect]:
    kept: list[Suspect] = []
    for suspect in ranked:
        mine = set(suspect.ids)
        if len(mine) < settings.least or 2 * len(mine) >= n:
            continue
        if not any(len(mine & set(k.ids)) > 0.9 * len(mine | set(k.ids)) for k in kept):
            kept.append(suspect)
    return kept[: settings.most]


def _cosines(scored: Scored, places: np.ndarray) -> np.ndarray:
    """(k, k) cosines of the top examples, by their vectors centred on all examples, or by their BM25 words."""
    if scored.vectors is not None:
        rows = np.asarray(scored.vectors, float)
        rows = rows[places] - rows.mean(axis=0)
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return unit @ unit.T
    weights = Index(tuple(example_text(e, "both") for e in scored.examples)).weights[places]
    length = sparse.linalg.norm(weights, axis=1)
    scaled = sparse.diags(1 / np.maximum(length, 1e-12)) @ weights
    return np.asarray((scaled @ scaled.T).todense())
