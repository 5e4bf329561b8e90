"""What each layer of a network costs at each precision on this machine's clock: the table that a policy is priced by.

    python -m benchmarks.layer_costs resnet20 --size 32 -o models/resnet20-gtsrb/layer_ms.json

Every inner layer runs alone, as a graph of one node on the kernels that serving would use, the precisions in turn; what
an almost empty graph takes is subtracted. A recipe names the file as ``policy.cost_table``.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto, helper

from benchmarks.layers import LayerShape, layer_input, layer_model
from benchmarks.opponents import library_path, ort_bound_call
from dqmq_deploy.bits import LADDER
from dqmq_deploy.export.compiled import make_plan
from dqmq_deploy.export.nodes import GraphBuilder
from dqmq_deploy.export.plan import ConvStage, LinearStage, Plan
from dqmq_deploy.export.shapes import tensor_shapes
from dqmq_deploy.nets.load import build
from dqmq_deploy.quant.net import prepare
from dqmq_deploy.report.measure import measure

EMPTY = "empty"


def layer_shapes(plan: Plan) -> dict[str, LayerShape]:
    """The layers of ``plan`` as they are timed alone, by name."""
    shapes = tensor_shapes(plan)
    found = {}
    for stage in plan.stages:
        if not isinstance(stage, ConvStage | LinearStage):
            continue
        zero = plan.tensors[stage.input].zero_point
        out, channels = stage.weight_codes.shape[0], shapes[stage.input][-1]
        if isinstance(stage, ConvStage):
            size, kernel = shapes[stage.input][0], stage.weight_codes.shape[2]
            found[stage.name] = LayerShape("", size, channels, out, kernel, stage.strides[0], stage.groups, zero)
        else:
            found[stage.name] = LayerShape("linear", 0, channels, out, in_zero=zero)
    return found


def costs(net_name: str, size: int, width: int | None, seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds ``{layer: {bits: ms}}`` of every inner layer, at least a tenth of a microsecond each."""
    arguments = {} if width is None else {"width": width}
    net = prepare(build(net_name, 10, **arguments))
    shapes = layer_shapes(make_plan(net, net.uniform(LADDER[-1]), (size, size)))
    table: dict[str, dict[str, float]] = {}
    known: dict[LayerShape, dict[str, float]] = {}
    library = library_path()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        for group in net.groups:
            for name in group:
                shape = shapes[name]
                if shape not in known:
                    calls = {}
                    for bits in LADDER:
                        path.write_bytes(layer_model(shape, bits).SerializeToString())
                        calls[str(bits)] = ort_bound_call(path, 1, layer_input(shape, bits), library)
                    path.write_bytes(_empty_model())
                    calls[EMPTY] = ort_bound_call(path, 1, np.zeros((1, 16), np.uint8))
                    samples = measure(calls, seconds=seconds, blocks=9, seed=0)
                    ms = {bits: float(np.min(found.block_medians_ms)) for bits, found in samples.items()}
                    known[shape] = {bits: round(max(ms[bits] - ms[EMPTY], 1e-4), 5) for bits in map(str, LADDER)}
                table[name] = known[shape]
    return table


def _empty_model() -> bytes:
    builder = GraphBuilder()
    builder.node("Identity", ["x"], "y")
    values = [helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", 16]) for name in ("x", "y")]
    model: bytes = builder.model("empty", *values).SerializeToString()
    return model


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", help="a shipped network or package.module:factory")
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--width", type=int, help="the network's width, if it takes one")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each shape")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = costs(arguments.net, arguments.size, arguments.width, arguments.seconds)
    for name, row in table.items():
        print(f"{name:24} " + "  ".join(f"{bits} bits {1e3 * ms:7.2f} us" for bits, ms in row.items()))
    totals = {bits: sum(row[bits] for row in table.values()) for bits in map(str, LADDER)}
    print("all inner layers         " + "  ".join(f"{bits} bits {1e3 * ms:7.2f} us" for bits, ms in totals.items()))
    if arguments.out:
        arguments.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
