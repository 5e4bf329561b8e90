"""The library of kernels for ``ai.dqmq`` nodes: where it is, whether it is used, and on which instruction set.

A bundle's graphs run on stock onnxruntime. Where this library is registered with a session, it computes their
convolutions and linear layers instead, to the same bits, faster. It is compiled when the package is installed; where no
compiler was at hand it is absent, and graphs run on stock onnxruntime.

    DQMQ_KERNELS=off       leaves it out
    DQMQ_KERNELS=always    uses it even where onnxruntime's own kernels are faster
    DQMQ_MAX_ISA=LEVEL     caps the instruction set: reference, portable, avx2, avxvnni, avx512, neon, dotprod

The library reads them by itself, whichever program registers it.
"""

import ctypes
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dqmq_deploy.errors import InputError, KernelError

SWITCH = "DQMQ_KERNELS"
"""Environment variable: ``on``, ``off`` or ``always``."""

SESSION_SWITCH = "ai.dqmq.kernels"
"""Entry of a session's configuration with the words of :data:`SWITCH`; the library goes by the stronger of the two."""

CAP = "DQMQ_MAX_ISA"
"""Environment variable, the highest instruction set to use."""

DOMAIN = "ai.dqmq"
"""Domain of the operators."""

OPERATORS = frozenset(
    {
        "QConv", "QConvAdd", "QLinear", "QLinearCodes", "QAveragePool", "QGlobalAveragePool", "MedianFilter",
        "AreaResize",
    }
)  # fmt: skip
"""Those that the library computes."""

ALWAYS_FASTER = frozenset({"avx512"})
"""Instruction sets whose kernels were measured faster than onnxruntime's own for every network of the benchmarks."""

FOLDER = Path(__file__).parent / "_native"

FILE = "libdqmq_ort.dylib" if sys.platform == "darwin" else "libdqmq_ort.so"


@dataclass(frozen=True)
class Kernels:
    """The library as it is here: its file, the instruction set in use, and all that this CPU and this build have.

    ``lead`` names the instructions for int8 that onnxruntime's own kernels use here and ours, at ``isa``, do not, as
    where that is capped; None where there are none. A program that registers the library is left to onnxruntime then;
    a dispatcher times both.
    """

    path: Path
    isa: str
    available: tuple[str, ...]
    lead: str | None


def op_library_path() -> Path:
    """The library of kernels, for ``SessionOptions.register_custom_ops_library`` of onnxruntime 1.17 or later.

    Sessions of this package register it by themselves; programs in C++, C# or Java register the same file.

    Raises:
        KernelError: it was not built when the package was installed.
    """
    path = FOLDER / FILE
    if not path.is_file():
        raise KernelError(
            f"expected the library of kernels at {path}, got no such file: it is built while installing where a C++ "
            "compiler is at hand; get one, then install dqmq-deploy again"
        )
    return path


def switch() -> str:
    """What :data:`SWITCH` says, ``on`` if it says nothing.

    Raises:
        InputError: it says something else than ``on``, ``off`` or ``always``.
    """
    word = os.environ.get(SWITCH) or "on"
    if word not in ("on", "off", "always"):
        raise InputError(f"{SWITCH}: expected on, off or always, got '{word}'")
    return word


def may_be_slower(kernels: Kernels) -> bool:
    """Whether a graph is to be timed with these kernels and without, to keep what is faster."""
    return kernels.isa not in ALWAYS_FASTER and switch() != "always"


def find() -> Kernels:
    """The library as it is here, whatever :data:`SWITCH` says.

    Raises:
        KernelError: it is absent, or this system cannot load it.
        InputError: :data:`CAP` names no instruction set of this kind of CPU.
    """
    path = op_library_path()
    library = _load(path)
    available = tuple(library.dqmq_available_isas().decode().split())
    isa = library.dqmq_isa()
    if isa is None:
        raise InputError(
            f"{CAP}: expected an instruction set of this kind of CPU, such as {', '.join(available)}, "
            f"got '{os.environ.get(CAP)}'"
        )
    lead = library.dqmq_onnxruntimes_lead()
    return Kernels(path, isa.decode(), available, None if lead is None else lead.decode())


def in_use() -> Kernels | None:
    """The library that sessions register; None where it is switched off or absent, the latter told once.

    Raises:
        InputError: :data:`SWITCH` or :data:`CAP` has a value that means nothing.
    """
    if switch() == "off":
        return None
    try:
        return find()
    except KernelError as error:
        _tell_once(f"no kernels, graphs run slower on stock onnxruntime: {error} ({SWITCH}=off says nothing)")
        return None


def register(options: Any) -> bool:
    """Let a session with these ``onnxruntime.SessionOptions`` use the library, if it is in use; whether it will.

    It then does so even where onnxruntime's own kernels have the lead: who asks for ours gets ours.
    """
    kernels = in_use()
    if kernels is None:
        return False
    options.add_session_config_entry(SESSION_SWITCH, "always")
    try:
        options.register_custom_ops_library(str(kernels.path))
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        _tell_once(f"no kernels, graphs run slower on stock onnxruntime, which does not take {kernels.path}: {error}")
        return False
    return True


def facts() -> dict[str, object]:
    """For reports: ``isa`` in use, those ``available``, the ``library``; or the ``reason`` why graphs run without.

    ``lead`` is that of :class:`Kernels`.

    Raises:
        InputError: :data:`SWITCH` or :data:`CAP` has a value that means nothing.
    """
    is_on = switch() != "off"
    try:
        found = find()
    except KernelError as error:
        return {"isa": None, "available": [], "lead": None, "library": None, "reason": str(error)}
    return {
        "isa": found.isa if is_on else None,
        "available": list(found.available),
        "lead": found.lead,
        "library": str(found.path),
        "reason": None if is_on else f"switched off by {SWITCH}",
    }


def in_words(facts: Mapping[str, Any]) -> str:
    """What :func:`facts` says, in one line.

    >>> in_words({"isa": None, "available": [], "library": None, "reason": "switched off by DQMQ_KERNELS"})
    'none, stock onnxruntime: switched off by DQMQ_KERNELS'
    """
    if facts["isa"] is None:
        return f"none, stock onnxruntime: {facts['reason']}"
    lead = f"; onnxruntime's own use {facts['lead']}, the faster of the two serves" if facts["lead"] else ""
    return f"{facts['isa']}, of {', '.join(facts['available'])}{lead}; {facts['library']}"


@cache
def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
        for name in ("dqmq_isa", "dqmq_onnxruntimes_lead", "dqmq_available_isas", "dqmq_version"):
            getattr(library, name).restype = ctypes.c_char_p
    except (OSError, AttributeError) as error:
        raise KernelError(f"{path}: this system cannot load it ({error}); install dqmq-deploy again") from None
    return library


@cache
def _tell_once(line: str) -> None:
    logging.getLogger("dqmq_deploy").warning(line)
