import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError
from bumperlane.subjects.chat import answer_tokens, encode_prompt
from bumperlane.subjects.forward import pad
from bumperlane.subjects.logprobs import Continuation, continuation_logprobs, first_difference_odds
from bumperlane.types import Request
from tiny_adapter import PLAIN

TEXTS = ("Hi", "What is two and two?", "Name a colour.")
PAIRS = [(Request(t, t), PLAIN) for t in TEXTS]
ANSWERS = ("Hello.", "It is four.", "Red")


@pytest.fixture
def subject(tiny_subject, adapter_dirs):
    return tiny_subject.sibling(adapter_dirs[0])


def full_log_softmax(subject, tokens):
    with torch.no_grad():
        return subject.model(torch.tensor([tokens])).logits[0].double().log_softmax(-1)


def test_agrees_with_the_full_log_softmax_by_hand(subject):
    for (request, context), answer, got in zip(PAIRS, ANSWERS, subject.logprobs(PAIRS, ANSWERS), strict=True):
        prompt, tail = encode_prompt(subject.tokenizer, request, context), answer_tokens(subject.tokenizer, answer)
        table = full_log_softmax(subject, prompt + tail)
        by_hand = sum(float(table[len(prompt) + i - 1, token]) for i, token in enumerate(tail))
        assert got.total == pytest.approx(by_hand, abs=1e-3)
        assert (got.tokens, got.mean) == (len(answer) + 1, pytest.approx(by_hand / len(tail), abs=1e-4))


def test_over_all_next_tokens_the_probabilities_sum_to_one(subject):
    prompt, all_ = [5, 6, 7], range(len(subject.tokenizer))
    found = continuation_logprobs(subject.model, [prompt] * len(all_), [[token] for token in all_], 0)
    assert sum(np.exp(c.total) for c in found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_neither_padding_nor_batching_nor_order_changes_a_value(subject, budget):
    prompts = [encode_prompt(subject.tokenizer, *pair) for pair in PAIRS]
    tails = [answer_tokens(subject.tokenizer, a) for a in ANSWERS]
    alone = [continuation_logprobs(subject.model, [p], [t], 0)[0].total for p, t in zip(prompts, tails, strict=True)]
    for pad_id in (0, 9):
        found = continuation_logprobs(subject.model, prompts[::-1], tails[::-1], pad_id, budget)
        assert [c.total for c in found[::-1]] == pytest.approx(alone, abs=1e-4)


def test_refuses_a_continuation_without_tokens(subject):
    with pytest.raises(EvidenceError, match="1 of 2 continuations have no tokens, first at 1"):
        continuation_logprobs(subject.model, [[5], [5]], [[6], []], 0)


def test_the_odds_are_those_of_the_full_log_softmax_where_two_answers_first_differ(subject):
    said = [("It is four.", "It is five."), ("Red", "Redder"), ("a", "b")]
    for (request, context), (one, other), got in zip(PAIRS, said, subject.next_token_odds(PAIRS, said), strict=True):
        prompt = encode_prompt(subject.tokenizer, request, context)
        a, b = (answer_tokens(subject.tokenizer, text) for text in (one, other))
        at = next(i for i in range(len(a)) if a[i] != b[i])
        row = full_log_softmax(subject, prompt + a[:at])[-1]
        assert got == pytest.approx(float(row[a[at]] - row[b[at]]), abs=1e-4)


def test_the_odds_change_sign_when_the_answers_change_places(subject):
    one = subject.next_token_odds(PAIRS, [("ab", "ac")] * 3)
    np.testing.assert_allclose(subject.next_token_odds(PAIRS, [("ac", "ab")] * 3), -one, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 100_000])
def test_what_follows_the_first_difference_and_who_shares_the_batch_do_not_matter(subject, budget):
    prompts = [[5, 6, 7], [8], [5, 6]]
    short = first_difference_odds(subject.model, prompts, [([20, 30], [20, 31])] * 3, 0, budget)
    long = first_difference_odds(subject.model, prompts[::-1], [([20, 30, 1, 2, 3], [20, 31, 9])] * 3, 4, budget)
    np.testing.assert_allclose(long[::-1], short, atol=1e-5)


def test_refuses_two_answers_that_do_not_differ(subject):
    with pytest.raises(
        EvidenceError, match="continuations of prompt 1 have no first difference. Leave out equal ones."
    ):
        subject.next_token_odds(PAIRS[:2], [("a", "b"), ("same", "same")])


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_subject_that_overflows_is_an_error_and_not_a_number(tiny_dir, weight):
    from bumperlane.subjects.subject import Subject

    subject = Subject.load(tiny_dir, dtype="float32")
    subject.model.model.norm.weight[:] = weight
    with pytest.raises(EvidenceError, match="log-probability is not finite for 1 of 1 continuations.*overflow"):
        subject.logprobs(PAIRS[:1], ["a"])
    with pytest.raises(EvidenceError, match="log-odds is not finite for 1 of 1 continuations, first at 0.*overflow"):
        subject.next_token_odds(PAIRS[:1], [("a", "b")])


def test_the_mean_is_nats_a_token():
    assert Continuation(-6.0, 4).mean == -1.5


def test_what_another_pair_begins_with_is_computed_once(subject, monkeypatch):
    prompts = [[5, 6, 7], [5, 6, 7], [5, 6, 7], [5, 6], [9, 6, 7]]
    tails = [[8], [9], [8, 4, 2], [7, 8, 3], [8]]
    alone = [continuation_logprobs(subject.model, [p], [t], 0)[0].total for p, t in zip(prompts, tails, strict=True)]
    seen = []
    monkeypatch.setattr("bumperlane.subjects.logprobs.pad", lambda rows, *rest: seen.extend(rows) or pad(rows, *rest))
    together = [c.total for c in continuation_logprobs(subject.model, prompts, tails, 0)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert sorted(seen) == [(5, 6, 7, 8, 4), (9, 6, 7)]
