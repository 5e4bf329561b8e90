"""The whole report, on a real small bundle."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import BenchError, InputError
from dqmq_deploy.report.bench import BenchJob, bench
from dqmq_deploy.report.html import html
from dqmq_deploy.report.markdown import markdown
from dqmq_deploy.report.markup import VOID
from dqmq_deploy.report.save import save
from dqmq_deploy.report.summary import summary
from tests.report.conftest import HOSTILE
from tests.tiny_bundle import BITS

EVERYONE = ["estimator", *BITS, "fp32", "ort-int8", "openvino-int8", "adaptive"]


class Page(HTMLParser):
    """Checks that tags close in order; collects text, tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.text = list[str](), list[str](), list[tuple[str, str | None]](), ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an open tag."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the last one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect what is read."""
        if "style" not in self.open:
            self.text += data + "\n"


def numbers(value: object) -> Iterator[float]:
    """Every number of a report."""
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, float):
        yield value


def test_one_thread_is_always_measured_beside_those_asked_for(report: dict[str, Any]) -> None:
    """Every subject has a row for each number of threads, with all statistics and enough runs."""
    for threads in (1, 2):
        rows = {row["name"]: row for row in report["latency"] if row["threads"] == threads}
        assert list(rows) == EVERYONE
        for row in rows.values():
            assert 0 < row["min_ms"] <= row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
            assert row["n"] >= 15 and row["rounds"] >= 3 and row["images_per_s"] > 0
        assert set(rows["w8"]["ratios"]) == {"fp32", "ort-int8", "openvino-int8"}
        assert all(row["load_ms"] > 0 and row["first_ms"] > 0 for row in rows.values())


def test_accuracy_adds_up(report: dict[str, Any]) -> None:
    """The whole is the mean of its bands, the mix sums to one, the oracle bounds everyone, random is the mean."""
    table, routes = report["accuracy"], report["routes"]
    rows = {row["name"]: row for row in table["rows"]}
    static = np.array([rows[name]["accuracy"] for name in BITS])
    shares = np.array([routes["mix"][name] for name in BITS])
    held = [band["images"] for band in routes["bands"]]

    assert sum(held) == table["images"] == 90
    assert shares.sum() == pytest.approx(1.0)
    for row in rows.values():
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert np.average([band["accuracy"] for band in row["bands"]], weights=held) == pytest.approx(row["accuracy"])
    assert table["random"]["expected"] == pytest.approx(shares @ static)
    assert table["oracle"]["accuracy"] >= max(rows[name]["accuracy"] for name in ("adaptive", *BITS))
    assert rows[table["best_static"]]["accuracy"] == static.max()
    assert routes["bitops"] == pytest.approx(shares @ [entry["bitops"] for entry in report["configurations"]])


def test_choosing_by_quality_pays_where_quality_tells(report: dict[str, Any]) -> None:
    """The tiny bundle's estimator knows which configuration is right: random routing at its mix is worse."""
    assert report["accuracy"]["adaptive_minus_random"]["low"] > 0


def test_overhead_is_told_apart_for_single_images_and_batches(report: dict[str, Any]) -> None:
    """The parts make the whole, and the share is that of everything but the graph."""
    assert [row["batch"] for row in report["overhead"]] == [1, 4]
    for row in report["overhead"]:
        assert row["estimator_ms"] > 0 and row["graph_ms"] > 0 and row["dispatch_ms"] >= 0
        assert row["estimator_ms"] + row["dispatch_ms"] + row["graph_ms"] == pytest.approx(row["total_ms"])
        assert row["share"] == pytest.approx(1 - row["graph_ms"] / row["total_ms"])


def test_three_files_say_the_same(report: dict[str, Any], report_folder: Path) -> None:
    """JSON holds the report as returned; the other two name every subject and the sentences of the summary."""
    assert sorted(path.name for path in report_folder.iterdir()) == ["report.html", "report.json", "report.md"]
    assert json.loads((report_folder / "report.json").read_text()) == report
    assert all(math.isfinite(value) for value in numbers(report))
    text = Page((report_folder / "report.html").read_text()).text
    plain = (report_folder / "report.md").read_text()
    for name in EVERYONE:
        assert name in text and name in plain
    assert len(re.findall("^## ", plain, re.MULTILINE)) >= 10


def test_the_page_loads_nothing_and_runs_nothing(report: dict[str, Any]) -> None:
    """No script, no link, no address but the names of namespaces; hostile names are text."""
    page = Page(html(report))
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on") and name not in ("src", "href")
        assert name == "xmlns" or "//" not in (value or "")
    assert "url(" not in html(report) and "@import" not in html(report)
    assert HOSTILE in page.text


def test_the_page_fits_phones_and_both_schemes(report: dict[str, Any]) -> None:
    """It is laid out by the screen's width and follows the reader's light or dark."""
    text = html(report)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text
    assert text.count("<svg") == text.count('role="img"') == 3


def test_measured_numbers_say_machine_versions_and_command(report: dict[str, Any]) -> None:
    """Each measured table and figure carries its source."""
    page = Page(html(report))
    sources = page.tags.count("details")
    assert sources >= 3 + 2 + 2 * 2 + 1
    assert page.text.count(report["command"]) >= sources
    assert page.text.count(f"onnxruntime {report['environment']['versions']['onnxruntime']}") >= sources


def test_markdown_cells_cannot_break_their_table(report: dict[str, Any]) -> None:
    """Pipes, stars and angle brackets of names are escaped; all rows of a table have as many cells."""
    text = markdown(report)
    assert "<script>" not in text and "| *x*" not in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(counts) == 1


def test_the_summary_tells_when_bits_save_no_time(report: dict[str, Any]) -> None:
    """Equal times make BitOPs paper; unequal times are told as a factor."""
    assert "BitOPs are paper" in " ".join(summary(with_times(report, 0.30, 0.31)))
    slower = " ".join(summary(with_times(report, 0.1, 0.3)))
    assert "BitOPs are paper" not in slower and "3.00-fold" in slower


def test_the_summary_takes_no_chance_for_a_gain(report: dict[str, Any]) -> None:
    """An interval around zero is called no difference; one beside it is called better or worse."""
    for low, high, verdict in ((-0.01, 0.02, "no difference"), (0.01, 0.02, "better"), (-0.02, -0.01, "worse")):
        gap = {"difference": (low + high) / 2, "low": low, "high": high}
        changed = {**report, "accuracy": {**report["accuracy"], "adaptive_minus_best_static": gap}}
        assert verdict in summary(changed)[1]


def test_a_busy_machine_is_told(report: dict[str, Any]) -> None:
    """Times taken beside other work are not passed off as clean."""
    busy = {**report, "environment": {**report["environment"], "load_average": 9.0, "usable_cores": 2}}
    assert "busy (load 9 on 2 cores" in summary(busy)[-1]


def with_times(report: dict[str, Any], first: float, last: float) -> dict[str, Any]:
    """The report with other medians for its configurations."""
    times = dict(zip(BITS, np.linspace(first, last, len(BITS)).tolist(), strict=True))
    latency = [{**row, "p50_ms": times.get(row["name"], row["p50_ms"])} for row in report["latency"]]
    return {**report, "latency": latency}


def test_without_images_only_latency_is_measured_and_said(tiny_bundle: Bundle) -> None:
    """Random pixels give no accuracy and no routes; all three forms say so, and missing baselines too."""
    heard: list[tuple[str, float]] = []
    job = BenchJob(tiny_bundle.path, out=None, seconds=0.05, blocks=2, batch=2)
    report = bench(job, lambda stage, done: heard.append((stage, done)))

    assert report["accuracy"] is None and report["routes"] is None and report["pixels"] == "random"
    assert [row["name"] for row in report["latency"]] == ["estimator", *BITS]
    for text in (Page(html(report)).text, markdown(report)):
        assert "random pixels" in text and "with-baselines" in text
    assert {stage for stage, _ in heard} == {"timing, 1 thread"} and heard[-1][1] == pytest.approx(1.0)


def test_images_without_labels_give_routes_but_no_accuracy(tiny_bundle: Bundle, picture_folder: Path) -> None:
    """The route figure stays; the summary says why there is no accuracy."""
    job = BenchJob(tiny_bundle.path, picture_folder, labels="none", against=(), out=None, seconds=0.05, blocks=2)
    report = bench(job)
    page = html(report)

    assert report["accuracy"] is None and report["routes"]["images"] == 90
    assert "carry no labels" in " ".join(report["summary"])
    assert page.count("<svg") == 1
    Page(page)


def test_a_price_moves_the_mix(tiny_bundle: Bundle, picture_folder: Path) -> None:
    """At price 0 accuracy is all that counts; at a high price every image goes the cheapest way."""
    job = BenchJob(tiny_bundle.path, picture_folder, against=(), out=None, seconds=0.0, blocks=1, batch=2)
    free, dear = bench(replace(job, price=0.0)), bench(replace(job, price=100.0))

    assert dear["routes"]["mix"]["w2"] == 1.0
    assert free["routes"]["bitops"] > dear["routes"]["bitops"]
    assert free["accuracy"]["rows"][0]["accuracy"] > dear["accuracy"]["rows"][0]["accuracy"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threads": ()}, "--threads"),
        ({"threads": (0,)}, "--threads"),
        ({"batch": 0}, "batch from 1"),
        ({"seconds": math.nan}, "seconds from 0"),
        ({"labels": "folder"}, "--labels"),
        ({"copies": 2}, "--copies"),
        ({"price": -1.0}, "--price"),
        ({"price": math.inf}, "--price"),
    ],
)
def test_values_out_of_range_are_refused(tiny_bundle: Bundle, wrong: dict[str, Any], message: str) -> None:
    """Before anything is measured, in one line."""
    with pytest.raises(InputError, match=message):
        bench(replace(BenchJob(tiny_bundle.path, out=None), **wrong))


def test_a_report_that_cannot_be_written_says_where(report: dict[str, Any], tmp_path: Path) -> None:
    """A file where the folder should be is named; what was there stays."""
    (tmp_path / "report").write_text("mine")
    with pytest.raises(BenchError, match="report: cannot be written"):
        save(report, tmp_path / "report")
    assert (tmp_path / "report").read_text() == "mine"
