"""Torch's fake quantization against the integer network that is exported, stage by stage and end to end.

The two round alike but for one thing: the integer network's bias is a whole number of accumulator units, so a result
within half a unit of a rounding boundary may land on the other side. Each stage is given torch's own input codes, so
that such a step to the next code is seen where it arises and not multiplied by the layers behind it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from dqmq_deploy.export import flat, reference
from dqmq_deploy.export.compiled import make_float_plan, make_plan, open_compiled
from dqmq_deploy.export.plan import ConvStage, FloatConv, LinearStage, Plan, Stage
from dqmq_deploy.quant.initial import initialise
from dqmq_deploy.quant.layers import ActivationSteps, QuantConv
from dqmq_deploy.quant.net import Choice, QuantNet, prepare
from dqmq_deploy.quant.shrink import Shrinking
from dqmq_deploy.train.pixels import normalised
from tests.export.onnx_runs import run_model, write_plan
from tests.quant.networks import NAMES, SIZE, inputs, network, pictures, quantized

_ROUNDING = 2e-3  # of a code: float32 sums of some hundred terms in another order


@contextmanager
def recorded(net: QuantNet) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """What goes into the quantization of every tensor while the network runs, and what comes out.

    Codes are taken from what comes out: rounding the input anew, in float64, would differ from torch's at ties.
    """
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def record(name: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], result: Tensor) -> None:
            seen[name] = (arguments[0], result)

        return hook

    hooks = [act.register_forward_hook(record(name.replace("/", "."))) for name, act in net.acts.items()]
    yield seen
    for hook in hooks:
        hook.remove()


def ratios(value: Tensor, scale: float, zero_point: int) -> npt.NDArray[np.float64]:
    """Codes before rounding, ``[N, H, W, C]`` or ``[N, C]``."""
    plain = value.double().numpy() / scale + zero_point
    return np.asarray(plain.transpose(0, 2, 3, 1) if plain.ndim == 4 else plain)


def slack(plan: Plan, stage: Stage) -> npt.NDArray[np.float64] | float:
    """How far, in output codes, the integer result before rounding may be from torch's: half a unit of the bias."""
    if not isinstance(stage, ConvStage | LinearStage):
        return _ROUNDING
    out = plan.tensors[stage.output].scale
    if isinstance(stage, ConvStage) and stage.sum_quant is not None:
        return stage.sum_quant.scale / out + _ROUNDING  # the sum's own code may be the next one
    return 0.5 * plan.tensors[stage.input].scale * np.abs(stage.weight_scale.astype(np.float64)) / out + _ROUNDING


def all_choices(net: QuantNet) -> list[Choice]:
    """Each uniform precision, and a mixture."""
    mixture = np.random.default_rng(0).choice(net.ladder, len(net.groups)).tolist()
    return [*(net.uniform(bits) for bits in net.ladder), Choice(tuple(mixture))]


def share_of_equal_codes(net: QuantNet, plan: Plan, choice: Choice, images: npt.NDArray[np.uint8], x: Tensor) -> float:
    """Runs every stage on torch's own codes; checks each result against its bound, and says how many codes agree."""
    equal, count = 0, 0
    with recorded(net) as seen, torch.no_grad():
        logits = net(x, choice)
    tensors: dict[str, npt.NDArray[Any]] = {"image": images}
    for stage in plan.stages:
        found = reference.run_stage(plan, stage, tensors)
        if stage.output == "logits":
            assert isinstance(stage, LinearStage)
            unit = plan.tensors[stage.input].scale * np.abs(stage.weight_scale)  # of the bias; float32 sums beside it
            expected = logits.numpy()
            assert (np.abs(found - expected) <= 0.5 * unit + 1e-5 * np.abs(expected).max() + 1e-6).all()
        elif stage.output not in seen:  # max pooling and flatten keep their input's codes
            tensors[stage.output] = found
        else:
            quant = plan.tensors[stage.output]
            before, after = (ratios(value, quant.scale, quant.zero_point) for value in seen[stage.output])
            assert (np.abs(found - before.clip(0, 255)) <= 0.5 + slack(plan, stage)).all(), stage.output
            tensors[stage.output] = np.rint(after).astype(np.uint8)
            equal += int((found == tensors[stage.output]).sum())
            count += found.size
    return equal / count


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_computes_torchs_codes(name: str) -> None:
    """Given torch's codes, every stage at every precision and in a mixture gives torch's codes, logits included."""
    net = quantized(name)
    for choice in all_choices(net):
        plan = make_plan(net, choice, (SIZE, SIZE))
        assert share_of_equal_codes(net, plan, choice, pictures(8, seed=2), inputs(8, seed=2)) > 0.98


def test_filtered_and_cropped_configurations_agree(tmp_path: Path) -> None:
    """The picture that torch's network sees is the graph's, and the flat twin's, to the last code."""
    net = prepare(network("resnet8"), shrinks=(1, 2), shrinking=Shrinking(crop=3, median=True)).eval()
    initialise(net, inputs(32))
    choice = net.uniform(8, shrink=2)
    plan = make_plan(net, choice, (SIZE, SIZE))
    images = pictures(8, seed=2)
    seen = reference.run_all(plan, images)["image/shrunk"]
    expected = net.shrink(inputs(8, seed=2), 2) * 64 + 128
    assert np.array_equal(seen, expected.permute(0, 2, 3, 1).numpy())
    logits = reference.run(plan, images)
    twin = tmp_path / "flat.onnx"
    twin.write_bytes(flat.build(plan).SerializeToString())
    for path in (write_plan(plan, tmp_path), twin):
        found, _ = run_model(path, {"image": images})
        assert np.array_equal(found, logits)


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "odd"])
def test_whole_networks_agree(name: str) -> None:
    """End to end, where one code's difference may pass through all layers: same class, nearly the same logits.

    Measured, before folding: at most 2 of 64 classes differ, and the median difference is 0.9 % of the logits' spread.
    """
    net = quantized(name)
    for choice in all_choices(net):
        with torch.no_grad():
            expected = net(inputs(64, seed=3), choice).numpy()
        found = reference.run(make_plan(net, choice, (SIZE, SIZE)), pictures(64, seed=3))
        assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.95
        assert np.median(np.abs(found - expected)) < 0.015 * expected.std()


def test_shrunk_configurations_agree() -> None:
    """The graph takes the same means of pixels as torch does, in the same rounding, and a quarter of the work."""
    net = prepare(network("resnet8"), shrinks=(1, 2)).eval()
    initialise(net, inputs(32))
    for bits in net.ladder:
        choice = net.uniform(bits, shrink=2)
        plan = make_plan(net, choice, (SIZE, SIZE))
        assert plan.image_size == (SIZE, SIZE)
        means = reference.run_all(plan, pictures(8, seed=2))["image/shrunk"]
        expected = pictures(8, seed=2).reshape(8, SIZE // 2, 2, SIZE // 2, 2, 3).mean((2, 4)).round()
        assert np.array_equal(means, expected)
        assert share_of_equal_codes(net, plan, choice, pictures(8, seed=2), inputs(8, seed=2)) > 0.98


def test_shipped_checkpoints_agree() -> None:
    """What users export, folded: nearly every code of every stage is torch's, and so are the classes and logits.

    Measured on the calibration images: no class differs, and at most 0.002 % of the codes do.
    """
    for path in sorted(Path("models").glob("*/checkpoint.pt")):
        compiled = open_compiled(path)
        images = compiled.calibration_images[:64]
        x = normalised(images, compiled.image_quant.scale, compiled.image_quant.zero_point)
        for index, choice in enumerate(compiled.choices):
            plan = compiled.plan(index)
            assert share_of_equal_codes(compiled.net, plan, choice, images, x) > 0.9999, (path, index)
            expected, found = compiled.reference_logits(index, images), reference.run(plan, images)
            assert (found.argmax(1) != expected.argmax(1)).sum() <= 1, (path, index)
            assert np.median(np.abs(found - expected)) < 1e-3 * expected.std(), (path, index)


def test_a_configurations_own_slot_is_what_is_exported() -> None:
    """After a slot of its own has learned, the plan carries that slot's scales."""
    net = quantized("odd")
    (choice,) = net.add_slots([net.uniform(4)])
    with torch.no_grad():
        for act in net.acts.values():
            assert isinstance(act, ActivationSteps)
            if isinstance(act.step, nn.Parameter):
                act.step[choice.slot] *= 1.25
    old, new = (make_plan(net, c, (SIZE, SIZE)) for c in (net.uniform(4), choice))
    tensors = {stage.output for stage in new.stages} - {"logits"}
    assert new.tensors["image"] == old.tensors["image"]
    for name in tensors:
        assert new.tensors[name].scale == pytest.approx(1.25 * old.tensors[name].scale)


def test_first_and_last_stage_have_8_bits_and_codes_fit_theirs() -> None:
    """Weight codes lie within their precision's range; edges at 8 bits; batch-normalised weights may be negative."""
    net = quantized("resnet8")
    for bits in net.ladder:
        plan = make_plan(net, net.uniform(bits), (SIZE, SIZE))
        layers = [stage for stage in plan.stages if isinstance(stage, ConvStage | LinearStage)]
        assert (layers[0].weight_bits, layers[-1].weight_bits) == (8, 8)
        for layer in layers:
            assert layer.weight_bits == layer.act_bits
            half = 2 ** (layer.weight_bits - 1)
            assert -half <= layer.weight_codes.min() <= layer.weight_codes.max() < half
            assert layer.weight_codes.dtype == np.int8
            assert layer.bias.dtype == np.int32
        assert plan.tensors["image"].scale == 1 / 64
        assert plan.tensors["image"].zero_point == 128


def test_a_channel_that_normalisation_switched_off_keeps_its_offset() -> None:
    """A scale of (nearly) zero would overflow the integer bias; the scale is raised instead, the output stays."""
    net = quantized("odd")
    depthwise = net.layer("depthwise")
    assert isinstance(depthwise, QuantConv)
    norm = depthwise.norm
    with torch.no_grad():
        norm.scale[:, 0], norm.scale[:, 1], norm.scale[:, 2] = 0.0, 1e-20, -1e-20
        norm.shift[:, :3] = 0.7
        expected = net(inputs(4), net.uniform(8)).numpy()
    plan = make_plan(net, net.uniform(8), (SIZE, SIZE))
    codes = reference.run_all(plan, pictures(4))["depthwise"][..., :3]
    scale = plan.tensors["depthwise"].scale
    assert (codes == round(0.7 / scale)).all()
    np.testing.assert_allclose(reference.run(plan, pictures(4)), expected, atol=0.01)


@pytest.mark.parametrize("name", ["resnet8", "mobilenetv2", "odd"])
def test_the_float_plan_is_the_float_network(name: str) -> None:
    """Weights and biases with every normalisation folded in: the same convolutions in torch give the same logits."""
    net = quantized(name)
    plan = make_float_plan(net, (SIZE, SIZE))
    convs = [stage for stage in plan.stages if isinstance(stage, FloatConv)]
    folded = network(name)
    layers = dict(folded.named_modules())
    for stage in convs:
        layer = layers[stage.name]
        assert isinstance(layer, nn.Conv2d)
        layer.weight.data = torch.from_numpy(stage.weight)
        layer.bias = nn.Parameter(torch.from_numpy(stage.bias))
    for module in folded.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
            module.reset_parameters()
    with torch.no_grad():
        torch.testing.assert_close(folded(inputs(4)), network(name)(inputs(4)), rtol=1e-3, atol=1e-4)
