"""A compiled network: what training hands to export, in plain NumPy.

One :class:`Plan` is one configuration, ready to be written as an ONNX graph. Every tensor between stages is unsigned
8-bit, ``[N, H, W, C]``, with one scale and zero point: ``real = scale * (code - zero_point)``. A layer of ``act_bits``
below 8 reads its input clipped to the ``2**act_bits`` codes from :meth:`TensorQuant.code_range`; the tensor itself
keeps all its codes, so that a residual beside a 2-bit layer is not cut to 2 bits.

A ReLU needs no operation: with zero point 0 the saturation to code 0 is the ReLU. The zero point is 0 for tensors that
are never negative and 128 for the others.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TensorQuant:
    """Scale and zero point of an unsigned 8-bit tensor."""

    scale: float
    zero_point: int

    def code_range(self, act_bits: int) -> tuple[int, int]:
        """Lowest and highest code that a layer of ``act_bits`` tells apart.

        >>> TensorQuant(0.1, 0).code_range(2), TensorQuant(0.1, 128).code_range(4)
        ((0, 3), (120, 135))
        """
        if self.zero_point == 0:
            return 0, 2**act_bits - 1
        half = 2 ** (act_bits - 1)
        return self.zero_point - half, self.zero_point + half - 1


@dataclass(frozen=True)
class ConvStage:
    """Convolution with folded normalisation, optional residual, requantized to the output's 8-bit codes.

    ``acc = sum (x_code - x_zp) * left_aligned(stage) + bias`` in int32; ``real = acc * x_scale * weight_scale``.
    With ``residual``, ``real`` is first quantized with ``sum_quant``, then added to the residual's real value.
    """

    name: str
    input: str
    output: str
    weight_codes: npt.NDArray[np.int8]  # [out, in / groups, kh, kw], within -2**(b-1) .. 2**(b-1) - 1
    weight_bits: int
    act_bits: int
    weight_scale: npt.NDArray[np.float32]  # [out], either sign, of a left-aligned code: step size x normalisation
    bias: npt.NDArray[np.int32]  # [out], in units of x_scale x weight_scale
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    residual: str | None = None
    sum_quant: TensorQuant | None = None  # of the convolution's result, before the residual is added


@dataclass(frozen=True)
class LinearStage:
    """Linear layer on ``[N, C]`` codes. Its output is float logits if it is the plan's last stage, else 8-bit codes."""

    name: str
    input: str
    output: str
    weight_codes: npt.NDArray[np.int8]  # [out, in]
    weight_bits: int
    act_bits: int
    weight_scale: npt.NDArray[np.float32]  # [out]
    bias: npt.NDArray[np.int32]  # [out]


@dataclass(frozen=True)
class PoolStage:
    """``max``: on codes, scale unchanged. ``average`` and ``global_average``: requantized to the output's scale.

    ``average`` counts padding as zeros, as torch does by default; ``global_average`` gives ``[N, 1, 1, C]``.
    """

    kind: str  # "max" | "average" | "global_average"
    input: str
    output: str
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class MedianStage:
    """The median of the 3 x 3 codes around each, edges repeated; scale unchanged."""

    input: str
    output: str


@dataclass(frozen=True)
class ResizeStage:
    """Means over areas: ``round(rows @ codes @ columns.T / area)``, half to even; scale unchanged.

    ``area`` is the product of a row's and a column's sum. Sums of codes stay below 2**24.
    """

    input: str
    output: str
    rows: npt.NDArray[np.int32]  # [height, input's height], whole numbers from 0, equal row sums
    columns: npt.NDArray[np.int32]  # [width, input's width]

    @property
    def area(self) -> int:
        """How many units of area one output pixel is the mean of."""
        return int(self.rows[0].sum() * self.columns[0].sum())


@dataclass(frozen=True)
class AddStage:
    """Sum of two tensors, requantized to the output's scale."""

    input: str
    other: str
    output: str
    activation: str = "none"  # "none" | "relu" | "relu6": read by the float graph; 8-bit saturation implies it


@dataclass(frozen=True)
class FlattenStage:
    """``[N, H, W, C]`` to ``[N, C * H * W]``, in torch's channel-first order; codes unchanged."""

    input: str
    output: str


Stage = ConvStage | LinearStage | PoolStage | MedianStage | ResizeStage | AddStage | FlattenStage


def left_aligned(stage: ConvStage | LinearStage) -> npt.NDArray[np.int8]:
    """Weight codes moved to the top of 8 bits, int8 of the same shape: ``code * 2**(8 - weight_bits)``.

    The bias counts in units of ``x_scale * weight_scale``; with codes left-aligned these are fine at every precision.
    """
    return (stage.weight_codes.astype(np.int16) << (8 - stage.weight_bits)).astype(np.int8)


@dataclass(frozen=True)
class Plan:
    """One configuration as stages in topological order, from ``image`` to ``logits``.

    ``tensors`` gives the quantization of every 8-bit tensor, ``"image"`` included.
    """

    image_size: tuple[int, int]  # height, width
    tensors: dict[str, TensorQuant]
    stages: tuple[Stage, ...]
    class_count: int


@dataclass(frozen=True)
class FloatConv:
    """Convolution of the float baseline, normalisation folded in."""

    name: str
    input: str
    output: str
    weight: npt.NDArray[np.float32]  # [out, in / groups, kh, kw]
    bias: npt.NDArray[np.float32]  # [out]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    residual: str | None = None
    activation: str = "none"  # "none" | "relu" | "relu6", after the residual is added


@dataclass(frozen=True)
class FloatLinear:
    """Linear layer of the float baseline."""

    name: str
    input: str
    output: str
    weight: npt.NDArray[np.float32]  # [out, in]
    bias: npt.NDArray[np.float32]  # [out]
    activation: str = "none"


FloatStage = FloatConv | FloatLinear | PoolStage | AddStage | FlattenStage


@dataclass(frozen=True)
class FloatPlan:
    """The float32 network of the same shape, for baselines. Its input is ``image``, float32 ``[N, C, H, W]``,

    normalised as ``(code - zero_point) * scale`` of ``image_quant``.
    """

    image_size: tuple[int, int]
    image_quant: TensorQuant
    stages: tuple[FloatStage, ...]
    class_count: int


@dataclass(frozen=True)
class EstimatorPlan:
    """The quality estimator: a few float convolutions with ReLU; the mean over positions of each one's output is a

    feature; ``p_right = sigmoid(head_weight @ features + head_bias)``, one probability per configuration.
    """

    image_size: tuple[int, int]
    image_quant: TensorQuant
    convs: tuple[FloatConv, ...]
    head_weight: npt.NDArray[np.float32]  # [configurations, sum of the convolutions' output channels]
    head_bias: npt.NDArray[np.float32]  # [configurations]
