"""A whole training run: recipe and images in, a checkpoint out."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from dqmq_deploy.degradations.kinds import mixed
from dqmq_deploy.errors import CheckpointError, ModelError
from dqmq_deploy.nets.load import build
from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.objective import bitops_cost, measured_cost
from dqmq_deploy.quant import steps
from dqmq_deploy.quant.net import FLOAT, Choice, prepare
from dqmq_deploy.quant.shrink import Shrinking
from dqmq_deploy.train import checkpoint
from dqmq_deploy.train.data import Dataset, open_dataset, require_same_classes, split_by_group
from dqmq_deploy.train.device import choose_device, loading_processes
from dqmq_deploy.train.evaluate import right
from dqmq_deploy.train.finish import Finished, Finisher
from dqmq_deploy.train.loader import Batches
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.recipe import Recipe, from_plain, read_recipe
from dqmq_deploy.train.trainer import Trainer

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainJob:
    """What to train, on what, and where the checkpoint goes."""

    recipe: Path
    data: Path
    out: Path = Path("checkpoint.pt")
    resume: bool = False
    overrides: tuple[str, ...] = ()
    device: str = "auto"  # one of ``train.device.DEVICES``


def train(job: TrainJob, progress: Progress = lambda event: None) -> Path:
    """Train, compile and measure; the checkpoint's path.

    ``progress`` gets dictionaries whose ``event`` is ``start``, ``step``, ``epoch``, ``stage`` or ``done``. Epochs and
    stages also go to a JSON-lines log beside the checkpoint. Under ``torchrun`` every process trains on its share of
    each batch, and the first one writes. Only on CPUs is a training repeatable, and a resumed one the same, bit by bit.

    Raises:
        RecipeError: the recipe is wrong.
        DataError: the images are, or they have other classes than the checkpoint to resume.
        ModelError: the network has a part that cannot be quantized.
        CheckpointError: ``--resume`` without a checkpoint, or one of another recipe, or a damaged one.
        InputError: there is no such device.
        TrainingError: the loss is not finite, or the checkpoint cannot be written.
    """
    recipe = read_recipe(job.recipe, job.overrides)
    if not job.out.parent.is_dir():
        raise CheckpointError(f"{job.out}: the folder {job.out.parent} does not exist; create it or choose another -o")
    with _processes() as (rank, world):
        return _Run(job, recipe, rank, world, progress).run()


class _Run:
    def __init__(self, job: TrainJob, recipe: Recipe, rank: int, world: int, progress: Progress) -> None:
        self.job, self.recipe, self.rank = job, recipe, rank
        self.progress = progress if rank == 0 else lambda event: None
        self.log = job.out.with_suffix(".jsonl")
        self.device = choose_device(job.device, world)
        self.started = time.monotonic()
        if recipe.train.threads:
            torch.set_num_threads(recipe.train.threads)
        data = recipe.data
        dataset = open_dataset(job.data, (data.height, data.width))
        resumed = self._resumed(dataset)
        self.classes = dataset.classes
        self.training, self.held_out = split_by_group(dataset, data.held_out, recipe.seed)
        self.batches = Batches(
            self.training.images, self.training.labels, recipe.train.batch_size, recipe.seed,
            data.degrade_share, data.kinds, recipe.augment, rank=rank, world=world, again_share=data.again_share,
            processes=loading_processes(self.device),
        )  # fmt: skip
        torch.manual_seed(recipe.seed)
        net = prepare(
            build(recipe.net.name, len(self.classes), **recipe.net.arguments), recipe.train.ladder,
            image_scale=data.image_scale, image_zero_point=data.image_zero_point, shrinks=data.shrinks,
            shrinking=Shrinking(data.shrunk_crop, data.shrunk_median),
        )  # fmt: skip
        if recipe.train.start:
            net.load_float_state(_float_state(job.recipe.parent / recipe.train.start))
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.layers = net.describe((data.height, data.width))
        net = net.to(self.device)
        if not net.groups:
            raise ModelError("a network with a layer between its first and its last is expected: both stay at 8 bits")
        channels = net.group_channels()
        policy = Policy(channels, len(net.ladder), (recipe.policy.price_low, recipe.policy.price_high)).to(self.device)
        table = recipe.policy.cost_table
        cost = measured_cost(net, job.recipe.parent / table) if table else bitops_cost(net, self.layers)
        self.trainer = Trainer(recipe, net, policy, cost, self.batches)
        if resumed is not None:
            try:
                self.trainer.load_state(resumed["training"])
            except Exception as error:  # a state that does not fit raises RuntimeError, KeyError, TypeError, ...
                raise CheckpointError(f"{job.out}: damaged, its training cannot be resumed ({error})") from error
        self.fused = recipe.train.fuse and steps.fuse(self.device)

    def _resumed(self, dataset: Dataset) -> dict[str, Any] | None:
        if not self.job.resume:
            return None
        content = checkpoint.load(self.job.out)
        if not content.keys() >= {"classes", "recipe"}:
            raise CheckpointError(f"{self.job.out}: damaged, its recipe or classes are missing")
        require_same_classes(content["classes"], dataset, str(self.job.data))
        if from_plain(content["recipe"]) != self.recipe:
            raise CheckpointError(f"{self.job.out}: made with another recipe; resume with the same recipe and --set")
        if "training" not in content:
            raise CheckpointError(f"{self.job.out}: this training has finished; there is nothing to resume")
        return content

    def run(self) -> Path:
        trainer, recipe = self.trainer, self.recipe
        self._say({"event": "start", "name": recipe.name, "images": len(self.training), "held_out": len(self.held_out),
                   "classes": len(self.classes), "macs": sum(layer.macs for layer in self.layers)})  # fmt: skip
        if self.device.type == "cuda":
            self._stage(f"training on {torch.cuda.get_device_name(self.device)}")
        if recipe.train.fuse and not self.fused:
            lacking = "C++ compiler" if self.device.type == "cpu" else "Triton"
            self._stage(f"training without torch.compile, which found no working {lacking}: expect slower steps")
        if recipe.train.bf16 and not trainer.bf16:
            kind = "CPU" if self.device.type == "cpu" else "GPU"
            self._stage(f"training in float32, as this {kind} does not multiply bfloat16; expect slower steps")
        while trainer.position.epoch < trainer.epochs:
            if trainer.position.epoch >= recipe.train.float_epochs and trainer.teacher is None:
                trainer.enter_quantization(self._some_training_images(512))
            if trainer.settles:
                trainer.settle(self._compiled())
            trainer.train_epoch(self.progress, self.save)
            self._say(self._epoch_report())
            self.save()
        trainer.load_average()
        trainer.net.halve()
        if self.rank == 0:
            self._save_finished(Finisher(recipe, trainer, self.layers, self.held_out, self._stage).finish())
        seconds = round(time.monotonic() - self.started, 1)
        self._say({"event": "done", "seconds": seconds, "checkpoint": str(self.job.out)})
        return self.job.out

    def _compiled(self) -> list[Choice]:
        """The policy's configurations as the averaged weights stand, which stay out of the network."""
        trainer = self.trainer
        learned = {name: value.clone() for name, value in trainer.net.state_dict().items()}
        trainer.load_average()
        choices = Finisher(self.recipe, trainer, self.layers, self.held_out, self._stage).compile()
        trainer.net.load_state_dict(learned)
        return choices

    # -- reports -----------------------------------------------------------------------------------------------------

    def _some_training_images(self, count: int) -> torch.Tensor:
        wanted = -(-count // self.batches.batch_size)
        pieces = [self.batches.batch(999_999, i).images for i in range(min(len(self.batches), wanted))]
        return self._normalised(np.concatenate(pieces)[:count]).to(self.device)

    def _normalised(self, images: Any) -> torch.Tensor:
        return normalised(images, self.recipe.data.image_scale, self.recipe.data.image_zero_point)

    def _epoch_report(self) -> dict[str, Any]:
        """Accuracy on held-out images as they are and degraded, at every precision, with the averaged weights."""
        trainer, net = self.trainer, self.trainer.net
        report: dict[str, Any] = {
            "event": "epoch", "epoch": trainer.position.epoch, "epochs": trainer.epochs, "step": trainer.position.step,
            "mean_bits": trainer.mean_bits, "cost": trainer.policy_cost,
        }  # fmt: skip
        if self.rank:
            return report
        tensor, labels, clean = self._judged
        learned = {name: value.clone() for name, value in net.state_dict().items()}
        trainer.load_average()
        choices = {"float": FLOAT}
        if trainer.teacher is not None:
            choices = {str(bits): net.uniform(bits) for bits in net.ladder}
            bits = self.recipe.train.shrunk_bits
            choices |= {f"{bits}, shrunk by {shrink}": net.uniform(bits, shrink) for shrink in net.shrinks[1:]}
        if trainer.configurations:
            finisher = Finisher(self.recipe, trainer, self.layers, self.held_out, self._stage)
            choices = dict(zip(finisher.names(trainer.configurations), trainer.configurations, strict=True))
        accuracy: dict[str, Any] = {}
        for name, choice in choices.items():
            found = right(net, tensor, labels, choice)
            accuracy[name] = {
                "as_it_is": float(found[clean].mean()) if clean.any() else None,
                "degraded": float(found[~clean].mean()) if (~clean).any() else None,
            }
        net.load_state_dict(learned)
        return report | {"accuracy": accuracy, "images": len(labels)}

    @cached_property
    def _judged(self) -> tuple[torch.Tensor, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The held-out images of every epoch's report, normalised, their labels, and which are as they are."""
        data = self.recipe.data
        rows = np.random.default_rng(self.recipe.seed).permutation(len(self.held_out))
        part = self.held_out.take(rows[: self.recipe.train.evaluate_images])
        images, kind, _ = mixed(part.images, np.random.default_rng(1), data.degrade_share, data.kinds)
        return self._normalised(images).to(self.device), part.labels, kind < 0

    def _stage(self, what: str) -> None:
        self._say({"event": "stage", "what": what})

    def _say(self, event: dict[str, Any]) -> None:
        self.progress(event)
        if self.rank == 0:
            with self.log.open("a") as log:
                log.write(json.dumps({"seconds": round(time.monotonic() - self.started, 1), **event}) + "\n")

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _common(self) -> dict[str, Any]:
        data = self.recipe.data
        return {
            "name": self.recipe.name,
            "recipe": self.recipe.to_plain(),
            "classes": list(self.classes),
            "preprocessing": {"height": data.height, "width": data.width, "mode": "RGB", "resize": "stretch"},
            "structure": self.trainer.net.to_plain(),
            "layers": [vars(layer) for layer in self.layers],
        }

    def save(self) -> None:
        """Save everything that :meth:`Trainer.load_state` needs."""
        self.trainer.require_finite()
        if self.rank == 0:
            checkpoint.save(self.job.out, {**self._common(), "training": self.trainer.state()})

    def _save_finished(self, finished: Finished) -> None:
        teacher = self.trainer.teacher
        assert teacher is not None
        for module in (self.trainer.net, teacher, self.trainer.policy):
            module.cpu()  # who loads it may have no GPU
        content = {
            **self._common(),
            "state": self.trainer.net.finished_state(),
            "float_state": {name: value.half() for name, value in teacher.float_state().items()},
            "configurations": [
                {"name": name, "bits": list(choice.bits or ()), "slot": choice.slot, "shrink": choice.shrink}
                for name, choice in zip(finished.names, finished.choices, strict=True)
            ],
            "estimator": {
                "widths": finished.estimator.widths,
                "strides": finished.estimator.strides,
                "state": finished.estimator.state_dict(),
            },
            "calibration": {
                "images": torch.from_numpy(finished.calibration.images),
                "labels": torch.from_numpy(finished.calibration.labels),
            },
            "curve": {
                "p_right": torch.from_numpy(finished.evidence.p_right).half(),
                "score": torch.from_numpy(finished.evidence.score).half(),
                "right": torch.from_numpy(finished.evidence.right),
                "right_after": torch.from_numpy(finished.evidence.right_after),
                "memory": torch.from_numpy(finished.evidence.memory),
            },
            "notes": finished.notes,
            "policy": self.trainer.policy.state_dict(),
        }
        checkpoint.save(self.job.out, content)


def _float_state(path: Path) -> dict[str, torch.Tensor]:
    content = checkpoint.load(path)
    if "float_state" not in content:
        raise CheckpointError(f"{path}: expected a finished checkpoint with a float network; its training goes on")
    state: dict[str, torch.Tensor] = content["float_state"]
    return state


@contextlib.contextmanager
def _processes() -> Any:
    """This process's rank and how many train together; joins the others when started by ``torchrun``."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()
