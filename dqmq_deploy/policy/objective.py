"""The hybrid objective: supervised training of the network, model-based optimisation of the policy.

The quantized network itself is the policy's model: in :func:`rollout` every group mixes its precisions with the weights
of a relaxed (Gumbel-softmax, Jang et al., arXiv 1611.01144) sample, so the gradient of

    cross-entropy  +  price x expected cost

reaches the agents along the path of the data. Cost is relative: 1 is every inner layer at the top of the ladder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from dqmq_deploy.bits import Layer
from dqmq_deploy.errors import RecipeError
from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.quant.layers import QuantConv
from dqmq_deploy.quant.net import QuantNet
from dqmq_deploy.quant.spec import ConvSpec, LinearSpec


@dataclass(frozen=True)
class CostTable:
    """Relative cost of each group at each precision, ``[groups, levels]``; the dearest choice sums to 1."""

    table: Tensor

    def expected(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Expected cost per image, ``[N]``, of one distribution ``[N, levels]`` per group."""
        costs = [p @ row for p, row in zip(probabilities, self.table.to(probabilities[0].device), strict=True)]
        return torch.stack(costs).sum(0)


def bitops_cost(net: QuantNet, layers: Sequence[Layer]) -> CostTable:
    """Cost by BitOPs: MACs x bits squared."""
    macs = {layer.name: layer.macs for layer in layers}
    rows = [[sum(macs[name] for name in group) * bits**2 for bits in net.ladder] for group in net.groups]
    return _relative(torch.tensor(rows, dtype=torch.float32))


def measured_cost(net: QuantNet, path: Path) -> CostTable:
    """Cost by a table of measured latencies: JSON ``{layer: {bits: milliseconds}}``.

    Raises:
        RecipeError: the file is not such a table, or a layer or precision is missing.
    """
    try:
        table = json.loads(path.read_text())
        rows = [[sum(float(table[name][str(bits)]) for name in group) for bits in net.ladder] for group in net.groups]
        if not all(0 < ms < math.inf for row in rows for ms in row):
            raise ValueError("a latency is not above 0")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(
            f"{path}: expected a JSON table {{layer: {{bits: ms}}}} with every inner layer at {net.ladder}: {error!r}"
        ) from error
    return _relative(torch.tensor(rows, dtype=torch.float32))


def _relative(rows: Tensor) -> CostTable:
    return CostTable(rows / rows[:, -1].sum())


Pick = Callable[[int, Tensor], Tensor]
"""From a group and its input tensor to mixing weights ``[N, levels]`` that sum to 1."""


def rollout(net: QuantNet, images: Tensor, pick: Pick) -> tuple[Tensor, list[Tensor]]:
    """One pass through the network with every precision of every inner layer, mixed by ``pick``.

    Where the weights are one precision's alone, it equals the network at that precision.

    Returns:
        Logits ``[N, classes]`` and the mixing weights of each group, ``[N, levels]``.
    """
    weights: dict[int, Tensor] = {}

    def mixed(group: int, tensor: Tensor, at: Callable[[int], Tensor]) -> Tensor:
        """The results of ``at`` each precision, weighted by what ``group`` picks for ``tensor``, its input."""
        if group not in weights:
            weights[group] = pick(group, tensor)
        total: Tensor | None = None
        for level, bits in enumerate(net.ladder):
            part = weights[group][:, level]
            if not part.requires_grad and not bool(part.any()):
                continue
            y = at(bits)
            y = y * part.to(y.dtype).reshape(-1, *[1] * (y.dim() - 1))
            total = y if total is None else total + y
        assert total is not None
        return total

    def slot(bits: int) -> int:
        return 1 + net.ladder.index(bits)

    def settle(tensor: str, value: Tensor) -> Tensor:
        holder = net.holder.get(tensor)
        if holder != tensor or holder in net.group_of:
            return value  # groups quantize their input themselves, once per precision
        settled: Tensor = net.act(tensor)(value, slot(8))
        return settled

    def read(tensor: str, value: Tensor) -> Tensor:
        group, act = net.group_of.get(net.holder[tensor]), net.act(tensor)
        return value if group is None else mixed(group, value, lambda bits: act(value, slot(bits), bits))

    def run(spec: ConvSpec | LinearSpec, source: Tensor) -> Tensor:
        layer, act = net.layer(spec.name), net.act(spec.input)

        def compute(x: Tensor, bits: int) -> Tensor:
            y: Tensor = layer(x, bits, slot(bits)) if isinstance(layer, QuantConv) else layer(x, bits)
            return y

        if spec.name in net.edges:
            return compute(read(spec.input, source), 8)
        group = net.group_of[net.holder[spec.input]]
        return mixed(
            group, source, lambda bits: compute(act.narrow(act(source, slot(bits), bits), slot(bits), bits), bits)
        )

    logits = net.walk(images, run, settle, read, saturating=True)
    return logits, [weights[group] for group in range(len(net.groups))]


def gumbel_softmax(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """A relaxed one-hot sample per row, ``[N, levels]``; differentiable, harder at a low temperature."""
    uniform = torch.rand(logits.shape, generator=generator).clamp_(1e-6, 1 - 1e-6).to(logits.device)
    return F.softmax((logits - torch.log(-torch.log(uniform))) / temperature, dim=1)


@dataclass(frozen=True)
class PolicyStep:
    """What one step of policy optimisation found."""

    loss: Tensor
    mean_bits: float
    cost: float
    sampled: list[tuple[int, ...]]  # a precision per group, for each image


def policy_objective(
    net: QuantNet,
    policy: Policy,
    cost: CostTable,
    images: Tensor,
    labels: Tensor,
    temperature: float,
    generator: torch.Generator,
) -> PolicyStep:
    """Cross-entropy + price x expected cost on one batch, a price drawn per image, evenly in its logarithm.

    ``generator`` is the CPU's, wherever the network is.
    """
    low, high = policy.prices
    price = low * (high / low) ** torch.rand(len(images), generator=generator).to(images.device)
    logits_of: dict[int, Tensor] = {}

    def pick(group: int, tensor: Tensor) -> Tensor:
        logits_of[group] = policy.logits(group, tensor.detach(), price)
        return gumbel_softmax(logits_of[group], temperature, generator)

    logits, samples = rollout(net, images, pick)
    probabilities = [F.softmax(logits_of[group], dim=1) for group in range(len(net.groups))]
    expected = cost.expected(probabilities)
    loss = (F.cross_entropy(logits.float(), labels, reduction="none") + price * expected).mean()
    levels = torch.stack([sample.argmax(1) for sample in samples], 1).cpu()
    ladder = torch.tensor(net.ladder)
    sampled = [tuple(row) for row in ladder[levels].tolist()]
    mean_bits = float((torch.stack(probabilities).detach().cpu() @ ladder.float()).mean())
    return PolicyStep(loss, mean_bits, float(expected.detach().mean()), sampled)
