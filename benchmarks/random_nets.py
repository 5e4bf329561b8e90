"""Shipped networks with random weights, compiled as training would: for sizes and times, which no weight changes."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from dqmq_deploy.bits import Configuration
from dqmq_deploy.export.compiled import Compiled
from dqmq_deploy.nets.load import build
from dqmq_deploy.quality.estimator import Estimator
from dqmq_deploy.quant.initial import initialise
from dqmq_deploy.quant.layers import SwitchableNorm
from dqmq_deploy.quant.net import Choice, QuantNet, prepare
from dqmq_deploy.routing import evidence_of
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.recipe import EstimatorSettings

IMAGE_SIZES = {"resnet8": 32, "resnet20": 32, "resnet18": 224, "mobilenetv2": 224}
CLASSES = {"resnet8": 10, "resnet20": 10, "resnet18": 1000, "mobilenetv2": 1000}


def random_net(name: str, seed: int = 0) -> QuantNet:
    """A shipped network by name, its normalisation and step sizes fitted to random images."""
    torch.manual_seed(seed)
    images = random_images(name, seed)
    model = build(name, CLASSES[name])
    _settle(model, lambda: model(images))
    net = prepare(model)
    initialise(net, images)
    return net.eval().requires_grad_(False)


def random_images(name: str, seed: int = 0) -> torch.Tensor:
    """A few images of noise as ``name`` reads them: float32 ``[4, 3, H, W]``."""
    size = IMAGE_SIZES[name]
    images = np.random.default_rng(seed).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    return normalised(images, 1 / 64, 128)


def add_choices(net: QuantNet, name: str, choices: Sequence[Choice], seed: int = 0) -> list[Choice]:
    """Slots for ``choices``, as a compiled network has them, the normalisation of each fitted to random images.

    Without it codes die out on their way through an untrained network of 2 bits, and all its activations end up zero.
    """
    images = random_images(name, seed)
    added = net.add_slots(choices)
    for choice in added:
        _settle(net, partial(net, images, choice))
    return added


@torch.no_grad()
def _settle(model: nn.Module, run: Callable[[], object]) -> None:
    """Set every normalisation to the statistics of what it sees in ``run``."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | SwitchableNorm)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    run()
    model.eval()
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def random_compiled(name: str, seed: int = 0) -> Compiled:
    """Four configurations: uniform 2, 4 and 8 bits, and one that mixes all three; an untrained estimator."""
    net = random_net(name, seed)
    levels = np.arange(len(net.groups)) % len(net.ladder)
    mixture = Choice(tuple(net.ladder[level] for level in levels))
    choices = add_choices(net, name, [net.uniform(2), net.uniform(4), mixture, net.uniform(8)], seed)
    size = IMAGE_SIZES[name]
    rng = np.random.default_rng(seed)
    settings = EstimatorSettings()
    names = ("w2", "w4", "mixed", "w8")
    return Compiled(
        name=f"{name}-random",
        classes=[str(index) for index in range(CLASSES[name])],
        image_size=(size, size),
        layers=net.describe((size, size)),
        configurations=[Configuration(n, net.layer_bits(c)) for n, c in zip(names, choices, strict=True)],
        choices=choices,
        net=net,
        estimator=Estimator(list(settings.widths), list(settings.strides), len(choices)).eval(),
        calibration_images=rng.integers(0, 256, (16, size, size, 3), dtype=np.uint8),
        calibration_labels=rng.integers(0, CLASSES[name], 16),
        evidence=evidence_of(
            np.full((16, len(choices)), 0.5, np.float32),
            rng.normal(size=(16, len(choices), CLASSES[name])),
            rng.integers(0, CLASSES[name], 16),
            np.zeros((len(choices), len(choices))),
        ),
        float_state=net.float_state(),
    )
