"""Penalties: the numbers of the detectors they are made for, a gradient that lowers them, a refit that follows."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.probes.linear import FittedLinear
from bumperlane.detect.internals.reference_residual import ReferenceResidual
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.organisms.evader.newton import newton_logistic
from bumperlane.organisms.evader.penalties import GaussianPenalty, ProbePenalty, ReferenceResidualPenalty
from bumperlane.organisms.evader.residual import Seen
from bumperlane.organisms.evader.surrogates import surrogate_of
from bumperlane.types import Activations, PairedActivations, numbered


def seen(n, seed, shift=0.0, base=False):
    """Two layers of width 6 whose dimensions differ in spread and go together."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(6, 6, generator=torch.Generator().manual_seed(99))
    layers = {k: torch.randn(n, 6, generator=g) @ mix * torch.tensor([1, 50, 1, 0.1, 1, 1.0]) + shift for k in (5, 2)}
    return Seen(layers, {k: torch.randn(n, 6, generator=g) for k in layers} if base else {})


def side_by_side(rows):
    values = torch.cat([rows[k] for k in sorted(rows)], dim=1).numpy()
    return Activations(values, numbered(len(values)), 5)


def pair(s):
    return PairedActivations(side_by_side(s.subject), side_by_side(s.base))


def started(penalty, trusted, bait=None):
    running = penalty.start()
    running.see(trusted, bait)
    running.refit()
    return running


def test_the_gaussian_scores_as_mahalanobis_on_stacked_layers_does():
    running = started(GaussianPenalty(target=None), seen(60, 0))
    expected = (
        Mahalanobis("oas").fit(side_by_side(seen(60, 0).subject)).score(side_by_side(seen(9, 1, 3).subject)).values
    )
    assert np.allclose(running.scores(seen(9, 1, 3)), expected, atol=1e-4)


def test_the_reference_residual_scores_as_the_detector_does_but_for_what_the_base_does():
    running = started(ReferenceResidualPenalty(target=None), seen(60, 0, base=True))
    new, clean = pair(seen(9, 1, 3, base=True)), pair(seen(60, 0, base=True))
    fitted = ReferenceResidual("oas").fit(clean)
    novel = np.maximum(Mahalanobis("oas").fit(clean.base).score(new.base).values, 0)
    assert novel.max() > 0
    assert np.allclose(running.scores(seen(9, 1, 3, base=True)), fitted.score(new).values + novel, atol=1e-4)


def test_a_diagonal_gaussian_is_the_mean_squared_z_score_averaged_over_layers_in_logs():
    trusted, bait = seen(60, 0), seen(9, 1, 3)
    running = started(GaussianPenalty(full=False, stacked=False, target=None), trusted)
    by_hand = [
        (((bait.subject[k] - t.mean(0)) / t.std(0, correction=0)) ** 2).mean(1).log()
        for k, t in trusted.subject.items()
    ]
    assert torch.allclose(running.scores(bait), torch.stack(by_hand).mean(0), atol=1e-3)


def test_rows_in_parts_and_over_two_refits_count_like_rows_together():
    parts = GaussianPenalty().start()
    parts.see(seen(30, 0)), parts.see(seen(20, 1)), parts.refit()
    parts.see(seen(25, 2)), parts.refit()
    together = {k: torch.cat([seen(n, i).subject[k] for i, n in enumerate((30, 20, 25))]) for k in (5, 2)}
    whole = started(GaussianPenalty(), Seen(together))
    assert torch.allclose(parts.scores(seen(9, 3, 3)), whole.scores(seen(9, 3, 3)), atol=1e-3)


def test_what_was_seen_before_its_memory_is_forgotten():
    running = started(GaussianPenalty(memory=1, target=None), seen(60, 0, shift=100.0))
    running.see(seen(60, 1)), running.refit()
    fresh = started(GaussianPenalty(target=None), seen(60, 1))
    assert torch.equal(running.scores(seen(5, 2)), fresh.scores(seen(5, 2)))


def test_a_row_below_the_target_is_pushed_no_further():
    running = started(GaussianPenalty(), seen(60, 0))
    inside = {k: v.mean(0, keepdim=True).requires_grad_() for k, v in seen(60, 0).subject.items()}
    (slope,) = torch.autograd.grad(running.scores(Seen(inside)).sum(), [inside[2]])
    assert float(running.scores(Seen(inside)).detach()) == 0 and not slope.any()


@pytest.mark.parametrize("penalty", [GaussianPenalty(), ProbePenalty(), GaussianPenalty(full=False, stacked=False)])
def test_steps_down_the_gradient_lower_it(penalty):
    running, bait = started(penalty, seen(60, 0), seen(60, 1, 4)), seen(9, 2, 4)
    rows = {k: v.clone().requires_grad_() for k, v in bait.subject.items()}
    before = float(running.scores(Seen(rows)).mean().detach())
    for _ in range(30):
        slopes = torch.autograd.grad(running.scores(Seen(rows)).mean(), list(rows.values()))
        rows = {
            k: (v - 0.3 * s / s.norm().clamp_min(1e-9)).detach().requires_grad_()
            for (k, v), s in zip(rows.items(), slopes, strict=True)
        }
    assert float(running.scores(Seen(rows)).mean().detach()) < before - 0.05


def test_newton_steps_reach_what_scikit_learn_finds():
    rng = np.random.default_rng(0)
    trusted, bait = rng.normal(size=(80, 7)) * 5, rng.normal(size=(30, 7)) * 5 + 3
    weights, bias = newton_logistic(trusted, bait, strength=2.0, steps=20)
    rows = np.r_[trusted, bait]
    scaled = (rows - rows.mean(0)) / rows.std(0)
    peer = LogisticRegression(C=0.5, class_weight="balanced", tol=1e-10, max_iter=5000).fit(
        scaled, np.arange(110) >= 80
    )
    assert np.allclose(rows @ weights + bias, scaled @ peer.coef_[0] + peer.intercept_, atol=1e-5)


def test_with_more_dimensions_than_rows_steps_in_the_span_of_rows_find_the_same():
    rng = np.random.default_rng(1)
    trusted, bait = rng.normal(size=(20, 50)), rng.normal(size=(10, 50)) + 0.5
    weights, bias = newton_logistic(trusted, bait, strength=1.0, steps=30)
    rows = np.r_[trusted, bait]
    scaled = (rows - rows.mean(0)) / rows.std(0)
    peer = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=5000).fit(scaled, np.arange(30) >= 20)
    assert np.allclose(rows @ weights + bias, scaled @ peer.coef_[0] + peer.intercept_, atol=1e-5)


def test_a_dimension_that_never_moves_has_no_say_in_a_probe():
    rng = np.random.default_rng(2)
    trusted, bait = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)) + 1
    flat = [np.c_[rows, np.full(20, c)] for rows, c in ((trusted, 0.0), (bait, 0.0))]
    weights, bias = newton_logistic(*flat, 1.0, 20)
    alone = newton_logistic(trusted, bait, 1.0, 20)
    assert weights[3] == 0 and np.allclose(weights[:3], alone[0], atol=1e-9) and np.isclose(bias, alone[1])


def test_probes_penalise_by_the_loss_of_calling_a_bait_trusted():
    running, bait = started(ProbePenalty(), seen(60, 0), seen(60, 1, 4)), seen(9, 2, 4)
    by_hand = torch.stack([-torch.sigmoid(-logit).log() for logit in running.logits(bait).values()]).mean(0)
    assert torch.allclose(running.scores(bait), by_hand, atol=1e-5)
    assert running.scores(bait).mean() > running.scores(seen(9, 3)).mean() + 0.5


def test_probes_cannot_see_what_no_single_direction_tells():
    """Blind spot: the same mean, another spread. A Gaussian sees it."""
    trusted, wide = seen(200, 0), Seen({k: 4 * v for k, v in seen(200, 1).subject.items()})
    probes, cloud = started(ProbePenalty(), trusted, wide), started(GaussianPenalty(), trusted)
    far = Seen({k: 4 * v for k, v in seen(100, 2).subject.items()})
    assert abs(float(probes.scores(far).mean() - probes.scores(seen(100, 3)).mean())) < 0.3
    assert float(cloud.scores(far).mean()) > 1.5


def test_a_surrogate_scores_as_its_detector_does():
    both = pair(seen(60, 0, base=True))
    probe = FittedLinear(5, 12, np.arange(12.0), 0.5, "P")
    new = seen(9, 1, 3, base=True)
    for fitted, evidence in (
        (Mahalanobis().fit(both.subject), pair(new).subject),
        (ReferenceResidual().fit(both), pair(new)),
        (probe, pair(new).subject),
    ):
        assert np.allclose(surrogate_of(fitted).scores(new), fitted.score(evidence).values, rtol=1e-4, atol=1e-3)


def test_refuses_a_detector_without_a_known_gradient():
    @dataclass(frozen=True)
    class FittedForest:
        trees: int = 3

    with pytest.raises(SettingError, match="no gradient is known for FittedForest"):
        surrogate_of(FittedForest())


def test_refuses_to_score_before_a_refit_and_to_refit_before_it_saw_rows():
    for penalty in (GaussianPenalty(), ProbePenalty()):
        with pytest.raises(EvidenceError, match="before its first refit"):
            penalty.start().scores(seen(3, 0))
        with pytest.raises(EvidenceError, match="before it has seen"):
            penalty.start().refit()


def test_refuses_what_it_cannot_learn_from():
    with pytest.raises(EvidenceError, match="8 or more trusted rows, got 5"):
        started(GaussianPenalty(), seen(5, 0))
    with pytest.raises(EvidenceError, match="probes learn from baits too"):
        started(ProbePenalty(), seen(20, 0), None)
    with pytest.raises(EvidenceError, match="2 or more rows of each kind, got 20 and 1"):
        started(ProbePenalty(), seen(20, 0), seen(1, 0))
    with pytest.raises(SettingError, match="rows of the base are needed"):
        started(ReferenceResidualPenalty(), seen(20, 0))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: GaussianPenalty(shrinkage="ledoit-wolf"), "Ledoit-Wolf needs rows"),
        (lambda: GaussianPenalty(shrinkage=2.0), "shrinkage must be in"),
        (lambda: ReferenceResidualPenalty(memory=0), "memory must be at least 1"),
        (lambda: ProbePenalty(strength=0), "need strength above 0"),
    ],
)
def test_refuses_settings_outside_their_range(make, says):
    with pytest.raises(SettingError, match=says):
        make()
