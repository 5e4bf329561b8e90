"""The training loop: float epochs, then epochs that train weights at sampled precisions and the policy beside them.

Everything random is a pure function of the seed and the step number, so a run that was killed and resumed takes the
same steps, bit for bit, as one that was not.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from dqmq_deploy.errors import TrainingError
from dqmq_deploy.policy.agents import Policy
from dqmq_deploy.policy.objective import CostTable, policy_objective
from dqmq_deploy.quant.initial import initialise
from dqmq_deploy.quant.layers import ActivationSteps, SwitchableNorm, Weights
from dqmq_deploy.quant.net import FLOAT, Choice, QuantNet
from dqmq_deploy.train.device import multiplies_bf16
from dqmq_deploy.train.loader import Batch, Batches
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.recipe import Recipe
from dqmq_deploy.train.replay import Replay

_CHOICE, _POLICY = 11, 12  # streams of random numbers
_STEP_RATE = 0.3  # learning rate of step sizes, relative to the weights'
_REMEMBERED = 512  # sampled mixtures kept for the supervised steps

Report = Callable[[dict[str, Any]], None]


@dataclass
class Position:
    """Where training stands: the next batch to take."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


class Trainer:
    """Holds all that changes while training, and takes the steps on the device that the network is on."""

    def __init__(self, recipe: Recipe, net: QuantNet, policy: Policy, cost: CostTable, batches: Batches) -> None:
        self.recipe, self.net, self.policy, self.cost, self.batches = recipe, net, policy, cost, batches
        self.device = net.device
        self.position = Position()
        self.teacher: QuantNet | None = None
        self.sampled: list[tuple[int, ...]] = []
        self.configurations: list[Choice] = []  # what settling trains, cheapest first
        self.policy_optimizer = torch.optim.Adam(policy.parameters(), recipe.policy.learning_rate)
        self.mean_bits = float("nan")
        self.policy_cost = float("nan")
        self.bf16 = recipe.train.bf16 and multiplies_bf16(self.device)
        self._start_phase()

    # -- phases ----------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """``float`` or ``quantize``."""
        return "float" if self.position.epoch < self.recipe.train.float_epochs else "quantize"

    @property
    def epochs(self) -> int:
        """Epochs of both phases."""
        return self.recipe.train.float_epochs + self.recipe.train.epochs

    @property
    def settles(self) -> bool:
        """Whether the policy is to be compiled now, for the rest of the training to go to its configurations."""
        last = self.recipe.train.settle_epochs
        return bool(last) and not self.configurations and self.position.epoch >= self.epochs - last

    def _start_phase(self) -> None:
        """A fresh optimizer and weight average for what is to be trained now."""
        train = self.recipe.train
        rate = train.float_learning_rate if self.phase == "float" else train.learning_rate
        decayed, steps, plain = _parameter_groups(self.net)
        self.optimizer = torch.optim.SGD(
            [
                {"params": decayed, "weight_decay": train.weight_decay, "rate": rate},
                {"params": plain, "weight_decay": 0.0, "rate": rate},
                {"params": steps, "weight_decay": 0.0, "rate": rate * _STEP_RATE},
            ],
            lr=rate,
            momentum=train.momentum,
            nesterov=train.momentum > 0,
        )
        self.replay = Replay(self._loss, decayed + steps + plain) if self.device.type == "cuda" else None
        self.running: nn.Module = self.net
        if dist.is_initialized():  # this also gives every process the first one's state
            self.running = DistributedDataParallel(self.net, find_unused_parameters=True)
        self.mean = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.average = self.mean.state_dict()  # the very tensors of ``mean``: to update one is to update the other
        self.averaged_steps = 0
        self._averaged()

    def _averaged(self) -> None:
        """Note which tensors of the network belong to those of the average."""
        state = self.net.state_dict()
        self.followed = [state[name] for name in self.average]

    def enter_quantization(self, images: Tensor) -> None:
        """From the float phase to the quantized: freeze a teacher, fit step sizes to ``images`` ``[N, C, H, W]``."""
        self.load_average()
        self.teacher = copy.deepcopy(self.net).eval().requires_grad_(False)
        initialise(self.net, images)
        self._start_phase()

    def settle(self, choices: list[Choice]) -> None:
        """From here on train these configurations, in slots of their own that start from their precisions'."""
        if dist.is_initialized():
            plain: list[Any] = [choices]
            dist.broadcast_object_list(plain)
            choices = plain[0]
        average, averaged = self.mean, self.averaged_steps
        average.add_slots(choices)
        self.configurations = self.net.add_slots(choices)
        if self.recipe.train.own_weights:
            average.part(choices)
            self.net.part(choices)
        self._start_phase()
        self.mean, self.average, self.averaged_steps = average, average.state_dict(), averaged
        self._averaged()

    def load_average(self) -> None:
        """Put the averaged weights into the network."""
        if self.recipe.train.average:
            self.net.load_state_dict(self.average)

    # -- steps -----------------------------------------------------------------------------------------------------

    def train_epoch(self, report: Report, save: Callable[[], None]) -> None:
        """The rest of the current epoch, from the batch where the position stands."""
        epoch, started = self.position.epoch, time.monotonic()
        saved = started
        first = self.position.batch
        for batch in self.batches.epoch(epoch, start=first):
            loss = self.step(batch)
            self.position.batch += 1
            self.position.step += 1
            report(
                {
                    "event": "step",
                    "phase": self.phase,
                    "epoch": epoch,
                    "epochs": self.epochs,
                    "batch": self.position.batch,
                    "batches": len(self.batches),
                    "loss": loss,
                    "mean_bits": self.mean_bits,
                    "cost": self.policy_cost,
                }
            )
            if time.monotonic() - saved > self.recipe.train.save_seconds and self.position.batch < len(self.batches):
                save()
                saved = time.monotonic()
        self.position.epoch, self.position.batch = epoch + 1, 0

    def step(self, batch: Batch) -> float:
        """One supervised step, and a policy step where one is due; the supervised loss.

        Raises:
            TrainingError: the loss or its gradient is not finite; no weight was changed by this step.
        """
        data, train = self.recipe.data, self.recipe.train
        images = normalised(batch.images, data.image_scale, data.image_zero_point, self.device)
        labels = torch.from_numpy(batch.labels).to(self.device)
        choice = self.choose()
        self._set_rates()
        self.net.train()
        if self.replay is not None:
            loss = self.replay(images, labels, choice)
        else:
            loss = self._loss(images, labels, choice)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(f"the loss became {value} (bits {choice.bits})")
        if train.clip_gradient:
            norm = float(nn.utils.clip_grad_norm_(self.net.parameters(), train.clip_gradient))
            if not math.isfinite(norm):
                raise self._diverged(f"the gradient became {norm} (bits {choice.bits})")
        self.optimizer.step()
        self._update_average()
        learning = self.phase == "quantize" and not self.configurations  # what is compiled needs no policy any more
        if learning and self.position.step % self.recipe.policy.every == 0:
            self.policy_step(images[: self.recipe.policy.images], labels[: self.recipe.policy.images])
        return value

    def _loss(self, images: Tensor, labels: Tensor, choice: Choice) -> Tensor:
        """What a supervised step makes less."""
        train = self.recipe.train
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.running(images, choice).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=train.label_smoothing)
            target = self._taught(images, choice)
            if target is not None:
                loss = (1 - train.distill) * loss + train.distill * F.cross_entropy(logits, target)
        return loss

    @torch.no_grad()
    def _taught(self, images: Tensor, choice: Choice) -> Tensor | None:
        """The teacher's probabilities ``[N, classes]``; None where a step has no teacher."""
        if not self.recipe.train.distill or self.teacher is None:
            return None
        if self.recipe.train.teacher == "float":
            return F.softmax(self.teacher(images, FLOAT).float(), 1)
        best = self.configurations[-1] if self.configurations else self.net.uniform(self.net.ladder[-1])
        return None if choice == best else F.softmax(self.mean(images, best).float(), 1)

    def require_finite(self) -> None:
        """Check that every weight is finite, before a checkpoint overwrites the last good one.

        Raises:
            TrainingError: one is not.
        """
        for name, value in self.net.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise self._diverged(f"'{name}' is no longer finite")

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} at epoch {self.position.epoch}, batch {self.position.batch}; the last checkpoint is kept; "
            "train anew with a lower learning rate (train.learning_rate, train.float_learning_rate)"
        )

    def choose(self) -> Choice:
        """What the next supervised step runs at: one precision throughout, or a mixture that the policy sampled, or one
        of the policy's configurations once it is compiled.
        """
        if self.phase == "float":
            return FLOAT
        rng = np.random.default_rng((self.recipe.seed, _CHOICE, self.position.step))
        train, ladder = self.recipe.train, self.net.ladder
        if self.configurations:
            return self.configurations[rng.choice(len(self.configurations), p=self._settle_shares())]
        if len(self.net.shrinks) > 1 and rng.random() < train.shrunk_share:
            return self.net.uniform(train.shrunk_bits, int(rng.choice(self.net.shrinks[1:])))
        if not self.sampled or rng.random() < train.uniform_share:
            shares = np.array(train.bits_shares or [1.0] * len(ladder))
            return self.net.uniform(ladder[rng.choice(len(ladder), p=shares / shares.sum())])
        return Choice(self.sampled[rng.integers(len(self.sampled))])

    def _settle_shares(self) -> npt.NDArray[np.float64]:
        """How often each configuration is trained: ``settle_shares``, if there are as many.

        Else ``shrunk_share`` of the steps go to those that shrink the picture, the rest to the others; of them the
        cheapest, which has most to learn, gets twice the share of each other.
        """
        given = np.array(self.recipe.train.settle_shares)
        if len(given) == len(self.configurations):
            return np.asarray(given / given.sum())
        shrunk = np.array([choice.shrink > 1 for choice in self.configurations])
        whole = np.where(shrunk, 0.0, 1.0)
        whole[np.argmin(shrunk)] = 2.0
        share = self.recipe.train.shrunk_share if shrunk.any() else 0.0
        shares: npt.NDArray[np.float64] = share * shrunk / max(1, shrunk.sum()) + (1 - share) * whole / whole.sum()
        return shares

    def policy_step(self, images: Tensor, labels: Tensor) -> None:
        """One step of policy optimisation through the network as it stands; the network itself does not change."""
        settings = self.recipe.policy
        generator = torch.Generator().manual_seed(
            int(np.random.default_rng((self.recipe.seed, _POLICY, self.position.step)).integers(2**62))
        )
        first = self.recipe.train.float_epochs * len(self.batches)
        progress = (self.position.step - first) / max(1, self.recipe.train.epochs * len(self.batches))
        temperature = settings.temperature_start * (settings.temperature_end / settings.temperature_start) ** progress
        self.net.eval()
        self.policy.train()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            found = policy_objective(self.net, self.policy, self.cost, images, labels, temperature, generator)
        parameters = list(self.policy.parameters())
        gradients = torch.autograd.grad(found.loss, parameters)
        if dist.is_initialized():
            for gradient in gradients:
                dist.all_reduce(gradient)
                gradient /= dist.get_world_size()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
            self.policy_optimizer.step()
        sampled: list[Any] = [found.sampled]
        if dist.is_initialized():
            dist.broadcast_object_list(sampled)
        self.sampled = (self.sampled + sampled[0])[-_REMEMBERED:]
        self.mean_bits, self.policy_cost = found.mean_bits, found.cost

    def _set_rates(self) -> None:
        """Linear warm-up, then a cosine to zero over the phase."""
        train, per_epoch = self.recipe.train, len(self.batches)
        first = 0 if self.phase == "float" else train.float_epochs * per_epoch
        length = (train.float_epochs if self.phase == "float" else train.epochs) * per_epoch
        done = self.position.step - first
        factor = min(1.0, (done + 1) / max(1, train.warmup_steps)) * 0.5 * (1 + math.cos(math.pi * done / length))
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = self.recipe.train.average
        if not decay:
            return
        self.averaged_steps += 1
        decay = min(decay, self.averaged_steps / (self.averaged_steps + 9))
        torch._foreach_lerp_(list(self.average.values()), self.followed, 1 - decay)

    # -- plain values ------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that a later :meth:`load_state` needs to go on with the very next step."""
        return {
            "position": vars(self.position).copy(),
            "net": self.net.state_dict(),
            "average": self.average,
            "averaged_steps": self.averaged_steps,
            "teacher": self.teacher.state_dict() if self.teacher else None,
            "optimizer": self.optimizer.state_dict(),
            "policy": self.policy.state_dict(),
            "policy_optimizer": self.policy_optimizer.state_dict(),
            "sampled": self.sampled,
            "configurations": [vars(choice).copy() for choice in self.configurations],
            "mean_bits": self.mean_bits,
            "policy_cost": self.policy_cost,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self.position = Position(**state["position"])
        if state["teacher"] is not None:  # it knows no configurations
            self.teacher = copy.deepcopy(self.net).eval().requires_grad_(False)
            self.teacher.load_state_dict(state["teacher"])
        rows = [Choice(tuple(row["bits"]), shrink=row["shrink"]) for row in state["configurations"]]
        self.configurations = self.net.add_slots(rows)
        if self.recipe.train.own_weights:
            self.net.part(rows)
        self.net.load_state_dict(state["net"])
        self._start_phase()
        self.mean.load_state_dict(state["average"])
        self.averaged_steps = state["averaged_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.policy.load_state_dict(state["policy"])
        self.policy_optimizer.load_state_dict(state["policy_optimizer"])
        self.sampled = [tuple(row) for row in state["sampled"]]
        self.mean_bits, self.policy_cost = state["mean_bits"], state["policy_cost"]


def _parameter_groups(net: QuantNet) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Master weights (decayed), step sizes, and the rest (normalisation, biases)."""
    decayed: list[nn.Parameter] = []
    steps: list[nn.Parameter] = []
    for module in net.modules():
        if isinstance(module, Weights):
            decayed += module.masters()
            steps.append(module.step)
        elif isinstance(module, ActivationSteps) and isinstance(module.step, nn.Parameter):
            steps.append(module.step)
    known = {id(parameter) for parameter in decayed + steps}
    return decayed, steps, [p for p in net.parameters() if id(p) not in known]


def slot_parameters(net: QuantNet) -> list[nn.Parameter]:
    """What belongs to slots and not to weights: normalisation and activation steps."""
    found: list[nn.Parameter] = []
    for module in net.modules():
        if isinstance(module, SwitchableNorm):
            found += [module.scale, module.shift]
        elif isinstance(module, ActivationSteps) and isinstance(module.step, nn.Parameter):
            found.append(module.step)
    return found
