import numpy as np
import pytest
import torch

from bumperlane.errors import EvidenceError
from bumperlane.subjects.logprobs import continuation_logprobs
from bumperlane.subjects.rephrased_answers import rephrased_answers
from bumperlane.subjects.subject import Subject

RNG = np.random.default_rng(0)
GROUPS = [[RNG.integers(3, 250, n).tolist() for n in lengths] for lengths in ((9, 4, 12), (30, 31, 8), (5, 5, 5))]
TAILS = [RNG.integers(3, 250, n).tolist() for n in (1, 4, 2)]


def next_tokens(model, prompt, tail):
    """Log-probabilities (tokens, vocabulary) where the tail is predicted, from a full forward."""
    with torch.no_grad():
        return model(torch.tensor([prompt + tail])).logits[0, len(prompt) - 1 : -1].double().log_softmax(1).numpy()


def test_agrees_with_kullback_leibler_by_hand_and_with_the_log_probabilities_of_continuations(tiny_subject):
    likely, apart = rephrased_answers(tiny_subject.model, GROUPS, TAILS, 0)
    assert likely.shape == (3, 3) and apart.shape == (3, 2)
    for i, (group, tail) in enumerate(zip(GROUPS, TAILS, strict=True)):
        as_put, *others = (next_tokens(tiny_subject.model, prompt, tail) for prompt in group)
        wanted = [(np.exp(as_put) * (as_put - other)).sum(axis=1).mean() for other in others]
        np.testing.assert_allclose(apart[i], wanted, rtol=1e-3, atol=1e-6)
        told = continuation_logprobs(tiny_subject.model, group, [tail] * 3, 0)
        np.testing.assert_allclose(likely[i], [c.mean for c in told], rtol=1e-5)


def test_a_rephrasing_equal_to_the_prompt_changes_nothing(tiny_subject):
    likely, apart = rephrased_answers(tiny_subject.model, [[g[0], g[0], g[1]] for g in GROUPS], TAILS, 0)
    np.testing.assert_allclose(likely[:, 0], likely[:, 1], atol=1e-6)
    assert apart[:, 0] == pytest.approx([0] * 3, abs=1e-6) and (apart[:, 1] > 1e-4).all()


@pytest.mark.parametrize("budget", [1, 100, 4096])
def test_is_the_same_in_any_order_and_under_any_token_budget(tiny_subject, budget):
    whole = rephrased_answers(tiny_subject.model, GROUPS, TAILS, 0)
    again = rephrased_answers(tiny_subject.model, GROUPS[::-1], TAILS[::-1], 5, budget)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_allclose(other[::-1], one, atol=1e-5)


@pytest.mark.parametrize(
    ("groups", "sizes"), [([GROUPS[0], GROUPS[1][:2]], r"\[1, 2\]"), ([g[:1] for g in GROUPS[:2]], r"\[0\]")]
)
def test_refuses_prompts_with_other_numbers_of_rephrasings(tiny_subject, groups, sizes):
    with pytest.raises(EvidenceError, match=f"every prompt needs the same number of rephrasings, got {sizes}"):
        rephrased_answers(tiny_subject.model, groups, TAILS[:2], 0)


def test_refuses_an_answer_without_tokens(tiny_subject):
    with pytest.raises(EvidenceError, match="1 of 3 answers have no tokens, first at 2"):
        rephrased_answers(tiny_subject.model, GROUPS, [*TAILS[:2], []], 0)


def test_names_the_prompts_that_are_not_finite(tiny_dir):
    model = Subject.load(tiny_dir, dtype="float32").model
    with torch.no_grad():
        model.model.embed_tokens.weight[251] = float("nan")
    with pytest.raises(EvidenceError, match="under rephrasing are not finite for 3 of 3 prompts, first at 0"):
        rephrased_answers(model, GROUPS, TAILS, 0)
