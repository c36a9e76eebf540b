import sys

import numpy as np
import pytest

import promises
from bumperlane.detect.internals.probes.descent import Descent
from bumperlane.detect.internals.probes.lda import LDAProbe
from bumperlane.detect.internals.probes.logistic import LogisticProbe
from bumperlane.detect.internals.probes.mlp import MLPProbe
from bumperlane.detect.internals.probes.ordering import auroc
from bumperlane.errors import EvidenceError, SettingError
from rows import rows

RNG = np.random.default_rng(8)


def ring(n, radius):
    angle = RNG.uniform(0, 2 * np.pi, n)
    return np.c_[np.cos(angle), np.sin(angle), np.zeros(n)] * radius + RNG.normal(size=(n, 3)) * 0.3


def test_keeps_every_promise(tmp_path):
    promises.keep(MLPProbe, tmp_path)


def test_agrees_with_the_network_in_torch(labelled):
    import torch

    good, bad = ring(60, 0.2), ring(60, 2)
    fitted = MLPProbe(8, descent=Descent(epochs=5)).fit(labelled(good, bad))
    network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.from_numpy(fitted.inward.T.copy()))
        network[0].bias.copy_(torch.from_numpy(fitted.inward_bias))
        network[2].weight.copy_(torch.from_numpy(fitted.outward[None].copy()))
        network[2].bias.fill_(fitted.bias)
        theirs = network(torch.from_numpy(bad)).numpy()[:, 0] + bad @ fitted.weights
    np.testing.assert_allclose(fitted.score(rows(bad)).values, theirs, rtol=1e-9)


def test_learns_what_no_direction_tells(labelled):
    fit = labelled(ring(200, 0.2), ring(200, 2))
    seen = rows(ring(100, 0.2)), rows(ring(100, 2))
    found = [auroc(*(probe.fit(fit).score(s).values for s in seen)) for probe in (MLPProbe(), LDAProbe())]
    assert found[0] > 0.98 and found[1] < 0.7


def test_stays_the_logistic_regression_of_four_fifths_where_a_hidden_layer_does_not_help(labelled):
    """Few rows, many dimensions, one direction: a network alone would learn the items by heart."""
    good, bad = RNG.normal(size=(2, 50, 200))
    bad[:, 0] += 3
    fit, seen = labelled(good, bad), rows(RNG.normal(size=(30, 200)))
    learned = np.arange(50) % 5 != 0
    linear = LogisticProbe(10.0).fit(labelled(good[learned], bad[learned])).score(seen).values
    ours = MLPProbe(linear=LogisticProbe(10.0)).fit(fit).score(seen).values
    assert np.corrcoef(ours, linear)[0, 1] > 0.99
    none = MLPProbe(linear=LogisticProbe(10.0), descent=Descent(epochs=1, learning_rate=1e-12)).fit(fit)
    np.testing.assert_allclose(none.score(seen).values, linear, rtol=1e-6)


def test_the_same_seed_gives_the_same_probe_and_another_one_another(labelled):
    fit = labelled(ring(60, 0.2), ring(60, 2))
    one, again, other = (MLPProbe(8, descent=Descent(seed, epochs=10)).fit(fit).inward for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)


def test_fitting_leaves_the_callers_random_numbers_alone(labelled):
    import torch

    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    MLPProbe(8, descent=Descent(epochs=2)).fit(labelled(ring(30, 0.2), ring(30, 2)))
    assert torch.rand(1) == wanted


def test_stops_before_it_learns_labels_by_heart(labelled):
    """Labels at random: log-odds on unseen items stay near 0 where training to the end makes them large."""
    noise, unseen = RNG.normal(size=(120, 30)), rows(RNG.normal(size=(200, 30)))
    fit = labelled(noise[:60], noise[60:])
    early, late = (
        MLPProbe(32, descent=Descent(patience=p, epochs=150)).fit(fit).score(unseen).values for p in (5, 150)
    )
    heart = MLPProbe(32, descent=Descent(patience=150, epochs=150)).fit(fit).score(fit.activations).values
    assert abs(early).mean() < 0.7 and abs(late).mean() < 0.7  # the best weights are kept, however long it went on
    assert abs(heart).mean() < 1.0


def test_units_and_offsets_of_dimensions_do_not_matter(labelled):
    good, bad, seen = ring(40, 0.2), ring(40, 2), ring(20, 1)
    scale, offset = np.array([1e-3, 1e4, 7.0]), np.array([5.0, -3.0, 1e3])
    made = MLPProbe(8, descent=Descent(epochs=10))
    plain = made.fit(labelled(good, bad)).score(rows(seen)).values
    moved = made.fit(labelled(good * scale + offset, bad * scale + offset)).score(rows(seen * scale + offset)).values
    np.testing.assert_allclose(moved, plain, rtol=1e-3, atol=1e-3)


def test_refuses_too_few_of_a_kind_and_another_place(labelled):
    with pytest.raises(EvidenceError, match="MLPProbe needs 20 or more items of each kind, got 19 good and 30 bad"):
        MLPProbe().fit(labelled(ring(19, 1), ring(30, 2)))
    fitted = MLPProbe(4, descent=Descent(epochs=1)).fit(labelled(ring(20, 1), ring(20, 2)))
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 3\), cannot score \(13, 3\)"):
        fitted.score(rows(ring(3, 1), 13))


def test_says_when_it_ran_away(labelled):
    with pytest.raises(EvidenceError, match="loss was not finite in pass 0. Lower learning_rate"):
        MLPProbe(4, descent=Descent(learning_rate=1e200)).fit(labelled(ring(30, 1), ring(30, 2)))


def test_says_how_to_get_torch(labelled, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingError, match=r"MLPProbe is fitted with torch: .*Install bumperlane\[train\]"):
        MLPProbe().fit(labelled(ring(30, 1), ring(30, 2)))


@pytest.mark.parametrize("name", ["epochs", "patience", "batch", "learning_rate"])
def test_refuses_settings_that_are_not_above_nought(name):
    with pytest.raises(SettingError, match=f"{name} must be above 0, got 0"):
        Descent(**{name: 0})


def test_refuses_a_decay_below_nought_and_a_layer_without_units():
    with pytest.raises(SettingError, match="weight_decay must be 0 or above, got -1"):
        Descent(weight_decay=-1)
    with pytest.raises(SettingError, match="hidden must be 1 or more units, got 0"):
        MLPProbe(0)
