"""What tests of several parts share: a small real bundle, and a folder of pictures for it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dqmq_deploy.bundle.read import Bundle
from tests.tiny_bundle import CLASSES, pictures, write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle of four small configurations; not to be changed."""
    path = tmp_path_factory.mktemp("bundle") / "tiny.dqmq"
    write_tiny_bundle(path)
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundle_path: Path) -> Bundle:
    """A bundle of four small configurations that tell red, green and blue pictures apart."""
    return Bundle.open(tiny_bundle_path)


@pytest.fixture(scope="session")
def escalating_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundle, which escalates unless told otherwise; not to be changed."""
    path = tmp_path_factory.mktemp("bundle") / "escalating.dqmq"
    write_tiny_bundle(path, policy="escalate")
    return path


@pytest.fixture(scope="session")
def escalating_bundle(escalating_bundle_path: Path) -> Bundle:
    """The same bundle, which escalates unless told otherwise."""
    return Bundle.open(escalating_bundle_path)


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 PNG pictures in folders of their classes; not to be changed."""
    root = tmp_path_factory.mktemp("pictures")
    pixels, labels = pictures(90, seed=1)
    for index, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / CLASSES[label]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.asarray(picture)).save(folder / f"{index:03}.png")
    return root
