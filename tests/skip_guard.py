"""A pytest plugin: a test may be skipped only if ``expected_skips.txt`` lists it.

Loaded by ``make test`` with ``-p tests.skip_guard``. A plain ``pytest`` on a machine that lacks something skips as
usual.
"""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

EXPECTED = Path(__file__).with_name("expected_skips.txt")


def read_patterns(text: str) -> list[str]:
    """Patterns of the tests that may be skipped; blank lines and lines that start with ``#`` do not count.

    Raises:
        ValueError: a pattern has no reason beside it.
    """
    patterns = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, reason = line.partition("  ")
        if not reason.strip():
            raise ValueError(f"expected_skips.txt: give a reason, two spaces after the pattern: {line!r}")
        patterns.append(pattern.strip())
    return patterns


def unexpected(skipped: list[tuple[str, str]], patterns: list[str]) -> list[tuple[str, str]]:
    """Those of ``skipped``, pairs of test id and reason, that no pattern allows."""
    return [(test, why) for test, why in skipped if not any(fnmatchcase(test, pattern) for pattern in patterns)]


class SkipGuard:
    """Collects what was skipped and fails the run for what was not expected to be."""

    def __init__(self, patterns: list[str]) -> None:
        self.patterns = patterns
        self.skipped: list[tuple[str, str]] = []

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped.append((report.nodeid, reason))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test ran, or was skipped."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file was collected, or skipped as a whole."""
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn a green run with unexpected skips into a failed one."""
        if unexpected(self.skipped, self.patterns) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name every test that was skipped without leave."""
        for test, why in unexpected(self.skipped, self.patterns):
            terminalreporter.write_line(f"SKIPPED WITHOUT LEAVE {test}: {why}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Read the list and stand guard."""
    config.pluginmanager.register(SkipGuard(read_patterns(EXPECTED.read_text())), "skip-guard")
