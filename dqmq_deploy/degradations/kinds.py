"""What spoils a camera's picture: 28 kinds of degradation, five severities each, for training and for evaluation.

Severity 1 is barely visible; 5 is hard, but not hopeless, for a person. Lengths (blur, motion, lost resolution) are
shares of the picture's shorter side, so that a severity means the same at 32 x 32 and at 224 x 224.

    spread = degrade(images, "motion", 3, np.random.default_rng(0))
    half, kind, severity = mixed(images, np.random.default_rng(0))
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dqmq_deploy.degradations.camera import CAMERA, Degradation, Severities
from dqmq_deploy.degradations.mishaps import MISHAPS
from dqmq_deploy.degradations.obstacles import OBSTACLES

Pixels = npt.NDArray[np.uint8]

SEVERITIES = (1, 2, 3, 4, 5)
"""The severities, mildest first."""

AS_IT_IS = -1
"""The kind index of a picture that was not degraded."""

TRAINING_KINDS: tuple[str, ...] = tuple(CAMERA)
"""What networks are trained on."""

FOREIGN_KINDS: tuple[str, ...] = tuple(MISHAPS)
"""What no decision about method or recipe has looked at, either."""

UNSEEN_KINDS: tuple[str, ...] = tuple(OBSTACLES) + FOREIGN_KINDS
"""What they are not, unless a recipe names them: for finding out what a network makes of the unforeseen."""

KINDS: tuple[str, ...] = TRAINING_KINDS + UNSEEN_KINDS
"""The names of the degradations; a kind index is a position in here."""

PROTOCOL_KINDS: tuple[str, ...] = (
    "noise", "blur", "motion", "low_light", "fog", "jpeg", "rain", "dirt", "glare", "dead_pixels",
)  # fmt: skip
"""The ten that evaluation draws from: six that training knows, four that it does not."""

_DEGRADATIONS: dict[str, Degradation] = CAMERA | OBSTACLES | MISHAPS


def degrade(images: Pixels, kind: str, severity: int | npt.ArrayLike, rng: np.random.Generator) -> Pixels:
    """Every image of ``images`` spoilt in one way.

    Args:
        images: uint8 ``[N, H, W, 3]``, RGB; left as they are.
        kind: one of :data:`KINDS`.
        severity: 1 (barely visible) to 5 (hard), one for all or one per image ``[N]``.
        rng: where the randomness comes from; the same state gives the same pixels.

    Returns:
        A new uint8 array ``[N, H, W, 3]``.

    Raises:
        ValueError: unknown kind, a severity outside 1 to 5, or images that are not uint8 ``[N, H, W, 3]``.
    """
    if kind not in _DEGRADATIONS:
        raise ValueError(f"unknown degradation {kind!r}; known: {', '.join(KINDS)}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"expected uint8 images [N, H, W, 3], got {images.dtype} {list(images.shape)}")
    severities = np.broadcast_to(np.asarray(severity, np.int64), (len(images),))
    if not len(images):
        return images.copy()
    if severities.min() < 1 or severities.max() > len(SEVERITIES):
        raise ValueError(f"expected severities 1 to {len(SEVERITIES)}, got {severities.min()} to {severities.max()}")
    spoilt = _DEGRADATIONS[kind](images.astype(np.float32), severities, rng)
    return np.clip(np.rint(spoilt), 0, 255).astype(np.uint8)


def mixed(
    images: Pixels,
    rng: np.random.Generator,
    share: float = 0.5,
    kinds: Sequence[str] = TRAINING_KINDS,
    severities: Sequence[int] = SEVERITIES,
) -> tuple[Pixels, Severities, Severities]:
    """Images of mixed quality: about ``share`` of them degraded, kind and severity drawn evenly for each.

    Args:
        images: uint8 ``[N, H, W, 3]``, RGB; left as they are.
        rng: where the randomness comes from.
        share: probability, 0 to 1, that an image is degraded.
        kinds: the degradations to draw from.
        severities: the severities to draw from.

    Returns:
        The images uint8 ``[N, H, W, 3]``; the kind of each as a position in :data:`KINDS`, :data:`AS_IT_IS` where it
        was not degraded; its severity, 0 there. The last two are int64 ``[N]``.

    Raises:
        ValueError: as :func:`degrade` does.
    """
    unknown = [kind for kind in kinds if kind not in _DEGRADATIONS]
    if unknown:
        raise ValueError(f"unknown degradation {unknown[0]!r}; known: {', '.join(KINDS)}")
    count = len(images)
    out = images.copy()
    kind_index = np.full(count, AS_IT_IS, np.int64)
    severity = np.zeros(count, np.int64)
    chosen = np.flatnonzero(rng.random(count) < share)
    if not kinds or not len(chosen):
        return out, kind_index, severity
    kind_index[chosen] = rng.choice([KINDS.index(kind) for kind in kinds], len(chosen))
    severity[chosen] = rng.choice(np.asarray(severities, np.int64), len(chosen))
    for index in np.unique(kind_index[chosen]):
        rows = np.flatnonzero(kind_index == index)
        out[rows] = degrade(images[rows], KINDS[index], severity[rows], rng)
    return out, kind_index, severity
