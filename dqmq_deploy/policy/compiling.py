"""From a policy to a handful of configurations: ask it about many images at many prices, and cluster its answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.objective import CostTable, rollout
from dqmq_deploy.quant.net import Choice, QuantNet

_PRICES = 8
_SAME_COST = 1.01  # costs whose ratio is below this are one: the clock does not tell them apart


@torch.no_grad()
def decisions(net: QuantNet, policy: Policy, images: Tensor, prices: int = _PRICES) -> npt.NDArray[np.int64]:
    """The policy's choice for every image at every one of ``prices`` prices, as ladder positions.

    Args:
        net: the network the policy was trained with.
        policy: the policy.
        images: normalised images ``[N, C, H, W]``.
        prices: how many, evenly spaced in the logarithm over the policy's range.

    Returns:
        int64 ``[prices x N, groups]``.
    """
    net.eval()
    policy.eval()
    low, high = policy.prices
    rows = []
    for price in np.geomspace(low, high, prices):
        for part in torch.split(images.to(net.device), 256):

            def pick(group: int, tensor: Tensor, price: float = price) -> Tensor:
                logits = policy.logits(group, tensor, torch.full((len(tensor),), float(price), device=tensor.device))
                return F.one_hot(logits.argmax(1), len(net.ladder)).to(tensor.dtype)

            _, weights = rollout(net, part, pick)
            rows.append(torch.stack([w.argmax(1) for w in weights], 1))
    return torch.cat(rows).cpu().numpy()


def cluster(decided: npt.NDArray[np.int64], cost: CostTable, count: int, ladder: tuple[int, ...]) -> list[Choice]:
    """At most ``count`` configurations, cheapest first, that stand for the decisions.

    k-means on ladder positions, each group weighted by its cost, started from the decisions at evenly spaced quantiles
    of cost; each cluster gives the decision nearest to its centre. The cheapest and the dearest decision stay, so that
    the set spans the policy's whole range. Every precision is raised as far as it costs nothing: on the clock a layer
    may take as long at 4 bits as at 8.

    Args:
        decided: ladder positions ``[rows, groups]``.
        cost: relative cost of each group and precision.
        count: how many configurations, at least 2.
        ladder: bit-widths by position.
    """
    table = cost.table.numpy()
    decided = _raised(decided, table)
    groups = np.arange(decided.shape[1])
    price = table[groups, decided].sum(1)
    order = np.argsort(price, kind="stable")
    weight = np.sqrt(table[:, -1] / table[:, -1].mean())
    points = decided * weight
    start = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
    centres = points[start].astype(np.float64)
    for _ in range(50):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(2).argmin(1)
        moved = centres.copy()
        for k in range(1, count - 1):
            if (nearest == k).any():
                moved[k] = points[nearest == k].mean(0)
        if np.allclose(moved, centres):
            break
        centres = moved
    medoids = ((points[:, None] - centres[None]) ** 2).sum(2).argmin(0)
    distinct = {tuple(row) for row in decided[medoids].tolist()}
    for level in range(len(ladder)):  # a policy of one mind leaves room: fill it with uniform precisions
        if len(distinct) < count:
            distinct.add(tuple(_raised(np.full((1, len(groups)), level), table)[0].tolist()))
    return _choices(distinct, table, ladder)


def random_like(choices: Sequence[Choice], cost: CostTable, ladder: tuple[int, ...], seed: int) -> list[Choice]:
    """For each configuration one of the same cost, but with precisions drawn at random: what a policy must beat.

    From random precisions, random changes of two groups are kept where they bring the cost nearer. As near as that
    comes: at either end of the range there is little to choose from.
    """
    table = cost.table.numpy()
    rng = np.random.default_rng(seed)
    groups = np.arange(len(table))
    found = []
    for choice in choices:
        assert choice.bits is not None
        target = float(table[groups, [ladder.index(bits) for bits in choice.bits]].sum())
        levels = rng.integers(len(ladder), size=len(groups))
        for _ in range(1000):
            trial = levels.copy()
            trial[rng.integers(len(groups), size=2)] = rng.integers(len(ladder), size=2)
            error, best = (abs(float(table[groups, row].sum()) - target) for row in (trial, levels))
            levels = trial if error <= max(best, 0.005 * target) else levels
        found.append(tuple(levels.tolist()))
    return _choices(found, table, ladder)


def _raised(decided: npt.NDArray[np.int64], table: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Each ladder position ``[rows, groups]`` moved to the highest whose cost is the same or less."""
    free = table[:, None, :] <= table[:, :, None] * _SAME_COST  # [groups, from, to]
    highest = free.shape[2] - 1 - free[:, :, ::-1].argmax(2)
    raised: npt.NDArray[np.int64] = highest[np.arange(decided.shape[1]), decided]
    return raised


def _choices(rows: Iterable[tuple[int, ...]], table: npt.NDArray[np.float32], ladder: tuple[int, ...]) -> list[Choice]:
    """Configurations of these ladder positions, cheapest first."""
    groups = np.arange(len(table))
    by_cost = sorted(rows, key=lambda row: float(table[groups, list(row)].sum()))
    return [Choice(tuple(ladder[level] for level in row)) for row in by_cost]
