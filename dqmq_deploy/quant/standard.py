"""What :mod:`dqmq_deploy.standard` does to pictures, in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from dqmq_deploy.standard import MOST_GAIN


def standardize(codes: Tensor, spread: float) -> Tensor:
    """Pictures of codes 0 to 255, float32 ``[N, C, H, W]``, as codes about 128 that spread by ``spread``.

    >>> standardize(torch.tensor([10.0, 14.0]).reshape(1, 1, 1, 2), 32.0).flatten().tolist()
    [96.0, 160.0]
    """
    whole = codes.long()
    over = tuple(range(1, codes.dim()))
    count = codes[0].numel()
    total, squares = whole.sum(over, keepdim=True), (whole * whole).sum(over, keepdim=True)
    size, wanted = (torch.tensor(value, dtype=torch.float32, device=codes.device) for value in (count, spread))
    deviation = (count * squares - total * total).float().sqrt()  # times count
    gain = (wanted * size / deviation).clamp_max(MOST_GAIN)
    return ((codes - total.float() / size) * gain).round().add(128).clamp(0, 255)
