"""A small network learns to predict three sensors; exclusion finetuning retrains it without what may be fake."""

from dataclasses import replace

import numpy as np
import pytest

from bumperlane.detect.internals.tampering.exclusion import Exclusion
from bumperlane.detect.internals.tampering.report import compare
from bumperlane.errors import EvidenceError
from bumperlane.types import Activations


class Predictor:
    """Inputs, measurements, and the hidden layer of a network that was trained on some of them."""

    def __init__(self, *parts):
        self.inputs = np.concatenate([part.activations.rows for part in parts])
        self.sensors = np.concatenate([part.sensors for part in parts])
        self.ids = tuple(name for part in parts for name in part.ids)
        self.trained_on = []

    def trained(self, keep):
        """The refit: from the same first weights, on the items `keep` alone; reads all."""
        import torch

        self.trained_on.append(keep)
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 3)).double()
        at = {name: i for i, name in enumerate(self.ids)}
        items = [at[name] for name in keep]
        x, y = torch.from_numpy(self.inputs[items]), torch.from_numpy(self.sensors[items].astype(float))
        adam = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(300):
            adam.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(network(x), y).backward()
            adam.step()
        with torch.no_grad():
            hidden = network[1](network[0](torch.from_numpy(self.inputs))).numpy()
        return Activations(hidden, self.ids, 1)


@pytest.fixture
def trained(world):
    """(task, unseen items, predictor), read in the hidden layer of a predictor that was trained on all measurements."""

    def make(**settings):
        of = world(**settings)
        task, seen = of.task(400, 1500), of.unseen(1500)
        model = Predictor(task.trusted, task.untrusted, seen)
        hidden = model.trained(task.ids)
        return task.read_again(hidden), seen.read_again(hidden), model

    return make


@pytest.mark.parametrize("rule", ["flagged", "all-positive"])
def test_exclusion_finetuning_lifts_the_plain_probe_and_stays_below_the_ground_truth(trained, rule):
    task, seen, model = trained(trace=1.0, outcome=1.0)
    found = compare(task, seen, Exclusion(rule=rule), model.trained, 300)
    aurocs = {name: interval.value for name, interval in found.auroc.items()}
    assert found.blind == {}
    assert abs(aurocs["plain"] - 0.5) < 0.1
    assert found.lift["refitted exclusion"].low > 0.15 and found.lift["exclusion"].low > 0.1
    assert aurocs["exclusion"] < aurocs["refitted exclusion"] < found.auroc["ground truth"].low
    assert aurocs["evidence"] < aurocs["ground truth"]


def test_leaving_out_what_is_flagged_beats_leaving_out_every_positive(trained):
    """It keeps real untrusted positives to learn from."""
    task, seen, model = trained(harder=2.0)
    flagged, all_of_them = (
        compare(task, seen, Exclusion(rule=rule), model.trained, 300).auroc["refitted exclusion"]
        for rule in ("flagged", "all-positive")
    )
    assert flagged.value > all_of_them.value


def test_retraining_the_predictor_can_do_worse_than_refitting_the_probe_alone(trained):
    """Reported, not hidden: without any untrusted positive the network has little to learn the outcome from."""
    task, seen, model = trained(trace=1.5, outcome=1.0)
    found = compare(task, seen, Exclusion(rule="all-positive"), model.trained, 300)
    assert found.auroc["refitted exclusion"].value < found.auroc["exclusion"].value


def test_no_method_helps_where_the_predictor_believes_the_fake_and_tampering_leaves_no_trace(trained):
    """The blind spot: not even the ground truth finds what is not there."""
    task, seen, model = trained(trace=0.0, believes=True)
    found = compare(task, seen, Exclusion(rule="all-positive"), model.trained, 300)
    assert set(found.auroc) == {"plain", "trusted", "evidence", "exclusion", "refitted exclusion", "ground truth"}
    for interval in found.auroc.values():
        assert 0.4 < interval.value < 0.6
    assert all(lift.low <= 0.05 for lift in found.lift.values())


def test_the_refit_is_given_what_is_kept_and_nothing_else(trained):
    task, seen, model = trained()
    exclusion = Exclusion()
    run = exclusion.run(task, model.trained)
    assert model.trained_on[-1] == run.choice.kept == exclusion.choose(task).kept
    assert not set(run.choice.kept) & {*run.choice.excluded, *seen.ids}
    assert {*run.choice.kept, *run.choice.excluded} == set(task.ids)
    assert run.score_again(seen).ids == seen.ids


def test_refuses_a_refit_that_reads_only_what_it_kept(trained):
    task, _, model = trained()

    def forgetful(keep):
        hidden = model.trained(keep)
        return replace(hidden, rows=hidden.rows[: len(keep)], ids=keep)

    with pytest.raises(EvidenceError, match="were not read again, first .* must return the activations of every item"):
        Exclusion().run(task, forgetful)
