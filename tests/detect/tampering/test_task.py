from dataclasses import replace

import numpy as np
import pytest

from bumperlane.detect.internals.tampering.task import MeasurementTask, Sensed, labelled
from bumperlane.errors import EvidenceError
from bumperlane.types import Activations, numbered


def sensed(sensors, truth=None, start=0, d=2, layer=0):
    sensors = np.array(sensors, bool)
    n = len(sensors)
    seen = Activations(np.arange(start, start + n * d, dtype=float).reshape(n, d), numbered(n, start), layer)
    return Sensed(seen, sensors, None if truth is None else np.array(truth, bool))


TRUSTED = sensed([[1, 1], [0, 0], [0, 1]], [1, 0, 0])
UNTRUSTED = sensed([[1, 1], [0, 0], [0, 1], [1, 0]], start=10)


def test_says_which_items_are_positive_throughout_and_which_contradict_themselves():
    np.testing.assert_array_equal(UNTRUSTED.all_positive, [True, False, False, False])
    np.testing.assert_array_equal(UNTRUSTED.inconsistent, [False, False, True, True])


def test_a_part_keeps_rows_sensors_truth_and_ids_together():
    part = TRUSTED.where(np.array([False, True, True]))
    assert part.ids == ("1", "2") and part.activations.layer == 0
    np.testing.assert_array_equal(part.activations.rows, TRUSTED.activations.rows[1:])
    np.testing.assert_array_equal(part.sensors, [[0, 0], [0, 1]])
    np.testing.assert_array_equal(part.truth, [False, False])
    assert UNTRUSTED.where(np.ones(4, bool)).truth is None


def test_items_read_again_are_found_by_their_ids_in_any_order():
    again = Activations(np.arange(10.0)[:, None], tuple("43210") + numbered(5, 10)[::-1], 7)
    task = MeasurementTask(TRUSTED, UNTRUSTED).read_again(again)
    np.testing.assert_array_equal(task.trusted.activations.rows[:, 0], [4, 3, 2])
    np.testing.assert_array_equal(task.untrusted.activations.rows[:, 0], [9, 8, 7, 6])
    assert task.ids == MeasurementTask(TRUSTED, UNTRUSTED).ids and task.place == (7, 1)
    np.testing.assert_array_equal(task.untrusted.sensors, UNTRUSTED.sensors)


def test_refuses_items_that_were_not_read_again():
    with pytest.raises(EvidenceError, match=r"3 of 4 items were not read again, first \['11', '12', '13'\]"):
        UNTRUSTED.read_again(sensed([[1]], start=10).activations)


def test_labels_stay_with_their_items_when_sets_are_joined():
    joined = labelled([(TRUSTED, np.array([True, False, False])), (UNTRUSTED, np.zeros(4, bool))])
    assert joined.ids == TRUSTED.ids + UNTRUSTED.ids
    np.testing.assert_array_equal(joined.activations.rows[:3], TRUSTED.activations.rows)
    np.testing.assert_array_equal(joined.labels, [True] + [False] * 6)


@pytest.mark.parametrize(
    ("sensors", "truth", "text"),
    [
        (
            np.ones((4, 2)),
            None,
            r"sensors must be bool of shape \(n, S\) with n = 3 items, got float64 of shape \(4, 2\)",
        ),
        (np.ones(3, bool), None, r"got bool of shape \(3,\). Turn each reading into yes or no."),
        (np.ones((3, 0), bool), None, "items without a sensor cannot be measured"),
        (np.ones((3, 2), bool), np.ones(3), "truth must be 3 booleans, one an item, got float64"),
        (np.ones((3, 2), bool), np.ones(2, bool), r"got bool of shape \(2,\)"),
    ],
)
def test_refuses_measurements_that_do_not_fit_the_items(sensors, truth, text):
    with pytest.raises(EvidenceError, match=text):
        Sensed(TRUSTED.activations, sensors, truth)


def test_refuses_trusted_items_whose_truth_is_not_known():
    with pytest.raises(EvidenceError, match="the truth of trusted items must be known"):
        MeasurementTask(replace(TRUSTED, truth=None), UNTRUSTED)


@pytest.mark.parametrize("truth", [[0, 0, 0], [1, 1, 0]])
def test_refuses_trusted_items_whose_sensors_contradict_the_truth(truth):
    with pytest.raises(
        EvidenceError, match="sensors of 1 of 3 trusted items contradict the truth, first .*no tampering"
    ):
        MeasurementTask(replace(TRUSTED, truth=np.array(truth, bool)), UNTRUSTED)


def test_refuses_an_untrusted_set_without_a_positive():
    with pytest.raises(EvidenceError, match="none of 3 untrusted items has all 2 sensors positive"):
        MeasurementTask(TRUSTED, UNTRUSTED.where(~UNTRUSTED.all_positive))


def test_refuses_an_item_in_both_sets():
    with pytest.raises(EvidenceError, match=r"trusted and untrusted items share 1 items, first \['2'\]"):
        MeasurementTask(TRUSTED, sensed([[1, 1], [0, 1]], start=2))


@pytest.mark.parametrize(
    ("untrusted", "text"),
    [
        (sensed([[1, 1, 1]], start=10), r"have 2 and 3 sensors"),
        (sensed([[1, 1]], start=10, layer=3), r"at \(layer, d\) \(0, 2\) and \(3, 2\)"),
        (sensed([[1, 1]], start=10, d=5), r"at \(layer, d\) \(0, 2\) and \(0, 5\). Measure and read both alike"),
    ],
)
def test_refuses_other_sensors_or_another_place(untrusted, text):
    with pytest.raises(EvidenceError, match=text):
        MeasurementTask(TRUSTED, untrusted)
