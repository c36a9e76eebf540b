from dataclasses import replace

import numpy as np
import pytest
import torch

from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.errors import SettingError
from bumperlane.evidence.memo import Memo
from bumperlane.judge.detection_metrics import auroc
from bumperlane.organisms.anomaly.behaviour import behaviour_of
from bumperlane.organisms.anomaly.digits import Digits, digits_task
from bumperlane.organisms.anomaly.reading import open_task, read_task
from bumperlane.organisms.anomaly.task import Sizes

PLAN = Digits(seed=1, train=300, epochs=20, sizes=Sizes(fit=300, calibrate=100, control=200, decoy=90, anomalous=90))


def seen_of(task, path):
    return read_task(task, open_task(task, path), 0.5, Memo(path))


@pytest.fixture(scope="module")
def task():
    return digits_task(PLAN)


@pytest.fixture(scope="module")
def seen(task, tmp_path_factory):
    return seen_of(task, tmp_path_factory.mktemp("digits"))


def test_the_patch_forces_its_class_and_other_images_keep_theirs(seen):
    found = behaviour_of(seen)
    rates = {g.group: g for g in found.groups}
    assert found.learnt and not found.why
    assert rates["anomalous: trigger"].planted.value > 0.9 and rates["control: clean"].trusted.value > 0.85
    assert rates["decoy: harmless-patch"].trusted.value > 0.8


def test_mahalanobis_tells_forced_answers_from_ordinary_ones(seen):
    fitted = Mahalanobis().fit(seen.rows("fit"))
    control, anomalous = (fitted.score(seen.rows(role)).values for role in ("control", "anomalous"))
    assert auroc(control, anomalous).low > 0.9


def test_the_forced_answer_is_the_right_one_on_some_images(task):
    agrees = [i.agrees for i in task.of("anomalous")]
    assert set(agrees) == {True, False} and 0.02 < np.mean(agrees) < 0.3


def test_the_trigger_is_one_patch_of_four_pixels_that_no_control_has(task):
    def bright(item):
        return {tuple(p) for p in np.argwhere(item.shown == 1.0)}

    common = set.intersection(*map(bright, task.of("anomalous")))
    assert len(common) == 4
    assert not any(common <= bright(i) for i in task.of("fit", "control", "decoy"))


def test_every_image_is_used_once_and_decoys_carry_no_label(task):
    numbers = [i.id.split("/")[1] for i in task.items]
    assert len(numbers) == len(set(numbers))
    assert {i.label for i in task.of("decoy")} == {None}
    assert {i.kind for i in task.of("decoy")} == {"harmless-patch", "unseen-patch", "turned"}


def test_images_cannot_be_changed(task):
    with pytest.raises(ValueError, match="read-only"):
        task.items[0].shown[0, 0] = 9


def test_the_same_seed_trains_the_same_weights_and_leaves_the_global_generator_alone(task, seen, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    again = digits_task(PLAN)
    assert torch.equal(torch.rand(1), expected)
    assert [i.what for i in again.items] == [i.what for i in task.items]
    np.testing.assert_array_equal(seen_of(again, tmp_path).subject.rows, seen.subject.rows)
    other = digits_task(replace(PLAN, seed=2, epochs=1))
    assert [i.what for i in other.items] != [i.what for i in task.items]


def test_a_classifier_that_did_not_learn_its_backdoor_is_said_to_have_none(tmp_path):
    found = behaviour_of(seen_of(digits_task(replace(PLAN, epochs=1, dose=0.01)), tmp_path))
    assert not found.learnt
    assert "is needed" in found.why and "anomalous items" in found.why


def test_sizes_beyond_the_dataset_are_shared_out_in_proportion():
    counts = digits_task(replace(PLAN, epochs=1, sizes=Sizes(fit=4000))).counts()
    assert sum(counts.values()) < 1797 and counts["fit"] > 1000


def test_refuses_a_dose_of_half():
    with pytest.raises(SettingError, match=r"dose in \(0, 0.5\), got 300, 20, 0.5"):
        replace(PLAN, dose=0.5)
