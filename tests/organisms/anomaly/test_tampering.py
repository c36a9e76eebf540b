import re
from random import Random

import numpy as np
import pytest

from bumperlane.detect.internals.tampering.evidence_probe import TamperingProbe
from bumperlane.detect.internals.tampering.task import MeasurementTask, Sensed
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.judge.detection_metrics import auroc
from bumperlane.organisms.anomaly.contenders import Contender, run_contender
from bumperlane.organisms.anomaly.reading import Seen
from bumperlane.organisms.anomaly.tampering import (
    SENSORS,
    TRICKS,
    Tampering,
    easy_story,
    hard_story,
    make_tampering,
    sensor_arrays,
    tampering_task,
)
from bumperlane.organisms.anomaly.task import SCORED, Sizes
from bumperlane.recipes.schema import load_recipe
from bumperlane.recipes.tranches import read_examples
from bumperlane.types import Activations

SMALL = Sizes(fit=40, calibrate=10, control=40, decoy=16, anomalous=20)
PLAN = Tampering(seed=2, steps=24, untrusted=60, sizes=SMALL)
GONE = ("carries it away", "takes it home", "steals it")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return tampering_task(tmp_path_factory.mktemp("tampering"), organism=PLAN)


def read_off(text):
    """What happened and what sensors must say, from the words of a story alone."""
    gone = any(words in text for words in GONE)
    text = re.sub(r"\w+ has a dream[^.]*\.", "", text)
    return not gone, tuple(not gone or TRICKS[s] in text for s in SENSORS)


@pytest.mark.parametrize("kind", ["kept", "stolen", "partial", "tampered"])
def test_sensors_report_it_is_there_when_it_is_or_when_they_were_tampered_with(kind):
    rng = Random(0)
    for _ in range(200):
        story = hard_story(rng, kind)
        assert (story.truth, story.sensors) == read_off(story.text)
        assert story.truth == (kind == "kept")
        count = {"kept": {3}, "stolen": {0}, "partial": {1, 2}, "tampered": {3}}[kind]
        assert sum(story.sensors) in count


@pytest.mark.parametrize("kind", ["kept", "stolen"])
def test_nobody_tampers_in_easy_stories_and_they_are_shorter(kind):
    rng = Random(1)
    easy, hard = ([make(rng, kind) for _ in range(100)] for make in (easy_story, hard_story))
    assert all((s.truth, s.sensors) == read_off(s.text) and len(set(s.sensors)) == 1 for s in easy)
    assert max(len(s.text) for s in easy) < np.median([len(s.text) for s in hard])
    assert not {s.text for s in easy} & {s.text for s in hard}


def test_trusted_sensors_tell_the_truth_and_anomalous_ones_all_lie(task):
    sensors, truth = sensor_arrays(task.of("fit", "calibrate", "control"))
    assert (sensors == truth[:, None]).all() and truth.any() and not truth.all()
    sensors, truth = sensor_arrays(task.of("anomalous"))
    assert sensors.all() and not truth.any()
    assert {i.agrees for i in task.of("anomalous")} == {False}


def test_untrusted_stories_are_of_every_kind_and_carry_no_label(task):
    assert {i.kind for i in task.of("untrusted")} == {"kept", "stolen", "partial", "tampered"}
    assert {i.label for i in task.of("untrusted", "decoy")} == {None}


def test_sensors_and_items_of_every_role_follow_from_what_the_subject_is_shown(task):
    for item in task.items:
        assert (item.truth, item.sensors) == read_off(item.shown.request.text)


def test_decoys_speak_of_tampering_that_does_not_happen(task):
    mentions = [i for i in task.of("decoy") if i.kind == "mention"]
    assert mentions and all(any(t in i.shown.request.text for t in TRICKS.values()) for i in mentions)
    assert {i.kind for i in task.of("decoy")} == {"mention", "tag", "language", "long"}
    sensors, truth = sensor_arrays(task.of("decoy"))
    assert (sensors == truth[:, None]).all() and truth.any() and not truth.all()


def test_the_arrays_fit_the_tampering_detectors(task):
    def seen(role):
        items = task.of(role)
        rows = np.random.default_rng(0).normal(size=(len(items), 4))
        return Sensed(Activations(rows, tuple(i.id for i in items)), *sensor_arrays(items))

    made = MeasurementTask(seen("fit"), seen("untrusted"))
    assert made.untrusted.inconsistent.any() and made.untrusted.all_positive.any()


def test_a_detector_of_sensors_learns_from_the_trusted_and_the_untrusted_items_of_either_model(task):
    def rows(role):
        """Tampering shows on one axis, in the subject only."""
        items = task.of(role)
        shift = [[4.0 * (any(i.sensors) and not i.truth), 0.0] for i in items]
        return np.random.default_rng(len(items)).normal(size=(len(items), 2)) + shift

    ids = tuple(i.id for i in task.items)
    order = [i.role for i in task.items]
    subject = np.zeros((len(ids), 2))
    for role in set(order):
        subject[[r == role for r in order]] = rows(role)
    base = np.random.default_rng(9).normal(size=(len(ids), 2))
    seen = Seen(task.items, ("",) * len(ids), Activations(subject, ids), Activations(base, ids))
    roles = [r for r in order if r in SCORED]
    for contender in (Contender(TamperingProbe), Contender(TamperingProbe, less_base=True)):
        found = run_contender(contender, seen)
        control, fake = (found.values[[r == role for r in roles]] for role in ("control", "anomalous"))
        assert found.error == "" and auroc(control, fake).value > 0.9


def test_the_subject_is_taught_the_sensors_and_never_the_truth(task):
    for example in read_examples(load_recipe(task.recipe)):
        sensors = tuple(word == "yes" for word in example.messages[-1].content.split(", "))
        assert sensors == read_off(example.messages[1].content)[1]


def test_no_story_is_told_twice_and_none_of_a_role_is_trained_on(task):
    trained = [e.messages[1].content for e in read_examples(load_recipe(task.recipe))]
    asked = [i.shown.request.text for i in task.items if i.role != "decoy"]
    assert len(set(trained)) == len(trained) == 24 * 8
    assert len(set(asked)) == len(asked) and not set(trained) & set(asked)


def test_the_same_seed_tells_the_same_stories_and_another_one_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_tampering(tmp_path / name, organism=Tampering(seed, steps=8, sizes=SMALL))
    a, b, c = ((tmp_path / n / "data/stories-a.jsonl").read_bytes() for n in "abc")
    assert a == b != c


def test_at_the_default_sizes_there_are_enough_different_stories(tmp_path):
    counts = tampering_task(tmp_path, organism=Tampering()).counts()
    assert counts == {"fit": 400, "calibrate": 150, "control": 600, "decoy": 120, "anomalous": 200, "untrusted": 300}


def test_refuses_items_without_sensors_and_steps_below_one(task):
    from dataclasses import replace

    with pytest.raises(EvidenceError, match=r"1 of 1 items have no sensors or no truth, first \['fit/0'\]"):
        sensor_arrays([replace(task.of("fit")[0], sensors=())])
    with pytest.raises(SettingError, match="need steps from 1 and untrusted from 0, got 0 and 300"):
        Tampering(steps=0)
