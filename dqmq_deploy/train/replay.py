"""Training steps on a GPU, recorded once for each choice of precisions and replayed from then on.

A step of a small network is a thousand small kernels, which a GPU finishes faster than Python can launch them. Recorded
as a CUDA graph they are launched as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dqmq_deploy.quant.net import Choice

_WARM = 3  # steps before one is recorded: whatever is compiled or allocated once has been by then
_MOST = 8  # recordings; of the policy's mixtures there are too many, and few come again

Loss = Callable[[Tensor, Tensor, Choice], Tensor]
"""From images ``[N, C, H, W]``, labels ``[N]`` and a choice to the loss, a scalar."""


@dataclass(frozen=True)
class _Recording:
    """A graph, what it reads and what it leaves: always the same memory."""

    graph: torch.cuda.CUDAGraph
    images: Tensor
    labels: Tensor
    loss: Tensor
    gradients: tuple[Tensor | None, ...]


class Replay:
    """Losses and gradients of ``loss`` for ``parameters``, all of them on a GPU.

    Recordings refer to the parameters' memory: parameters that are replaced need a new ``Replay``.
    """

    def __init__(self, loss: Loss, parameters: Sequence[nn.Parameter]) -> None:
        self._loss, self._parameters = loss, list(parameters)
        self._seen: Counter[Choice] = Counter()
        self._recordings: dict[Choice, _Recording] = {}

    def __call__(self, images: Tensor, labels: Tensor, choice: Choice) -> Tensor:
        """The loss, and every parameter's ``grad`` set: None where the choice does not use it."""
        if choice not in self._recordings and self._seen[choice] >= _WARM and len(self._recordings) < _MOST:
            self._recordings[choice] = self._record(images, labels, choice)
        recording = self._recordings.get(choice)
        if recording is None or recording.images.shape != images.shape:
            self._seen[choice] += 1
            loss, gradients = self._step(images, labels, choice)
        else:
            recording.images.copy_(images)
            recording.labels.copy_(labels)
            recording.graph.replay()
            loss, gradients = recording.loss, recording.gradients
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss

    def _step(self, images: Tensor, labels: Tensor, choice: Choice) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        loss = self._loss(images, labels, choice)
        return loss.detach(), torch.autograd.grad(loss, self._parameters, allow_unused=True)

    def _record(self, images: Tensor, labels: Tensor, choice: Choice) -> _Recording:
        """Recording runs nothing: normalisation statistics stay as they are."""
        images, labels, graph = images.clone(), labels.clone(), torch.cuda.CUDAGraph()
        pool = next((known.graph.pool() for known in self._recordings.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            loss, gradients = self._step(images, labels, choice)
        return _Recording(graph, images, labels, loss, gradients)
