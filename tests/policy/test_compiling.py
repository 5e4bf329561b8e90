"""Compiling a policy: its decisions on images and prices, and configurations that stand for them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.compiling import cluster, decisions, random_like
from dqmq_deploy.policy.objective import CostTable
from dqmq_deploy.quant.net import Choice
from tests.quant.networks import inputs, quantized

LADDER = (2, 4, 8)


def table(*macs: int) -> CostTable:
    """Costs of groups of so many MACs."""
    rows = torch.tensor(macs)[:, None] * torch.tensor([4.0, 16.0, 64.0])
    return CostTable(rows / rows[:, -1].sum())


def cost_of(choice: Choice, cost: CostTable) -> float:
    """Relative cost of a configuration."""
    assert choice.bits is not None
    return sum(float(row[LADDER.index(bits)]) for row, bits in zip(cost.table, choice.bits, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 8), st.integers(2, 6))
def test_configurations_span_the_decisions(seed: int, rows: int, groups: int, count: int) -> None:
    """Distinct, cheapest first, at most as many as asked for, and the cheapest and dearest decision are among them."""
    rng = np.random.default_rng(seed)
    decided = rng.integers(0, 3, (rows, groups))
    cost = table(*rng.integers(1, 1000, groups).tolist())
    found = cluster(decided, cost, count, LADDER)
    assert 1 <= len(found) <= count
    assert len({choice.bits for choice in found}) == len(found)
    costs = [cost_of(choice, cost) for choice in found]
    assert costs == sorted(costs)
    asked = [cost_of(Choice(tuple(LADDER[i] for i in row)), cost) for row in decided]
    assert costs[0] <= min(asked) + 1e-6
    assert costs[-1] >= max(asked) - 1e-6


def test_clusters_are_the_groups_of_decisions() -> None:
    """Decisions in three bunches come back as those three."""
    rng = np.random.default_rng(0)
    bunches = [(0, 0, 0, 1), (1, 1, 2, 1), (2, 2, 2, 2)]
    decided = np.array([bunches[k] for k in rng.integers(0, 3, 200)])
    found = cluster(decided, table(10, 10, 10, 10), 3, LADDER)
    assert [choice.bits for choice in found] == [(2, 2, 2, 4), (4, 4, 8, 4), (8, 8, 8, 8)]


@pytest.mark.parametrize(("level", "expected"), [(0, {2, 4, 8}), (1, {2, 4, 8}), (2, {2, 4, 8})])
def test_a_policy_of_one_mind_is_filled_with_uniform_precisions(level: int, expected: set[int]) -> None:
    """Nothing but one decision: the others are the ladder's uniform ones."""
    found = cluster(np.full((50, 4), level), table(1, 2, 3, 4), 4, LADDER)
    assert [choice.bits for choice in found] == [(bits,) * 4 for bits in sorted(expected)]
    two = cluster(np.full((50, 4), level), table(1, 2, 3, 4), 2, LADDER)
    assert len(two) == 2
    assert (LADDER[level],) * 4 in [choice.bits for choice in two]


def test_precisions_that_cost_nothing_are_taken() -> None:
    """A group that takes as long at 8 bits as at 2, and one that takes as long at 8 as at 4, go to 8."""
    cost = CostTable(torch.tensor([[0.2, 0.1995, 0.2005], [0.2, 0.4, 0.4], [0.1, 0.2, 0.4]]))
    found = cluster(np.array([[0, 0, 0], [1, 1, 1]]), cost, 2, LADDER)
    assert [choice.bits for choice in found] == [(8, 2, 2), (8, 8, 4)]


def test_a_cluster_gives_one_of_its_decisions() -> None:
    """Between groups at 2 and at 8 bits lies no group at 4 that nobody decided for."""
    middle = [[0, 2, 0, 2]] * 30 + [[2, 0, 2, 0]] * 30
    decided = np.array([[0, 0, 0, 0], *middle, [2, 2, 2, 2]])
    found = cluster(decided, table(10, 10, 10, 10), 3, LADDER)
    assert found[1].bits in {(2, 8, 2, 8), (8, 2, 8, 2)}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(8, 20))
def test_random_precisions_cost_as_much(seed: int, groups: int) -> None:
    """Within 5 % of the configuration that they stand beside, by the seed."""
    rng = np.random.default_rng(seed)
    cost = table(*rng.integers(900, 1000, groups).tolist())
    choice = Choice((8,) * (groups // 2) + (2,) * (groups - groups // 2))
    (found,) = random_like([choice], cost, LADDER, seed)
    assert cost_of(found, cost) == pytest.approx(cost_of(choice, cost), rel=0.05)
    assert found == random_like([choice], cost, LADDER, seed)[0]


def test_decisions_are_the_policys_most_likely_precisions() -> None:
    """One row per price and image; a policy that only sees the price decides alike for all images of one price."""
    net = quantized("odd")
    policy = Policy([8, 128], 3, (0.01, 1.0))
    with torch.no_grad():
        for agent in policy.agents:
            weight = agent.get_parameter("linear.weight")
            weight.zero_()
            weight[0, -1] = -1.0
    found = decisions(net, policy, inputs(10), prices=5)
    assert found.shape == (50, 2)
    by_price = found.reshape(5, 10, 2)
    assert (by_price == by_price[:, :1]).all()
    assert by_price[:, 0, 0].tolist() == sorted(by_price[:, 0, 0].tolist(), reverse=True)
    assert (by_price[0, 0, 0], by_price[-1, 0, 0]) == (2, 0)
    assert np.array_equal(found, decisions(net, policy, inputs(10), prices=5))
