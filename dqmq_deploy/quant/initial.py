"""Starting points for quantization: step sizes that fit the float network's weights and activations."""

from __future__ import annotations

import torch
from torch import Tensor

from dqmq_deploy.quant.layers import FLOAT_SLOT, ActivationSteps, QuantConv
from dqmq_deploy.quant.net import QuantNet
from dqmq_deploy.quant.spec import ConvSpec, LinearSpec
from dqmq_deploy.quant.steps import best_step

_VALUES = 200_000  # of each tensor, enough for a step


@torch.no_grad()
def initialise(net: QuantNet, images: Tensor) -> None:
    """Set every step size from one float pass over normalised images ``[N, C, H, W]``.

    Every slot's normalisation starts from the float network's.
    """
    net.eval()

    def run(spec: ConvSpec | LinearSpec, source: Tensor) -> Tensor:
        layer = net.layer(spec.name)
        y: Tensor
        if not isinstance(layer, QuantConv):
            y = layer(source, None)
            return y
        y = layer(source, None, FLOAT_SLOT)
        if layer.sum_steps is not None:
            layer.sum_steps.step.fill_(_activation_step(layer.sum_steps, y, 8))
        for field in (layer.norm.scale, layer.norm.shift, layer.norm.mean, layer.norm.variance):
            field[1:] = field[FLOAT_SLOT]
        return y

    def settle(tensor: str, value: Tensor) -> Tensor:
        if net.holder.get(tensor) == tensor:
            act = net.act(tensor)
            steps = torch.stack([_activation_step(act, value, bits) for bits in net.ladder])
            act.step[1 : net.plain_slots] = steps.repeat(len(net.shrinks))
        return value

    net.walk(images, run, settle)
    for spec in net.stages:
        if isinstance(spec, ConvSpec | LinearSpec):
            weights = net.layer(spec.name).weights
            for level, bits in enumerate(net.ladder):
                rows = weights.weight.flatten(1)
                weights.step[level] = best_step(rows, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _activation_step(act: ActivationSteps, value: Tensor, bits: int) -> Tensor:
    flat = value.float().reshape(1, -1)
    flat = flat[:, :: max(1, flat.shape[1] // _VALUES)]
    return best_step(flat, *act.code_range(bits))[0]
