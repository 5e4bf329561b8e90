"""The report as Markdown: the same words and tables, to paste into an issue or a card."""

import re
from collections.abc import Sequence
from typing import Any

from dqmq_deploy.report import tables
from dqmq_deploy.report.adaptivity.section import intro
from dqmq_deploy.report.adaptivity.sheets import as_tables
from dqmq_deploy.report.environment import machine_line
from dqmq_deploy.report.figures import band_names
from dqmq_deploy.report.numbers import percent
from dqmq_deploy.report.tables import Table


def markdown(report: dict[str, Any]) -> str:
    """The whole text."""
    facts = report["environment"]
    commit = f", commit {facts['commit']}" if facts["commit"] else ""
    parts = [
        f"# {_cell(report['bundle']['name'])}",
        f"{facts['date'][:10]}, {_cell(machine_line(facts))}{commit}",
        f"    {' '.join(report['command'].split())}",
        *(f"- {_cell(line)}" for line in report["summary"]),
        *(f"- {_cell(note)}" for note in report["notes"]),
    ]
    found = [
        tables.accuracy_and_cost(report),
        tables.accuracy_by_quality(report),
        _routes(report),
        tables.configurations(report),
        _bits(report),
    ]
    for threads in tables.all_threads(report):
        found += [tables.latency(report, threads), tables.ratios(report, threads)]
    found += [tables.overhead(report), tables.surroundings(report)]
    parts += [markdown_table(table) for table in found if table is not None]
    if report["adaptivity"] is not None:
        parts += adaptivity([report["adaptivity"]])
    return re.sub(r"\n\n(?=- )", "\n", "\n\n".join(parts)) + "\n"


def adaptivity(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Whether choosing pays, for one bundle or for several side by side: an introduction, tables and verdicts."""
    return [
        "# Does choosing pay?",
        _cell(intro(runs[0])),
        *(markdown_table(table) for table in as_tables(runs)),
        *(_cell(run["verdict"]) for run in runs),
    ]


def _routes(report: dict[str, Any]) -> Table | None:
    """The route figure as a table."""
    routes = report["routes"]
    if routes is None:
        return None
    names = [entry["name"] for entry in report["configurations"]]
    rows = [
        (name_of_band, *(percent(band["mix"][name]) for name in names), f"{band['images']:,}")
        for name_of_band, band in zip(band_names(routes["bands"]), routes["bands"], strict=True)
    ]
    rows.append(("all", *(percent(routes["mix"][name]) for name in names), f"{routes['images']:,}"))
    return Table("Share of each route by quality", ("quality", *names, "images"), tuple(rows))


def _bits(report: dict[str, Any]) -> Table:
    """The map of bits as a table."""
    entries = report["configurations"]
    rows = [
        (layer["name"], *(str(entry["bits"][layer["name"]]) for entry in entries))
        for layer in report["bundle"]["layers"]
    ]
    return Table("Bits per layer", ("layer", *(entry["name"] for entry in entries)), tuple(rows), measured=False)


def markdown_table(table: Table) -> str:
    """A table below its title, with its note."""
    lines = [
        "| " + " | ".join(_cell(column) for column in table.columns) + " |",
        "|" + "|".join([" --- "] + [" ---: "] * (len(table.columns) - 1)) + "|",
        *(
            "| " + " | ".join(f"**{_cell(cell)}**" if row[0] in table.strong else _cell(cell) for cell in row) + " |"
            for row in table.rows
        ),
    ]
    return f"## {table.title}\n\n" + "\n".join(lines) + (f"\n\n{_cell(table.note)}" if table.note else "")


def _cell(text: str) -> str:
    """Text that no reader of Markdown takes for markup."""
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
