"""The section of the HTML report, and the way there from the command line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dqmq_deploy.cli import app
from dqmq_deploy.report.adaptivity.plots import COLOURS, accuracy_time, best_static_map, difference_map
from dqmq_deploy.report.adaptivity.section import section
from dqmq_deploy.report.markup import Markup, element
from tests.report.test_bench import Page


@pytest.fixture(scope="module")
def page(judged: dict[str, Any]) -> Page:
    """The section alone."""
    return Page(element("main", section(judged, Markup("<details>source</details>"))))


def test_the_section_ends_in_the_verdict(page: Page, judged: dict[str, Any]) -> None:
    """After figures, heat maps, pictures and every table."""
    said = " ".join(page.text.split())
    assert said.endswith(judged["verdict"])
    assert page.tags.count("svg") == 2
    assert page.tags.count("img") == sum(len(judged[key]["shown"]) for key in ("gained", "lost")) > 0


def test_pictures_are_in_the_page_itself(page: Page) -> None:
    """Nothing is loaded, nothing runs."""
    assert "script" not in page.tags
    sources = [value for name, value in page.attributes if name in ("src", "href")]
    assert sources and all(str(value).startswith("data:image/png;base64,") for value in sources)


def test_every_way_has_its_line_and_its_key(judged: dict[str, Any]) -> None:
    """All that are compared, in colours of the style sheet; the bundle's own way is the strong one."""
    compared = judged["compared"]["kernels"]
    drawing, legend = accuracy_time(compared)
    assert set(compared["curves"]) == set(COLOURS)
    assert len(re.findall("<polyline", drawing)) + drawing.count("hollow") - 1 == len(COLOURS)
    assert drawing.count("strong-way") == 1
    assert all(name in legend for name in COLOURS) and "router and escalation (this bundle" in legend


def test_heat_maps_hold_the_grid(judged: dict[str, Any]) -> None:
    """A row for each kind, a cell for each severity; images as they are have no severity."""
    for drawn in (best_static_map(judged, "w8"), difference_map(judged, "w8")):
        parsed = Page(drawn)
        kinds = len({row["kind"] for row in judged["grid"]})
        assert parsed.tags.count("tr") == 1 + kinds
        assert parsed.tags.count("td") == 6 * kinds
        assert sum(name == "title" for name, _ in parsed.attributes) == len(judged["grid"])


def test_bench_asks_whether_choosing_pays(tiny_bundle_path: Path, track_folder: Path, tmp_path: Path) -> None:
    """All three files and the terminal say the same."""
    command = ["bench", str(tiny_bundle_path), "--images", str(track_folder), "--labels", "folders", "--against", ""]
    options = ["--adaptivity", "--degrade", "mixed", "--seconds", "0.05", "-o", str(tmp_path)]
    done = CliRunner().invoke(app, [*command, *options], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    verdict = report["adaptivity"]["verdict"]
    assert report["summary"][0] == f"{verdict} Half of the images were degraded for that."
    assert verdict in " ".join(done.output.split()) and "By kind and severity" in done.output
    assert "Does choosing pay?" in (tmp_path / "report.html").read_text()
    assert "# Does choosing pay?" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--adaptivity"], "add --images DIR"),
        (["--degrade", "mixed"], "only --adaptivity degrades"),
        (["--degrade", "all", "--adaptivity"], "expected none, mixed, foreign"),
    ],
)
def test_what_cannot_be_asked_is_said(tiny_bundle_path: Path, options: list[str], message: str) -> None:
    """Before anything is measured."""
    done = CliRunner().invoke(app, ["bench", str(tiny_bundle_path), *options])
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
