"""Batches for training: seeded, resumable, prepared in the background.

Batch ``i`` of epoch ``e`` is a pure function of ``(seed, e, i)``: a run that was killed takes up at any batch and sees
exactly what it would have seen.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Indexed

from dqmq_deploy.degradations.kinds import SEVERITIES, TRAINING_KINDS, mixed
from dqmq_deploy.train.augment import AugmentSettings, augment

_ORDER, _CONTENT = 0, 1  # which stream of random numbers: the order of an epoch, or what happens to a batch
_AHEAD = 4  # batches prepared before they are asked for


@dataclass(frozen=True)
class Batch:
    """What a training step takes.

    ``images`` uint8 ``[N, H, W, 3]``; ``labels`` int64 ``[N]``; ``kind`` int64 ``[N]``, the degradation (the first, of
    two) as a position in ``KINDS``, -1 where the image is as it is; ``severity`` int64 ``[N]``, 1 to 5, 0 there;
    ``rows`` int64 ``[N]``, the images' positions in the data set.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    severity: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


class Batches:
    """Epochs of shuffled, augmented and partly degraded batches.

    Every epoch shows each image at most once; the few that do not fill a last batch are left out, other ones in every
    epoch. With ``world`` processes, process ``rank`` gets every ``world``-th batch and all get equally many.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        labels: int64 ``[N]``.
        batch_size: images a batch; a data set smaller than that gives one smaller batch.
        seed: of everything random.
        degrade_share: probability, 0 to 1, that an image is degraded.
        kinds: degradations to draw from.
        augment: how far images may be changed, or None.
        severities: severities to draw from.
        rank: which process this is, 0 to ``world - 1``.
        world: how many processes train together.
        again_share: probability, 0 to 1, that a degraded image is degraded once more, by another draw.
        processes: how many prepare batches; 0: a thread of this one.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        batch_size: int,
        seed: int,
        degrade_share: float = 0.5,
        kinds: Sequence[str] = TRAINING_KINDS,
        augment: AugmentSettings | None = None,
        severities: Sequence[int] = SEVERITIES,
        rank: int = 0,
        world: int = 1,
        again_share: float = 0.0,
        processes: int = 0,
    ) -> None:
        if len(images) != len(labels):
            raise ValueError(f"expected a label for each image, got {len(images)} images and {len(labels)} labels")
        if batch_size < 1 or not len(images):
            raise ValueError(f"expected at least one image a batch, got {len(images)} images, batch size {batch_size}")
        if not 0 <= rank < world or len(images) < world:
            raise ValueError(f"expected rank below world and an image each, got rank {rank} of {world}")
        self.images, self.labels = images, labels
        self.batch_size = min(batch_size, len(images) // world)
        self.seed, self.degrade_share, self.kinds = seed, degrade_share, tuple(kinds)
        self.augment, self.severities = augment, tuple(severities)
        self.rank, self.world = rank, world
        self.again_share = again_share
        self.processes = processes

    def with_share(self, degrade_share: float) -> "Batches":
        """The same batches with another probability that an image is degraded."""
        return Batches(
            self.images, self.labels, self.batch_size, self.seed, degrade_share, self.kinds, self.augment,
            self.severities, self.rank, self.world, self.again_share, self.processes,
        )  # fmt: skip

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.images) // (self.batch_size * self.world)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """The order of the images in an epoch, int64 ``[N]``; the same in every process."""
        return np.random.default_rng((self.seed, _ORDER, epoch)).permutation(len(self.images))

    def batch(self, epoch: int, index: int, order: npt.NDArray[np.int64] | None = None) -> Batch:
        """Batch ``index`` of an epoch; ``order`` saves working it out again."""
        order = self.order(epoch) if order is None else order
        place = index * self.world + self.rank
        rows = order[place * self.batch_size : (place + 1) * self.batch_size]
        rng = np.random.default_rng((self.seed, _CONTENT, epoch, place))
        images = self.images[rows]
        if self.augment is not None:
            images = augment(images, self.augment, rng)
        images, kind, severity = mixed(images, rng, self.degrade_share, self.kinds, self.severities)
        again = np.flatnonzero((kind >= 0) & (rng.random(len(rows)) < self.again_share))
        images[again] = mixed(images[again], rng, 1.0, self.kinds, self.severities)[0]
        return Batch(images, self.labels[rows], kind, severity, rows)

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch]:
        """The batches of an epoch from batch ``start`` on, prepared in the background.

        Closing the iterator ends the thread or the processes; an error there is raised here.
        """
        if self.processes:
            rest = _Rest(self, epoch, start)
            ahead = -(-_AHEAD // self.processes)
            yield from DataLoader(rest, batch_size=None, num_workers=self.processes, prefetch_factor=ahead)
        else:
            yield from self._epoch_by_thread(epoch, start)

    def _epoch_by_thread(self, epoch: int, start: int) -> Iterator[Batch]:
        ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=_AHEAD)
        stopped = threading.Event()

        def hand_over(item: Batch | BaseException | None) -> None:
            while not stopped.is_set():
                try:
                    return ready.put(item, timeout=0.1)
                except queue.Full:
                    continue

        def prepare() -> None:
            try:
                order = self.order(epoch)
                for index in range(start, len(self)):
                    if stopped.is_set():
                        return
                    hand_over(self.batch(epoch, index, order))
                hand_over(None)
            except BaseException as error:
                hand_over(error)

        thread = threading.Thread(target=prepare, name="batches", daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join()


class _Rest(Indexed[Batch]):
    """The batches of an epoch from ``start`` on, by their index."""

    def __init__(self, batches: Batches, epoch: int, start: int) -> None:
        self.batches, self.epoch, self.start = batches, epoch, start
        self.order = batches.order(epoch)

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __getitem__(self, index: int) -> Batch:
        return self.batches.batch(self.epoch, self.start + index, self.order)
