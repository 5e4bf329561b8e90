"""The report as one HTML file: no script, nothing from the network, light or dark as the reader's system is."""

from importlib.resources import files
from typing import Any

from dqmq_deploy.report import figures, tables
from dqmq_deploy.report.adaptivity.section import section
from dqmq_deploy.report.environment import machine_line
from dqmq_deploy.report.markup import Markup, element
from dqmq_deploy.report.numbers import bitops, ms, percent, points, size
from dqmq_deploy.report.panels import figure, panel, scroll, source_of, words
from dqmq_deploy.report.summary import single_thread

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the browser may load: nothing."""


def html(report: dict[str, Any]) -> str:
    """The whole page."""
    style = Markup(files("dqmq_deploy.report").joinpath("style.css").read_text(encoding="utf-8"))
    name = report["bundle"]["name"]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{name}: what it does, measured"),
        element("style", style),
    )
    body = element("body", _header(report), element("main", _sections(report)), _footer(report))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _header(report: dict[str, Any]) -> Markup:
    facts, bundle = report["environment"], report["bundle"]
    return element(
        "header",
        element("h1", bundle["name"]),
        element("p", f"{facts['date'][:10]}, {machine_line(facts)}", class_="byline"),
        element("p", element("code", report["command"]), class_="byline"),
        _tiles(report),
    )


def _tiles(report: dict[str, Any]) -> Markup:
    """Four numbers to start from."""
    rows, table = single_thread(report), report["accuracy"]
    dearest = report["configurations"][-1]
    tiles: list[tuple[str, str]] = []
    if table is not None:
        ours = table["rows"][0]
        best = next(row for row in table["rows"] if row["name"] == table["best_static"])
        gap = ours["accuracy"] - best["accuracy"]
        tiles.append((percent(ours["accuracy"]), f"right, adaptive; {points(gap)} points to {best['name']} alone"))
        saved = 1 - ours["bitops"] / dearest["bitops"]
        tiles.append(
            (bitops(ours["bitops"]), f"BitOPs an image, {percent(saved, 0)} below {dearest['name']} (on paper)")
        )
    name = "adaptive" if "adaptive" in rows else dearest["name"]
    tiles.append((ms(rows[name]["mean_ms"], unit=True), f"{name}, mean of one image, one thread"))
    tiles.append((size(report["bundle"]["bytes"]), f"bundle, {len(report['configurations'])} configurations"))
    return element(
        "div",
        [element("div", element("b", number), element("span", words(said)), class_="tile") for number, said in tiles],
        class_="tiles",
    )


def _sections(report: dict[str, Any]) -> list[Markup]:
    source = source_of(report)
    parts = [
        element("h2", "In plain words"),
        element("ul", [element("li", words(line)) for line in report["summary"]], class_="words"),
    ]
    by_latency, by_bitops = figures.accuracy_latency(report), figures.accuracy_bitops(report)
    cost = tables.accuracy_and_cost(report)
    if by_latency is not None and by_bitops is not None and cost is not None:
        explained = "Bars are 95 % intervals; the line is the adaptive whole over the price."
        parts += [
            element("h2", "Accuracy and what it costs"),
            element(
                "div",
                figure(
                    "Accuracy against latency",
                    by_latency,
                    f"{explained} Its latencies are computed from how often each graph is run.",
                    source,
                ),
                figure("Accuracy against BitOPs", by_bitops, explained, source),
                class_="pair",
            ),
            panel(cost, source),
        ]
    if report["adaptivity"] is not None:
        parts += section(report["adaptivity"], source)
    routes, quality = figures.routes_by_quality(report), tables.accuracy_by_quality(report)
    if routes is not None:
        explained = "Bands of equally many images by quality, the estimator's highest p_right."
        panels = [
            figure("Share of each route by quality", [routes, figures.route_legend(report)], explained, source),
            panel(quality, source) if quality is not None else None,
        ]
        parts += [
            element("h2", "Quality"),
            element("div", panels, class_="pair uneven" if quality is not None else None),
        ]
    parts += [
        element("h2", "Precision"),
        element(
            "div",
            element(
                "section",
                element("h3", "Bits per layer"),
                scroll(figures.bits_map(report), "Bits per layer"),
                class_="panel",
            ),
            panel(tables.configurations(report), None),
            class_="pair",
        ),
        element("h2", "Time"),
    ]
    for threads in tables.all_threads(report):
        parts.append(panel(tables.latency(report, threads), source))
        ratios = tables.ratios(report, threads)
        if ratios is not None:
            parts.append(panel(ratios, source))
    parts.append(panel(tables.overhead(report), source))
    if report["notes"]:
        parts += [
            element("h2", "About the baselines"),
            element("ul", [element("li", words(note)) for note in report["notes"]], class_="words"),
        ]
    return parts


def _footer(report: dict[str, Any]) -> Markup:
    table = tables.surroundings(report)
    rows = [element("tr", element("th", name, scope="row"), element("td", value)) for name, value in table.rows]
    return element(
        "footer",
        element("h2", table.title, id="environment"),
        element("section", element("table", element("tbody", rows), class_="facts"), class_="panel"),
    )
