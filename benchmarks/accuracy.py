"""The figures of a model card: accuracy of the real graphs on images not trained on, as they are and at mixed quality.

    python -m benchmarks.accuracy models/resnet20-gtsrb/checkpoint.pt --data gtsrb-val.zip -o metrics.json

A card takes ``metrics.json`` and, for other images, every ``metrics-*.json`` beside it.

Mixed quality: half of the images, drawn with the seed, are degraded by one of ten kinds, four of them not in training,
at one of five severities.
Agreement with torch is counted on the first 1,000 of the mixed images.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dqmq_deploy import Bundle
from dqmq_deploy.degradations.kinds import KINDS, PROTOCOL_KINDS, mixed
from dqmq_deploy.export.compiled import Compiled, open_compiled
from dqmq_deploy.export.run import export
from dqmq_deploy.report.accuracy import accuracy_table, adaptive_right
from dqmq_deploy.report.environment import environment
from dqmq_deploy.report.outcomes import Outcomes
from dqmq_deploy.routing import answers_after, evidence_of
from dqmq_deploy.runtime.dispatcher import MICRO_BATCH
from dqmq_deploy.runtime.sessions import Sessions
from dqmq_deploy.train.data import open_dataset, require_same_classes

AGREEMENT_IMAGES = 1000

Pixels = npt.NDArray[np.uint8]


def outcomes(bundle: Bundle, images: Pixels, labels: npt.NDArray[np.int64]) -> Outcomes:
    """What every configuration says of images ``[N, H, W, 3]``."""
    sessions = Sessions(bundle)
    parts = [images[at : at + MICRO_BATCH] for at in range(0, len(images), MICRO_BATCH)]
    p_right = np.concatenate([sessions.p_right(part) for part in parts])
    logits = np.stack(
        [np.concatenate([sessions.logits(index, part) for part in parts]) for index in sessions.loaded], axis=1
    )
    memory = np.array(bundle.manifest.memory)
    evidence = evidence_of(p_right, logits, labels, memory)
    return Outcomes(
        p_right=p_right,
        predicted=logits.argmax(axis=2),
        after=answers_after(logits, memory),
        score=evidence.score,
        baseline_predicted={},
        truth=labels,
        decode_ms=np.zeros(len(images)),
        sample=images[:0],
        unreadable=[],
    )


def agreement(net: Compiled, found: Outcomes, images: Pixels) -> dict[str, float]:
    """Share of images on which torch and onnxruntime name the same class, for each configuration."""
    return {
        configuration.name: float(
            (net.reference_logits(index, images).argmax(1) == found.predicted[: len(images), index]).mean()
        )
        for index, configuration in enumerate(net.configurations)
    }


def by_kind(found: Outcomes, kind: npt.NDArray[np.int64], names: list[str]) -> dict[str, dict[str, float]]:
    """Accuracy of every configuration on the images of each kind of degradation."""
    assert found.truth is not None
    right = found.predicted == found.truth[:, None]
    rows = {"as it is": kind < 0} | {name: kind == index for index, name in enumerate(KINDS)}
    return {
        label: {"images": int(chosen.sum()), **dict(zip(names, right[chosen].mean(0).tolist(), strict=True))}
        for label, chosen in rows.items()
        if chosen.any()
    }


def by_class(right: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], classes: list[str]) -> dict[str, Any]:
    """Images and accuracy of every class that has any, the worst class first."""
    rows = [(float(right[labels == k].mean()), k) for k in range(len(classes)) if (labels == k).any()]
    return {classes[k]: {"images": int((labels == k).sum()), "accuracy": share} for share, k in sorted(rows)}


def summary(table: dict[str, Any]) -> dict[str, Any]:
    """The part of an accuracy table that a card needs."""
    rows = {row["name"]: {key: row[key] for key in ("accuracy", "low", "high", "bitops")} for row in table["rows"]}
    keep = (
        "images",
        "price",
        "runs",
        "random",
        "escalation",
        "best_static",
        "adaptive_minus_best_static",
        "adaptive_minus_random",
    )
    oracle = {key: table["oracle"][key] for key in ("accuracy", "low", "high", "bitops")}
    return {"rows": rows, "oracle": oracle} | {key: table[key] for key in keep}


def measure(checkpoint: Path, data: Path, seed: int) -> dict[str, Any]:
    """Export ``checkpoint`` and measure it on the labelled images of ``data``."""
    net = open_compiled(checkpoint)
    dataset = open_dataset(data, net.image_size)
    require_same_classes(net.classes, dataset, str(data))
    with tempfile.TemporaryDirectory() as folder:
        result = export(checkpoint, Path(folder) / "model.dqmq")
        bundle = Bundle.open(result.path)
        manifest = bundle.manifest
        names = [entry.name for entry in manifest.configurations]
        price = manifest.default_price
        plain = outcomes(bundle, dataset.images, dataset.labels)
        images, kind, _ = mixed(dataset.images, np.random.default_rng(seed), kinds=PROTOCOL_KINDS)
        degraded = outcomes(bundle, images, dataset.labels)
        part = images[:AGREEMENT_IMAGES]
        tables = [accuracy_table(found, manifest, price, seed) for found in (plain, degraded)]
        assert tables[0] is not None and tables[1] is not None
        return {
            "data": data.name if data.exists() else "/".join(data.parts[-2:]),  # or a folder in an archive
            "as_it_is": summary(tables[0]),
            "mixed": summary(tables[1]),
            "mixed_by_kind": by_kind(degraded, kind, names),
            "mixed_by_class": by_class(adaptive_right(degraded, manifest, price), dataset.labels, net.classes),
            "agreement_with_torch": {"images": len(part), **agreement(net, degraded, part)},
            "configurations": {
                entry.name: {"bits": dict(entry.bits), "bitops": entry.bitops, "bytes": entry.bytes, "cost": entry.cost}
                for entry in manifest.configurations
            },
            "seed": seed,
            "training": net.notes,
            "environment": environment(),
        }


def main() -> None:
    """Measure and print; write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="labelled images: class folders or a zip of them")
    parser.add_argument("-o", "--out", type=Path, help="metrics.json")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = measure(arguments.checkpoint, arguments.data, arguments.seed)
    text = json.dumps(found, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    for name in ("as_it_is", "mixed"):
        part = found[name]
        print(f"{name}: {part['images']} images, price {part['price']:.4g}")
        for row, values in part["rows"].items():
            interval = f"[{values['low']:.2%}, {values['high']:.2%}]"
            print(f"  {row:12} {values['accuracy']:7.2%}  {interval}  {values['bitops']:.4g} BitOPs")
        print(f"  random at the same mix {part['random']['expected']:.2%}, oracle {part['oracle']['accuracy']:.2%}, "
              f"escalation {part['escalation']['accuracy']:.2%} at the same BitOPs")  # fmt: skip
    print("agreement with torch:", found["agreement_with_torch"])


if __name__ == "__main__":
    main()
