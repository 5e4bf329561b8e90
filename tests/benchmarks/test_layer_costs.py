"""The table of layer costs: every inner layer, every precision, in a form that training reads."""

import json
from pathlib import Path

from benchmarks.layer_costs import costs
from dqmq_deploy.bits import LADDER
from dqmq_deploy.nets.load import build
from dqmq_deploy.policy.objective import measured_cost
from dqmq_deploy.quant.net import prepare


def test_training_reads_the_table(tmp_path: Path) -> None:
    """A network of another width, by its shipped name."""
    table = costs("resnet8", 16, width=8, seconds=0.02)
    path = tmp_path / "ms.json"
    path.write_text(json.dumps(table))
    net = prepare(build("resnet8", 10, width=8))
    cost = measured_cost(net, path).table
    assert cost.shape == (len(net.groups), len(LADDER))
    assert abs(float(cost[:, -1].sum()) - 1) < 1e-6 and float(cost.min()) > 0
