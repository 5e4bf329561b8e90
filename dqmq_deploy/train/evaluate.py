"""Accuracy of a network under one choice of precisions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dqmq_deploy.quant.net import Choice, QuantNet


@torch.no_grad()
def logits(net: QuantNet, images: Tensor, choice: Choice, batch_size: int = 250) -> Tensor:
    """Logits float32 ``[N, classes]`` of normalised images ``[N, C, H, W]``, in evaluation mode and float32.

    The network may be on a GPU; the logits are on the CPU.
    """
    was_training, device = net.training, net.device
    net.eval()
    result = torch.cat([net(part.to(device), choice).float() for part in torch.split(images, batch_size)]).cpu()
    net.train(was_training)
    return result


def right(net: QuantNet, images: Tensor, labels: npt.NDArray[np.int64], choice: Choice) -> npt.NDArray[np.bool_]:
    """Whether each image is classified right, bool ``[N]``."""
    found: npt.NDArray[np.bool_] = logits(net, images, choice).argmax(1).numpy() == labels
    return found
