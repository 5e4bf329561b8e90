"""A terminal or a file behind the same stream: consoles, and progress that stays readable in a log.

Results go to standard output, progress to standard error, so that either can be redirected alone.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PIPE_WIDTH = 140
"""Columns of a table that goes to a file or a pipe."""

PLAIN_INTERVAL_S = 10.0
"""Without a terminal, progress says a line no more often than this."""


class Teller(Protocol):
    """What work tells of itself while it runs."""

    def tell(self, stage: str, share: float | None, note: str = "") -> None:
        """The stage, the share of it that is done (0 to 1, None if nobody knows), and a few words on how it goes."""

    def say(self, line: str) -> None:
        """A line that stays."""


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error; wide where there is no terminal to measure."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


@contextmanager
def progress() -> Iterator[Teller]:
    """Give what shows progress: a bar with the time left in a terminal, else a line now and then.

    The first and the last state of each stage are always shown.
    """
    output = console(stderr=True)
    if output.is_terminal:
        with _bars(output) as bars:
            yield _Bars(bars)
    else:
        lines = PlainLines()
        try:
            yield lines
        finally:
            lines.close()


def _bars(output: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=output,
    )


class _Bars:
    """One bar a stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._stage = ""

    def tell(self, stage: str, share: float | None, note: str = "") -> None:
        if stage != self._stage:
            self._task = self._bars.add_task(stage, total=1.0, note="")
            self._stage = stage
        known = share is not None
        self._bars.update(self._task, completed=share or 0.0, total=1.0 if known else None, note=note)

    def say(self, line: str) -> None:
        self._bars.console.print(line)


class PlainLines:
    """Progress as lines on standard error."""

    def __init__(self) -> None:
        self._stage = ""
        self._waiting = ""

    def tell(self, stage: str, share: float | None, note: str = "") -> None:
        """Say so now if it is news, or if the last line was long ago."""
        now = time.monotonic()
        if stage != self._stage:
            self.close()
            self._stage, self._start, self._told_at = stage, now, now - PLAIN_INTERVAL_S
        elapsed = now - self._start
        parts = [stage]
        if share is not None:
            left = f", {elapsed * (1 - share) / share:.0f} s left" if 0 < share < 1 else ""
            parts.append(f"{100 * share:.0f} %{left}")
        self._waiting = "  ".join([*parts, *([note] if note else [])])
        if now - self._told_at >= PLAIN_INTERVAL_S:
            self._told_at = now
            self.close()

    def say(self, line: str) -> None:
        """Say so now; what waits to be told goes on waiting."""
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Say what has not been said yet."""
        if self._waiting:
            print(self._waiting, file=sys.stderr, flush=True)
            self._waiting = ""
