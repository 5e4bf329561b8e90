"""How an image finds its configuration: by the estimator's word, or by trying a cheap one first.

Two ways, and one knob for both, the *price*: accuracy one is willing to give up per unit of cost.

    route      the estimator foretells p_right of every configuration; the image goes to  argmax p_right - price x cost
    escalate   the ``first`` configuration answers; where its score is below ``threshold``, ``last`` looks again, and
               its answer counts together with a part of the first one. With ``skip`` above 0 the estimator is asked
               before: where it gives ``first`` a smaller chance than that, the image goes to ``last`` at once.

Plain NumPy: what training calibrates, export records, serving does and the report tells is one code. Symbols: N images,
K configurations by rising cost, C classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MEMORIES = tuple(round(0.05 * step, 2) for step in range(11))
"""How much of the first answer may count beside the last one, as a share of their mean log-softmax."""

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Routes = npt.NDArray[np.intp]


def choose(p_right: Floats, cost: Floats, price: float) -> Routes:
    """The route of each image, int ``[N]``, of ``p_right`` ``[N, K]`` and ``cost`` ``[K]``, which rises.

    Ties go to the cheaper configuration. A higher price never raises the cost of an image's route.

    >>> choose(np.float32([[0.90, 0.95]]), np.array([0.1, 1.0]), price=0.1).tolist()
    [0]
    """
    routes: Routes = np.argmax(p_right - price * cost, axis=-1)
    return routes


def top_score(logits: Floats) -> npt.NDArray[np.float32]:
    """Softmax value of the highest of ``logits`` along the last axis.

    >>> top_score(np.zeros((1, 4), np.float32)).tolist()
    [0.25]
    """
    shifted = np.asarray(logits, np.float32) - logits.max(axis=-1, keepdims=True)
    return np.asarray(1 / np.exp(shifted).sum(axis=-1), np.float32)


def together(first: Floats, last: Floats, memory: float) -> npt.NDArray[np.float32]:
    """The logits ``[..., C]`` that count after an image escalated from logits ``first`` to logits ``last``.

    But for a constant, which no softmax sees, it is the weighted mean of their log-softmax.

    >>> together(np.float32([5, 0]), np.float32([0, 0.1]), 0.2).argmax().item()
    0
    >>> together(np.float32([5, 0]), np.float32([0, 2]), 0.2).argmax().item()
    1
    """
    return np.asarray(memory * first + (1 - memory) * last, np.float32)


def fit_memory(logits: Floats, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """How much of each configuration's answer to remember after escalating to each dearer one, float64 ``[K, K]``.

    Of :data:`MEMORIES` the one with which most images are right, of held-out ones with ``logits`` ``[N, K, C]`` and
    ``labels`` ``[N]``; the smallest of equals. 0 where nothing escalates.
    """
    count = logits.shape[1]
    found = np.zeros((count, count))
    for first, last in zip(*np.triu_indices(count, 1), strict=True):
        right = [
            (together(logits[:, first], logits[:, last], memory).argmax(axis=-1) == labels).sum() for memory in MEMORIES
        ]
        found[first, last] = MEMORIES[int(np.argmax(right))]
    return found


def answers_after(logits: Floats, memory: Floats) -> npt.NDArray[np.int64]:
    """The class that counts after escalating from each configuration to each dearer one, int64 ``[N, K, K]``.

    ``logits`` are ``[N, K, C]``, ``memory`` ``[K, K]``. On and below the diagonal, where nothing escalates, stands the
    latter's own answer.
    """
    alone = logits.argmax(axis=-1)
    found = np.repeat(alone[:, np.newaxis], logits.shape[1], axis=1).astype(np.int64)
    for first, last in zip(*np.triu_indices(logits.shape[1], 1), strict=True):
        mean = together(logits[:, first], logits[:, last], float(memory[first, last]))
        found[:, first, last] = mean.argmax(axis=-1)
    return found


@dataclass(frozen=True)
class Cascade:
    """One way to escalate; ``first`` and ``last`` are positions among the configurations.

    ``threshold`` and ``skip`` are held against probabilities: 0 never escalates, never skips; a threshold above 1
    always escalates. ``memory`` is how much of the first answer counts beside the last one.
    """

    first: int
    last: int
    threshold: float
    skip: float = 0.0
    memory: float = 0.0

    @property
    def asks_estimator(self) -> bool:
        """Whether the estimator has a say."""
        return self.skip > 0

    def skipped(self, p_right: Floats) -> Bools:
        """Which images go to ``last`` at once, bool ``[N]``, of ``p_right`` ``[N, K]``."""
        return np.asarray(np.asarray(p_right[..., self.first], np.float64) < self.skip)

    def escalated(self, score: Floats) -> Bools:
        """Which answers of ``first`` are not trusted, bool ``[N]``, of their scores ``[N]``."""
        return np.asarray(np.asarray(score, np.float64) < self.threshold)


@dataclass(frozen=True)
class Evidence:
    """What held-out images say, for calibration."""

    p_right: npt.NDArray[np.floating]  # [N, K], the estimator's word
    score: npt.NDArray[np.floating]  # [N, K], softmax of each configuration's answer
    right: npt.NDArray[np.bool_]  # [N, K], whether it is
    right_after: npt.NDArray[np.bool_] | None = None  # [N, K, K], after escalating; None: the last word alone counts
    memory: Floats | None = None  # [K, K], with which that was found

    def after(self, first: int, last: int) -> Bools:
        """Whether the answer is right after escalating from ``first`` to ``last``, bool ``[N]``."""
        return self.right[:, last] if self.right_after is None else self.right_after[:, first, last]

    def take(self, rows: npt.NDArray[np.intp] | slice) -> "Evidence":
        """That of some of the images."""
        after = None if self.right_after is None else self.right_after[rows]
        return Evidence(self.p_right[rows], self.score[rows], self.right[rows], after, self.memory)

    def remembered(self, first: int, last: int) -> float:
        """How much of the answer of ``first`` counts beside that of ``last``."""
        return 0.0 if self.memory is None else float(self.memory[first, last])


def evidence_of(p_right: Floats, logits: Floats, labels: npt.NDArray[np.integer], memory: Floats) -> Evidence:
    """The evidence in ``logits`` ``[N, K, C]`` of images with ``labels`` ``[N]`` and the estimator's ``p_right``."""
    truth = np.asarray(labels)[:, np.newaxis]
    return Evidence(
        np.asarray(p_right),
        top_score(logits),
        np.asarray(logits.argmax(-1) == truth),
        np.asarray(answers_after(logits, memory) == truth[:, np.newaxis]),
        memory,
    )


@dataclass(frozen=True)
class Outcome:
    """What a way of choosing comes to: each image's answer and cost."""

    right: Bools  # [N]
    cost: npt.NDArray[np.float64]  # [N]

    def utility(self, price: float) -> float:
        """Mean accuracy less what it cost."""
        return float(self.right.mean() - price * self.cost.mean())


def run_cascade(cascade: Cascade, evidence: Evidence, cost: Floats, estimator_cost: float) -> Outcome:
    """What ``cascade`` comes to on the images of ``evidence``; all costs in one unit, ``cost`` ``[K]``."""
    first, last = cascade.first, cascade.last
    skipped = cascade.skipped(evidence.p_right)
    again = ~skipped & cascade.escalated(evidence.score[:, first])
    right = np.where(skipped, evidence.right[:, last], evidence.right[:, first])
    right = np.where(again, evidence.after(first, last), right)
    spent = np.where(skipped, cost[last], cost[first] + again * cost[last])
    return Outcome(right, spent + (estimator_cost if cascade.asks_estimator else 0.0))


def run_route(evidence: Evidence, cost: Floats, estimator_cost: float, price: float) -> Outcome:
    """What routing by the estimator at ``price`` comes to."""
    route = choose(evidence.p_right, cost, price)
    return Outcome(evidence.right[np.arange(len(route)), route], np.asarray(cost[route] + estimator_cost, np.float64))


def best_cascade(
    evidence: Evidence,
    cost: Floats,
    estimator_cost: float,
    price: float,
    skips: int = 12,
    pair: tuple[int, int] | None = None,
) -> Cascade:
    """The cascade of the greatest utility on ``evidence`` at ``price``, over all pairs, thresholds and ``skips`` skips.

    With ``pair``, over those of its first and last configuration alone.

    For a pair and a skip the best threshold is found exactly: with images by rising score, utility as a function of how
    many escalate is a running sum.
    """
    best, most = Cascade(0, 0, 0.0), -np.inf
    count = evidence.score.shape[1]
    for first in range(count) if pair is None else pair[:1]:
        chances = np.asarray(evidence.p_right[:, first], np.float64)
        order = np.argsort(evidence.score[:, first], kind="stable")
        score = np.asarray(evidence.score[order, first], np.float64)
        cuts = np.concatenate([[True], score[1:] > score[:-1], [True]])[: len(score) + 1]  # equal scores stay together
        lines = np.concatenate([[0.0], np.quantile(chances, np.linspace(0, 0.6, skips + 1)[1:])])
        alone = evidence.right[order, first].astype(np.float64)
        for last in range(first, count) if pair is None else pair[1:]:
            direct = evidence.right[order, last] - price * cost[last]
            gain = evidence.after(first, last)[order] - price * cost[last] - alone
            stay = alone - price * cost[first]
            for skip in lines if last > first else lines[:1]:
                skipped = (chances < skip)[order]
                start = np.where(skipped, direct, stay).sum() - (price * estimator_cost * len(score) if skip else 0)
                sums = np.concatenate([[0.0], np.cumsum(np.where(skipped, 0.0, gain))]) if last > first else np.zeros(1)
                at = int(np.where(cuts[: len(sums)], sums, -np.inf).argmax())
                if start + sums[at] > most:
                    most = start + sums[at]
                    best = Cascade(first, last, _between(score, at), float(skip), evidence.remembered(first, last))
    return best


def _between(score: npt.NDArray[np.float64], at: int) -> float:
    """A threshold below which ``at`` of the rising scores lie; 0 for none, above 1 for all."""
    if at == 0:
        return 0.0
    if at == len(score):
        return 1.0 + 1e-6
    middle = float((score[at - 1] + score[at]) / 2)
    return middle if score[at - 1] < middle else float(score[at])
