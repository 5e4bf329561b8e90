"""What sessions with kernels keep of a layer's weights: their packed form, nothing that packing needed."""

from pathlib import Path

import pytest

from benchmarks.loading import resident_elsewhere
from benchmarks.networks import write_quantized
from dqmq_deploy import kernels, op_library_path
from tests.export.plans import PlanMaker

WEIGHTS = 512 * 512 * 9
KEPT_BESIDES = 1_500_000
"""Bytes whatever the weights: graphs, their tensors, scratch memory.

0.7 MB when this was written; 3.0 MB while the heap kept what packing freed.
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc/self/status, which is Linux's")
@pytest.mark.parametrize("bits", [8, 4])
def test_a_second_session_adds_no_weights(bits: int, tmp_path: Path) -> None:
    """Two sessions of a layer of 2.4 M weights keep the bits of each once, and little else."""
    maker = PlanMaker((4, 4), seed=1)
    wide = maker.conv("image", 512, (1, 1), 8)
    path = write_quantized(maker.plan(maker.conv(wide, 512, (3, 3), bits, pads=(1, 1, 1, 1))), tmp_path)
    if kernels.find().isa == "reference":
        pytest.skip("the reference path keeps codes for each session")
    kept = resident_elsewhere([path, path], op_library_path())
    assert kept["anonymous_bytes"] < WEIGHTS * bits // 8 + KEPT_BESIDES
