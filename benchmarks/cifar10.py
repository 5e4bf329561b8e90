"""The training images of ``models/resnet20-cifar10``: all of CIFAR-10's as JPEG, and the first 4,000 also as they were.

    python -m benchmarks.cifar10 cifar10-jpeg-q75.tar.xz cifar10-lossless.zip FOLDER

Writes ``FOLDER/<class>/<number>_0.jpg`` and, of a picture that is there without loss, ``<number>_1.webp`` beside it:
names that tell two versions of one picture, so that a split never puts one on either side. The number counts the
pictures of a class in CIFAR-10's own order, which both archives keep; it is checked pixel by pixel.
"""

import argparse
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np

from dqmq_deploy.errors import DataError
from dqmq_deploy.images import decode
from dqmq_deploy.train.sources import open_source

_MOST_ERROR = 20.0
"""Root of the mean square: JPEG leaves 8 on average and 18 at most; the next picture is off by 31 at least."""


def write(jpeg: Path, lossless: Path, folder: Path) -> tuple[int, int]:
    """Write both versions of the training images; how many of each.

    Args:
        jpeg: ``train/<class>/<number in the class>.jpg``, a folder or an archive.
        lossless: ``train/<class>/<number over all classes>.webp``, likewise.
        folder: where class folders are made.

    Raises:
        DataError: an archive is missing or damaged, or pictures of one number differ.
    """
    counts = 0, 0
    with open_source(jpeg / "train") as source:
        for name, content in source.read():
            if content is not None:
                path = folder / PurePosixPath(name).parent / f"{PurePosixPath(name).stem}_0.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                counts = counts[0] + 1, 0
    seen: dict[str, int] = defaultdict(int)
    with open_source(lossless / "train") as source:
        for name in sorted(source.names, key=lambda name: PurePosixPath(name).stem):
            content, label = source.content(name), PurePosixPath(name).parent.name
            twin = folder / label / f"{seen[label]:04d}_0.jpg"
            seen[label] += 1
            if content is None or not twin.is_file():
                raise DataError(f"{lossless}: expected {name} to have a twin {twin.name} in {jpeg}; fetch both again")
            pictures = [decode(data, (32, 32)).astype(np.float64) for data in (content, twin.read_bytes())]
            error = float(np.sqrt(np.mean((pictures[0] - pictures[1]) ** 2)))
            if error > _MOST_ERROR:
                raise DataError(f"{lossless}: {name} and {twin.name} are not one picture (they differ by {error:.0f})")
            twin.with_name(twin.name.replace("_0.jpg", "_1.webp")).write_bytes(content)
            counts = counts[0], counts[1] + 1
    return counts


def main() -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jpeg", type=Path)
    parser.add_argument("lossless", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    jpeg, lossless = write(arguments.jpeg, arguments.lossless, arguments.folder)
    print(f"{arguments.folder}: {jpeg} pictures as JPEG, {lossless} of them also without loss")


if __name__ == "__main__":
    main()
