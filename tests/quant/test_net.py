"""The quantizable network: the float module in float, several precisions on request, slots apart from each other."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from dqmq_deploy.bits import uniform
from dqmq_deploy.errors import ModelError
from dqmq_deploy.nets.load import build
from dqmq_deploy.quant.layers import ActivationSteps, QuantConv
from dqmq_deploy.quant.net import FLOAT, Choice, QuantNet, prepare
from dqmq_deploy.quant.shrink import Shrinking, area_taps, is_exact, median
from tests.quant.networks import NAMES, SIZE, Odd, inputs, network, quantized


def test_a_shrunk_choice_sees_the_means_of_pixels() -> None:
    """Half the height and width, every mean rounded to a pixel's code; normalisation and steps of its own."""
    net = prepare(network("resnet8"), shrinks=(1, 2)).eval()
    small = torch.nn.functional.avg_pool2d(inputs(8), 2)
    codes = (small * 64).round() / 64
    with torch.no_grad():
        alike = net(inputs(8), net.uniform(4, shrink=2))
        assert torch.equal(alike, net(codes, Choice(net.uniform(4).bits, slot=net.slot_of(4, net.uniform(4, 2)))))
        for layer in net.layers.values():
            if isinstance(layer, QuantConv):
                layer.norm.shift[net.slot_of(4, net.uniform(4, 2))] += 1
        assert not torch.equal(alike, net(inputs(8), net.uniform(4, shrink=2)))
    slots = {net.slot_of(bits, net.uniform(bits, shrink)) for bits in net.ladder for shrink in net.shrinks}
    assert slots == set(range(1, net.plain_slots))
    twin = QuantNet.from_plain(net.to_plain())
    assert (twin.shrinks, twin.slots) == ((1, 2), net.slots)


def test_shrunk_images_are_filtered_and_cropped() -> None:
    """On the grid of pixels again, under bf16 as well; the structure says how."""
    shrinking = Shrinking(crop=3, median=True)
    net = prepare(network("resnet8"), shrinks=(1, 2), shrinking=shrinking).eval()
    codes = torch.randint(0, 256, (4, 3, 32, 32)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        small = net.shrink((codes - 128) / 64, 2)
    rows = torch.from_numpy(area_taps(32, 3, 16)).double()
    expected = (rows @ median(codes).double() @ rows.T / 13**2).round()
    assert torch.equal(small * 64 + 128, expected.float())
    twin = QuantNet.from_plain(net.to_plain())
    assert twin.shrinking == shrinking


def test_means_over_areas_are_exact_up_to_a_size() -> None:
    """Whole parts always, odd ones as long as sums of pixels fit into a float32."""
    assert is_exact((4096, 4096), 0, 2) and is_exact((224, 224), 13, 2)
    assert is_exact((512, 512), 1, 2) and not is_exact((640, 640), 1, 2)


def test_precisions_with_weights_of_their_own() -> None:
    """Only where a choice has less than 8 bits; saved and read again."""
    net = prepare(network("resnet8")).eval()
    mixture = Choice((2, 8, 4, 8, 8, 8))
    net.part([mixture, net.uniform(8)])
    bits = net.layer_bits(mixture)
    own = {name: net.layer(name).weights.own for name in bits}
    assert {name: [*map(int, found)] for name, found in own.items()} == {
        name: [width] if width < 8 else [] for name, width in bits.items()
    }
    with torch.no_grad():
        for weight in (weight for found in own.values() for weight in found.values()):
            weight.mul_(-1)
        twin = QuantNet.from_plain(net.to_plain()).eval()
        twin.load_state_dict(net.state_dict())
        assert torch.equal(twin(inputs(4), mixture), net(inputs(4), mixture))
        plain = prepare(network("resnet8")).eval()
        assert torch.equal(plain(inputs(4), net.uniform(8)), net(inputs(4), net.uniform(8)))
        assert not torch.equal(plain(inputs(4), mixture), net(inputs(4), mixture))


def test_a_finished_state_holds_masters_in_half_the_bytes() -> None:
    """Shared and own ones, to the bit once they are rounded; everything else as it was."""
    net = prepare(network("resnet8")).eval()
    choice = net.uniform(2)
    net.part([choice])
    net.halve()
    state = net.finished_state()
    own = [name for name in state if ".own." in name]
    masters = [name for name in state if name.endswith(".weights.weight")] + own
    assert own
    assert {name for name, value in state.items() if value.dtype == torch.float16} == {*masters}
    twin = QuantNet.from_plain(net.to_plain()).eval()
    twin.load_state_dict(state)
    assert all(torch.equal(twin.state_dict()[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("shrinks", [(), (2,), (1, 1), (2, 1)])
def test_shrinks_rise_from_one(shrinks: tuple[int, ...]) -> None:
    """The whole picture always belongs to them."""
    with pytest.raises(ModelError, match="rising shrinks from 1"):
        prepare(network("resnet8"), shrinks=shrinks)


def test_a_float_state_goes_into_another_network_of_its_kind() -> None:
    """Weights and normalisation of every slot; another network's state is refused."""
    first, second = quantized("resnet8"), prepare(build("resnet8", 5, width=8)).eval()
    second.load_float_state(first.float_state())
    with torch.no_grad():
        torch.testing.assert_close(second(inputs(4), FLOAT), first(inputs(4), FLOAT))
    with pytest.raises(ModelError, match="float state of this very network"):
        second.load_float_state(quantized("resnet18").float_state())


def mixed(net: QuantNet, seed: int = 0) -> Choice:
    """A precision for each group, drawn from the ladder."""
    return Choice(tuple(np.random.default_rng(seed).choice(net.ladder, len(net.groups)).tolist()))


def answers(net: QuantNet, choices: list[Choice]) -> list[torch.Tensor]:
    """Logits of eight images under each choice."""
    with torch.no_grad():
        return [net(inputs(8), choice) for choice in choices]


@pytest.mark.parametrize("name", NAMES)
def test_in_float_it_is_the_module(name: str) -> None:
    """In evaluation the twin computes what the module computes; the module keeps its own weights."""
    model = network(name)
    before = copy.deepcopy(model.state_dict())
    net = prepare(model).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(inputs(4)), model(inputs(4)), rtol=1e-4, atol=1e-6)
        for parameter in net.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["resnet8", "resnet20"])
def test_in_float_it_trains_as_the_module(name: str) -> None:
    """In training it normalises by the batch, gives the same gradients and moves its statistics alike."""
    model = network(name).train()
    net = prepare(model).train()
    model(inputs(8)).square().sum().backward()
    net(inputs(8), FLOAT).square().sum().backward()
    last = dict(model.named_modules())["blocks.2.conv2"], dict(model.named_modules())["blocks.2.norm2"]
    assert isinstance(last[0], nn.Conv2d)
    assert isinstance(last[1], nn.BatchNorm2d)
    twin = net.layer("blocks.2.conv2")
    torch.testing.assert_close(twin.weights.weight.grad, last[0].weight.grad, rtol=1e-3, atol=1e-4)
    untouched = prepare(network(name)).layer("blocks.2.conv2")
    assert isinstance(twin, QuantConv)
    assert isinstance(untouched, QuantConv)
    norm = twin.norm
    assert last[1].running_mean is not None and last[1].running_var is not None
    torch.testing.assert_close(norm.mean[0], last[1].running_mean)
    torch.testing.assert_close(norm.variance[0], last[1].running_var)
    assert torch.equal(norm.mean[1], untouched.norm.mean[1])


def test_the_first_and_the_last_layer_stay_at_8_bits() -> None:
    """Inner layers take the precision asked for; both edges stay, and belong to no group."""
    net = prepare(network("resnet8"))
    bits = net.layer_bits(net.uniform(2))
    assert bits["stem.0"] == bits["head"] == 8
    assert {value for name, value in bits.items() if name not in ("stem.0", "head")} == {2}
    assert net.edges == ("stem.0", "head")
    assert bits == dict(uniform(net.describe((32, 32)), 2).bits)


def test_layers_that_read_one_tensor_form_a_group() -> None:
    """A block's first convolution and its projection share a precision, also through a max pooling."""
    assert prepare(network("resnet8")).groups == [
        ("blocks.0.conv1",),
        ("blocks.0.conv2",),
        ("blocks.1.conv1", "blocks.1.shortcut.0"),
        ("blocks.1.conv2",),
        ("blocks.2.conv1", "blocks.2.shortcut.0"),
        ("blocks.2.conv2",),
    ]
    assert prepare(Odd()).groups == [("depthwise", "point"), ("hidden",)]


@pytest.mark.parametrize(
    ("name", "size", "classes", "macs", "weights"),
    [
        ("resnet20", 32, 10, 40_813_184, 270_896),
        ("resnet18", 224, 1000, 1_814_073_344, 11_678_912),
        ("mobilenetv2", 224, 1000, 300_774_272, 3_469_760),
    ],
)
def test_macs_are_those_of_the_papers(name: str, size: int, classes: int, macs: int, weights: int) -> None:
    """40.8 M, 1.81 G and 0.30 G multiply-accumulates; counting them leaves the mode as it was."""
    net = prepare(build(name, classes)).train()
    layers = net.describe((size, size))
    assert sum(layer.macs for layer in layers) == macs
    assert sum(layer.weight_count for layer in layers) == weights
    assert [layer.edge for layer in layers] == [True, *[False] * (len(layers) - 2), True]
    assert net.training


def test_macs_of_a_depthwise_a_dilated_and_a_linear_layer() -> None:
    """Counted by hand: positions x weights."""
    layers = {layer.name: layer.macs for layer in prepare(Odd()).describe((SIZE, SIZE))}
    assert layers == {"stem": 256 * 216, "depthwise": 64 * 72, "point": 64 * 64, "hidden": 2048, "head": 80}


@pytest.mark.parametrize("name", NAMES)
def test_8_bits_stay_near_float_and_2_bits_do_not(name: str) -> None:
    """Quantization errors grow as bits shrink; the float result is not touched by fitting the steps."""
    net = quantized(name)
    exact, *coarse = answers(net, [FLOAT, net.uniform(8), net.uniform(4), net.uniform(2)])
    with torch.no_grad():
        torch.testing.assert_close(exact, network(name)(inputs(8)), rtol=1e-4, atol=1e-6)
    errors = [float((value - exact).norm() / exact.norm()) for value in coarse]
    assert errors[0] < 0.1
    assert errors[0] < errors[1] < errors[2]


def test_bits_of_a_choice_are_what_runs() -> None:
    """A mixture differs from every uniform precision; ``choice`` may be set once instead of given."""
    net = quantized("resnet8")
    found = answers(net, [net.uniform(2), net.uniform(4), net.uniform(8), mixed(net)])
    assert all(not torch.equal(found[3], other) for other in found[:3])
    net.choice = mixed(net)
    with torch.no_grad():
        assert torch.equal(net(inputs(8)), found[3])


@pytest.mark.parametrize("name", NAMES)
def test_plain_values_and_a_state_make_the_same_network(name: str) -> None:
    """Also with the slots of configurations added."""
    net = quantized(name)
    choices = [net.uniform(2), mixed(net), *net.add_slots([net.uniform(4), mixed(net)])]
    with torch.no_grad():  # make every slot differ
        for parameter in net.parameters():
            parameter.mul_(torch.empty_like(parameter).uniform_(0.9, 1.1, generator=torch.Generator().manual_seed(3)))
    twin = QuantNet.from_plain(net.to_plain())
    twin.load_state_dict(net.state_dict())
    assert twin.slots == net.slots == 1 + 3 + 2
    for mine, other in zip(answers(net, [FLOAT, *choices]), answers(twin.eval(), [FLOAT, *choices]), strict=True):
        assert torch.equal(mine, other)
    assert twin.to_plain() == net.to_plain()


@pytest.mark.parametrize("name", NAMES)
def test_a_new_slot_starts_as_its_layers_precisions_were(name: str) -> None:
    """A configuration computes the same before and after it gets a slot of its own, and 2 slots may be added twice."""
    net = quantized(name)
    choices = [net.uniform(2), mixed(net, 1), mixed(net, 2)]
    before = answers(net, choices)
    added = net.add_slots(choices[:2]) + net.add_slots(choices[2:])
    assert [choice.slot for choice in added] == [4, 5, 6]
    for old, new in zip(before, answers(net, added), strict=True):
        assert torch.equal(old, new)


def test_slots_do_not_touch_each_other() -> None:
    """Changing one slot's normalisation and steps changes the logits of that configuration alone."""
    net = quantized("resnet8")
    others = [FLOAT, net.uniform(2), net.uniform(4), net.uniform(8)]
    added = net.add_slots([mixed(net, 1), net.uniform(4)])
    before = answers(net, [*others, *added])
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith("acts.") or ".norm." in name or ".sum_steps." in name:
                parameter[added[0].slot] *= 1.1
    after = answers(net, [*others, *added])
    changed = [not torch.equal(old, new) for old, new in zip(before, after, strict=True)]
    assert changed == [False, False, False, False, True, False]


def test_training_at_one_precision_moves_its_own_statistics_only() -> None:
    """Switchable normalisation: a training step at 4 bits leaves the statistics of 2 and 8 bits and of float."""
    net = quantized("resnet8").train()
    before = copy.deepcopy(net.state_dict())
    net(inputs(8), net.uniform(4))
    rows = {
        row
        for name, value in net.state_dict().items()
        if name.endswith((".mean", ".variance")) and name.startswith("layers.blocks")
        for row in range(4)
        if not torch.equal(value[row], before[name][row])
    }
    assert rows == {1 + net.ladder.index(4)}


def test_channels_last_and_bfloat16_compute_nearly_the_same() -> None:
    """Memory order changes only rounding; bfloat16 autocast stays within its three digits and gives gradients."""
    net = quantized("resnet8")
    (plain,) = answers(net, [net.uniform(4)])
    x = inputs(8).contiguous()
    with torch.no_grad():
        torch.testing.assert_close(net(x, net.uniform(4)), plain, rtol=0.02, atol=0.02)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        torch.testing.assert_close(net(inputs(8), net.uniform(4)), plain, rtol=0.02, atol=0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = net(inputs(8), net.uniform(4)).float()
    assert float((half.detach() - plain).norm() / plain.norm()) < 0.2
    half.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_a_relu6_tensor_reaches_6_at_every_precision() -> None:
    """The highest code that a layer tells apart means at most 6, whatever the learned step; no lower cap at 2 bits."""
    act = ActivationSteps(4, 0, largest=6.0)
    with torch.no_grad():
        act.step.fill_(100.0)
    x = torch.tensor([[0.5, 3.0, 5.9, 50.0]])
    for bits, codes in ((8, 255), (4, 15), (2, 3)):
        step = 6 / codes
        seen = act.narrow(act(x, 1, bits), 1, bits)
        torch.testing.assert_close(seen, (x / step).round().clamp(max=codes) * step)


@pytest.mark.parametrize("ladder", [(), (2, 4), (4, 2, 8), (2, 2, 8), (3, 8), (8, 16), (1, 8)])
def test_a_ladder_that_cannot_be_packed_is_refused(ladder: tuple[int, ...]) -> None:
    """Rising, out of 2, 4 and 8, and with the 8 that the edges need."""
    with pytest.raises(ModelError, match=r"rising bit-widths out of \(2, 4, 8\) that end in 8 are expected"):
        prepare(Odd(), ladder)


def test_a_shorter_ladder_is_fine() -> None:
    """One precision beside 8 gives two slots beside float."""
    net = prepare(Odd(), (4, 8))
    assert net.slots == 3
    assert net.slot_of(8, net.uniform(8)) == 2


@pytest.mark.parametrize(("scale", "zero_point"), [(0.0, 128), (-1.0, 0), (float("nan"), 0), (0.1, 100)])
def test_pixels_that_cannot_be_read_exactly_are_refused(scale: float, zero_point: int) -> None:
    """The image's codes are the pixels: zero point 0 or 128, scale above 0."""
    with pytest.raises(ModelError, match="zero point 0 or 128, scale above 0"):
        prepare(Odd(), image_scale=scale, image_zero_point=zero_point)
