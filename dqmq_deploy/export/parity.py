"""Whether the exported graphs say what the trained network says, and how long they take here.

A graph can be valid and wrong: a scale folded twice, a residual read before its clip. So every graph is run on the
calibration images by onnxruntime and compared with torch before a bundle is written. Where our kernels are in use, they
must give the very logits of stock onnxruntime.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from dqmq_deploy.bundle.manifest import Parity
from dqmq_deploy.cpu import session_settings
from dqmq_deploy.errors import ExportError
from dqmq_deploy.kernels import SWITCH, register

MIN_CLEAR_AGREEMENT = 0.98
"""Below this share of clear images with the same answer an export fails: rounding costs less, a mistake more."""

CLEAR_MARGIN = 0.1
"""An image is clear if torch's two highest logits lie further apart than this share of the logits' spread.

Over the eight configurations of two small digits networks rounding moved a logit by 0.4 to 2.2 % of the spread in the
mean, and by up to 12 % at worst. What hangs on so little is mostly a toss-up, of which a hardly trained network has
many. The margin is a choice made on those two networks; the manifest records the agreement over all images beside it.
"""

BATCH = 64
WARM_UP_RUNS = 3


def open_session(path: Path, kernels: bool = False) -> ort.InferenceSession:
    """The graph at ``path`` on onnxruntime, CPU, one thread; stock, or with our kernels where they are in use.

    Raises:
        ExportError: onnxruntime cannot load it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in session_settings().items():
        options.add_session_config_entry(key, value)
    if kernels:
        register(options)
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ExportError(f"{path.name}: onnxruntime {ort.__version__} cannot load it: {_line(error)}") from None


def logits(name: str, session: ort.InferenceSession, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Float32 ``[N, classes]`` for pictures ``uint8 [N, H, W, 3]``.

    Raises:
        ExportError: onnxruntime fails on configuration ``name``, such as on scales too far apart.
    """
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    try:
        return np.concatenate([session.run(["logits"], {"image": batch})[0] for batch in batches])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ExportError(f"configuration '{name}': onnxruntime {ort.__version__} fails: {_line(error)}") from None


def compare(name: str, expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> Parity:
    """How well logits ``[N, classes]`` of torch and onnxruntime agree.

    Raises:
        ExportError: the shapes differ, a logit is not finite, or fewer than :data:`MIN_CLEAR_AGREEMENT` of the clear
            images get the same answer.
    """
    if expected.shape != found.shape:
        raise ExportError(f"configuration '{name}': expected logits {expected.shape}, got {found.shape}")
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        raise ExportError(f"configuration '{name}': expected finite logits, got others; train again")
    agrees = expected.argmax(1) == found.argmax(1)
    difference = float(np.abs(expected - found).max())
    ranked = np.sort(expected, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > CLEAR_MARGIN * expected.std() if expected.shape[1] > 1 else agrees
    if clear.any() and agrees[clear].mean() < MIN_CLEAR_AGREEMENT:
        raise ExportError(
            f"configuration '{name}': torch and onnxruntime agree on {agrees[clear].mean():.1%} of {clear.sum()} clear "
            f"images, expected at least {MIN_CLEAR_AGREEMENT:.0%}; logits differ by up to {difference:.3g}"
        )
    return Parity(len(found), float(agrees.mean()), difference)


def check_kernels(name: str, stock: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> None:
    """That logits ``[N, classes]`` of our kernels are those of stock onnxruntime, bit for bit.

    Raises:
        ExportError: they are not.
    """
    if np.array_equal(stock, found):
        return
    differ = (stock != found).any(axis=1)
    raise ExportError(
        f"configuration '{name}': kernels and stock onnxruntime {ort.__version__} differ on {differ.sum()} of "
        f"{len(differ)} images, expected the same bits; report it, and export with {SWITCH}=off"
    )


def latencies_ms(
    sessions: Mapping[str, ort.InferenceSession], images: npt.NDArray[np.uint8], seconds: float = 2.0
) -> dict[str, float]:
    """Median milliseconds of one image on each of ``sessions``, the candidates taking turns for ``seconds`` in all."""
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    feeds = [{"image": images[i : i + 1]} for i in range(min(16, len(images)))]
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(next(iter(taken.values()))) < len(feeds):
        for name, session in sessions.items():
            for feed in feeds[:WARM_UP_RUNS]:
                session.run(None, feed)  # brings this graph's weights back into the caches
            for feed in feeds:
                begin = time.perf_counter()
                session.run(None, feed)
                taken[name].append(1e3 * (time.perf_counter() - begin))
    return {name: median(times) for name, times in taken.items()}


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
