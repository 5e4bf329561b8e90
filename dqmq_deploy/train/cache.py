"""Decoded data sets kept on disk, so that the second run starts at once.

One ``.npz`` a data set, named by its content; written beside itself and renamed. A damaged file is as good as none.
"""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_SCHEMA = 1
_BIGGEST_BYTES = 2 * 2**30  # larger sets are decoded anew rather than fill the disk

Cached = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def default_cache_dir() -> Path:
    """``dqmq-deploy`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "dqmq-deploy"


def _file(cache_dir: Path, key: str) -> Path:
    return cache_dir / f"{hashlib.sha256(f'{_SCHEMA}-{key}'.encode()).hexdigest()[:32]}.npz"


def load_cached(cache_dir: Path, key: str) -> Cached | None:
    """Images, labels, classes, names and unreadable names of a data set, or None where they are not kept."""
    try:
        with np.load(_file(cache_dir, key), allow_pickle=False) as held:
            texts = [tuple(str(text) for text in held[part]) for part in ("classes", "names", "unreadable")]
            return held["images"], held["labels"], texts[0], texts[1], texts[2]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_cached(
    cache_dir: Path,
    key: str,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    names: Sequence[str],
    unreadable: Sequence[str],
) -> None:
    """Keeps a data set for the next time; where there is no room or no right to write, does nothing."""
    if images.nbytes > _BIGGEST_BYTES:
        return
    temporary = ""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=cache_dir, suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            texts = {"classes": classes, "names": names, "unreadable": unreadable}
            arrays: dict[str, Any] = {part: np.asarray(list(text), np.str_) for part, text in texts.items()}
            np.savez(file, images=images, labels=labels, **arrays)
        os.replace(temporary, _file(cache_dir, key))
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
