"""The tiny bundle judged once, as if its configurations took longer the more they see."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.report.adaptivity.collect import Answers, Labelled, labelled_folder
from dqmq_deploy.report.adaptivity.compare import CASCADE
from dqmq_deploy.report.adaptivity.protocol import PROTOCOLS
from dqmq_deploy.report.adaptivity.run import adaptivity
from dqmq_deploy.report.adaptivity.settings import Fold, Times, calibrate, for_all
from dqmq_deploy.report.adaptivity.timing import KERNELS, STOCK, Timed
from dqmq_deploy.routing import Cascade
from tests.tiny_bundle import CLASSES, pictures

PRETENDED = Timed(
    {
        KERNELS: Times(np.array([0.1, 0.2, 0.4, 1.0]), estimator=0.02, dispatch=0.01),
        STOCK: Times(np.array([1.0, 1.01, 1.02, 1.03]), estimator=0.02, dispatch=0.01),
    },
    {"estimator": 1.0, "w2": 10.0, "w3": 5.05, "w4": 2.55, "w8": 1.03},
)
"""Times of the tiny bundle's graphs if they were real ones: cheap ones pay with kernels, and not without."""


@pytest.fixture(scope="session")
def track_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 pictures in class folders, three frames a track."""
    root = tmp_path_factory.mktemp("tracks")
    pixels, labels = pictures(300, seed=5)
    for index, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / CLASSES[label]
        folder.mkdir(exist_ok=True)
        number = len(list(folder.iterdir()))
        Image.fromarray(np.asarray(picture)).save(folder / f"{number // 3:05}_{number % 3:05}.png")
        assert index < 300
    return root


@pytest.fixture(scope="session")
def tracked(tiny_bundle: Bundle, track_folder: Path) -> Labelled:
    """The same, labelled."""
    return labelled_folder(track_folder, tiny_bundle)


def trusting(found: Answers, times: Times, track: npt.NDArray[np.int64]) -> list[Fold]:
    """Cascades that take the first answer whatever its score: they lose images that the best configuration gets."""
    settings = calibrate(found.evidence, times)
    return for_all(replace(settings, cascades=(Cascade(0, 3, 0.0), Cascade(1, 3, 0.0))), len(track))


@pytest.fixture(scope="session")
def judged(tiny_bundle: Bundle, tracked: Labelled) -> dict[str, Any]:
    """What the harness says of the tiny bundle on mixed pictures, escalating too seldom."""
    return adaptivity(tiny_bundle, tracked, PROTOCOLS["mixed"], PRETENDED, seed=1, fit=trusting, default=CASCADE)
