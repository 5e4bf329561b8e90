"""What the comparison of ways found, as tables and figures: one set of numbers for HTML, Markdown and the terminal."""

from typing import Any

from dqmq_deploy.report import svg
from dqmq_deploy.report.labels import Box
from dqmq_deploy.report.markup import Markup, element
from dqmq_deploy.report.numbers import NOTHING, ms, percent
from dqmq_deploy.report.tables import Table

DIFFERENCES = {
    "minus_best_static": "adaptive minus the best configuration, at its time",
    "gap_closed": "share of the gap from the best configuration to the oracle that is closed",
    "at_0.6_minus_slowest": "adaptive at 0.6 of the slowest's time, minus the slowest",
    "at_0.8_minus_slowest": "adaptive at 0.8 of the slowest's time, minus the slowest",
    "at_0.6_minus_pairs": "adaptive minus static pairs, at 0.6 of the slowest's time",
    "at_0.8_minus_pairs": "adaptive minus static pairs, at 0.8 of the slowest's time",
    "minus_random": "adaptive minus random choice of the same mix, half-way",
    "minus_pairs": "adaptive minus static pairs, half-way",
}
"""What the keys of the differences mean."""

COLOURS = {
    "static pairs": "var(--muted)",
    "router": "var(--ramp-1)",
    "escalation": "var(--ramp-3)",
    "escalation and estimator": "var(--accent)",
    "escalation, last word": "var(--ramp-2)",
    "random, same mix": "var(--ramp-0)",
}


def points2(share: float) -> str:
    """A difference in points, two digits, as accuracies near 97 % need them.

    >>> points2(0.0123), points2(-0.00001)
    ('+1.23', '+0.00')
    """
    return f"{round(100 * share, 2) + 0.0:+.2f}".replace("-", "\u2212")


def tables(part: dict[str, Any]) -> list[Table]:
    """Everything that was found, as text."""
    found = []
    for label, compared in part["compared"].items():
        on = "with our kernels" if label == "kernels" else "on stock onnxruntime"
        found += [_equal_time(compared, on, part["protocol"]), _differences(compared, on)]
    found.append(_groups(part))
    found.append(_grid(part))
    return found


def _equal_time(compared: dict[str, Any], on: str, protocol: str) -> Table:
    columns = compared["equal_time"]
    names = list(dict.fromkeys(row["name"] for column in columns for row in column["rows"]))
    reached = [{row["name"]: row for row in column["rows"]} for column in columns]
    rows = tuple(
        (name, *(percent(at[name]["accuracy"], 2) if name in at else NOTHING for at in reached)) for name in names
    )
    return Table(
        f"Accuracy within the same mean time, {on}",
        ("", *(f"{column['label']}: {ms(column['ms'], unit=True)}" for column in columns)),
        rows,
        f"{compared['images']:,} images in {compared['tracks']:,} tracks; {protocol}. Mean time of one image on one "
        "thread, everything counted: the estimator where it is asked, both graphs where an answer is not trusted, the "
        "dispatcher. Settings were calibrated on other images. The oracle knows which configuration is right.",
        strong=frozenset({compared["default"]}),
    )


def _differences(compared: dict[str, Any], on: str) -> Table:
    rows = tuple(
        (said, points2(found["difference"]), f"{points2(found['low'])} to {points2(found['high'])}")
        for key, said in DIFFERENCES.items()
        if (found := compared["differences"].get(key))
    )
    return Table(
        f"What adapting is worth, {on}",
        ("", "points", "95 % interval"),
        rows,
        f"Adaptive is '{compared['default']}', the best configuration {compared['best_static']}. Intervals by drawing "
        "whole tracks of images again, paired.",
    )


def _groups(part: dict[str, Any]) -> Table:
    names = list(part["groups"][0]["accuracy"])
    rows = tuple(
        (row["group"], f"{row['images']:,}", *(percent(row["accuracy"][name], 2) for name in names))
        for row in part["groups"]
    )
    return Table("Accuracy by quality of the images", ("", "images", *names), rows)


def _grid(part: dict[str, Any]) -> Table:
    names = list(part["groups"][0]["accuracy"])
    rows = tuple(
        (_kind(row), f"{row['images']:,}", *(percent(row["accuracy"][name]) for name in names)) for row in part["grid"]
    )
    return Table(
        "Accuracy by kind and severity",
        ("", "images", *names),
        rows,
        "Kinds with a star are not in training.",
    )


def _kind(row: dict[str, Any]) -> str:
    name = row["kind"].replace("_", " ") + (" *" if row["unseen"] else "")
    return f"{name}, {row['severity']}" if row["severity"] else name


def curves(compared: dict[str, Any]) -> Markup:
    """Accuracy over mean time: a line for each way, a point for each configuration."""
    lines = {name: [(p["ms"], p["accuracy"]) for p in points] for name, points in compared["curves"].items()}
    dots = [(row["name"], row["ms"], row["accuracy"]) for row in compared["statics"]]
    best = [(x, y) for _, x, y in dots] + [point for points in lines.values() for point in points]
    height = 330.0
    x_axis = svg.axis([x for x, _ in best], "mean ms per image, one thread", "{:g}".format, zero=True)
    y_axis = svg.axis([y for _, y in best], "accuracy", lambda value: percent(value, 1), zero=False, most=1.0)
    frame = svg.Frame(x_axis, y_axis, Box(50, 30, svg.WIDTH - 8, height - 46))
    parts: list[object] = list(frame.draw())
    for name, points in lines.items():
        colour = COLOURS.get(name, "var(--ink)")
        if len(points) > 1:
            drawn = svg.polyline([frame.at(x, y) for x, y in points], "way")
            parts.append(element("g", element("title", name), drawn, style=f"stroke:{colour}"))
        else:
            parts.append(svg.marker("cross", *frame.at(*points[0]), "point hollow", f"stroke:{colour}", name))
    for name, x, y in dots:
        said = f"{name}: {percent(y, 2)} at {ms(x, unit=True)}"
        parts.append(svg.marker("circle", *frame.at(x, y), "point", "fill:var(--ink);stroke:var(--panel)", said))
    return svg.drawing("Accuracy over mean time", height, parts)


def legend(compared: dict[str, Any]) -> Markup:
    """The lines' colours."""
    keys = [
        element("span", element("i", style=f"background:{COLOURS.get(name, 'var(--ink)')}"), name, class_="key")
        for name in compared["curves"]
    ]
    return element("p", keys, class_="legend")


def heat_map(part: dict[str, Any], way: str, against: str | None = None) -> Markup:
    """Kinds down, severities across: accuracy of ``way``, or its difference from ``against`` in points."""
    cells: dict[str, dict[int, dict[str, Any]]] = {}
    for row in part["grid"]:
        cells.setdefault(row["kind"], {})[row["severity"]] = row
    severities = sorted({row["severity"] for row in part["grid"]} - {0})
    head = element("tr", element("th", "", scope="col"), [element("th", level, scope="col") for level in severities])
    rows = [
        element(
            "tr",
            element("th", _kind({**next(iter(levels.values())), "severity": 0}), scope="row"),
            [_cell(levels.get(level), way, against) for level in severities],
        )
        for kind, levels in cells.items()
        if kind != "as it is"
    ]
    return element("table", element("thead", head), element("tbody", rows), class_="heat")


def _cell(row: dict[str, Any] | None, way: str, against: str | None) -> Markup:
    if row is None:
        return element("td", NOTHING)
    value = row["accuracy"][way]
    if against is None:
        shade = max(0, min(100, round((1 - value) * 250)))  # 60 % right is as dark as it gets
        style, said = f"background:color-mix(in oklab, var(--bad) {shade}%, transparent)", percent(value, 0)
    else:
        difference = value - row["accuracy"][against]
        colour = "var(--good)" if difference > 0 else "var(--bad)"
        shade = min(100, round(abs(difference) * 1000))  # ten points
        style, said = f"background:color-mix(in oklab, {colour} {shade}%, transparent)", points2(difference)
    return element("td", said, style=style, title=f"{row['images']:,} images")


def thumbnails(part: dict[str, Any]) -> list[Markup]:
    """The images that gain by choosing, and those that lose."""
    return [_gallery(title, part[key]) for title, key in (("Gained", "gained"), ("Lost", "lost")) if part[key]]


def _gallery(title: str, images: list[dict[str, Any]]) -> Markup:
    shown = [
        element(
            "figure",
            element("img", src=f"data:image/png;base64,{image['png']}", alt=image["truth"], width=64, height=64),
            element(
                "figcaption",
                element("b", image["truth"]),
                f" {image['kind'].replace('_', ' ')}{' ' + str(image['severity']) if image['severity'] else ''}",
                element("br"),
                f"alone {image['alone']}, adaptive {image['adaptive']}",
            ),
        )
        for image in images
    ]
    return element(
        "section", element("h3", f"{title} by adapting"), element("div", shown, class_="gallery"), class_="panel"
    )
