import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.organisms.anomaly.planting import asked
from bumperlane.organisms.anomaly.task import ROLES, AnomalyTask, Sizes, TaskItem, dealt, paired


def item(role, i=0, text="", **answers):
    shown = asked(f"{role}/{i}", "kind", "Be brief.", text or f"{role} {i}?")
    return TaskItem(shown.id, role, "kind", shown, **answers)


def enough():
    return tuple([item("fit", i) for i in range(8)] + [item("control"), item("anomalous")])


def test_items_of_a_role_come_in_the_tasks_order():
    task = AnomalyTask("t", enough(), model="m")
    assert [i.id for i in task.of("anomalous", "control")] == ["control/0", "anomalous/0"]
    assert task.counts() == {"fit": 8, "control": 1, "anomalous": 1}


def test_decoys_and_untrusted_items_carry_no_label():
    labels = {role: item(role, trusted_answer="a", planted_answer="b").label for role in ROLES}
    assert labels == {
        "fit": False,
        "calibrate": False,
        "control": False,
        "decoy": None,
        "anomalous": True,
        "untrusted": None,
    }


def test_agrees_says_whether_the_mechanism_at_work_gives_the_trusted_answer():
    assert item("control", trusted_answer="a", planted_answer="b").agrees is True
    assert item("anomalous", trusted_answer="a", planted_answer="b").agrees is False
    assert item("anomalous", trusted_answer="a", planted_answer="a").agrees is True
    assert item("anomalous", planted_answer="a").agrees is None
    assert item("decoy", trusted_answer="a", planted_answer="a").agrees is None


def test_refuses_the_same_input_in_two_roles_though_the_ids_differ():
    with pytest.raises(EvidenceError, match=r"'fit/0' \(fit\) and 'decoy/9' \(decoy\) of task t show the same"):
        AnomalyTask("t", (*enough(), item("decoy", 9, text="fit 0?")), model="m")


def test_refuses_an_id_that_stands_for_two_items():
    with pytest.raises(EvidenceError, match=r"1 ids of task t stand for two items, first \['fit/0'\]"):
        AnomalyTask("t", (*enough(), item("fit", 0, text="another?")), model="m")


def test_refuses_the_same_image_in_two_roles():
    image = np.ones((2, 2), np.float32)
    others = [TaskItem(f"fit/{i}", "fit", "", image * i) for i in range(2, 10)]
    both = [TaskItem("c", "control", "", image), TaskItem("a", "anomalous", "", image.copy())]
    with pytest.raises(EvidenceError, match="'c' .* and 'a' .* show the same"):
        AnomalyTask("t", (*others, *both), module=torch.nn.Identity(), site="hidden")


@pytest.mark.parametrize("lost", ["control", "anomalous"])
def test_refuses_a_task_without_controls_or_anomalous_items(lost):
    with pytest.raises(EvidenceError, match=r"needs 8 items to fit on, controls and anomalous ones"):
        AnomalyTask("t", tuple(i for i in enough() if i.role != lost), model="m")


@pytest.mark.parametrize("given", [{}, {"model": "m", "recipe": "r"}, {"module": torch.nn.Identity()}, {"site": "x"}])
def test_refuses_a_subject_that_is_not_named_once(given):
    with pytest.raises(SettingError, match="needs one of recipe, model, or module with its site"):
        AnomalyTask("t", enough(), **given)


def test_sizes_below_what_a_detector_needs_are_refused():
    with pytest.raises(SettingError, match="fit must be at least 8, got 7"):
        Sizes(fit=7)
    with pytest.raises(SettingError, match="control must be at least 1, got 0"):
        Sizes(control=0)


def test_parts_of_a_world_share_nothing_and_a_small_world_is_shared_out_in_proportion():
    assert dealt(range(9), {"a": 2, "b": 3}) == {"a": [0, 1], "b": [2, 3, 4]}
    small = dealt(range(10), {"a": 30, "b": 10})
    assert small == {"a": [0, 1, 2, 3, 4, 5, 6], "b": [7, 8]}
    with pytest.raises(EvidenceError, match="a world of 2 questions leaves none for 'b', 101 are wanted"):
        dealt(range(2), {"a": 100, "b": 1})


def test_every_question_is_paired_once_before_one_is_paired_twice_and_no_pair_comes_twice():
    pairs = paired("abc", [1, 2], 5)
    assert [q for q, _ in pairs] == ["a", "b", "c", "a", "b"] and len(set(pairs)) == 5
    assert len(paired("abc", [1, 2], 99)) == 6
