"""Records: keys, order, and what has no number to show."""

from dqmq_deploy.errors import ImageError
from dqmq_deploy.runtime.prediction import Prediction
from dqmq_deploy.serve.records import FIELDS, to_record

FOUND = Prediction("stop", 14, 0.91234567, 0.98, "w4", 0.0123456, 0.3, 0.1, (0.5, 0.98))


def test_record_of_a_prediction() -> None:
    """The promised keys, rounded to what is worth reading."""
    record = to_record("14/x.png", FOUND)
    assert tuple(record) == FIELDS
    assert (record["image"], record["label"], record["score"], record["estimator_ms"]) == (
        "14/x.png",
        "stop",
        0.912346,
        0.0123,
    )


def test_record_of_an_error() -> None:
    """The image and the error, nothing else."""
    assert to_record("x.png", ImageError("x.png: no")) == {"image": "x.png", "error": "x.png: no"}


def test_numbers_that_are_none() -> None:
    """JSON has no word for them, so such an answer is an error."""
    for wrong in (FOUND._replace(score=float("nan")), FOUND._replace(quality=float("inf"))):
        assert "no finite number" in to_record("x.png", wrong)["error"]


def test_where_the_estimator_was_not_asked() -> None:
    """There is no quality to tell, and nothing wrong with that."""
    record = to_record("x.png", FOUND._replace(quality=None, p_right=(), escalated=True))
    assert record["quality"] is None and record["escalated"] is True
