"""Accuracy of a network under one choice of precisions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dqmq_deploy.quant.net import Choice, QuantNet


@torch.no_grad()
def logits(net: QuantNet, images: Tensor, choice: Choice, batch_size: int = 250) -> Tensor:
    """Logits float32 ``[N, classes]`` of normalised images ``[N, C, H, W]``, in evaluation mode and float32."""
    was_training = net.training
    net.eval()
    result = torch.cat([net(part, choice).float() for part in images.split(batch_size)])
    net.train(was_training)
    return result


def right(net: QuantNet, images: Tensor, labels: npt.NDArray[np.int64], choice: Choice) -> npt.NDArray[np.bool_]:
    """Whether each image is classified right, bool ``[N]``."""
    found: npt.NDArray[np.bool_] = logits(net, images, choice).argmax(1).numpy() == labels
    return found


def wilson(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion, 95 % by default.

    >>> tuple(round(bound, 3) for bound in wilson(95, 100))
    (0.888, 0.978)
    """
    share = successes / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5 / (1 + z * z / count)
    return centre - half, centre + half
