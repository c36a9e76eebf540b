"""Which examples push the weights as the bad output would? Projected gradients, at one or several checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import numpy as np

from ...errors import SettingError
from ...evidence.gradient_store import GradientStore, data_key
from ...evidence.memo import Memo, subject_key
from ...recipes.provenance import content_key
from ...subjects.chat import Encoded
from ...subjects.gradient_pass import GradientPass
from ...subjects.gradient_projection import ProjectionSettings
from ...subjects.subject import Subject
from .gradient_scores import GradientScorer, Variant
from .method import Material
from .representation import middle_layers, represented
from .second_moments import Whitening


@dataclass(frozen=True)
class ProjectedGradients:
    """How far a step on an example moves a bad output rather than its benign one.

    The query is gradient(bad) - gradient(benign). Several checkpoints are added up, each times its learning rate. The
    gradients stay in `material.work`, in a store a checkpoint, and middle-layer representations come with them.

    Source: Pruthi et al. 2020, "TracIn", arXiv:2002.08484, for the sum over checkpoints; Park et al. 2023, "TRAK",
    arXiv:2303.14186, for projections and the preconditioned variants. Our projections are factored: one for the inputs
    and one for the outputs of each layer, so no gradient is formed. Embedding, head and biases do not count.

    Args:
        variant: dot, cosine, preconditioned or whitened cosine; see `GradientScorer`.
        k: each side of a layer's gradient is projected to so many numbers.
        checkpoints: so many of `material.checkpoints`, from the first (the onset).
        damping: of the preconditioned variants, in units of the mean second moment.
        whole: second moments over all sites at once instead of site by site.
        projection: everything else about the gradients; its k and layers are not used.
    """

    variant: Variant = "cosine"
    k: int = 16
    checkpoints: int = 1
    damping: float = 0.1
    whole: bool = False
    projection: ProjectionSettings = ProjectionSettings()
    stored: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise SettingError(f"unknown variant {self.variant!r}. Known: {', '.join(get_args(Variant))}.")
        if self.checkpoints < 1:
            raise SettingError(f"checkpoints must be 1 or more, got {self.checkpoints}.")

    @property
    def name(self) -> str:
        over = f", {self.checkpoints} checkpoints" if self.checkpoints > 1 else ""
        return f"ProjectedGradients({self.variant}{over})"

    def scores(self, material: Material) -> np.ndarray:
        """(q, n) float32. Raises SettingError for more checkpoints than there are, and what the pass raises."""
        chosen = weighted_checkpoints(material, self.checkpoints)
        total = np.zeros((len(material.queries.bad), len(material.corpus.rows)), np.float32)
        for subject, weight in chosen:
            total += np.float32(weight) * self._at(material, subject)
        return total

    def _at(self, material: Material, subject: Subject) -> np.ndarray:
        ready = self.ready(subject)
        store = filled(material, subject, ready, self.stored)
        whitening = None
        if self.variant in ("preconditioned", "whitened cosine"):
            blocks = (block.gradients for block in store.blocks())
            whitening = Whitening.of(blocks, store.columns, self.damping, self.whole)
        queries = contrast(material, subject, ready)
        return GradientScorer.of(self.variant, queries, whitening).all(store, material.corpus.ids)

    def ready(self, subject: Subject) -> GradientPass:
        """The pass that examples and queries go through."""
        settings = replace(self.projection, k=self.k, layers=middle_layers(subject))
        return GradientPass(subject.model, settings, subject.tokenizer.pad_token_id)


def weighted_checkpoints(material: Material, most: int) -> list[tuple[Subject, float]]:
    """The first so many checkpoints, each with its learning rate; one alone has weight 1."""
    have, rates = material.checkpoints, material.learning_rates
    if len(have) < most:
        raise SettingError(f"{most} checkpoints are asked for, and {len(have)} are given. Give more, or ask for fewer.")
    if most == 1:
        return [(have[0], 1.0)]
    if len(rates) != len(have) or not all(np.isfinite(rates)) or min(rates) <= 0:
        raise SettingError(
            f"a sum over checkpoints needs a learning rate above 0 for each of {len(have)}, got {list(rates)}."
        )
    return list(zip(have[:most], rates, strict=False))


def filled(
    material: Material, subject: Subject, ready: GradientPass, stored: Literal["float16", "float32"]
) -> GradientStore:
    """The store of a checkpoint's gradients, filled as far as it was not."""
    rows = material.corpus.rows
    made_from = {"subject": subject_key(subject), "data": data_key(rows), **ready.made_from}
    place = material.work / f"gradients-{content_key([made_from, stored])[:20]}"
    store = GradientStore.begin(place, made_from, stored)
    what = f"projected gradients at step {subject.step}"
    store.fill(ready, rows, say=lambda done, of: material.say(what, done, of))
    if ready.model_dtype == ready.dtype:  # else another pass of the model would not give the same numbers
        for layer in ready.settings.layers:
            represented(material, subject, rows, layer, partial(_means, store, rows, layer))
    return store


def contrast(material: Material, subject: Subject, ready: GradientPass) -> np.ndarray:
    """(q, K) float32: gradient of each bad output minus that of its benign one, computed once."""
    bad, benign = material.queries.bad, material.queries.benign
    key = {
        "kind": "query-gradients",
        "subject": subject_key(subject),
        "queries": [data_key(bad), data_key(benign)],
        **ready.made_from,
    }
    return Memo(material.work).arrays(key, lambda: {"rows": gradients_of(ready, bad) - gradients_of(ready, benign)})[
        "rows"
    ]


def gradients_of(ready: GradientPass, rows: Sequence[Encoded]) -> np.ndarray:
    """(n, K) float32, in the order of the rows."""
    out = np.empty((len(rows), ready.width), np.float32)
    for batch in ready.stream(rows):
        out[list(batch.indices)] = batch.gradients
    return out


def _means(store: GradientStore, rows: Sequence[Encoded], layer: int) -> np.ndarray:
    place = {row.id: k for k, row in enumerate(rows)}
    found: list[tuple[list[int], np.ndarray]] = []
    for block in store.blocks():
        found.append(([place[id] for id in block.ids], block.representations[layer]))
    order = np.argsort(np.concatenate([at for at, _ in found]))
    return np.concatenate([seen for _, seen in found])[order]
