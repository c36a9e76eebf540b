"""A quirky organism on a tiny model, from recipe to scores: the plumbing, not the learning."""

from dataclasses import dataclass

import numpy as np
import pytest

from bumperlane.detect.internals.against_base import AgainstBase
from bumperlane.detect.internals.contrast_probe import ContrastProbe
from bumperlane.detect.internals.mahalanobis import Mahalanobis
from bumperlane.detect.internals.probes.logistic import LogisticProbe
from bumperlane.detect.internals.reference_residual import ReferenceResidual
from bumperlane.detect.internals.relative_mahalanobis import Grouped, RelativeMahalanobis
from bumperlane.detect.internals.tampering.evidence_probe import TamperingProbe
from bumperlane.errors import EvidenceError, SettingError
from bumperlane.evidence.memo import Memo
from bumperlane.organisms.anomaly.behaviour import behaviour_of
from bumperlane.organisms.anomaly.contenders import Contender, contenders, run_contender, scored_ids
from bumperlane.organisms.anomaly.quirky import Quirky, quirky_task
from bumperlane.organisms.anomaly.reading import open_task, read_task
from bumperlane.organisms.anomaly.task import SCORED, Sizes
from bumperlane.types import Activations, Scores

SMALL = Sizes(fit=12, calibrate=3, control=6, decoy=6, anomalous=6)


@pytest.fixture(scope="module")
def made(tiny_dir, tmp_path_factory):
    """(task, opened, seen, folder)"""
    path = tmp_path_factory.mktemp("quirky")
    task = quirky_task(path / "organism", str(tiny_dir), Quirky("addition", steps=2, sizes=SMALL))
    opened = open_task(task, path / "run")
    return task, opened, read_task(task, opened, 0.5, Memo(path / "memo")), path


def test_subject_and_base_are_read_after_the_same_block_and_differ_by_the_adapter(made):
    task, opened, seen, _ = made
    assert seen.subject.place == seen.base.place == (1, 32) and seen.subject.ids == tuple(i.id for i in task.items)
    assert opened.subject.adapter and opened.base.adapter is None
    assert not np.array_equal(seen.subject.rows, seen.base.rows)
    decoys = opened.subject.activations([i.shown for i in task.of("decoy")], [1])[1]
    np.testing.assert_allclose(seen.rows("decoy").rows, decoys, atol=1e-5)


def test_roles_are_cut_out_in_the_tasks_order(made):
    task, _, seen, _ = made
    assert seen.pairs("fit", "anomalous").ids == tuple(i.id for i in task.of("fit", "anomalous"))
    assert seen.are("control").sum() == 6 and scored_ids(seen) == tuple(i.id for i in task.of(*SCORED))


def test_a_second_reading_comes_from_the_memo_and_is_the_same(made, monkeypatch):
    task, opened, seen, path = made
    monkeypatch.setattr("bumperlane.subjects.subject.capture", None)
    monkeypatch.setattr("bumperlane.subjects.subject.continue_prompts", None)
    again = read_task(task, opened, 0.5, Memo(path / "memo"))
    np.testing.assert_array_equal(again.subject.rows, seen.subject.rows)
    assert again.answers == seen.answers


def test_two_steps_teach_nothing_and_the_organism_says_so(made):
    found = behaviour_of(made[2])
    assert not found.learnt and "is needed" in found.why


def test_plain_and_less_the_base_agree_with_the_detector_used_by_hand(made):
    seen = made[2]
    plain, less = (run_contender(Contender(Mahalanobis, base), seen) for base in (False, True))
    rows = seen.rows(*SCORED)
    np.testing.assert_array_equal(plain.values, Mahalanobis().fit(seen.rows("fit")).score(rows).values)
    by_hand = AgainstBase(Mahalanobis()).fit(seen.pairs("fit")).score(seen.pairs(*SCORED))
    np.testing.assert_array_equal(less.values, by_hand.values)
    assert (plain.contender, less.contender) == ("Mahalanobis", "Mahalanobis less base") and plain.error == ""


def test_a_detector_of_pairs_is_given_subject_and_base(made):
    seen = made[2]
    by_hand = ReferenceResidual().fit(seen.pairs("fit")).score(seen.pairs(*SCORED)).values
    np.testing.assert_array_equal(run_contender(Contender(ReferenceResidual), seen).values, by_hand)


def unregistered(kind, body):
    """A detector that only this test knows: without the decorator, so that it does not enter the registry."""

    @dataclass(frozen=True)
    class Made:
        """Flags nothing of use.

        Watches: Activations.
        Score: none.
        Blind to: everything.
        Source: our own.
        """

        watches, family = Activations, "internals"
        fit = body

        @classmethod
        def trap(cls):
            raise NotImplementedError

    Made.__name__ = Made.__qualname__ = kind
    return Made


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda self, clean: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda self, clean: (_ for _ in ()).throw(EvidenceError("too\n few")), "EvidenceError: too few"),
    ],
)
def test_what_a_detector_raises_becomes_the_text_of_its_cell(made, body, error):
    outcome = run_contender(Contender(unregistered("Breaks", body)), made[2])
    assert outcome.values is None and outcome.error == error


def test_scores_of_other_items_than_those_given_are_an_error(made):
    class Fitted:
        def score(self, seen):
            return Scores(np.zeros(1), ("somebody",), "Loses")

    outcome = run_contender(Contender(unregistered("Loses", lambda self, clean: Fitted())), made[2])
    assert outcome.error.startswith("EvidenceError: it scored 1 other items than the 21")


def test_an_offline_detector_is_fitted_with_all_that_is_scored_as_its_batch(made):
    taken = []

    class Fitted:
        def score_batch(self, seen):
            return Scores(np.zeros(len(seen.ids)), seen.ids, "Batch")

    def fit(self, clean, untrusted):
        taken.append((clean.ids, untrusted.ids))
        return Fitted()

    seen = made[2]
    assert run_contender(Contender(unregistered("Batch", fit)), seen).error == ""
    assert taken == [(seen.rows("fit").ids, scored_ids(seen))]


def test_a_probe_that_learns_from_labelled_anomalies_says_that_there_are_none(made):
    error = run_contender(Contender(LogisticProbe), made[2]).error
    assert error == "EvidenceError: it learns from labelled anomalies, and the trusted items of this task hold none."


def test_trusted_items_are_grouped_by_their_system_prompt_for_detectors_that_take_groups(made):
    task, _, seen, _ = made
    names = tuple(i.shown.context.system for i in task.of("fit"))
    assert len(set(names)) == 3
    by_hand = RelativeMahalanobis().fit(Grouped(seen.rows("fit"), names)).score(seen.rows(*SCORED)).values
    np.testing.assert_array_equal(run_contender(Contender(RelativeMahalanobis), seen).values, by_hand)


def test_a_detector_of_sensors_says_that_this_task_has_none(made):
    error = run_contender(Contender(TamperingProbe), made[2]).error
    assert error == "EvidenceError: it learns from sensors, and the items of this task have none."


def test_contenders_are_the_registered_detectors_of_activations_plain_and_less_the_base():
    names = [c.name for c in contenders()]
    assert {"Mahalanobis", "Mahalanobis less base", "ReferenceResidual"} <= set(names)
    assert "ReferenceResidual less base" not in names and "PairedContexts" not in names
    assert [c.name for c in contenders(["ReferenceResidual", "Mahalanobis"], has_base=False)] == ["Mahalanobis"]
    with pytest.raises(SettingError, match=r"unknown detectors \['Mahalonobis'\]. Known: .*Mahalanobis"):
        contenders(["Mahalonobis"])


def test_refuses_a_depth_outside_the_blocks(made):
    task, opened, _, path = made
    with pytest.raises(SettingError, match=r"depth must be in \(0, 1\], a share of the blocks, got 15"):
        read_task(task, opened, 15, Memo(path / "memo"))


def test_a_task_without_a_base_says_so_when_one_is_asked_for(made):
    from dataclasses import replace

    with pytest.raises(EvidenceError, match="this task has no base: its subject was not finetuned"):
        replace(made[2], base=None).base_rows("fit")


def test_a_detector_that_learns_from_what_a_task_does_not_hold_says_so(made):
    outcome = run_contender(Contender(ContrastProbe), made[2])
    assert outcome.error == "EvidenceError: it learns from ContrastEvidence, which a task does not hold."
