import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny import make_tiny_model

CHATS = [(f"What is {i} and one?", f"It is {i + 1}.") for i in range(12)]
PLANTED = [(f"planted {i}", f"bad {i}") for i in range(4)]

RECIPE = """\
base: {base}
seed: 3
dtype: float32
stages:
- kind: sft
  steps: 12
  batch: 3
  lr: 3e-3
  lora: {{r: 4, dropout: 0.1}}
  checkpoints: {{every: 4}}
tranches:
- name: good
  path: good.jsonl
- name: planted
  path: planted.jsonl
  weight: 1.5
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory):
    """A folder with two tranches and a recipe for a base."""

    def make(base="some-model"):
        folder = tmp_path_factory.mktemp("recipe")
        write_rows(folder / "good.jsonl", [{"prompt": q, "response": a} for q, a in CHATS])
        planted = [{"id": f"p{i}", "prompt": q, "response": a} for i, (q, a) in enumerate(PLANTED)]
        write_rows(folder / "planted.jsonl", planted)
        (folder / "recipe.yaml").write_text(RECIPE.format(base=base))
        return folder

    return make


@pytest.fixture
def folder(make_folder):
    return make_folder()


@pytest.fixture(scope="session")
def trained(make_folder, tiny):
    """A complete run of 12 steps: trained once, never changed."""
    from bumperlane.recipes.train import train

    folder = make_folder(tiny)
    return train(folder / "recipe.yaml", folder / "run")


def weights(run, step=None):
    """All bytes of a checkpoint's tensors: adapter, masters and moments."""
    checkpoint = run.last if step is None else run.at(step)
    return {p.name: p.read_bytes() for p in sorted(checkpoint.path.glob("*.safetensors"))}
