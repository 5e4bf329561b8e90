"""Normalisation as an integer graph computes it: a scale per channel and a whole-numbered bias.

A graph adds its bias to integer sums, so the bias is a whole number of ``x_scale x weight_scale``. At 2 bits, rounding
it moves some of a layer's outputs by a code, and through many layers that adds up: torch and the graph of a 2-bit
ResNet-20 named the same class for only 98.2 % of 1,000 degraded images. :func:`fold` rounds the trained network itself,
so that both compute one function; then it was 99.8 %. What stays are sums that fall between two codes within the
rounding of float32.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from dqmq_deploy.quant.layers import QuantConv
from dqmq_deploy.quant.net import Choice, QuantNet
from dqmq_deploy.quant.spec import ConvSpec

_LARGEST_BIAS = 2**30


def integer_bias(
    offset: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], x_scale: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Scale and int32 bias per channel, with ``bias x x_scale x scale`` nearest to ``offset``.

    A channel whose normalisation has switched it off has a scale so small that its bias would overflow; there the scale
    is raised to where the bias just fits, which moves the channel's output by less than a thousandth of the bias.
    """
    least = np.abs(offset) / (x_scale * _LARGEST_BIAS)
    raised = np.where(np.abs(scale) < np.maximum(least, 1e-12), np.maximum(least, 1e-12), scale).astype(np.float32)
    bias = np.rint(offset / (np.float64(x_scale) * raised))
    return raised, bias.astype(np.int32)


def aligned(step: torch.Tensor, weight_bits: int) -> npt.NDArray[np.float64]:
    """The step of codes that are left-aligned in 8 bits, ``[out]``."""
    left_aligned: npt.NDArray[np.float64] = (step.double() / 2 ** (8 - weight_bits)).cpu().numpy()
    return left_aligned


def folded_conv(net: QuantNet, spec: ConvSpec, choice: Choice) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Scale of a left-aligned weight code and integer bias, each ``[out]``, of a convolution under ``choice``."""
    conv = net.layer(spec.name)
    assert isinstance(conv, QuantConv)
    bits = net.layer_bits(choice)[spec.name]
    _, step = conv.weights.codes(bits)
    multiplier, offset = conv.norm.folded(net.slot_of(bits, choice))
    scale = aligned(step, bits) * multiplier.double().cpu().numpy()
    return integer_bias(offset.double().cpu().numpy(), scale, input_scale(net, spec, choice))


def input_scale(net: QuantNet, spec: ConvSpec, choice: Choice) -> float:
    """Scale of the tensor that a convolution reads under ``choice``."""
    bits = net.tensor_bits(spec.input, choice)
    return float(net.act(spec.input).at(net.slot_of(bits, choice), bits).detach())


@torch.no_grad()
def fold(net: QuantNet, choice: Choice) -> None:
    """Make the normalisation of a configuration, in place, the affine map that its graph will compute.

    ``choice`` must own its slot (:meth:`QuantNet.add_slots`). Folding twice changes nothing.
    """
    assert choice.slot is not None
    for spec in net.stages:
        if isinstance(spec, ConvSpec):
            conv = net.layer(spec.name)
            assert isinstance(conv, QuantConv)
            scale, bias = folded_conv(net, spec, choice)
            unit = np.float64(input_scale(net, spec, choice)) * scale
            multiplier, _ = conv.norm.folded(choice.slot)
            norm = conv.norm
            norm.scale[choice.slot] = multiplier
            norm.shift[choice.slot] = torch.from_numpy(bias * unit).to(multiplier)
            norm.mean[choice.slot] = 0.0
            norm.variance[choice.slot] = 1.0 - norm.eps
