"""The digits data set and the images of the demo: the same for everybody, and never seen in training."""

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.demo import accuracy, severity_of, write_images
from benchmarks.digits import load, write


def test_the_split_is_the_same_for_everybody() -> None:
    """A checkpoint is only honest while the split that it was trained on stays; 70 to 30 in each class."""
    train, test = load("train"), load("test")
    assert (len(train[0]), len(test[0])) == (1258, 539)
    assert sorted([*train[2].tolist(), *test[2].tolist()]) == list(range(1797))
    assert test[2][:8].tolist() == [3, 7, 8, 9, 11, 17, 29, 35]
    for label in range(10):
        share = (train[1] == label).sum() / ((train[1] == label).sum() + (test[1] == label).sum())
        assert abs(share - 0.7) < 0.01


def test_digits_are_grey_pictures_of_32_pixels(tmp_path: Path) -> None:
    """As files they hold exactly the pixels that :func:`load` gives."""
    images, labels, index = load("test")
    assert images.shape == (539, 32, 32, 3) and images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert write(tmp_path, "test") == 539
    with Image.open(tmp_path / str(labels[0]) / f"{index[0]:04d}.png") as picture:
        assert np.array_equal(np.asarray(picture), images[0])


def test_half_of_the_demo_images_are_degraded_and_named_so(tmp_path: Path) -> None:
    """Kind and severity stand in the name; writing again gives the same bytes."""
    assert write_images(tmp_path / "images") == 539
    paths = sorted((tmp_path / "images").rglob("*.png"))
    severities = [severity_of({"image": str(path)}) for path in paths]
    assert 0.4 < np.mean([severity > 0 for severity in severities]) < 0.6
    assert all(
        (severity == 0) == path.stem.endswith("-as-is-0") for path, severity in zip(paths, severities, strict=True)
    )
    before = [path.read_bytes() for path in paths]
    write_images(tmp_path / "images")
    assert [path.read_bytes() for path in paths] == before


def test_accuracy_compares_labels_with_folders() -> None:
    """The folder is the class."""
    records = [{"image": "3/0001-as-is-0.png", "label": "3"}, {"image": "4/0002-fog-5.png", "label": "9"}]
    assert accuracy(records) == 0.5
