"""What long work tells while it runs, in a few words."""

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from dqmq_deploy.report.numbers import digits3, percent
from dqmq_deploy.terminal import Teller

if TYPE_CHECKING:
    from dqmq_deploy.serve.job import Progress


class TrainingNews:
    """Turns the events of ``train`` into progress, and a line for each epoch."""

    def __init__(self, shown: Teller) -> None:
        self._shown = shown

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in one event."""
        kind = event["event"]
        if kind == "start":
            self._shown.say(
                f"{event['name']}: {event['images']} images to train on, {event['held_out']} held out, "
                f"{event['classes']} classes, {digits3(event['macs'] / 1e6)} M multiply-accumulates an image"
            )
        elif kind == "step":
            batches, epochs = event["batches"], event["epochs"]
            share = (event["epoch"] * batches + event["batch"]) / (epochs * batches)
            note = f"epoch {event['epoch'] + 1}/{epochs} ({event['phase']}), loss {digits3(event['loss'])}"
            self._shown.tell("training", share, note + _policy_note(event))
        elif kind == "epoch":
            self._shown.say(f"epoch {event['epoch']}/{event['epochs']}: {_accuracies(event)}{_policy_note(event)}")
        elif kind == "stage":
            self._shown.tell("finishing", None, event["what"])
        elif kind == "done":
            self._shown.say(f"trained in {event['seconds']:.0f} s")


def _accuracies(event: Mapping[str, Any]) -> str:
    """Accuracy at each precision, on held-out images as they are and degraded."""
    parts = [
        f"{name}{'' if name.startswith(('float', 'bits-')) else ' bits'} "
        f"{percent(found['as_it_is'])}, {percent(found['degraded'])}"
        for name, found in event["accuracy"].items()
    ]
    return f"right as they are, degraded: {'; '.join(parts)}"


def _policy_note(event: Mapping[str, Any]) -> str:
    """Mean bits and cost that the policy chooses, once it chooses."""
    if not isfinite(event["mean_bits"]):
        return ""
    return f"; policy {event['mean_bits']:.1f} bits, cost {percent(event['cost'])}"


def serve_note(at: "Progress") -> str:
    """How a run of ``serve`` goes, in a few words."""
    routes = ", ".join(
        f"{name} {percent(count / max(1, at.done - at.errors), 0)}" for name, count in sorted(at.routes.items())
    )
    errors = f", {at.errors} unreadable" if at.errors else ""
    speed = f"{at.done / at.seconds:.0f} a second" if at.seconds > 0 else ""
    return f"{at.done}/{at.total} images{errors}, {speed}; {routes}"
