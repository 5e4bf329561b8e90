"""Quality experts: who serves which image, and fine-tuning that changes one slot and nothing else."""

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from dqmq_deploy.policy.specialise import Specialisation, assign, fine_tune
from dqmq_deploy.quant.net import FLOAT, Choice, QuantNet
from dqmq_deploy.train.trainer import slot_parameters
from tests.quant.networks import inputs, quantized

COST = np.array([0.1, 0.4, 1.0])


def test_images_go_to_the_cheapest_that_is_right() -> None:
    """Ties go to the cheapest, also where none is right and where price is no object."""
    right = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 1]], bool)
    assert assign(right, COST, 0.02).tolist() == [0, 1, 2, 0, 0]
    assert assign(right, COST, 0.0).tolist() == [0, 1, 2, 0, 0]


def test_a_price_above_what_an_answer_is_worth_sends_all_to_the_cheapest() -> None:
    """Utility is 1 for a right answer minus price times cost."""
    right = np.array([[0, 0, 1], [0, 1, 1]], bool)
    assert assign(right, COST, 2.0).tolist() == [0, 1]
    assert assign(right, COST, 4.0).tolist() == [0, 0]


def frozen(net: QuantNet) -> list[torch.nn.Parameter]:
    """Freezes all but what belongs to slots, and gives that."""
    net.requires_grad_(False)
    found = slot_parameters(net)
    for parameter in found:
        parameter.requires_grad_(True)
    return found


@pytest.mark.parametrize("bf16", [False, True])
def test_fine_tuning_changes_its_slot_alone_and_lowers_the_loss(bf16: bool) -> None:
    """Weights, other slots and the float network stay bit for bit; batches come from the rows and from all, in turn."""
    net = quantized("odd")
    choices = net.add_slots([net.uniform(2), Choice((4, 2))])
    images = inputs(128, seed=7)
    asked: list[int | None] = []
    labels = net(images, FLOAT).argmax(1)
    rows = np.arange(64)

    def draw(chosen: npt.NDArray[np.int64] | None, step: int) -> tuple[Tensor, Tensor]:
        asked.append(None if chosen is None else len(chosen))
        picked = np.random.default_rng(step).choice(128 if chosen is None else chosen, 32, replace=False)
        return images[picked], labels[picked]

    def loss() -> float:
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(net(images, choices[1]), labels))

    parameters = frozen(net)
    before, first = copy.deepcopy(net.state_dict()), loss()
    fine_tune(net, choices[1], parameters, draw, rows, 0.5, Specialisation(30, 0.02, bf16=bf16))
    assert asked == [None, 64] * 15
    assert loss() < first
    assert not net.training
    changed = 0
    for name, value in net.state_dict().items():
        old = before[name]
        if name.endswith(("weights.weight", "weights.step", ".bias")) or name == "acts.image.step":
            assert torch.equal(value, old), name
            continue
        others = [row for row in range(len(value)) if row != choices[1].slot]
        assert torch.equal(value[others], old[others]), name
        changed += not torch.equal(value, old)
    assert changed >= 10


def test_too_few_images_of_ones_own_are_not_drawn_from() -> None:
    """Below 64, batches would repeat them: all come from the whole."""
    net = quantized("odd")
    (choice,) = net.add_slots([net.uniform(4)])
    asked: list[npt.NDArray[np.int64] | None] = []

    def draw(chosen: npt.NDArray[np.int64] | None, step: int) -> tuple[Tensor, Tensor]:
        asked.append(chosen)
        return inputs(8), torch.zeros(8, dtype=torch.int64)

    fine_tune(net, choice, frozen(net), draw, np.arange(63), 1.0, Specialisation(3, 0.01))
    assert asked == [None] * 3
