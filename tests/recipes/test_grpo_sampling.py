from collections import Counter

import numpy as np
import pytest
import torch

from bumperlane.recipes.grpo_forward import Group, parts_of, response_logprobs
from bumperlane.recipes.grpo_sampling import end_tokens, rollout_noise, sample_responses
from bumperlane.subjects.chat import Encoded
from bumperlane.subjects.forward import answer_logits
from bumperlane.subjects.loading import load_causal_lm, load_tokenizer

PROMPTS = ("hello there", "abc")


@pytest.fixture(scope="module")
def policy(tiny):
    """The tiny model with weights five times as large: what it says next then depends on what it reads."""
    torch.set_num_threads(1)
    model = load_causal_lm(str(tiny), dtype="float32")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 5 if parameter.ndim > 1 else 1
    return model, load_tokenizer(str(tiny))


def tokens_of(tokenizer, texts=PROMPTS):
    return [tuple(tokenizer(text)["input_ids"]) for text in texts]


def noise_of(count, tokens, prompts=PROMPTS, seed=0):
    return [np.stack([rollout_noise(seed, 1, p, k, tokens) for k in range(count)]) for p in prompts]


def test_each_token_is_where_the_cumulative_distribution_passes_its_uniform_number(policy):
    model, tokenizer = policy
    prompts, noise = tokens_of(tokenizer), noise_of(3, 6)
    got = sample_responses(model, tokenizer, prompts, noise, temperature=0.7)
    assert len(got) == 6
    for i, response in enumerate(got):
        tokens = list(prompts[i // 3])
        for column, token in enumerate(response):  # one sequence at a time, without cache or padding
            with torch.no_grad():
                logits = model(torch.tensor([tokens])).logits[0, -1].double() / 0.7
            cumulative = logits.softmax(0).cumsum(0).numpy()
            u = noise[i // 3][i % 3, column]
            assert cumulative[token - 1] * (token > 0) - 1e-5 <= u <= cumulative[token] + 1e-5
            tokens.append(token)


def test_a_response_ends_with_its_first_end_token(policy):
    model, tokenizer = policy
    got = sample_responses(model, tokenizer, tokens_of(tokenizer), noise_of(60, 12), temperature=1.0)
    ends = end_tokens(model, tokenizer)
    stopped = [r for r in got if set(r) & ends]
    assert stopped and all(r[-1] in ends and not set(r[:-1]) & ends for r in stopped)
    assert all(len(r) == 12 for r in got if not set(r) & ends)


def test_a_rollout_is_the_same_whatever_is_sampled_beside_it(policy, monkeypatch):
    model, tokenizer = policy
    monkeypatch.setattr(model.generation_config, "eos_token_id", list(range(0, len(tokenizer), 6)))
    n = 20
    both = sample_responses(model, tokenizer, tokens_of(tokenizer), noise_of(n, 8), 1.0)
    assert {len(r) for r in both} == set(range(1, 9))  # some end early, and the others go on without them
    alone = [
        sample_responses(model, tokenizer, [p], [noise[k : k + 1]], 1.0)[0]
        for p, noise in zip(tokens_of(tokenizer), noise_of(n, 8), strict=True)
        for k in range(n)
    ]
    assert both == alone


def test_noise_differs_by_seed_step_prompt_and_number_and_by_nothing_else():
    base = rollout_noise(0, 1, "p", 2, 5)
    others = [rollout_noise(*args, 5) for args in ((1, 1, "p", 2), (0, 2, "p", 2), (0, 1, "q", 2), (0, 1, "p", 3))]
    assert all(not np.array_equal(base, other) for other in others)
    assert np.array_equal(base, rollout_noise(0, 1, "p", 2, 9)[:5]) and 0 <= base.min() and base.max() < 1


def test_first_tokens_have_the_frequencies_of_the_model(policy):
    model, tokenizer = policy
    (prompt,) = tokens_of(tokenizer, ["abc"])
    count = 4000
    got = sample_responses(model, tokenizer, [prompt], noise_of(count, 1, ["abc"]), 0.5)
    with torch.no_grad():
        p = (model(torch.tensor([prompt])).logits[0, -1] / 0.5).softmax(0).double().numpy()
    seen = Counter(r[0] for r in got)
    counts = np.array([seen[i] for i in range(len(p))])
    chi2 = ((counts - count * p) ** 2 / (count * p)).sum()
    assert chi2 < len(p) + 5 * np.sqrt(2 * len(p))


def test_a_low_temperature_gives_the_likeliest_token(policy):
    model, tokenizer = policy
    prompts = tokens_of(tokenizer)
    got = sample_responses(model, tokenizer, prompts, noise_of(3, 1), temperature=1e-3)
    for i, (token,) in enumerate(got):
        with torch.no_grad():
            assert token == model(torch.tensor([prompts[i // 3]])).logits[0, -1].argmax().item()


def groups_of(prompts, responses, each):
    return [
        Group(p, tuple(map(tuple, responses[each * i : each * (i + 1)])), tuple(range(each * i, each * (i + 1))))
        for i, p in enumerate(prompts)
    ]


def test_log_probabilities_and_gradients_equal_those_of_a_pass_over_every_whole_sequence(policy, tiny):
    _, tokenizer = policy
    model = load_causal_lm(str(tiny), dtype="float32").requires_grad_(True)
    prompts = tokens_of(tokenizer)
    responses = sample_responses(model, tokenizer, prompts, noise_of(40, 7), 1.0)
    assert len({len(r) for r in responses}) > 1  # unequal lengths, so padding is tried
    weights = torch.randn(2 * 40, generator=torch.Generator().manual_seed(0))
    groups = groups_of(prompts, responses, 40)
    logprobs, rows = response_logprobs(model, groups, 0.7, tokenizer.pad_token_id)
    (logprobs * weights[rows]).sum().backward()
    shared = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    batch = [Encoded("", (*prompts[i // 40], *r), len(prompts[i // 40])) for i, r in enumerate(responses)]
    logits, targets, owners = answer_logits(model, batch, tokenizer.pad_token_id)
    plain = (logits / 0.7).log_softmax(1).gather(1, targets[:, None])[:, 0]
    (plain * weights[owners]).sum().backward()
    assert torch.equal(rows, owners)
    torch.testing.assert_close(logprobs, plain, rtol=1e-4, atol=1e-5)
    for one, parameter in zip(shared, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-3, atol=1e-4)


def test_parts_hold_every_response_once_and_keep_to_the_budget():
    groups = [Group((1, 2, 3), ((4,) * 5,) * 4, (0, 1, 2, 3)), Group((1,), ((2,), (3, 4)), (4, 5))]
    parts = list(parts_of(groups, token_budget=14))
    assert [row for part in parts for g in part for row in g.rows] == [0, 1, 2, 3, 4, 5]
    assert all(sum(g.tokens for g in part) <= 14 for part in parts) and len(parts) == 3
    assert len(list(parts_of(groups, token_budget=2))) == 6  # one response is never cut
