"""The quality estimator: a tiny network that predicts, per configuration, the probability of a right answer.

It learns from what the configurations really got right and wrong, so its notion of quality is the machine's, not a
person's. Features are the mean responses of its convolutions at every depth: texture and noise at the first, shapes at
the last.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Estimator(nn.Module):
    """Strided convolutions, pooled at every depth, and one linear map; float, for it is too small to gain from bits."""

    def __init__(self, widths: list[int], strides: list[int], configurations: int) -> None:
        super().__init__()
        channels = [3, *widths]
        self.widths, self.strides, self.configurations = widths, strides, configurations
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride, 1) for i, o, stride in zip(channels, widths, strides, strict=False)
        )
        self.head = nn.Linear(sum(widths), configurations)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, configurations]`` of normalised images ``[N, 3, H, W]``."""
        features = []
        for conv in self.convs:
            x = F.relu(conv(x))
            features.append(x.mean((2, 3)))
        return self.head(torch.cat(features, 1))  # type: ignore[no-any-return]


def _batches(count: int, size: int, epochs: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(count)
        yield from (order[i : i + size] for i in range(0, count, size))


def fit(
    estimator: Estimator,
    images: Tensor,
    right: Tensor,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    batch_size: int = 128,
) -> list[float]:
    """Train on images ``[N, 3, H, W]`` and what each configuration got right, ``[N, configurations]`` of 0 and 1.

    Returns:
        The mean loss (binary cross-entropy) of each epoch.
    """
    rate = right.mean(0).clamp(0.01, 0.99)
    with torch.no_grad():
        estimator.head.bias.copy_(torch.log(rate / (1 - rate)))
    optimizer = torch.optim.AdamW(estimator.parameters(), learning_rate, weight_decay=1e-2)
    per_epoch = -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * per_epoch)
    losses: list[float] = []
    total = 0.0
    estimator.train()
    for index, rows in enumerate(_batches(len(images), batch_size, epochs, seed)):
        loss = F.binary_cross_entropy_with_logits(estimator(images[rows]), right[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if (index + 1) % per_epoch == 0:
            losses.append(total / per_epoch)
            total = 0.0
    estimator.eval()
    return losses


@torch.no_grad()
def predict(estimator: Estimator, images: Tensor) -> npt.NDArray[np.float32]:
    """Probability of a right answer, float32 ``[N, configurations]``."""
    estimator.eval()
    return torch.cat([torch.sigmoid(estimator(part)) for part in torch.split(images, 512)]).numpy()
