"""The guard against tests that silently stop running."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.skip_guard import EXPECTED, read_patterns, unexpected

ROOT = Path(__file__).parent.parent

SKIPPING = """
import pytest

def test_runs():
    assert True

@pytest.mark.skip(reason="no such machine")
def test_skips():
    assert False
"""


def run_pytest(folder: Path, *, guarded: bool) -> subprocess.CompletedProcess[str]:
    """Run pytest on a folder as ``make test`` does, or without the guard."""
    guard = ["-p", "tests.skip_guard"] if guarded else []
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "no:cacheprovider", *guard, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_unexpected_skip_fails_the_run(tmp_path: Path) -> None:
    """A green run with one is red, and the test is named; without the guard it stays green."""
    (tmp_path / "test_one.py").write_text(SKIPPING)
    done = run_pytest(tmp_path, guarded=True)
    assert done.returncode == 1
    assert "SKIPPED WITHOUT LEAVE" in done.stdout and "test_skips" in done.stdout and "no such machine" in done.stdout
    assert run_pytest(tmp_path, guarded=False).returncode == 0


def test_a_file_skipped_as_a_whole_fails_the_run_too(tmp_path: Path) -> None:
    """``importorskip`` at the top of a file hides every test in it."""
    (tmp_path / "test_two.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    (tmp_path / "test_one.py").write_text("def test_runs():\n    assert True\n")
    assert run_pytest(tmp_path, guarded=True).returncode == 1


def test_a_listed_skip_is_expected() -> None:
    """Patterns are globs over test ids."""
    skipped = [("tests/a.py::test_x[3]", "why"), ("tests/b.py::test_y", "why")]
    assert unexpected(skipped, ["tests/a.py::test_x*"]) == skipped[1:]


def test_a_pattern_needs_a_reason() -> None:
    """A list of leave without reasons would grow for ever."""
    assert read_patterns("# comment\n\ntests/a.py::*  needs a GPU\n") == ["tests/a.py::*"]
    with pytest.raises(ValueError, match="give a reason"):
        read_patterns("tests/a.py::*\n")


def test_the_list_in_force_can_be_read() -> None:
    """Every line of it has a pattern and a reason."""
    read_patterns(EXPECTED.read_text())
