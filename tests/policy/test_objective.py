"""The hybrid objective: the rollout is the network, costs are relative, and prices move the bits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dqmq_deploy.errors import RecipeError
from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.objective import (
    CostTable,
    Pick,
    bitops_cost,
    gumbel_softmax,
    measured_cost,
    policy_objective,
    rollout,
)
from dqmq_deploy.quant.net import FLOAT, Choice, QuantNet
from tests.quant.networks import NAMES, SIZE, inputs, quantized


def one_hot(net: QuantNet, choice: Choice, count: int) -> list[Tensor]:
    """Mixing weights that are all on the precisions of ``choice``."""
    assert choice.bits is not None
    return [F.one_hot(torch.tensor([net.ladder.index(b)] * count), len(net.ladder)).float() for b in choice.bits]


def taking(weights: list[Tensor]) -> Pick:
    """Picks the weights given for each group, whatever the tensor."""
    return lambda group, tensor: weights[group]


@pytest.mark.parametrize("name", NAMES)
def test_a_rollout_at_one_precision_each_is_the_network(name: str) -> None:
    """With all weight on one choice the mixture equals ``forward`` under it, residuals and averages included."""
    net = quantized(name)
    mixture = np.random.default_rng(0).choice(net.ladder, len(net.groups)).tolist()
    for choice in (*map(net.uniform, net.ladder), Choice(tuple(mixture))):
        weights = one_hot(net, choice, 4)
        with torch.no_grad():
            found, used = rollout(net, inputs(4), taking(weights))
            torch.testing.assert_close(found, net(inputs(4), choice), rtol=1e-5, atol=1e-5)
        assert all(torch.equal(mine, given) for mine, given in zip(used, weights, strict=True))


def test_precisions_may_differ_between_images() -> None:
    """Each image of a batch is computed with its own mixing weights."""
    net = quantized("odd")
    low, high = (one_hot(net, net.uniform(bits), 1) for bits in (2, 8))
    weights = [torch.cat(pair) for pair in zip(low, high, strict=True)]
    with torch.no_grad():
        found, _ = rollout(net, inputs(2), taking(weights))
        torch.testing.assert_close(found[:1], net(inputs(2)[:1], net.uniform(2)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[1:], net(inputs(2)[1:], net.uniform(8)), rtol=1e-4, atol=1e-5)


def test_mixing_weights_get_gradients() -> None:
    """Every precision's weight in every group, so that the policy can learn from all of them at once."""
    net = quantized("resnet8")
    weights = [torch.full((4, 3), 1 / 3, requires_grad=True) for _ in net.groups]
    logits, _ = rollout(net, inputs(4), taking(weights))
    torch.autograd.backward(logits.square().sum())
    for weight in weights:
        assert weight.grad is not None
        assert (weight.grad != 0).all()


def test_relative_cost_is_bits_squared_times_macs() -> None:
    """The dearest choice costs 1, 2 bits a sixteenth; groups count by their MACs."""
    net = quantized("odd")
    table = bitops_cost(net, net.describe((SIZE, SIZE))).table
    macs = torch.tensor([64 * 72 + 64 * 64, 2048.0])
    torch.testing.assert_close(table, macs[:, None] * torch.tensor([4.0, 16.0, 64.0]) / (macs.sum() * 64))
    assert float(table[:, -1].sum()) == pytest.approx(1)


def test_expected_cost_by_hand() -> None:
    """Probabilities times costs, summed over the groups, one number an image."""
    cost = CostTable(torch.tensor([[0.1, 0.4], [0.2, 0.6]]))
    probabilities = [torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [0.25, 0.75]])]
    torch.testing.assert_close(cost.expected(probabilities), torch.tensor([0.7, 0.75]))


def test_measured_latencies_replace_bitops(tmp_path: Path) -> None:
    """A table of milliseconds, the layers of a group added up, relative to the dearest choice."""
    net = quantized("odd")
    layer = {"2": 1.0, "4": 1.5, "8": 2}
    (tmp_path / "ms.json").write_text(json.dumps({"depthwise": layer, "point": layer, "hidden": layer, "stem": {}}))
    found = measured_cost(net, tmp_path / "ms.json").table
    torch.testing.assert_close(found, torch.tensor([[2.0, 3, 4], [1, 1.5, 2]]) / 6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"depthwise": 1, "point": 1, "hidden": 1}',
        '{"depthwise": {"2": 1, "4": 1, "8": 1}, "point": {"2": 1, "4": 1}, "hidden": {"2": 1, "4": 1, "8": 1}}',
        '{"depthwise": {"2": "x", "4": 1, "8": 1}}',
        "{" + ", ".join(f'"{name}": {{"2": 0, "4": 0, "8": 0}}' for name in ("depthwise", "point", "hidden")) + "}",
        "{" + ", ".join(f'"{name}": {{"2": NaN, "4": 1, "8": 1}}' for name in ("depthwise", "point", "hidden")) + "}",
        "{" + ", ".join(f'"{name}": {{"2": -1, "4": 1, "8": 1}}' for name in ("depthwise", "point", "hidden")) + "}",
    ],
)
def test_what_is_no_latency_table_is_refused(tmp_path: Path, text: str) -> None:
    """Damaged, incomplete, or with latencies that are not positive numbers: one line that names the file."""
    path = tmp_path / "ms.json"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"ms\.json: expected a JSON table {layer: {bits: ms}}"):
        measured_cost(quantized("odd"), path)


def test_a_missing_latency_table_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(RecipeError, match=r"none\.json: expected a JSON table"):
        measured_cost(quantized("odd"), tmp_path / "none.json")


def test_relaxed_samples_follow_the_distribution_and_harden() -> None:
    """Rows sum to 1; the largest entry is as often each precision's as its probability; cold samples are one-hot."""
    probabilities = torch.tensor([0.1, 0.6, 0.3])
    logits = probabilities.log().expand(20_000, 3).clone().requires_grad_()
    samples = gumbel_softmax(logits, 1.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(samples.sum(1), torch.ones(20_000))
    shares = torch.bincount(samples.argmax(1), minlength=3) / 20_000
    torch.testing.assert_close(shares, probabilities, atol=0.012, rtol=0)  # three standard errors
    hard = gumbel_softmax(logits, 0.01, torch.Generator().manual_seed(0))
    assert float(hard.detach().max(1).values.mean()) > 0.97 > float(samples.detach().max(1).values.mean())
    assert torch.equal(hard.argmax(1), samples.argmax(1))
    (gradient,) = torch.autograd.grad(samples[:, 0].sum(), logits)
    assert (gradient[:, 0] > 0).all()
    again = gumbel_softmax(logits, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(again, samples)


def optimised_bits(prices: tuple[float, float], steps: int = 18) -> list[float]:
    """Mean bits over the steps of a policy for a fixed network that should answer as it does in float."""
    torch.manual_seed(0)
    net = quantized("resnet8").requires_grad_(False)
    cost = bitops_cost(net, net.describe((SIZE, SIZE)))
    x = inputs(16, seed=5)
    labels = net(x, FLOAT).argmax(1)
    policy = Policy([8, 8, 8, 16, 16, 32], 3, prices).train()
    optimizer = torch.optim.Adam(policy.parameters(), 0.2)
    generator = torch.Generator().manual_seed(1)
    bits = []
    for _ in range(steps):
        found = policy_objective(net, policy, cost, x, labels, 1.0, generator)
        optimizer.zero_grad()
        torch.autograd.backward(found.loss)
        optimizer.step()
        bits.append(found.mean_bits)
    return bits


def test_a_high_price_drives_bits_down_and_a_low_one_up() -> None:
    """The same network, images and start: only the price range differs."""
    dear, cheap = optimised_bits((5.0, 50.0)), optimised_bits((1e-6, 1e-5))
    assert dear[0] == pytest.approx(cheap[0], abs=0.2)
    assert dear[-1] < 3 < dear[0]
    assert cheap[-1] > cheap[0] + 0.5


def test_an_objectives_step_says_what_it_found() -> None:
    """Cost within 0..1, a precision of the ladder for each group and image; the same generator, the same loss."""
    net = quantized("odd")
    cost = bitops_cost(net, net.describe((SIZE, SIZE)))
    policy = Policy([8, 128], 3, (0.01, 1.0))
    labels = torch.zeros(6, dtype=torch.int64)
    found, again = (
        policy_objective(net, policy, cost, inputs(6), labels, 1.0, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(found.loss, again.loss)
    assert 0 < found.cost < 1
    assert 2 < found.mean_bits < 8
    assert len(found.sampled) == 6
    assert {bits for row in found.sampled for bits in row} <= {2, 4, 8}
    assert all(len(row) == 2 for row in found.sampled)
