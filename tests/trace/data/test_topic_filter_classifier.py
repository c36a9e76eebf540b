"""The classifier of a topic filter, against formulas and a simulation in which the truth is known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.trace.data.topic_classifier import ClassifierSettings, Platt, Taught, teach

NO_WORDS = ClassifierSettings(ngrams=0.0)


def rows(vectors, kinds, folds=None):
    n = len(kinds)
    folds = np.arange(n) % 5 if folds is None else folds
    return Taught([f"w{i}" for i in range(n)], np.asarray(vectors, float), np.asarray(kinds), np.asarray(folds))


def sample(seed=0, stated=20, unknown=300, d=4):
    rng = np.random.default_rng(seed)
    kinds = np.array([1] * stated + [0] * unknown)
    vectors = rng.normal(size=(len(kinds), d)) + np.where(kinds == 1, 1.0, 0.0)[:, None]
    return rows(vectors, kinds, rng.integers(5, size=len(kinds)))


def by_hand(x, y, weights, strength):
    """Weighted logistic regression by a general optimiser: the intercept is not penalised."""

    def loss(b):
        z = x @ b[1:] + b[0]
        return strength * np.sum(weights * (np.logaddexp(0, z) - y * z)) + b[1:] @ b[1:] / 2

    return minimize(loss, np.zeros(x.shape[1] + 1), method="BFGS", options={"gtol": 1e-8}).x


def test_scores_agree_with_the_formula_solved_by_a_general_optimiser():
    data = sample()
    expected = np.zeros(len(data.kinds))
    for fold in range(5):
        use, here = data.folds != fold, data.folds == fold
        y = data.kinds[use] == 1
        share = y.sum() / (~y).sum()
        b = by_hand(data.vectors[use], y, np.where(y, 1, share), 2.0)
        odds = np.exp(data.vectors[here] @ b[1:] + b[0]) * share
        expected[here] = odds / (1 + odds)
    scale = expected[data.kinds == 1].mean()
    model = teach(data, NO_WORDS)
    found = model.scores(data.texts, data.vectors, data.folds)
    np.testing.assert_allclose(found, expected / scale, rtol=1e-2)
    assert model.scale == pytest.approx(scale, rel=2e-3)


def test_in_a_simulation_the_score_is_the_chance_to_be_on_the_topic():
    """One dimension, two bells, a tenth of the positives stated at random: then g / c is near the posterior."""
    rng = np.random.default_rng(2)
    n, share = 20_000, 0.3
    positive = rng.random(n) < share
    x = rng.normal(size=n) + 2.5 * positive
    kinds = (positive & (rng.random(n) < 0.1)).astype(int)
    data = rows(x[:, None], kinds)
    model = teach(data, NO_WORDS)
    grid = np.linspace(-1, 3.5, 10)
    found = model.scores([""] * 10, grid[:, None], np.zeros(10, int))
    true = share * norm.pdf(grid - 2.5) / (share * norm.pdf(grid - 2.5) + (1 - share) * norm.pdf(grid))
    assert abs(np.minimum(found, 1) - true).mean() < 0.12 and (np.diff(found) > 0).all()
    assert 0.5 < np.interp(0.5, found, true) < 0.9, "the usual line loses less than it should, never more"
    assert model.scale == pytest.approx(0.1, rel=0.35)


def test_four_times_the_unlabelled_data_makes_the_odds_a_quarter_and_changes_nothing_else():
    one = sample(unknown=400)
    unknown = one.kinds == 0
    many = Taught(
        [*one.texts, *(f"x{i}" for i in range(3 * unknown.sum()))],
        np.vstack([one.vectors, *[one.vectors[unknown]] * 3]),
        np.concatenate([one.kinds, *[one.kinds[unknown]] * 3]),
        np.concatenate([one.folds, *[one.folds[unknown]] * 3]),
    )
    models = [teach(d, NO_WORDS) for d in (one, many)]
    given = [m.scores(one.texts, one.vectors, one.folds) * m.scale for m in models]
    first, second = (np.log(g / (1 - g)) for g in given)
    np.testing.assert_allclose(second - first, -np.log(4), atol=1e-3)


def test_a_text_of_another_fold_is_scored_by_that_folds_model():
    data = sample()
    model = teach(data, NO_WORDS)
    text, vector = ["t"], data.vectors[:1]
    assert len({float(model.scores(text, vector, np.array([f]))[0]) for f in range(5)}) == 5


def test_known_off_topic_texts_push_their_neighbours_down():
    data = sample()
    near = np.array([3.0, -1.0, 0.0, 0.0])  # on the side of the stated texts, and beside them
    wrong = rows(
        np.vstack([data.vectors, np.tile(near, (10, 1))]),
        [*data.kinds, *[-1] * 10],
        [*data.folds, *range(5), *range(5)],
    )
    before, after = (teach(d, NO_WORDS).scores(["t"], near[None], np.zeros(1, int))[0] for d in (data, wrong))
    assert after < before


def test_words_alone_are_enough():
    texts = (
        [f"harbour tide {i}" for i in range(10)] + [f"street lamp {i}" for i in range(60)] + ["tide harbour", "lamp"]
    )
    kinds = np.array([1] * 10 + [0] * 62)
    data = Taught(texts, np.zeros((72, 0)), kinds, np.arange(72) % 5)
    found = teach(data, ClassifierSettings()).scores(texts[-2:], np.zeros((2, 0)), data.folds[-2:])
    assert found[0] > 0.5 > found[1]


def test_platt_agrees_with_scikit_learn_on_many_examples_and_keeps_the_order():
    rng = np.random.default_rng(0)
    on = rng.random(4000) < 0.4
    scores = np.exp(rng.normal(size=4000) + 1.5 * on - 1)
    fit = Platt.fit(scores, on)
    reference = LogisticRegression(C=1e9).fit(np.log(scores)[:, None], on)
    assert fit.slope == pytest.approx(reference.coef_[0, 0], rel=0.01)
    assert fit.offset == pytest.approx(reference.intercept_[0], rel=0.05, abs=0.01)
    assert (np.diff(fit.of(np.sort(scores))) >= 0).all()
    assert Platt.fit(scores, ~on).slope == 0.0  # turned round it knows nothing; it never turns the order


@pytest.mark.parametrize("stated", [0, 7])
def test_too_few_stated_texts_are_refused(stated):
    with pytest.raises(EvidenceError, match=f"needs 8 texts on the topic or more, there are {stated}. State more"):
        teach(sample(stated=stated), NO_WORDS)


def test_a_fold_that_leaves_nothing_to_learn_from_is_refused():
    data = sample(stated=10)
    with pytest.raises(EvidenceError, match="a fold leaves 0 stated texts and"):
        teach(Taught(data.texts, data.vectors, data.kinds, np.where(data.kinds == 1, 0, data.folds)), NO_WORDS)


def test_settings_out_of_range_are_refused():
    with pytest.raises(SettingError, match="folds must be 2 or more"):
        ClassifierSettings(folds=1)
    with pytest.raises(SettingError, match="strength must be above 0"):
        ClassifierSettings(strength=0)
