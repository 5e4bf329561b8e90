"""Shipped networks with random weights as two files: for whoever wants to check a time, which no weight changes.

    python benchmarks/networks.py resnet18 --bits 2 -o /tmp/resnet18

writes to the folder

    quantized.onnx  every inner layer at that precision, first and last at 8 bits, exactly as ``export`` writes graphs;
                    input ``image``, uint8 ``[N, H, W, 3]``
    weights.bin     its packed weights
    float.onnx      the same network in float32; input ``image``, float32 ``[N, 3, H, W]``
"""

import argparse
import sys
from pathlib import Path

if not __package__:  # run by its path: look where -m would look
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import torch

from benchmarks.random_nets import IMAGE_SIZES, add_choices, random_net
from dqmq_deploy.bits import LADDER
from dqmq_deploy.bundle.manifest import WEIGHTS
from dqmq_deploy.export import float_graph, graph
from dqmq_deploy.export.compiled import make_float_plan, make_plan
from dqmq_deploy.export.plan import FloatPlan, Plan
from dqmq_deploy.export.weights import WeightStore
from dqmq_deploy.quant.net import QuantNet

NETWORKS = ("resnet18", "resnet20", "mobilenetv2")
QUANTIZED, FLOAT = "quantized.onnx", "float.onnx"


def image_size(name: str) -> tuple[int, int]:
    """Height and width of the images that a network reads."""
    return IMAGE_SIZES[name], IMAGE_SIZES[name]


def quantized_plan(name: str, net: QuantNet, bits: int) -> Plan:
    """``net`` with every inner layer at ``bits``; it gains a slot."""
    (choice,) = add_choices(net, name, [net.uniform(bits)])
    return make_plan(net, choice, image_size(name))


def float_plan(name: str, net: QuantNet) -> FloatPlan:
    """``net`` in float32."""
    return make_float_plan(net, image_size(name))


def write_quantized(plan: Plan, folder: Path) -> Path:
    """Write the graph of ``plan`` and its weights to ``folder``, made if needed; the graph's path."""
    weights = WeightStore()
    model = graph.build(plan, weights)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights.to_bytes())
    (folder / QUANTIZED).write_bytes(model.SerializeToString())
    return folder / QUANTIZED


def write_float(plan: FloatPlan, folder: Path) -> Path:
    """Write the float32 graph of ``plan`` to ``folder``, made if needed; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FLOAT).write_bytes(float_graph.build(plan).SerializeToString())
    return folder / FLOAT


def main() -> None:
    """Write both graphs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--bits", type=int, choices=LADDER, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # beside other work, threads that wait for each other take ten times as long
    net = random_net(arguments.network, arguments.seed)
    print(write_quantized(quantized_plan(arguments.network, net, arguments.bits), arguments.out))
    print(write_float(float_plan(arguments.network, net), arguments.out))


if __name__ == "__main__":
    main()
