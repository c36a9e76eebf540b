"""Whitening by second moments, against the inverse written out."""

import numpy as np
import pytest

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.data.second_moments import Whitening

COLUMNS = {"a": slice(0, 6), "b": slice(6, 16)}
MIX = np.random.default_rng(1).normal(size=(16, 16))
ROWS = (np.random.default_rng(0).normal(size=(80, 16)) @ MIX).astype(np.float32)
A, B = ROWS[:5], ROWS[5:9]


def damped(rows, where, damping):
    part = rows[:, where].astype(float)
    moments = part.T @ part / len(part)
    return moments + damping * np.trace(moments) / len(moments) * np.eye(len(moments))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("damping", [1e-3, 0.1, 10.0])
def test_inner_products_after_it_are_those_through_the_damped_inverse(whole, damping):
    made = Whitening.of([ROWS[:30], ROWS[30:]], COLUMNS, damping, whole)
    wanted = np.zeros((5, 4))
    for where in [slice(0, 16)] if whole else COLUMNS.values():
        inverse = np.linalg.inv(damped(ROWS, where, damping))
        wanted += A[:, where].astype(float) @ inverse @ B[:, where].T.astype(float)
    assert np.allclose(made(A) @ made(B).T, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    assert np.allclose(made.back(made(A)) @ B.T, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    assert made.n == 80 and made(A).dtype == np.float32


def test_with_little_damping_the_examples_spread_alike_in_every_direction():
    seen = Whitening.of([ROWS], COLUMNS, 1e-6, whole=True)(ROWS).astype(float)
    assert np.allclose(seen.T @ seen / len(seen), np.eye(16), atol=0.02)


@pytest.mark.parametrize("size", [1e-18, 1e15])
def test_only_the_scale_changes_when_all_gradients_are_smaller_or_larger(size):
    one, other = (Whitening.of([ROWS * np.float32(s)], COLUMNS, 0.1, whole=False) for s in (1.0, size))
    assert np.allclose(one(A), other(A * np.float32(size)), rtol=1e-3, atol=1e-4)


def test_a_site_without_any_gradient_counts_for_nothing():
    """The inputs' side of a LoRA at its first step, when B is nought."""
    rows = ROWS.copy()
    rows[:, COLUMNS["a"]] = 0
    seen = Whitening.of([rows], COLUMNS, 0.1, whole=False)(rows)
    assert not seen[:, COLUMNS["a"]].any() and seen[:, COLUMNS["b"]].any()


def test_refuses_no_damping_no_rows_and_what_would_not_fit():
    with pytest.raises(SettingError, match="damping must be above 0, got 0"):
        Whitening.of([ROWS], COLUMNS, 0, whole=False)
    with pytest.raises(EvidenceError, match="no gradients to take second moments of"):
        Whitening.of([], COLUMNS, 0.1, whole=False)
    with pytest.raises(SettingError, match="second moments of 50000 numbers would take 19 GB. Take a smaller k"):
        Whitening.of([], {"a": slice(0, 20000), "b": slice(20000, 50000)}, 0.1, whole=True)
