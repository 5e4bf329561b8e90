"""Where training runs: what a name means here, and what cannot be had."""

import pytest
import torch

from dqmq_deploy.errors import InputError
from dqmq_deploy.train.device import choose_device, loading_processes

CPU = torch.device("cpu")


def test_the_cpu_is_always_there() -> None:
    """By name, and for processes that train together; its batches come from a thread."""
    assert choose_device("cpu") == choose_device("auto", processes=2) == CPU
    assert loading_processes(CPU) == 0


def test_auto_is_what_there_is() -> None:
    """A GPU where torch sees one, else the CPU."""
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("name", "processes", "complaint"),
    [("gpu", 1, "expected one of auto, cpu, cuda, got 'gpu'"), ("cuda", 2, "expected one process, got 2")],
)
def test_what_cannot_be_is_refused(name: str, processes: int, complaint: str) -> None:
    """One line that says what was expected."""
    with pytest.raises(InputError, match=complaint):
        choose_device(name, processes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    """It is told before anything else happens."""
    with pytest.raises(InputError, match="sees no GPU"):
        choose_device("cuda")
