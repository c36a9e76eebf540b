from dataclasses import replace

import numpy as np
import pytest

import promises
from bumperlane.detect.internals.probes.lda import LDAProbe
from bumperlane.detect.internals.probes.logistic import LogisticProbe
from bumperlane.detect.internals.probes.ordering import auroc
from bumperlane.detect.internals.tampering.evidence_probe import TamperingProbe, evidence_of_tampering
from bumperlane.errors import EvidenceError
from bumperlane.types import Activations, Labelled


def separation(task, seen, probe=None):
    """AUROC of fake above real positives."""
    positives = seen.where(seen.all_positive)
    values = TamperingProbe(probe or LogisticProbe()).fit(task).score(positives.activations).values
    return auroc(values[positives.truth], values[~positives.truth])


def test_keeps_every_promise(tmp_path):
    promises.keep(TamperingProbe, tmp_path)


def test_is_fitted_on_trusted_items_and_on_untrusted_ones_that_contradict_themselves(world):
    task = world().task(100, 300)
    evidence = evidence_of_tampering(task)
    sensors = dict(zip(task.untrusted.ids, task.untrusted.sensors, strict=True))
    for name, bad in zip(evidence.ids, evidence.labels, strict=True):
        assert bad == (name in sensors)
        assert not bad or (sensors[name].any() and not sensors[name].all())
    assert evidence.labels.sum() == task.untrusted.inconsistent.sum() and (~evidence.labels).sum() == 100


@pytest.mark.parametrize("probe", [LogisticProbe(1.0), LDAProbe(0.2)])
def test_scores_are_those_of_the_probe_on_that_evidence(world, probe):
    of = world()
    task, seen = of.task(), of.unseen(50).activations
    part = task.untrusted.where(task.untrusted.inconsistent)
    rows = np.concatenate([task.trusted.activations.rows, part.activations.rows])
    by_hand = Labelled(
        Activations(rows, task.trusted.ids + part.ids, 12), np.arange(len(rows)) >= len(task.trusted.ids)
    )
    scores = TamperingProbe(probe).fit(task).score(seen)
    np.testing.assert_allclose(scores.values, probe.fit(by_hand).score(seen).values)
    assert scores.bumper == "TamperingProbe"


@pytest.mark.parametrize("seed", range(3))
def test_tells_fake_from_real_positives_though_it_saw_neither_label(world, seed):
    of = world(seed=seed)
    assert separation(of.task(known=False), of.unseen()) > 0.98


@pytest.mark.parametrize("seed", range(3))
def test_tells_them_apart_even_where_the_predictor_believes_in_the_fake(world, seed):
    of = world(believes=True, seed=seed)
    assert separation(of.task(), of.unseen()) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_is_blind_to_tampering_that_leaves_no_trace(world, seed):
    """The limit named in the docstring. If this fails, the docstring is out of date."""
    of = world(trace=0.0, believes=True, seed=seed)
    assert separation(of.task(), of.unseen()) == pytest.approx(0.5, abs=0.06)


def test_is_blind_to_tampering_that_succeeds_in_another_way_than_it_fails(world):
    """The second limit: fake positives carry their trace on an axis on which failed tampering left none."""
    of = world(believes=True)

    def elsewhere(part):
        fake = part.all_positive & ~part.truth
        rows = part.activations.rows.copy()
        rows[fake, 1:4] -= of.trace
        rows[fake, 6] += 3
        return replace(part, activations=replace(part.activations, rows=rows))

    task, seen = of.task(), elsewhere(of.unseen())
    assert separation(replace(task, untrusted=elsewhere(task.untrusted)), seen) < 0.65


def test_harder_untrusted_items_look_tampered_with_but_less_so_among_themselves(world):
    """The third limit: what sets the untrusted set apart counts as evidence."""
    of = world(harder=3.0)
    task, seen = of.task(), of.unseen()
    fitted = TamperingProbe().fit(task)
    real, trusted = (
        fitted.score(p.where(p.all_positive & p.truth).activations).values for p in (seen, of.trusted(500, 90_000))
    )
    assert auroc(trusted, real) > 0.9  # nobody tampered with either
    assert 0.85 < separation(task, seen) < separation(world().task(), world(seed=1).unseen())


def test_refuses_one_sensor_and_sensors_that_never_contradict_each_other(world):
    task = world().task()
    single = replace(task.untrusted, sensors=task.untrusted.sensors.all(axis=1, keepdims=True))
    trusted = replace(task.trusted, sensors=task.trusted.sensors[:, :1])
    with pytest.raises(EvidenceError, match="one sensor cannot contradict itself.*Pass two or more sensors"):
        TamperingProbe().fit(replace(task, trusted=trusted, untrusted=single))
    agreeing = task.untrusted.where(~task.untrusted.inconsistent)
    with pytest.raises(EvidenceError, match=f"3 sensors agree on all {len(agreeing.ids)} untrusted items, so none"):
        TamperingProbe().fit(replace(task, untrusted=agreeing))


def test_refuses_too_few_contradictions_with_the_counts(world):
    task = world().task()
    few = task.untrusted.inconsistent & (np.cumsum(task.untrusted.inconsistent) <= 3)
    with pytest.raises(EvidenceError, match="got 300 good and 3 bad"):
        TamperingProbe().fit(replace(task, untrusted=task.untrusted.where(few | task.untrusted.all_positive)))


def test_refuses_another_place(world):
    of = world()
    seen = of.unseen(10).activations
    with pytest.raises(EvidenceError, match=r"fitted at \(layer, d\) \(12, 8\), cannot score \(9, 8\)"):
        TamperingProbe().fit(of.task()).score(replace(seen, layer=9))
