"""The quantizable network: one set of weights, several precisions, chosen at each forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dqmq_deploy.bits import EDGE_BITS, LADDER, Layer
from dqmq_deploy.errors import ModelError
from dqmq_deploy.quant.layers import FLOAT_SLOT, ActivationSteps, QuantConv, QuantLinear, grow
from dqmq_deploy.quant.shrink import PLAIN, Shrinking, shrink_codes
from dqmq_deploy.quant.spec import (
    AddSpec,
    ConvSpec,
    FlattenSpec,
    LinearSpec,
    PoolSpec,
    from_plain,
    has_zero_floor,
    to_plain,
)
from dqmq_deploy.quant.trace import Traced, trace


@dataclass(frozen=True)
class Choice:
    """What one forward pass runs at: a precision per group of layers, and the slots that go with it.

    ``bits=None`` is the float network. With ``slot`` set every layer uses that slot (a compiled configuration);
    without, each layer uses the slot of its precision. ``shrink`` 2 sees the picture at half its height and width
    (:mod:`dqmq_deploy.quant.shrink`): a quarter of the work, on any kernels.
    """

    bits: tuple[int, ...] | None
    slot: int | None = None
    shrink: int = 1


FLOAT = Choice(None, FLOAT_SLOT)


class QuantNet(nn.Module):
    """Stages in order, from normalised images ``[N, C, H, W]`` to logits ``[N, classes]``.

    Layers that read the same tensor form a *group* and share a precision. The first and the last layer belong to no
    group: they stay at 8 bits. ``choice`` says which precision a forward pass uses; it may also be given as argument.
    """

    def __init__(
        self,
        traced: Traced,
        ladder: tuple[int, ...],
        image_scale: float,
        image_zero_point: int,
        shrinks: tuple[int, ...] = (1,),
        shrinking: Shrinking = PLAIN,
    ) -> None:
        super().__init__()
        if ladder[-1:] != (EDGE_BITS,) or tuple(bits for bits in LADDER if bits in ladder) != ladder:
            raise ModelError(f"rising bit-widths out of {LADDER} that end in {EDGE_BITS} are expected, got {ladder}")
        if image_zero_point not in (0, 128) or not image_scale > 0:
            raise ModelError(f"zero point 0 or 128, scale above 0 expected, got {image_zero_point}, {image_scale}")
        if shrinks[:1] != (1,) or sorted(set(shrinks)) != list(shrinks):
            raise ModelError(f"rising shrinks from 1 are expected, got {shrinks}")
        self.ladder = ladder
        self.shrinks, self.shrinking = shrinks, shrinking
        self.stages = traced.stages
        self.slots = slots = self.plain_slots
        self.layers = nn.ModuleDict()
        self.acts = nn.ModuleDict()
        self.acts["image"] = ActivationSteps(slots, image_zero_point, fixed=image_scale)
        floors = {"image": image_zero_point == 0}
        self.holder: dict[str, str] = {"image": "image"}  # tensor -> the tensor whose steps it carries
        for spec in self.stages:
            if isinstance(spec, ConvSpec):
                layer, norm = traced.layers[spec.name], traced.norms.get(spec.name)
                assert isinstance(layer, nn.Conv2d)
                self.layers[_key(spec.name)] = QuantConv(spec, layer, norm, ladder, slots)
            elif isinstance(spec, LinearSpec):
                linear = traced.layers[spec.name]
                assert isinstance(linear, nn.Linear)
                self.layers[_key(spec.name)] = QuantLinear(spec, linear, ladder)
            floors[spec.output] = has_zero_floor(spec) or (
                isinstance(spec, PoolSpec | FlattenSpec) and floors[spec.input]
            )
            if isinstance(spec, FlattenSpec) or (isinstance(spec, PoolSpec) and spec.kind == "max"):
                self.holder[spec.output] = self.holder[spec.input]
            elif spec.output != "logits":
                self.holder[spec.output] = spec.output
                cap = 6.0 if getattr(spec, "activation", "none") == "relu6" else None
                self.acts[_key(spec.output)] = ActivationSteps(slots, 0 if floors[spec.output] else 128, cap)
        self.groups, self.group_of = self._group()
        self.choice = FLOAT

    def _group(self) -> tuple[list[tuple[str, ...]], dict[str, int]]:
        """Groups of inner layers by the tensor that they read, and the group of each such tensor."""
        names = [spec.name for spec in self.stages if isinstance(spec, ConvSpec | LinearSpec)]
        self.edges = (names[0], names[-1])
        members: dict[str, list[str]] = {}
        for spec in self.stages:
            if isinstance(spec, ConvSpec | LinearSpec) and spec.name not in self.edges:
                members.setdefault(self.holder[spec.input], []).append(spec.name)
        return [tuple(layers) for layers in members.values()], {t: i for i, t in enumerate(members)}

    # -- what runs -----------------------------------------------------------------------------------------------

    @property
    def plain_slots(self) -> int:
        """Slots before any configuration's: the float network's, and one for each shrink and precision."""
        return 1 + len(self.shrinks) * len(self.ladder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def uniform(self, bits: int, shrink: int = 1) -> Choice:
        """Every inner layer at ``bits``."""
        return Choice((bits,) * len(self.groups), shrink=shrink)

    def layer_bits(self, choice: Choice) -> dict[str, int]:
        """Precision of every layer, ``{name: bits}``."""
        assert choice.bits is not None
        bits = dict.fromkeys(self.edges, EDGE_BITS)
        for group, value in zip(self.groups, choice.bits, strict=True):
            bits.update(dict.fromkeys(group, value))
        return {spec.name: bits[spec.name] for spec in self.stages if isinstance(spec, ConvSpec | LinearSpec)}

    def slot_of(self, bits: int, choice: Choice) -> int:
        """The slot that a layer of ``bits`` uses under ``choice``."""
        if choice.slot is not None:
            return choice.slot
        return 1 + self.shrinks.index(choice.shrink) * len(self.ladder) + self.ladder.index(bits)

    def tensor_bits(self, tensor: str, choice: Choice) -> int:
        """The precision at which the layers behind ``tensor`` read it; 8 where none or an edge layer does."""
        group = self.group_of.get(self.holder[tensor])
        return EDGE_BITS if group is None or choice.bits is None else choice.bits[group]

    def group_channels(self) -> list[int]:
        """Channels of the tensor that each group reads."""
        first = [self.layer(group[0]) for group in self.groups]
        return [int(layer.weights.weight.shape[1]) * getattr(layer.spec, "groups", 1) for layer in first]

    def act(self, tensor: str) -> ActivationSteps:
        """The quantization steps that a tensor carries."""
        module = self.acts[_key(self.holder[tensor])]
        assert isinstance(module, ActivationSteps)
        return module

    def layer(self, name: str) -> QuantConv | QuantLinear:
        """The layer of that name."""
        module = self.layers[_key(name)]
        assert isinstance(module, QuantConv | QuantLinear)
        return module

    def forward(self, x: Tensor, choice: Choice | None = None) -> Tensor:
        """Logits ``[N, classes]`` of normalised images ``[N, C, H, W]`` under ``choice``."""
        choice = choice or self.choice
        if choice.shrink > 1:
            x = self.shrink(x, choice.shrink)
        bits_of = {} if choice.bits is None else self.layer_bits(choice)

        def run(spec: ConvSpec | LinearSpec, source: Tensor) -> Tensor:
            layer, bits = self.layer(spec.name), bits_of.get(spec.name)
            slot = FLOAT_SLOT if bits is None else self.slot_of(bits, choice)
            if bits is not None:
                source = self.act(spec.input).narrow(source, slot, bits)
            y: Tensor = layer(source, bits, slot) if isinstance(layer, QuantConv) else layer(source, bits)
            return y

        def settle(tensor: str, value: Tensor) -> Tensor:
            if choice.bits is None or self.holder.get(tensor) != tensor:
                return value
            bits = self.tensor_bits(tensor, choice)
            settled: Tensor = self.act(tensor)(value, self.slot_of(bits, choice), bits)
            return settled

        return self.walk(x, run, settle, saturating=choice.bits is not None)

    @torch.no_grad()
    def shrink(self, x: Tensor, shrink: int) -> Tensor:
        """Normalised images ``[N, C, H, W]`` at 1/shrink of their height and width, on the grid of pixels again."""
        step = self.act("image").at(FLOAT_SLOT)
        with torch.autocast(x.device.type, enabled=False):
            return shrink_codes((x.float() / step).round(), shrink, self.shrinking).round() * step

    def walk(
        self,
        x: Tensor,
        run: Callable[[ConvSpec | LinearSpec, Tensor], Tensor],
        settle: Callable[[str, Tensor], Tensor],
        read: Callable[[str, Tensor], Tensor] = lambda _, value: value,
        saturating: bool = False,
    ) -> Tensor:
        """The one traversal of the stages.

        ``run`` computes a layer, ``settle`` quantizes a finished tensor, ``read`` is what sums and averages see of one.
        With ``saturating`` the upper bound of a ReLU6 is left to the codes' saturation, as in the integer network.
        """
        values = {"image": x}
        for spec in self.stages:
            source = values[spec.input]
            if isinstance(spec, ConvSpec | LinearSpec):
                y = run(spec, source)
                if isinstance(spec, ConvSpec) and spec.residual:
                    y = y + read(spec.residual, values[spec.residual])
            elif isinstance(spec, AddSpec):
                y = read(spec.input, source) + read(spec.other, values[spec.other])
            elif isinstance(spec, FlattenSpec):
                y = source.flatten(1)
            elif spec.kind == "max":
                y = F.max_pool2d(source, spec.kernel, spec.strides, spec.pads)
            elif spec.kind == "average":
                y = F.avg_pool2d(read(spec.input, source), spec.kernel, spec.strides, spec.pads)
            else:
                y = read(spec.input, source).mean((2, 3), keepdim=True)
            activation = getattr(spec, "activation", "none")
            if activation != "none":
                y = F.relu6(y) if activation == "relu6" and not saturating else F.relu(y)
            values[spec.output] = settle(spec.output, y)
        return values["logits"]

    # -- what it costs -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def describe(self, image_size: tuple[int, int]) -> list[Layer]:
        """MACs and weights of every layer for images of ``(height, width)``."""
        found: list[Layer] = []

        def run(spec: ConvSpec | LinearSpec, source: Tensor) -> Tensor:
            layer = self.layer(spec.name)
            y: Tensor = layer(source, None, FLOAT_SLOT) if isinstance(layer, QuantConv) else layer(source, None)
            count = layer.weights.weight.numel()
            positions = y.shape[2] * y.shape[3] if y.dim() == 4 else 1
            found.append(Layer(spec.name, count * positions, count, edge=spec.name in self.edges))
            return y

        was_training = self.training
        self.eval()
        self.walk(torch.zeros(1, 3, *image_size, device=self.device), run, lambda _, value: value)
        self.train(was_training)
        return found

    # -- slots and plain values ----------------------------------------------------------------------------------

    def add_slots(self, choices: Sequence[Choice]) -> list[Choice]:
        """One slot per configuration, started from the slots of its layers' precisions; returns the new choices."""
        added = [Choice(choice.bits, self.slots + index, choice.shrink) for index, choice in enumerate(choices)]
        for name, act in self.acts.items():
            assert isinstance(act, ActivationSteps)
            tensor = next(t for t in self.holder.values() if _key(t) == name)
            sources = [self.slot_of(self.tensor_bits(tensor, choice), choice) for choice in choices]
            grow(act, "step", sources)
        for spec in self.stages:
            if isinstance(spec, ConvSpec):
                conv = self.layer(spec.name)
                assert isinstance(conv, QuantConv)
                sources = [self.slot_of(self.layer_bits(choice)[spec.name], choice) for choice in choices]
                for field in ("scale", "shift", "mean", "variance"):
                    grow(conv.norm, field, sources)
                if conv.sum_steps is not None:
                    grow(conv.sum_steps, "step", sources)
        self.slots += len(choices)
        return added

    def part(self, choices: Sequence[Choice]) -> None:
        """From here on what layers have below 8 bits under ``choices`` shares no weights with any other precision."""
        for name, precisions in self._precisions(choices).items():
            self.layer(name).weights.part(precisions)

    def _precisions(self, choices: Sequence[Choice]) -> dict[str, list[int]]:
        """Of every layer, those below 8 bits under ``choices``."""
        found = [self.layer_bits(choice) for choice in choices]
        names = [spec.name for spec in self.stages if isinstance(spec, ConvSpec | LinearSpec)]
        return {name: sorted({bits[name] for bits in found} - {EDGE_BITS}) for name in names}

    @torch.no_grad()
    def halve(self) -> None:
        """Round master weights to float16, so that :meth:`finished_state` may store them in half the bytes."""
        for spec in self.stages:
            if isinstance(spec, ConvSpec | LinearSpec):
                for master in self.layer(spec.name).weights.masters():
                    master.copy_(master.half())

    def finished_state(self) -> dict[str, Tensor]:
        """``state_dict()`` of a network that :meth:`halve` has rounded, its master weights as float16."""
        return {name: value.half() if _is_master(name) else value for name, value in self.state_dict().items()}

    def float_state(self) -> dict[str, Tensor]:
        """The float network's part of ``state_dict()``: master weights, biases and the float slot's normalisation."""
        part: dict[str, Tensor] = {}
        for name, value in self.state_dict().items():
            if name.endswith((".weights.weight", ".bias")):
                part[name] = value
            elif ".norm." in name:
                part[name] = value[: FLOAT_SLOT + 1]
        return part

    def load_float_state(self, part: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`float_state`; every slot's normalisation becomes the float network's.

        Raises:
            ModelError: it is the state of another network.
        """
        state = self.state_dict()
        try:
            for name, value in part.items():
                state[name] = value.float().expand_as(state[name])
        except (KeyError, RuntimeError) as error:
            raise ModelError(f"expected the float state of this very network, got another's ({error})") from None
        self.load_state_dict(state)

    def to_plain(self) -> dict[str, Any]:
        """The structure as plain values; with ``state_dict()`` it is all that :meth:`from_plain` needs."""
        image = self.act("image")
        return {
            "stages": to_plain(self.stages),
            "ladder": list(self.ladder),
            "shrinks": list(self.shrinks),
            "shrinking": vars(self.shrinking).copy(),
            "slots": self.slots,
            "own": self._own(),
            "image_scale": float(image.step[0]),
            "image_zero_point": image.zero_point,
            "norms": [spec.name for spec in self.stages if isinstance(spec, ConvSpec) and self._has_norm(spec.name)],
        }

    def _own(self) -> dict[str, list[int]]:
        """By layer, the precisions that have weights of their own."""
        names = [spec.name for spec in self.stages if isinstance(spec, ConvSpec | LinearSpec)]
        found = {name: [int(bits) for bits in self.layer(name).weights.own] for name in names}
        return {name: precisions for name, precisions in found.items() if precisions}

    def _has_norm(self, name: str) -> bool:
        layer = self.layer(name)
        return isinstance(layer, QuantConv) and layer.norm.learns_statistics

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> QuantNet:
        """A network of that structure with weights yet to be loaded."""
        traced = Traced(from_plain(plain["stages"]))
        for spec in traced.stages:
            if isinstance(spec, ConvSpec):
                traced.layers[spec.name] = nn.Conv2d(
                    spec.in_channels, spec.out_channels, spec.kernel, groups=spec.groups, bias=False
                )
                if spec.name in plain["norms"]:
                    traced.norms[spec.name] = nn.BatchNorm2d(spec.out_channels, eps=spec.norm_eps)
            elif isinstance(spec, LinearSpec):
                traced.layers[spec.name] = nn.Linear(spec.in_features, spec.out_features)
        shrinks = tuple(plain.get("shrinks", (1,)))
        net = QuantNet(
            traced, tuple(plain["ladder"]), plain["image_scale"], plain["image_zero_point"], shrinks,
            Shrinking(**plain.get("shrinking", {})),
        )  # fmt: skip
        extra = plain["slots"] - net.slots
        net.add_slots([net.uniform(EDGE_BITS)] * extra)
        for name, precisions in plain.get("own", {}).items():
            net.layer(name).weights.part(precisions)
        return net


def prepare(
    model: nn.Module,
    ladder: tuple[int, ...] = LADDER,
    *,
    image_scale: float = 1 / 64,
    image_zero_point: int = 128,
    shrinks: tuple[int, ...] = (1,),
    shrinking: Shrinking = PLAIN,
) -> QuantNet:
    """A quantizable twin of ``model``: same function in float, several precisions on request.

    Args:
        model: built of Conv2d, BatchNorm2d, Linear, ReLU, ReLU6, pooling, add and flatten; weights are copied.
        ladder: precisions in bits, rising; the first and the last layer stay at 8.
        image_scale: real value of one step of a pixel, so that ``real = image_scale * (pixel - image_zero_point)``
            and the first layer reads the 8-bit picture exactly.
        image_zero_point: pixel value that means zero, 0 or 128.
        shrinks: by how much pictures may be shrunk before the first layer, rising from 1.
        shrinking: what is done to shrunk pictures beside that.

    Raises:
        ModelError: the network has a part that cannot be quantized; the message names it.
    """
    return QuantNet(trace(model), ladder, image_scale, image_zero_point, shrinks, shrinking)


def _is_master(name: str) -> bool:
    """Whether an entry of ``state_dict()`` is a master weight, shared or a precision's own."""
    return name.endswith(".weights.weight") or ".weights.own." in name


def _key(name: str) -> str:
    """A name as module dictionaries take it: without dots."""
    return name.replace(".", "/")
