"""Two versions of one picture are joined under one number, and what does not match is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import cifar10
from dqmq_deploy.errors import DataError
from dqmq_deploy.train.data import open_dataset, split_by_group


@pytest.fixture
def archives(tmp_path: Path) -> tuple[Path, Path]:
    """Four pictures of two classes as JPEG, the first three also without loss, numbered over both classes."""
    rng = np.random.default_rng(0)
    jpeg, lossless = tmp_path / "jpeg", tmp_path / "lossless"
    seen = {"cat": 0, "dog": 0}
    for number, label in enumerate(["dog", "cat", "dog", "cat"]):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        picture = small.resize((32, 32), Image.Resampling.BICUBIC)
        names = [(jpeg, f"{seen[label]:04d}.jpg"), (lossless, f"{number:05d}.webp")][: 2 if number < 3 else 1]
        for root, name in names:
            path = root / "train" / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, **({"quality": 75} if name.endswith("jpg") else {"lossless": True}))
        seen[label] += 1
    return jpeg, lossless


def test_versions_of_a_picture_lie_side_by_side(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """Numbered within their class, so that a split takes them for one track."""
    out = tmp_path / "out"
    assert cifar10.write(*archives, out) == (4, 3)
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert found == [
        "cat/0000_0.jpg", "cat/0000_1.webp", "cat/0001_0.jpg",
        "dog/0000_0.jpg", "dog/0000_1.webp", "dog/0001_0.jpg", "dog/0001_1.webp",
    ]  # fmt: skip
    parts = split_by_group(open_dataset(out, 32), 0.5, seed=0)
    numbers = [{name.split("_")[0] for name in part.names} for part in parts]
    assert numbers[0].isdisjoint(numbers[1])


def test_other_pictures_are_refused(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """A twin that shows something else, or that is not there."""
    jpeg, lossless = archives
    twin = jpeg / "train" / "dog" / "0001.jpg"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(twin)
    with pytest.raises(DataError, match="not one picture"):
        cifar10.write(jpeg, lossless, tmp_path / "out")
    twin.unlink()
    with pytest.raises(DataError, match=r"to have a twin 0001_0\.jpg"):
        cifar10.write(jpeg, lossless, tmp_path / "other")
