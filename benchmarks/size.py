"""Bytes of a bundle with four configurations (2, 4, 8 bits and a mixture) against the float32 ONNX file.

    python -m benchmarks.size resnet20 resnet18

Weights are random: they do not change a size.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.random_nets import IMAGE_SIZES, random_compiled
from dqmq_deploy.export import float_graph
from dqmq_deploy.export.run import export_compiled


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="+", choices=sorted(IMAGE_SIZES))
    for name in parser.parse_args().nets:
        net = random_compiled(name)
        plan = net.float_plan()
        assert plan is not None
        reference = len(float_graph.build(plan).SerializeToString())
        with tempfile.TemporaryDirectory() as folder:
            result = export_compiled(net, Path(folder) / "size.dqmq")
            sizes = {path.name: path.stat().st_size for path in sorted(result.path.iterdir())}
        total = sum(sizes.values())
        print(f"{name}: bundle {total:,} bytes, float32 {reference:,} bytes, ratio {total / reference:.3f}")
        print("  " + ", ".join(f"{file} {size:,}" for file, size in sizes.items()))


if __name__ == "__main__":
    main()
