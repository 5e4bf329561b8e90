"""Every error the toolkit raises on purpose.

    DqmqError                 exit code 1   anything below
    ├── InputError            exit code 2   what came in is wrong; the message says how to mend it
    │   ├── ImageError            an image cannot be decoded, or is refused
    │   ├── DataError             a data set has the wrong layout, no images, or other classes
    │   ├── RecipeError           a recipe has an unknown key or a value out of range
    │   ├── ModelError            a network has a part that cannot be quantized
    │   ├── CheckpointError       a checkpoint is damaged, unsafe or from a newer version
    │   └── BundleError           a bundle is damaged, unsafe or from a newer version
    ├── TrainingError         exit code 1   training cannot go on (a loss that is not finite)
    ├── ExportError           exit code 1   a bundle cannot be written (disk full, parity lost)
    ├── BenchError            exit code 1   a measurement cannot be made
    └── KernelError           exit code 1   the library of kernels is absent or cannot be loaded

A message is one line: what was expected, what came, what to do next.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class DqmqError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class InputError(DqmqError):
    """The caller gave something wrong; nothing was changed."""

    exit_code = 2


class ImageError(InputError):
    """An image cannot be decoded, or is refused for its size."""


class DataError(InputError):
    """A data set has the wrong layout, no images, or other classes than expected."""


class RecipeError(InputError):
    """A recipe has an unknown key or a value out of range."""


class ModelError(InputError):
    """A network has a part that cannot be quantized."""


class CheckpointError(InputError):
    """A checkpoint is damaged, unsafe or from a newer version."""


class BundleError(InputError):
    """A bundle is damaged, unsafe or from a newer version."""


class TrainingError(DqmqError):
    """Training cannot go on; the last good checkpoint is kept."""


class ExportError(DqmqError):
    """A bundle cannot be written; an older one is left as it was."""


class BenchError(DqmqError):
    """A measurement cannot be made on this machine."""


class KernelError(DqmqError):
    """The library of kernels is absent or cannot be loaded; graphs run without it, slower."""


def unknown_key(key: str, known: Iterable[str], where: str) -> str:
    """One line that names an unknown key and the nearest known one.

    >>> unknown_key("epoch", ["epochs", "batch_size"], "recipe.toml")
    "recipe.toml: unknown key 'epoch'; did you mean 'epochs'?"
    """
    known = sorted(known)
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key '{key}'; {hint}"
