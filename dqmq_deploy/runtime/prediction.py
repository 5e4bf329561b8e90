"""What the dispatcher answers for one image."""

from typing import NamedTuple


class Prediction(NamedTuple):
    """The answer for one image, which configuration gave it, and what it took.

    ``score`` is the softmax of the winning class, 0 to 1. ``p_right`` holds the estimator's probability of a right
    answer for each configuration, in manifest order, ``quality`` the greatest of them; where the estimator was not
    asked, ``p_right`` is empty and ``quality`` None. ``config`` is the configuration that ran last. ``escalated``: an
    earlier one ran, too, and its time counts in ``graph_ms``. Of a micro-batch,
    ``estimator_ms`` (with the choice of route) and ``graph_ms`` are an equal share of the batch's time.
    """

    label: str
    class_index: int
    score: float
    quality: float | None
    config: str
    estimator_ms: float
    graph_ms: float
    decode_ms: float
    p_right: tuple[float, ...]
    escalated: bool = False
