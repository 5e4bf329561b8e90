"""Whether choosing image by image pays: a way of dispatching against fixed configurations in the same mean time.

Without any choosing, too, one can have any mean time between two configurations: each image goes to one of the two at
random, in such shares that the mean comes out. The best such pair is what a dispatcher has to beat; to beat the dearest
configuration on price, or the cheapest on accuracy, takes none.

Intervals are normal approximations over images and paired: both sides answer the same images. What an image cost more
or less than the mean is set off along the opponent's slope, so that mean times that are equal only by chance count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dqmq_deploy.routing import Bools, Cascade, Evidence, Floats, Outcome, best_cascade, run_cascade

Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

Z95_OF_12 = 2.8653
"""The same for the best of twelve comparisons (Bonferroni: 0.05 / 12)."""

LEAST_PRICE = 0.002
"""Accuracy that the time of the slowest configuration is worth at least: what buys less buys a handful of images."""


@dataclass(frozen=True)
class Gain:
    """A difference of two accuracies, -1 to 1, with its 95 % interval."""

    difference: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True)
class Mix:
    """Two of several ways at random: ``share`` of the images go ``upper``, the others ``lower``.

    ``slope`` is the accuracy that a little more cost would buy, 0 where all of it is on one way.
    """

    lower: int
    upper: int
    share: float
    slope: float


def mean_gain(values: npt.NDArray[np.float64], z: float = Z95) -> Gain:
    """The mean of ``values`` ``[N]``, each image's difference; ``z`` standard errors to either end of the interval.

    >>> mean_gain(np.zeros(9))
    Gain(difference=0.0, low=0.0, high=0.0)
    """
    mean = float(values.mean())
    half = z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Gain(mean, mean - half, mean + half)


def best_mix(accuracy: Floats, cost: Floats, budget: float) -> Mix:
    """The most accurate mix of two ways of mean ``accuracy`` and ``cost`` ``[M]`` that costs at most ``budget``.

    Where even the cheapest costs more, it is that one.

    >>> best_mix(np.array([0.75, 0.875, 0.8]), np.array([0.25, 0.75, 1.0]), budget=0.375)
    Mix(lower=0, upper=1, share=0.25, slope=0.25)
    """
    accuracy, cost = np.asarray(accuracy, np.float64), np.asarray(cost, np.float64)
    budget = max(budget, float(cost.min()))
    gap = cost[np.newaxis] - cost[:, np.newaxis]  # of [lower, upper]
    fits = cost <= budget
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(gap > 0, np.clip((budget - cost[:, np.newaxis]) / gap, 0.0, 1.0), 0.0)
        reached = (1 - share) * accuracy[:, np.newaxis] + share * accuracy[np.newaxis]
    lower, upper = np.unravel_index(np.where(fits[:, np.newaxis], reached, -np.inf).argmax(), gap.shape)
    part = float(share[lower, upper])
    slope = float((accuracy[upper] - accuracy[lower]) / gap[lower, upper]) if 0 < part < 1 else 0.0
    return Mix(int(lower), int(upper), part, slope)


def sure_cascade(
    evidence: Evidence,
    cost: Floats,
    estimator_cost: float,
    price: float,
    pair: tuple[int, int] | None = None,
    skips: int = 12,
) -> Cascade:
    """The cascade of the greatest utility, but for what is chance on the images at hand.

    The dearest configuration looks last, unless another is surely worth more: where the first was unsure, images are of
    a kind that is rare among those at hand. Of the configurations that may look first, it is the cheapest that is not
    surely worse than the best. The threshold is no lower than that of :func:`mending`, unless that surely pays. And the
    estimator is asked only where that is surely worth its time: among a dozen lines to draw one nearly always helps a
    little on the images that they are drawn by, which :data:`Z95_OF_12` allows for; on others that cost 0.1 points
    (models/ablation.md). Time is worth :data:`LEAST_PRICE` at any price. Arguments are those of
    :func:`dqmq_deploy.routing.best_cascade`.
    """
    price = max(price, LEAST_PRICE)

    def run(cascade: Cascade) -> Outcome:
        return run_cascade(cascade, evidence, cost, estimator_cost)

    def utility(cascade: Cascade) -> npt.NDArray[np.float64]:
        outcome = run(cascade)
        return outcome.right - price * outcome.cost

    def surely_pays(one: Cascade, other: Cascade, z: float = Z95) -> bool:
        return mean_gain(utility(one) - utility(other), z).is_sure

    def fitted(some: int, pair: tuple[int, int] | None) -> Cascade:
        return best_cascade(evidence, cost, estimator_cost, price, some, pair)

    plain = fitted(0, pair)
    if pair is None:
        dearest = len(cost) - 1
        safest = max((fitted(0, (first, dearest)) for first in range(len(cost))), key=lambda way: utility(way).mean())
        best = plain = plain if surely_pays(plain, safest) else safest
        for rival in [fitted(0, (first, best.last)) for first in range(best.last)]:
            if run(rival).cost.mean() < run(plain).cost.mean() and not surely_pays(best, rival):
                plain = rival
    smooth = mending(evidence, cost, price, plain)
    if smooth.threshold > plain.threshold and not surely_pays(plain, smooth):
        plain = smooth
    asking = fitted(skips, pair)
    if surely_pays(asking, plain, Z95_OF_12):
        return asking
    return plain if plain.threshold or pair is not None else Cascade(plain.first, plain.first, 0.0)


def sure_cascades(
    evidence: Evidence, cost: Floats, estimator_cost: float, prices: Sequence[float], skips: int = 12
) -> list[Cascade]:
    """:func:`sure_cascade` at each of rising ``prices``, but that none spends less than a higher price does.

    Where one would, that is chance on the images at hand; it takes the cascade of the higher price.
    """
    found = [sure_cascade(evidence, cost, estimator_cost, price, skips=skips) for price in prices]
    spent = [run_cascade(cascade, evidence, cost, estimator_cost).cost.mean() for cascade in found]
    for at in reversed(range(len(found) - 1)):
        if spent[at] < spent[at + 1]:
            found[at], spent[at] = found[at + 1], spent[at + 1]
    return found


def mending(evidence: Evidence, cost: Floats, price: float, cascade: Cascade) -> Cascade:
    """The same cascade, its threshold drawn from one number instead of from the few images next to it.

    A score of s leaves a doubt of 1 - s. Looking again mends a share of all doubt, which all images tell together; an
    image is worth its second look where that share of its own doubt is more than the price of the time.
    """
    if cascade.first == cascade.last:
        return cascade
    mended = evidence.after(cascade.first, cascade.last).mean() - evidence.right[:, cascade.first].mean()
    doubt = float((1 - evidence.score[:, cascade.first].astype(np.float64)).mean())
    worth = 1 - price * float(cost[cascade.last]) * doubt / float(mended) if mended > 0 else 0.0
    return replace(cascade, threshold=max(0.0, worth))


def static_outcomes(right: Bools, cost: Floats) -> list[Outcome]:
    """Each configuration for all images, of ``right`` ``[N, K]`` and ``cost`` ``[K]``."""
    return [Outcome(right[:, k], np.full(len(right), float(cost[k]))) for k in range(len(cost))]


def over_budgets(outcomes: Sequence[Outcome], budgets: Sequence[float]) -> npt.NDArray[np.float64]:
    """What the best mix of ``outcomes`` is right on, mean over ``budgets``; for each image, ``[N]``.

    Its mean is the area below accuracy over mean cost, and the difference of two such arrays is paired.
    """
    right = np.stack([outcome.right for outcome in outcomes], axis=1).astype(np.float64)
    cost = np.stack([outcome.cost for outcome in outcomes], axis=1)
    accuracy, mean_cost = right.mean(axis=0), cost.mean(axis=0)
    total = np.zeros(len(right))
    for budget in budgets:
        mix = best_mix(accuracy, mean_cost, budget)
        spent = (1 - mix.share) * cost[:, mix.lower] + mix.share * cost[:, mix.upper]
        total += (1 - mix.share) * right[:, mix.lower] + mix.share * right[:, mix.upper]
        total -= mix.slope * (spent - spent.mean())
    return total / len(budgets)
