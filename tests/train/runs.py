"""Small training runs on pictures of four colours, a second or two each."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from dqmq_deploy.nets.load import build
from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.objective import bitops_cost
from dqmq_deploy.quant.net import prepare
from dqmq_deploy.train.loader import Batches
from dqmq_deploy.train.recipe import from_plain
from dqmq_deploy.train.trainer import Trainer

CLASSES = ("blue", "green", "red", "yellow")
SIZE = 16

RECIPE = """
name = "tiny"
seed = 3

[net]
name = "resnet8"
arguments = { width = 8 }

[data]
height = 16
width = 16
held_out = 0.25
kinds = ["noise", "low_light"]

[train]
batch_size = 16
float_epochs = 1
epochs = 1
warmup_steps = 2
average = 0.8
fuse = false
threads = 1
save_seconds = 0.0
evaluate_images = 24

[policy]
every = 2
images = 8

[compile]
configurations = 3
images = 16
rounds = 1
steps = 2

[estimator]
widths = [4, 6]
strides = [2, 2]
copies = 1
training_images = 32
epochs = 2
calibration_images = 8
"""


def coloured(count: int, seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Noisy pictures ``[count, 16, 16, 3]`` of the four colours in turn, and their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    colour = np.array([[40, 60, 200], [50, 190, 60], [200, 50, 50], [200, 190, 50]])[labels]
    noisy = colour[:, None, None] + rng.normal(0, 30, (count, SIZE, SIZE, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


def write_pictures(root: Path, per_class: int = 24) -> Path:
    """The same as PNG files in class folders."""
    pixels, labels = coloured(per_class * len(CLASSES))
    for index, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"picture{index:03}.png")
    return root


def make_trainer(shrinks: tuple[int, ...] = (1,), device: str = "cpu", **train: Any) -> Trainer:
    """A trainer on 64 pictures in four batches an epoch, with these settings of the recipe's ``train`` section."""
    recipe = from_plain(tomllib.loads(RECIPE))
    recipe = replace(recipe, train=replace(recipe.train, **train))
    images, labels = coloured(64)
    batches = Batches(images, labels, recipe.train.batch_size, recipe.seed, 0.5, recipe.data.kinds)
    torch.manual_seed(recipe.seed)
    net = prepare(build("resnet8", len(CLASSES), width=8), shrinks=shrinks)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    policy = Policy([8, 8, 8, 16, 16, 32], 3, (recipe.policy.price_low, recipe.policy.price_high))
    cost = bitops_cost(net, net.describe((SIZE, SIZE)))
    return Trainer(recipe, net.to(device), policy.to(device), cost, batches)
