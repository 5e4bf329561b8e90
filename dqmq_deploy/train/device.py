"""Where to train: on the CPU or on a GPU."""

import os

import torch

from dqmq_deploy import cpu
from dqmq_deploy.errors import InputError

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str, processes: int = 1) -> torch.device:
    """The device that ``name``, one of ``DEVICES``, means on this machine; "auto" is a GPU where torch has one.

    ``processes`` that train together do so on CPUs.

    Raises:
        InputError: a GPU is asked for and there is none, or several processes ask for it.
    """
    if name not in DEVICES:
        raise InputError(f"--device: expected one of {', '.join(DEVICES)}, got '{name}'")
    if name == "cuda" and processes > 1:
        raise InputError(f"--device cuda: expected one process, got {processes}; start it without torchrun")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"--device cuda: torch {torch.__version__} sees no GPU; install a torch built for CUDA, or train on the CPU"
        )
    if name == "cpu" or processes > 1 or not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # what is measured in float32 must be what integer graphs compute
    return torch.device("cuda")


def multiplies_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there."""
    return cpu.multiplies_bf16() if device.type == "cpu" else torch.cuda.get_device_capability(device) >= (8, 0)


def loading_processes(device: torch.device) -> int:
    """How many processes prepare batches: on a GPU, whose steps are short, some; beside a CPU's a thread is enough."""
    return 0 if device.type == "cpu" else max(1, min(4, (os.cpu_count() or 1) - 1))
