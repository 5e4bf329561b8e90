"""What quantization-aware training costs: a joint step (sampled precision, policy included) against a float step.

    python -m benchmarks.qat_step --net resnet20 --batch-size 128

The two trainers take turns in blocks on the same random batches; the figure is the median of the blocks' ratios. A
block is as long as the policy's period, so that every joint one holds exactly one policy step.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch

from dqmq_deploy.nets.load import build
from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.objective import bitops_cost
from dqmq_deploy.quant import steps
from dqmq_deploy.quant.net import prepare
from dqmq_deploy.train.loader import Batches
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.recipe import from_plain
from dqmq_deploy.train.trainer import Trainer


def trainer(net_name: str, batch_size: int, size: int, float_epochs: int, bf16: bool) -> Trainer:
    """A trainer on random images, ready to step."""
    recipe = from_plain(
        {
            "name": "speed",
            "net": {"name": net_name},
            "data": {"height": size, "width": size},
            "train": {"batch_size": batch_size, "float_epochs": float_epochs, "bf16": bf16},
        }
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * batch_size, size, size, 3), dtype=np.uint8)
    batches = Batches(images, rng.integers(0, 10, len(images)), batch_size, seed=0)
    torch.manual_seed(0)
    net = prepare(build(net_name, 10)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = recipe.policy
    policy = Policy(net.group_channels(), len(net.ladder), (settings.price_low, settings.price_high))
    ready = Trainer(recipe, net, policy, bitops_cost(net, net.describe((size, size))), batches)
    if not float_epochs:
        ready.enter_quantization(normalised(images[:64], recipe.data.image_scale, recipe.data.image_zero_point))
    return ready


def block(ready: Trainer, count: int) -> float:
    """Seconds of ``count`` steps, batches prepared beforehand."""
    batches = [ready.batches.batch(0, index % len(ready.batches)) for index in range(count)]
    start = time.perf_counter()
    for batch in batches:
        ready.step(batch)
        ready.position.step += 1
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="resnet20")
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--float32", action="store_true", help="both without bfloat16 autocast")
    parser.add_argument("--eager", action="store_true", help="fake quantization without compilation")
    arguments = parser.parse_args()
    if not arguments.eager:
        steps.fuse()
    made = [
        trainer(arguments.net, arguments.batch_size, arguments.size, float_epochs, not arguments.float32)
        for float_epochs in (1000, 0)
    ]
    count = made[0].recipe.policy.every
    for ready in made:
        for _ in range(3):  # every precision is compiled and warm
            block(ready, count)
    ratios, seconds = [], []
    for _ in range(arguments.blocks):
        plain, joint = block(made[0], count), block(made[1], count)
        ratios.append(joint / plain)
        seconds.append((plain / count, joint / count))
    print(
        json.dumps(
            {
                "net": arguments.net,
                "threads": torch.get_num_threads(),
                "float_step_seconds": round(statistics.median(row[0] for row in seconds), 4),
                "joint_step_seconds": round(statistics.median(row[1] for row in seconds), 4),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
                "blocks": arguments.blocks,
                "steps_a_block": count,
            }
        )
    )


if __name__ == "__main__":
    main()
