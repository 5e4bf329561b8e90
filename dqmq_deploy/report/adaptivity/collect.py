"""What every graph of a bundle says of labelled images, spoilt by a protocol."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import DataError, ImageError
from dqmq_deploy.images import decode, find_images
from dqmq_deploy.report.adaptivity.protocol import Protocol, spoil
from dqmq_deploy.report.outcomes import labels_from_folders
from dqmq_deploy.report.runners import OnnxRunner, Pixels
from dqmq_deploy.routing import Evidence, answers_after, top_score

CHUNK = 64
"""Images that are in memory at a time."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Images with names and labels; ``read`` decodes some of them, by their positions, to ``[n, H, W, 3]``."""

    names: tuple[str, ...]  # relative paths
    classes: tuple[str, ...]
    truth: Ints  # [N], positions in classes
    read: Callable[[Sequence[int]], Pixels]

    def copied(self, copies: int) -> "Labelled":
        """Every image ``copies`` times, under the same name, for a protocol to spoil each by its own draw."""
        count = len(self.names)
        return Labelled(
            self.names * copies,
            self.classes,
            np.tile(self.truth, copies),
            lambda rows: self.read([row % count for row in rows]),
        )

    def spoilt(self, rows: Sequence[int], protocol: Protocol, seed: int) -> tuple[Pixels, Ints, Ints]:
        """Some images as the protocol wants them, with kind and severity of each."""
        return spoil(self.read(rows), rows, protocol, seed)


def labelled_folder(root: Path, bundle: Bundle) -> Labelled:
    """The readable images below ``root``, whose folders are classes of the bundle.

    Raises:
        DataError: no readable image, or a folder that is no class.
    """
    manifest = bundle.manifest
    size = (manifest.preprocessing.height, manifest.preprocessing.width)
    paths = [path for path in find_images(root) if _is_readable(path, size)]
    truth = labels_from_folders(root, paths, manifest.classes, "folders")
    if not paths or truth is None:
        raise DataError(f"{root}: expected readable images in class folders below this folder, found none")
    return Labelled(
        tuple(path.relative_to(root).as_posix() for path in paths),
        tuple(manifest.classes),
        np.array(truth, np.int64),
        lambda rows: np.stack([decode(paths[row], size) for row in rows]),
    )


def _is_readable(path: Path, size: tuple[int, int]) -> bool:
    try:
        decode(path, size)
    except ImageError:
        return False
    return True


@dataclass(frozen=True)
class Answers:
    """What every graph says of every image. N images, K configurations."""

    evidence: Evidence
    predicted: Ints  # [N, K], the class that each configuration answers
    after: Ints  # [N, K, K], the class that counts after escalating
    kind: Ints  # [N], a position in KINDS
    severity: Ints  # [N]


def collect(
    bundle: Bundle,
    images: Labelled,
    protocol: Protocol,
    seed: int,
    tick: Callable[[float], None] = lambda done: None,
) -> Answers:
    """Every image, spoilt as the protocol wants it, through the estimator and every configuration."""
    manifest = bundle.manifest
    estimator, *configurations = (
        OnnxRunner(bundle.file(path), 1, manifest.image_quant)
        for path in (manifest.estimator.graph, *(entry.graph for entry in manifest.configurations))
    )
    memory = np.array(manifest.memory)
    p_right, score, predicted, after, kinds, severities = [], [], [], [], [], []
    for rows in _chunks(len(images.names)):
        pixels, kind, severity = images.spoilt(rows, protocol, seed)
        p_right.append(estimator.run(estimator.prepare(pixels)))
        logits = np.stack([runner.run(runner.prepare(pixels)) for runner in configurations], axis=1)
        score.append(top_score(logits))
        predicted.append(logits.argmax(axis=2).astype(np.int64))
        after.append(answers_after(logits, memory))
        kinds.append(kind)
        severities.append(severity)
        tick((rows[-1] + 1) / len(images.names))
    found, found_after, truth = np.concatenate(predicted), np.concatenate(after), images.truth[:, None]
    return Answers(
        Evidence(np.concatenate(p_right), np.concatenate(score), found == truth, found_after == truth[:, None], memory),
        found,
        found_after,
        np.concatenate(kinds),
        np.concatenate(severities),
    )


def _chunks(count: int) -> Iterator[range]:
    for at in range(0, count, CHUNK):
        yield range(at, min(at + CHUNK, count))
