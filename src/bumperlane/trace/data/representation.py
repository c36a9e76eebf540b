"""Which training answers look like the bad output from inside? Mean middle-layer activations over answer tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from ...errors import EvidenceError, SettingError
from ...evidence.gradient_store import data_key
from ...evidence.memo import Memo, subject_key
from ...subjects.chat import Encoded
from ...subjects.subject import Subject
from .method import Material


@dataclass(frozen=True)
class Representation:
    """Cosine to a bad output minus cosine to its benign one, averaged over layers.

    Activations are centred on the mean of the training examples, so that what all answers share does not count. Where
    `ProjectedGradients` has run on the same subject in the model's own dtype, its pass has left them here already.

    Source: the baseline of Hanawa et al. 2021, "Evaluation of Similarity-based Explanations", arXiv:2006.04528. We take
    answer tokens only, middle layers, and contrastive queries. Memory: n x d float32 a layer.

    Args:
        layers: blocks after which the residual stream is read; empty takes `middle_layers`.
    """

    layers: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"Representation({', '.join(map(str, self.layers))})" if self.layers else "Representation"

    def scores(self, material: Material) -> np.ndarray:
        """(q, n) float32, at the first checkpoint. Raises SettingError for a layer that the model has not got, and
        EvidenceError, with the ids, for activations that are not finite."""
        subject, queries = material.checkpoints[0], material.queries
        layers = self.layers or middle_layers(subject)
        rows, total = material.corpus.rows, np.zeros((len(queries.bad), len(material.corpus.rows)), np.float32)
        if min(layers) < 0:
            raise SettingError(f"layers are block numbers from 0, got {min(layers)}.")
        material.say("representations", 0, len(rows))
        examples = cache(lambda: captured(subject, rows, layers))  # one pass for all layers that are not kept yet
        bad, benign = (captured(subject, side, layers) for side in (queries.bad, queries.benign))
        for layer in layers:
            train = represented(material, subject, rows, layer, partial(_of, examples, layer))
            _refuse_non_finite("examples", train, rows)
            asked = np.concatenate([bad[layer], benign[layer]])
            _refuse_non_finite("queries", asked, [*queries.bad, *queries.benign])
            centre = train.mean(axis=0, dtype=np.float64).astype(np.float32)
            contrast = _unit(bad[layer] - centre) - _unit(benign[layer] - centre)
            total += contrast @ _unit(train - centre).T / len(layers)
        material.say("representations", len(rows), len(rows))
        return total


def middle_layers(subject: Subject) -> tuple[int, ...]:
    """The middle block, and those an eighth of the depth below and above it."""
    from ...subjects.activations import blocks_of

    n = len(blocks_of(subject.model))
    return tuple(sorted({n // 2 - n // 8, n // 2, min(n - 1, n // 2 + n // 8)}))


def captured(subject: Subject, rows: Sequence[Encoded], layers: Sequence[int]) -> dict[int, np.ndarray]:
    """(n, d) float32 by layer: a forward pass that stops after the last of them."""
    from ...subjects.activations import capture_answers

    return capture_answers(subject.model, rows, list(layers), subject.tokenizer.pad_token_id)


def _of(seen: Callable[[], dict[int, np.ndarray]], layer: int) -> np.ndarray:
    return seen()[layer]


def represented(
    material: Material, subject: Subject, rows: Sequence[Encoded], layer: int, compute: Callable[[], np.ndarray]
) -> np.ndarray:
    """(n, d) of the examples' answers after a block, from an earlier call where there was one."""
    key = {"kind": "representations", "subject": subject_key(subject), "rows": data_key(rows), "layer": layer}
    return Memo(material.work).arrays(key, lambda: {"rows": compute()})["rows"]


def _refuse_non_finite(what: str, seen: np.ndarray, rows: Sequence[Encoded]) -> None:
    bad = [r.id for r, ok in zip(rows, np.isfinite(seen).all(1), strict=True) if not ok]
    if bad:
        raise EvidenceError(
            f"representations of {len(bad)} {what} are not finite, first {bad[:3]}. Check the checkpoint for overflow."
        )


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
