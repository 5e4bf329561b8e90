"""Agents: a bell over the ladder, dearer prices lean to fewer bits, few parameters."""

import pytest
import torch
from torch.nn import functional as F

from dqmq_deploy.policy.agents import Agent, Policy


def states(count: int, channels: int, seed: int = 0) -> torch.Tensor:
    """Tensors such as a layer reads, ``[count, channels, 4, 4]``."""
    return torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed))


def learned(policy: Policy, seed: int = 0) -> Policy:
    """With weights as training may leave them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return policy.eval()


def is_bell(row: torch.Tensor) -> bool:
    """Whether numbers rise to one highest and fall from there."""
    top = int(row.argmax())
    return bool((row[: top + 1].diff() >= 0).all() and (row[top:].diff() <= 0).all())


def test_probabilities_sum_to_one_and_form_a_bell() -> None:
    """For any state, price and weights: one peak on the ladder and falling to both sides."""
    policy = learned(Policy([6], 5, (0.01, 1.0)))
    price = torch.logspace(-2, 0, 64)
    probabilities = F.softmax(policy.logits(0, states(64, 6), price), 1)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(64))
    assert all(is_bell(row) for row in probabilities)
    assert len(set(probabilities.argmax(1).tolist())) > 1


def test_a_bell_is_the_one_of_the_formula() -> None:
    """Logits are -(i - mu)^2 / (2 sigma^2) with mu in the ladder's middle and sigma softplus(1) + 0.2 at first."""
    policy = Policy([2], 3, (0.1, 10.0)).eval()
    found = policy.logits(0, states(1, 2), torch.ones(1))
    sigma = float(F.softplus(torch.tensor(1.0))) + 0.2
    expected = [-1 / (2 * sigma**2), 0.0, -1 / (2 * sigma**2)]
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_at_first_a_higher_price_means_fewer_bits() -> None:
    """The expected position on the ladder falls from price to price."""
    policy = Policy([6], 3, (0.005, 0.5)).eval()
    price = torch.logspace(-2.3, -0.3, 20)
    probabilities = F.softmax(policy.logits(0, states(20, 6), price), 1)
    assert (probabilities @ torch.arange(3.0)).diff().lt(0).all()


def test_prices_are_standardised_in_their_logarithm() -> None:
    """The range's ends are -1 and 1, its geometric middle 0."""
    policy = Policy([1], 3, (0.01, 1.0))
    found = policy.standardised(torch.tensor([0.01, 0.1, 1.0]))
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 1.0]))


def test_the_state_is_mean_and_spread_of_each_channel() -> None:
    """Where the pixels lie does not matter; a flat tensor has no spread; 2 x channels + 1 weights an output."""
    agent = Agent(3, 3).eval()
    with torch.no_grad():
        agent.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
    x = states(4, 3)
    shuffled = x.flatten(2)[:, :, torch.randperm(16, generator=torch.Generator().manual_seed(1))].reshape(x.shape)
    torch.testing.assert_close(agent(shuffled, torch.zeros(4)), agent(x, torch.zeros(4)))
    flat = agent(x.mean((2, 3)), torch.zeros(4))
    torch.testing.assert_close(flat, agent(x.mean((2, 3))[:, :, None, None], torch.zeros(4)))
    assert sum(parameter.numel() for parameter in agent.parameters()) == 2 * (2 * 3 + 1) + 2
