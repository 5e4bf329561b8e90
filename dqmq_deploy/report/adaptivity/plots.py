"""The figures of what was found: accuracy over mean time, heat maps by kind and severity, images gained and lost."""

from collections.abc import Callable
from typing import Any

from dqmq_deploy.degradations.kinds import SEVERITIES
from dqmq_deploy.report import svg
from dqmq_deploy.report.adaptivity.sheets import share
from dqmq_deploy.report.figures import configuration_colour
from dqmq_deploy.report.labels import Box, place
from dqmq_deploy.report.markup import Markup, element
from dqmq_deploy.report.numbers import digits3, ms, percent, points

HEIGHT = 330.0

STRONGEST = 45
"""Percent of colour in the strongest cell of a heat map: text stays readable on it, light or dark."""

COLOURS = {
    "best mixture of two": "var(--muted)",
    "random, same mix": "var(--muted)",
    "router": "var(--ramp-0)",
    "escalation": "var(--ramp-1)",
    "router and escalation": "var(--accent)",
}
DASHES = {"random, same mix": "2 4"}


def accuracy_time(compared: dict[str, Any]) -> list[Markup]:
    """Every way as a line over mean time, every configuration and the oracle as a point; and the legend."""
    statics, oracle, curves = compared["statics"], compared["oracle"], compared["curves"]
    every = [(row["ms"], row["accuracy"]) for row in [*statics, oracle]]
    every += [(point["ms"], point["accuracy"]) for curve in curves.values() for point in curve]
    x_axis = svg.axis([x for x, _ in every], "mean ms of an image, one thread", "{:g}".format, zero=True)
    heights = [y for _, y in every]
    digits = 0 if max(heights) - min(heights) > 0.06 else 1
    y_axis = svg.axis(heights, "accuracy", lambda value: percent(value, digits), zero=False, most=1.0)
    frame = svg.Frame(x_axis, y_axis, Box(46, 30, svg.WIDTH - 8, HEIGHT - 46))
    parts: list[object] = list(frame.draw())
    for name, curve in curves.items():
        style = f"stroke:{COLOURS[name]};stroke-dasharray:{DASHES.get(name, 'none')}"
        strong = "way strong-way" if name == compared["default"] else "way"
        points = [frame.at(point["ms"], point["accuracy"]) for point in curve]
        if len(points) > 1:
            parts.append(svg.polyline(points, strong, style))
        else:
            parts.append(svg.marker("cross", *points[0], "point hollow", f"fill:none;{style}", name))
    at = [frame.at(row["ms"], row["accuracy"]) for row in statics]
    for index, (row, (x, y)) in enumerate(zip(statics, at, strict=True)):
        colour = configuration_colour(index, len(statics))
        top, bottom = frame.at(row["ms"], row["high"])[1], frame.at(row["ms"], row["low"])[1]
        said = f"{row['name']}: {share(row['accuracy'])} in {digits3(row['ms'])} ms"
        parts.append(svg.line(x, max(top, frame.box.top), x, min(bottom, frame.box.bottom), "bar", f"stroke:{colour}"))
        parts.append(svg.marker("circle", x, y, "point", f"fill:{colour};stroke:var(--panel)", said))
    best = frame.at(oracle["ms"], oracle["accuracy"])
    said = f"oracle: {share(oracle['accuracy'])} in {ms(oracle['ms'], unit=True)}"
    parts.append(svg.marker("square", *best, "point hollow", "fill:none;stroke:var(--muted)", said))
    names = [*(row["name"] for row in statics), "oracle"]
    for name, box in zip(names, place([*at, best], names, frame.box, svg.FONT, []), strict=True):
        parts.append(svg.text((box.left + box.right) / 2, (box.top + box.bottom) / 2 + 4, name, "label", "middle"))
    return [svg.drawing("Accuracy against mean time", HEIGHT, parts), _legend(compared)]


def _legend(compared: dict[str, Any]) -> Markup:
    keys = []
    for name in compared["curves"]:
        dash = "dashed" if name in DASHES else "solid"
        bar = element("i", class_="stroke", style=f"border-top:3px {dash} {COLOURS[name]}")
        known = f"{name} (this bundle's own way)" if name == compared["default"] else name
        keys.append(element("span", bar, known, class_="key"))
    return element("p", keys, class_="legend")


def best_static_map(run: dict[str, Any], name: str) -> Markup:
    """The accuracy of one configuration, by kind and severity; the more it errs the stronger the colour."""
    worst = max((1 - row["accuracy"][name] for row in run["grid"]), default=0.0)
    return _map(
        run,
        lambda row: row["accuracy"][name],
        lambda value: f"{100 * value:.0f}",
        lambda value: ("var(--bad)", (1 - value) / max(worst, 1e-9)),
    )


def difference_map(run: dict[str, Any], name: str) -> Markup:
    """Adaptive minus one configuration, in points, by kind and severity."""
    most = max((abs(row["accuracy"]["adaptive"] - row["accuracy"][name]) for row in run["grid"]), default=0.0)
    return _map(
        run,
        lambda row: row["accuracy"]["adaptive"] - row["accuracy"][name],
        points,
        lambda value: ("var(--good)" if value > 0 else "var(--bad)", abs(value) / max(most, 1e-9)),
    )


def _map(
    run: dict[str, Any],
    value_of: Callable[[dict[str, Any]], float],
    write: Callable[[float], str],
    colour_of: Callable[[float], tuple[str, float]],
) -> Markup:
    cells = {(row["kind"], row["severity"]): row for row in run["grid"]}
    kinds = list(dict.fromkeys(row["kind"] for row in run["grid"]))

    def cell(kind: str, severity: int) -> Markup:
        row = cells.get((kind, severity))
        if row is None:
            return element("td")
        value = value_of(row)
        colour, strength = colour_of(value)
        style = f"background:color-mix(in oklab, {colour} {STRONGEST * min(1.0, strength):.0f}%, var(--panel))"
        return element("td", write(value), style=style, title=f"{row['images']:,} images")

    head = element(
        "tr",
        element("th", "kind", scope="col"),
        [element("th", str(severity), scope="col") for severity in SEVERITIES],
        element("th", "all", scope="col"),
    )
    rows = [
        element(
            "tr",
            element("th", kind.replace("_", " ") + ("*" if cells[kind, 0]["unseen"] else ""), scope="row"),
            [cell(kind, severity) for severity in (*SEVERITIES, 0)],
        )
        for kind in kinds
    ]
    return element("table", element("thead", head), element("tbody", rows), class_="heat")


def gallery(found: dict[str, Any]) -> Markup:
    """Images with what they show and what was answered."""
    return element(
        "div",
        [
            element(
                "figure",
                element("img", src=shown["png"], alt=f"{shown['label']}, {_spoilt(shown)}", width=64, loading="lazy"),
                element(
                    "figcaption",
                    element("b", shown["label"]),
                    element("br"),
                    f"best: {shown['best_static']}",
                    element("br"),
                    f"adaptive: {shown['adaptive']}",
                    element("br"),
                    _spoilt(shown),
                ),
            )
            for shown in found["shown"]
        ],
        class_="gallery",
    )


def _spoilt(shown: dict[str, Any]) -> str:
    kind = str(shown["kind"]).replace("_", " ")
    return f"{kind} {shown['severity']}" if shown["severity"] else kind
