from dataclasses import replace

import numpy as np
import pytest

from bumperlane.detect.internals.probes.labels import folds_of
from bumperlane.detect.internals.probes.lda import LDAProbe
from bumperlane.detect.internals.probes.logistic import LogisticProbe
from bumperlane.detect.internals.tampering.evidence_probe import TamperingProbe, evidence_of_tampering
from bumperlane.detect.internals.tampering.exclusion import Exclusion
from bumperlane.detect.internals.tampering.task import MeasurementTask, part_of
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.types import Activations, Labelled


def excluded_shares(task, choice):
    """Of real and of fake untrusted positives, the shares that are left out."""
    positives = task.untrusted.where(task.untrusted.all_positive)
    out = np.isin(positives.ids, choice.excluded)
    return out[positives.truth].mean(), out[~positives.truth].mean()


@pytest.mark.parametrize("probe", [LogisticProbe(10.0), LDAProbe()])
@pytest.mark.parametrize("false_alarm", [0.05, 0.2])
def test_leaves_out_the_fake_and_no_more_of_the_real_than_it_was_told(world, probe, false_alarm):
    shares = []
    for seed in range(10):
        task = world(seed=seed).task(200, 600)
        shares.append(excluded_shares(task, Exclusion(probe, false_alarm=false_alarm).choose(task)))
    real, fake = np.mean(shares, axis=0)
    assert real == pytest.approx(false_alarm, abs=0.04) and fake > 0.9


def test_only_untrusted_positives_are_left_out_and_all_above_the_line(world):
    task = world().task()
    choice = Exclusion().choose(task)
    positives = task.untrusted.where(task.untrusted.all_positive)
    evidence = TamperingProbe().fit(task).score(positives.activations)
    np.testing.assert_allclose(choice.evidence.values, evidence.values, rtol=1e-6)
    assert choice.evidence.ids == positives.ids
    assert set(choice.excluded) == {n for n, v in zip(positives.ids, evidence.values, strict=True) if v > choice.line}
    assert choice.kept == tuple(name for name in task.ids if name not in set(choice.excluded))


@pytest.mark.parametrize("false_alarm", [0.05, 0.31])
def test_the_line_is_the_conformal_quantile_of_held_out_scores_of_trusted_positives(world, false_alarm):
    task, probe, held_out = world().task(200, 400), LDAProbe(), {}
    evidence = evidence_of_tampering(task)
    fold = folds_of(evidence.labels, 5)
    for k in range(5):
        learned = Labelled(part_of(evidence.activations, fold != k), evidence.labels[fold != k])
        scores = probe.fit(learned).score(part_of(evidence.activations, fold == k))
        held_out.update(zip(scores.ids, scores.values, strict=True))
    values = sorted(held_out[name] for name in task.trusted.where(task.trusted.truth).ids)
    by_hand = values[int(np.ceil((len(values) + 1) * (1 - false_alarm))) - 1]
    assert Exclusion(probe, false_alarm=false_alarm).choose(task).line == pytest.approx(by_hand, rel=1e-9)


def test_the_line_is_set_on_scores_of_items_that_the_probe_was_not_fitted_on(world):
    """In many dimensions a probe separates what it was fitted on perfectly. A line on such scores lies far too low."""
    of = world(trace=0.0, believes=True)
    rng = np.random.default_rng(0)

    def wide(part):
        noise = rng.normal(size=(len(part.ids), 300))
        return replace(part, activations=replace(part.activations, rows=np.c_[part.activations.rows, noise]))

    task = of.task(150, 600)
    task = MeasurementTask(wide(task.trusted), wide(task.untrusted))
    real, fake = excluded_shares(task, Exclusion(LogisticProbe(0.1)).choose(task))
    assert real < 0.25 and fake < 0.25


def test_the_rule_all_positive_leaves_out_every_untrusted_positive(world):
    task = world().task()
    choice = Exclusion(rule="all-positive").choose(task)
    assert excluded_shares(task, choice) == (1, 1)
    assert len(choice.kept) + len(choice.excluded) == len(task.ids) and choice.line is None


def test_where_trusted_items_are_easier_the_flagged_are_nearly_all(world):
    """Said in the docstring: then the rule equals 'all-positive'."""
    real, fake = excluded_shares(task := world(harder=5.0).task(), Exclusion().choose(task))
    assert real > 0.95 and fake > 0.95


def test_the_final_probe_learns_from_what_is_kept(world):
    of = world()
    task, seen = of.task(), of.unseen(20).activations
    run = Exclusion(LogisticProbe(1.0)).run(task)
    kept = np.isin(task.ids, run.choice.kept)
    rows = np.concatenate([task.trusted.activations.rows, task.untrusted.activations.rows])[kept]
    failed = ~np.concatenate([task.trusted.all_positive, task.untrusted.all_positive])[kept]
    by_hand = LogisticProbe(1.0).fit(Labelled(Activations(rows, run.choice.kept, 12), failed))
    np.testing.assert_allclose(run.score(seen).values, by_hand.score(seen).values)
    assert run.score(seen).bumper == "Exclusion" and run.score(seen).ids == seen.ids


def test_never_looks_at_the_truth_of_untrusted_items(world):
    known, unknown = world().task(), world().task(known=False)
    for rule in ("flagged", "all-positive"):
        runs = [Exclusion(rule=rule).run(task) for task in (known, unknown)]
        np.testing.assert_array_equal(runs[0].probe.weights, runs[1].probe.weights)


def test_says_so_when_nothing_is_left_out(world):
    of = world(believes=True, trace=0.0)
    few = of.untrusted(1200)
    positive = np.flatnonzero(few.all_positive)
    one = np.ones(len(few.ids), bool)
    one[positive[1:]] = False
    task = MeasurementTask(of.trusted(300), few.where(one))
    with pytest.raises(
        EvidenceError, match="no untrusted item of 1 .* than 99% of trusted ones, so nothing is left out"
    ):
        Exclusion(false_alarm=0.01).run(task)


def test_refuses_a_line_that_too_few_trusted_positives_can_set(world):
    of = world()
    task = MeasurementTask(of.trusted(60), of.untrusted(600))
    positives = int(task.trusted.all_positive.sum())
    with pytest.raises(
        EvidenceError, match=rf"at 0.01 false alarms needs 99 or more trusted positives, got {positives}"
    ):
        Exclusion(false_alarm=0.01).choose(task)


def test_without_a_refit_nothing_was_read_again(world):
    of = world()
    with pytest.raises(EvidenceError, match="the predictor was not refitted, so no item was read again. Use score"):
        Exclusion().run(of.task()).score_again(of.unseen(10))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rule": "some"}, "rule must be 'flagged' or 'all-positive', got 'some'"),
        ({"false_alarm": 0}, "false_alarm must be between 0 and 1, got 0"),
        ({"false_alarm": 1.0}, "false_alarm must be between 0 and 1, got 1.0"),
        ({"folds": 1}, "folds must be 2 or more, got 1"),
    ],
)
def test_refuses_settings_that_mean_nothing(settings, text):
    with pytest.raises(SettingError, match=text):
        Exclusion(**settings)
