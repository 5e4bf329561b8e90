"""Accuracy of trained networks at every precision that they share weights for, and of each configuration alone.

    python -m benchmarks.precisions run/*/checkpoint.pt --data gtsrb-val.zip -o precisions.json

What levers of training are judged by (models/ablation.md): the same images for every checkpoint, as they are and
half of them degraded; kinds that training never saw are told apart. Torch computes, as fake quantization does.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dqmq_deploy.degradations.kinds import KINDS, PROTOCOL_KINDS, UNSEEN_KINDS, mixed
from dqmq_deploy.quant.net import Choice, QuantNet
from dqmq_deploy.train import checkpoint
from dqmq_deploy.train.data import open_dataset, require_same_classes
from dqmq_deploy.train.evaluate import right
from dqmq_deploy.train.pixels import normalised


def choices(net: QuantNet, content: dict[str, Any]) -> dict[str, Choice]:
    """What is measured, by name: configurations, and each uniform precision where training went on with them."""
    found = {
        entry["name"]: Choice(tuple(entry["bits"]), entry["slot"], entry["shrink"])
        for entry in content["configurations"]
    }
    train = content["recipe"]["train"]
    if train.get("settle_epochs"):
        return found
    found |= {str(bits): net.uniform(bits) for bits in net.ladder}
    bits = train["shrunk_bits"]
    return found | {f"{bits}, 1/{shrink}": net.uniform(bits, shrink) for shrink in net.shrinks[1:]}


def accuracies(path: Path, data: Path, seed: int, limit: int | None) -> dict[str, dict[str, float]]:
    """``{choice: {as_it_is, mixed, degraded, unseen: accuracy}}`` of one checkpoint on the images of ``data``."""
    content = checkpoint.load(path)
    net = QuantNet.from_plain(content["structure"])
    net.load_state_dict(content["state"])
    size = content["preprocessing"]
    dataset = open_dataset(data, (size["height"], size["width"]))
    require_same_classes(content["classes"], dataset, str(data))
    rows = np.random.default_rng(seed).permutation(len(dataset))[:limit]
    images, labels = dataset.images[rows], dataset.labels[rows]
    image = net.act("image")
    degraded, kind, _ = mixed(images, np.random.default_rng(seed), kinds=PROTOCOL_KINDS)

    def correct(pixels: npt.NDArray[np.uint8], choice: Choice) -> npt.NDArray[np.bool_]:
        return right(net, normalised(pixels, float(image.step[0]), image.zero_point), labels, choice)

    unseen = np.isin(kind, [KINDS.index(name) for name in UNSEEN_KINDS])
    found = {}
    for name, choice in choices(net, content).items():
        plain, spoilt = correct(images, choice), correct(degraded, choice)
        found[name] = {
            "as_it_is": float(plain.mean()),
            "mixed": float(spoilt.mean()),
            "degraded": float(spoilt[(kind >= 0) & ~unseen].mean()),
            "unseen": float(spoilt[unseen].mean()),
        }
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="labelled images: class folders or a zip of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, help="so many of them, drawn with the seed; default: all")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, Any] = {}
    for path in arguments.checkpoints:
        table[str(path)] = accuracies(path, arguments.data, arguments.seed, arguments.images)
        print(f"{path}: as it is, mixed, kinds seen, kinds unseen")
        for name, row in table[str(path)].items():
            print(f"  {name:14} " + "  ".join(f"{100 * value:6.2f} %" for value in row.values()), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
