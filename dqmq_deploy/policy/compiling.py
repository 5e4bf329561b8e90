"""From a policy to a handful of configurations: ask it about many images at many prices, and cluster its answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.objective import CostTable, rollout
from dqmq_deploy.quant.net import Choice, QuantNet

_PRICES = 8


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
        for part in torch.split(images, 256):

            def pick(group: int, tensor: Tensor, price: float = price) -> Tensor:
                logits = policy.logits(group, tensor, torch.full((len(tensor),), float(price)))
                return F.one_hot(logits.argmax(1), len(net.ladder)).to(tensor.dtype)

            _, weights = rollout(net, part, pick)
            rows.append(torch.stack([w.argmax(1) for w in weights], 1))
    return torch.cat(rows).numpy()


def cluster(decided: npt.NDArray[np.int64], cost: CostTable, count: int, ladder: tuple[int, ...]) -> list[Choice]:
    """At most ``count`` configurations, cheapest first, that stand for the decisions.

    k-means on ladder positions, each group weighted by its cost, started from the decisions at evenly spaced quantiles
    of cost; the cheapest and the dearest decision stay as they are, so that the set spans the policy's whole range.

    Args:
        decided: ladder positions ``[rows, groups]``.
        cost: relative cost of each group and precision.
        count: how many configurations, at least 2.
        ladder: bit-widths by position.
    """
    table = cost.table.numpy()
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
    positions = np.clip(np.rint(centres / weight), 0, len(ladder) - 1).astype(int)
    distinct = {tuple(row) for row in positions.tolist()}
    for level in range(len(ladder)):  # a policy of one mind leaves room: fill it with uniform precisions
        if len(distinct) < count:
            distinct.add((level,) * decided.shape[1])
    by_cost = sorted(distinct, key=lambda row: float(table[groups, list(row)].sum()))
    return [Choice(tuple(ladder[level] for level in row)) for row in by_cost]
