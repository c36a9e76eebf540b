import numpy as np
import pytest

import promises
from bumperlane.detect.internals.probes.ensemble import ProbeEnsemble
from bumperlane.detect.internals.probes.lda import LDAProbe
from bumperlane.detect.internals.probes.logistic import LogisticProbe
from bumperlane.detect.internals.probes.mean_difference import MeanDifferenceProbe
from bumperlane.detect.internals.probes.mlp import MLPProbe
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, Labelled, numbered
from rows import rows

RNG = np.random.default_rng(10)
GOOD, BAD = RNG.normal(size=(80, 6)), RNG.normal(size=(80, 6)) + [2, 0, 0, 0, 0, 0]
LDA = ProbeEnsemble(LDAProbe(), members=5)


def test_keeps_every_promise(tmp_path):
    promises.keep(ProbeEnsemble, tmp_path)


def test_agrees_with_resampling_by_hand(labelled):
    fit, seen, rng = labelled(GOOD, BAD), rows(RNG.normal(size=(7, 6))), np.random.default_rng(0)
    each = []
    for _ in range(5):
        good, bad = rng.choice(np.arange(80), 80), rng.choice(np.arange(80, 160), 80)
        drawn = np.concatenate([good, bad])
        member = LDAProbe().fit(
            Labelled(Activations(fit.activations.rows[drawn], numbered(160), 12), fit.labels[drawn])
        )
        out = np.array([i for i in range(80) if i not in good])
        usual = member.score(rows(fit.activations.rows[out])).values
        each.append((member.score(seen).values - usual.mean()) / usual.std(ddof=1))
    fitted = LDA.fit(fit)
    np.testing.assert_allclose(fitted.member_scores(seen), np.array(each).T, rtol=1e-9)
    np.testing.assert_allclose(fitted.score(seen).values, np.mean(each, axis=0), rtol=1e-9)
    np.testing.assert_allclose(fitted.disagreement(seen), np.std(each, axis=0, ddof=1), rtol=1e-9)
    least = ProbeEnsemble(LDAProbe(), 5, "least").fit(fit).score(seen).values
    np.testing.assert_allclose(least, np.min(each, axis=0), rtol=1e-9)


@pytest.mark.parametrize("probe", [LogisticProbe(10.0), LDAProbe(), MeanDifferenceProbe()])
def test_unseen_good_items_score_about_nought_in_deviations_of_good_ones(labelled, probe):
    fitted = ProbeEnsemble(probe).fit(
        labelled(RNG.normal(size=(400, 6)), RNG.normal(size=(100, 6)) + [2, 0, 0, 0, 0, 0])
    )
    values = fitted.score(rows(RNG.normal(size=(3000, 6)))).values
    assert abs(values.mean()) < 0.3 and values.std() == pytest.approx(1, abs=0.2)


def test_members_disagree_more_where_no_label_says_anything(labelled):
    fitted = ProbeEnsemble(LogisticProbe(1.0)).fit(labelled(GOOD, BAD))
    near, far = RNG.normal(size=(200, 6)), RNG.normal(size=(200, 6)) + [0, 15, 0, 0, 0, 0]
    assert np.median(fitted.disagreement(rows(far))) > 3 * np.median(fitted.disagreement(rows(near)))


def test_is_blind_where_all_members_learn_the_same_wrong_thing(labelled):
    """The limit named in the docstring: with a topic for the label, the members agree, and are wrong together."""
    topic, harm = np.eye(6)[0] * 8, np.eye(6)[1] * 2
    fitted = ProbeEnsemble(LogisticProbe(10.0)).fit(labelled(GOOD, RNG.normal(size=(80, 6)) + topic))
    clean, bad = fitted.score(rows(RNG.normal(size=(200, 6)))), rows(RNG.normal(size=(200, 6)) + harm)
    assert (fitted.score(bad).values > np.quantile(clean.values, 0.95)).mean() < 0.15
    assert fitted.disagreement(bad).mean() < 1


def test_chooses_the_strength_once_on_all_items(labelled, monkeypatch):
    asked = []
    own = LogisticProbe._strength
    monkeypatch.setattr(LogisticProbe, "_strength", lambda self, *a: asked.append(self.strength) or own(self, *a))
    ProbeEnsemble(members=4).fit(labelled(GOOD, BAD))
    assert asked[0] == "cross-validated" and "cross-validated" not in asked[1:] and len(asked) == 5


def test_refuses_too_few_and_another_place(labelled):
    with pytest.raises(
        EvidenceError, match="ProbeEnsemble needs 20 or more items of each kind, got 80 good and 19 bad"
    ):
        LDA.fit(labelled(GOOD, BAD[:19]))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 6\), cannot score \(4, 6\)"):
        LDA.fit(labelled(GOOD, BAD)).score(rows(GOOD, 4))


def test_says_when_good_items_left_out_are_all_alike(labelled):
    alike = np.zeros((40, 6))
    alike[0] = 1
    with pytest.raises(EvidenceError, match=r"left out \d+ good items that differ, 3 are needed for a unit"):
        ProbeEnsemble(LogisticProbe(1.0)).fit(labelled(alike, BAD))


def test_refuses_settings_that_make_no_ensemble():
    with pytest.raises(SettingError, match="needs 2 or more members, got 1"):
        ProbeEnsemble(members=1)
    with pytest.raises(SettingError, match="rule must be 'mean' or 'least', got 'most'"):
        ProbeEnsemble(rule="most")
    with pytest.raises(SettingError, match="must be a LogisticProbe, LDAProbe or MeanDifferenceProbe, got MLPProbe"):
        ProbeEnsemble(MLPProbe())
