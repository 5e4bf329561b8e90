"""The result record: one image, one line."""

from math import isfinite
from typing import Any, TypeAlias

from dqmq_deploy.runtime.pipeline import Outcome
from dqmq_deploy.runtime.prediction import Prediction

Record: TypeAlias = dict[str, Any]

FIELDS = (
    "image", "label", "class_index", "score", "quality", "config", "escalated", "estimator_ms", "graph_ms", "decode_ms",
)  # fmt: skip
"""The keys of a record, in order. The record of an unreadable image has ``image`` and ``error`` alone.

``quality`` is None where the estimator was not asked.
"""

COLUMNS = (*FIELDS, "error")
"""The columns where the format is a table: CSV and Parquet."""


def to_record(image: str, outcome: Outcome) -> Record:
    """The record of ``image``, a path relative to the folder that is served."""
    if not isinstance(outcome, Prediction):
        return {"image": image, "error": str(outcome)}
    quality = outcome.quality
    if not (isfinite(outcome.score) and (quality is None or isfinite(quality))):
        return {"image": image, "error": f"configuration '{outcome.config}' or the estimator gave no finite number"}
    return {
        "image": image,
        "label": outcome.label,
        "class_index": outcome.class_index,
        "score": round(outcome.score, 6),
        "quality": None if quality is None else round(quality, 6),
        "config": outcome.config,
        "escalated": outcome.escalated,
        "estimator_ms": round(outcome.estimator_ms, 4),
        "graph_ms": round(outcome.graph_ms, 4),
        "decode_ms": round(outcome.decode_ms, 4),
    }
