"""Working memory that all sessions of a process share.

Each onnxruntime session keeps the most that its tensors ever took. Sessions that take turns, as the graphs of a bundle
do, need that only once. For sessions with our kernels: stock onnxruntime was seen to keep no less that way.
"""

from contextlib import suppress
from functools import cache

import onnxruntime as ort

_SAME_AS_REQUESTED = 1
"""Grow by what is asked for, rather than by powers of two."""

_DEFAULT = -1


def share_arena(options: ort.SessionOptions) -> None:
    """Let a session with these options take its tensors from the memory that all such sessions share.

    A process that registered an allocator of its own for the CPU keeps it. Where onnxruntime takes none, sessions keep
    to memory of their own.
    """
    _register()
    options.add_session_config_entry("session.use_env_allocators", "1")


@cache
def _register() -> None:
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    growth = {
        "max_mem": 0,
        "arena_extend_strategy": _SAME_AS_REQUESTED,
        "initial_chunk_size_bytes": _DEFAULT,
        "max_dead_bytes_per_chunk": _DEFAULT,
        "initial_growth_chunk_size_bytes": _DEFAULT,
    }
    with suppress(Exception):  # onnxruntime's exceptions share no base; one says that there is an allocator already
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(growth))
