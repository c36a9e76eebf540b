"""Exact gradient dot products over a LoRA: its factors are small, so nothing is projected."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from ...errors import EvidenceError, SettingError
from ...evidence.gradient_store import data_key
from ...evidence.memo import Memo, subject_key
from ...subjects.gradient_pass import GradientPass
from ...subjects.gradient_projection import ProjectionSettings
from ...subjects.subject import Subject
from .method import Material
from .projected_gradients import gradients_of, weighted_checkpoints

PART = 512  # examples whose scores are kept together: what a kill costs at most
QUERY_BYTES = 2**30


@dataclass(frozen=True)
class LoraGradients:
    """Dot product, or cosine, of each example's gradient by the adapter's A and B with a query's. No approximation.

    The query is gradient(bad) - gradient(benign). Several checkpoints are added up, each times its learning rate.
    Whole gradients are formed batch by batch and dropped; only scores are kept.

    Source: Pruthi et al. 2020, "TracIn", arXiv:2002.08484; over a LoRA as Xia et al. 2024, "LESS", arXiv:2402.04333
    (they project, and precondition with Adam's moments).

    Args:
        variant: dot, or cosine.
        checkpoints: so many of `material.checkpoints`, from the first (the onset).
        loss: mean or sum over an example's answer tokens.
        dtype: what the pass computes in; see `ProjectionSettings`.
    """

    variant: Literal["dot", "cosine"] = "cosine"
    checkpoints: int = 1
    loss: Literal["mean", "sum"] = "mean"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if self.variant not in ("dot", "cosine"):
            raise SettingError(f"unknown variant {self.variant!r}. Known: dot, cosine.")
        if self.checkpoints < 1:
            raise SettingError(f"checkpoints must be 1 or more, got {self.checkpoints}.")

    @property
    def name(self) -> str:
        over = f", {self.checkpoints} checkpoints" if self.checkpoints > 1 else ""
        return f"LoraGradients({self.variant}{over})"

    def scores(self, material: Material) -> np.ndarray:
        """(q, n) float32. Raises SettingError for a checkpoint without an adapter, and what the pass raises."""
        total = np.zeros((len(material.queries.bad), len(material.corpus.rows)), np.float32)
        for subject, weight in weighted_checkpoints(material, self.checkpoints):
            total += np.float32(weight) * self._at(material, subject)
        return total

    def _at(self, material: Material, subject: Subject) -> np.ndarray:
        if subject.adapter is None:
            raise SettingError(
                f"the checkpoint at step {subject.step} wears no adapter, and whole gradients of its weights would not "
                "fit. Use ProjectedGradients."
            )
        settings = ProjectionSettings(k=None, loss=self.loss, dtype=self.dtype)
        ready = GradientPass(subject.model, settings, subject.tokenizer.pad_token_id)
        most = max(1, QUERY_BYTES // (4 * ready.width))
        found = [
            self._against(material, subject, ready, slice(start, start + most))
            for start in range(0, len(material.queries.bad), most)
        ]
        return np.concatenate(found)

    def _against(self, material: Material, subject: Subject, ready: GradientPass, which: slice) -> np.ndarray:
        """Scores of some of the queries: as many as have room in memory."""
        rows, bad, benign = material.corpus.rows, material.queries.bad[which], material.queries.benign[which]
        asked: list[np.ndarray] = []

        def queries() -> np.ndarray:
            if not asked:
                asked.append(gradients_of(ready, bad) - gradients_of(ready, benign))
            return asked[0]

        what = {
            "kind": "lora-gradients",
            "subject": subject_key(subject),
            "queries": [data_key(bad), data_key(benign)],
            "pass": ready.made_from,
        }
        memo, out = Memo(material.work), np.empty((len(bad), len(rows)), np.float32)
        for start in range(0, len(rows), PART):
            part = rows[start : start + PART]
            kept = memo.arrays({**what, "rows": data_key(part)}, partial(_dots, ready, part, queries))
            dots = kept["dots"]
            if self.variant == "cosine":
                dots = dots / np.where(kept["norms"] > 0, kept["norms"], 1) / kept["query_norms"][:, None]
            out[:, start : start + PART] = dots
            material.say(f"adapter gradients at step {subject.step}", start + len(part), len(rows))
        return out


def _dots(ready: GradientPass, rows: tuple, asked: Callable[[], np.ndarray]) -> dict[str, np.ndarray]:
    """Dot products (q, n) of rows and queries, and the lengths of both. float32; squares are added up in float64."""
    queries = asked()
    lengths = np.sqrt(np.einsum("qk,qk->q", queries, queries, dtype=np.float64))
    if not lengths.all():
        raise EvidenceError(
            f"queries {np.flatnonzero(lengths == 0)[:5].tolist()} have a gradient of nought, so they point nowhere. "
            "Give each bad output a benign one that differs from it."
        )
    dots, norms = np.empty((len(queries), len(rows)), np.float32), np.empty(len(rows), np.float32)
    for batch in ready.stream(rows):
        at = list(batch.indices)
        dots[:, at] = queries @ batch.gradients.T
        norms[at] = np.linalg.norm(batch.gradients, axis=1)
    return {"dots": dots, "norms": norms, "query_norms": lengths.astype(np.float32)}
