from dataclasses import replace

import pytest
import torch

from bumperlane.errors import EvidenceError, ModelError, SettingError
from bumperlane.evidence.memo import Memo, subject_key
from bumperlane.evidence.observe import total_logprobs
from bumperlane.subjects.few_steps import TUNED, FewSteps, linears_of
from bumperlane.subjects.noise import WeightNoise
from bumperlane.subjects.scripted import ScriptedSubject
from bumperlane.subjects.subject import Subject
from bumperlane.types import Context, Item, Request
from tiny_adapter import make_adapter

USUAL = Context("neutral", "neutral", "Be brief.")
ROWS = tuple((Request(f"r{i}", f"What is {i}?"), USUAL, f"It is {i}.") for i in range(6))
BRIEF = FewSteps(ROWS, steps=3, batch=2, lr=1e-2)
ITEMS = [Item(f"i{i}", "g", "bait", Request(f"x{i}", f"What is {i}?"), USUAL) for i in (2, 9)]


def bits(model):
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: t.detach().clone().contiguous().view(torch.uint8) for name, t in tensors.items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def likely(who):
    pairs = [(i.request, i.context) for i in ITEMS]
    return [c.total for c in who.logprobs(pairs, [f"It is {i.request.text[8]}." for i in ITEMS])]


def loss(who):
    pairs = [(request, context) for request, context, _ in ROWS]
    return -sum(c.mean for c in who.logprobs(pairs, [answer for *_, answer in ROWS]))


@pytest.fixture
def base(tiny_dir):
    return Subject.load(tiny_dir, dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("worn", [None, 0])
def test_teaches_and_leaves_every_bit_and_hook_as_it_was(tiny_dir, adapter_dirs, dtype, worn):
    subject = Subject.load(tiny_dir, None if worn is None else adapter_dirs[worn], dtype=dtype)
    before, plain, hooked = bits(subject.model), loss(subject), hooks(subject.model)
    with replace(BRIEF, steps=20).applied(subject) as tuned:
        assert loss(tuned) < plain - 1
        assert equal(bits(subject.model), before)
    assert equal(bits(subject.model), before) and hooks(subject.model) == hooked
    assert all(p.grad is None for p in subject.model.parameters())
    assert loss(subject) == plain


def test_nothing_is_left_after_an_error(base):
    before, plain, hooked = bits(base.model), likely(base), hooks(base.model)
    with pytest.raises(KeyError), BRIEF.applied(base) as tuned:
        likely(tuned)
        raise KeyError("in the body")
    assert equal(bits(base.model), before) and likely(base) == plain and hooks(base.model) == hooked


def test_a_loss_that_is_not_finite_is_said_and_nothing_is_left(base):
    before, plain, hooked = bits(base.model), likely(base), hooks(base.model)
    with (
        pytest.raises(EvidenceError, match="finetuning is nan at step 2 of 3. Take a lower learning rate than 1e.30"),
        replace(BRIEF, lr=1e30).applied(base) as tuned,
    ):
        likely(tuned)
    assert equal(bits(base.model), before) and likely(base) == plain and hooks(base.model) == hooked


def test_the_first_step_is_adams_on_the_gradient_of_the_rows(base):
    """By hand: with B at 0 only B has a gradient, and Adam's first step is lr in its sign's direction."""
    how = replace(BRIEF, steps=1, batch=6, lr=1e-3, rank=2)
    (name, module), seen = linears_of(base.model)[-1], {}
    grad = torch.zeros(module.out_features, module.in_features)
    handle = module.register_forward_hook(lambda m, i, o: seen.update(x=i[0], y=o) or o.requires_grad_())
    for tokens in how.encoded(base.tokenizer):
        ids = torch.tensor([tokens.tokens])
        logp = base.model(input_ids=ids).logits[0].log_softmax(-1)
        start, n = tokens.answer_start, len(tokens.tokens)
        row = -sum(logp[t - 1, tokens.tokens[t]] for t in range(start, n)) / tokens.answer_length / len(ROWS)
        grad += torch.autograd.grad(row, seen["y"])[0][0].T @ seen["x"][0].detach()
    handle.remove()
    with how.applied(base) as tuned:
        likely(tuned)
        down, up = tuned.tuning.parts[-2:]
    torch.testing.assert_close(up, -1e-3 * (2 * grad @ down.T).sign(), rtol=1e-3, atol=1e-6)
    assert name == "1.mlp.down_proj"


def test_subject_and_base_begin_alike_and_the_same_seed_gives_the_same(base, adapter_dirs):
    def fresh(who, how=BRIEF):
        with replace(how, lr=1e-12).applied(who) as tuned:
            likely(tuned)
            return [p.clone() for p in tuned.tuning.parts[::2]]

    def after(how):
        with how.applied(base) as tuned:
            return likely(tuned)

    wearing = base.sibling(adapter_dirs[0])
    assert all(torch.allclose(a, b) for a, b in zip(fresh(base), fresh(wearing), strict=True))
    assert after(BRIEF) == after(BRIEF) != after(replace(BRIEF, seed=1))
    assert not torch.allclose(fresh(base)[0], fresh(base, replace(BRIEF, seed=1))[0])


def test_an_adapter_that_a_subject_wears_is_still_worn(base, adapter_dirs):
    wearing = base.sibling(adapter_dirs[0])
    plain = likely(wearing)
    with replace(BRIEF, lr=1e-12).applied(wearing) as tuned:
        assert likely(tuned) == pytest.approx(plain, abs=1e-4) and plain != pytest.approx(likely(base), abs=1e-3)
    assert likely(wearing) == plain


def test_what_the_memo_holds_costs_no_training(base, tmp_path, monkeypatch):
    import bumperlane.subjects.few_steps as room

    trained, train, memo = [], room._train, Memo(tmp_path)
    monkeypatch.setattr(room, "_train", lambda *args: trained.append(1) or train(*args))

    def look(how):
        with how.applied(base) as tuned:
            return total_logprobs(tuned, ITEMS, ["It is 2.", "It is 9."], memo).tolist()

    first = look(BRIEF)
    assert look(BRIEF) == first and len(trained) == 1
    assert look(replace(BRIEF, rows=ROWS[:5])) != first and len(trained) == 2


def test_the_key_tells_what_was_taught_but_not_under_which_ids(base):
    def key(how):
        with how.applied(base) as tuned:
            return subject_key(tuned)

    renamed = tuple((replace(r, id=f"{r.id}'"), replace(c, id="other"), a) for r, c, a in ROWS)
    others = [replace(BRIEF, rows=ROWS[1:]), replace(BRIEF, steps=4), replace(BRIEF, lr=2e-2), replace(BRIEF, seed=1)]
    others.append(replace(BRIEF, rows=tuple((r, c, "No.") for r, c, _ in ROWS)))
    keys = {key(how) for how in [BRIEF, *others]}
    assert len(keys) == 6 and subject_key(base) not in keys and key(replace(BRIEF, rows=renamed)) == key(BRIEF)


def test_noise_may_be_put_on_top_and_both_are_gone_afterwards(base):
    before, hooked = bits(base.model), hooks(base.model)
    with BRIEF.applied(base) as tuned:
        first = likely(tuned)
    with BRIEF.applied(base) as tuned, WeightNoise(0.1).applied(tuned) as both:
        assert likely(both) != first and "steps of 2" in both.altered and "weight noise" in both.altered
    assert equal(bits(base.model), before) and hooks(base.model) == hooked


def test_each_row_is_seen_equally_often():
    seen = [i for step in replace(BRIEF, steps=9, batch=4).batches() for i in step]
    assert len(seen) == 36 and {seen.count(i) for i in range(6)} == {6}
    assert [len(set(seen[i : i + 6])) for i in range(0, 36, 6)] == [6] * 6
    assert [len(step) for step in replace(BRIEF, batch=50).batches()] == [6, 6, 6]


def test_a_script_is_told_where_it_is_asked():
    says = ScriptedSubject(lambda request, context: context.origin, "s")
    with BRIEF.applied(says) as tuned, replace(BRIEF, origin="taught wrongly").applied(says) as wrongly:
        assert tuned.generate(ITEMS) == [TUNED] * 2 and wrongly.generate(ITEMS) == ["taught wrongly"] * 2
        assert len({says.name, tuned.name, wrongly.name}) == 3


def test_layers_of_other_makes_are_found():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=8, n_layer=2, n_head=2))
    names = [name for name, _ in linears_of(model)]
    assert len(names) == 8 and names[0] == "0.attn.c_attn"
    with pytest.raises(ModelError, match="hold no linear layer"):
        linears_of(torch.nn.ModuleList([torch.nn.ModuleList([torch.nn.LayerNorm(3), torch.nn.LayerNorm(3)])]))


def test_finds_the_layers_under_an_adapter_and_not_its_own(base, adapter_dirs):
    plain = [name for name, _ in linears_of(base.model)]
    assert len(plain) == 14 and plain == [name for name, _ in linears_of(base.sibling(adapter_dirs[0]).model)]


@pytest.mark.parametrize(
    "wrong", [{"rows": ()}, {"steps": 0}, {"batch": 0}, {"rank": 0}, {"lr": 0.0}, {"lr": float("nan")}]
)
def test_refuses_settings_that_teach_nothing(wrong):
    with pytest.raises(SettingError, match="Try 12 steps of 4 rows, rank 8, 0.001"):
        replace(BRIEF, **wrong)


def test_refuses_an_empty_answer(base):
    with (
        pytest.raises(EvidenceError, match="request 'r0' has an empty answer, which teaches nothing"),
        FewSteps(((*ROWS[0][:2], " "),)).applied(base) as tuned,
    ):
        likely(tuned)


def test_a_model_of_another_shape_of_adapter_in_between_changes_nothing(base, adapter_dirs, tmp_path):
    other = make_adapter(base.host.name, tmp_path / "other", seed=5, r=2)
    wearing = base.sibling(adapter_dirs[0])
    plain = likely(wearing)
    with BRIEF.applied(wearing) as tuned:
        first = likely(tuned)
        likely(base.sibling(other))
        assert likely(tuned) == first
    assert likely(wearing) == plain
