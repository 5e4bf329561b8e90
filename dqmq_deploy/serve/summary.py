"""What a run comes to: counts, speed, the mix of routes, and accuracy where the labels are known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dqmq_deploy.serve.records import Record

QUALITY_BANDS = ((0.0, "below 0.5"), (0.5, "0.5 to 0.8"), (0.8, "0.8 to 0.95"), (0.95, "0.95 and above"))
"""Bands of estimated quality, best last: where each starts, and its name."""


@dataclass(frozen=True)
class Group:
    """Images that have something in common. ``right`` and ``accuracy`` (0 to 1) are None where labels are unknown."""

    name: str
    images: int
    share: float
    right: int | None
    accuracy: float | None


@dataclass(frozen=True)
class ServeSummary:
    """What a run came to.

    ``images`` and ``errors`` (unreadable images among them), speed and mean times are of this run; ``resumed`` counts
    the records that were there already. The groups, ``accuracy`` and ``escalated`` (the share of images that two
    configurations saw) cover both, without the unreadable; the groups by quality, without those of which the estimator
    was not asked. ``policy`` is None where one configuration took every image.
    """

    output: str
    images: int
    errors: int
    resumed: int
    seconds: float
    images_per_second: float
    policy: str | None
    price: float | None
    mean_cost: float | None
    escalated: float | None
    accuracy: float | None
    by_quality: tuple[Group, ...]
    by_route: tuple[Group, ...]
    estimator_ms: float | None
    graph_ms: float | None
    decode_ms: float | None
    interrupted: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Dispatching:
    """How a run dispatched; what an image that escalated paid beside its last graph, and what the estimator costs."""

    policy: str | None
    price: float | None
    first_cost: float
    estimator_cost: float


class Tally:
    """Counts records as they pass.

    ``cost`` is ``{configuration: cost}``, cheapest first; ``labelled``: the first folder of a path is its class.
    """

    def __init__(self, cost: Mapping[str, float], labelled: bool) -> None:
        self.configurations = tuple(cost)
        self._cost = cost
        self._labelled = labelled
        self.images = 0
        self.errors = 0
        self.resumed = 0
        self.escalated = 0
        self.asked = 0  # of the estimator
        self.routes: Counter[str] = Counter()
        self._routes_right: Counter[str] = Counter()
        self._bands: Counter[str] = Counter()
        self._bands_right: Counter[str] = Counter()
        self._ms: Counter[str] = Counter()

    def add(self, record: Record, resumed: bool = False) -> None:
        """Count one record; ``resumed`` if an earlier run wrote it."""
        if resumed:
            self.resumed += 1
        else:
            self.images += 1
        if "error" in record:
            self.errors += not resumed
            return
        right = self._labelled and record["image"].partition("/")[0] == record["label"]
        self.routes[record["config"]] += 1
        self._routes_right[record["config"]] += right
        self.escalated += record["escalated"]
        if record["quality"] is not None:
            self.asked += 1
            band = quality_band(record["quality"])
            self._bands[band] += 1
            self._bands_right[band] += right
        if not resumed:
            for key in ("estimator_ms", "graph_ms", "decode_ms"):
                self._ms[key] += record[key]

    def summary(self, output: str, seconds: float, dispatching: Dispatching, interrupted: bool) -> ServeSummary:
        """The sum so far."""
        total = sum(self.routes.values())
        timed = self.images - self.errors
        means = {key: self._ms[key] / timed if timed else None for key in ("estimator_ms", "graph_ms", "decode_ms")}
        spent = sum(count * self._cost[name] for name, count in self.routes.items())
        spent += self.escalated * dispatching.first_cost + self.asked * dispatching.estimator_cost
        return ServeSummary(
            output=output,
            images=self.images,
            errors=self.errors,
            resumed=self.resumed,
            seconds=seconds,
            images_per_second=self.images / seconds if seconds > 0 else 0.0,
            policy=dispatching.policy,
            price=dispatching.price,
            mean_cost=spent / total if total else None,
            escalated=self.escalated / total if total else None,
            accuracy=sum(self._routes_right.values()) / total if self._labelled and total else None,
            by_quality=self._groups([name for _, name in QUALITY_BANDS], self._bands, self._bands_right),
            by_route=self._groups(self.configurations, self.routes, self._routes_right),
            interrupted=interrupted,
            **means,
        )

    def _groups(self, names: Sequence[str], images: Mapping[str, int], right: Mapping[str, int]) -> tuple[Group, ...]:
        total = sum(images.values())
        return tuple(
            Group(
                name,
                images[name],
                images[name] / total if total else 0.0,
                right[name] if self._labelled else None,
                right[name] / images[name] if self._labelled and images[name] else None,
            )
            for name in names
        )


def quality_band(quality: float) -> str:
    """The name of the band that ``quality`` (0 to 1) falls into.

    >>> quality_band(0.81)
    '0.8 to 0.95'
    """
    return next(name for start, name in reversed(QUALITY_BANDS) if quality >= start)
