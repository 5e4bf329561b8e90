"""One convolution of a network in training: its numbers are torch's, whatever the instruction set."""

import pytest
import torch
from torch.nn import functional as F

from dqmq_deploy.quant.layers import convolve
from dqmq_deploy.quant.spec import ConvSpec


@pytest.mark.parametrize("channels", [1, 4, 12, 16])
@pytest.mark.parametrize("strides", [(2, 2), (1, 3)])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_strided_pointwise_convolution_has_right_gradients(
    channels: int, strides: tuple[int, int], groups: int
) -> None:
    """Few channels, channels last: where oneDNN alone gives wrong gradients, hangs or crashes."""
    generator = torch.Generator().manual_seed(channels)
    inputs = torch.randn(32, channels * groups, 32, 32, generator=generator)
    weights = torch.randn(8, channels, 1, 1, generator=generator)
    spec = ConvSpec("conv", "x", "y", channels * groups, 8, (1, 1), strides, (0, 0), (1, 1), groups)

    x = inputs.to(memory_format=torch.channels_last).requires_grad_()
    weight = weights.clone().requires_grad_()
    found = convolve(x, weight, spec)
    torch.autograd.backward(found.square().sum())

    other_x, other_weight = inputs.double().requires_grad_(), weights.double().requires_grad_()
    expected = F.conv2d(other_x, other_weight, stride=strides, groups=groups)
    torch.autograd.backward(expected.square().sum())
    for ours, theirs in ((found, expected), (weight.grad, other_weight.grad), (x.grad, other_x.grad)):
        assert ours is not None and theirs is not None
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-2)
