import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError, SettingError
from bumperlane.subjects.chat import Encoded, encode_prompt
from bumperlane.subjects.logprobs import continuation_logprobs
from bumperlane.subjects.subject import Subject
from bumperlane.subjects.trigger_gradients import (
    Slot,
    answer_logprobs,
    promised_gain,
    slot_gradient,
    typable_tokens,
)
from bumperlane.types import Context, Request

REQUESTS = [Request("a", "Hi"), Request("b", "What is two and two?"), Request("c", "Name a tree.")]
TAIL = (20, 31)


def slot_of(subject, place="system", banned=()):
    def encode(text, i):
        context = Context("c", "c", f"Be brief. {text}") if place == "system" else Context("c", "c", None, suffix=text)
        return encode_prompt(subject.tokenizer, REQUESTS[i], context)

    return Slot(subject.tokenizer, len(REQUESTS), encode, banned)


def groups_of(typed):
    return [
        ([Encoded(str(i), (*p, *TAIL), len(p)), Encoded(str(i), (*p, 40), len(p))], start)
        for i, (p, start) in enumerate(zip(typed.prompts, typed.starts, strict=True))
    ]


def value_of(_, logps):
    """An answer's log-probability and, of another row of the same prompt, an entropy: two tails, two shapes."""
    first = logps[0].gather(1, torch.tensor(TAIL)[:, None]).sum()
    return first + 0.3 * (logps[1].exp() * logps[1]).sum()


@pytest.fixture(scope="module")
def in_double(tiny_dir):
    return Subject.load(tiny_dir, dtype=torch.float64)


@pytest.fixture(scope="module")
def with_adapter(tiny_dir, adapter_dirs):
    """float32: an adapter on the base, whose embedding is tied to its head."""
    return Subject.load(tiny_dir, adapter=adapter_dirs[0], dtype="float32")


def shifted(model, ids_at, delta, compute):
    """What `compute` gives while the embedding of one place of every row is shifted by `delta`."""

    def hook(module, inputs, output):
        output = output.clone()
        output[:, ids_at] += delta
        return output

    handle = model.get_input_embeddings().register_forward_hook(hook)
    try:
        return compute()
    finally:
        handle.remove()


def total(model, groups, pad_id, at=None, delta=None):
    def compute():
        found = 0.0
        for rows, start in groups:
            logps = {}
            shift = start if at is None else start + at

            def read(i, logp, logps=logps):
                logps[i] = logp
                return 0.0

            one = lambda: answer_logprobs(model, rows, pad_id, read)  # noqa: E731, B023
            shifted(model, shift, delta, one) if delta is not None else one()
            found += float(value_of(0, [logps[i] for i in range(len(rows))]))
        return found

    return compute()


@pytest.mark.parametrize("which", ["in_double", "with_adapter"])
def test_the_gradient_is_the_finite_difference(which, request):
    subject = request.getfixturevalue(which)
    typed = slot_of(subject).holding("zq#")
    groups, pad_id = groups_of(typed), subject.tokenizer.pad_token_id
    slope = slot_gradient(subject.model, groups, 3, value_of, pad_id)
    rng = np.random.default_rng(0)
    for place in range(3):
        way = torch.tensor(rng.normal(size=slope.shape[1]), dtype=next(subject.model.parameters()).dtype)
        way = way / way.norm()
        eps = 1e-3
        up, down = (total(subject.model, groups, pad_id, place, s * eps * way) for s in (1, -1))
        assert float(slope[place] @ way.float()) == pytest.approx((up - down) / (2 * eps), rel=2e-2, abs=5e-3)


def test_no_weight_gets_a_gradient(with_adapter):
    typed = slot_of(with_adapter).holding("zq#")
    slot_gradient(with_adapter.model, groups_of(typed), 3, value_of, with_adapter.tokenizer.pad_token_id)
    assert all(p.grad is None for p in with_adapter.model.parameters())


def test_a_promised_gain_is_the_slope_along_the_difference_of_embeddings(tiny_subject):
    slope, ids, current = torch.randn(2, 32), [10, 40, 41], (40, 12)
    weight = tiny_subject.model.get_input_embeddings().weight
    gain = promised_gain(tiny_subject.model, slope, current, ids)
    by_hand = [[float(slope[k] @ (weight[i] - weight[c])) for i in ids] for k, c in enumerate(current)]
    assert gain.numpy() == pytest.approx(np.array(by_hand), abs=1e-5)
    assert gain[0, 1] == pytest.approx(0, abs=1e-6)  # the token that stands there


def test_values_do_not_depend_on_batches_and_agree_with_logprobs(tiny_subject):
    typed = slot_of(tiny_subject).holding("zq#")
    rows = [Encoded(str(i), (*p, *TAIL), len(p)) for i, p in enumerate(typed.prompts)]
    pad_id = tiny_subject.tokenizer.pad_token_id

    def read(i, logp):
        return float(logp.gather(1, torch.tensor(TAIL)[:, None]).sum())

    one, many = (answer_logprobs(tiny_subject.model, rows, pad_id, read, budget) for budget in (1, 100_000))
    direct = continuation_logprobs(tiny_subject.model, typed.prompts, [TAIL] * len(rows), pad_id)
    assert one == pytest.approx(many, abs=1e-5)
    assert many == pytest.approx([c.total for c in direct], abs=1e-4)


def test_values_that_are_not_finite_are_refused(tiny_subject):
    rows = [Encoded("bad-one", (5, 6, 7), 2)]
    with pytest.raises(EvidenceError, match="not finite for 1 of 1 prompts, first bad-one"):
        answer_logprobs(tiny_subject.model, rows, 0, lambda i, logp: float("nan"))


@pytest.mark.parametrize("place", ["system", "suffix"])
def test_a_candidate_is_typed_as_its_own_tokens_in_every_prompt(tiny_subject, place):
    slot = slot_of(tiny_subject, place)
    tokens = tuple(tiny_subject.tokenizer("z-9", add_special_tokens=False)["input_ids"])
    typed = slot.typed(tokens)
    assert typed.text == "z-9" and typed.tokens == tokens
    for i, (prompt, start) in enumerate(zip(typed.prompts, typed.starts, strict=True)):
        assert prompt[start : start + 3] == tokens
        assert list(prompt) == slot.encode("z-9", i)


def test_tokens_that_are_typed_otherwise_are_refused(tiny_subject):
    words = tiny_subject.tokenizer
    space, z = words(" z", add_special_tokens=False)["input_ids"]
    assert slot_of(tiny_subject).typed((space, z)) is None  # a leading space is that of the prompt
    half = words("é", add_special_tokens=False)["input_ids"][:1]
    assert slot_of(tiny_subject).typed(half) is None  # half a letter


def test_a_banned_word_is_refused_also_when_several_tokens_spell_it(tiny_subject):
    tokens = tiny_subject.tokenizer("xNo!", add_special_tokens=False)["input_ids"]
    assert slot_of(tiny_subject).typed(tokens)
    assert slot_of(tiny_subject, banned=("no",)).typed(tokens) is None


def test_only_printable_plain_tokens_without_banned_words_are_allowed(tiny_subject):
    words = tiny_subject.tokenizer
    allowed = typable_tokens(words, 10_000, banned=["Z"])
    texts = words.batch_decode([[i] for i in allowed])
    assert all(t.isascii() and t.isprintable() and t.strip() and t not in "zZ" for t in texts)
    assert not set(allowed) & set(words.all_special_ids) and len(allowed) == 94 - 2
    assert max(typable_tokens(words, 50)) < 50
    with pytest.raises(SettingError, match="Ban fewer words"):
        typable_tokens(words, 10_000, banned=[chr(c) for c in range(33, 127)])


def test_needs_a_prompt(tiny_subject):
    with pytest.raises(EvidenceError, match="got none"):
        slot_gradient(tiny_subject.model, [], 3, value_of, 0)
