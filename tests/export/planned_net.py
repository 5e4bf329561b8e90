"""A compiled network made of random plans; the NumPy reference stands in for torch."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bits import Configuration, Layer, bitops
from dqmq_deploy.export import reference
from dqmq_deploy.export.plan import (
    ConvStage,
    EstimatorPlan,
    FloatConv,
    FloatLinear,
    FloatPlan,
    FloatStage,
    LinearStage,
    MedianStage,
    Plan,
    ResizeStage,
    Stage,
    TensorQuant,
    left_aligned,
)
from dqmq_deploy.export.shapes import tensor_shapes
from dqmq_deploy.routing import Evidence
from tests.export.plans import IMAGE_QUANT, mixed_resnet20, random_images

MIX = (2, 4, 8)


@dataclass
class PlannedNet:
    """What an export needs, from ``{configuration: plan}``, cheapest first."""

    plans: dict[str, Plan]
    name: str = "planned"
    image_quant: TensorQuant = IMAGE_QUANT
    calibration_images: npt.NDArray[np.uint8] = field(init=False)
    evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        """Draw the calibration images and what the estimator says of 200 held-out ones: dearer is better."""
        rng = np.random.default_rng(0)
        self.calibration_images = random_images(24, self.image_size, 7)
        rise = np.linspace(0.6, 0.95, len(self.plans))
        p_right = np.clip(rise + rng.normal(0, 0.1, (200, len(rise))), 0, 1)
        right = rng.random(p_right.shape) < p_right
        self.evidence = Evidence(p_right, p_right, right)

    def bitops(self, index: int) -> int:
        """BitOPs of one plan."""
        return bitops(self.layers, self.configurations[index].bits)

    def shrink(self, index: int) -> int:
        """No plan shrinks the picture."""
        return 1

    @property
    def classes(self) -> list[str]:
        """Made-up names."""
        return [f"class {index}" for index in range(self.plan(0).class_count)]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width."""
        return self.plan(0).image_size

    @property
    def layers(self) -> list[Layer]:
        """Every layer, from the first plan."""
        shapes = tensor_shapes(self.plan(0))
        found = [stage for stage in self.plan(0).stages if isinstance(stage, ConvStage | LinearStage)]
        return [
            Layer(
                stage.name,
                macs=prod(shapes[stage.output][:-1]) * stage.weight_codes.size,
                weight_count=stage.weight_codes.size,
                edge=stage in (found[0], found[-1]),
            )
            for stage in found
        ]

    @property
    def configurations(self) -> list[Configuration]:
        """The bits of each plan's layers."""
        return [
            Configuration(
                name,
                {stage.name: stage.weight_bits for stage in plan.stages if isinstance(stage, ConvStage | LinearStage)},
            )
            for name, plan in self.plans.items()
        ]

    def plan(self, index: int) -> Plan:
        """One of the plans."""
        return list(self.plans.values())[index]

    def float_plan(self) -> FloatPlan | None:
        """The dearest plan with its weights and biases as numbers."""
        plan = self.plan(len(self.plans) - 1)
        stages = tuple(_as_float(stage, plan) for stage in plan.stages)
        return FloatPlan(plan.image_size, plan.tensors["image"], stages, plan.class_count)

    def estimator_plan(self) -> EstimatorPlan:
        """Two small convolutions."""
        rng = np.random.default_rng(1)
        convs = []
        for index, (channels, out) in enumerate(((3, 16), (16, 32))):
            weight = rng.normal(0, 0.2, (out, channels, 3, 3)).astype(np.float32)
            bias = rng.normal(0, 0.1, out).astype(np.float32)
            name = f"e{index}"
            convs.append(FloatConv(name, "", f"{name}.out", weight, bias, (2, 2), (1, 1, 1, 1), activation="relu"))
        head = rng.normal(0, 0.3, (len(self.plans), 48)).astype(np.float32)
        return EstimatorPlan(
            self.image_size, self.image_quant, tuple(convs), head, np.zeros(len(self.plans), np.float32)
        )

    def reference_logits(self, index: int, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The NumPy reference of a plan."""
        return reference.run(self.plan(index), images)


def planned_resnet20(size: int = 32, width: int = 16) -> PlannedNet:
    """ResNet-20 in four configurations of the same network: 2 bits, 4 bits, a mixture and 8 bits."""
    choices: dict[str, Callable[[int], int]] = {
        "w2": lambda index: 2,
        "w4": lambda index: 4,
        "mixed": lambda index: MIX[index % 3],
        "w8": lambda index: 8,
    }
    plans = {name: mixed_resnet20(bits_of, size=size, width=width) for name, bits_of in choices.items()}
    weights: dict[tuple[str, int], npt.NDArray[np.int8]] = {}
    for name, plan in plans.items():
        plans[name] = replace(plan, stages=tuple(_shared(stage, weights) for stage in plan.stages))
    return PlannedNet(plans)


def _shared(stage: Stage, weights: dict[tuple[str, int], npt.NDArray[np.int8]]) -> Stage:
    if isinstance(stage, ConvStage | LinearStage):
        codes = weights.setdefault((stage.name, stage.weight_bits), stage.weight_codes)
        return replace(stage, weight_codes=codes)
    return stage


def _as_float(stage: Stage, plan: Plan) -> FloatStage:
    if isinstance(stage, ConvStage | LinearStage):
        scale = stage.weight_scale.reshape(-1, *[1] * (stage.weight_codes.ndim - 1))
        weight = (left_aligned(stage) * scale).astype(np.float32)
        bias = (stage.bias * stage.weight_scale * plan.tensors[stage.input].scale).astype(np.float32)
        if isinstance(stage, LinearStage):
            return FloatLinear(stage.name, stage.input, stage.output, weight, bias)
        return FloatConv(
            stage.name,
            stage.input,
            stage.output,
            weight,
            bias,
            stage.strides,
            stage.pads,
            stage.dilations,
            stage.groups,
            stage.residual,
            "relu" if plan.tensors[stage.output].zero_point == 0 else "none",
        )
    assert not isinstance(stage, MedianStage | ResizeStage)  # what makes small pictures has no twin in float
    return stage
