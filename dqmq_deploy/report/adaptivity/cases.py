"""Where choosing gains and where it loses: by kind of degradation, and image by image."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dqmq_deploy.degradations.kinds import AS_IT_IS, KINDS
from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap
from dqmq_deploy.report.adaptivity.collect import Answers, Labelled
from dqmq_deploy.report.adaptivity.compare import CASCADE, ROUTER, TRIAL, Rivals
from dqmq_deploy.report.adaptivity.grid import by_group, changed, grid
from dqmq_deploy.report.adaptivity.protocol import Protocol
from dqmq_deploy.report.adaptivity.settings import Fold
from dqmq_deploy.report.adaptivity.ways import Point, turns
from dqmq_deploy.report.runners import Pixels
from dqmq_deploy.routing import choose

SHOWN = 12
"""Images shown of those that gain by choosing, and of those that lose."""

THUMBNAIL = 64
"""Longest side of a shown image, in pixels."""


def where_it_pays(
    images: Labelled,
    found: Answers,
    every: Rivals,
    folds: Sequence[Fold],
    draws: Bootstrap,
    protocol: Protocol,
    seed: int,
) -> dict[str, Any]:
    """Where choosing gains and loses, at the slowest setting that takes no longer than the best configuration."""
    names = [way.name for way in every.statics]
    best = names.index(every.best.name)
    setting = _setting(every)
    predicted = _answers(found, folds, every.default, setting.index)
    ours, theirs = predicted == images.truth, found.evidence.right[:, best]
    right: dict[str, npt.NDArray[np.floating]] = {
        name: way.points[0].right for name, way in zip(names, every.statics, strict=True)
    }
    right["adaptive"] = ours.astype(float)
    gained, lost = changed(ours, theirs, SHOWN, seed)

    def shown(chosen: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
        if not len(chosen):
            return []
        pixels, _, _ = images.spoilt(chosen.tolist(), protocol, seed)
        return [
            {
                "image": images.names[row],
                "label": images.classes[images.truth[row]],
                "best_static": images.classes[found.predicted[row, best]],
                "adaptive": images.classes[predicted[row]],
                "kind": "as it is" if found.kind[row] == AS_IT_IS else KINDS[found.kind[row]],
                "severity": int(found.severity[row]),
                "png": thumbnail(picture),
            }
            for row, picture in zip(chosen, pixels, strict=True)
        ]

    return {
        "adaptive_ms": setting.ms,
        "groups": by_group(right, found.kind, "adaptive", names[best], draws),
        "grid": grid(right, found.kind, found.severity),
        "gained": {"images": int((ours & ~theirs).sum()), "shown": shown(gained)},
        "lost": {"images": int((theirs & ~ours).sum()), "shown": shown(lost)},
    }


def _setting(every: Rivals) -> Point:
    """The slowest setting of our way that takes no longer than the best configuration; else the fastest."""
    points = every.ours.points
    return next((point for point in reversed(points) if point.ms <= every.best.fastest), points[0])


def _answers(found: Answers, folds: Sequence[Fold], default: str, index: int) -> npt.NDArray[np.int64]:
    """The class that each image is given at a setting, ``[N]``."""
    answers = np.zeros(len(found.kind), np.int64)
    for fold in folds:
        some = found.evidence.take(fold.rows)
        if default == ROUTER:
            first = last = choose(some.p_right, fold.settings.route_cost, fold.settings.prices[index])
        else:
            cascade = fold.settings.of({TRIAL: "trials", CASCADE: "cascades"}[default])[index]
            skipped, again = turns(cascade, some)
            last = np.where(skipped | again, cascade.last, cascade.first)
            first = np.where(again, cascade.first, last)
        answers[fold.rows] = found.after[fold.rows, first, last]
    return answers


def thumbnail(picture: Pixels) -> str:
    """A picture ``[H, W, 3]`` as a PNG data URI, no side longer than :data:`THUMBNAIL`."""
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    packed = io.BytesIO()
    image.save(packed, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
