"""Random plans, seeded: realistic networks, and small ones with every odd shape a convolution may have.

Scales follow the integers: each tensor's scale is set from what the reference computes on random pictures, so that
codes spread over their range instead of all saturating.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy.export import reference
from dqmq_deploy.export.plan import (
    AddStage,
    ConvStage,
    FlattenStage,
    LinearStage,
    Plan,
    PoolStage,
    Stage,
    TensorQuant,
)

IMAGE_QUANT = TensorQuant(1 / 64, 128)


def random_images(count: int, size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Pictures of noise, ``uint8 [count, H, W, 3]``."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@dataclass
class PlanMaker:
    """Builds a plan stage by stage, with random weights."""

    size: tuple[int, int]
    seed: int
    classes: int = 7
    stages: list[Stage] = field(default_factory=list)
    tensors: dict[str, TensorQuant] = field(default_factory=lambda: {"image": IMAGE_QUANT})

    def __post_init__(self) -> None:
        """Seed the weights and draw the pictures that scales are set from."""
        self.rng = np.random.default_rng(self.seed)
        self.values: dict[str, npt.NDArray[Any]] = {"image": random_images(2, self.size, self.seed)}

    def conv(
        self,
        source: str,
        out: int,
        kernel: tuple[int, int],
        bits: int,
        *,
        act_bits: int | None = None,
        signed: bool = False,
        residual: str | None = None,
        **geometry: object,
    ) -> str:
        """Append a convolution; the name of its output. ``signed`` gives it zero point 128."""
        name = f"conv{len(self.stages)}"
        groups = int(geometry.get("groups", 1))  # type: ignore[call-overload]
        channels = self.values[source].shape[3]
        half = 2 ** (bits - 1)
        shape = (out, channels // groups, *kernel)
        signs = self.rng.choice(np.array([1, 1, 1, -1]), out)
        stage = ConvStage(
            name=name,
            input=source,
            output=f"{name}.out",
            weight_codes=self.rng.integers(-half, half, shape, dtype=np.int8),
            weight_bits=bits,
            act_bits=bits if act_bits is None else act_bits,
            weight_scale=(signs * self.rng.uniform(0.5, 1.5, out) * 2 / 128 / np.sqrt(np.prod(shape[1:]))).astype(
                np.float32
            ),
            bias=self.rng.integers(-(2**12), 2**12, out, dtype=np.int32),
            residual=residual,
            sum_quant=None if residual is None else TensorQuant(1.0, 128),
            **geometry,  # type: ignore[arg-type]
        )
        if residual is not None:
            plain = replace(stage, residual=None, sum_quant=None)
            stage = replace(stage, sum_quant=self._fit(plain, zero_point=128))
        return self._append(stage, 128 if signed else 0)

    def add(self, source: str, other: str) -> str:
        """Append a sum."""
        return self._append(AddStage(source, other, f"sum{len(self.stages)}"), 0)

    def pool(self, kind: str, source: str, kernel: tuple[int, int] = (2, 2), **geometry: object) -> str:
        """Append a pool."""
        stage = PoolStage(kind, source, f"pool{len(self.stages)}", kernel, **geometry)  # type: ignore[arg-type]
        if kind != "max":
            return self._append(stage, self.tensors[source].zero_point)
        return self._append(stage, None)

    def flatten(self, source: str) -> str:
        """Append a flatten."""
        return self._append(FlattenStage(source, f"flat{len(self.stages)}"), None)

    def linear(self, source: str, out: int, bits: int = 8, *, last: bool = False) -> str:
        """Append a linear layer."""
        name = f"linear{len(self.stages)}"
        half = 2 ** (bits - 1)
        stage = LinearStage(
            name=name,
            input=source,
            output="logits" if last else f"{name}.out",
            weight_codes=self.rng.integers(-half, half, (out, self.values[source].shape[1]), dtype=np.int8),
            weight_bits=bits,
            act_bits=bits,
            weight_scale=(self.rng.uniform(1, 3, out) / 128 / np.sqrt(self.values[source].shape[1])).astype(np.float32),
            bias=self.rng.integers(-(2**12), 2**12, out, dtype=np.int32),
        )
        return self._append(stage, None if last else 0)

    def plan(self, source: str) -> Plan:
        """The plan, with pool, flatten and a last linear layer after ``source``."""
        pooled = self.pool("global_average", source)
        self.linear(self.flatten(pooled), self.classes, last=True)
        return self.finish()

    def finish(self) -> Plan:
        """The plan as it stands; its last stage must write the logits."""
        return Plan(self.size, dict(self.tensors), tuple(self.stages), self.classes)

    def _append(self, stage: Stage, zero_point: int | None) -> str:
        if zero_point is not None:
            self.tensors[stage.output] = self._fit(stage, zero_point)
        elif stage.output != "logits":
            self.tensors[stage.output] = self.tensors[stage.input]
        self.stages.append(stage)
        self.values[stage.output] = self._run(stage, self.tensors)
        return stage.output

    def _fit(self, stage: Stage, zero_point: int) -> TensorQuant:
        """A scale at which the outputs of ``stage`` fill their codes: narrowed from a coarse one that cuts nothing."""
        scale = 10.0
        for _ in range(6):
            tensors = {**self.tensors, stage.output: TensorQuant(scale, 128)}
            codes = self._run(stage, tensors).astype(np.int64) - 128
            reach = float(np.abs(codes).max())
            if reach >= 100:
                break
            scale *= max(reach, 0.5) / 127
        if reach == 0:  # nothing but zeros: any scale will do
            scale = self.tensors[stage.input].scale
        return TensorQuant(float(np.float32(scale * self.rng.uniform(0.6, 1.0))), zero_point)

    def _run(self, stage: Stage, tensors: dict[str, TensorQuant]) -> npt.NDArray[Any]:
        plan = Plan(self.size, tensors, (stage,), self.classes)
        return reference.run_stage(plan, stage, self.values)


def resnet20(bits: int, seed: int = 0, classes: int = 43, size: int = 32, width: int = 16) -> Plan:
    """ResNet-20 for small pictures; first and last layer at 8 bits, the others at ``bits``."""
    return mixed_resnet20(lambda index: bits, seed, classes, size, width)


def mixed_resnet20(
    bits_of: Callable[[int], int], seed: int = 0, classes: int = 43, size: int = 32, width: int = 16
) -> Plan:
    """ResNet-20 whose inner layer number ``index`` has ``bits_of(index)`` bits."""
    maker = PlanMaker((size, size), seed, classes)
    x = maker.conv("image", width, (3, 3), 8, pads=(1, 1, 1, 1))
    index = 0
    channels = width
    for stride, out in ((1, width), (2, 2 * width), (2, 4 * width)):
        for block in range(3):
            strides = (stride, stride) if block == 0 else (1, 1)
            skip = x
            if channels != out:
                skip = maker.conv(x, out, (1, 1), bits_of(index), signed=True, strides=strides)
            inner = maker.conv(x, out, (3, 3), bits_of(index), pads=(1, 1, 1, 1), strides=strides)
            x = maker.conv(inner, out, (3, 3), bits_of(index + 1), pads=(1, 1, 1, 1), residual=skip)
            index, channels = index + 2, out
    return maker.plan(x)
