"""Read a float ``nn.Module`` into stages: convolution + normalisation + residual + activation become one.

The module is traced symbolically (torch.fx), so its forward pass may not branch on values.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from dqmq_deploy.errors import ModelError
from dqmq_deploy.quant.spec import AddSpec, ConvSpec, FlattenSpec, LinearSpec, PoolSpec, StageSpec

SUPPORTED = "Conv2d, BatchNorm2d, Linear, ReLU, ReLU6, max, average and adaptive average pooling, add, flatten, dropout"


@dataclass
class Traced:
    """Stages in order, and the float modules whose weights they take over, by stage name."""

    stages: list[StageSpec] = field(default_factory=list)
    layers: dict[str, nn.Conv2d | nn.Linear] = field(default_factory=dict)
    norms: dict[str, nn.BatchNorm2d] = field(default_factory=dict)


def trace(model: nn.Module) -> Traced:
    """Stages of ``model``, from the tensor ``image`` to ``logits``.

    Raises:
        ModelError: naming the first part that is not supported and what would be.
    """
    try:
        graph = fx.symbolic_trace(model)
    except Exception as error:  # torch.fx raises many kinds; all mean the same here
        raise ModelError(
            f"{type(model).__name__} cannot be traced: {str(error).splitlines()[0] if str(error) else error}; "
            "its forward pass may not branch on values of tensors"
        ) from error
    reader = _Reader(graph)
    for node in graph.graph.nodes:
        reader.read(node)
    return reader.traced


class _Reader:
    """Walks the traced nodes once; ``value`` maps each node to the tensor that holds its result."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.modules = dict(graph.named_modules())
        self.traced = Traced()
        self.value: dict[fx.Node, str] = {}
        self.producer: dict[str, StageSpec] = {}
        self.flat: set[str] = set()  # tensors [N, C]

    def read(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if self.value:
                raise ModelError(f"a network with one input is expected; '{node.name}' is a second one")
            self.value[node] = "image"
        elif node.op == "output":
            self._finish(node)
        elif node.op == "call_module":
            module = self.modules[str(node.target)]
            self._module(node, module)
        elif node.op in ("call_function", "call_method"):
            self._function(node)
        else:
            raise ModelError(f"'{node.name}' ({node.op}) is not supported; supported: {SUPPORTED}")

    def _input(self, node: fx.Node, index: int = 0) -> str:
        source = node.args[index] if index < len(node.args) else None
        if not isinstance(source, fx.Node) or source not in self.value:
            raise ModelError(f"'{node.name}': input {index} is not a tensor of the network")
        return self.value[source]

    def _emit(self, node: fx.Node, spec: StageSpec) -> None:
        if spec.output in ("image", "logits"):  # names that mean the network's own ends
            spec.output = f"{spec.output}_inside"
        self.traced.stages.append(spec)
        self.producer[spec.output] = spec
        if isinstance(spec, FlattenSpec | LinearSpec) or (isinstance(spec, AddSpec) and spec.input in self.flat):
            self.flat.add(spec.output)
        self.value[node] = spec.output

    def _sole_user(self, source: fx.Node) -> bool:
        """Whether nobody else reads the tensor of ``source``, nor did under an earlier name (Dropout, Identity)."""
        while len(source.users) == 1:
            earlier = source.args[0] if source.args else None
            if not isinstance(earlier, fx.Node) or self.value.get(earlier) != self.value.get(source):
                return True
            source = earlier
        return False

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        name = str(node.target)
        source = self._input(node)
        if isinstance(module, nn.Conv2d):
            self._conv(node, name, source, module)
        elif isinstance(module, nn.BatchNorm2d):
            self._norm(node, name, source, module)
        elif isinstance(module, nn.Linear):
            self._once(name)
            if source not in self.flat:
                raise ModelError(f"'{name}': a flatten is expected before a Linear layer")
            self.traced.layers[name] = module
            self._emit(node, LinearSpec(name, source, node.name, module.in_features, module.out_features))
        elif isinstance(module, nn.ReLU | nn.ReLU6):
            self._activate(node, source, "relu6" if isinstance(module, nn.ReLU6) else "relu")
        elif isinstance(module, nn.Dropout | nn.Identity):
            self.value[node] = source
        elif isinstance(module, nn.Flatten):
            self._flatten(node, source, module.start_dim, module.end_dim)
        elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            self._pool(node, source, module)
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            if module.output_size not in (1, (1, 1)):
                raise ModelError(f"'{name}': AdaptiveAvgPool2d(1) is expected, got {module.output_size}")
            self._emit(node, PoolSpec("global_average", source, node.name))
        else:
            raise ModelError(f"'{name}' ({type(module).__name__}) cannot be quantized; supported: {SUPPORTED}")

    def _once(self, name: str) -> None:
        if name in self.traced.layers:
            raise ModelError(f"'{name}' is used twice; give each use its own layer")

    def _conv(self, node: fx.Node, name: str, source: str, module: nn.Conv2d) -> None:
        self._once(name)
        if isinstance(module.padding, str) or module.padding_mode != "zeros":
            raise ModelError(f"'{name}': padding in numbers and padding_mode='zeros' are expected")
        if source == "image" and module.in_channels != 3:
            raise ModelError(f"'{name}': 3 input channels, RGB images, are expected; got {module.in_channels}")
        self.traced.layers[name] = module
        self._emit(
            node,
            ConvSpec(
                name,
                source,
                node.name,
                module.in_channels,
                module.out_channels,
                _pair(module.kernel_size),
                _pair(module.stride),
                _pair(module.padding),
                _pair(module.dilation),
                module.groups,
            ),
        )

    def _norm(self, node: fx.Node, name: str, source: str, module: nn.BatchNorm2d) -> None:
        producer, origin = self.producer.get(source), node.args[0]
        fits = isinstance(origin, fx.Node) and self._sole_user(origin)
        if not fits or not isinstance(producer, ConvSpec) or origin.target != producer.name:  # type: ignore[union-attr]
            raise ModelError(f"'{name}': a BatchNorm2d is expected right after a Conv2d")
        if module.running_mean is None:
            raise ModelError(f"'{name}': a BatchNorm2d with track_running_stats=True is expected")
        self.traced.norms[producer.name] = module
        producer.norm_eps = module.eps
        self.value[node] = source

    def _pool(self, node: fx.Node, source: str, module: nn.MaxPool2d | nn.AvgPool2d) -> None:
        if module.ceil_mode or (isinstance(module, nn.MaxPool2d) and module.dilation not in (1, (1, 1))):
            raise ModelError(f"'{node.target}': pooling without ceil_mode and dilation is expected")
        if isinstance(module, nn.AvgPool2d) and (_pair(module.padding) != (0, 0) or module.divisor_override):
            raise ModelError(f"'{node.target}': average pooling without padding and divisor_override is expected")
        kind = "max" if isinstance(module, nn.MaxPool2d) else "average"
        kernel, strides = _pair(module.kernel_size), _pair(module.stride)
        self._emit(node, PoolSpec(kind, source, node.name, kernel, strides, _pair(module.padding)))

    def _function(self, node: fx.Node) -> None:
        target: Any = node.target
        if target in _RELU:
            self._activate(node, self._input(node), "relu")
        elif target is F.relu6:
            self._activate(node, self._input(node), "relu6")
        elif target in _ADD:
            self._add(node)
        elif target in (torch.flatten, "flatten"):
            start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
            end = node.args[2] if len(node.args) > 2 else node.kwargs.get("end_dim", -1)
            self._flatten(node, self._input(node), start, end)
        elif target in (F.adaptive_avg_pool2d, torch.mean, "mean"):
            self._global_average(node, mean=target is not F.adaptive_avg_pool2d)
        elif target is F.dropout:
            self.value[node] = self._input(node)
        else:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise ModelError(f"'{name}' at '{node.name}' cannot be quantized; supported: {SUPPORTED}")

    def _flatten(self, node: fx.Node, source: str, start: Any, end: Any) -> None:
        if (start, end) not in ((1, -1), (1, 3)):
            raise ModelError(f"'{node.name}': flatten of all dimensions from 1 on is expected, got {start} to {end}")
        self._emit(node, FlattenSpec(source, node.name))

    def _global_average(self, node: fx.Node, mean: bool) -> None:
        shape = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("output_size"))
        if shape not in (((2, 3), [2, 3], (-2, -1), [-2, -1]) if mean else (1, (1, 1), [1, 1])):
            raise ModelError(f"'{node.name}': global average pooling is expected, got {shape}")
        self._emit(node, PoolSpec("global_average", self._input(node), node.name))
        keepdim = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
        if mean and not keepdim:
            self._emit(node, FlattenSpec(self.value[node], f"{node.name}_flat"))

    def _activate(self, node: fx.Node, source: str, activation: str) -> None:
        producer = self.producer.get(source)
        origin = node.args[0]
        fits = isinstance(producer, ConvSpec | LinearSpec | AddSpec) and producer.activation == "none"
        if not fits or not isinstance(origin, fx.Node) or not self._sole_user(origin):
            raise ModelError(f"'{node.name}': a ReLU is expected right after a Conv2d, BatchNorm2d, Linear or add")
        producer.activation = activation  # type: ignore[union-attr]
        self.value[node] = source

    def _add(self, node: fx.Node) -> None:
        if node.kwargs:
            raise ModelError(f"'{node.name}': a plain sum is expected, got {dict(node.kwargs)}")
        left, right = self._input(node, 0), self._input(node, 1)
        for tensor, other, index in ((left, right, 0), (right, left, 1)):
            producer = self.producer.get(tensor)
            origin = node.args[index]
            if (
                isinstance(producer, ConvSpec)
                and producer.activation == "none"
                and producer.residual is None
                and isinstance(origin, fx.Node)
                and self._sole_user(origin)
                and tensor != other
            ):
                producer.residual = other
                self.traced.stages.remove(producer)  # runs last, when the other side is there
                self.traced.stages.append(producer)
                self.value[node] = tensor
                return
        self._emit(node, AddSpec(left, right, node.name))

    def _finish(self, node: fx.Node) -> None:
        result = node.args[0]
        last = self.traced.stages[-1] if self.traced.stages else None
        if not isinstance(result, fx.Node) or not isinstance(last, LinearSpec) or self.value.get(result) != last.output:
            raise ModelError("a network that ends in a Linear layer, its logits, is expected")
        if last.activation != "none":
            raise ModelError(f"'{last.name}': logits without an activation are expected")
        last.output = "logits"


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, tuple | list) else (int(value), int(value))


_RELU: tuple[Callable[..., Tensor] | str, ...] = (torch.relu, F.relu, "relu", torch.relu_, "relu_")
_ADD: tuple[Callable[..., Any] | str, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")
