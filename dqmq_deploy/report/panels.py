"""Parts of the HTML report that hold a figure or a table, with the words around it."""

import re
from typing import Any

from dqmq_deploy.report.environment import machine_line
from dqmq_deploy.report.markup import Markup, element, join
from dqmq_deploy.report.tables import Table


def figure(title: str, drawing: object, explained: str, source: Markup) -> Markup:
    """A drawing with what explains it, and where its numbers come from."""
    caption = element("figcaption", element("p", explained, class_="note"), source)
    return element("section", element("h3", title), element("figure", drawing, caption), class_="panel")


def panel(table: Table, source: Markup | None) -> Markup:
    """A table with its note."""
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
        scroll(drawn, table.title),
        element("p", table.note, class_="note") if table.note else None,
        source if table.measured else None,
        class_="panel",
    )


def scroll(table: Markup, title: str) -> Markup:
    """Wide tables scroll inside their panel, by finger or by keyboard."""
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=title)


def source_of(report: dict[str, Any]) -> Markup:
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


def words(line: str) -> Markup:
    """A sentence: options as code, a number and its unit never apart."""
    kept = re.sub(r"(?<=\d) (?=%|ms\b|points\b|[kMGT] )", "\u00a0", line)
    parts = re.split(r"(--[a-z][a-z-]*(?: [\w.-]*\w)?)", kept)
    return join([element("code", part) if part.startswith("--") else part for part in parts])
