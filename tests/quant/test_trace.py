"""Reading networks: what is fused into what, and every refusal names the part that cannot be quantized."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dqmq_deploy.errors import CheckpointError, ModelError
from dqmq_deploy.quant.net import prepare
from dqmq_deploy.quant.spec import AddSpec, ConvSpec, FlattenSpec, LinearSpec, PoolSpec, from_plain, to_plain
from dqmq_deploy.quant.trace import trace
from tests.quant.networks import NAMES, network


class Net(nn.Module):
    """A network whose forward pass is given; layers ``conv``, ``norm``, ``second``, ``head`` stand ready."""

    def __init__(self, body: Callable[["Net", Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images ``[N, 3, H, W]``."""
        logits: Tensor = self.body(self, x)
        return logits

    def end(self, x: Tensor) -> Tensor:
        """Global average pooling and the classifier."""
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class TwoInputs(nn.Module):
    """Two images in."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Their sum."""
        return x + y


class Branch(nn.Module):
    """A forward pass that asks for a value."""

    def forward(self, x: Tensor) -> Tensor:
        """Either sign."""
        return x if x.sum() > 0 else -x


def test_a_residual_block_becomes_three_convolutions() -> None:
    """Normalisation, sum and ReLU all go into the convolution that they follow; the projection comes first."""
    stages = trace(network("resnet8")).stages
    block = [stage for stage in stages if isinstance(stage, ConvSpec) and stage.name.startswith("blocks.1")]
    assert [stage.name for stage in block] == ["blocks.1.conv1", "blocks.1.shortcut.0", "blocks.1.conv2"]
    assert [stage.activation for stage in block] == ["relu", "none", "relu"]
    assert block[2].residual == block[1].output
    assert block[0].input == block[1].input
    assert isinstance(stages[-3], PoolSpec)
    assert isinstance(stages[-2], FlattenSpec)
    assert stages[-1] == LinearSpec("head", stages[-2].output, "logits", 32, 5)


def test_a_sum_of_two_activations_is_a_stage_of_its_own() -> None:
    """Where no convolution can take the residual, an AddSpec does."""
    stages = trace(network("odd")).stages
    adds = [stage for stage in stages if isinstance(stage, AddSpec)]
    assert len(adds) == 1
    assert {adds[0].input, adds[0].other} == {"depthwise", "point"}


@pytest.mark.parametrize("name", NAMES)
def test_stages_survive_as_plain_values(name: str) -> None:
    """``from_plain`` inverts ``to_plain``, tuples that became lists included."""
    stages = trace(network(name)).stages
    plain = to_plain(stages)
    listed = [{k: list(v) if isinstance(v, tuple) else v for k, v in entry.items()} for entry in plain]
    assert from_plain(listed) == stages


@pytest.mark.parametrize("entry", [{"stage": "sigmoid"}, {}, {"stage": "flatten", "input": "a"}, {"stage": ["conv"]}])
def test_a_stage_that_is_not_understood_is_a_checkpoint_error(entry: dict[str, object]) -> None:
    """Unknown kinds and missing fields are refused, and quoted."""
    with pytest.raises(CheckpointError, match="is not understood"):
        from_plain([entry])


def test_names_that_mean_the_ends_are_free_inside() -> None:
    """A layer of one's own may be called ``logits`` or ``image``."""

    def body(net: Net, x: Tensor) -> Tensor:
        return net.end(torch.relu(net.get_submodule("logits")(torch.relu(net.get_submodule("image")(x)))))

    model = Net(body, image=nn.Conv2d(3, 4, 1), logits=nn.Conv2d(4, 4, 1)).eval()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(prepare(model).eval()(x), model(x), atol=1e-6)


def of(body: Callable[[Net, Tensor], Any], **layers: nn.Module) -> Callable[[], nn.Module]:
    """Makes a network of that forward pass."""
    return lambda: Net(body, **layers)


def first(own: nn.Module) -> Callable[[], nn.Module]:
    """Makes a network in which a layer ``own`` reads the image."""
    return of(lambda net, x: net.end(net.get_submodule("own")(x)), own=own)


def inside(own: nn.Module) -> Callable[[], nn.Module]:
    """Makes a network in which a layer ``own`` reads a convolution's result."""
    return of(lambda net, x: net.end(net.get_submodule("own")(net.conv(x))), own=own)


NO_NORM = "a BatchNorm2d is expected right after a Conv2d"
NO_RELU = "'relu': a ReLU is expected right after a Conv2d"
NO_END = "a network that ends in a Linear layer, its logits"

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "sigmoid layer": (inside(nn.Sigmoid()), r"'own' \(Sigmoid\) cannot be quantized; supported: Conv2d, BatchNorm2d"),
    "sigmoid function": (of(lambda net, x: net.end(torch.sigmoid(net.conv(x)))), "'sigmoid' at 'sigmoid' cannot"),
    "tensor method": (of(lambda net, x: net.end(net.conv(x).abs())), "'abs' at 'abs_1' cannot be quantized"),
    "product": (of(lambda net, x: net.end(net.conv(x) * 2)), "'mul' at 'mul' cannot be quantized"),
    "parameter": (of(lambda net, x: net.end(net.conv(x) + net.head.weight)), r"'head_weight' \(get_attr\) is not supp"),
    "constant": (of(lambda net, x: net.end(net.conv(x) + 1)), "'add': input 1 is not a tensor of the network"),
    "scaled sum": (
        of(lambda net, x: net.end(torch.add(y := net.conv(x), net.second(y), alpha=2))),
        r"'add': a plain sum is expected, got {'alpha': 2}",
    ),
    "norm before conv": (first(nn.BatchNorm2d(3)), f"'own': {NO_NORM}"),
    "norm after relu": (of(lambda net, x: net.end(net.norm(F.relu(net.conv(x))))), f"'norm': {NO_NORM}"),
    "norm of a shared result": (of(lambda net, x: net.end(net.norm(y := net.conv(x)) + y)), f"'norm': {NO_NORM}"),
    "norm without statistics": (inside(nn.BatchNorm2d(4, track_running_stats=False)), "'own': .*track_running_stats"),
    "transposed": (inside(nn.ConvTranspose2d(4, 4, 2)), r"'own' \(ConvTranspose2d\) cannot be quantized"),
    "twice": (of(lambda net, x: net.end(net.second(net.second(net.conv(x))))), "'second' is used twice; give each use"),
    "relu of the image": (of(lambda net, x: net.end(net.conv(F.relu(x)))), NO_RELU),
    "relu of a shared result": (of(lambda net, x: net.end(F.relu(F.dropout(y := net.conv(x))) + y)), NO_RELU),
    "reflecting": (first(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), "'own': .* padding_mode='zeros'"),
    "same": (first(nn.Conv2d(3, 4, 3, padding="same")), "'own': padding in numbers"),
    "grey": (first(nn.Conv2d(1, 4, 3)), "'own': 3 input channels, RGB images, are expected; got 1"),
    "rounding up": (inside(nn.MaxPool2d(2, ceil_mode=True)), "'own': pooling without ceil_mode and dilation"),
    "padded average": (inside(nn.AvgPool2d(3, padding=1)), "'own': average pooling without padding"),
    "adaptive to 2": (inside(nn.AdaptiveAvgPool2d(2)), r"'own': AdaptiveAvgPool2d\(1\) is expected, got 2"),
    "mean over channels": (of(lambda net, x: net.head(net.conv(x).mean(1))), "global average pooling is exp.*, got 1"),
    "flatten of rows": (of(lambda net, x: net.head(net.conv(x).flatten(2))), "flatten of all dimensions from 1 on is"),
    "flatten of some": (of(lambda net, x: net.head(torch.flatten(net.conv(x), 1, 2))), "flatten of all .*, got 1 to 2"),
    "no flatten": (of(lambda net, x: net.head(net.conv(x))), "'head': a flatten is expected before a Linear"),
    "no classifier": (of(lambda net, x: net.conv(x)), NO_END),
    "activated logits": (of(lambda net, x: F.relu(net.end(net.conv(x)))), "'head': logits without an activation"),
    "two results": (of(lambda net, x: (net.end(net.conv(x)), x)), NO_END),
    "two inputs": (TwoInputs, "a network with one input is expected; 'y' is a second one"),
    "branch": (Branch, "Branch cannot be traced: .*may not branch on values"),
    "nothing": (nn.Identity, NO_END),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_quantized_is_named(case: str) -> None:
    """One line with the name of the layer or operation, and what is expected instead."""
    make, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as caught:
        prepare(make())
    assert "\n" not in str(caught.value)
