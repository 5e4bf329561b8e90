"""Put labels beside points so that nothing lies on top of anything else."""

from collections.abc import Sequence
from dataclasses import dataclass

CHARACTER_WIDTH = 0.56
"""Mean advance of a character of a sans-serif face, in font sizes."""


@dataclass(frozen=True)
class Box:
    """A rectangle: left, top, right, bottom, y pointing down."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Area that both share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0

    def outside(self, frame: "Box") -> float:
        """How far it sticks out of ``frame``, summed over the sides."""
        return (
            max(0.0, frame.left - self.left)
            + max(0.0, self.right - frame.right)
            + max(0.0, frame.top - self.top)
            + max(0.0, self.bottom - frame.bottom)
        )


def text_box(x: float, y: float, text: str, font: float) -> Box:
    """Box of ``text`` with its left middle at (x, y)."""
    return Box(x, y - 0.6 * font, x + len(text) * CHARACTER_WIDTH * font, y + 0.6 * font)


def place(
    points: Sequence[tuple[float, float]], texts: Sequence[str], frame: Box, font: float, avoid: Sequence[Box] = ()
) -> list[Box]:
    """A box for each point's label, the first ones best placed: near its point, inside, apart from points and labels.

    >>> one, two = place([(50, 50), (51, 50)], ["a", "b"], Box(0, 0, 100, 100), 10)
    >>> one.overlap(two)
    0.0
    """
    dots = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points] + list(avoid)
    placed: list[Box] = []
    for (x, y), text in zip(points, texts, strict=True):
        candidates = _beside(x, y, text, font) + _anywhere(x, y, text, font, frame)
        _, box = min(candidates, key=lambda found: _cost(found[0], found[1], frame, placed, dots))
        placed.append(box)
    return placed


def _cost(far: float, box: Box, frame: Box, placed: Sequence[Box], dots: Sequence[Box]) -> tuple[float, float]:
    """First of all a label must be legible; then it should be near and off the points."""
    illegible = box.outside(frame) + sum(box.overlap(other) for other in placed)
    return round(illegible, 6), far + 3 * sum(box.overlap(dot) for dot in dots)


def _beside(x: float, y: float, text: str, font: float) -> list[tuple[float, Box]]:
    """Boxes around a point with what each costs: farther costs more, the right side is dearest to readers."""
    width, found = text_box(0, 0, text, font).right, []
    for distance in (10.0, 18.0, 30.0, 44.0, 60.0, 80.0):
        for step, (across, down) in enumerate(
            ((1, 0), (0, -1), (-1, 0), (0, 1), (0.7, -0.7), (0.7, 0.7), (-0.7, -0.7), (-0.7, 0.7))
        ):
            left = x + across * distance + (0 if across > 0 else -width if across < 0 else -width / 2)
            found.append((distance + step, text_box(left, y + down * distance * 1.15, text, font)))
    return found


def _anywhere(x: float, y: float, text: str, font: float, frame: Box) -> list[tuple[float, Box]]:
    """Boxes all over the frame, for a point in a crowd."""
    width, height = text_box(0, 0, text, font).right, 1.2 * font
    rows = int((frame.bottom - frame.top) / height)
    found = []
    for row in range(rows):
        middle = frame.top + (row + 0.5) * height
        for left in (frame.left, x - width - 30, x + 30, frame.right - width):
            far = abs(left + width / 2 - x) + abs(middle - y)
            found.append((100 + far, text_box(left, middle, text, font)))
    return found
