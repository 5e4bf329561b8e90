"""A finished checkpoint as export wants it: configurations as plans of plain NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dqmq_deploy.bits import Configuration, Layer, bitops
from dqmq_deploy.errors import CheckpointError
from dqmq_deploy.export.plan import (
    AddStage,
    ConvStage,
    EstimatorPlan,
    FlattenStage,
    FloatConv,
    FloatLinear,
    FloatPlan,
    FloatStage,
    LinearStage,
    MedianStage,
    Plan,
    PoolStage,
    ResizeStage,
    Stage,
    TensorQuant,
)
from dqmq_deploy.quality.estimator import Estimator
from dqmq_deploy.quant.folding import aligned, folded_conv, integer_bias
from dqmq_deploy.quant.layers import FLOAT_SLOT, ActivationSteps, QuantConv, QuantLinear
from dqmq_deploy.quant.net import Choice, QuantNet
from dqmq_deploy.quant.shrink import area_taps
from dqmq_deploy.quant.spec import AddSpec, ConvSpec, FlattenSpec, LinearSpec, PoolSpec
from dqmq_deploy.routing import Evidence
from dqmq_deploy.train import checkpoint
from dqmq_deploy.train.evaluate import logits
from dqmq_deploy.train.pixels import normalised


@dataclass
class Compiled:
    """A trained network with its configurations (cheapest first), estimator and calibration data."""

    name: str
    classes: list[str]
    image_size: tuple[int, int]  # height, width
    layers: list[Layer]
    configurations: list[Configuration]
    choices: list[Choice]
    net: QuantNet
    estimator: Estimator
    calibration_images: npt.NDArray[np.uint8]  # [n, H, W, 3]
    calibration_labels: npt.NDArray[np.int64]  # [n]
    evidence: Evidence  # on held-out images of mixed quality
    float_state: dict[str, torch.Tensor] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def image_quant(self) -> TensorQuant:
        """How pixels become real values."""
        return _quant(self.net.act("image"), 0)

    def reference_logits(self, index: int, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Torch's own logits of configuration ``index`` for images ``[N, H, W, 3]``; float32 ``[N, classes]``."""
        tensor = normalised(images, self.image_quant.scale, self.image_quant.zero_point)
        found: npt.NDArray[np.float32] = logits(self.net, tensor, self.choices[index]).numpy()
        return found

    def shrink(self, index: int) -> int:
        """Configuration ``index`` sees images at 1/shrink of their height and width."""
        return self.choices[index].shrink

    def bitops(self, index: int) -> int:
        """BitOPs per image of configuration ``index``, at the size that it sees images."""
        shrink = self.shrink(index)
        layers = self.net.describe((self.image_size[0] // shrink, self.image_size[1] // shrink))
        return bitops(layers, self.configurations[index].bits)

    def plan(self, index: int) -> Plan:
        """Configuration ``index`` with its normalisation folded into scales and biases."""
        return make_plan(self.net, self.choices[index], self.image_size)

    def float_plan(self) -> FloatPlan | None:
        """The float network that training started the quantized epochs from; None where none was kept."""
        if self.float_state is None:
            return None
        net = QuantNet.from_plain({**self.net.to_plain(), "slots": self.net.plain_slots})
        net.load_float_state(self.float_state)
        return make_float_plan(net, self.image_size)

    def estimator_plan(self) -> EstimatorPlan:
        """The estimator in plain arrays."""
        convs, source = [], "image"
        for index, conv in enumerate(self.estimator.convs):
            assert isinstance(conv, torch.nn.Conv2d) and conv.bias is not None
            stride = int(conv.stride[0])
            convs.append(
                FloatConv(
                    f"conv{index}", source, f"conv{index}", _array(conv.weight), _array(conv.bias),
                    (stride, stride), (1, 1, 1, 1), activation="relu",
                )
            )  # fmt: skip
            source = f"conv{index}"
        head = self.estimator.head
        return EstimatorPlan(self.image_size, self.image_quant, tuple(convs), _array(head.weight), _array(head.bias))


def open_compiled(path: Path) -> Compiled:
    """Read a finished checkpoint.

    Raises:
        CheckpointError: not a checkpoint, damaged, or its training has not finished.
    """
    content = checkpoint.load(path)
    if "configurations" not in content:
        raise CheckpointError(f"{path}: its training has not finished; go on with 'dqmq-deploy train ... --resume'")
    try:
        return _compiled(content)
    except CheckpointError:
        raise
    except Exception as error:  # a state that does not fit raises RuntimeError, KeyError, AttributeError, ...
        raise CheckpointError(f"{path}: damaged, its parts do not fit together ({error})") from error


def _compiled(content: dict[str, Any]) -> Compiled:
    net = QuantNet.from_plain(content["structure"])
    net.load_state_dict(content["state"])
    net.eval().requires_grad_(False)
    choices = [
        Choice(tuple(entry["bits"]), entry["slot"], entry.get("shrink", 1)) for entry in content["configurations"]
    ]
    if "p_right" in content["curve"] and "score" not in content["curve"]:
        raise CheckpointError(f"'{content['name']}': a checkpoint of an earlier version; train it again")
    saved = content["estimator"]
    estimator = Estimator(list(saved["widths"]), list(saved["strides"]), len(choices))
    estimator.load_state_dict(saved["state"])
    estimator.eval().requires_grad_(False)
    size = content["preprocessing"]
    return Compiled(
        name=content["name"],
        classes=list(content["classes"]),
        image_size=(size["height"], size["width"]),
        layers=[Layer(**entry) for entry in content["layers"]],
        configurations=[
            Configuration(entry["name"], net.layer_bits(choice))
            for entry, choice in zip(content["configurations"], choices, strict=True)
        ],
        choices=choices,
        net=net,
        estimator=estimator,
        calibration_images=content["calibration"]["images"].numpy(),
        calibration_labels=content["calibration"]["labels"].numpy(),
        evidence=_evidence(content["curve"]),
        float_state=content.get("float_state"),
        notes=content.get("notes", {}),
    )


def _evidence(curve: dict[str, torch.Tensor]) -> Evidence:
    """That of a checkpoint; an older one does not know what is right after escalating."""
    after = curve.get("right_after")
    p_right, score, right = (curve[part].numpy() for part in ("p_right", "score", "right"))
    if after is None:
        return Evidence(p_right, score, right)
    memory = curve.get("memory", torch.full((right.shape[1],) * 2, 0.15).triu(1))  # older ones remember that much
    return Evidence(p_right, score, right, after.numpy(), memory.numpy())


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return tensor.detach().contiguous().numpy().astype(np.float32)


def _quant(act: ActivationSteps, slot: int, act_bits: int = 8) -> TensorQuant:
    return TensorQuant(float(act.at(slot, act_bits).detach()), act.zero_point)


def _four(pads: tuple[int, int]) -> tuple[int, int, int, int]:
    return pads[0], pads[1], pads[0], pads[1]


def make_plan(net: QuantNet, choice: Choice, image_size: tuple[int, int]) -> Plan:
    """One choice of precisions as a plan, every normalisation folded."""
    bits = net.layer_bits(choice)

    def quant_of(tensor: str) -> TensorQuant:
        act_bits = net.tensor_bits(tensor, choice)
        return _quant(net.act(tensor), net.slot_of(act_bits, choice), act_bits)

    tensors = {"image": _quant(net.act("image"), 0)}
    stages: list[Stage] = []
    seen = "image"  # what the first layer reads
    if choice.shrink > 1:
        stages += _shrinking(net, choice.shrink, image_size)
        seen = stages[-1].output
        tensors |= {stage.output: tensors["image"] for stage in stages}
    for spec in net.stages:
        source = seen if spec.input == "image" else spec.input
        if isinstance(spec, ConvSpec):
            conv = net.layer(spec.name)
            assert isinstance(conv, QuantConv)
            own_slot = net.slot_of(bits[spec.name], choice)
            codes, _ = conv.weights.codes(bits[spec.name])
            scale, bias = folded_conv(net, spec, choice)
            stages.append(
                ConvStage(
                    spec.name, source, spec.output, codes.contiguous().numpy(), bits[spec.name], bits[spec.name],
                    scale, bias, spec.strides, _four(spec.pads), spec.dilations, spec.groups, spec.residual,
                    _quant(conv.sum_steps, own_slot) if conv.sum_steps is not None else None,
                )
            )  # fmt: skip
        elif isinstance(spec, LinearSpec):
            linear = net.layer(spec.name)
            assert isinstance(linear, QuantLinear)
            codes, step = linear.weights.codes(bits[spec.name])
            scale, bias = integer_bias(
                linear.bias.detach().double().numpy(), aligned(step, bits[spec.name]), tensors[spec.input].scale
            )
            width = bits[spec.name]
            stages.append(LinearStage(spec.name, source, spec.output, codes.numpy(), width, width, scale, bias))
        elif isinstance(spec, PoolSpec):
            stages.append(PoolStage(spec.kind, source, spec.output, spec.kernel, spec.strides, _four(spec.pads)))
        elif isinstance(spec, AddSpec):
            stages.append(AddStage(source, spec.other, spec.output, spec.activation))
        elif isinstance(spec, FlattenSpec):
            stages.append(FlattenStage(source, spec.output))
        if spec.output != "logits":
            holder = net.holder[spec.output]
            tensors[spec.output] = tensors[holder] if holder in tensors else quant_of(holder)
    last = net.stages[-1]
    assert isinstance(last, LinearSpec)
    return Plan(image_size, tensors, tuple(stages), last.out_features)


def _shrinking(net: QuantNet, shrink: int, image_size: tuple[int, int]) -> list[Stage]:
    """What makes a small picture of ``image``."""
    rows, columns = (area_taps(size, net.shrinking.crop, size // shrink) for size in image_size)
    if not net.shrinking.median:
        return [ResizeStage("image", "image/shrunk", rows, columns)]
    return [
        MedianStage("image", "image/filtered"), ResizeStage("image/filtered", "image/shrunk", rows, columns)
    ]  # fmt: skip


def make_float_plan(net: QuantNet, image_size: tuple[int, int]) -> FloatPlan:
    """The float network as a plan, every normalisation folded into weights and biases."""
    stages: list[FloatStage] = []
    for spec in net.stages:
        if isinstance(spec, ConvSpec):
            conv = net.layer(spec.name)
            assert isinstance(conv, QuantConv)
            multiplier, offset = conv.norm.folded(FLOAT_SLOT)
            weight = conv.weights.weight * multiplier.reshape(-1, 1, 1, 1)
            stages.append(
                FloatConv(
                    spec.name, spec.input, spec.output, _array(weight), _array(offset), spec.strides, _four(spec.pads),
                    spec.dilations, spec.groups, spec.residual, spec.activation,
                )
            )  # fmt: skip
        elif isinstance(spec, LinearSpec):
            linear = net.layer(spec.name)
            assert isinstance(linear, QuantLinear)
            matrix, shift = _array(linear.weights.weight), _array(linear.bias)
            stages.append(FloatLinear(spec.name, spec.input, spec.output, matrix, shift, spec.activation))
        elif isinstance(spec, PoolSpec):
            stages.append(PoolStage(spec.kind, spec.input, spec.output, spec.kernel, spec.strides, _four(spec.pads)))
        elif isinstance(spec, AddSpec):
            stages.append(AddStage(spec.input, spec.other, spec.output, spec.activation))
        else:
            stages.append(FlattenStage(spec.input, spec.output))
    last = net.stages[-1]
    assert isinstance(last, LinearSpec)
    return FloatPlan(image_size, _quant(net.act("image"), 0), tuple(stages), last.out_features)
