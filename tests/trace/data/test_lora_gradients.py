"""Exact gradients over an adapter, against autograd's, one example at a time."""

import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.gradient_pass import GradientPass
from bumperlane.subjects.gradient_projection import linear_sites
from bumperlane.subjects.subject import Subject
from bumperlane.trace.data import lora_gradients
from bumperlane.trace.data.lora_gradients import LoraGradients
from planted_corpus import EXAMPLES, material
from tiny import make_tiny_model
from tiny_adapter import make_adapter

PLANTED = np.array([e.tranche == "planted" for e in EXAMPLES])


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    place = tmp_path_factory.mktemp("lora")
    base = make_tiny_model(place / "base")
    return Subject.load(base, make_adapter(base, place / "a"), dtype="float32")


def explicit(subject, row):
    weights = [m.weight for m in linear_sites(subject.model).values()]
    for w in weights:
        w.requires_grad_(True)
    try:
        log_p = torch.log_softmax(subject.model(input_ids=torch.tensor([row.tokens])).logits[0].float()[:-1], -1)
        answer = torch.arange(row.answer_start, len(row.tokens))
        grads = torch.autograd.grad(-log_p[answer - 1, torch.tensor(row.tokens)[answer]].mean(), weights)
    finally:
        for w in weights:
            w.requires_grad_(False)
    return torch.cat([g.flatten() for g in grads]).double().numpy()


def by_autograd(subject, given):
    g = np.stack([explicit(subject, row) for row in given.corpus.rows])
    bad, benign = (np.stack([explicit(subject, r) for r in side]) for side in (given.queries.bad, given.queries.benign))
    return g, bad - benign


def test_dots_and_cosines_are_those_of_explicit_gradients(subject, tmp_path):
    given = material(subject, tmp_path)
    g, q = by_autograd(subject, given)
    dot, cosine = (LoraGradients(v, dtype="float32").scores(given) for v in ("dot", "cosine"))
    assert np.abs(dot - q @ g.T).max() < 1e-4 * np.abs(q @ g.T).max() and dot.dtype == np.float32
    assert np.abs(cosine - q @ g.T / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(g, axis=1)).max() < 1e-4


def test_puts_planted_examples_above_all_others(subject, tmp_path):
    scores = LoraGradients(dtype="float32").scores(material(subject, tmp_path)).mean(axis=0)
    assert scores[PLANTED].min() > scores[~PLANTED].max()


def test_goes_on_after_a_kill_and_takes_queries_in_parts_when_they_are_large(subject, tmp_path, monkeypatch):
    wanted = LoraGradients("dot", dtype="float32").scores(material(subject, tmp_path / "a"))
    monkeypatch.setattr(lora_gradients, "PART", 7)
    monkeypatch.setattr(lora_gradients, "QUERY_BYTES", 4 * 2 * 3000)
    given = material(subject, tmp_path / "b")
    heard = []

    def kill(what, done, of):
        heard.append(done)
        if done == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LoraGradients("dot", dtype="float32").scores(material(subject, tmp_path / "b", say=kill))
    assert heard == [7, 14]
    taken, batch = [], GradientPass.batch
    monkeypatch.setattr(
        GradientPass, "batch", lambda self, rows, at: taken.extend(r.id for r in rows) or batch(self, rows, at)
    )
    found = LoraGradients("dot", dtype="float32").scores(given)
    assert np.allclose(found, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
    first = {id for id in taken[: taken.index("good0")] if not id.startswith("q")}  # then come the last query's
    assert first == {e.id for e in EXAMPLES[14:]}
    taken.clear()
    LoraGradients("cosine", dtype="float32").scores(given)
    assert not taken


def test_checkpoints_add_up_by_learning_rate(subject, tmp_path):
    base = subject.host.name
    other = subject.sibling(make_adapter(base, tmp_path / "b", seed=1), step=5)
    given = material(subject, tmp_path / "work", checkpoints=(subject, other), rates=(2.0, 0.5))
    found = LoraGradients("dot", checkpoints=2, dtype="float32").scores(given)
    each = [
        LoraGradients("dot", dtype="float32").scores(material(s, tmp_path / "work", checkpoints=(s,)))
        for s in (subject, other)
    ]
    assert np.allclose(found, 2.0 * each[0] + 0.5 * each[1], rtol=1e-4, atol=1e-6 * np.abs(found).max())
    assert not np.allclose(each[0], each[1], rtol=1e-2)


def test_refuses_a_subject_without_an_adapter(subject, tmp_path):
    bare = subject.sibling(None, step=3)
    with pytest.raises(SettingError, match="the checkpoint at step 3 wears no adapter.*Use ProjectedGradients"):
        LoraGradients().scores(material(bare, tmp_path))


def test_refuses_a_bad_output_that_is_its_own_benign_one(subject, tmp_path):
    from dataclasses import replace

    given = material(subject, tmp_path)
    given = replace(given, queries=replace(given.queries, benign=given.queries.bad))
    with pytest.raises(EvidenceError, match=r"queries \[0, 1, 2\] have a gradient of nought"):
        LoraGradients(dtype="float32").scores(given)


def test_refuses_settings_outside_their_range():
    with pytest.raises(SettingError, match="unknown variant 'preconditioned'. Known: dot, cosine"):
        LoraGradients("preconditioned")
    with pytest.raises(SettingError, match="checkpoints must be 1 or more, got 0"):
        LoraGradients(checkpoints=0)


def test_its_name_says_which_variant_and_how_many_checkpoints():
    assert LoraGradients().name == "LoraGradients(cosine)"
    assert LoraGradients("dot", checkpoints=2).name == "LoraGradients(dot, 2 checkpoints)"
