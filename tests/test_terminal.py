"""Progress without a terminal: few lines, and never a missing end."""

import pytest

from dqmq_deploy.show import bits_at_a_glance, table
from dqmq_deploy.terminal import console, progress


def test_progress_in_a_log_tells_the_first_and_the_last_state_of_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand updates within a moment are two lines a stage, not a thousand."""
    with progress() as shown:
        for stage in ("reading", "running"):
            for i in range(1000):
                shown.tell(stage, (i + 1) / 1000, f"image {i}")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["reading", "reading", "running", "running"]
    assert "image 0" in lines[0] and "100 %" in lines[-1] and "image 999" in lines[-1]


def test_progress_in_a_log_goes_on_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the interval there is another line, with the time left."""
    now = iter(range(0, 1000, 5))
    monkeypatch.setattr("dqmq_deploy.terminal.time.monotonic", lambda: float(next(now)))
    with progress() as shown:
        for i in range(5):
            shown.tell("running", i / 8, "")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1] == "running  25 %, 30 s left"


def test_progress_without_a_known_end_tells_no_share(capsys: pytest.CaptureFixture[str]) -> None:
    """Watching a folder never ends."""
    with progress() as shown:
        shown.tell("watching", None, "12 images")
    assert capsys.readouterr().err == "watching  12 images\n"


def test_the_last_state_is_told_when_the_work_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """A log shows how far it got."""
    with pytest.raises(RuntimeError), progress() as shown:
        shown.tell("running", 0.0, "")
        shown.tell("running", 0.5, "half")
        raise RuntimeError
    assert "half" in capsys.readouterr().err


def test_bits_of_a_long_network_are_shown_as_runs() -> None:
    """53 digits in a row say nothing."""
    assert bits_at_a_glance([8, *[2] * 40, 4, 8]).plain == "8 2x40 4 8"


def test_a_table_in_a_pipe_keeps_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows can be searched line by line; a missing value is a dash."""
    console().print(table("Title", ("name", ">value"), [("a" * 60, 1), ("b" * 30, None)]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-1].split() == ["b" * 30, "-"]
