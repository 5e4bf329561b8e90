"""Shape of every tensor of a plan, without the batch: ``(height, width, channels)``, or ``(channels,)`` once flat."""

from dqmq_deploy.errors import ExportError
from dqmq_deploy.export.plan import (
    AddStage,
    ConvStage,
    FlattenStage,
    LinearStage,
    MedianStage,
    Plan,
    PoolStage,
    ResizeStage,
)

Shape = tuple[int, ...]

IMAGE_CHANNELS = 3


def tensor_shapes(plan: Plan) -> dict[str, Shape]:
    """Shape of every tensor of ``plan``, ``"image"`` first.

    Raises:
        ExportError: a stage reads a tensor that no stage before it wrote, or one of another shape than it needs.
    """
    shapes: dict[str, Shape] = {"image": (*plan.image_size, IMAGE_CHANNELS)}
    for stage in plan.stages:
        if stage.input not in shapes:
            raise ExportError(f"stage of '{stage.output}': no stage before it writes '{stage.input}'")
        shapes[stage.output] = _output_shape(stage, shapes)
    return shapes


def _output_shape(stage: object, shapes: dict[str, Shape]) -> Shape:
    match stage:
        case ConvStage():
            height, width, channels = _expect_rank(shapes[stage.input], 3, stage.output)
            out, per_group, *kernel = stage.weight_codes.shape
            if per_group * stage.groups != channels:
                raise ExportError(f"'{stage.name}': expected {per_group * stage.groups} channels, got {channels}")
            spatial = _slide((height, width), (kernel[0], kernel[1]), stage.strides, stage.pads, stage.dilations)
            shape = (*spatial, out)
            if stage.residual is not None and shapes.get(stage.residual) != shape:
                raise ExportError(f"'{stage.name}': expected a residual {shape}, got {shapes.get(stage.residual)}")
            return shape
        case LinearStage():
            (channels,) = _expect_rank(shapes[stage.input], 1, stage.output)
            if stage.weight_codes.shape[1] != channels:
                raise ExportError(f"'{stage.name}': expected {stage.weight_codes.shape[1]} channels, got {channels}")
            return (stage.weight_codes.shape[0],)
        case PoolStage(kind="global_average"):
            return (1, 1, _expect_rank(shapes[stage.input], 3, stage.output)[2])
        case PoolStage():
            height, width, channels = _expect_rank(shapes[stage.input], 3, stage.output)
            return (*_slide((height, width), stage.kernel, stage.strides, stage.pads, (1, 1)), channels)
        case MedianStage():
            return _expect_rank(shapes[stage.input], 3, stage.output)
        case ResizeStage():
            height, width, channels = _expect_rank(shapes[stage.input], 3, stage.output)
            if (stage.rows.shape[1], stage.columns.shape[1]) != (height, width):
                raise ExportError(
                    f"'{stage.output}': expected a picture of {stage.rows.shape[1]} x {stage.columns.shape[1]}, "
                    f"got {height} x {width}"
                )
            return (len(stage.rows), len(stage.columns), channels)
        case AddStage():
            if shapes.get(stage.other) != shapes[stage.input]:
                raise ExportError(
                    f"'{stage.output}': expected two tensors of one shape, got {shapes[stage.input]} and "
                    f"{shapes.get(stage.other)}"
                )
            return shapes[stage.input]
        case FlattenStage():
            height, width, channels = _expect_rank(shapes[stage.input], 3, stage.output)
            return (height * width * channels,)
    raise ExportError(f"expected a stage of a plan, got {type(stage).__name__}")


def _slide(
    size: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
) -> tuple[int, int]:
    top, left, bottom, right = pads
    height = (size[0] + top + bottom - dilations[0] * (kernel[0] - 1) - 1) // strides[0] + 1
    width = (size[1] + left + right - dilations[1] * (kernel[1] - 1) - 1) // strides[1] + 1
    return height, width


def _expect_rank(shape: Shape, rank: int, name: str) -> Shape:
    if len(shape) != rank:
        raise ExportError(f"stage of '{name}': expected an input of {rank} dimensions besides the batch, got {shape}")
    return shape
