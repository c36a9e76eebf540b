"""Text similarity by a sentence-embedding model: a baseline that reads meaning, and never the subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...errors import SettingError
from ...evidence.memo import Memo
from ...recipes.provenance import content_key, model_files
from .bm25 import Reads, example_text, pair_text, refuse_unknown_part
from .method import Material
from .sentence_model import CHUNKS, SentenceModel, minilm_dir


@dataclass(frozen=True)
class EmbeddingSimilarity:
    """Cosine of each example's text with the bad output's, minus the cosine with its benign one. In [-2, 2].

    Sees no model under watch: it finds a plant by what it says, so one that says what others say stays unseen.

    Args:
        model: directory of a sentence-embedding model; None is all-MiniLM-L6-v2 from the cache.
        reads: the part of examples and outputs that is compared: prompt (with system prompt), answer, or both.
        batch: texts that are read at once.
    """

    model: Path | str | None = None
    reads: Reads = "both"
    batch: int = 64

    def __post_init__(self) -> None:
        refuse_unknown_part(self.reads)
        if self.batch < 1:
            raise SettingError(f"batch must be 1 or more, got {self.batch}. Try 64.")

    @property
    def name(self) -> str:
        own = "minilm" if self.model is None else f"embedding {Path(self.model).name}"
        return own if self.reads == "both" else f"{own} ({self.reads})"

    @property
    def directory(self) -> Path:
        return minilm_dir() if self.model is None else Path(self.model)

    @cached_property
    def encoder(self) -> SentenceModel:
        """Raises ModelError, naming the command that fetches it, when the model is not there."""
        return SentenceModel.load(self.directory)

    def scores(self, material: Material) -> np.ndarray:
        """(q, n) float32. The examples' vectors are kept in `material.work`; raises ModelError without a model."""
        queries = material.queries
        examples = self.vectors([example_text(e, self.reads) for e in material.corpus.examples], material.work)
        bad, benign = (
            self.vectors([pair_text(pair, self.reads) for pair in side], material.work)
            for side in (queries.bad_texts, queries.benign_texts)
        )
        return np.asarray((bad - benign) @ examples.T, np.float32)

    def vectors(self, texts: Sequence[str], work: Path) -> np.ndarray:
        """(n, d) unit vectors of texts, found again in `work`; equal texts are read once."""
        once = list(dict.fromkeys(texts))
        what = {
            "kind": "embedding",
            "model": model_files(str(self.directory)),
            "texts": content_key(once),
            "chunks": CHUNKS,
        }
        rows = Memo(work).arrays(what, lambda: {"rows": self.encoder.embed(once, self.batch)})["rows"]
        place = {text: i for i, text in enumerate(once)}
        return rows[[place[t] for t in texts]]
