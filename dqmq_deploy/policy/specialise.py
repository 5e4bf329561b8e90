"""Quality experts: fine-tune each configuration's normalisation and steps on the images that it would serve.

The convolution weights stay shared and frozen; a configuration's own slot costs a few floats per channel and no time.
Images are assigned by utility: right answer minus price x cost, ties to the cheaper configuration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dqmq_deploy.quant.net import Choice, QuantNet

Draw = Callable[[npt.NDArray[np.int64] | None, int], tuple[Tensor, Tensor]]
"""From the rows to draw from (None: all) and a step number to images ``[N, C, H, W]`` and labels ``[N]``."""


@dataclass(frozen=True)
class Specialisation:
    """How long and how fast one configuration is fine-tuned in one round."""

    steps: int
    learning_rate: float
    momentum: float = 0.9
    bf16: bool = True


def assign(right: npt.NDArray[np.bool_], cost: npt.NDArray[np.float64], price: float) -> npt.NDArray[np.int64]:
    """The configuration of highest utility for each image, int64 ``[N]``.

    Args:
        right: which configurations answer right, ``[N, configurations]``, cheapest first.
        cost: relative cost of each configuration.
        price: accuracy one gives up per unit of cost.
    """
    utility: npt.NDArray[np.float64] = right - price * cost
    best: npt.NDArray[np.int64] = utility.argmax(1)
    return best


def fine_tune(
    net: QuantNet, choice: Choice, parameters: Sequence[nn.Parameter], draw: Draw, rows: npt.NDArray[np.int64],
    own_share: float, settings: Specialisation,
) -> None:  # fmt: skip
    """Fine-tune the slot of ``choice`` in place.

    Every ``1 / own_share``-th batch comes from ``rows``, the others from all. Weights must be frozen by the caller:
    only ``parameters`` learn.
    """
    optimizer = torch.optim.SGD(parameters, settings.learning_rate, settings.momentum, nesterov=True)
    net.train()
    owed = 0.0
    for step in range(settings.steps):
        owed += own_share
        own = owed >= 1 and len(rows) >= 64
        owed -= 1 if owed >= 1 else 0
        images, labels = (tensor.to(net.device) for tensor in draw(rows if own else None, step))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        with torch.autocast(net.device.type, dtype=torch.bfloat16, enabled=settings.bf16):
            loss = F.cross_entropy(net(images, choice).float(), labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    net.eval()
