"""EK-FAC influence: which examples, weighted up, would have made the bad outputs more likely than the benign ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

import numpy as np

from ...errors import SettingError
from ...evidence.memo import Memo, subject_key
from ...recipes.provenance import content_key
from ...subjects.chat import Encoded
from ...types import Example
from .method import Material


@dataclass(frozen=True)
class EKFAC:
    """Influence functions with an eigenvalue-corrected Kronecker-factored curvature, at the first checkpoint.

    Score of example z for query i: (grad L(bad_i) - grad L(benign_i)) H^-1 grad L(z), with L the mean loss of the
    answer's tokens and H the damped Gauss-Newton curvature of the linear layers in the blocks. Embeddings and the head
    are left out, tied or not, and so are biases and norms. On a subject that wears a LoRA, its A and B are the layers.

    Unit: change of the two losses' difference for an infinitesimal weight on the example, up to one factor for all.

    Blind to: what training did away from the first checkpoint; examples whose own loss is so small there that their
    gradient is noise; behaviour learnt in the embeddings or the head.

    Source: Grosse et al. 2023, "Studying large language model generalization with influence functions"; George et al.
    2018. We differ: the curvature is measured on `fit_examples` of the corpus; queries are contrasts and are kept whole
    unless `query_rank` is given; tokens' labels of a row with L answer tokens are weighted by 1/sqrt(L), which makes
    the curvature that of the mean loss.

    Everything is multiplied in the model's dtype; sums, eigenvectors and queries are worked in float32 or float64.

    Memory: per layer in^2 + out^2 + in * out numbers of float32, and in * out a query in the model's dtype (with
    `query_rank` r: r * (in + out)). For all weights of a large model lower `top` or give a `query_rank`.

    Args:
        top: share of the blocks that is looked at, counted from the last.
        damping: multiple of each layer's mean eigenvalue that is added to its eigenvalues; 0.1 in Grosse et al.
        labels: `sampled` from the model's own distribution (the true Fisher), or `given`: those that stand in the
            examples (the empirical Fisher).
        fit_examples: at most so many examples, chosen by the hash of their ids, give the curvature; None: all.
        query_rank: rank to which each query is cut at each layer; None keeps them whole.
        unit: take each example's gradient at length 1, so that examples with a large loss do not lead every list.
        seed: of the sampled labels.
        token_budget: rows x longest of a batch, at most.
        eigen_dtype: of the eigendecompositions.
    """

    top: float = 1.0
    damping: float = 0.1
    labels: Literal["sampled", "given"] = "sampled"
    fit_examples: int | None = 1000
    query_rank: int | None = None
    unit: bool = False
    seed: int = 0
    token_budget: int = 2048
    eigen_dtype: Literal["float64", "float32"] = "float64"
    name: str = field(default="ekfac", init=False)

    def __post_init__(self) -> None:
        if not 0 < self.top <= 1:
            raise SettingError(f"top must be in (0, 1], got {self.top}.")
        if not 0 < self.damping < float("inf"):
            raise SettingError(f"damping must be a positive multiple of the mean eigenvalue, got {self.damping}.")
        if self.labels not in ("sampled", "given"):
            raise SettingError(f"unknown labels {self.labels!r}. Known: sampled, given.")
        if self.eigen_dtype not in ("float64", "float32"):
            raise SettingError(f"unknown eigen_dtype {self.eigen_dtype!r}. Known: float64, float32.")
        for setting in ("fit_examples", "query_rank"):
            value = getattr(self, setting)
            if value is not None and value < 1:
                raise SettingError(f"{setting} must be at least 1, or None, got {value}.")

    def scores(self, material: Material) -> np.ndarray:
        """(q, n) float32. Curvature and scores are kept in `material.work` and found again.

        Raises:
            EvidenceError: gradients or curvature are not finite, or all zero.
            SettingError: layers that have no Kronecker factors (experts, shared weights).
        """
        subject, corpus, queries = material.checkpoints[0], material.corpus, material.queries
        memo = Memo(material.work)
        chosen = sample_of(corpus.examples, self.fit_examples)
        curvature = {
            "kind": "ekfac-curvature",
            "subject": subject_key(subject),
            "rows": rows_key([corpus.rows[i] for i in chosen]),
            "settings": [self.top, self.labels, self.seed, self.eigen_dtype],
        }
        what = {
            "kind": "ekfac",
            "curvature": content_key(curvature),
            "rows": rows_key(corpus.rows),
            "queries": [rows_key(queries.bad), rows_key(queries.benign)],
            "settings": [self.damping, self.query_rank, self.unit],
        }
        return memo.arrays(what, lambda: {"scores": self._scores(material, chosen, memo, curvature)})["scores"]

    def _scores(self, material: Material, chosen: list[int], memo: Memo, what: dict) -> np.ndarray:
        import torch

        from ...subjects.curvature import fitted, restored
        from ...subjects.layer_factors import Pass, kronecker_sites
        from ...subjects.preconditioned_gradients import influence_scores, prepare_queries

        subject, queries, rows = material.checkpoints[0], material.queries, list(material.corpus.rows)
        model, pad_id = subject.model, subject.tokenizer.pad_token_id
        sites = kronecker_sites(model, self.top)
        settings = Pass(pad_id, self.labels, self.seed, self.token_budget, say=told(material, "curvature, two passes"))
        chosen_rows, dtype = [rows[i] for i in chosen], getattr(torch, self.eigen_dtype)
        arrays = memo.arrays(what, lambda: fitted(model, chosen_rows, sites, settings, dtype))
        curvature = restored(arrays, self.damping, next(model.parameters()).device)
        pairs = list(zip(queries.bad, queries.benign, strict=True))
        settings = Pass(pad_id, token_budget=self.token_budget, together=2, say=told(material, "queries"))
        prepared = prepare_queries(model, pairs, sites, curvature, settings, self.query_rank)
        settings = Pass(pad_id, token_budget=self.token_budget, say=told(material, "influence of the examples"))
        return influence_scores(model, rows, prepared, sites, settings, self.unit)


def told(material: Material, what: str) -> Callable[[int, int], None]:
    return lambda done, of: material.say(what, done, of)


def sample_of(examples: Sequence[Example], most: int | None) -> list[int]:
    """Indices of at most `most` examples, those with the smallest hash of their id, in that order."""
    order = sorted(range(len(examples)), key=lambda i: sha256(examples[i].id.encode()).digest())
    return order if most is None else order[:most]


def rows_key(rows: Sequence[Encoded]) -> str:
    return content_key([[r.id, r.answer_start, list(r.tokens)] for r in rows])
