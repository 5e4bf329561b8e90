"""The bit-width policy: a small agent per group of layers looks at the group's input and leans towards a precision.

State: mean and spread of each channel of the input tensor, one row per image. Action: a precision of the ladder. The
agent maps its state linearly to two numbers, a centre ``mu`` and a width ``sigma`` on the ladder's positions 0, 1, 2,
.., and the distribution is the bell between them, so few parameters encode it:

    p(b) = softmax over positions i of  -(i - mu)^2 / (2 sigma^2)

An agent also sees the *price* of computing (see :mod:`dqmq_deploy.policy.objective`), so that one policy covers the
range from cheap to accurate.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NARROWEST = 0.2


class Agent(nn.Module):
    """Decides the precision of one group; ``2 x channels + 1`` inputs, two outputs."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm1d(2 * channels, affine=False)
        self.linear = nn.Linear(2 * channels + 1, 2)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.weight[0, -1] = -0.5  # dearer computing, fewer bits: a start in the right direction
            self.linear.bias.copy_(torch.tensor([(levels - 1) / 2, 1.0]))
        self.positions: Tensor
        self.register_buffer("positions", torch.arange(levels, dtype=torch.float32))

    def forward(self, tensor: Tensor, log_price: Tensor) -> Tensor:
        """Logits ``[N, levels]`` for an input ``[N, C, H, W]`` or ``[N, C]`` and standardised log prices ``[N]``."""
        flat = tensor.float().flatten(2) if tensor.dim() > 2 else tensor.float()[:, :, None]
        spread = (flat.square().mean(2) - flat.mean(2).square()).clamp_min(0).sqrt()
        state = self.standardise(torch.cat([flat.mean(2), spread], 1))
        centre, width = self.linear(torch.cat([state, log_price[:, None]], 1)).unbind(1)
        sigma = F.softplus(width) + _NARROWEST
        logits: Tensor = -((self.positions - centre[:, None]) ** 2) / (2 * sigma[:, None] ** 2)
        return logits


class Policy(nn.Module):
    """One agent per group; ``channels`` are those of each group's input tensor."""

    def __init__(self, channels: Sequence[int], levels: int, prices: tuple[float, float]) -> None:
        super().__init__()
        self.prices = prices
        self.agents = nn.ModuleList(Agent(count, levels) for count in channels)

    def standardised(self, price: Tensor) -> Tensor:
        """Log prices mapped so that the policy's range becomes -1 .. 1."""
        low, high = (torch.log(torch.tensor(value)) for value in self.prices)
        return (torch.log(price) - (low + high) / 2) / ((high - low) / 2).clamp_min(1e-6)

    def logits(self, group: int, tensor: Tensor, price: Tensor) -> Tensor:
        """Logits over the ladder, ``[N, levels]``, of group ``group`` for its input tensor and prices ``[N]``."""
        agent = self.agents[group]
        return agent(tensor, self.standardised(price))  # type: ignore[no-any-return]
