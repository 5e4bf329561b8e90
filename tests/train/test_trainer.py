"""Training steps: phases, precisions, policy, average, and what happens when numbers explode."""

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from dqmq_deploy import cpu
from dqmq_deploy.errors import TrainingError
from dqmq_deploy.quant.net import Choice
from dqmq_deploy.train.pixels import normalised
from dqmq_deploy.train.trainer import Trainer
from tests.train.runs import coloured, make_trainer


def epochs(trainer: Trainer, count: int, save: Any = lambda: None) -> list[dict[str, Any]]:
    """Trains so many epochs, the float ones first; the events."""
    events: list[dict[str, Any]] = []
    for _ in range(count):
        if trainer.phase == "quantize" and trainer.teacher is None:
            trainer.enter_quantization(calibration())
        trainer.train_epoch(events.append, save)
    return events


def calibration() -> Tensor:
    """Images as the network reads them."""
    return normalised(coloured(32, seed=4)[0], 1 / 64, 128)


def same(first: Any, second: Any) -> bool:
    """Whether two nested plain values are equal, bit for bit in their tensors, NaN equal to itself."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))
    return bool(first == second or (first != first and second != second))


def test_float_epochs_come_first_then_sampled_precisions() -> None:
    """The teacher is the float average; later steps run at the ladder's precisions and at what the policy sampled."""
    trainer = make_trainer(epochs=3, uniform_share=0.5)
    before = copy.deepcopy(trainer.net.state_dict())
    events = epochs(trainer, 1)
    assert [event["phase"] for event in events] == ["float"] * 4
    after = trainer.net.state_dict()
    assert all(same(value, before[name]) for name, value in after.items() if name.endswith(".step"))
    assert not same(after["layers.head.weights.weight"], before["layers.head.weights.weight"])
    average = copy.deepcopy(trainer.average)
    trainer.enter_quantization(calibration())
    assert trainer.teacher is not None
    assert same(dict(trainer.teacher.state_dict()), average)
    chosen: list[Choice] = []
    choose = trainer.choose

    def recorded() -> Choice:
        chosen.append(choose())
        return chosen[-1]

    trainer.choose = recorded  # type: ignore[method-assign]
    events = epochs(trainer, 3)
    assert [event["phase"] for event in events] == ["quantize"] * 12
    assert {len(set(choice.bits or ())) > 1 for choice in chosen} == {False, True}
    assert math.isfinite(events[-1]["mean_bits"])
    assert 0 < events[-1]["cost"] <= 1
    assert same(dict(trainer.teacher.state_dict()), average)


def test_steps_follow_their_shares() -> None:
    """Precisions as often as the recipe says; shrunk images at one precision of their own."""
    trainer = make_trainer((1, 2), bits_shares=(3.0, 0.0, 1.0), uniform_share=1.0, shrunk_share=0.25, shrunk_bits=4)
    epochs(trainer, 1)
    seen = []
    for trainer.position.step in range(400):
        choice = trainer.choose()
        seen.append((choice.shrink, *set(choice.bits or ())))
    assert set(seen) == {(1, 2), (1, 8), (2, 4)}
    assert seen.count((2, 4)) / 400 == pytest.approx(0.25, abs=0.08)
    assert seen.count((1, 2)) / seen.count((1, 8)) == pytest.approx(3, abs=1.2)


def test_settling_trains_the_configurations_in_slots_of_their_own() -> None:
    """From averages that go on, at the shares of the recipe; the policy and the other slots learn no more."""
    trainer = make_trainer((1, 2), epochs=3, settle_epochs=2, shrunk_share=0.25, learning_rate=0.05)
    epochs(trainer, 1)
    assert not trainer.settles
    epochs(trainer, 1)
    assert trainer.settles
    net, plain = trainer.net, trainer.net.slots
    mixture, policy = (2, 8, 2, 8, 2, 8), copy.deepcopy(trainer.policy.state_dict())
    before, average = copy.deepcopy(net.state_dict()), copy.deepcopy(trainer.average)
    trainer.settle([net.uniform(4, 2), Choice(mixture), net.uniform(8)])
    assert not trainer.settles
    assert [choice.slot for choice in trainer.configurations] == [plain, plain + 1, plain + 2]
    assert trainer.averaged_steps > 0
    for name, value in trainer.average.items():
        assert same(value[:plain] if value.shape != average[name].shape else value, average[name])
    step = trainer.position.step
    seen = []
    for trainer.position.step in range(400):
        seen.append(trainer.configurations.index(trainer.choose()))
    trainer.position.step = step
    assert [seen.count(k) / 400 for k in range(3)] == pytest.approx([0.25, 0.5, 0.25], abs=0.08)
    epochs(trainer, 1)
    after = net.state_dict()
    steps = [name for name in after if name.endswith(".step") and name.startswith("acts.") and "image" not in name]
    assert all(same(after[name][:plain], before[name]) for name in steps)
    assert all(not same(after[name][plain + 1], before[name][5]) for name in steps)
    assert same(dict(trainer.policy.state_dict()), dict(policy))
    assert not same(after["layers.head.weights.weight"], before["layers.head.weights.weight"])


def test_precisions_part_when_settling() -> None:
    """A step at 2 bits leaves the weights of 8 bits as they are, and the other way round; shares are the recipe's."""
    trainer = make_trainer(epochs=3, settle_epochs=2, own_weights=True, settle_shares=(3.0, 0.5, 0.5))
    epochs(trainer, 2)
    shared = trainer.net.layer(trainer.net.groups[0][0]).weights
    trainer.settle([trainer.net.uniform(bits) for bits in (2, 4, 8)])
    assert list(shared.own) == ["2", "4"]
    assert same(shared.own["2"].detach(), shared.weight.detach())
    assert not trainer.net.layer(trainer.net.edges[0]).weights.own
    seen = [trainer.configurations.index(trainer.choose()) for trainer.position.step in range(400)]
    assert seen.count(0) / 400 == pytest.approx(0.75, abs=0.08)
    for choice in trainer.configurations:
        before = [master.detach().clone() for master in shared.masters()]
        trainer.choose = lambda choice=choice: choice  # type: ignore[method-assign,misc]
        trainer.step(next(iter(trainer.batches.epoch(0, start=0))))
        parted = [not same(old, new.detach()) for old, new in zip(before, shared.masters(), strict=True)]
        assert parted == [choice.bits is not None and choice.bits[0] == bits for bits in (8, 2, 4)]


@pytest.mark.parametrize("own_weights", [False, True])
def test_a_settling_state_goes_on_alike(own_weights: bool) -> None:
    """Saved in between, in a trainer that knows of no configuration yet."""
    first, second = (make_trainer(epochs=3, settle_epochs=2, own_weights=own_weights) for _ in range(2))
    epochs(first, 2)
    first.settle([first.net.uniform(2), first.net.uniform(8)])
    epochs(first, 1)
    second.load_state(copy.deepcopy(first.state()))
    assert same(epochs(first, 1), epochs(second, 1))
    assert same(first.state(), second.state())


def test_the_average_teaches_all_but_its_own_precision() -> None:
    """The teacher is the weight average at the highest precision; a step at that precision learns from labels alone."""
    trainer = make_trainer(distill=0.5, teacher="average")
    epochs(trainer, 1)
    trainer.enter_quantization(calibration())
    taught = trainer._taught(calibration(), trainer.net.uniform(2))
    assert taught is not None
    trainer.load_average()
    with torch.no_grad():
        expected = trainer.net.eval()(calibration(), trainer.net.uniform(8)).softmax(1)
    torch.testing.assert_close(taught, expected)
    assert trainer._taught(calibration(), trainer.net.uniform(8)) is None


def test_policy_steps_leave_the_network_alone() -> None:
    """Model-based: the network is the policy's model, not its pupil."""
    trainer = make_trainer()
    epochs(trainer, 1)
    trainer.enter_quantization(calibration())
    net, policy = copy.deepcopy(trainer.net.state_dict()), copy.deepcopy(trainer.policy.state_dict())
    images, labels = coloured(8)
    trainer.policy_step(normalised(images, 1 / 64, 128), torch.from_numpy(labels))
    assert same(dict(trainer.net.state_dict()), dict(net))
    assert not same(dict(trainer.policy.state_dict()), dict(policy))
    assert len(trainer.sampled) == 8


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_state_put_into_another_trainer_goes_on_alike(epoch: int) -> None:
    """Saved after any number of epochs: the next epoch's losses and the whole state are equal bit for bit."""
    first, second = make_trainer(epochs=3), make_trainer(epochs=3)
    epochs(first, epoch)
    second.load_state(copy.deepcopy(first.state()))
    assert same(epochs(first, 1), epochs(second, 1))
    assert same(first.state(), second.state())


def test_rates_warm_up_and_fall_to_nearly_nothing() -> None:
    """Linear over the warm-up, then a cosine over the phase; step sizes learn at 0.3 of the rate."""
    trainer = make_trainer(float_epochs=3, warmup_steps=4, float_learning_rate=0.1)
    rates: list[float] = []
    for _ in range(3):
        trainer.train_epoch(lambda event: rates.append(trainer.optimizer.param_groups[0]["lr"]), lambda: None)
    by_hand = [0.1 * min(1, (i + 1) / 4) * 0.5 * (1 + math.cos(math.pi * i / 12)) for i in range(12)]
    assert rates == pytest.approx(by_hand)
    assert trainer.optimizer.param_groups[2]["lr"] == pytest.approx(0.3 * rates[-1])


def test_the_average_follows_the_weights() -> None:
    """Without one the weights themselves are used; with one it lags behind and is what is loaded."""
    trainer = make_trainer(average=0.0)
    epochs(trainer, 1)
    before = copy.deepcopy(trainer.net.state_dict())
    trainer.load_average()
    assert same(dict(trainer.net.state_dict()), dict(before))
    trainer = make_trainer(average=0.9)
    epochs(trainer, 1)
    learned = trainer.net.state_dict()["layers.head.weights.weight"].clone()
    trainer.load_average()
    assert not torch.equal(trainer.net.state_dict()["layers.head.weights.weight"], learned)


@pytest.mark.parametrize(
    "setting",
    [
        {"bf16": False},
        {"distill": 0.5},
        {"distill": 0.5, "teacher": "average"},
        {"label_smoothing": 0.1},
        {"momentum": 0.0},
    ],
)
def test_every_way_to_train_learns(setting: dict[str, Any]) -> None:
    """Losses fall over three float epochs and stay finite through a quantized one."""
    trainer = make_trainer(float_epochs=3, **setting)
    events = epochs(trainer, 4)
    losses = [event["loss"] for event in events]
    assert sum(losses[8:12]) < sum(losses[:4])
    assert all(map(math.isfinite, losses))


def test_bfloat16_is_left_where_it_would_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU that does not multiply bfloat16, training asked for in it is training in float32."""
    monkeypatch.setattr(cpu, "multiplies_bf16", lambda: False)
    losses = [[event["loss"] for event in epochs(make_trainer(bf16=bf16), 1)] for bf16 in (True, False)]
    assert losses[0] == losses[1]


def test_bfloat16_is_near_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first loss agrees to bfloat16's precision, at float and at 4 bits."""
    monkeypatch.setattr(cpu, "multiplies_bf16", lambda: True)  # where it does not, torch is slow, but right
    losses = {}
    for bf16 in (False, True):
        trainer = make_trainer(bf16=bf16)
        losses[bf16] = [event["loss"] for event in epochs(trainer, 1)][:1]
        trainer.enter_quantization(calibration())
        monkeypatch.setattr(trainer, "choose", partial(trainer.net.uniform, 4))
        losses[bf16].append(trainer.step(trainer.batches.batch(1, 0)))
    assert losses[True][0] == pytest.approx(losses[False][0], rel=0.02)
    assert losses[True][1] == pytest.approx(losses[False][1], rel=0.2)


@pytest.mark.parametrize("where", ["layers.head.weights.weight", "layers.stem/0.norm.scale"])
def test_a_loss_that_is_not_finite_stops_training_and_says_where(where: str) -> None:
    """Epoch, batch and what to do; no weight was changed by that step."""
    trainer = make_trainer()
    events: list[dict[str, Any]] = []

    def spoil(event: dict[str, Any]) -> None:
        events.append(event)
        if len(events) == 2:
            trainer.net.get_parameter(where).data.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"the loss became nan .*at epoch 0, batch 2; the last checkpoint is kept"):
        trainer.train_epoch(spoil, lambda: None)
    assert (trainer.position.epoch, trainer.position.batch) == (0, 2)


def test_a_gradient_that_is_not_finite_never_reaches_the_weights() -> None:
    """The loss is fine, its gradient is not: the step is not taken."""
    trainer = make_trainer()
    epochs(trainer, 1)
    parameters = {name: value.clone() for name, value in trainer.net.named_parameters()}
    head = trainer.net.get_parameter("layers.head.weights.weight")
    handle = head.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingError, match=r"the gradient became (nan|inf) .*at epoch 1, batch 0"):
        trainer.step(trainer.batches.batch(1, 0))
    handle.remove()
    assert all(torch.equal(value, parameters[name]) for name, value in trainer.net.named_parameters())


def test_weights_that_are_not_finite_are_not_saved() -> None:
    """The check before every save names the weight."""
    trainer = make_trainer()
    trainer.require_finite()
    trainer.net.get_parameter("layers.head.bias").data[0] = float("inf")
    with pytest.raises(TrainingError, match=r"'layers\.head\.bias' is no longer finite at epoch 0, batch 0"):
        trainer.require_finite()
