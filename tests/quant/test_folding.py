"""Folding: a trained configuration becomes the function that its graph computes."""

import numpy as np
import torch

from dqmq_deploy.export import reference
from dqmq_deploy.export.compiled import make_plan
from dqmq_deploy.quant.folding import fold, integer_bias
from tests.quant.networks import SIZE, inputs, pictures, quantized


def test_integer_bias_is_the_nearest_whole_number() -> None:
    """By hand: an offset of 1.04 in units of 0.5 x 0.2 is 10 units; either sign of scale."""
    scale, bias = integer_bias(np.array([1.04, 1.04]), np.array([0.2, -0.2]), 0.5)
    assert bias.tolist() == [10, -10]
    np.testing.assert_allclose(scale, [0.2, -0.2], rtol=1e-6)


def test_a_channel_switched_off_keeps_its_bias() -> None:
    """A scale near zero is raised until the bias fits 32 bits, and the product is still the offset."""
    scale, bias = integer_bias(np.array([3.0, -3.0, 0.0]), np.array([1e-20, 0.0, 0.0]), 0.1)
    np.testing.assert_allclose(bias * np.float64(0.1) * scale, [3.0, -3.0, 0.0], rtol=1e-3)
    assert (np.abs(bias.astype(np.int64)) < 2**31).all()


def test_folding_brings_torch_to_the_graph() -> None:
    """After folding, nearly no logit differs between torch and the integer plan; before, 2 bits left many apart."""
    net = quantized("resnet8")
    choice = net.add_slots([net.uniform(2)])[0]
    net.eval()

    def apart() -> float:
        with torch.no_grad():
            ours = net(inputs(64, seed=3), choice).numpy()
        graph = reference.run(make_plan(net, choice, (SIZE, SIZE)), pictures(64, seed=3))
        return float((np.abs(ours - graph) > 1e-3 * ours.std()).any(axis=1).mean())

    before = apart()
    fold(net, choice)
    after = apart()
    assert before > 0.3
    assert after < 0.1
    fold(net, choice)
    assert apart() == after, "folding twice changes nothing"
