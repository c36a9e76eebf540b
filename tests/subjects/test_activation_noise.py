from dataclasses import replace

import numpy as np
import pytest
import torch

from bumperlane.errors import SettingError
from bumperlane.evidence.memo import subject_key
from bumperlane.subjects.activation_noise import ActivationNoise
from bumperlane.subjects.generate import Decoding
from bumperlane.subjects.noise import NOISED
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.subjects.sites import blocks_of
from bumperlane.subjects.subject import Subject
from bumperlane.types import Context, Item, Request
from tiny_adapter import PLAIN

PAIRS = [(Request(t, t), PLAIN) for t in ("Hi", "What is two and two?", "Name a colour, and then another one.")]
ANSWERS = ("Hello.", "It is four.", "Red")


@pytest.fixture
def base(tiny_dir):
    return Subject.load(tiny_dir, dtype="float32")


def totals(subject, pairs=PAIRS, answers=ANSWERS):
    return np.array([c.total for c in subject.logprobs(pairs, answers)])


def test_each_block_gives_on_its_rows_and_a_push_of_the_stated_length(base):
    first, given = blocks_of(base.model)[0], []
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        hook = first.register_forward_hook(lambda block, inputs, out: given.append(out.clone()))
        base.model(ids)
        with ActivationNoise(0.3, seed=2).applied(base):
            blocks_of(base.model)[0].register_forward_hook(lambda block, inputs, out: given.append(out.clone()))
            base.model(ids)
        hook.remove()
        first._forward_hooks.clear()
    plain, pushed = given[0][0].double(), given[-1][0].double()
    added = pushed - plain
    assert torch.allclose(added.norm(dim=1) / plain.norm(dim=1), torch.full((4,), 0.3, dtype=torch.double), atol=1e-5)
    directions = added / added.norm(dim=1, keepdim=True)
    assert torch.allclose(directions @ directions.T, torch.ones(4, 4, dtype=torch.double), atol=1e-5)


def test_neither_company_nor_padding_changes_an_answer_under_noise(base):
    with ActivationNoise(0.5).applied(base) as noised:
        alone = [totals(noised, [pair], [answer])[0] for pair, answer in zip(PAIRS, ANSWERS, strict=True)]
        np.testing.assert_allclose(totals(noised), alone, atol=1e-4)
        items = [Item(r.id, "group", "bait", r, c) for r, c in PAIRS]
        said = [noised.generate([item], Decoding(max_new_tokens=6))[0] for item in items]
        assert noised.generate(items, Decoding(max_new_tokens=6)) == said


def test_answers_move_with_the_noise_and_are_back_after_it_even_after_an_error(base):
    before = totals(base)
    with ActivationNoise(0.5, seed=1).applied(base) as noised:
        one = totals(noised)
    with ActivationNoise(0.5, seed=2).applied(base) as noised:
        other = totals(noised)
    assert min(abs(one - before).max(), abs(other - before).max(), abs(one - other).max()) > 1e-3
    with pytest.raises(RuntimeError), ActivationNoise(0.5).applied(base):
        raise RuntimeError
    assert np.array_equal(totals(base), before)


def test_a_subject_and_its_base_get_the_same_draws(base, adapter_dirs):
    noise = ActivationNoise(0.2, seed=5)
    plain = base.sibling(None)
    with noise.applied(base.sibling(adapter_dirs[0])) as worn, noise.applied(plain):
        assert len(blocks_of(worn.model)) == len(blocks_of(plain.model))
    with noise.applied(plain) as one:
        first = totals(one)
    with noise.applied(Subject.load(base.host.name, dtype="float32")) as two:
        np.testing.assert_allclose(totals(two), first, atol=1e-5)


def test_a_noised_subject_is_another_one_to_the_memo(base):
    with ActivationNoise(0.2).applied(base) as one, ActivationNoise(0.3).applied(base) as other:
        assert len({subject_key(base), subject_key(one), subject_key(other)}) == 3
        assert "0.2" in one.altered


def test_a_scripted_subject_hears_of_it_by_the_origin_of_the_context():
    script = ScriptedSubject(lambda request, context: context.origin, "script")
    with ActivationNoise().applied(script) as noised:
        assert noised.says(Request("a", "a"), Context("c", "asked")) == NOISED
    assert replace(script).says(Request("a", "a"), Context("c", "asked")) == "asked"


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_refuses_a_scale_that_is_no_length(scale):
    with pytest.raises(SettingError, match="scale must be a number above 0"):
        ActivationNoise(scale)
