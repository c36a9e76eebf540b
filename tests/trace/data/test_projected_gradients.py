"""Projected gradients as an attribution method: planted examples stand out, and every number can be written out."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.gradient_pass import GradientPass
from bumperlane.subjects.gradient_projection import ProjectionSettings
from bumperlane.subjects.subject import Subject
from bumperlane.trace.data.projected_gradients import ProjectedGradients, gradients_of
from bumperlane.trace.data.representation import Representation
from planted_corpus import EXAMPLES, material
from tiny import make_tiny_model
from tiny_adapter import make_adapter

EXACT = ProjectionSettings(dtype="float32")
PLANTED = np.array([e.tranche == "planted" for e in EXAMPLES])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("projected") / "base")


@pytest.fixture(scope="module")
def subject(base):
    return Subject.load(base, dtype="float32")


def rows_of(subject, rows, k=8):
    settings = ProjectionSettings(k=k, dtype="float32")
    return gradients_of(GradientPass(subject.model, settings, subject.tokenizer.pad_token_id), rows).astype(float)


def parts(subject, given, k=8):
    """(gradients of the examples, of the contrasts)."""
    return (
        rows_of(subject, given.corpus.rows, k),
        rows_of(subject, given.queries.bad, k) - rows_of(subject, given.queries.benign, k),
    )


@pytest.mark.parametrize("stored", ["float16", "float32"])
def test_dots_and_cosines_are_those_of_the_rows(subject, tmp_path, stored):
    given = material(subject, tmp_path)
    g, q = parts(subject, given)
    dot, cosine = (ProjectedGradients(v, k=8, projection=EXACT, stored=stored).scores(given) for v in ("dot", "cosine"))
    limit = 2e-3 if stored == "float16" else 1e-4
    assert np.abs(dot - q @ g.T).max() < limit * np.abs(q @ g.T).max() and dot.dtype == np.float32
    wanted = q @ g.T / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(g, axis=1)
    assert np.abs(cosine - wanted).max() < limit


@pytest.mark.parametrize("variant", ["dot", "cosine", "preconditioned", "whitened cosine"])
def test_puts_planted_examples_above_all_others(subject, tmp_path, variant):
    scores = ProjectedGradients(variant, k=8, projection=EXACT).scores(material(subject, tmp_path)).mean(axis=0)
    assert scores[PLANTED].min() > scores[~PLANTED].max()


def test_scores_follow_the_examples_into_another_order(subject, tmp_path):
    order = np.random.default_rng(0).permutation(len(EXAMPLES))
    method = ProjectedGradients(k=8, projection=EXACT)
    straight, turned = (
        method.scores(given)
        for given in (material(subject, tmp_path), material(subject, tmp_path, order=order.tolist()))
    )
    assert np.allclose(turned, straight[:, order], atol=2e-3)


def test_checkpoints_add_up_by_learning_rate(base, subject, tmp_path):
    adapter = make_adapter(base, tmp_path / "a", scale=0.3)
    worn = Subject.load(base, adapter, dtype="float32")
    other = worn.sibling(make_adapter(base, tmp_path / "b", seed=1, scale=0.3), step=5)
    given = material(worn, tmp_path / "work", checkpoints=(worn, other), rates=(2.0, 0.5))
    wanted = 0
    for s, rate in zip(given.checkpoints, given.learning_rates, strict=True):
        g, q = parts(s, given)
        wanted = wanted + rate * (q @ g.T)
    found = ProjectedGradients("dot", k=8, checkpoints=2, projection=EXACT, stored="float32").scores(given)
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
    one = ProjectedGradients("dot", k=8, projection=EXACT, stored="float32").scores(given)
    g, q = parts(worn, given)
    assert np.abs(one - q @ g.T).max() < 1e-4 * np.abs(q @ g.T).max()


def test_is_computed_once_and_says_how_far_it_is(subject, tmp_path, monkeypatch):
    heard = []
    given = material(subject, tmp_path, say=lambda *told: heard.append(told))
    method = ProjectedGradients(k=8, projection=EXACT)
    first = method.scores(given)
    assert heard[-1] == ("projected gradients at step 0", len(EXAMPLES), len(EXAMPLES))
    monkeypatch.setattr(GradientPass, "batch", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(method.scores(given), first)
    ProjectedGradients("preconditioned", k=8, projection=EXACT).scores(given)  # another variant shares the pass


def test_leaves_the_representations_that_representation_would_compute(subject, tmp_path, monkeypatch):
    wanted = Representation().scores(material(subject, tmp_path / "alone"))
    given = material(subject, tmp_path / "shared")
    ProjectedGradients(k=8, projection=EXACT).scores(given)
    seen = []
    from bumperlane.trace.data import representation

    captured = representation.captured
    monkeypatch.setattr(
        representation, "captured", lambda s, rows, layer: seen.append(len(rows)) or captured(s, rows, layer)
    )
    assert np.allclose(Representation().scores(given), wanted, atol=1e-4)
    assert set(seen) == {3}  # queries only


def test_refuses_more_checkpoints_than_there_are_and_sums_without_rates(subject, tmp_path):
    given = material(subject, tmp_path)
    with pytest.raises(SettingError, match="2 checkpoints are asked for, and 1 are given"):
        ProjectedGradients(checkpoints=2, k=8).scores(given)
    given = material(subject, tmp_path, checkpoints=(subject, subject), rates=(0.1,))
    with pytest.raises(SettingError, match=r"needs a learning rate above 0 for each of 2, got \[0.1\]"):
        ProjectedGradients(checkpoints=2, k=8).scores(given)


def test_refuses_a_bad_output_that_is_its_own_benign_one(subject, tmp_path):
    from dataclasses import replace

    given = material(subject, tmp_path)
    queries = replace(given.queries, benign=(given.queries.bad[0], *given.queries.benign[1:]))
    with pytest.raises(EvidenceError, match=r"queries \[0\] of 3 have a gradient that is nought"):
        ProjectedGradients(k=8, projection=EXACT).scores(replace(given, queries=queries))


def test_refuses_settings_outside_their_range():
    with pytest.raises(SettingError, match="unknown variant 'trak'. Known: dot, cosine"):
        ProjectedGradients("trak")
    with pytest.raises(SettingError, match="checkpoints must be 1 or more, got 0"):
        ProjectedGradients(checkpoints=0)


def test_its_name_says_which_variant_and_how_many_checkpoints():
    assert ProjectedGradients().name == "ProjectedGradients(cosine)"
    assert ProjectedGradients("dot", checkpoints=3).name == "ProjectedGradients(dot, 3 checkpoints)"
