"""Prices and thresholds to judge at, fitted on other images than those that are judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dqmq_deploy.bundle.manifest import ESCALATE, ROUTE, Manifest
from dqmq_deploy.errors import InputError
from dqmq_deploy.routing import Cascade, Evidence
from dqmq_deploy.worth import sure_cascades

PRICES = (0.0, *np.geomspace(1e-3, 3.0, 32).tolist())
"""Where settings are fitted."""


@dataclass(frozen=True)
class Times:
    """Mean milliseconds of one image on one thread."""

    graph: npt.NDArray[np.float64]  # [K], each configuration's graph
    estimator: float
    dispatch: float  # the dispatcher's own work, where it chooses


@dataclass(frozen=True)
class Settings:
    """Where ways are judged: a point of their curve for each price, for each cascade."""

    prices: tuple[float, ...]
    route_cost: npt.NDArray[np.float64]  # [K], the unit that prices count in
    cascades: tuple[Cascade, ...]  # the estimator may have a word before
    trials: tuple[Cascade, ...]  # without the estimator

    def of(self, kind: str) -> tuple[Cascade, ...]:
        """The cascades of one of the two kinds."""
        return {"cascades": self.cascades, "trials": self.trials}[kind]


@dataclass(frozen=True)
class Fold:
    """Settings, and the images that they are judged on: not those that they were fitted on."""

    rows: npt.NDArray[np.intp]
    settings: Settings


def calibrate(evidence: Evidence, times: Times, prices: Sequence[float] = PRICES) -> Settings:
    """Settings from held-out ``evidence``, for the ``times`` of this machine."""
    cost = times.graph / times.graph.max()
    estimator = times.estimator / float(times.graph.max())
    return Settings(
        prices=tuple(prices),
        route_cost=cost,
        cascades=tuple(sure_cascades(evidence, cost, estimator, prices)),
        trials=tuple(sure_cascades(evidence, cost, estimator, prices, skips=0)),
    )


def by_halves(evidence: Evidence, times: Times, track: npt.NDArray[np.int64], seed: int) -> list[Fold]:
    """Where there are no other images: half of the tracks is judged by what fits the other half, and the other way."""
    count = int(track.max()) + 1
    first = np.zeros(count, np.bool_)
    first[np.random.default_rng(seed).permutation(count)[: count // 2]] = True
    if not first.any():
        raise InputError("expected images of at least two tracks: one half is judged by what fits the other")
    halves = [np.flatnonzero(first[track]), np.flatnonzero(~first[track])]
    return [Fold(rows, calibrate(evidence.take(others), times)) for rows, others in (halves, halves[::-1])]


def for_all(settings: Settings, images: int) -> list[Fold]:
    """The same settings for all ``images``; they come from elsewhere."""
    return [Fold(np.arange(images), settings)]


def as_bundled(folds: Sequence[Fold], manifest: Manifest) -> list[Fold]:
    """Folds that route and escalate as the bundle does; ways that it does not know keep the settings of ``folds``."""
    prices = tuple(point.price for point in manifest.policy(ROUTE).curve)
    cost = np.array([entry.cost for entry in manifest.configurations])
    cascades = tuple(manifest.cascade(point) for point in manifest.policy(ESCALATE).curve)
    return [
        Fold(fold.rows, replace(fold.settings, prices=prices, route_cost=cost, cascades=cascades)) for fold in folds
    ]
