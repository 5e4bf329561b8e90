"""Shipped networks with random weights, compiled as training would: for sizes and times, which no weight changes."""

import numpy as np
import torch

from dqmq_deploy.bits import Configuration
from dqmq_deploy.export.compiled import Compiled
from dqmq_deploy.nets.load import build
from dqmq_deploy.quality.estimator import Estimator
from dqmq_deploy.quant.initial import initialise
from dqmq_deploy.quant.net import Choice, QuantNet, prepare
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.recipe import EstimatorSettings

IMAGE_SIZES = {"resnet8": 32, "resnet20": 32, "resnet18": 224, "mobilenetv2": 224}
CLASSES = {"resnet8": 10, "resnet20": 10, "resnet18": 1000, "mobilenetv2": 1000}


def random_net(name: str, seed: int = 0) -> QuantNet:
    """A shipped network by name, its step sizes fitted to random images."""
    torch.manual_seed(seed)
    net = prepare(build(name, CLASSES[name]))
    size = IMAGE_SIZES[name]
    images = np.random.default_rng(seed).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    initialise(net, normalised(images, 1 / 64, 128))
    return net.eval().requires_grad_(False)


def random_compiled(name: str, seed: int = 0) -> Compiled:
    """Four configurations: uniform 2, 4 and 8 bits, and one that mixes all three; an untrained estimator."""
    net = random_net(name, seed)
    levels = np.arange(len(net.groups)) % len(net.ladder)
    mixture = Choice(tuple(net.ladder[level] for level in levels))
    choices = net.add_slots([net.uniform(2), net.uniform(4), mixture, net.uniform(8)])
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
        curve_p_right=np.full((16, len(choices)), 0.5, np.float32),
        curve_right=rng.integers(0, 2, (16, len(choices)), dtype=np.uint8),
        default_price=0.0,
        float_state=net.float_state(),
    )
