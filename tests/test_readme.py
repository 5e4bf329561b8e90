"""The README is a promise: what it shows runs, what it names exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.demo import CHECKPOINT, write_images
from dqmq_deploy.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PACKAGE = ROOT / "dqmq_deploy"


def section(title: str) -> str:
    """The README's text from a heading to the next."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``make demo`` leaves it: the exported bundle and the images."""
    folder = tmp_path_factory.mktemp("readme")
    write_images(folder / "demo" / "images")
    bundle = folder / "demo" / "resnet8-digits.dqmq"
    done = CliRunner().invoke(app, ["export", str(ROOT / CHECKPOINT), "-o", str(bundle)])
    assert done.exit_code == 0, done.output
    return folder


def test_the_python_example_runs(demo_folder: Path) -> None:
    """In a fresh interpreter, in a folder as the demo leaves it; both images are recognised."""
    (code,) = re.findall(r"```python\n(.*?)```", section("From Python"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=demo_folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("3 ") and second == "['3', '7']"


def test_the_command_table_names_only_options_that_exist() -> None:
    """And every command has its row."""
    rows = dict(re.findall(r"^\| `dqmq-deploy (\w+)([^|\n]*(?:\|[^|\n]*)*)\|$", section("Command line"), re.MULTILINE))
    assert list(rows) == ["train", "export", "serve", "bench", "inspect", "doctor"]
    for command, row in rows.items():
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row):
            assert option in text, f"{command} has no {option}"


def test_the_file_map_lists_every_file_once() -> None:
    """A newcomer can trust it; no file comes or goes without a word here."""
    named = re.findall(r"^\| `([\w./-]+\.py)` \|", section("File map"), re.MULTILINE)
    files = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    files += [path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks").glob("*.py")]
    assert sorted(named) == sorted(files)


def test_links_lead_somewhere() -> None:
    """Relative ones, to files of the repository."""
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_ci_runs_what_the_readme_says() -> None:
    """One command, for people and for machines."""
    assert "make test" in section("Try it")
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
