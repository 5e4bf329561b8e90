"""The loader: every image once an epoch, resumable anywhere, no thread left behind."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from dqmq_deploy.train.augment import AugmentSettings
from dqmq_deploy.train.loader import Batch, Batches


def batches(
    count: int = 50, batch_size: int = 8, seed: int = 0, rank: int = 0, world: int = 1, processes: int = 0
) -> Batches:
    """A loader over random pictures whose labels are their row numbers."""
    images = np.random.default_rng(0).integers(0, 256, (count, 10, 12, 3), dtype=np.uint8)
    settings = AugmentSettings(shift=0.2, rotate_degrees=10, brightness=0.2)
    return Batches(
        images, np.arange(count), batch_size, seed, 0.5, augment=settings, rank=rank, world=world, processes=processes
    )


def equal(first: Batch, second: Batch) -> bool:
    """Whether two batches agree in everything."""
    return all(np.array_equal(getattr(first, part), getattr(second, part)) for part in vars(first))


def running() -> list[threading.Thread]:
    """The loader's threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_an_epoch_shows_each_image_once_in_another_order_every_time() -> None:
    """Full batches, no image twice, the order and the left-out ones differ between epochs."""
    loader = batches()
    shown = [np.concatenate([batch.labels for batch in loader.epoch(epoch)]) for epoch in (0, 1)]
    assert len(loader) == 6
    assert all(len(rows) == 48 == len(set(rows.tolist())) for rows in shown)
    assert not np.array_equal(shown[0], shown[1])


@pytest.mark.parametrize("start", [0, 1, 4, 6])
def test_resuming_gives_the_very_same_batches(start: int) -> None:
    """A new loader that starts in the middle yields what the first one went on with, bit for bit."""
    whole = list(batches().epoch(3))
    rest = list(batches().epoch(3, start))
    assert len(rest) == 6 - start
    assert all(equal(a, b) for a, b in zip(whole[start:], rest, strict=True))


@pytest.fixture
def child_handler() -> Iterator[None]:
    """Puts back what happens when a child process ends: torch's loader watches its own ever after."""
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("child_handler")
@pytest.mark.parametrize("start", [0, 4])
def test_processes_prepare_the_very_same_batches(start: int) -> None:
    """In the same order, bit for bit, from anywhere on; none is left behind, though the epoch is left early."""
    expected = list(batches().epoch(3, start))
    found = list(batches(processes=2).epoch(3, start))
    assert len(found) == len(expected)
    assert all(equal(a, b) for a, b in zip(found, expected, strict=True))
    early = batches(processes=2).epoch(3, start)
    next(early)
    early.close()
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("child_handler")
def test_an_error_in_a_process_is_raised_here() -> None:
    """With what it says, not swallowed."""
    broken = batches(processes=1)
    broken.kinds = ("no such kind",)
    with pytest.raises(ValueError, match="no such kind"):
        list(broken.epoch(0))


def test_seed_and_epoch_change_what_happens_to_images() -> None:
    """Other seeds and epochs draw other orders and degradations."""
    first = batches(seed=0).batch(0, 0)
    assert not equal(first, batches(seed=1).batch(0, 0))
    assert not equal(first, batches(seed=0).batch(1, 0))


def test_untouched_images_are_the_data_sets_own() -> None:
    """Without augmentation, what is not degraded arrives as it was; labels follow their images."""
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    for batch in Batches(images, np.arange(64) * 3, 16, 0, degrade_share=0.5).epoch(0):
        plain = batch.kind == -1
        assert 0 < plain.sum() < 16
        assert np.array_equal(batch.images[plain], images[batch.rows[plain]])
        assert np.array_equal(batch.labels, batch.rows * 3)
        assert batch.images.dtype == np.uint8
        assert batch.labels.dtype == batch.kind.dtype == np.int64


def test_processes_share_an_epoch_between_them() -> None:
    """Three ranks get equally many batches and no image in common."""
    loaders = [batches(rank=rank, world=3) for rank in range(3)]
    rows = [np.concatenate([batch.rows for batch in loader.epoch(0)]) for loader in loaders]
    assert [len(loader) for loader in loaders] == [2, 2, 2]
    assert len(set(np.concatenate(rows).tolist())) == 48


def test_leaving_an_epoch_early_ends_its_thread() -> None:
    """Closing the iterator stops the work in the background."""
    epoch = batches(count=2000).epoch(0)
    assert len(list(islice(epoch, 2))) == 2
    assert running()
    epoch.close()
    assert not running()


def test_an_error_in_the_background_is_raised_in_front() -> None:
    """A degradation that does not exist ends the epoch with its message, and the thread with it."""
    images = np.zeros((8, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="unknown degradation 'hail'"):
        list(Batches(images, np.zeros(8, np.int64), 4, 0, kinds=["hail"]).epoch(0))
    assert not running()


def test_a_small_data_set_makes_one_smaller_batch() -> None:
    """Fewer images than a batch holds are still trained on."""
    loader = batches(count=5, batch_size=8)
    assert [len(batch.rows) for batch in loader.epoch(0)] == [5]


@pytest.mark.parametrize(
    ("images", "labels", "batch_size", "rank", "world", "message"),
    [
        (4, 3, 2, 0, 1, "a label for each image"),
        (0, 0, 2, 0, 1, "at least one image"),
        (4, 4, 0, 0, 1, "at least one image"),
        (4, 4, 2, 2, 2, "rank below world"),
    ],
)
def test_impossible_settings_are_named(
    images: int, labels: int, batch_size: int, rank: int, world: int, message: str
) -> None:
    """What cannot be loaded is refused at construction."""
    pixels = np.zeros((images, 2, 2, 3), np.uint8)
    with pytest.raises(ValueError, match=message):
        Batches(pixels, np.zeros(labels, np.int64), batch_size, 0, rank=rank, world=world)
