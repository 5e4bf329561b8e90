"""Run a folder of images through everything once, and keep what the tables need: a few numbers an image, no pixels."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dqmq_deploy.errors import DataError, ImageError
from dqmq_deploy.images import decode, find_images
from dqmq_deploy.report.runners import Pixels, Runner
from dqmq_deploy.routing import Evidence, answers_after, top_score

CHUNK = 32
"""Images that are in memory at a time."""

SAMPLE = 256
"""Images whose pixels are kept for timing, spread over the folder."""


@dataclass(frozen=True)
class Outcomes:
    """What every model said of every image. K configurations, cheapest first; B baselines."""

    p_right: npt.NDArray[np.float32]  # [images, K], the estimator's word
    predicted: npt.NDArray[np.int64]  # [images, K]
    after: npt.NDArray[np.int64]  # [images, K, K], what counts after escalating
    score: npt.NDArray[np.float32]  # [images, K], softmax of the predicted class
    baseline_predicted: dict[str, npt.NDArray[np.int64]]  # each [images]
    truth: npt.NDArray[np.int64] | None  # [images], None without labels
    decode_ms: npt.NDArray[np.float64]  # [images]
    sample: Pixels  # [up to SAMPLE, H, W, 3]
    unreadable: list[str]  # one line each

    @property
    def evidence(self) -> Evidence:
        """What the images say of every way to dispatch; needs labels."""
        assert self.truth is not None
        truth = self.truth[:, np.newaxis]
        return Evidence(self.p_right, self.score, self.predicted == truth, self.after == truth[:, np.newaxis])


def labels_from_folders(root: Path, paths: Sequence[Path], classes: Sequence[str], mode: str) -> list[int] | None:
    """Class index of each image from the folder it lies in, when folders are named as classes.

    ``mode`` is ``"folders"`` (they must be), ``"none"`` (they are not read) or ``"auto"`` (read if all are classes).

    Raises:
        DataError: ``mode`` is ``"folders"`` and an image lies in a folder that is no class of the bundle.
    """
    if mode == "none":
        return None
    index = {name: position for position, name in enumerate(classes)}
    labels = []
    for path in paths:
        known = index.get(path.parent.name)
        if known is None and mode == "folders":
            raise DataError(
                f"{path}: expected a folder named as one of the bundle's {len(classes)} classes "
                f"({', '.join(classes[:3])}, ...), got '{path.parent.name}'; rename it or use --labels none"
            )
        if known is None:
            return None
        labels.append(known)
    return labels


def collect(
    root: Path,
    *,
    size: tuple[int, int],
    classes: Sequence[str],
    labels: str,
    estimator: Runner,
    configurations: Sequence[Runner],
    memory: npt.NDArray[np.float64],
    baselines: dict[str, Runner],
    tick: Callable[[int, int], None] | None = None,
) -> Outcomes:
    """Decode and classify every image below ``root`` with every configuration and baseline.

    ``memory`` is the bundle's, ``[K, K]``.

    Raises:
        DataError: no readable image, or folders that are no classes where labels are demanded.
    """
    paths = find_images(root)
    if not paths:
        raise DataError(f"{root}: expected images below this folder, found none")
    truth = labels_from_folders(root, paths, classes, labels)
    kept: list[int] = []
    unreadable: list[str] = []
    decode_ms: list[float] = []
    p_right, predicted, after, score = [], [], [], []
    baseline_predicted: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in baselines}
    every = -(-len(paths) // SAMPLE)
    sample: list[Pixels] = []
    for indices, pixels in _chunks(paths, size, decode_ms, unreadable):
        kept += indices
        sample += [image for index, image in zip(indices, pixels, strict=True) if index % every == 0]
        p_right.append(estimator.run(estimator.prepare(pixels)))
        logits = np.stack([runner.run(runner.prepare(pixels)) for runner in configurations], axis=1)
        predicted.append(logits.argmax(axis=2))
        after.append(answers_after(logits, memory))
        score.append(top_score(logits))
        for name, runner in baselines.items():
            baseline_predicted[name].append(runner.run(runner.prepare(pixels)).argmax(axis=1))
        if tick is not None:
            tick(indices[-1] + 1, len(paths))
    if not kept:
        raise DataError(f"{root}: expected readable images, but none of {len(paths)} can be decoded: {unreadable[0]}")
    return Outcomes(
        p_right=np.concatenate(p_right),
        predicted=np.concatenate(predicted),
        after=np.concatenate(after),
        score=np.concatenate(score),
        baseline_predicted={name: np.concatenate(parts) for name, parts in baseline_predicted.items()},
        truth=None if truth is None else np.array([truth[index] for index in kept], np.int64),
        decode_ms=np.array(decode_ms),
        sample=np.stack(sample or [pixels[0]]),
        unreadable=unreadable,
    )


def _chunks(
    paths: Sequence[Path], size: tuple[int, int], decode_ms: list[float], unreadable: list[str]
) -> Iterator[tuple[list[int], Pixels]]:
    """Readable images in chunks with their positions; times and errors are appended to the two lists."""
    indices: list[int] = []
    pixels: list[Pixels] = []
    for index, path in enumerate(paths):
        start = time.perf_counter()
        try:
            image = decode(path, size)
        except ImageError as error:
            unreadable.append(str(error))
        else:
            decode_ms.append((time.perf_counter() - start) * 1e3)
            indices.append(index)
            pixels.append(image)
        if indices and (len(indices) == CHUNK or index == len(paths) - 1):
            yield indices, np.stack(pixels)
            indices, pixels = [], []
