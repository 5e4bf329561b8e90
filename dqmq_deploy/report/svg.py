"""A small plot in SVG: a frame with two linear axes, and a way from numbers to coordinates.

Coordinates are in units of a 360-wide drawing, so that text stays readable on a phone. Colours are CSS variables.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dqmq_deploy.report.labels import Box
from dqmq_deploy.report.markup import Markup, element

WIDTH = 360
FONT = 12.0


@dataclass(frozen=True)
class Axis:
    """A linear axis from ``low`` to ``high`` with tick values and the way they are written."""

    low: float
    high: float
    ticks: tuple[float, ...]
    write: Callable[[float], str]
    title: str


def axis(
    values: Sequence[float], title: str, write: Callable[[float], str], *, zero: bool, most: float = math.inf
) -> Axis:
    """An axis that holds all ``values``, from zero if ``zero``, never beyond ``most``.

    >>> axis([3.0, 9.0], "x", str, zero=True).ticks
    (0.0, 2.0, 4.0, 6.0, 8.0)
    """
    low, high = (0.0 if zero else min(values)), max(values)
    if high <= low:
        low, high = low - abs(low) * 0.05 - 1e-9, high + abs(high) * 0.05 + 1e-9
    margin = (high - low) * 0.06
    low, high = (low if zero else low - margin), min(high + margin, most)
    step = _nice((high - low) / 5)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return Axis(low, high, tuple(round(index * step, 12) for index in range(first, last + 1)), write, title)


def _nice(step: float) -> float:
    """The step of 1, 2 or 5 times a power of ten nearest above ``step``."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


@dataclass(frozen=True)
class Frame:
    """The area that two axes span."""

    x: Axis
    y: Axis
    box: Box

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Coordinates of a point given in the units of the axes."""
        across = (x - self.x.low) / (self.x.high - self.x.low)
        up = (y - self.y.low) / (self.y.high - self.y.low)
        return (
            self.box.left + across * (self.box.right - self.box.left),
            self.box.bottom - up * (self.box.bottom - self.box.top),
        )

    def draw(self) -> list[Markup]:
        """Grid lines, tick labels and titles."""
        box, parts = self.box, []
        for tick in self.y.ticks:
            _, y = self.at(self.x.low, tick)
            parts.append(line(box.left, y, box.right, y, "grid"))
            parts.append(text(box.left - 7, y + 4, self.y.write(tick), "tick", anchor="end"))
        for tick in self.x.ticks:
            x, _ = self.at(tick, self.y.low)
            parts.append(line(x, box.bottom, x, box.bottom + 4, "axis"))
            parts.append(text(x, box.bottom + 18, self.x.write(tick), "tick", anchor="middle"))
        parts.append(line(box.left, box.bottom, box.right, box.bottom, "axis"))
        parts.append(text(box.right, box.bottom + 36, self.x.title, "axis-title", anchor="end"))
        parts.append(text(0, box.top - 14, self.y.title, "axis-title"))
        return parts


def drawing(title: str, height: float, parts: Sequence[object]) -> Markup:
    """The ``svg`` element, as wide as it may be; ``title`` is what a screen reader says."""
    return element(
        "svg",
        element("title", title),
        *parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=title,
        xmlns="http://www.w3.org/2000/svg",
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str, style: str | None = None) -> Markup:
    """A straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_, style=style)


def text(x: float, y: float, content: str, class_: str, anchor: str | None = None, style: str | None = None) -> Markup:
    """Text with its baseline at (x, y)."""
    return element("text", content, x=float(x), y=float(y), class_=class_, text_anchor=anchor, style=style)


def polyline(points: Sequence[tuple[float, float]], class_: str, style: str | None = None) -> Markup:
    """Straight lines from point to point."""
    return element("polyline", points=" ".join(f"{x:.2f},{y:.2f}" for x, y in points), class_=class_, style=style)


def marker(kind: str, x: float, y: float, class_: str, style: str, title: str) -> Markup:
    """A point: ``circle``, ``square``, ``diamond`` or ``cross``; ``title`` shows on hovering."""
    said = element("title", title)
    if kind == "circle":
        return element("circle", said, cx=float(x), cy=float(y), r=5.0, class_=class_, style=style)
    if kind == "square":
        return element(
            "rect", said, x=float(x - 4.5), y=float(y - 4.5), width=9.0, height=9.0, class_=class_, style=style
        )
    outline = {
        "diamond": f"M{x:.2f} {y - 7.5:.2f} l7.5 7.5 -7.5 7.5 -7.5 -7.5z",
        "cross": f"M{x - 4.5:.2f} {y - 4.5:.2f} l9 9 m0 -9 l-9 9",
    }[kind]
    return element("path", said, d=outline, class_=class_, style=style)
