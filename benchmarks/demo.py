"""The main job on real images, from a shipped checkpoint to the report: what ``make demo`` runs.

Handwritten digits that ``models/resnet8-digits`` never saw are written as image files, half of them degraded; the
checkpoint is exported, the folder served, the bundle measured. Everything lands in ``demo/``; the three commands are
printed as one would type them.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.digits import load
from dqmq_deploy.degradations.kinds import AS_IT_IS, KINDS, mixed
from dqmq_deploy.report.numbers import percent
from dqmq_deploy.show import table
from dqmq_deploy.terminal import console

CHECKPOINT = Path("models/resnet8-digits/checkpoint.pt")
FOLDER = Path("demo")
SEED = 0

QUALITIES = (
    ("as they are", (0,)),
    ("degraded a little (1, 2)", (1, 2)),
    ("degraded (3)", (3,)),
    ("badly (4, 5)", (4, 5)),
)
"""Rows of the table by quality, and the severities in each."""


def write_images(folder: Path) -> int:
    """Write the held-out digits as ``folder/<class>/<index>-<kind>-<severity>.png``; return how many.

    Half of them are degraded, kind and severity drawn evenly; the others are called ``as-is-0``.
    """
    images, labels, index = load("test")
    images, kinds, severities = mixed(images, np.random.default_rng(SEED), share=0.5)
    shutil.rmtree(folder, ignore_errors=True)
    for image, label, i, kind, severity in zip(images, labels, index, kinds, severities, strict=True):
        name = "as-is" if kind == AS_IT_IS else KINDS[kind]
        path = folder / str(label) / f"{i:04d}-{name}-{severity}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return len(images)


def run(*words: str) -> None:
    """Run a ``dqmq-deploy`` command as a user would, and end the demo with its exit code if it fails."""
    console().print(f"\n[bold]$ dqmq-deploy {shlex.join(words)}[/]")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "dqmq_deploy.cli", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def severity_of(record: dict[str, Any]) -> int:
    """Severity 0 to 5, as the file's name tells it."""
    return int(Path(record["image"]).stem.rsplit("-", 1)[1])


def accuracy(records: Sequence[dict[str, Any]]) -> float:
    """Share of the records whose label is the folder that the image lies in."""
    return float(np.mean([record["label"] == Path(record["image"]).parent.name for record in records]))


def print_results(path: Path) -> None:
    """Print accuracy and routes by how badly the images were degraded, from the records in ``path``."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    routes = sorted(Counter(record["config"] for record in records))
    groups = [(name, [r for r in records if severity_of(r) in severities]) for name, severities in QUALITIES]
    rows = []
    for name, chosen in [*groups, ("all", records)]:
        sent = Counter(record["config"] for record in chosen)
        again = sum(record["escalated"] for record in chosen) / len(chosen)
        shares = [percent(sent[route] / len(chosen)) for route in routes]
        rows.append((name, len(chosen), percent(accuracy(chosen)), percent(again), *shares))
    columns = ("images", ">count", ">accuracy", ">seen twice", *(f">by {route}" for route in routes))
    out = console()
    out.print()
    out.print(table("By how badly we degraded the images", columns, rows))


def main() -> None:
    """Run the demo."""
    start = time.monotonic()
    images, bundle, results, report = (
        FOLDER / name for name in ("images", "resnet8-digits.dqmq", "results.jsonl", "report")
    )
    print(f"{write_images(images)} held-out handwritten digits in {images}, half of them degraded")
    run("export", str(CHECKPOINT), "-o", str(bundle), "--with-baselines")
    serving = ("serve", "--images", str(images), "--bundle", str(bundle), "--labels", "folders", "-o", str(results))
    run(*serving)
    print_results(results)
    run("bench", str(bundle), "--images", str(images), "--seconds", "3", "-o", str(report))
    console().print(
        f"\nDone in {time.monotonic() - start:.0f} s. The report: [bold]{(report / 'report.html').resolve()}[/]",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
