"""Whether a bundle's graphs load and answer the same on another onnxruntime, in an environment of its own.

    python -m venv /tmp/ort && /tmp/ort/bin/pip install onnxruntime==1.20.1 numpy
    python -m benchmarks.older_runtime resnet20-gtsrb.dqmq --python /tmp/ort/bin/python --images gtsrb-val

The other interpreter needs onnxruntime and numpy alone. Prints, for each graph, the share of images with the same top-1
and the largest difference of an output.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from dqmq_deploy import Bundle
from dqmq_deploy.images import decode, find_images

_RUN = """
import sys
import numpy as np
import onnxruntime as ort
images, out, *graphs = sys.argv[1:]
pixels = np.load(images)
options = ort.SessionOptions()
options.log_severity_level = 3
answers = {}
for graph in graphs:
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"image": pixels[at : at + 16]})[0] for at in range(0, len(pixels), 16)]
    answers[graph.replace("/", "|")] = np.concatenate(parts)
np.savez(out, **answers)
print(ort.__version__)
"""


def answers(python: str, images: Path, out: Path, graphs: list[str]) -> tuple[str, list[np.ndarray]]:
    """The version of onnxruntime that ``python`` has, and each graph's answers."""
    done = subprocess.run(
        [python, "-c", _RUN, str(images), str(out), *graphs], check=True, capture_output=True, text=True
    )
    with np.load(out) as found:
        return done.stdout.strip(), [found[graph.replace("/", "|")] for graph in graphs]


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--python", required=True, help="an interpreter with the other onnxruntime")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    size = (bundle.manifest.preprocessing.height, bundle.manifest.preprocessing.width)
    pixels = np.stack([decode(path, size) for path in find_images(arguments.images)[: arguments.count]])
    names = [bundle.manifest.estimator.graph, *(entry.graph for entry in bundle.manifest.configurations)]
    graphs = [str(bundle.file(name).resolve()) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, pixels)
        here = answers(sys.executable, images, Path(folder) / "here.npz", graphs)
        there = answers(arguments.python, images, Path(folder) / "there.npz", graphs)
    print(f"onnxruntime {here[0]} against {there[0]}, {len(pixels)} images")
    for name, ours, theirs in zip(names, here[1], there[1], strict=True):
        same = (ours.argmax(1) == theirs.argmax(1)).mean()
        print(f"  {name}: same top-1 on {same:.2%}, largest difference {np.abs(ours - theirs).max():.3g}")


if __name__ == "__main__":
    main()
