"""The grid of kinds and severities, and which images gain."""

import numpy as np

from dqmq_deploy.degradations.kinds import AS_IT_IS, KINDS
from dqmq_deploy.report.adaptivity.bootstrap import Bootstrap
from dqmq_deploy.report.adaptivity.grid import by_group, changed, grid
from dqmq_deploy.report.adaptivity.protocol import PROTOCOLS, spoil

KIND = np.array([AS_IT_IS, KINDS.index("blur"), KINDS.index("blur"), KINDS.index("rain")])
SEVERITY = np.array([0, 1, 5, 3])
RIGHT = {"x": np.array([1.0, 1.0, 0.0, 0.5])}


def test_the_grid_sums_up_and_tells_apart() -> None:
    """A row for each kind and each severity that occurs, one for the whole kind, one for images as they are."""
    rows = {(row["kind"], row["severity"]): row for row in grid(RIGHT, KIND, SEVERITY)}
    assert set(rows) == {("as it is", 0), ("blur", 0), ("blur", 1), ("blur", 5), ("rain", 0), ("rain", 3)}
    assert rows["blur", 0]["accuracy"]["x"] == 0.5 and rows["blur", 0]["images"] == 2
    assert rows["rain", 0]["unseen"] and not rows["blur", 0]["unseen"]


def test_groups_are_all_clean_seen_and_unseen() -> None:
    """In this order, with their images; the difference is that of the group."""
    right = {**RIGHT, "y": np.array([1.0, 0.0, 0.0, 0.5])}
    groups = by_group(right, KIND, "x", "y", Bootstrap(np.arange(4), seed=0))
    assert [group["difference"]["value"] for group in groups] == [0.25, 0.0, 0.5, 0.0]
    assert [(row["images"], row["accuracy"]["x"]) for row in groups] == [
        (4, 0.625),
        (1, 1.0),
        (2, 0.5),
        (1, 0.5),
    ]


def test_gained_and_lost_are_told_apart() -> None:
    """At most as many as asked for, in order, the same for the same seed."""
    ours, theirs = np.array([1, 1, 0, 0, 1], bool), np.array([0, 1, 1, 0, 0], bool)
    gained, lost = changed(ours, theirs, 5, seed=0)
    assert gained.tolist() == [0, 4] and lost.tolist() == [2]
    assert len(changed(ours, theirs, 1, seed=0)[0]) == 1


def test_an_image_is_spoilt_alike_however_images_are_grouped() -> None:
    """One by one or together, each has its own draw; about half are left alone."""
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    together, kind, severity = spoil(images, range(60), PROTOCOLS["mixed"], seed=4)
    alone = [spoil(images[i : i + 1], [i], PROTOCOLS["mixed"], seed=4) for i in range(60)]
    assert np.array_equal(together, np.concatenate([part[0] for part in alone]))
    assert kind.tolist() == [int(part[1][0]) for part in alone]
    assert severity.tolist() == [int(part[2][0]) for part in alone]
    assert 18 <= (kind == AS_IT_IS).sum() <= 42
    untouched, kind, _ = spoil(images, range(60), PROTOCOLS["none"], seed=4)
    assert untouched is images and set(kind) == {AS_IT_IS}
