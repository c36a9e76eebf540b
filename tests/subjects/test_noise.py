from dataclasses import replace

import pytest
import torch

from bumperlane.errors import ModelError, SettingError
from bumperlane.evidence.memo import subject_key
from bumperlane.subjects.noise import NOISED, WeightNoise, matrices_of
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.subjects.subject import Subject
from bumperlane.types import Context, Request
from tiny_adapter import PLAIN, ask, make_adapter

ITEM = ask("Hi")


def bits(model):
    """Every parameter's and buffer's bytes."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: t.detach().clone().contiguous().view(torch.uint8) for name, t in tensors.items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def values(subject):
    return {name: weight.detach().double().clone() for name, weight in matrices_of(subject.model)}


def noised_values(subject, noise):
    with noise.applied(subject) as varied:
        return values(varied)


@pytest.fixture
def base(tiny_dir):
    return Subject.load(tiny_dir, dtype="float32")


@pytest.mark.parametrize("scale", [0.02, 0.3])
def test_the_noise_has_the_stated_size_beside_each_matrix(base, scale):
    before, after = values(base), noised_values(base, WeightNoise(scale, seed=3))
    assert len(before) == 1 + 2 * 7  # embedding, and four of attention and three of the MLP in each block
    for name, weight in before.items():
        added = after[name] - weight
        # a standard deviation of n draws is right to 1/sqrt(2n); five of these
        assert added.std() / weight.square().mean().sqrt() == pytest.approx(scale, rel=5 / (2 * weight.numel()) ** 0.5)
        assert abs(float(added.mean())) < 5 * float(added.std()) / weight.numel() ** 0.5


def test_vectors_stay_as_they_are(base):
    norms = {n: p.detach().clone() for n, p in base.model.named_parameters() if p.ndim == 1}
    with WeightNoise().applied(base) as varied:
        assert norms and all(torch.equal(dict(varied.model.named_parameters())[n], p) for n, p in norms.items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("worn", [None, 0])
def test_every_bit_is_back_afterwards(tiny_dir, adapter_dirs, dtype, worn):
    subject = Subject.load(tiny_dir, None if worn is None else adapter_dirs[worn], dtype=dtype)
    before = bits(subject.model)
    with WeightNoise(0.5).applied(subject) as varied:
        assert not equal(bits(varied.model), before)
    assert equal(bits(subject.model), before)


@pytest.mark.parametrize("where", ["in the body", "half way through the draws"])
def test_every_bit_is_back_after_an_error(base, where, monkeypatch):
    before, noise = bits(base.model), WeightNoise()
    if where != "in the body":
        draws, draw = [], WeightNoise._draw

        def fails(self, name, weight):
            draws.append(name)
            if len(draws) == 5:
                raise MemoryError("no room for the draw")
            return draw(self, name, weight)

        monkeypatch.setattr(WeightNoise, "_draw", fails)
    with pytest.raises((MemoryError, KeyError)), noise.applied(base):
        raise KeyError("in the body")
    assert equal(bits(base.model), before)


def test_an_adapter_that_is_swapped_meanwhile_changes_nothing_of_this(base, adapter_dirs, tmp_path):
    other = make_adapter(base.host.name, tmp_path / "other", seed=5, r=2)
    first, second = base.sibling(adapter_dirs[0]), base.sibling(other)
    before = values(first)
    with WeightNoise().applied(first):
        second.generate([ITEM])
    assert all(torch.equal(weight, before[name]) for name, weight in values(first).items())
    assert first.generate([ITEM]) == Subject.load(base.host.name, adapter_dirs[0], dtype="float32").generate([ITEM])


def test_the_same_seed_gives_the_same_noise_and_another_one_another(base):
    one, again, other = (noised_values(base, WeightNoise(0.1, seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_matrices_of_one_shape_get_draws_of_their_own(base):
    """Else the noise of all blocks would pull in one direction."""
    before, after = values(base), noised_values(base, WeightNoise())
    one, other = (f"model.layers.{i}.self_attn.q_proj.weight" for i in (0, 1))
    draws = [(after[name] - before[name]).flatten() for name in (one, other)]
    assert abs(torch.corrcoef(torch.stack(draws))[0, 1]) < 0.2  # of 1024 independent numbers: 0.03


def test_subject_and_base_get_the_same_draws(tiny_dir, base, adapter_dirs):
    """Else the difference between them would be that of two draws."""
    apart = noised_values(Subject.load(tiny_dir, dtype="float32"), WeightNoise())
    worn = noised_values(base.sibling(adapter_dirs[0]), WeightNoise())
    assert apart.keys() == worn.keys()
    assert all(torch.equal(apart[name], worn[name]) for name in apart)


def test_an_adapters_own_matrices_are_left_alone(base, adapter_dirs):
    subject = base.sibling(adapter_dirs[0])
    own = {n: p.detach().clone() for n, p in subject.model.named_parameters() if "lora_" in n}
    with WeightNoise().applied(subject) as varied:
        now = dict(varied.model.named_parameters())
        assert own and all(torch.equal(now[n], p) for n, p in own.items())


def test_what_it_says_is_what_a_model_with_these_weights_says(base, tiny_dir):
    fresh = Subject.load(tiny_dir, dtype="float32")
    pairs = [(Request("r", "What is two and two?"), PLAIN)]
    with WeightNoise(0.4, 2).applied(base) as varied:
        noised, totals = values(varied), varied.logprobs(pairs, ["Four."])
    with torch.no_grad():
        for name, weight in matrices_of(fresh.model):
            weight.copy_(noised[name])
    assert totals == fresh.logprobs(pairs, ["Four."])
    assert totals != base.logprobs(pairs, ["Four."])


def test_work_is_kept_under_another_key_while_it_lasts(base):
    before = subject_key(base)
    with WeightNoise(0.1, 7).applied(base) as one, WeightNoise(0.2, 7).applied(one) as two:
        assert one.altered == "weight noise 0.1 of RMS, seed 7"
        assert two.altered == "weight noise 0.1 of RMS, seed 7; weight noise 0.2 of RMS, seed 7"
        keys = {before, subject_key(one), subject_key(two)}
    assert len(keys) == 3 and subject_key(base) == before


def test_a_scripted_subject_is_told_by_the_contexts_origin():
    told = ScriptedSubject(lambda request, context: context.origin, "it")
    with WeightNoise().applied(told) as varied:
        assert varied.says(Request("r", "Hi"), Context("c", "library")) == NOISED
        assert subject_key(varied) != subject_key(told)
    assert told.says(Request("r", "Hi"), Context("c", "library")) == "library"


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_refuses_quantised_weights(dtype, base):
    class Quantised(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(4, 4, dtype=dtype), requires_grad=False)

    with pytest.raises(ModelError, match=f"matrices of {dtype}: noise cannot be added. Load it in float32"):
        matrices_of(Quantised())
    with pytest.raises(ModelError, match="no weight matrix"):
        matrices_of(torch.nn.LayerNorm(4))


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_refuses_a_scale_that_is_none(scale):
    with pytest.raises(SettingError, match="scale must be a number above 0, got .*Try 0.1"):
        WeightNoise(scale)
    assert replace(WeightNoise(), scale=1.0) == WeightNoise(1.0)
