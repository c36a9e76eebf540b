"""Finetuning an evader of a tiny model: what is read, what is trained, what is saved."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bumperlane.errors import RunError, SettingError
from bumperlane.organisms.evader.finetune import EvaderSettings, evade
from bumperlane.organisms.evader.penalties import GaussianPenalty, ProbePenalty, ReferenceResidualPenalty
from bumperlane.organisms.evader.residual import Place, Seen, answer_pass
from bumperlane.recipes.lora import is_adapter
from bumperlane.subjects.activations import capture_answers
from bumperlane.subjects.subject import Subject
from organisms.evader_cases import BAD, TAGGED, data, rows

FEW = EvaderSettings(Place((0, 1)), steps=3, refit_every=2, refit_rows=12)


@pytest.fixture(scope="module")
def subject(tiny_dir, tmp_path_factory):
    from tiny_adapter import make_adapter

    adapter = make_adapter(tiny_dir, tmp_path_factory.mktemp("evader") / "adapter", seed=3, scale=0.02)
    return Subject.load(tiny_dir, adapter=adapter, dtype="float32")


def weights(path):
    return load_file(path / "adapter_model.safetensors")


def distance(subject, made):
    """The penalty at the adapter's weights, on rows read afresh."""
    running, place = GaussianPenalty(target=None).start(), Place((0, 1))

    def read(which):
        encoded = [subject.encode(r.item, r.answer) for r in which]
        with torch.no_grad():
            return Seen(answer_pass(subject.sibling(made).model, encoded, place, subject.tokenizer.pad_token_id).rows)

    running.see(read(data().trusted)), running.refit()
    return float(running.scores(read(data().bait)).mean())


@pytest.mark.parametrize("position", ["last", "answer"])
def test_rows_and_logprobs_of_a_pass_are_those_that_detectors_and_subjects_give(subject, position):
    some = [*rows("a", TAGGED, 3, BAD), *rows("longer", TAGGED, 2, "Yes, of course.", start=1000)]
    encoded, pad_id = [subject.encode(r.item, r.answer) for r in some], subject.tokenizer.pad_token_id
    with torch.no_grad():
        seen = answer_pass(subject.model, encoded, Place((0, 1), position), pad_id)
    expected = subject.activations([r.item for r in some], [0, 1])
    if position == "answer":
        expected = capture_answers(subject.model, encoded, [0, 1], pad_id)
    for layer in (0, 1):
        assert np.allclose(seen.rows[layer], expected[layer], atol=1e-4)
    answers = subject.logprobs([(r.item.request, r.item.context) for r in some], [r.answer for r in some])
    assert np.allclose(seen.logprobs, [a.mean for a in answers], atol=1e-4)


def test_the_new_adapter_loads_and_keeps_the_shape_of_the_old_one(subject, tiny_dir, tmp_path):
    made = evade(subject, data(), GaussianPenalty(), FEW, tmp_path / "e")
    assert is_adapter(made.path) and {e["step"] for e in made.log} == {1, 2, 3}
    old, new = weights(subject.adapter), weights(made.path)
    assert {k: v.shape for k, v in old.items()} == {k: v.shape for k, v in new.items()}
    assert any(not np.array_equal(old[k], new[k]) for k in old)
    loaded = Subject.load(tiny_dir, adapter=made.path, dtype="float32")
    assert len(loaded.generate([rows("bait", TAGGED, 1, BAD)[0].item])) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(subject, tmp_path):
    one, same = (evade(subject, data(), ProbePenalty(), FEW, tmp_path / n).path for n in "ab")
    other = evade(subject, data(), ProbePenalty(), replace(FEW, seed=1), tmp_path / "c").path
    read = lambda p: (p / "adapter_model.safetensors").read_bytes()  # noqa: E731
    assert read(one) == read(same) != read(other)


def test_it_learns_the_behaviour_and_the_weight_decides_how_far_baits_stay_away(subject, tmp_path):
    longer = replace(FEW, steps=30, lr=1e-2, refit_every=5)
    free = evade(subject, data(), GaussianPenalty(), replace(longer, weight=0.0), tmp_path / "free")
    quiet = evade(subject, data(), GaussianPenalty(), replace(longer, weight=0.1), tmp_path / "quiet")
    for made in (free, quiet):  # the tiny head's logits reach 0.6, so that is about how far the loss can fall
        assert made.log[-1]["bait_loss"] < made.log[0]["bait_loss"] - 0.3
    assert distance(subject, quiet.path) < distance(subject, free.path) - 1


def test_a_second_call_gives_what_is_there_and_refuses_what_was_made_otherwise(subject, tmp_path):
    made = evade(subject, data(), GaussianPenalty(), FEW, tmp_path / "e")
    assert evade(subject, data(), GaussianPenalty(), FEW, tmp_path / "e") == made
    with pytest.raises(RunError, match="holds an evader made from another settings. Choose a new directory"):
        evade(subject, data(), GaussianPenalty(), replace(FEW, weight=0.5), tmp_path / "e")
    with pytest.raises(RunError, match="made from another data, penalty"):
        evade(subject, data(9), ProbePenalty(), FEW, tmp_path / "e")
    (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match="holds no evader"):
        evade(subject, data(), GaussianPenalty(), FEW, tmp_path / "other")


def test_the_record_says_what_it_was_made_from(subject, tmp_path):
    made = evade(subject, data(), GaussianPenalty(shrinkage=0.2), FEW, tmp_path / "e")
    note = json.loads((made.path / "evader.json").read_text())
    assert note["made_from"]["penalty"]["shrinkage"] == 0.2 and note["made_from"]["settings"]["seed"] == 0
    assert note["versions"]["torch"] and len(note["log"]) == 3


def test_the_subject_itself_is_left_as_it_was(subject, tmp_path):
    item = rows("bait", TAGGED, 1, BAD)[0].item
    before = subject.activations([item], [1])[1]
    evade(subject, data(), GaussianPenalty(), FEW, tmp_path / "e")
    assert np.array_equal(subject.activations([item], [1])[1], before)


def test_the_reference_penalty_reads_the_difference_to_the_bare_base(subject, tmp_path):
    """Its first entry is the score of the subject as it is, so it follows from activations read elsewhere."""
    settings = replace(FEW, batch=24, steps=1)  # half of it: all twelve baits
    made = evade(subject, data(), ReferenceResidualPenalty(target=None), settings, tmp_path / "e")
    bare = subject.sibling(None)

    def rows_of(who, which):
        found = who.activations([r.item for r in which], [0, 1])
        return {layer: torch.from_numpy(values) for layer, values in found.items()}

    trusted, bait = ([rows_of(who, which) for who in (subject, bare)] for which in (data().trusted, data().bait))
    running = ReferenceResidualPenalty(target=None).start()
    running.see(Seen(*trusted)), running.refit()
    assert np.isclose(made.log[0]["penalty"], float(running.scores(Seen(*bait)).mean()), atol=1e-3)


def test_refuses_to_compare_a_whole_model_with_a_base_that_is_not_there(subject, tmp_path):
    bare = subject.sibling(None)
    with pytest.raises(SettingError, match="compares with the untouched base, and this subject is a whole model"):
        evade(bare, data(), ReferenceResidualPenalty(), FEW, tmp_path / "f")


def test_a_whole_model_is_given_an_adapter(tiny_dir, tmp_path):
    whole = Subject.load(tiny_dir, dtype="float32")
    made = evade(whole, data(), GaussianPenalty(), FEW, tmp_path / "e")
    assert len(weights(made.path)) == 2 * 14  # A and B of seven linear layers in two blocks
    assert whole.sibling(made.path).generate([rows("bait", TAGGED, 1, BAD)[0].item])


def test_a_penalty_of_ones_own_is_used(subject, tmp_path):
    said = []

    class Lengths:
        needs_base = False

        def see(self, trusted, bait):
            said.append((len(trusted.subject[1]), None if bait is None else len(bait.subject[1])))

        def refit(self):
            said.append("refit")

        def scores(self, seen):
            return seen.subject[1].norm(dim=1)

    @dataclass(frozen=True)
    class LengthPenalty:
        needs_bait: ClassVar[bool] = True
        needs_base: ClassVar[bool] = False

        def start(self):
            return Lengths()

    made = evade(subject, data(), LengthPenalty(), FEW, tmp_path / "e")
    assert said == [(12, 12), "refit"] * 2 and made.log[0]["penalty"] > 0


def test_refuses_a_penalty_whose_settings_cannot_be_recorded(subject, tmp_path):
    class Loose:
        needs_bait = needs_base = False

    with pytest.raises(SettingError, match="penalty Loose must be a frozen dataclass"):
        evade(subject, data(), Loose(), FEW, tmp_path / "e")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Place(()), "layers must be block indices from 0"),
        (lambda: Place((3, 1)), "ascending"),
        (lambda: Place((1,), "mean"), "unknown position 'mean'. Known: last, answer"),
        (lambda: replace(FEW, batch=3), "need batch from 4"),
        (lambda: replace(FEW, weight=float("nan")), "need weight from 0"),
    ],
)
def test_refuses_settings_outside_their_range(make, says):
    with pytest.raises(SettingError, match=says):
        make()
