"""scikit-learn's handwritten digits as an image folder: 1,797 real scans, 10 classes, split once and for all.

The scans are 8x8 with 17 grey levels; they are written as 32x32 PNG files, upscaled bicubically. Training of
``models/resnet8-digits`` reads the train part; the demo serves the test part, which that model never saw.

    python -m benchmarks.digits FOLDER      # FOLDER/train/<class>/*.png and FOLDER/test/<class>/*.png
"""

import argparse
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

SIZE = 32
TRAIN_SHARE = 0.7
SPLIT_SEED = 2302

Part = Literal["train", "test"]


def load(part: Part) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Images ``[N, 32, 32, 3]`` uint8, labels ``[N]`` 0 to 9, and each image's index in scikit-learn's order ``[N]``.

    Each class is split 70 to 30 by a seeded shuffle whose stream NumPy keeps fixed for all versions.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = digits.target.astype(np.int64)
    shuffle = np.random.RandomState(SPLIT_SEED)
    chosen = []
    for label in range(10):
        members = shuffle.permutation(np.flatnonzero(labels == label))
        cut = round(TRAIN_SHARE * len(members))
        chosen.append(members[:cut] if part == "train" else members[cut:])
    index = np.sort(np.concatenate(chosen))
    return np.stack([_upscale(digits.images[i]) for i in index]), labels[index], index


def _upscale(scan: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """A scan ``[8, 8]`` with levels 0 to 16 as grey RGB ``[32, 32, 3]``."""
    grey = Image.fromarray((scan * (255 / 16)).round().astype(np.uint8))
    large = np.asarray(grey.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    return np.repeat(large[:, :, None], 3, axis=2)


def write(folder: Path, part: Part) -> int:
    """Write one part as ``folder/<class>/<index>.png`` and return the number of files."""
    images, labels, index = load(part)
    for image, label, i in zip(images, labels, index, strict=True):
        path = folder / str(label) / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return len(images)


def main() -> None:
    """Write both parts below the folder named on the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    parts: tuple[Part, ...] = ("train", "test")
    for part in parts:
        print(f"{write(folder / part, part)} images in {folder / part}")


if __name__ == "__main__":
    main()
