"""Running a folder through every model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import DataError
from dqmq_deploy.report.outcomes import SAMPLE, Outcomes, collect, labels_from_folders
from dqmq_deploy.report.runners import OnnxRunner, Runner
from tests.tiny_bundle import BITS, CLASSES, HEIGHT, MEMORY, WIDTH, pictures, reference_logits, reference_p_right


def run(bundle: Bundle, root: Path, labels: str = "auto") -> Outcomes:
    """Collect over ``root`` with the tiny bundle's own graphs."""
    manifest = bundle.manifest

    def runner(graph: str) -> Runner:
        return OnnxRunner(bundle.file(graph), 1, manifest.image_quant)

    return collect(
        root,
        size=(HEIGHT, WIDTH),
        classes=manifest.classes,
        labels=labels,
        estimator=runner(manifest.estimator.graph),
        configurations=[runner(entry.graph) for entry in manifest.configurations],
        memory=MEMORY,
        baselines={},
    )


def write(root: Path, pixels: np.ndarray, names: list[str]) -> Path:
    """Write pictures as PNG files."""
    for picture, name in zip(pixels, names, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(root / name)
    return root


def test_every_image_keeps_its_place(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Answers are those of a NumPy reference, in the order of sorted paths, over more than one chunk."""
    pixels, labels = pictures(70, seed=4)
    names = [f"{CLASSES[label]}/{index:03}.png" for index, label in enumerate(labels)]
    found = run(tiny_bundle, write(tmp_path, pixels, names))
    order = np.argsort(names)

    assert found.truth is not None and found.truth.tolist() == labels[order].tolist()
    np.testing.assert_allclose(found.p_right, reference_p_right(pixels[order]), atol=1e-4)
    for index, bits in enumerate(BITS.values()):
        expected = reference_logits(pixels[order], bits).argmax(axis=1)
        assert (found.predicted[:, index] == expected).mean() > 0.98
    assert len(found.decode_ms) == 70 and (found.decode_ms > 0).all()


def test_unreadable_images_are_counted_not_fatal(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """One broken file first, one last: the others are measured, labels stay with their images."""
    pixels, labels = pictures(6, seed=5)
    write(tmp_path, pixels, [f"{CLASSES[label]}/{index}.png" for index, label in enumerate(labels)])
    (tmp_path / CLASSES[2] / "0-broken.png").parent.mkdir(exist_ok=True)
    (tmp_path / CLASSES[2] / "0-broken.png").write_bytes(b"not an image")
    (tmp_path / CLASSES[0] / "z-broken.jpg").parent.mkdir(exist_ok=True)
    (tmp_path / CLASSES[0] / "z-broken.jpg").write_bytes(b"")
    found = run(tiny_bundle, tmp_path)

    assert len(found.unreadable) == 2 and len(found.p_right) == 6
    assert found.truth is not None and sorted(found.truth.tolist()) == sorted(labels.tolist())


def test_the_sample_is_bounded_and_spread(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """However many images there are, only some are kept in memory, from the first to the last."""
    count = 2 * SAMPLE + 10
    pixels = np.zeros((count, HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.linspace(0, 255, count).astype(np.uint8)
    found = run(tiny_bundle, write(tmp_path, pixels, [f"{index:05}.png" for index in range(count)]))

    assert SAMPLE / 2 <= len(found.sample) <= SAMPLE
    assert found.sample[0, 0, 0, 0] == 0 and found.sample[-1, 0, 0, 0] > 250
    assert found.truth is None


def test_folders_that_are_no_classes_are_an_error_only_when_labels_are_demanded(tmp_path: Path) -> None:
    """``auto`` gives up on labels, ``none`` does not look, ``folders`` names the image and the classes."""
    paths = [tmp_path / "red" / "0.png", tmp_path / "other" / "1.png"]
    assert labels_from_folders(tmp_path, paths, CLASSES, "auto") is None
    assert labels_from_folders(tmp_path, paths[:1], CLASSES, "none") is None
    assert labels_from_folders(tmp_path, paths[:1], CLASSES, "folders") == [0]
    with pytest.raises(DataError, match=r"1\.png: expected a folder named as one of the bundle's 3 classes"):
        labels_from_folders(tmp_path, paths, CLASSES, "folders")


def test_a_folder_without_images_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Neither an empty folder nor one of broken files can be measured."""
    with pytest.raises(DataError, match="found none"):
        run(tiny_bundle, tmp_path)
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises(DataError, match="none of 1 can be decoded"):
        run(tiny_bundle, tmp_path)
