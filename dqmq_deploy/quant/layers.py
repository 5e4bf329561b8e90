"""Fake-quantized stages: float master weights, a step size per precision, normalisation and steps per *slot*.

A slot is one set of normalisation statistics and activation steps. Slot 0 is the float network's, then one per
precision of the ladder (switchable normalisation, Yu et al., arXiv 1812.08928), then one per compiled configuration.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dqmq_deploy.quant.spec import ConvSpec, LinearSpec
from dqmq_deploy.quant.steps import clip, quantize, quantize_rows

FLOAT_SLOT = 0


def grow(module: nn.Module, field: str, source_slots: list[int]) -> None:
    """Give ``module.field``, ``[slots, ...]``, one more slot per entry, copied from the slot that it names."""
    old = getattr(module, field)
    grown = torch.cat([old.detach(), old.detach()[source_slots]])
    if isinstance(old, nn.Parameter):
        setattr(module, field, nn.Parameter(grown))
    else:
        module.register_buffer(field, grown)


class ActivationSteps(nn.Module):
    """The 8-bit codes of one tensor: a step size per slot, zero point 0 or 128.

    ``largest`` bounds the real values, for a ReLU6.
    """

    def __init__(self, slots: int, zero_point: int, largest: float | None = None, fixed: float | None = None) -> None:
        super().__init__()
        self.zero_point = zero_point
        self.largest = largest
        self.low, self.high = -zero_point, 255 - zero_point
        initial = torch.full((slots,), fixed or 0.05)
        if fixed is None:
            self.step: Tensor = nn.Parameter(initial)
        else:
            self.register_buffer("step", initial)

    def at(self, slot: int, act_bits: int = 8) -> Tensor:
        """The step of one slot, positive; the highest code that ``act_bits`` tell apart stays within ``largest``."""
        step = self.step[slot].abs().clamp_min(1e-6)
        return step if self.largest is None else step.clamp_max(self.largest / self.code_range(act_bits)[1])

    def forward(self, x: Tensor, slot: int, act_bits: int = 8) -> Tensor:
        """Real values on the grid of 256 codes, same shape as ``x``; layers of ``act_bits`` will read them."""
        return quantize(x, self.at(slot, act_bits), self.low, self.high)

    def narrow(self, x: Tensor, slot: int, act_bits: int) -> Tensor:
        """What a layer of ``act_bits`` sees of a tensor that is already on the grid."""
        if act_bits >= 8:
            return x
        low, high = self.code_range(act_bits)
        return clip(x, self.at(slot, act_bits), low, high)

    def code_range(self, act_bits: int) -> tuple[int, int]:
        """Lowest and highest code, relative to the zero point, that a layer of ``act_bits`` tells apart."""
        if self.zero_point == 0:
            return 0, 2**act_bits - 1
        return -(2 ** (act_bits - 1)), 2 ** (act_bits - 1) - 1


class Weights(nn.Module):
    """A float master weight ``[out, ...]`` and its step per precision and output channel.

    All precisions share the master weight until one is given its own.
    """

    def __init__(self, weight: Tensor, ladder: tuple[int, ...]) -> None:
        super().__init__()
        self.ladder = ladder
        self.weight = nn.Parameter(weight.detach().clone())
        self.step = nn.Parameter(torch.full((len(ladder), weight.shape[0]), 0.05))
        self.own = nn.ParameterDict()  # by precision

    def part(self, precisions: Iterable[int]) -> None:
        """Give these precisions master weights of their own, which start from the shared ones."""
        for bits in precisions:
            self.own[str(bits)] = nn.Parameter(self.weight.detach().clone())

    def masters(self) -> list[nn.Parameter]:
        """The shared master weight and those that precisions have of their own."""
        return [self.weight, *self.own.values()]

    def _master(self, bits: int) -> Tensor:
        master: Tensor = self.own.get(str(bits), self.weight)
        return master

    def _step(self, bits: int) -> Tensor:
        step = self.step[self.ladder.index(bits)].abs().clamp_min(1e-6)
        return step.reshape(-1, *[1] * (self.weight.dim() - 1))

    def at(self, bits: int | None) -> Tensor:
        """The weight at a precision, or the master weight itself; same shape as ``weight``."""
        if bits is None:
            return self.weight
        return quantize_rows(self._master(bits), self._step(bits), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    @torch.no_grad()
    def codes(self, bits: int) -> tuple[Tensor, Tensor]:
        """Integer codes (int8, shape of ``weight``) and the step per output channel (float32, ``[out]``)."""
        step = self._step(bits)
        codes = (self._master(bits) / step).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return codes.to(torch.int8), step.flatten()


class SwitchableNorm(nn.Module):
    """Batch normalisation with its own statistics, scale and shift per slot."""

    def __init__(self, norm: nn.BatchNorm2d | None, channels: int, slots: int, bias: Tensor | None) -> None:
        """Starts every slot from ``norm``; without one it is the affine map with the convolution's ``bias``."""
        super().__init__()
        self.learns_statistics = norm is not None
        self.eps = norm.eps if norm else 0.0
        self.momentum = (norm.momentum or 0.1) if norm else 0.0
        scale = norm.weight.detach() if norm and norm.affine else torch.ones(channels)
        shift = norm.bias.detach() if norm and norm.affine else torch.zeros(channels)
        mean = norm.running_mean if norm and norm.running_mean is not None else torch.zeros(channels)
        variance = norm.running_var if norm and norm.running_var is not None else torch.ones(channels)
        if bias is not None:  # a convolution's own bias moves into the shift
            if norm:
                mean = mean - bias.detach()
            else:
                shift = shift + bias.detach()
        self.scale = nn.Parameter(scale.repeat(slots, 1))
        self.shift = nn.Parameter(shift.repeat(slots, 1))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", mean.repeat(slots, 1))
        self.register_buffer("variance", variance.repeat(slots, 1))

    def forward(self, x: Tensor, slot: int) -> Tensor:
        """``[N, C, H, W]`` normalised with the statistics of ``slot``."""
        return F.batch_norm(
            x,
            self.mean[slot],
            self.variance[slot],
            self.scale[slot],
            self.shift[slot],
            self.training and self.learns_statistics,
            self.momentum,
            self.eps,
        )

    @torch.no_grad()
    def folded(self, slot: int) -> tuple[Tensor, Tensor]:
        """Multiplier and offset per channel that equal the normalisation in evaluation, each ``[C]``."""
        multiplier = self.scale[slot] / (self.variance[slot] + self.eps).sqrt()
        return multiplier, self.shift[slot] - self.mean[slot] * multiplier


_FEW = 16  # input channels: the largest block that oneDNN works on


def convolve(x: Tensor, weight: Tensor, spec: ConvSpec) -> Tensor:
    """The bare convolution of a stage, ``[N, in_channels, H, W]`` to ``[N, out_channels, H', W']``.

    Where a 1 x 1 kernel strides over few channels, the pixels that it reads are taken out first. Left to oneDNN, the
    gradient of its weights goes astray with channels last: wrong numbers or a damaged heap, by instruction set
    (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    strides, few = spec.strides, spec.in_channels // spec.groups < _FEW
    if few and spec.kernel == (1, 1) and spec.pads == (0, 0):
        x, strides = x[:, :, :: strides[0], :: strides[1]], (1, 1)
    y: Tensor = F.conv2d(x, weight, None, strides, spec.pads, spec.dilations, spec.groups)
    return y


class QuantConv(nn.Module):
    """One convolution stage up to, not including, its residual and activation."""

    def __init__(
        self, spec: ConvSpec, layer: nn.Conv2d, norm: nn.BatchNorm2d | None, ladder: tuple[int, ...], slots: int
    ) -> None:
        super().__init__()
        self.spec = spec
        self.weights = Weights(layer.weight, ladder)
        self.norm = SwitchableNorm(norm, spec.out_channels, slots, layer.bias)
        # of the convolution's own result, where a residual is added to it
        self.sum_steps = ActivationSteps(slots, 128) if spec.residual else None

    def forward(self, x: Tensor, bits: int | None, slot: int) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, out_channels, H', W']`` at a precision (None: float)."""
        y: Tensor = self.norm(convolve(x, self.weights.at(bits), self.spec), slot)
        if self.sum_steps is not None and bits is not None:
            y = self.sum_steps(y, slot)
        return y


class QuantLinear(nn.Module):
    """One linear stage; its bias stays in float until export."""

    def __init__(self, spec: LinearSpec, layer: nn.Linear, ladder: tuple[int, ...]) -> None:
        super().__init__()
        self.spec = spec
        self.weights = Weights(layer.weight, ladder)
        given: Tensor | None = layer.bias  # None for Linear(bias=False), whatever torch's own annotation says
        bias = torch.zeros(spec.out_features) if given is None else given.detach().clone()
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor, bits: int | None) -> Tensor:
        """``[N, in_features]`` to ``[N, out_features]`` at a precision (None: float)."""
        return F.linear(x, self.weights.at(bits), self.bias)
