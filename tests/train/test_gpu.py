"""Training on a GPU: the steps of the CPU, recorded and replayed, and checkpoints that need no GPU."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dqmq_deploy.errors import TrainingError
from dqmq_deploy.export.run import export
from dqmq_deploy.quant.net import FLOAT, Choice
from dqmq_deploy.train import checkpoint
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.replay import Replay
from dqmq_deploy.train.run import TrainJob, train
from dqmq_deploy.train.trainer import Trainer
from tests.train.runs import coloured, make_trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


def ready(device: str, **train: Any) -> Trainer:
    """A trainer that has left its float epoch behind, in float32."""
    torch.backends.cudnn.allow_tf32 = False
    trainer = make_trainer((1, 2), device=device, bf16=False, epochs=3, settle_epochs=1, **train)
    trainer.position.epoch = 1
    trainer.enter_quantization(normalised(coloured(32, seed=4)[0], 1 / 64, 128, device))
    return trainer


def gradients(trainer: Trainer) -> list[Tensor | None]:
    """A copy of every parameter's, on the CPU."""
    return [None if p.grad is None else p.grad.cpu().clone() for p in trainer.net.parameters()]


def near(first: Tensor | None, second: Tensor | None) -> bool:
    """Whether two gradients agree but for float rounding."""
    if first is None or second is None:
        return first is second
    return float((first - second).norm()) <= 1e-3 * float(second.norm()) + 1e-6


def choices(trainer: Trainer) -> list[Choice]:
    """Float, a precision, a small picture, and a mixture."""
    net = trainer.net
    return [FLOAT, net.uniform(2), net.uniform(4, shrink=2), Choice((2, 8, 4, 2, 8, 4))]


def test_a_replayed_step_is_the_step() -> None:
    """Loss, gradients (None included) and statistics are those of plain steps, on other pictures than the recorded."""
    plain, replayed = ready("cuda"), ready("cuda")
    replayed.net.load_state_dict(plain.net.state_dict())
    parameters = list(replayed.net.parameters())
    replay = Replay(replayed._loss, parameters)
    for turn in range(7):
        images, labels = coloured(16, seed=turn)
        tensor, truth = normalised(images, 1 / 64, 128, "cuda"), torch.from_numpy(labels).cuda()
        for choice in choices(plain):
            plain.net.train()
            replayed.net.train()
            plain.optimizer.zero_grad()
            expected = plain._loss(tensor, truth, choice)
            torch.autograd.backward(expected)
            found = replay(tensor, truth, choice)
            assert float(found) == pytest.approx(float(expected.detach()), rel=1e-4)
            assert all(map(near, gradients(replayed), gradients(plain)))
    assert len(replay._recordings) == 4
    for name, value in plain.net.state_dict().items():
        assert torch.allclose(value, replayed.net.state_dict()[name], rtol=1e-4, atol=1e-5), name


def test_a_gpu_steps_as_the_cpu_does() -> None:
    """The same choices and losses, until what rounding does to codes has grown."""
    found = {}
    for device in ("cpu", "cuda"):
        trainer = ready(device)
        trainer.sampled = [(2, 8, 4, 2, 8, 4)]
        losses = []
        for step in range(6):
            losses.append(trainer.step(trainer.batches.batch(1, step % 4)))
            trainer.position.step += 1
        found[device] = losses
    assert found["cuda"] == pytest.approx(found["cpu"], rel=0.02)


def test_what_diverges_is_told() -> None:
    """As on the CPU: one line, and no weight changed."""
    trainer = ready("cuda")
    with torch.no_grad():
        dict(trainer.net.named_parameters())["layers.head.bias"].fill_(float("nan"))
        before = copy.deepcopy(dict(trainer.net.named_parameters()))
    with pytest.raises(TrainingError, match="became nan"):
        trainer.step(trainer.batches.batch(1, 0))
    after = dict(trainer.net.named_parameters())
    assert all(torch.equal(before[name].nan_to_num(7), after[name].nan_to_num(7)) for name in before)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of its own doings
def test_a_whole_run_leaves_a_checkpoint_for_machines_without_one(
    recipe_path: Path, pictures_path: Path, tmp_path: Path
) -> None:
    """Interrupted and resumed on the GPU; every tensor is the CPU's, and it exports."""
    out = tmp_path / "checkpoint.pt"

    class Stop(Exception):
        pass

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 1:
            raise Stop

    settings = ("train.fuse=true", "train.epochs=3", "train.settle_epochs=2")
    with pytest.raises(Stop):
        train(TrainJob(recipe_path, pictures_path, out, overrides=settings, device="cuda"), stop)
    train(TrainJob(recipe_path, pictures_path, out, resume=True, overrides=settings, device="cuda"))
    content = torch.load(out, weights_only=True)  # no map_location: a CUDA tensor would come back as one

    def tensors(value: Any) -> list[Tensor]:
        if isinstance(value, Tensor):
            return [value]
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        return [tensor for part in parts for tensor in tensors(part)]

    assert {tensor.device.type for tensor in tensors(content)} == {"cpu"}
    assert checkpoint.load(out)["name"] == "tiny"
    export(out, tmp_path / "tiny.dqmq")
