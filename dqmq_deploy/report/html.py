"""The report as one HTML file: no script, nothing from the network, light or dark as the reader's system is."""

import re
from importlib.resources import files
from typing import Any

from dqmq_deploy.report import figures, tables
from dqmq_deploy.report.environment import machine_line
from dqmq_deploy.report.markup import Markup, element, join
from dqmq_deploy.report.numbers import bitops, ms, percent, points, size
from dqmq_deploy.report.summary import single_thread
from dqmq_deploy.report.tables import Table

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
    tiles.append((ms(rows[name]["p50_ms"], unit=True), f"{name}, median of one image, one thread"))
    tiles.append((size(report["bundle"]["bytes"]), f"bundle, {len(report['configurations'])} configurations"))
    return element(
        "div",
        [element("div", element("b", number), element("span", _words(said)), class_="tile") for number, said in tiles],
        class_="tiles",
    )


def _sections(report: dict[str, Any]) -> list[Markup]:
    source = _source(report)
    parts = [
        element("h2", "In plain words"),
        element("ul", [element("li", _words(line)) for line in report["summary"]], class_="words"),
    ]
    by_latency, by_bitops = figures.accuracy_latency(report), figures.accuracy_bitops(report)
    cost = tables.accuracy_and_cost(report)
    if by_latency is not None and by_bitops is not None and cost is not None:
        explained = "Bars are 95 % intervals; the line is the adaptive whole over the price."
        parts += [
            element("h2", "Accuracy and what it costs"),
            element(
                "div",
                _figure(
                    "Accuracy against latency",
                    by_latency,
                    f"{explained} Its latencies are computed from its mix.",
                    source,
                ),
                _figure("Accuracy against BitOPs", by_bitops, explained, source),
                class_="pair",
            ),
            _panel(cost, source),
        ]
    routes, quality = figures.routes_by_quality(report), tables.accuracy_by_quality(report)
    if routes is not None:
        explained = "Bands of equally many images by quality, the estimator's highest p_right."
        panels = [
            _figure("Share of each route by quality", [routes, figures.route_legend(report)], explained, source),
            _panel(quality, source) if quality is not None else None,
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
                _scroll(figures.bits_map(report), "Bits per layer"),
                class_="panel",
            ),
            _panel(tables.configurations(report), None),
            class_="pair",
        ),
        element("h2", "Time"),
    ]
    for threads in tables.all_threads(report):
        parts.append(_panel(tables.latency(report, threads), source))
        ratios = tables.ratios(report, threads)
        if ratios is not None:
            parts.append(_panel(ratios, source))
    parts.append(_panel(tables.overhead(report), source))
    if report["notes"]:
        parts += [
            element("h2", "Left out"),
            element("ul", [element("li", _words(note)) for note in report["notes"]], class_="words"),
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


def _figure(title: str, drawing: object, explained: str, source: Markup) -> Markup:
    caption = element("figcaption", element("p", explained, class_="note"), source)
    return element("section", element("h3", title), element("figure", drawing, caption), class_="panel")


def _panel(table: Table, source: Markup | None) -> Markup:
    head = element("tr", [element("th", column, scope="col") for column in table.columns])
    rows = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            [element("td", cell) for cell in row[1:]],
            class_="strong" if row[0] in table.strong else None,
        )
        for row in table.rows
    ]
    drawn = element("table", element("thead", head), element("tbody", rows))
    return element(
        "section",
        element("h3", table.title),
        _scroll(drawn, table.title),
        element("p", table.note, class_="note") if table.note else None,
        source if table.measured else None,
        class_="panel",
    )


def _scroll(table: Markup, title: str) -> Markup:
    """Wide tables scroll inside their panel, by finger or by keyboard."""
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=title)


def _source(report: dict[str, Any]) -> Markup:
    """Machine, versions, command and commit under every measured number; in short until it is opened."""
    facts = report["environment"]
    versions = {"onnxruntime": facts["versions"].get("onnxruntime", "")}
    commit = f" Commit {facts['commit']}." if facts["commit"] else ""
    return element(
        "details",
        element("summary", machine_line({**facts, "versions": versions})),
        element("p", machine_line(facts), ". Python ", facts["python"], ".", commit, " Command: "),
        element("p", element("code", report["command"])),
        class_="source",
    )


def _words(line: str) -> Markup:
    """A sentence: options as code, a number and its unit never apart."""
    kept = re.sub(r"(?<=\d) (?=%|ms\b|points\b|[kMGT] )", "\u00a0", line)
    parts = re.split(r"(--[a-z][a-z-]*(?: [\w.-]*\w)?)", kept)
    return join([element("code", part) if part.startswith("--") else part for part in parts])
