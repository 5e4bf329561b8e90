"""Markup, axes and labels."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from dqmq_deploy.report import svg
from dqmq_deploy.report.labels import Box, place
from dqmq_deploy.report.markup import Markup, element, join

FRAME = Box(0, 0, 360, 300)


class Reader(HTMLParser):
    """Collects what a browser would take for text and for tags."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags, self.values = "", list[str](), list[str | None]()

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Tags and the values of their attributes."""
        self.tags.append(tag)
        self.values += [value for _, value in attrs]


plain = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30)


@given(plain, plain)
def test_text_and_attributes_come_back_as_they_went_in(text: str, value: str) -> None:
    """Whatever stands in a name, a browser reads it as text."""
    reader = Reader()
    reader.feed(element("p", text, title=value))
    reader.close()
    assert (reader.text, reader.tags, reader.values) == (text, ["p"], [value])


def test_only_markup_passes_unescaped() -> None:
    """Elements nest; strings inside them do not become elements."""
    assert join(["<b>", Markup("<i>"), None, 3]) == "&lt;b&gt;<i>3"


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=8), st.booleans())
def test_an_axis_holds_its_values(values: list[float], zero: bool) -> None:
    """All values and all ticks lie on it, ticks rise, and there are some but not many."""
    axis = svg.axis(values, "x", str, zero=zero)
    assert axis.low <= min(values) and max(values) <= axis.high
    assert list(axis.ticks) == sorted(set(axis.ticks)) and len(axis.ticks) <= 6
    span = axis.high - axis.low
    assert all(axis.low - 1e-6 * span <= tick <= axis.high + 1e-6 * span for tick in axis.ticks)


coordinates = st.tuples(st.floats(20, 340), st.floats(20, 280))


@given(st.lists(coordinates, min_size=1, max_size=8), st.lists(st.sampled_from(["fp32", "openvino-int8", "c0"])))
def test_labels_do_not_cover_each_other(points: list[tuple[float, float]], names: list[str]) -> None:
    """However close eight points lie, their labels stay apart and inside."""
    texts = [names[index % len(names)] if names else "w8" for index in range(len(points))]
    boxes = place(points, texts, FRAME, 12)
    for index, box in enumerate(boxes):
        assert box.outside(FRAME) < 1e-6
        assert all(box.overlap(other) < 1e-6 for other in boxes[:index])
