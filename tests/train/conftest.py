"""One small run, trained once for all tests that look at its result."""

from pathlib import Path
from typing import Any

import pytest

from dqmq_deploy.train.run import TrainJob, train
from tests.train.runs import RECIPE, write_pictures


@pytest.fixture(scope="session")
def pictures_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders; not to be changed."""
    return write_pictures(tmp_path_factory.mktemp("coloured") / "pictures")


@pytest.fixture(scope="session")
def recipe_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small recipe's file."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def finished(
    pictures_path: Path, recipe_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """The checkpoint of an uninterrupted run, and its events; not to be changed."""
    events: list[dict[str, Any]] = []
    out = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    return train(TrainJob(recipe_path, pictures_path, out), events.append), events
