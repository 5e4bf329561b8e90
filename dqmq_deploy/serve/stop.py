"""Stopping a run between two images, so that its output and its summary are whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that is set by Ctrl-C or a termination request; a second one acts as usual.

    Outside the main thread, where signals cannot be handled, the event is simply never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def restore() -> None:
        for kind in kinds:
            signal.signal(kind, before[kind])

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()
        restore()

    for kind in kinds:
        signal.signal(kind, request)
    try:
        yield stop
    finally:
        restore()
