"""Does adapting pay? Several checkpoints or bundles (seeds) on the same labelled images, at equal mean measured time.

    python -m benchmarks.adaptivity models/resnet20-gtsrb/seed*.pt --data gtsrb-val.zip -o adaptivity.json

Prices and thresholds are those of the bundle, fitted on images that training held out; the images given only judge. For
ways that no bundle takes they come from a checkpoint's held-out images, for a bundle from the other half of the images.
Every figure is told as its mean over the seeds with the least and the most. ``dqmq-deploy bench --adaptivity`` does the
same for one bundle.
"""

import argparse
import json
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dqmq_deploy import Bundle
from dqmq_deploy.errors import InputError
from dqmq_deploy.export.compiled import open_compiled
from dqmq_deploy.export.run import export
from dqmq_deploy.report.adaptivity.collect import Answers, Labelled
from dqmq_deploy.report.adaptivity.protocol import PROTOCOLS, find_protocol
from dqmq_deploy.report.adaptivity.run import BUNDLED, Fit, adaptivity
from dqmq_deploy.report.adaptivity.seeds import over_seeds, spread
from dqmq_deploy.report.adaptivity.settings import Fold, Times, as_bundled, calibrate, for_all
from dqmq_deploy.report.adaptivity.timing import measure_times
from dqmq_deploy.report.environment import environment, machine_line
from dqmq_deploy.report.markdown import adaptivity as as_markdown
from dqmq_deploy.routing import Evidence
from dqmq_deploy.show import show_adaptivity
from dqmq_deploy.train.data import Dataset, open_dataset, require_same_classes

HELD_OUT = "images that training held out"


def labelled(dataset: Dataset, classes: Sequence[str], where: str) -> Labelled:
    """A data set as the harness wants it, with its labels as positions in the bundle's ``classes``."""
    if set(classes) != set(dataset.classes):
        require_same_classes(classes, dataset, where)
    position = np.array([list(classes).index(name) for name in dataset.classes], np.int64)
    return Labelled(dataset.names, tuple(classes), position[dataset.labels], lambda rows: dataset.images[list(rows)])


def held_out(evidence: Evidence, bundle: Bundle) -> Fit:
    """Settings of the bundle, and for ways that it does not take such as fit ``evidence``."""

    def fit(found: Answers, times: Times, track: npt.NDArray[np.int64]) -> Sequence[Fold]:
        return as_bundled(for_all(calibrate(evidence, times), len(track)), bundle.manifest)

    return fit


def judge(path: Path, data: Path, degrade: str, copies: int, seconds: float, seed: int) -> dict[str, Any]:
    """What ``bench --adaptivity`` finds for a bundle, or for the bundle of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None if path.is_dir() else open_compiled(path)
        bundle = Bundle.open(path if checkpoint is None else export(path, Path(folder) / "model.dqmq").path)
        size = bundle.manifest.preprocessing
        dataset = open_dataset(data, (size.height, size.width))
        images = labelled(dataset, bundle.manifest.classes, str(data))
        timed = measure_times(bundle, dataset.images, seconds, seed)
        found = adaptivity(
            bundle,
            images,
            find_protocol(degrade),
            timed,
            seed=seed,
            copies=copies,
            fit=None if checkpoint is None else held_out(checkpoint.evidence, bundle),
            fitted_on=BUNDLED if checkpoint is None else HELD_OUT,
        )
    return {"path": str(path), **found}


def renamed(run: Any, names: Sequence[str], alike: Sequence[str]) -> Any:
    """``run`` with configurations called ``alike`` instead of ``names``, in keys, labels and sentences.

    Seeds compile to configurations of nearly, but not quite, the same bits; only those of one name can be averaged.
    """
    other = dict(zip(names, alike, strict=True))
    whole = re.compile(
        "|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\d)" for name in sorted(names, key=len)[::-1])
    )

    def rename(value: Any) -> Any:
        if isinstance(value, str):
            return whole.sub(lambda found: other[found[0]], value)
        if isinstance(value, dict):
            return {rename(key): rename(entry) for key, entry in value.items()}
        return [rename(entry) for entry in value] if isinstance(value, list) else value

    return rename(run)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", help="checkpoints, or bundles")
    parser.add_argument("--data", type=Path, required=True, help="labelled images: class folders or a zip of them")
    parser.add_argument("--degrade", choices=tuple(PROTOCOLS), default="mixed")
    parser.add_argument("--copies", type=int, default=1, help="of each image, every one degraded by another draw")
    parser.add_argument("--seconds", type=float, default=6.0, help="time to measure, for each of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="a .json; the tables beside it as .md")
    arguments = parser.parse_args()
    find_protocol(arguments.degrade).check_copies(arguments.copies)
    torch.set_num_threads(1)
    facts = environment()
    runs = [
        judge(path, arguments.data, arguments.degrade, arguments.copies, arguments.seconds, arguments.seed)
        for path in arguments.paths
    ]
    first = runs[0]["configurations"]
    if all(len(run["configurations"]) == len(first) for run in runs):
        runs = [{**renamed(run, run["configurations"], first), "named": run["configurations"]} for run in runs]
    show_adaptivity(runs)
    together = over_seeds(runs)
    if len(runs) > 1:
        print(together)
    if arguments.out:
        command = shlex.join(["python", "-m", "benchmarks.adaptivity", *sys.argv[1:]])
        found = {
            "environment": facts,
            "command": command,
            "seed": arguments.seed,
            "verdict": together,
            "over_seeds": spread(runs) if len(runs) > 1 else None,
            "runs": runs,
        }
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
        text = [*as_markdown(runs), *([together] if len(runs) > 1 else []), machine_line(facts), f"    {command}"]
        arguments.out.with_suffix(".md").write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
