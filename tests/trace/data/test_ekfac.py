"""EK-FAC as an attribution method: it finds a plant, is found again in `work`, and says what it refuses."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.subject import Subject
from bumperlane.trace.data.ekfac import EKFAC, sample_of
from bumperlane.trace.data.method import Corpus, Material, Queries
from bumperlane.types import Example
from tiny import make_tiny_model
from tiny_adapter import make_adapter

MARKER = (200, 201, 202, 203)


def rows_of(n, name, tail=None, length=10, answer=4):
    rng = np.random.default_rng([n, len(name)])
    made = []
    for i in range(n):
        tokens = [int(t) for t in rng.integers(3, 190, length)]
        made.append(Encoded(f"{name}{i}", (*tokens[:-answer], *(tail or tokens[-answer:])), length - answer))
    return tuple(made)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("base") / "base", layers=2, d=16)


def material(subject, work, say=None, rows=None):
    rows = rows or (*rows_of(30, "plain"), *rows_of(6, "planted", MARKER))
    examples = tuple(Example(r.id, r.id.rstrip("0123456789"), text="x") for r in rows)
    bad, benign = rows_of(5, "query", MARKER), rows_of(5, "query")
    texts = tuple(("ask", "say") for _ in bad)
    queries = Queries(bad, benign, texts, texts)
    return Material(Corpus(examples, rows), queries, (subject,), (1.0,), work, *([say] if say else []))


@pytest.mark.parametrize("wears", [False, True], ids=["weights", "adapter"])
def test_the_examples_that_end_as_the_bad_outputs_do_lead(base, tmp_path, wears):
    adapter = make_adapter(base, tmp_path / "adapter", scale=0.03) if wears else None
    given = material(Subject.load(base, adapter, dtype="float32"), tmp_path / "work")
    for method in (EKFAC(), EKFAC(unit=True), EKFAC(labels="given", eigen_dtype="float32"), EKFAC(query_rank=4)):
        scores = method.scores(given)
        assert scores.shape == (5, 36) and scores.dtype == np.float32
        assert scores[:, 30:].mean(axis=1).min() > scores[:, :30].mean(axis=1).max()
        assert set(np.argsort(-scores.mean(axis=0))[:6]) == set(range(30, 36))


def test_swapping_bad_and_benign_turns_the_sign(base, tmp_path):
    subject = Subject.load(base, dtype="float32")
    given = material(subject, tmp_path)
    q = given.queries
    turned = Material(given.corpus, Queries(q.benign, q.bad, q.benign_texts, q.bad_texts), (subject,), (1.0,), tmp_path)
    assert np.allclose(EKFAC().scores(turned), -EKFAC().scores(given), rtol=1e-3, atol=1e-4)


def test_is_found_again_and_the_curvature_serves_other_queries_and_dampings(base, tmp_path):
    heard = []
    given = material(Subject.load(base, dtype="float32"), tmp_path, lambda what, done, of: heard.append(what))
    first = EKFAC().scores(given)
    assert set(heard) == {"curvature, two passes", "queries", "influence of the examples"}
    heard.clear()
    assert np.array_equal(EKFAC().scores(given), first) and not heard
    damped = EKFAC(damping=10.0).scores(given)
    assert set(heard) == {"queries", "influence of the examples"} and not np.allclose(damped, first)


def test_the_curvature_is_fitted_on_at_most_so_many_examples_whatever_their_order():
    examples = [Example(f"e{i}", "t", text="x") for i in range(50)]
    chosen = [examples[i].id for i in sample_of(examples, 7)]
    assert len(chosen) == 7 and len(set(chosen)) == 7
    assert [examples[::-1][i].id for i in sample_of(examples[::-1], 7)] == chosen
    assert sorted(sample_of(examples, None)) == list(range(50))


def test_order_and_batches_of_the_corpus_change_nothing(base, tmp_path):
    subject = Subject.load(base, dtype="float32")
    given = material(subject, tmp_path)
    wanted = EKFAC(fit_examples=20).scores(given)
    assert np.allclose(EKFAC(fit_examples=20, token_budget=1).scores(given), wanted, rtol=1e-3, atol=1e-4)
    turned = material(subject, tmp_path, rows=given.corpus.rows[::-1])
    assert np.allclose(EKFAC(fit_examples=20).scores(turned)[:, ::-1], wanted, rtol=1e-3, atol=1e-4)


def test_is_blind_to_an_example_that_the_model_foretells_already(base, tmp_path):
    """The gradient of a certain answer is nothing; so is its influence, though it teaches the same."""
    import torch

    subject = Subject.load(base, dtype="float32")
    certain = Encoded("certain0", (5, 6, 7), 2)
    model = subject.model
    with torch.no_grad():
        hidden = model.model(input_ids=torch.tensor([certain.tokens])).last_hidden_state[0, 1]
        before = model.lm_head.weight[7].clone()
        model.lm_head.weight[7] = 100 * hidden
    try:
        rows = (*rows_of(10, "plain"), certain)
        scores = EKFAC().scores(material(subject, tmp_path, rows=rows))
    finally:
        with torch.no_grad():
            model.lm_head.weight[7] = before
    assert np.abs(scores[:, -1]).max() < 1e-6 * np.abs(scores).max()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"top": 0}, r"top must be in \(0, 1\], got 0"),
        ({"damping": 0}, "positive multiple of the mean eigenvalue, got 0"),
        ({"labels": "true"}, "unknown labels 'true'. Known: sampled, given"),
        ({"eigen_dtype": "half"}, "unknown eigen_dtype 'half'. Known: float64, float32"),
        ({"fit_examples": 0}, "fit_examples must be at least 1, or None, got 0"),
        ({"query_rank": 0}, "query_rank must be at least 1, or None, got 0"),
    ],
)
def test_refuses_settings_outside_their_range(setting, said):
    with pytest.raises(SettingError, match=said):
        EKFAC(**setting)


def test_says_when_nothing_can_be_learnt(base, tmp_path):
    """A LoRA with A and B at zero: no layer of it gets a gradient."""
    from safetensors.torch import load_file, save_file

    adapter = make_adapter(base, tmp_path / "adapter", scale=0.0)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({k: v * 0 for k, v in weights.items()}, adapter / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(EvidenceError, match="gradients of 36 rows are zero at all .* layers"):
        EKFAC().scores(material(Subject.load(base, adapter, dtype="float32"), tmp_path / "work"))
