"""The command line as a user or a script meets it: real commands, exit codes, and what lands on which stream."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dqmq_deploy.cli import app
from tests.tiny_bundle import CLASSES

COMMANDS = ("train", "export", "serve", "bench", "inspect", "doctor")


def run(*words: object) -> Result:
    """Run ``dqmq-deploy`` with these words in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def start(*words: object, **options: object) -> subprocess.Popen[str]:
    """Run ``dqmq-deploy`` with these words as a process of its own."""
    command = [sys.executable, "-m", "dqmq_deploy.cli", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(command, **pipes)  # type: ignore[call-overload, no-any-return]


def error_line(result: Result) -> str:
    """The one line that a failed command leaves on standard error."""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


def test_every_command_explains_itself() -> None:
    """Each takes --json and --debug, and each option has a word of explanation."""
    assert all(command in run("--help").stdout for command in COMMANDS)
    for command in COMMANDS:
        text = run(command, "--help").stdout
        assert "--json" in text and "--debug" in text


def test_help_is_quick() -> None:
    """Under 0.4 s of processor time, which is what it takes on a machine that does nothing else; the best of five."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times = []
    for _ in range(5):
        before = spent()
        subprocess.run([sys.executable, "-m", "dqmq_deploy.cli", "--help"], capture_output=True, check=True)
        times.append(spent() - before)
    assert min(times) < 0.4


def test_a_usage_error_is_exit_code_2() -> None:
    """Unknown options and commands, as typer reports them."""
    assert run("serve", "--no-such-option").exit_code == 2
    assert run("no-such-command").exit_code == 2
    assert run("inspect").exit_code == 2


def test_wrong_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """No traceback; the line names what came and what was expected."""
    result = run("inspect", tmp_path / "nothing")
    assert result.exit_code == 2
    assert "expected a checkpoint file or a bundle folder" in error_line(result)


def test_debug_shows_the_traceback_beside_the_line(tmp_path: Path) -> None:
    """For whoever has to find the cause."""
    result = run("inspect", tmp_path / "nothing", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr and result.stderr.strip().splitlines()[-1].startswith("error: ")


def test_a_bug_is_one_line_that_points_to_debug_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what nobody thought of does not spill a traceback on a user."""
    monkeypatch.setattr("dqmq_deploy.describe.describe", lambda path: 1 // 0)
    result = run("inspect", "anything")
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError" in error_line(result) and "--debug" in error_line(result)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a serving machine there is no torch: say what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith(("dqmq_deploy.train", "dqmq_deploy.quant"))]:
        monkeypatch.delitem(sys.modules, name)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.touch()
    result = run("inspect", checkpoint)
    assert result.exit_code == 1
    assert "dqmq-deploy[train]" in error_line(result)


TINY_RECIPE = """
name = "tiny"
net = { name = "resnet8", arguments = { width = 4 } }
data = { height = 16, width = 16, held_out = 0.4 }
train = { batch_size = 16, float_epochs = 1, epochs = 1, bf16 = false, fuse = false, threads = 1 }
policy = { images = 4 }
compile = { configurations = 2, images = 16, steps = 0 }
estimator = { copies = 1, training_images = 32, epochs = 1, calibration_images = 8 }
"""


def test_train_writes_a_checkpoint_and_shows_it(picture_folder: Path, tmp_path: Path) -> None:
    """A line an epoch on standard error, the table on standard output; a finished run cannot be resumed."""
    recipe, checkpoint = tmp_path / "recipe.toml", tmp_path / "checkpoint.pt"
    recipe.write_text(TINY_RECIPE)
    words = ("train", recipe, "--data", picture_folder, "-o", checkpoint, "--set", "seed=3")
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    assert "epoch 1/2: " in result.stderr and "8 bits" in result.stderr and "trained in" in result.stderr
    assert "3 classes: blue, green, red" in result.stdout and "seed 3" in result.stdout
    found = json.loads(run("inspect", checkpoint, "--json").stdout)
    assert found["kind"] == "checkpoint" and found["finished"]
    assert all(set(entry["bits"].values()) <= {2, 4, 8} for entry in found["configurations"])
    again = run(*words, "--resume")
    assert again.exit_code == 2
    assert "finished" in error_line(again)


def test_from_training_to_results_with_a_shrunk_picture(picture_folder: Path, tmp_path: Path) -> None:
    """However little the network is worth: the bundle says what each configuration sees, and serves both ways."""
    recipe, checkpoint, bundle = tmp_path / "recipe.toml", tmp_path / "checkpoint.pt", tmp_path / "tiny.dqmq"
    recipe.write_text(TINY_RECIPE)
    train = ("train", recipe, "--data", picture_folder, "-o", checkpoint, "--set", "data.shrinks=[1, 2]")
    result = run(*train)
    assert result.exit_code == 0, result.stderr
    assert re.search(r" 8x8 ", result.stdout) and re.search(r" 16x16 ", result.stdout)
    result = run("export", checkpoint, "-o", bundle)
    assert result.exit_code == 0, result.stderr
    found = json.loads(run("inspect", bundle, "--json").stdout)
    assert {entry["shrink"] for entry in found["configurations"]} == {1, 2}
    assert [f"note: {note}\n" for note in found["notes"]] == result.stderr.splitlines(keepends=True)
    costs = [entry["cost"] for entry in found["configurations"]]
    assert costs == sorted(costs) and costs[-1] == 1
    for policy in ("--escalate", "--no-escalate"):
        output = tmp_path / f"results{policy}.jsonl"
        words = ("serve", "--images", picture_folder, "--bundle", bundle, "-o", output, policy, "--json")
        summary = json.loads(run(*words).stdout)
        assert (summary["images"], summary["errors"]) == (90, 0)
        assert summary["policy"] == {"--escalate": "escalate", "--no-escalate": "route"}[policy]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--set", "train.epoch=3"), "did you mean 'epochs'"),
        (("--device", "gpu"), "expected one of auto, cpu, cuda, got 'gpu'"),
    ],
)
def test_train_refuses_what_it_does_not_know(
    words: tuple[str, str], complaint: str, picture_folder: Path, tmp_path: Path
) -> None:
    """A misspelt setting or device is refused before any work."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(TINY_RECIPE)
    result = run("train", recipe, "--data", picture_folder, "-o", tmp_path / "c.pt", *words)
    assert result.exit_code == 2
    assert complaint in error_line(result)


def test_inspect_shows_a_bundle(tiny_bundle_path: Path) -> None:
    """Classes, configurations with bits at a glance, what a price buys."""
    text = run("inspect", tiny_bundle_path).stdout
    assert "3 classes: red, green, blue" in text
    assert re.search(r"w2 +828 ", text) and re.search(r"w8 +888 ", text)
    assert "What a price buys: escalate" in text and "22 % after w2" in text
    assert "What a price buys: route, the default; default price 0.2000" in text
    assert "16x12" in text


def test_inspect_as_json_is_the_manifest_and_more(tiny_bundle_path: Path) -> None:
    """Machines get what people see, unrounded."""
    found = json.loads(run("inspect", tiny_bundle_path, "--json").stdout)
    manifest = json.loads((tiny_bundle_path / "manifest.json").read_text())
    assert found["kind"] == "bundle"
    assert found["classes"] == manifest["classes"]
    assert found["bytes"] == sum(path.stat().st_size for path in tiny_bundle_path.rglob("*") if path.is_file())


def test_serve_writes_one_record_an_image_in_order(
    tiny_bundle_path: Path, picture_folder: Path, tmp_path: Path
) -> None:
    """The main job: results to a file, a summary to standard output, progress to standard error."""
    output = tmp_path / "results.jsonl"
    result = run("serve", "--images", picture_folder, "--bundle", tiny_bundle_path, "--labels", "folders", "-o", output)
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in output.read_text().splitlines()]
    names = sorted(path.relative_to(picture_folder).as_posix() for path in picture_folder.rglob("*.png"))
    assert [record["image"] for record in records] == names
    assert "By route" in result.stdout and "right on" in result.stdout
    assert "90/90 images" in result.stderr and "90/90 images" not in result.stdout


def test_serve_as_json_prints_one_document(tiny_bundle_path: Path, picture_folder: Path, tmp_path: Path) -> None:
    """Nothing else on standard output."""
    words = (
        "serve",
        "--images",
        picture_folder,
        "--bundle",
        tiny_bundle_path,
        "-o",
        tmp_path / "results.csv",
        "--json",
    )
    summary = json.loads(run(*words).stdout)
    assert summary["images"] == 90 and summary["errors"] == 0
    assert sum(group["images"] for group in summary["by_route"]) == 90


def test_serve_escalates_when_told(tiny_bundle_path: Path, picture_folder: Path, tmp_path: Path) -> None:
    """The summary says how many were seen twice."""
    output = tmp_path / "results.jsonl"
    words = ("serve", "--images", picture_folder, "--bundle", tiny_bundle_path, "-o", output)
    result = run(*words, "--escalate", "--price", "0")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"\d % escalated: a second configuration", result.stdout)
    assert "escalate, price 0" in result.stdout and "By quality" not in result.stdout
    routed = run(*words, "--no-escalate", "--json")
    assert json.loads(routed.stdout)["policy"] == "route"


def test_serve_finds_the_only_bundle_here(
    tiny_bundle_path: Path, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --bundle: $DQMQ_BUNDLE, else the one in the current folder, else an error that says how to name one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DQMQ_BUNDLE", raising=False)
    assert "--bundle" in error_line(run("serve", "--images", picture_folder))
    (tmp_path / "here.dqmq").symlink_to(tiny_bundle_path)
    assert run("serve", "--images", picture_folder).exit_code == 0
    monkeypatch.setenv("DQMQ_BUNDLE", str(tmp_path / "elsewhere.dqmq"))
    assert "elsewhere.dqmq" in error_line(run("serve", "--images", picture_folder))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--price", "-1"), "price of at least 0"),
        (("--price", "1", "--config", "w2"), "at most one of"),
        (("--escalate", "--config", "w2"), "leave out escalate"),
        (("--config", "w5"), "w2, w3, w4, w8"),
        (("--min-accuracy", "1.5"), "this bundle offers"),
        (("--max-latency-ms", "0"), "on this machine"),
        (("-o", "results.txt"), ".jsonl, .csv, .parquet"),
    ],
)
def test_serve_says_what_is_wrong_with_an_option(
    words: tuple[str, ...], said: str, tiny_bundle_path: Path, picture_folder: Path, tmp_path: Path
) -> None:
    """One line each, exit code 2."""
    where = () if "-o" in words else ("-o", tmp_path / "results.jsonl")
    result = run("serve", "--images", picture_folder, "--bundle", tiny_bundle_path, *where, *words)
    assert result.exit_code == 2
    assert said in error_line(result)


def test_serve_refuses_an_empty_folder(tiny_bundle_path: Path, tmp_path: Path) -> None:
    """Nothing to do is more likely a wrong path than a wish."""
    (tmp_path / "empty").mkdir()
    result = run("serve", "--images", tmp_path / "empty", "--bundle", tiny_bundle_path, "-o", tmp_path / "r.jsonl")
    assert result.exit_code == 2
    assert "no images" in error_line(result)


def test_ctrl_c_ends_with_whole_records_and_130(tiny_bundle_path: Path, picture_folder: Path, tmp_path: Path) -> None:
    """A watching run has no other end, so it ends with 0; any command that is interrupted before its end with 130."""
    output = tmp_path / "results.jsonl"
    words = ("serve", "--images", picture_folder, "--bundle", tiny_bundle_path, "-o", output, "--watch")
    process = start(*words)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (output.exists() and output.read_text().count("\n") == 90):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "90 images" in out and "Traceback" not in err
    assert len([json.loads(line) for line in output.read_text().splitlines()]) == 90


def test_an_interrupted_command_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """As shells have it, and without a traceback."""

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dqmq_deploy.describe.describe", interrupted)
    result = run("inspect", "anything")
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(tiny_bundle_path: Path) -> None:
    """``dqmq-deploy inspect ... | head -1`` prints no error."""
    reading, writing = os.pipe()
    os.close(reading)
    process = start("inspect", tiny_bundle_path, "--json", stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=30)
    assert err == ""
    assert process.returncode == 1


def test_bench_writes_the_report_and_says_where(tiny_bundle_path: Path, picture_folder: Path, tmp_path: Path) -> None:
    """All three files; the page is named at the end."""
    out = tmp_path / "report"
    result = run("bench", tiny_bundle_path, "--images", picture_folder, "--seconds", "0.3", "-o", out)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in out.iterdir()} >= {"report.html", "report.json", "report.md"}
    assert str(out / "report.html") in result.stdout
    assert "Accuracy and cost" in result.stdout


def test_bench_refuses_threads_that_are_no_numbers(tiny_bundle_path: Path) -> None:
    """The line shows how to write them."""
    result = run("bench", tiny_bundle_path, "--threads", "one")
    assert result.exit_code == 2
    assert "such as 1,2" in error_line(result)


def test_doctor_tells_of_this_machine() -> None:
    """Versions, instruction sets, kernels; nothing of it needs a bundle."""
    result = run("doctor")
    assert result.exit_code == 0
    assert "onnxruntime" in result.stdout and "libdqmq_ort" in result.stdout
    found = json.loads(run("doctor", "--json").stdout)
    assert found["machine"]["versions"]["numpy"] and found["graphs"] == []
    kernels = found["machine"]["kernels"]
    assert kernels["isa"] in kernels["available"]


def test_doctor_names_the_nodes_that_run_in_float(tiny_bundle_path: Path) -> None:
    """The tiny bundle multiplies matrices in float, which a quantized graph should not; exit code 1."""
    result = run("doctor", tiny_bundle_path, "--json")
    assert result.exit_code == 1
    reports = json.loads(result.stdout)["graphs"]
    assert [report["configuration"] for report in reports] == ["w2", "w3", "w4", "w8"]
    assert all([node["op_type"] for node in report["float_nodes"]] == ["MatMul"] for report in reports)
    assert re.search(r"float MatMul: \S+", run("doctor", tiny_bundle_path).stdout)


def test_the_classes_of_the_tiny_bundle_are_the_folders(picture_folder: Path) -> None:
    """What the tests above rely on."""
    assert sorted(path.name for path in picture_folder.iterdir()) == sorted(CLASSES)
