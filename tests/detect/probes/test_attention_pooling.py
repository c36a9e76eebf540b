import sys
from dataclasses import replace

import numpy as np
import pytest

import promises
from bumperlane.detect.internals.probes.attention_pooling import AttentionProbe
from bumperlane.detect.internals.probes.descent import Descent
from bumperlane.detect.internals.probes.lda import LDAProbe
from bumperlane.detect.internals.probes.ordering import auroc
from bumperlane.detect.internals.probes.tokens import LabelledTokens, TokenActivations
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Labelled, numbered
from rows import rows as pooled_rows

RNG = np.random.default_rng(9)
QUICK = AttentionProbe(descent=Descent(epochs=30, learning_rate=0.1))


def tokens(n, bad=0.0, length=20, d=6, layer=12):
    """Real tokens on the right (left padding), one of them shifted by `bad` along axes 0 and 1."""
    rows, many = RNG.normal(size=(n, length, d)), RNG.integers(length // 2, length + 1, n)
    rows[np.arange(n), length - 1 - RNG.integers(0, length // 2, n), :2] += bad
    return TokenActivations(rows, np.arange(length) >= length - many[:, None], numbered(n), layer)


def both(n, bad=6.0):
    good, worse = tokens(n), tokens(n, bad)
    joined = TokenActivations(np.r_[good.rows, worse.rows], np.r_[good.mask, worse.mask], numbered(2 * n), 12)
    return LabelledTokens(joined, np.arange(2 * n) >= n)


FITTED = QUICK.fit(both(60))


def test_keeps_every_promise(tmp_path):
    promises.keep(AttentionProbe, tmp_path)


def test_agrees_with_the_formula_item_by_item():
    seen = tokens(15, 6)
    by_hand = []
    for rows, mask in zip(seen.rows, seen.mask, strict=True):
        real = rows[mask]
        weighed = np.exp(real @ FITTED.query)
        by_hand.append((weighed / weighed.sum()) @ (real @ FITTED.value) + FITTED.bias)
    np.testing.assert_allclose(FITTED.score(seen).values, by_hand, rtol=1e-10)


def test_finds_it_under_noise_that_all_tokens_share():
    """Few strong directions that every token moves along: without whitening the descent never leaves them."""
    d, shared = 48, RNG.normal(size=(4, 48)) * 2

    def noisy(n, bad):
        seen = tokens(n, bad, d=d)
        return replace(seen, rows=seen.rows + RNG.normal(size=(*seen.mask.shape, 4)) @ shared)

    good, worse = noisy(100, 0), noisy(100, 6)
    joined = TokenActivations(np.r_[good.rows, worse.rows], np.r_[good.mask, worse.mask], numbered(200), 12)
    fitted = AttentionProbe().fit(LabelledTokens(joined, np.arange(200) >= 100))
    assert auroc(fitted.score(noisy(100, 0)).values, fitted.score(noisy(100, 6)).values) > 0.95


def test_refuses_a_shrinkage_that_parts_of_the_tokens_do_not_give():
    with pytest.raises(SettingError, match="tokens are counted in parts, so their shrinkage must be 'oas' or a number"):
        AttentionProbe("ledoit-wolf")
    with pytest.raises(SettingError, match=r"shrinkage must be in \(0, 1\]"):
        AttentionProbe(0.0)


def test_finds_one_bad_token_that_the_mean_over_tokens_hides():
    fit, good, bad = both(200, 4), tokens(300), tokens(300, 4)

    def mean(seen):
        return pooled_rows([r[m].mean(axis=0) for r, m in zip(seen.rows, seen.mask, strict=True)])

    plain = LDAProbe().fit(Labelled(mean(fit.tokens), fit.labels))
    pooled = auroc(plain.score(mean(good)).values, plain.score(mean(bad)).values)
    fitted = AttentionProbe(descent=Descent(learning_rate=0.1)).fit(fit)
    ours = auroc(fitted.score(good).values, fitted.score(bad).values)
    assert ours > 0.95 and ours > pooled + 0.1


def test_looks_at_the_bad_token():
    rows, mask = RNG.normal(size=(1, 20, 6)), np.ones((1, 20), bool)
    rows[0, 7, :2] += 8
    shares = FITTED.looked_at(TokenActivations(rows, mask, ("a",), 12))
    assert shares.argmax() == 7 and shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("rubbish", [1e9, np.nan, -np.inf])
def test_padding_never_enters_neither_fit_nor_score(rubbish):
    fit, seen = both(30), tokens(10, 6)
    soiled = [replace(t, rows=np.where(t.mask[..., None], t.rows, rubbish)) for t in (fit.tokens, seen)]
    fitted = QUICK.fit(LabelledTokens(soiled[0], fit.labels))
    np.testing.assert_array_equal(fitted.score(soiled[1]).values, QUICK.fit(fit).score(seen).values)
    assert (fitted.looked_at(soiled[1])[~seen.mask] == 0).all()


def test_padding_on_the_left_or_right_or_more_of_it_makes_no_difference():
    seen = tokens(10, 6)
    n, length, d = seen.rows.shape
    right = TokenActivations(seen.rows[:, ::-1], seen.mask[:, ::-1], seen.ids, 12)
    longer = TokenActivations(
        np.concatenate([np.full((n, 5, d), 99.0), seen.rows], axis=1),
        np.concatenate([np.zeros((n, 5), bool), seen.mask], axis=1),
        seen.ids,
        12,
    )
    for other in (right, longer):
        np.testing.assert_allclose(FITTED.score(other).values, FITTED.score(seen).values, rtol=1e-12)


def test_more_padding_in_the_labelled_items_gives_the_same_probe():
    fit = both(30)
    n, _, d = fit.tokens.rows.shape
    longer = TokenActivations(
        np.concatenate([fit.tokens.rows, np.full((n, 40, d), 5.0)], axis=1),
        np.concatenate([fit.tokens.mask, np.zeros((n, 40), bool)], axis=1),
        fit.ids,
        12,
    )
    one, other = QUICK.fit(fit), QUICK.fit(LabelledTokens(longer, fit.labels))
    np.testing.assert_allclose(other.query, one.query, rtol=1e-6)
    np.testing.assert_allclose(other.value, one.value, rtol=1e-6)
    assert other.bias == pytest.approx(one.bias)


def test_units_and_offsets_of_dimensions_do_not_matter():
    scale, offset = np.array([1e-3, 1, 1e4, 7, 1, 1]), np.array([5.0, -3.0, 1e3, 0.0, 1.0, 2.0])
    fit, seen = both(30), tokens(10, 6)
    moved_fit, moved = (replace(t, rows=t.rows * scale + offset) for t in (fit.tokens, seen))
    fitted = QUICK.fit(LabelledTokens(moved_fit, fit.labels))
    np.testing.assert_allclose(fitted.score(moved).values, QUICK.fit(fit).score(seen).values, rtol=1e-5)


def test_is_blind_to_the_order_of_tokens():
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    seen = tokens(20, 6)
    order = np.argsort(RNG.random(seen.mask.shape), axis=1)
    mixed = TokenActivations(
        np.take_along_axis(seen.rows, order[..., None], axis=1),
        np.take_along_axis(seen.mask, order, axis=1),
        seen.ids,
        12,
    )
    np.testing.assert_allclose(FITTED.score(mixed).values, FITTED.score(seen).values, rtol=1e-10)


def test_one_token_an_item_is_a_plain_linear_probe():
    fit = both(60)
    alone = LabelledTokens(TokenActivations(fit.tokens.rows[:, :1], np.ones((120, 1), bool), fit.ids, 12), fit.labels)
    fitted, seen = QUICK.fit(alone), RNG.normal(size=(5, 1, 6))
    by_hand = seen[:, 0] @ fitted.value + fitted.bias
    np.testing.assert_allclose(
        fitted.score(TokenActivations(seen, np.ones((5, 1), bool), numbered(5), 12)).values, by_hand
    )


def test_the_same_evidence_gives_the_same_probe():
    fit = both(30)
    np.testing.assert_array_equal(QUICK.fit(fit).query, QUICK.fit(fit).query)


def test_refuses_too_few_another_place_and_pooled_rows():
    with pytest.raises(
        EvidenceError, match="AttentionProbe needs 20 or more items of each kind, got 19 good and 19 bad"
    ):
        QUICK.fit(both(19))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 6\), cannot score \(3, 6\)"):
        FITTED.score(tokens(3, layer=3))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 6\), cannot score \(12, 5\)"):
        FITTED.looked_at(tokens(3, d=5))
    with pytest.raises(EvidenceError, match="AttentionProbe learns from LabelledTokens, got TokenActivations"):
        QUICK.fit(tokens(50))


def test_says_what_to_check_when_all_tokens_are_equal():
    same = TokenActivations(np.ones((40, 3, 2)), np.ones((40, 3), bool), numbered(40), 5)
    with pytest.raises(EvidenceError, match="all 120 .* at layer 5 are equal. Check that the hook"):
        QUICK.fit(LabelledTokens(same, np.arange(40) >= 20))


def test_says_how_to_get_torch(monkeypatch):
    fit = both(20)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingError, match=r"AttentionProbe is fitted with torch: .*Install bumperlane\[train\]"):
        QUICK.fit(fit)


@pytest.mark.parametrize(
    ("rows", "mask", "ids", "text"),
    [
        (
            np.zeros((2, 3)),
            np.ones((2, 3), bool),
            2,
            r"must be \(n, T, d\) with a mask \(n, T\) and n ids, got rows \(2, 3\)",
        ),
        (np.zeros((2, 3, 4)), np.ones((2, 2), bool), 2, r"mask \(2, 2\)"),
        (np.zeros((2, 3, 4)), np.ones((2, 3), bool), 3, "and 3 ids. Pad all items"),
        (np.zeros((2, 3, 4)), np.ones((2, 3)), 2, "mask must be bool, True for real tokens, got float64"),
        (np.zeros((2, 3, 4)), np.array([[True] * 3, [False] * 3]), 2, r"1 items have no real token, first \['1'\]"),
        (np.full((2, 3, 4), np.nan), np.ones((2, 3), bool), 2, "layer 0, step 0 are not finite for 2 items"),
    ],
)
def test_refuses_tokens_that_do_not_fit_together(rows, mask, ids, text):
    with pytest.raises(EvidenceError, match=text):
        TokenActivations(rows, mask, numbered(ids))


def test_names_the_items_that_are_not_finite_wherever_they_stand():
    rows = np.zeros((150, 2, 1))
    rows[140, 1] = np.inf
    with pytest.raises(EvidenceError, match=r"not finite for 1 items, first \['140'\]"):
        TokenActivations(rows, np.ones((150, 2), bool), numbered(150))


@pytest.mark.parametrize("labels", [np.ones(3, bool), np.ones(4)])
def test_refuses_labels_that_are_not_one_boolean_an_item(labels):
    with pytest.raises(EvidenceError, match="labels must be 4 booleans, one an item, got"):
        LabelledTokens(tokens(4), labels)
