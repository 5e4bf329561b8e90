"""Reading networks: what is fused into what, and every refusal names the part that cannot be quantized."""

from collections.abc import Callable

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

    def __init__(self, body: Callable[["Net", Tensor], Tensor], **layers: nn.Module) -> None:
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
        return self.body(self, x)

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


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "sigmoid layer": (
        lambda: Net(lambda net, x: net.end(net.get_submodule("gate")(net.conv(x))), gate=nn.Sigmoid()),
        r"'gate' \(Sigmoid\) cannot be quantized; supported: Conv2d, BatchNorm2d",
    ),
    "sigmoid function": (lambda: Net(lambda net, x: net.end(torch.sigmoid(net.conv(x)))), "'sigmoid' at 'sigmoid' cannot"),
    "tensor method": (lambda: Net(lambda net, x: net.end(net.conv(x).abs())), "'abs' at 'abs_1' cannot be quantized"),
    "product": (lambda: Net(lambda net, x: net.end(net.conv(x) * 2)), "'mul' at 'mul' cannot be quantized"),
    "parameter": (
        lambda: Net(lambda net, x: net.end(net.conv(x) + net.head.weight[0, 0])), "'head_weight' .* is not supported"
    ),
    "constant": (lambda: Net(lambda net, x: net.end(net.conv(x) + 1)), "'add': input 1 is not a tensor of the network"),
    "scaled sum": (
        lambda: Net(lambda net, x: net.end(torch.add(net.conv(x), net.conv(x), alpha=2))), "'conv' is used twice"
    ),
    "scaled sum of two": (
        lambda: Net(lambda net, x: net.end(torch.add(y := net.conv(x), net.second(y), alpha=2))),
        r"'add': a plain sum is expected, got {'alpha': 2}",
    ),
    "norm first": (lambda: Net(lambda net, x: net.end(net.second(net.norm(net.second(net.conv(x)).relu())))), "'norm': a Batch"),
    "norm before conv": (
        lambda: Net(lambda net, x: net.end(net.conv(net.get_submodule("early")(x))), early=nn.BatchNorm2d(3)),
        "'early': a BatchNorm2d is expected right after a Conv2d",
    ),
    "norm of a shared result": (
        lambda: Net(lambda net, x: net.end(net.norm(y := net.conv(x)) + y)), "'norm': a BatchNorm2d is expected right after"
    ),
    "norm without statistics": (
        lambda: Net(
            lambda net, x: net.end(net.get_submodule("own")(net.conv(x))), own=nn.BatchNorm2d(4, track_running_stats=False)
        ),
        "'own': a BatchNorm2d with track_running_stats=True is expected",
    ),
    "transposed": (
        lambda: Net(lambda net, x: net.end(net.get_submodule("up")(net.conv(x))), up=nn.ConvTranspose2d(4, 4, 2)),
        r"'up' \(ConvTranspose2d\) cannot be quantized",
    ),
    "twice": (lambda: Net(lambda net, x: net.end(net.second(net.second(net.conv(x))))), "'second' is used twice; give each"),
    "relu of the image": (lambda: Net(lambda net, x: net.end(net.conv(F.relu(x)))), "'relu': a ReLU is expected right after"),
    "relu of a shared result": (
        lambda: Net(lambda net, x: net.end(F.relu(F.dropout(y := net.conv(x), training=False)) + y)),
        "'relu': a ReLU is expected right after",
    ),
    "reflecting": (
        lambda: Net(
            lambda net, x: net.end(net.get_submodule("own")(x)), own=nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
        ),
        "'own': padding in numbers and padding_mode='zeros'",
    ),
    "same": (
        lambda: Net(lambda net, x: net.end(net.get_submodule("own")(x)), own=nn.Conv2d(3, 4, 3, padding="same")),
        "'own': padding in numbers",
    ),
    "grey": (
        lambda: Net(lambda net, x: net.end(net.get_submodule("own")(x)), own=nn.Conv2d(1, 4, 3)),
        "'own': 3 input channels, RGB images, are expected; got 1",
    ),
    "rounding up": (
        lambda: Net(lambda net, x: net.end(net.get_submodule("own")(net.conv(x))), own=nn.MaxPool2d(2, ceil_mode=True)),
        "'own': pooling without ceil_mode and dilation",
    ),
    "padded average": (
        lambda: Net(lambda net, x: net.end(net.get_submodule("own")(net.conv(x))), own=nn.AvgPool2d(3, padding=1)),
        "'own': average pooling without padding",
    ),
    "adaptive to 2": (
        lambda: Net(lambda net, x: net.end(net.get_submodule("own")(net.conv(x))), own=nn.AdaptiveAvgPool2d(2)),
        r"'own': AdaptiveAvgPool2d\(1\) is expected, got 2",
    ),
    "mean over channels": (lambda: Net(lambda net, x: net.head(net.conv(x).mean(1))), "global average pooling is expected, got 1"),
    "flatten of rows": (lambda: Net(lambda net, x: net.head(net.conv(x).flatten(2))), "flatten of all dimensions from 1 on"),
    "flatten of some": (lambda: Net(lambda net, x: net.head(torch.flatten(net.conv(x), 1, 2))), "got 1 to 2"),
    "no flatten": (lambda: Net(lambda net, x: net.head(net.conv(x))), "'head': a flatten is expected before a Linear"),
    "no classifier": (lambda: Net(lambda net, x: net.conv(x)), "a network that ends in a Linear layer"),
    "activated logits": (lambda: Net(lambda net, x: F.relu(net.end(net.conv(x)))), "'head': logits without an activation"),
    "two results": (
        lambda: Net(lambda net, x: (net.end(net.conv(x)), x)),  # type: ignore[arg-type, return-value]
        "a network that ends in a Linear layer",
    ),
    "two inputs": (TwoInputs, "a network with one input is expected; 'y' is a second one"),
    "branch": (Branch, "Branch cannot be traced: .*may not branch on values"),
    "nothing": (nn.Identity, "a network that ends in a Linear layer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_quantized_is_named(case: str) -> None:
    """One line with the name of the layer or operation, and what is expected instead."""
    make, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as caught:
        prepare(make())
    assert "\n" not in str(caught.value)
