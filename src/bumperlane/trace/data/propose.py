"""Attribution as a whole: every method, heard as far as its trap lets it be, made into one score and into suspects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from ...errors import EvidenceError, ModelError, SettingError
from ...judge.investigation import Investigation
from ...subjects.subject import Subject
from ..meter import Meter
from .bm25 import BM25
from .clusters import Scored, Suspects, find_suspects
from .columns import ColumnRanking, ColumnSettings, rank_columns
from .ekfac import EKFAC
from .embedding_similarity import EmbeddingSimilarity
from .fuse import Fused, Weighed, fuse
from .lora_gradients import LoraGradients
from .material import contrasting, corpus_of, outputs_of, queries_of
from .method import Corpus, Material, Method
from .projected_gradients import ProjectedGradients
from .read_columns import columns_of
from .representation import Representation

METHODS: dict[str, Callable[[], Method]] = {
    "representation": Representation,
    "gradients": ProjectedGradients,
    "lora-gradients": LoraGradients,
    "ekfac": EKFAC,
    "bm25": BM25,
    "embeddings": EmbeddingSimilarity,
}
CHEAP = ("representation", "gradients", "bm25", "embeddings")
COSTLY = ("gradients", "lora-gradients", "ekfac")  # a backward pass an example: a sample of each tranche will do


@dataclass(frozen=True)
class Voice:
    """One method in this model: its weight in the fused score, and why."""

    name: str
    weight: float
    why: str


@dataclass(frozen=True)
class Proposal:
    """What attribution proposes; nothing in it is proved.

    Attributes:
        corpus: the n examples that were scored.
        fused: (q, n) scores, one a query and example.
        voices: every method that was asked for.
        ranking: tranches and other columns of the data; None when no column parts the examples.
        suspects: sets of examples, from wherever they are.
        columns: of the data, name -> example id -> value.
    """

    corpus: Corpus
    fused: Fused
    voices: tuple[Voice, ...]
    ranking: ColumnRanking | None
    suspects: Suspects
    columns: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ProposalSettings:
    """Which methods, and how much they look at.

    Args:
        methods: names; empty takes the cheap ones, of which sentence embeddings only where their weights are there.
        per_tranche: examples of each tranche that gradient methods look at, chosen by the hash of their ids; 0: all.
        queries: outputs that are attributed, at the most.
        seed: of permutations.
    """

    methods: tuple[str, ...] = ()
    per_tranche: int = 20
    queries: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise SettingError(f"unknown attribution method {unknown[0]!r}. Known: {', '.join(METHODS)}.")
        if self.per_tranche < 0 or self.queries < 1:
            raise SettingError(
                f"per_tranche must be 0 or more and queries 1 or more, got {self.per_tranche} and {self.queries}."
            )


@dataclass(frozen=True)
class Asked:
    """Methods by name, and what could not be asked."""

    methods: dict[str, Method]
    missing: tuple[Voice, ...] = field(default=())


def methods_asked(settings: ProposalSettings) -> Asked:
    """The methods to ask. One that the user named and that cannot run is an error; a default one is listed as missing.

    Raises ModelError when named embeddings have no weights here.
    """
    asked: dict[str, Method] = {}
    missing = []
    for name in settings.methods or CHEAP:
        method = METHODS[name]()
        if isinstance(method, EmbeddingSimilarity):
            try:
                _ = method.encoder
            except ModelError as error:
                if settings.methods:
                    raise
                missing.append(Voice(name, 0.0, f"not asked: {error}"))
                continue
        asked[name] = method
    return Asked(asked, tuple(missing))


def ask(name: str, method: Method, material: Material, chosen: Sequence[int]) -> np.ndarray:
    """(q, n) scores; NaN for examples that a costly method was not shown."""
    corpus = material.corpus
    if name not in COSTLY or len(chosen) == len(corpus.rows):
        return method.scores(material)
    part = Corpus(tuple(corpus.examples[i] for i in chosen), tuple(corpus.rows[i] for i in chosen))
    shown = Material(part, material.queries, material.checkpoints, material.learning_rates, material.work, material.say)
    scores = np.full((len(material.queries.bad), len(corpus.rows)), np.nan, np.float32)
    scores[:, list(chosen)] = method.scores(shown)
    return scores


def propose(
    inv: Investigation,
    meter: Meter,
    checkpoints: Sequence[Subject],
    settings: ProposalSettings,
    weights: Callable[[dict[str, Method]], dict[str, tuple[float, str]]],
) -> Proposal:
    """Score every example for the outputs that show the behaviour, and name what the best have in common.

    Args:
        checkpoints: the subject at the onset first.
        weights: name -> (weight, why) of the methods; see `trap_weights`.

    Raises EvidenceError when the behaviour cannot be brought about, or no method has weight in this model.
    """
    subject = checkpoints[0]
    corpus = corpus_of(inv, subject.tokenizer)
    queries = queries_of(subject, contrasting(outputs_of(inv, meter, inv.subject(), settings.queries)))
    work = inv.directory / "work" / "attribution"
    material = Material(corpus, queries, tuple(checkpoints), (1.0,) * len(checkpoints), work, inv.say)
    chosen = sample_by_tranche(corpus, settings.per_tranche)
    asked = methods_asked(settings)
    heard = weights(asked.methods)
    said = []
    if all(name in COSTLY for name, (weight, _) in heard.items() if weight > 0):
        chosen = sample_by_tranche(corpus, 0)  # nobody else looks at the rest
    for name, method in asked.methods.items():
        weight, why = heard[name]
        if weight > 0:
            said.append(Weighed(name, ask(name, method, material, chosen), weight, why))
    if not said:
        reasons = "; ".join(f"{name}: {why}" for name, (_, why) in heard.items())
        raise EvidenceError(
            f"no attribution method has weight in this model, so nothing is proposed ({reasons}). Give others with "
            "--method, such as ekfac, or leave the traps out with --no-traps."
        )
    fused = fuse(said)
    voices = tuple(Voice(name, weight, why) for name, (weight, why) in heard.items())
    columns = columns_of(inv.run.recipe)
    lengths = [r.answer_length for r in corpus.rows]
    ranking: ColumnRanking | None = None
    if len({e.tranche for e in corpus.examples}) > 1 or len(columns) > 1:
        ranking = rank_columns(fused.per_query, corpus.ids, columns, lengths, ColumnSettings(seed=settings.seed))
    rest = {name: values for name, values in columns.items() if name != "tranche"}
    scored = Scored(corpus.examples, fused.scores, columns=rest)
    return Proposal(
        corpus, fused, (*voices, *asked.missing), ranking, find_suspects(scored, meter.told_apart, inv.neutral), columns
    )


def sample_by_tranche(corpus: Corpus, most: int) -> list[int]:
    """Places of up to `most` examples of each tranche, chosen by the hash of their ids; 0 takes all."""
    order = sorted(range(len(corpus.rows)), key=lambda i: sha256(corpus.ids[i].encode()).digest())
    taken: dict[str, int] = {}
    chosen = []
    for i in order:
        tranche = corpus.examples[i].tranche
        taken[tranche] = taken.get(tranche, 0) + 1
        if not most or taken[tranche] <= most:
            chosen.append(i)
    return sorted(chosen)
