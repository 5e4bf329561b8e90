"""Data sets: class folders, in a folder or an archive, decoded once into memory.

    signs = open_dataset(Path("signs.zip"), size=32)
    train, held_out = split_by_group(signs, fraction=0.1, seed=0)

Classes are the folder names, sorted. Where file names look like ``TRACK_FRAME`` (many frames of one object), a split
keeps a track whole: frames of one track on both sides would flatter every accuracy measured.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from dqmq_deploy.errors import DataError, ImageError
from dqmq_deploy.images import decode
from dqmq_deploy.train.cache import load_cached, save_cached
from dqmq_deploy.train.sources import Source, open_source

_UNREADABLE_SHARE = 0.01  # more than this is an error: something is wrong with the whole set
_CHUNK = 128  # images handed to a decoding thread at once
_TRACK = re.compile(r"(?P<track>.*\d)_\d+$")


@dataclass(frozen=True)
class Dataset:
    """Images in memory, with their classes.

    ``images`` uint8 ``[N, H, W, 3]`` RGB; ``labels`` int64 ``[N]``, positions in ``classes``; ``names`` like
    ``14/00003_00012.webp``; ``unreadable`` the names of the files that could not be decoded and are not among them.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.ArrayLike) -> "Dataset":
        """The data set of these rows, in this order, with all the classes."""
        chosen = np.asarray(rows, np.int64)
        names = tuple(self.names[row] for row in chosen)
        return Dataset(self.images[chosen], self.labels[chosen], self.classes, names, self.unreadable)


def open_dataset(
    path: Path | str, size: int | tuple[int, int], *, threads: int = 2, cache_dir: Path | None = None
) -> Dataset:
    """Every image of a folder, zip or tar of class folders, decoded to one size.

    Args:
        path: the folder or archive; ``archive.zip/train`` is a folder inside one.
        size: the model's height and width in pixels, one number for a square.
        threads: threads that decode.
        cache_dir: where decoded pixels are kept for the next time, or None.

    Raises:
        DataError: nothing there, no images, no class folders, one class only, several sets in one archive, or more than
            1 % of the images unreadable.
    """
    height, width = (size, size) if isinstance(size, int) else size
    with open_source(Path(path)) as source:
        key = f"{source.fingerprint()}-{height}x{width}" if cache_dir else ""
        cached = load_cached(cache_dir, key) if cache_dir else None
        if cached is not None:
            return Dataset(*cached)
        names = source.names
        classes = _classes(names, path)
        folder = {name: PurePosixPath(name).parent.name for name in names}
        order = sorted(names, key=lambda name: (folder[name], name))
        row = {name: i for i, name in enumerate(order)}
        images = np.empty((len(names), height, width, 3), np.uint8)
        failed = _decode_all(source, row, images, threads)
    if len(failed) > _UNREADABLE_SHARE * len(names):
        raise DataError(
            f"{path}: {len(failed)} of {len(names)} images cannot be decoded, first {failed[0]}; "
            f"more than {_UNREADABLE_SHARE:.0%} is too many to leave out; mend or remove them"
        )
    position = {name: i for i, name in enumerate(classes)}
    unreadable = set(failed)
    kept = [i for i, name in enumerate(order) if name not in unreadable]
    kept_names = tuple(f"{folder[order[i]]}/{PurePosixPath(order[i]).name}" for i in kept)
    labels = np.asarray([position[folder[order[i]]] for i in kept], np.int64)
    dataset = Dataset(images[kept] if failed else images, labels, classes, kept_names, tuple(sorted(failed)))
    if cache_dir:
        save_cached(cache_dir, key, dataset.images, labels, classes, kept_names, dataset.unreadable)
    return dataset


def _classes(names: Sequence[str], path: Path | str) -> tuple[str, ...]:
    """The class folders of all these files, sorted; they must lie side by side."""
    if not names:
        raise DataError(f"{path}: expected images in class folders, found no image")
    folders = {PurePosixPath(name).parent for name in names}
    if PurePosixPath(".") in folders:
        outside = next(name for name in names if "/" not in name)
        raise DataError(f"{path}: expected every image in a class folder (CLASS/IMAGE), found {outside} outside of any")
    sets = sorted({str(folder.parent) for folder in folders})
    if len(sets) > 1:
        raise DataError(
            f"{path}: expected class folders side by side, found some in {sets[0]} and some in {sets[1]}; "
            f"name the one you mean, as in {Path(path) / sets[-1]}"
        )
    if len(folders) == 1:
        raise DataError(f"{path}: expected at least two class folders, found only {next(iter(folders))}")
    return tuple(sorted(folder.name for folder in folders))


def _decode_all(source: Source, row: dict[str, int], images: npt.NDArray[np.uint8], threads: int) -> list[str]:
    """Fills ``images``; returns the names of those that cannot be decoded. Reads a few chunks ahead, no more."""
    size = (images.shape[1], images.shape[2])

    def decode_chunk(chunk: list[tuple[str, bytes | None]]) -> list[str]:
        failed = []
        for name, content in chunk:
            try:
                if content is None:
                    raise ImageError("cannot be read")
                images[row[name]] = decode(content, size)
            except ImageError:
                failed.append(name)
        return failed

    failed: list[str] = []
    files = source.read()
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode") as pool:
        pending: list[Future[list[str]]] = []
        for chunk in _chunks(files):
            pending.append(pool.submit(decode_chunk, chunk))
            if len(pending) > 2 * threads:
                failed += pending.pop(0).result()
        for future in pending:
            failed += future.result()
    return failed


def _chunks(files: Iterator[tuple[str, bytes | None]]) -> Iterator[list[tuple[str, bytes | None]]]:
    while chunk := list(islice(files, _CHUNK)):
        yield chunk


def groups(dataset: Dataset) -> npt.NDArray[np.int64] | None:
    """The track of each image as a number, int64 ``[N]``; None where names do not tell tracks.

    Tracks are told when every name reads ``TRACK_FRAME`` and frames share tracks. A track lies within its class.
    """
    stems = [PurePosixPath(name).stem for name in dataset.names]
    found = [_TRACK.match(stem) for stem in stems]
    tracks = [(int(label), match["track"]) for label, match in zip(dataset.labels, found, strict=True) if match]
    if len(tracks) < len(stems) or len(set(tracks)) == len(tracks):
        return None
    number = {track: i for i, track in enumerate(dict.fromkeys(tracks))}
    return np.asarray([number[track] for track in tracks], np.int64)


def split_by_group(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """The data set in two, class by class: the larger part, and about ``fraction`` of the images held out.

    Whole tracks go to one side where names tell them, else single images do. A class of one track (or image) stays
    in the first part; every other class is on both sides.

    Args:
        dataset: what to split.
        fraction: share of each class to hold out, above 0 and below 1.
        seed: which of the possible splits.

    Raises:
        DataError: ``fraction`` out of range, or no class has two tracks (or images).
    """
    if not 0 < fraction < 1:
        raise DataError(f"expected a share to hold out above 0 and below 1, got {fraction}")
    rng = np.random.default_rng(seed)
    track = groups(dataset)
    group = np.arange(len(dataset)) if track is None else track
    held = np.zeros(len(dataset), bool)
    for label in range(len(dataset.classes)):
        rows = np.flatnonzero(dataset.labels == label)
        members, sizes = np.unique(group[rows], return_counts=True)
        if len(members) < 2:
            continue
        drawn = rng.permutation(len(members))
        after = np.cumsum(sizes[drawn])
        count = int(np.argmin(np.abs(after - fraction * len(rows)))) + 1
        chosen = members[drawn[: min(count, len(members) - 1)]]
        held[rows] = np.isin(group[rows], chosen)
    if not held.any():
        raise DataError("expected a class with two tracks or images to hold one out, found none; add images")
    return dataset.take(np.flatnonzero(~held)), dataset.take(np.flatnonzero(held))


def require_same_classes(expected: Sequence[str], dataset: Dataset, where: str) -> None:
    """Checks that a data set has the classes a model knows.

    Raises:
        DataError: it has other ones; the message names the first that differs.
    """
    if tuple(expected) == dataset.classes:
        return
    missing = sorted(set(expected) - set(dataset.classes))
    extra = sorted(set(dataset.classes) - set(expected))
    differs = f"{missing[0]} is missing" if missing else f"{extra[0]} is not known" if extra else "their order differs"
    counts = f"the {len(expected)} classes of the model, got {len(dataset.classes)}"
    raise DataError(f"{where}: expected {counts}: {differs}; give the data set that the model was trained for")
