"""Tables of one run and of several."""

from copy import deepcopy
from typing import Any

from dqmq_deploy.report.adaptivity.sheets import as_tables
from dqmq_deploy.report.markdown import adaptivity as as_markdown
from dqmq_deploy.report.numbers import NOTHING
from dqmq_deploy.report.tables import Table
from tests.tiny_bundle import BITS


def titled(found: list[Table], title: str) -> dict[str, dict[str, str]]:
    """A table as ``{row: {column: cell}}``."""
    table = next(table for table in found if table.title == title)
    return {row[0]: dict(zip(table.columns[1:], row[1:], strict=True)) for row in table.rows}


def test_every_number_of_a_run_is_in_a_table(judged: dict[str, Any]) -> None:
    """Times, accuracies at equal time, differences with intervals, groups, kinds and severities."""
    found = as_tables([judged])
    assert titled(found, "Mean time of one image")["w4"] == {
        "with kernels, ms": "0.400",
        "stock onnxruntime, ms": "1.02",
        "stock over kernels": "2.55x",
    }
    at = titled(found, "Accuracy at equal mean time, with kernels")
    assert set(BITS) < set(at) and at["w8"]["time of w2"] == NOTHING
    gains = titled(found, "What 'router and escalation' gains at equal mean time, with kernels")
    assert "(" in gains["time of w4"]["to best mixture"]
    assert gains["mean over all times"]["to best configuration"] == NOTHING
    groups = titled(found, "Kinds seen in training, and others")
    assert groups["all images"]["images"] == "300"
    cells = titled(found, "By kind and severity")
    assert len(cells) == sum(row["severity"] > 0 for row in judged["grid"])
    assert any(name.startswith("rain* ") for name in cells)


def test_several_runs_are_told_by_mean_least_and_most(judged: dict[str, Any]) -> None:
    """Where all agree one number is enough; rows that a run lacks are left out."""
    other = deepcopy(judged)
    for row in other["groups"]:
        row["accuracy"]["w2"] = row["accuracy"]["w2"] - 0.02
    other["groups"] = other["groups"][:-1]
    groups = titled(as_tables([judged, other]), "Kinds seen in training, and others")
    most = judged["groups"][0]["accuracy"]["w2"]
    assert groups["all images"]["w2"] == f"{100 * most - 1:.2f} % ({100 * most - 2:.2f} % to {100 * most:.2f} %)"
    assert groups["all images"]["images"] == "300"
    assert len(groups) == len(judged["groups"]) - 1


def test_numbers_in_notes_are_those_of_all_runs(judged: dict[str, Any]) -> None:
    """The oracle and mean times stand below the table: over several runs by their mean, too."""
    other = deepcopy(judged)
    oracle = other["compared"]["kernels"]["oracle"]
    oracle["accuracy"] -= 0.02
    at = oracle["accuracy"] + 0.02
    note = next(table.note for table in as_tables([judged, other]) if table.title.endswith("time, with kernels"))
    assert f"reaches {100 * at - 1:.2f} % ({100 * at - 2:.2f} % to {100 * at:.2f} %) in " in note
    assert "time of w2 0.100 ms, " in note and note.startswith("Over 2 runs: mean (least to most). Mean times: ")


def test_markdown_carries_the_same_cells(judged: dict[str, Any]) -> None:
    """Every table, and each run's verdict."""
    text = "\n\n".join(as_markdown([judged]))
    for table in as_tables([judged]):
        assert f"## {table.title}" in text
        for row in table.rows:
            assert row[-1] in text
    assert judged["verdict"].split(":")[0] in text


def test_the_note_says_at_which_setting_the_whole_is_told(judged: dict[str, Any]) -> None:
    """Within the time of the best configuration, or beyond it where no setting is as fast."""
    other = deepcopy(judged)
    other["adaptive_ms"] = 2 * judged["compared"]["kernels"]["best_static_ms"]
    within, beyond = (
        next(table.note for table in as_tables([run]) if table.title.startswith("Kinds seen"))
        for run in (judged, other)
    )
    assert "slowest setting that is no slower" in within
    assert "fastest setting" in beyond and "slower than the best configuration, w8" in beyond
