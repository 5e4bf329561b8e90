"""Whole runs: a complete checkpoint, killed and resumed bit for bit, several processes, nothing good overwritten."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dqmq_deploy.bits import bitops
from dqmq_deploy.errors import CheckpointError, DataError, ModelError, TrainingError
from dqmq_deploy.export import reference
from dqmq_deploy.export.compiled import open_compiled
from dqmq_deploy.train import checkpoint
from dqmq_deploy.train.run import TrainJob, train
from tests.train.runs import CLASSES, SIZE, coloured, write_pictures
from tests.train.test_trainer import same

Finished = tuple[Path, list[dict[str, Any]]]

KILLED = """
import os, signal, sys
from pathlib import Path
from dqmq_deploy.train.run import TrainJob, train
left, begun = int(sys.argv[4]), False
def progress(event):
    global left, begun
    begun = begun or event["event"] == "step"  # what is said before of this machine does not count
    if begun and event["event"] in ("step", "stage"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
train(TrainJob(*map(Path, sys.argv[1:4])), progress)
"""

TOGETHER = """
import os, sys, torch
from pathlib import Path
from dqmq_deploy.train import trainer
from dqmq_deploy.train.run import TrainJob, train
rank, out = os.environ["RANK"], Path(sys.argv[3])
whole_epoch = trainer.Trainer.train_epoch
def observed(self, report, save):
    whole_epoch(self, report, save)
    parameters = {**dict(self.net.named_parameters()), **{f"policy.{n}": p for n, p in self.policy.named_parameters()}}
    seen = {name: value.detach() for name, value in parameters.items()}
    torch.save(seen, out.with_name(f"rank{rank}-epoch{self.position.epoch}.pt"))
trainer.Trainer.train_epoch = observed
train(TrainJob(Path(sys.argv[1]), Path(sys.argv[2]), out))
"""


def one_thread() -> dict[str, str]:
    """The environment of another process that computes as this one does."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}


def test_a_run_reports_every_step_epoch_and_stage(finished: Finished) -> None:
    """To the caller, and as JSON lines beside the checkpoint, steps left out."""
    path, events = finished
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "done"
    assert kinds.count("step") == 2 * 4
    assert kinds.count("epoch") == 2
    assert events[0]["classes"] == 4
    assert events[0]["images"] + events[0]["held_out"] == 96
    reports = [event for event in events if event["event"] == "epoch"]
    assert set(reports[0]["accuracy"]) == {"float"}
    assert set(reports[1]["accuracy"]) == {"2", "4", "8"}
    assert set(reports[1]["accuracy"]["2"]) == {"as_it_is", "degraded"}
    log = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in log] == [kind for kind in kinds if kind != "step"]
    assert all(entry["seconds"] >= 0 for entry in log)


def test_a_finished_checkpoint_is_complete(finished: Finished) -> None:
    """Everything that export and a report need, sizes that fit each other, configurations cheapest first."""
    compiled = open_compiled(finished[0])
    count = len(compiled.configurations)
    assert compiled.name == "tiny"
    assert compiled.classes == list(CLASSES)
    assert compiled.image_size == (SIZE, SIZE)
    assert 2 <= count <= 3
    assert len({configuration.name for configuration in compiled.configurations}) == count
    costs = [bitops(compiled.layers, configuration.bits) for configuration in compiled.configurations]
    assert costs == sorted(costs)
    for configuration in compiled.configurations:
        assert configuration.bits["stem.0"] == configuration.bits["head"] == 8
        assert set(configuration.bits) == {layer.name for layer in compiled.layers}
    assert compiled.calibration_images.shape == (len(compiled.calibration_labels), SIZE, SIZE, 3)
    assert compiled.calibration_images.dtype == np.uint8
    evidence = compiled.evidence
    assert evidence.p_right.shape == evidence.score.shape == evidence.right.shape
    assert evidence.p_right.shape[1] == count
    assert 0 <= evidence.p_right.min() <= evidence.p_right.max() <= 1
    assert 1 / len(compiled.classes) <= evidence.score.min() <= evidence.score.max() <= 1
    plan = compiled.float_plan()
    assert plan is not None
    assert plan.class_count == len(compiled.estimator_plan().head_bias) + len(CLASSES) - count


def test_a_trained_networks_configurations_agree_with_torch(finished: Finished) -> None:
    """On new pictures the integer reference gives torch's class and nearly its logits, in every configuration.

    Eight steps leave classes close to each other, so that a code's difference decides for a few of 100 pictures.
    """
    compiled = open_compiled(finished[0])
    pixels, _ = coloured(200, seed=8)
    for index in range(len(compiled.configurations)):
        expected = compiled.reference_logits(index, pixels)
        found = reference.run(compiled.plan(index), pixels)
        assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.96
        assert np.median(np.abs(found - expected)) < 0.02 * expected.std()


@pytest.mark.parametrize("left", [3, 7, 10], ids=["float", "quantized", "specialising"])
def test_killed_and_resumed_is_never_having_been_killed(
    left: int, finished: Finished, pictures_path: Path, recipe_path: Path, tmp_path: Path
) -> None:
    """kill -9 in a float epoch, in a quantized one and while finishing: the same final checkpoint, bit for bit."""
    out = tmp_path / "checkpoint.pt"
    command = [sys.executable, "-c", KILLED, str(recipe_path), str(pictures_path), str(out), str(left)]
    done = subprocess.run(command, env=one_thread(), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    position = checkpoint.load(out)["training"]["position"]
    assert position["step"] == min(left - 1, 8)  # saved after every step but the one in progress
    assert train(TrainJob(recipe_path, pictures_path, out, resume=True)) == out
    assert same(checkpoint.load(out), checkpoint.load(finished[0]))


@pytest.mark.parametrize("bits", ["policy", "uniform", "random"])
def test_a_run_that_settles_can_be_resumed_anywhere(
    bits: str, pictures_path: Path, recipe_path: Path, tmp_path: Path
) -> None:
    """Its epochs tell the configurations' accuracy; stopped while settling and resumed, it ends alike, bit for bit."""
    overrides = (
        "train.epochs=2", "train.settle_epochs=1", f"compile.bits={bits}", "data.shrinks=[1, 2]",
        f"train.own_weights={str(bits == 'policy').lower()}", "data.shrunk_crop=1", "data.shrunk_median=true",
        f"train.shrunk_bits={8 if bits == 'uniform' else 4}",
    )  # fmt: skip
    events: list[dict[str, Any]] = []
    whole, stopped = (
        TrainJob(recipe_path, pictures_path, tmp_path / f"{name}.pt", overrides=overrides) for name in ("whole", "part")
    )
    train(whole, events.append)
    reports = [event["accuracy"].keys() for event in events if event["event"] == "epoch"]
    assert set(reports[1]) == {"2", "4", "8", f"{8 if bits == 'uniform' else 4}, shrunk by 2"}
    content = checkpoint.load(whole.out)
    configurations = content["configurations"]
    crops = content["notes"]["shrunk_crop"]  # by held-out accuracy, from the one that was trained with
    assert list(crops) == [str(crop) for crop in range(1, SIZE // 4 + 1)]
    assert crops[str(content["structure"]["shrinking"]["crop"])] == max(crops.values())
    assert content["structure"]["shrinking"]["median"]
    assert content["curve"]["memory"].shape == (len(configurations),) * 2
    assert list(reports[2]) == [entry["name"] for entry in configurations]
    if bits == "uniform":
        # the smaller picture first, although its BitOPs are four times those of 2 bits
        assert [(entry["shrink"], set(entry["bits"])) for entry in configurations] == [
            (2, {8}), (1, {2}), (1, {4}), (1, {8}),
        ]  # fmt: skip

    class StoppedError(Exception):
        pass

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["epoch"] == 2 and event["batch"] == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(stopped, stop)
    assert len(checkpoint.load(stopped.out)["training"]["configurations"]) == len(configurations)
    train(TrainJob(recipe_path, pictures_path, stopped.out, resume=True, overrides=overrides))
    assert same(checkpoint.load(stopped.out), checkpoint.load(whole.out))


def test_two_processes_train_one_network(recipe_path: Path, pictures_path: Path, tmp_path: Path) -> None:
    """Under torchrun, gloo: both ranks hold the same weights and policy after each epoch; the first one finishes."""
    out = tmp_path / "checkpoint.pt"
    (tmp_path / "together.py").write_text(TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(tmp_path / "together.py"), str(recipe_path), str(pictures_path), str(out)],
        env=one_thread(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for epoch in (1, 2):
        ranks = [torch.load(tmp_path / f"rank{rank}-epoch{epoch}.pt", weights_only=True) for rank in (0, 1)]
        assert same(*ranks)
    log = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log if entry["event"] == "epoch"] == [
        2,
        4,
    ]  # each takes half of an epoch's batches
    assert open_compiled(out).classes == list(CLASSES)


def test_resuming_with_another_recipe_or_without_a_checkpoint_is_refused(
    recipe_path: Path, pictures_path: Path, finished: Finished, tmp_path: Path
) -> None:
    """Each says what does not fit; the checkpoint stays as it is."""
    before = finished[0].read_bytes()
    with pytest.raises(CheckpointError, match="made with another recipe; resume with the same recipe and --set"):
        train(TrainJob(recipe_path, pictures_path, finished[0], resume=True, overrides=("train.epochs=2",)))
    with pytest.raises(CheckpointError, match="this training has finished; there is nothing to resume"):
        train(TrainJob(recipe_path, pictures_path, finished[0], resume=True))
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        train(TrainJob(recipe_path, pictures_path, tmp_path / "none.pt", resume=True))
    with pytest.raises(CheckpointError, match=r"the folder .* does not exist; create it or choose another -o"):
        train(TrainJob(recipe_path, pictures_path, tmp_path / "none" / "c.pt"))
    assert finished[0].read_bytes() == before


def test_resuming_on_other_classes_is_refused(recipe_path: Path, finished: Finished, tmp_path: Path) -> None:
    """A class more, and a class fewer: the first that differs is named."""
    write_pictures(tmp_path / "p", per_class=4)
    (tmp_path / "p" / "red").rename(tmp_path / "p" / "purple")
    with pytest.raises(DataError, match="expected the 4 classes of the model, got 4: red is missing"):
        train(TrainJob(recipe_path, tmp_path / "p", finished[0], resume=True))


def test_resuming_from_parts_that_do_not_fit_is_refused(
    recipe_path: Path, pictures_path: Path, finished: Finished, tmp_path: Path
) -> None:
    """A checkpoint whose training state is another network's, or whose recipe is missing."""
    content = checkpoint.load(finished[0])
    kept = {key: content[key] for key in ("classes", "recipe")}
    checkpoint.save(tmp_path / "c.pt", {**kept, "training": {"position": {"epoch": 0}, "net": {}}})
    with pytest.raises(CheckpointError, match=r"c\.pt: damaged, its training cannot be resumed"):
        train(TrainJob(recipe_path, pictures_path, tmp_path / "c.pt", resume=True))
    checkpoint.save(tmp_path / "c.pt", {"training": {}})
    with pytest.raises(CheckpointError, match=r"c\.pt: damaged, its recipe or classes are missing"):
        train(TrainJob(recipe_path, pictures_path, tmp_path / "c.pt", resume=True))


def test_exploding_weights_keep_the_last_good_checkpoint(
    recipe_path: Path, pictures_path: Path, tmp_path: Path
) -> None:
    """With an absurd learning rate: a TrainingError that says where, and a checkpoint of finite numbers stays."""
    out = tmp_path / "c.pt"
    overrides = ("train.float_learning_rate=1e9", "train.clip_gradient=0", "train.float_epochs=50")
    with pytest.raises(TrainingError, match=r"at epoch \d+, batch \d+; the last checkpoint is kept"):
        train(TrainJob(recipe_path, pictures_path, out, overrides=overrides))
    training = checkpoint.load(out)["training"]
    assert training["position"]["step"] > 0
    assert all(torch.isfinite(value).all() for value in training["net"].values())


def test_an_unfinished_or_damaged_checkpoint_cannot_be_opened_for_export(finished: Finished, tmp_path: Path) -> None:
    """It says to go on training, or that its parts do not fit together."""
    content = checkpoint.load(finished[0])
    path = tmp_path / "c.pt"
    checkpoint.save(path, {key: value for key, value in content.items() if key != "configurations"})
    with pytest.raises(CheckpointError, match=r"c\.pt: its training has not finished; go on with .*--resume"):
        open_compiled(path)
    for key in ("structure", "state", "estimator", "layers", "calibration", "curve", "preprocessing"):
        wrongs: tuple[Any, ...] = (None, {}, 5, [])
        for wrong in wrongs:
            checkpoint.save(path, {**content, key: wrong})
            if (key, wrong) in (("layers", {}), ("layers", [])):
                continue  # no layers are layers, too
            with pytest.raises(CheckpointError, match=r"c\.pt: damaged, its parts do not fit together"):
                open_compiled(path)


def test_a_network_of_edges_only_is_refused(
    recipe_path: Path, pictures_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There would be nothing to choose a precision for."""
    (tmp_path / "somebodys_edges.py").write_text(
        "from torch import nn\n"
        "def net(classes, width):\n"
        "    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), *pooled, nn.Linear(width, classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    job = TrainJob(recipe_path, pictures_path, tmp_path / "c.pt", overrides=("net.name=somebodys_edges:net",))
    with pytest.raises(ModelError, match="a layer between its first and its last is expected"):
        train(job)
