"""The structure of a quantizable network as plain values.

It is what a checkpoint stores and what :class:`~dqmq_deploy.quant.net.QuantNet` is built from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dqmq_deploy.errors import CheckpointError


@dataclass
class ConvSpec:
    """Convolution, its normalisation, an optional residual and activation: one stage, one graph node."""

    name: str
    input: str
    output: str
    in_channels: int
    out_channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int]
    dilations: tuple[int, int]
    groups: int
    norm_eps: float = 1e-5
    residual: str | None = None
    activation: str = "none"


@dataclass
class LinearSpec:
    """Linear layer on ``[N, C]``, with an optional activation."""

    name: str
    input: str
    output: str
    in_features: int
    out_features: int
    activation: str = "none"


@dataclass
class PoolSpec:
    """``max``, ``average`` or ``global_average``."""

    kind: str
    input: str
    output: str
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)


@dataclass
class AddSpec:
    """Sum of two tensors where no convolution can take the residual."""

    input: str
    other: str
    output: str
    activation: str = "none"


@dataclass
class FlattenSpec:
    """``[N, C, H, W]`` to ``[N, C * H * W]``."""

    input: str
    output: str


StageSpec = ConvSpec | LinearSpec | PoolSpec | AddSpec | FlattenSpec

_KINDS: dict[str, type[Any]] = {
    "conv": ConvSpec,
    "linear": LinearSpec,
    "pool": PoolSpec,
    "add": AddSpec,
    "flatten": FlattenSpec,
}


def to_plain(stages: Sequence[StageSpec]) -> list[dict[str, Any]]:
    """Stages as plain dictionaries."""
    names = {kind: name for name, kind in _KINDS.items()}
    return [{"stage": names[type(stage)], **asdict(stage)} for stage in stages]


def from_plain(plain: Sequence[Mapping[str, Any]]) -> list[StageSpec]:
    """The inverse of :func:`to_plain`.

    Raises:
        CheckpointError: a stage of unknown kind or with other fields than expected.
    """
    stages: list[StageSpec] = []
    for entry in plain:
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
        kind = str(fields.pop("stage", None))
        try:
            stages.append(_KINDS[kind](**fields))
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"checkpoint: stage {dict(entry)} is not understood ({error})") from error
    return stages


def has_zero_floor(spec: StageSpec) -> bool:
    """Whether a stage's own activation keeps its output from going below zero."""
    return getattr(spec, "activation", "none") != "none"
