import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from bumperlane.errors import EvidenceError
from bumperlane.subjects.answer_confidence import answer_confidence
from bumperlane.subjects.subject import Subject

RNG = np.random.default_rng(0)
PROMPTS = [RNG.integers(3, 250, n).tolist() for n in (9, 4, 30, 9)]
TAILS = [RNG.integers(3, 250, n).tolist() for n in (1, 3, 2, 5)]


def by_hand(model, prompt, tail):
    with torch.no_grad():
        logits = model(torch.tensor([prompt + tail])).logits[0, len(prompt) - 1 : -1].double().numpy()
    log_p = log_softmax(logits, axis=1)
    sure, second = -np.sort(-log_p, axis=1)[:, :2].T
    return np.mean([sure - np.log1p(-np.exp(sure)), -(np.exp(log_p) * log_p).sum(1), sure - second], axis=1)


def test_agrees_with_a_softmax_over_all_positions(tiny_subject):
    found = answer_confidence(tiny_subject.model, PROMPTS, TAILS, 0)
    wanted = [by_hand(tiny_subject.model, p, t) for p, t in zip(PROMPTS, TAILS, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float64


def test_the_last_token_of_the_tail_does_not_matter(tiny_subject):
    """It is predicted, and by that time the confidence is read."""
    other = [[*tail[:-1], 7] for tail in TAILS]
    one, two = (answer_confidence(tiny_subject.model, PROMPTS, tails, 0) for tails in (TAILS, other))
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_is_the_same_alone_in_any_order_and_with_any_padding(tiny_subject):
    together = answer_confidence(tiny_subject.model, PROMPTS, TAILS, 0)
    alone = [answer_confidence(tiny_subject.model, [p], [t], 0)[0] for p, t in zip(PROMPTS, TAILS, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(
        answer_confidence(tiny_subject.model, PROMPTS[::-1], TAILS[::-1], 9)[::-1], together, atol=1e-5
    )
    np.testing.assert_allclose(answer_confidence(tiny_subject.model, PROMPTS, TAILS, 0, 16), together, atol=1e-5)


def test_log_odds_stay_exact_where_a_probability_is_one_in_float32(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight * 300, requires_grad=False)
    odds, entropy, margin = answer_confidence(model, PROMPTS, TAILS, 0).T
    assert odds.max() > 30 and (odds <= margin + 1e-4).all() and (entropy >= 0).all()


def test_the_head_sees_the_answer_positions_only(tiny_subject):
    rows = []
    handle = tiny_subject.model.lm_head.register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0].shape))
    try:
        answer_confidence(tiny_subject.model, PROMPTS, TAILS, 0)
    finally:
        handle.remove()
    assert [tuple(r) for r in rows] == [(11, 32)]


def test_refuses_an_answer_without_tokens(tiny_subject):
    with pytest.raises(EvidenceError, match="1 of 2 answers have no tokens, first at 1"):
        answer_confidence(tiny_subject.model, PROMPTS[:2], [[5], []], 0)


def test_names_the_answers_whose_confidence_is_not_finite(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    with torch.no_grad():
        model.model.embed_tokens.weight[251] = float("nan")  # also the head, which is tied: all answers are spoiled
    with pytest.raises(EvidenceError, match="confidence is not finite for 4 of 4 answers, first at 0. Check the check"):
        answer_confidence(model, PROMPTS, TAILS, 0)
