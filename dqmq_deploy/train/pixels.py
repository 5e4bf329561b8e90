"""From pixels to what a network reads."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def normalised(
    images: npt.NDArray[np.uint8], scale: float, zero_point: int, device: torch.device | str = "cpu"
) -> Tensor:
    """``scale * (pixel - zero_point)``: uint8 ``[N, H, W, 3]`` to float32 ``[N, 3, H, W]``, channels last in memory."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return pixels.permute(0, 3, 1, 2).float().sub_(zero_point).mul_(scale)
