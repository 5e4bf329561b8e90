"""The last part of training: compile the policy, specialise the configurations, fit crop and estimator, measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dqmq_deploy.bits import Layer, bitops, mean_bits
from dqmq_deploy.degradations.kinds import mixed
from dqmq_deploy.policy.compiling import cluster, decisions, random_like
from dqmq_deploy.policy.objective import CostTable
from dqmq_deploy.policy.specialise import Draw, Specialisation, assign, fine_tune
from dqmq_deploy.quality.estimator import Estimator, fit, predict
from dqmq_deploy.quant.folding import fold
from dqmq_deploy.quant.net import Choice
from dqmq_deploy.quant.shrink import is_exact
from dqmq_deploy.routing import Evidence, evidence_of, fit_memory
from dqmq_deploy.train.data import Dataset, split_by_group
from dqmq_deploy.train.evaluate import logits, right
from dqmq_deploy.train.loader import Batches
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.recipe import Recipe
from dqmq_deploy.train.trainer import Trainer, slot_parameters

_CHOOSE = 0.7  # of the held-out images, to choose prices and thresholds by; the others fit crop and estimator
_WORSE = 0.001  # held-out accuracy below the start at which a specialised slot is put back

Pixels = npt.NDArray[np.uint8]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """What training hands over beside the network itself."""

    names: list[str]
    choices: list[Choice]
    estimator: Estimator
    evidence: Evidence
    calibration: Dataset
    notes: dict[str, Any]


class Finisher:
    """Runs the parts in order; each is a pure function of the trained network and the seed."""

    def __init__(self, recipe: Recipe, trainer: Trainer, layers: list[Layer], held_out: Dataset, say: Say) -> None:
        self.recipe, self.net, self.policy = recipe, trainer.net, trainer.policy
        self.settled = trainer.configurations
        self.batches: Batches = trainer.batches
        self.bf16 = trainer.bf16
        self.cost_table: CostTable = trainer.cost
        self.layers, self.say = layers, say
        self.fit_part, self.choose_part = split_by_group(held_out, _CHOOSE, recipe.seed)
        self.notes: dict[str, Any] = {}

    def finish(self) -> Finished:
        """Compile, specialise, fit the estimator and gather evidence."""
        choices = self.settled or self.net.add_slots(self.compile())
        paper = np.array([self.bitops(choice) for choice in choices], np.float64)
        cost = paper / paper.max()
        self.specialise(choices, cost)
        for choice in choices:
            fold(self.net, choice)
        self.fit_crop([choice for choice in choices if choice.shrink > 1])
        estimator = self.fit_estimator(choices)
        tensor, answers, labels = self.answers(self.choose_part, choices, stream=31)
        _, others, truth = self.answers(self.fit_part, choices, stream=38)
        # one number a pair: it hardly flatters the images that chose it, and takes many to be told from chance
        memory = fit_memory(np.concatenate([answers, others]), np.concatenate([labels, truth]))
        evidence = evidence_of(predict(estimator, tensor), answers, labels, memory)
        return Finished(
            names=self.names(choices),
            choices=choices,
            estimator=estimator,
            evidence=evidence,
            calibration=self.calibration(),
            notes=self.notes,
        )

    def bitops(self, choice: Choice) -> int:
        """BitOPs per image under ``choice``."""
        height, width = self.recipe.data.height // choice.shrink, self.recipe.data.width // choice.shrink
        return bitops(self.net.describe((height, width)), self.net.layer_bits(choice))

    def cost(self, choice: Choice) -> float:
        """Relative cost by the recipe's table; a shrunk picture has that much less area to work on."""
        assert choice.bits is not None
        levels = [self.net.ladder.index(bits) for bits in choice.bits]
        table = self.cost_table.table
        return float(table[torch.arange(len(levels)), levels].sum()) / choice.shrink**2

    def names(self, choices: list[Choice]) -> list[str]:
        """A name for each, told apart by letters where precisions do not."""
        return _names([self.name(choice) for choice in choices])

    def name(self, choice: Choice) -> str:
        """``bits-2.1`` by the mean precision, and ``bits-4.1-at16`` where the picture is shrunk to 16 rows."""
        mean = f"bits-{mean_bits(self.layers, self.net.layer_bits(choice)):.1f}"
        return mean if choice.shrink == 1 else f"{mean}-at{self.recipe.data.height // choice.shrink}"

    # -- images ------------------------------------------------------------------------------------------------------

    def tensor(self, images: Pixels) -> Tensor:
        """Images as the network reads them."""
        return normalised(images, self.recipe.data.image_scale, self.recipe.data.image_zero_point)

    def mixture(
        self, part: Dataset, copies: int, stream: int, share: float | None = None
    ) -> tuple[Pixels, npt.NDArray[np.int64]]:
        """``copies`` of every image, ``share`` of them (by default the recipe's) degraded, each by its own draw."""
        rng = np.random.default_rng((self.recipe.seed, stream))
        images = np.concatenate([part.images] * copies)
        data = self.recipe.data
        share = data.degrade_share if share is None else share
        return mixed(images, rng, share, data.kinds)[0], np.concatenate([part.labels] * copies)

    def training_pool(self, count: int, epoch: int, share: float | None = None) -> tuple[Pixels, npt.NDArray[np.int64]]:
        """``count`` augmented and degraded training images, from as many epochs on from ``epoch`` as that takes."""
        batches = self.batches if share is None else self.batches.with_share(share)
        per_epoch = len(batches)
        needed = max(1, -(-count // batches.batch_size))
        pieces = [batches.batch(epoch + i // per_epoch, i % per_epoch) for i in range(needed)]
        images, labels = np.concatenate([b.images for b in pieces]), np.concatenate([b.labels for b in pieces])
        return images[:count], labels[:count]

    def calibration(self) -> Dataset:
        """A small mixed-quality part of the held-out images for the checkpoint."""
        rows = np.random.default_rng((self.recipe.seed, 32)).permutation(len(self.choose_part))
        part = self.choose_part.take(np.sort(rows[: self.recipe.estimator.calibration_images]))
        images, labels = self.mixture(part, copies=1, stream=33)
        return Dataset(images, labels, part.classes, part.names, ())

    def answers(
        self, part: Dataset, choices: list[Choice], stream: int
    ) -> tuple[Tensor, npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Copies of some images in mixed quality, every configuration's logits ``[N, K, classes]``, and labels."""
        images, labels = self.mixture(part, self.recipe.estimator.copies, stream)
        tensor = self.tensor(images)
        return tensor, np.stack([logits(self.net, tensor, choice).numpy() for choice in choices], 1), labels

    def correct(self, images: Tensor, labels: npt.NDArray[np.int64], choices: list[Choice]) -> npt.NDArray[np.bool_]:
        """What each configuration gets right, ``[N, configurations]``."""
        return np.stack([right(self.net, images, labels, choice) for choice in choices], 1)

    # -- parts -------------------------------------------------------------------------------------------------------

    def compile(self) -> list[Choice]:
        """Configurations from the policy's decisions on mixed-quality training images, cheapest first."""
        settings = self.recipe.compile
        self.say("compiling the policy")
        images, _ = self.training_pool(settings.images, epoch=1_000_000)
        decided = decisions(self.net, self.policy, self.tensor(images))
        self.notes["distinct_decisions"] = len(np.unique(decided, axis=0))
        whole = cluster(decided, self.cost_table, settings.configurations, self.net.ladder)
        if settings.bits == "uniform":
            levels = np.linspace(0, len(self.net.ladder) - 1, settings.configurations).round().astype(int)
            whole = [self.net.uniform(self.net.ladder[level]) for level in np.unique(levels)]
        elif settings.bits == "random":
            whole = random_like(whole, self.cost_table, self.net.ladder, self.recipe.seed)
        shrunk = [self.net.uniform(self.recipe.train.shrunk_bits, shrink) for shrink in self.net.shrinks[1:]]
        # a smaller picture is faster on any clock, also where BitOPs say otherwise, as of 8 bits against 2
        return sorted(whole + shrunk, key=lambda choice: (-choice.shrink, self.cost(choice)))

    def specialise(self, choices: list[Choice], cost: npt.NDArray[np.float64]) -> None:
        """Fine-tune every configuration's slot; a slot that does worse on held-out images is put back."""
        settings = self.recipe.compile
        if not settings.steps or not settings.rounds:
            return
        for parameter in self.net.parameters():
            parameter.requires_grad_(False)
        parameters = slot_parameters(self.net)
        for parameter in parameters:
            parameter.requires_grad_(True)
        held_images, held_labels = self.mixture(self.fit_part, copies=1, stream=34)
        held = self.tensor(held_images)
        before = [float(right(self.net, held, held_labels, choice).mean()) for choice in choices]
        start = {name: value.clone() for name, value in self.net.state_dict().items()}
        after = list(before)
        for turn in range(settings.rounds):
            pool, labels = self.training_pool(4096, epoch=1_000_001 + turn)
            pool_tensor, pool_labels = self.tensor(pool), torch.from_numpy(labels)
            assigned = assign(self.correct(pool_tensor, labels, choices), cost, settings.price)
            for k, choice in enumerate(choices):
                self.say(f"specialising configuration {k + 1} of {len(choices)}, round {turn + 1} of {settings.rounds}")

                draw = self._draw(pool_tensor, pool_labels, (turn, k))
                plan = Specialisation(settings.steps, settings.learning_rate, bf16=self.bf16)
                rows = np.flatnonzero(assigned == k)
                fine_tune(self.net, choice, parameters, draw, rows, settings.own_share, plan)
                after[k] = float(right(self.net, held, held_labels, choice).mean())
        kept = [new >= old - _WORSE for old, new in zip(before, after, strict=True)]
        state = self.net.state_dict()
        for choice, keep in zip(choices, kept, strict=True):
            if not keep:
                _restore_slot(state, start, choice)
        self.net.eval().requires_grad_(False)
        self.notes["specialised"] = {"before": before, "after": after, "kept": kept, "images": len(held_labels)}

    def fit_crop(self, shrunk: list[Choice]) -> None:
        """Crop shrunk pictures as much as suits the held-out images best, from what training cropped on.

        Training shifts, turns and scales what it sees; what is deployed need not leave room for that, and shows itself
        larger (Touvron et al., arXiv 1906.06423).
        """
        if not shrunk:
            return
        self.say("fitting the crop of shrunk pictures")
        images, labels = self.mixture(self.fit_part, copies=2, stream=37)
        tensor, trained = self.tensor(images), self.net.shrinking
        least = min(choice.shrink for choice in shrunk)
        size = self.recipe.data.height, self.recipe.data.width
        most = min((side - side // least) // 2 for side in size)
        found: dict[int, float] = {}
        for crop in range(trained.crop, most + 1, max(1, min(size) // 32)):
            if not all(is_exact(size, crop, choice.shrink) for choice in shrunk):
                continue
            self.net.shrinking = replace(trained, crop=crop)
            found[crop] = float(self.correct(tensor, labels, shrunk).mean())
        self.net.shrinking = replace(trained, crop=max(found, key=lambda crop: found[crop]))
        self.notes["shrunk_crop"] = {str(crop): accuracy for crop, accuracy in found.items()}

    def _draw(self, images: Tensor, labels: Tensor, stream: tuple[int, int]) -> Draw:
        """Batches for specialising, drawn by a seed of their own for each configuration, round and step."""

        def draw(rows: npt.NDArray[np.int64] | None, step: int) -> tuple[Tensor, Tensor]:
            rng = np.random.default_rng((self.recipe.seed, 35, *stream, step))
            source = np.arange(len(labels)) if rows is None else rows
            chosen = rng.choice(source, min(self.recipe.train.batch_size, len(source)), replace=False)
            return images[chosen], labels[chosen]

        return draw

    def fit_estimator(self, choices: list[Choice]) -> Estimator:
        """Fit the estimator to what the configurations got right on held-out and training images."""
        settings = self.recipe.estimator
        self.say("fitting the quality estimator")
        share = settings.degrade_share
        held_images, held_labels = self.mixture(self.fit_part, settings.copies, stream=36, share=share)
        images, labels = self.training_pool(settings.training_images, epoch=1_000_100, share=share)
        images, labels = np.concatenate([held_images, images]), np.concatenate([held_labels, labels])
        tensor = self.tensor(images)
        target = torch.from_numpy(self.correct(tensor, labels, choices)).float()
        torch.manual_seed(self.recipe.seed)
        estimator = Estimator(list(settings.widths), list(settings.strides), len(choices))
        estimator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rate, seed = settings.learning_rate, self.recipe.seed
        losses = fit(estimator, tensor, target, epochs=settings.epochs, learning_rate=rate, seed=seed)
        self.notes["estimator_loss"] = losses
        return estimator


def _names(plain: list[str]) -> list[str]:
    """A letter tells apart what has the same name."""
    letters = [ascii_lowercase[plain[:k].count(name)] if plain.count(name) > 1 else "" for k, name in enumerate(plain)]
    return [name + letter for name, letter in zip(plain, letters, strict=True)]


def _restore_slot(state: dict[str, Tensor], start: dict[str, Tensor], choice: Choice) -> None:
    """Put one slot's rows back to what they were."""
    for name, value in state.items():
        slotted = name.startswith("acts.") or ".norm." in name or ".sum_steps." in name
        if slotted and not name.startswith("acts.image"):
            value[choice.slot] = start[name][choice.slot]
