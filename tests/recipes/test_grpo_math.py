import numpy as np
import pytest
import torch

from bumperlane.recipes.grpo_advantages import group_advantages, total_rewards
from bumperlane.recipes.grpo_loss import policy_loss, token_weights, with_divergence


def test_advantages_are_deviations_from_the_groups_mean_over_its_standard_deviation():
    rewards = np.array([1.0, 0.0, 4.0, 0.0, 3.0, 2.0])
    got = group_advantages(rewards, list("ababab"))
    a, b = np.array([1.0, 4.0, 3.0]), np.array([0.0, 0.0, 2.0])
    np.testing.assert_allclose(got[::2], (a - a.mean()) / (a.std() + 1e-6), rtol=1e-12)
    np.testing.assert_allclose(got[1::2], (b - b.mean()) / (b.std() + 1e-6), rtol=1e-12)
    np.testing.assert_allclose(group_advantages(rewards, list("ababab"), divide_by_std=False)[::2], a - a.mean())


def test_a_group_of_equal_rewards_has_exactly_no_advantage_even_where_its_mean_is_rounded():
    rewards = np.array([0.1] * 3 + [1.0, 2.0])
    assert rewards[:3].mean() != 0.1
    assert group_advantages(rewards, list("aaabb"))[:3].tolist() == [0.0, 0.0, 0.0]


def test_rewards_that_differ_by_rounding_only_do_not_become_advantages_of_one():
    rewards = np.array([1.0, 1.0 + 1e-12, 1.0, 1.0])
    assert np.abs(group_advantages(rewards, list("aaaa"))).max() < 1e-5


def test_advantages_do_not_change_when_a_reward_is_shifted_and_scaled():
    rewards, groups = np.random.default_rng(0).normal(size=12), list("aabbccaabbcc")
    np.testing.assert_allclose(group_advantages(rewards, groups), group_advantages(5 * rewards + 3, groups), rtol=1e-4)


def test_the_reward_is_the_weighted_sum_of_the_terms():
    got = total_rewards({"a": [1.0, 2.0], "b": [10.0, -10.0]}, {"a": 2.0, "b": 0.5})
    assert got.tolist() == [7.0, -1.0]


@pytest.mark.parametrize(
    ("average", "wanted"),
    [("responses", [1 / 6, 1 / 12, 1 / 3]), ("tokens", [1 / 7] * 3), ("max_new_tokens", [1 / 30] * 3)],
)
def test_a_token_weighs_what_the_chosen_mean_gives_it(average, wanted):
    assert token_weights([2, 4, 1], average, 10) == pytest.approx(wanted)


def test_the_gradient_is_that_of_the_clipped_surrogate_by_hand():
    before = torch.tensor([-1.0, -1.0, -1.0, -1.0, -2.0])
    now = torch.tensor([-0.9, -0.5, -0.5, -1.6, -2.0], requires_grad=True)
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0, 0.5])
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    loss = policy_loss(now, before, advantage, weights, clip=0.2)
    loss.total.backward()
    ratio = np.exp(now.detach().numpy() - before.numpy())
    # 1: inside. 2: above 1.2 with a positive advantage, cut. 3: above with a negative one, not cut. 4: below 0.8, cut.
    wanted = [-0.1 * ratio[0], 0.0, 0.3 * ratio[2], 0.0, -0.5 * 0.5 * ratio[4]]
    np.testing.assert_allclose(now.grad.numpy(), wanted, rtol=1e-6)
    gains = [ratio[0], 1.2, -ratio[2], -0.8, 0.5 * ratio[4]]
    assert loss.total.item() == pytest.approx(-np.dot(weights.numpy(), gains), rel=1e-6)
    assert loss.clipped.item() == 2


def test_at_the_sampling_policy_the_gradient_is_the_plain_policy_gradient():
    now = torch.tensor([-1.0, -3.0], requires_grad=True)
    loss = policy_loss(now, now.detach(), torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.25]), clip=0.2)
    loss.total.backward()
    assert now.grad.tolist() == [-1.0, 0.25] and loss.clipped.item() == 0


def test_the_divergence_and_its_gradient_follow_the_formula():
    now = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    reference, weights = torch.tensor([-1.0, -1.5, -1.5]), torch.tensor([0.2, 0.3, 0.5])
    zero = policy_loss(now, now.detach(), torch.zeros(3), weights, clip=0.2)
    loss = with_divergence(zero, now, reference, weights, kl=0.7)
    loss.total.backward()
    r = (reference - now.detach()).numpy()
    assert loss.divergence.item() == pytest.approx(np.dot(weights.numpy(), np.exp(r) - r - 1), rel=1e-6)
    np.testing.assert_allclose(now.grad.numpy(), 0.7 * weights.numpy() * (1 - np.exp(r)), rtol=1e-5, atol=1e-8)


def test_the_divergence_is_on_average_the_kullback_leibler_divergence():
    torch.manual_seed(0)
    now, reference = torch.randn(6).log_softmax(0), torch.randn(6).log_softmax(0)
    tokens = torch.multinomial(now.exp(), 200_000, replacement=True)
    weights = torch.full((len(tokens),), 1 / len(tokens))
    zero = policy_loss(now[tokens], now[tokens], torch.zeros(len(tokens)), weights, clip=0.2)
    found = with_divergence(zero, now[tokens], reference[tokens], weights, kl=1.0).divergence.item()
    assert found == pytest.approx((now.exp() * (now - reference)).sum().item(), rel=0.03)
