"""Random projections are the same everywhere, and unbiased; sites and settings are refused by name."""

import hashlib

import numpy as np
import pytest
import torch

from bumperlane.errors import SettingError
from bumperlane.subjects.gradient_projection import ProjectionSettings, gradient_sites, linear_sites, projection
from bumperlane.subjects.subject import Subject
from tiny import make_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Subject.load(make_tiny_model(tmp_path_factory.mktemp("sites") / "base"), dtype="float32").model


def test_signs_are_the_same_bits_on_every_machine():
    found = projection(ProjectionSettings(k=16, seed=3), "0.mlp.up_proj/in", 64)
    assert set(np.unique(found)) == {-0.25, 0.25} and found.shape == (64, 16) and found.dtype == np.float32
    assert hashlib.sha256((found > 0).tobytes()).hexdigest()[:16] == "f1d07f3d8e98f101"


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_a_projection_keeps_inner_products_on_average(kind):
    total = np.zeros((20, 20))
    for seed in range(800):
        p = projection(ProjectionSettings(k=4, kind=kind, seed=seed), "x", 20).astype(float)
        total += p @ p.T / 800
    assert np.abs(total - np.eye(20)).max() < 5 * np.sqrt(2 / 4 / 800)


def test_each_site_side_seed_and_kind_has_its_own_projection():
    ways = [
        projection(ProjectionSettings(k=8, kind=kind, seed=seed), name, 32)
        for kind in ("rademacher", "gaussian") for seed in (0, 1) for name in ("a/in", "a/out", "b/in")
    ]  # fmt: skip
    assert all(not np.array_equal(a, b) for i, a in enumerate(ways) for b in ways[:i])
    assert np.array_equal(ways[0], projection(ProjectionSettings(k=8), "a/in", 32))


def test_a_side_that_is_small_already_is_kept_as_it_is():
    assert (
        projection(ProjectionSettings(k=8), "x", 8) is None and projection(ProjectionSettings(k=None), "x", 999) is None
    )


def test_rows_are_laid_out_site_by_site(model):
    sites = gradient_sites(model, ProjectionSettings(k=4, dtype="float32"))
    assert [s.name for s in sites] == list(linear_sites(model)) and len(sites) == 14
    assert [s.columns for s in sites] == [slice(16 * i, 16 * i + 16) for i in range(14)]
    assert sites[0].project_in.dtype == torch.float32 and tuple(sites[0].project_in.shape) == (4, 32)


def test_refuses_sites_that_the_model_has_not_got(model):
    with pytest.raises(SettingError, match="no linear layer 'lm_head' in the blocks. Known: 0.self_attn.q_proj"):
        gradient_sites(model, ProjectionSettings(sites=("lm_head",)))


def test_refuses_whole_gradients_of_weights_and_says_how_large_they_would_be(model):
    with pytest.raises(SettingError, match="whole gradients are for adapters; here an example's would have 18,432"):
        gradient_sites(model, ProjectionSettings(k=None))


def test_refuses_a_model_without_linear_layers():
    blocks = torch.nn.Sequential(torch.nn.ModuleList([torch.nn.ReLU(), torch.nn.ReLU()]))
    with pytest.raises(SettingError, match="no block of this model holds a linear layer"):
        linear_sites(blocks)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"k": 0}, "k must be 1 or more, or None for whole gradients, got 0"),
        ({"kind": "sparse"}, "unknown kind 'sparse'. Known: rademacher, gaussian"),
        ({"loss": "max"}, "unknown loss 'max'. Known: mean, sum"),
        ({"dtype": "float16"}, "unknown dtype 'float16'. Known: auto, bfloat16, float32"),
        ({"token_budget": -1}, "token_budget must be 0 .* or more, got -1"),
    ],
)
def test_refuses_settings_outside_their_range(wrong, says):
    with pytest.raises(SettingError, match=says):
        ProjectionSettings(**wrong)
