"""The report's figures: accuracy against latency, accuracy against BitOPs, routes by quality, bits by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dqmq_deploy.report import svg
from dqmq_deploy.report.labels import Box, place
from dqmq_deploy.report.markup import Markup, element
from dqmq_deploy.report.numbers import bitops, ms, percent
from dqmq_deploy.report.summary import single_thread


@dataclass(frozen=True)
class Point:
    """A labelled point of a scatter plot; ``low`` and ``high`` are its 95 % interval."""

    name: str
    kind: str  # "adaptive" | "random" | "configuration" | "baseline"
    x: float
    y: float
    low: float
    high: float
    colour: str


MARKERS = {"adaptive": "diamond", "random": "cross", "configuration": "circle", "baseline": "square"}


def configuration_colour(index: int, count: int) -> str:
    """CSS colour of a configuration: a ramp from cheap to dear, defined in the style sheet for light and dark."""
    share = 0.0 if count == 1 else index / (count - 1)
    step = share * 3
    low = min(int(step), 2)
    part = round(100 * (step - low))
    if part in (0, 100):
        return f"var(--ramp-{low + part // 100})"
    return f"color-mix(in oklab, var(--ramp-{low + 1}) {part}%, var(--ramp-{low}))"


def accuracy_latency(report: dict[str, Any]) -> Markup | None:
    """Accuracy against the mean latency of one image on one thread: a median would leave out images that escalate."""
    if report["accuracy"] is None:
        return None
    rows = single_thread(report)
    latency = {name: row["mean_ms"] for name, row in rows.items()}
    graphs = [latency[entry["name"]] for entry in report["configurations"]]

    def in_graphs(runs: Sequence[float]) -> float:
        total: float = sum(share * each for share, each in zip(runs, graphs, strict=True))
        return total

    extra = latency["adaptive"] - in_graphs(report["accuracy"]["runs"])
    sweep = [(extra + in_graphs(point["runs"]), point["accuracy"]) for point in report["accuracy"]["sweep"]]
    found = _points(report, latency, latency["adaptive"])
    return _scatter("Accuracy against latency", "mean ms per image, one thread", found, sweep, "{:g}".format, ms)


def accuracy_bitops(report: dict[str, Any]) -> Markup | None:
    """Accuracy against mean BitOPs per image, with the adaptive whole's curve over the price."""
    if report["accuracy"] is None:
        return None
    cost = {row["name"]: row["bitops"] for row in report["accuracy"]["rows"] if row["bitops"] is not None}
    sweep = [(point["bitops"], point["accuracy"]) for point in report["accuracy"]["sweep"]]
    found = _points(report, cost, cost["adaptive"])
    return _scatter("Accuracy against BitOPs", "mean BitOPs per image", found, sweep, short_bitops, bitops)


def _points(report: dict[str, Any], x: dict[str, float], adaptive_x: float) -> list[Point]:
    table, names = report["accuracy"], [entry["name"] for entry in report["configurations"]]
    found = []
    for row in table["rows"]:
        if row["name"] not in x:
            continue
        colour = {"adaptive": "var(--accent)", "baseline": "var(--muted)"}.get(row["kind"])
        colour = colour or configuration_colour(names.index(row["name"]), len(names))
        found.append(Point(row["name"], row["kind"], x[row["name"]], row["accuracy"], row["low"], row["high"], colour))
    random = table["random"]
    found.insert(
        1,
        Point(
            "random routing", "random", adaptive_x, random["expected"], random["low"], random["high"], "var(--accent)"
        ),
    )
    return found


def _scatter(title: str, x_title: str, found: list[Point], sweep: list[Any], write: Any, write_long: Any) -> Markup:
    height = 310.0
    x_axis = svg.axis([point.x for point in found] + [x for x, _ in sweep], x_title, write, zero=True)
    heights = [value for point in found for value in (point.low, point.high)] + [y for _, y in sweep]
    y_axis = svg.axis(
        heights, "accuracy", lambda value: percent(value, 0 if _whole(heights) else 1), zero=False, most=1.0
    )
    frame = svg.Frame(x_axis, y_axis, Box(46, 30, svg.WIDTH - 8, height - 46))
    parts: list[object] = list(frame.draw())
    if len(sweep) > 1:
        parts.append(svg.polyline([frame.at(x, y) for x, y in sorted(sweep)], "sweep"))
    at = [frame.at(point.x, point.y) for point in found]
    bars = []
    for point, (x, _) in zip(found, at, strict=True):
        top, bottom = frame.at(point.x, point.high)[1], frame.at(point.x, point.low)[1]
        bars.append(Box(x - 1, top, x + 1, bottom))
        parts.append(svg.line(x, top, x, bottom, "bar", f"stroke:{point.colour}"))
    for point, (x, y) in zip(found, at, strict=True):
        said = f"{point.name}: {percent(point.y)} at {write_long(point.x)}"
        filled = point.kind in ("adaptive", "configuration")
        style = f"fill:{point.colour};stroke:var(--panel)" if filled else f"fill:none;stroke:{point.colour}"
        parts.append(svg.marker(MARKERS[point.kind], x, y, "point" if filled else "point hollow", style, said))
    bars += _along([frame.at(x, y) for x, y in sorted(sweep)])
    boxes = place(at, [point.name for point in found], frame.box, svg.FONT, bars)
    for point, (x, y), box in zip(found, at, boxes, strict=True):
        parts += _label(point, x, y, box)
    return svg.drawing(title, height, parts)


def _label(point: Point, x: float, y: float, box: Box) -> list[Markup]:
    """The label, and a thin line to its point where it lies farther off."""
    parts = []
    near_x, near_y = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    if (near_x - x) ** 2 + (near_y - y) ** 2 > 15**2:
        parts.append(svg.line(x, y, near_x, near_y, "leader"))
    class_ = "label strong" if point.kind == "adaptive" else "label"
    parts.append(svg.text((box.left + box.right) / 2, (box.top + box.bottom) / 2 + 4, point.name, class_, "middle"))
    return parts


def _along(line: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes along a line of several points, for labels to keep off."""
    found = []
    for (x1, y1), (x2, y2) in pairwise(line):
        steps = max(1, round(max(abs(x2 - x1), abs(y2 - y1)) / 6))
        for step in range(steps):
            x, y = x1 + (x2 - x1) * step / steps, y1 + (y2 - y1) * step / steps
            found.append(Box(x - 2, y - 2, x + 2, y + 2))
    return found


def short_bitops(value: float) -> str:
    """BitOPs as a tick: no more digits than there are.

    >>> short_bitops(0), short_bitops(5e8), short_bitops(1.5e9)
    ('0', '500 M', '1.5 G')
    """
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g} {prefix}"
    return f"{value:g}"


def _whole(values: list[float]) -> bool:
    return max(values) - min(values) > 0.06


def routes_by_quality(report: dict[str, Any]) -> Markup | None:
    """One bar for each quality band: the share of its images on each route."""
    routes = report["routes"]
    if routes is None:
        return None
    names = [entry["name"] for entry in report["configurations"]]
    bands = [*routes["bands"], {"mix": routes["mix"], "images": routes["images"]}]
    names_of_bands = [*band_names(routes["bands"]), "all images"]
    left, right, row, top = 108.0, svg.WIDTH - 4.0, 34.0, 6.0
    parts: list[object] = []
    for index, band in enumerate(bands):
        whole = index == len(bands) - 1
        y = top + index * row + (12 if whole else 0)
        parts.append(svg.text(left - 10, y + 17, names_of_bands[index], "tick", "end"))
        x = left
        for position, name in enumerate(names):
            width = band["mix"][name] * (right - left)
            if width <= 0:
                continue
            colour = configuration_colour(position, len(names))
            said = element("title", f"{name}: {percent(band['mix'][name])} of {band['images']:,} images")
            parts.append(
                element(
                    "rect",
                    said,
                    x=x,
                    y=float(y),
                    width=max(width - 1.5, 0.5),
                    height=25.0,
                    rx=2.0,
                    style=f"fill:{colour}",
                )
            )
            if width > 34:
                parts.append(svg.text(x + width / 2 - 0.75, y + 17, percent(band["mix"][name], 0), "on-bar", "middle"))
            x += width
    return svg.drawing("Share of each route by quality", top + len(bands) * row + 12, parts)


def band_names(bands: Sequence[dict[str, Any]]) -> list[str]:
    """Quality bands by their edges, with as many digits as tell the edges apart, up to four.

    >>> band_names([{"low": 0.1, "high": 0.991}, {"low": 0.991, "high": 0.993}])
    ['0.100 to 0.991', '0.991 to 0.993']
    """
    edges = [bands[0]["low"], *(band["high"] for band in bands)]
    digits = next((digits for digits in (2, 3) if len({f"{edge:.{digits}f}" for edge in edges}) == len(edges)), 4)
    return [f"{band['low']:.{digits}f} to {band['high']:.{digits}f}" for band in bands]


def route_legend(report: dict[str, Any]) -> Markup:
    """The configurations' colours."""
    names = [entry["name"] for entry in report["configurations"]]
    return element(
        "p",
        [
            element(
                "span",
                element("i", style=f"background:{configuration_colour(index, len(names))}"),
                name,
                class_="key",
            )
            for index, name in enumerate(names)
        ],
        class_="legend",
    )


def bits_map(report: dict[str, Any]) -> Markup:
    """Layers down, configurations across, the precision in each cell; a bar shows each layer's share of the MACs."""
    layers, configurations = report["bundle"]["layers"], report["configurations"]
    most = max(layer["macs"] for layer in layers)
    total = sum(layer["macs"] for layer in layers)
    head = element(
        "tr",
        element("th", "layer", scope="col"),
        element("th", "MACs", scope="col", class_="macs-cell"),
        [element("th", entry["name"], scope="col") for entry in configurations],
    )
    rows = [
        element(
            "tr",
            element("th", layer["name"], scope="row"),
            element(
                "td",
                element("i", class_="macs", style=f"width:{100 * layer['macs'] / most:.1f}%"),
                title=f"{percent(layer['macs'] / total)} of the MACs",
                class_="macs-cell",
            ),
            [
                element("td", entry["bits"][layer["name"]], class_=f"bits b{entry['bits'][layer['name']]}")
                for entry in configurations
            ],
        )
        for layer in layers
    ]
    foot = element(
        "tr",
        element("th", "mean, by MACs", scope="row"),
        element("td", class_="macs-cell"),
        [element("td", f"{entry['mean_bits']:.1f}") for entry in configurations],
    )
    return element("table", element("thead", head), element("tbody", rows), element("tfoot", foot), class_="bits-map")
