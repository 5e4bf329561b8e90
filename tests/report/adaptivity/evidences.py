"""Evidence with known answers."""

import numpy as np

from dqmq_deploy.report.adaptivity.settings import Times
from dqmq_deploy.routing import Evidence

TIMES = Times(np.array([1.0, 3.0]), estimator=0.2, dispatch=0.05)


def simulated(images: int, seed: int) -> Evidence:
    """Hard and easy images: the cheap one fails on the hard ones, and its score half tells."""
    rng = np.random.default_rng(seed)
    hard = rng.random(images) < 0.3
    first, second = rng.random(images) < np.where(hard, 0.4, 0.98), rng.random(images) < np.where(hard, 0.9, 0.97)
    score = np.clip(np.where(first, 0.9, 0.5) + rng.normal(0, 0.15, images), 0, 1)
    p_right = np.clip(np.where(hard, 0.5, 0.95) + rng.normal(0, 0.05, images), 0, 1)
    return Evidence(np.stack([p_right, p_right + 0.02], 1), np.stack([score, score], 1), np.stack([first, second], 1))


def shuffled(evidence: Evidence, seed: int) -> Evidence:
    """The same answers, of which neither estimator nor score knows anything."""
    rng = np.random.default_rng(seed)
    return Evidence(rng.permutation(evidence.p_right), rng.permutation(evidence.score), evidence.right)
