"""Does adapting pay? Several checkpoints (seeds) on the same labelled images: every way at equal mean measured time.

    python -m benchmarks.adaptivity models/resnet20-gtsrb/seed*.pt --data gtsrb-val.zip -o adaptivity.json

Thresholds and prices are calibrated on the held-out images that a checkpoint carries, for the times measured here; the
images given only judge. The part of the report that ``dqmq-deploy bench --adaptivity`` shows is made by the same code.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dqmq_deploy import Bundle, Dispatcher
from dqmq_deploy.export.compiled import open_compiled
from dqmq_deploy.export.run import export
from dqmq_deploy.report.adaptivity.bootstrap import tracks
from dqmq_deploy.report.adaptivity.compare import calibrate
from dqmq_deploy.report.adaptivity.protocol import PROTOCOLS, find_protocol
from dqmq_deploy.report.adaptivity.run import Chunks, adaptivity, answers, measured_times
from dqmq_deploy.report.environment import environment
from dqmq_deploy.report.latency import overhead_row
from dqmq_deploy.train.data import Dataset, open_dataset, require_same_classes

CHUNK = 64


def chunks(dataset: Dataset) -> Iterator[Any]:
    """The images in parts, with their labels."""
    for at in range(0, len(dataset), CHUNK):
        yield dataset.images[at : at + CHUNK], dataset.labels[at : at + CHUNK]


def judge(checkpoint: Path, data: Path, degrade: str, seconds: float, seed: int) -> dict[str, Any]:
    """What ``bench --adaptivity`` finds for the bundle of a checkpoint."""
    net = open_compiled(checkpoint)
    dataset = open_dataset(data, net.image_size)
    require_same_classes(net.classes, dataset, str(data))
    protocol = find_protocol(degrade)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(export(checkpoint, Path(folder) / "model.dqmq").path)
        parts: Chunks = chunks(dataset)
        found = answers(bundle, parts, protocol, seed)
        dispatch = overhead_row(Dispatcher(bundle), dataset.images[:64], 1)["dispatch_ms"]
        times = measured_times(bundle, dataset.images[:1], dispatch, seconds, seed)
    result = adaptivity(
        bundle, found, tracks(dataset.names), times, lambda time: calibrate(net.evidence, time), protocol, seed
    )
    return {"checkpoint": str(checkpoint), **result}


def spread(values: list[float]) -> dict[str, float]:
    """Mean, least and most over seeds."""
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values), "seeds": len(values)}


def over_seeds(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Every difference, group and equal-time row that all runs have, over seeds; with kernels where there are any."""
    label = next(iter(runs[0]["compared"]))
    compared = [run["compared"][label] for run in runs]
    common = set.intersection(*(set(found["differences"]) for found in compared))
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for index, at in enumerate(compared[0]["equal_time"]):
        if at["label"] != compared[0]["equal_time"][-1]["label"] or len(runs) == 1:
            named = [{row["name"]: row for row in found["equal_time"][index]["rows"]} for found in compared]
            both = [name for name in named[0] if all(name in found for found in named)]
            rows[at["label"]] = {name: spread([found[name]["accuracy"] for found in named]) for name in both}
    return {
        "differences": {
            key: spread([found["differences"][key]["difference"] for found in compared]) for key in sorted(common)
        },
        "equal_time": rows,
        "groups": {
            group["group"]: {
                way: spread([run["groups"][index]["accuracy"][way] for run in runs])
                for way in group["accuracy"]
                if all(way in run["groups"][index]["accuracy"] for run in runs)
            }
            for index, group in enumerate(runs[0]["groups"])
        },
    }


def show(run: dict[str, Any]) -> None:
    """One checkpoint's figures, as text."""
    print(f"\n{run['checkpoint']}: {run['protocol']}")
    for label, times in run["times"].items():
        told = ", ".join(f"{n} {ms:.4f}" for n, ms in zip(run["configurations"], times["graph_ms"], strict=True))
        print(f"  {label}, ms: {told}; estimator {times['estimator_ms']:.4f}, dispatch {times['dispatch_ms']:.4f}")
    for group in run["groups"]:
        cells = "  ".join(f"{name} {100 * value:.2f} %" for name, value in group["accuracy"].items())
        print(f"  {group['group']:34} {group['images']:6,}  {cells}")
    for label, compared in run["compared"].items():
        for at in compared["equal_time"]:
            print(f"  {label}, {at['label']}, {at['ms']:.4f} ms")
            for row in at["rows"]:
                print(f"    {row['name']:26} {100 * row['accuracy']:6.2f} %  at {row['ms']:.4f} ms")
        for key, value in compared["differences"].items():
            interval = f"({100 * value['low']:+.2f} to {100 * value['high']:+.2f})"
            print(f"    {key:26} {100 * value['difference']:+.2f} {interval}")
    print(f"  {run['verdict']}")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="labelled images: class folders or a zip of them")
    parser.add_argument("--degrade", choices=tuple(PROTOCOLS), default="mixed")
    parser.add_argument("--seconds", type=float, default=6.0, help="time to measure, for each checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = []
    for checkpoint in arguments.checkpoints:
        runs.append(judge(checkpoint, arguments.data, arguments.degrade, arguments.seconds, arguments.seed))
        show(runs[-1])
    together = over_seeds(runs)
    if len(runs) > 1:
        print(f"\nover {len(runs)} seeds, points: mean (least to most)")
        for key, value in together["differences"].items():
            print(f"  {key:28} {100 * value['mean']:+.2f} ({100 * value['low']:+.2f} to {100 * value['high']:+.2f})")
    if arguments.out:
        found = {"environment": environment(), "runs": runs, "over_seeds": together}
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
