"""Kills, signals and resuming, in processes of their own; and what a serving process loads and holds."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dqmq_deploy.errors import InputError
from dqmq_deploy.serve.job import ServeJob, serve
from tests.serve.test_job import read_json_lines, timeless

SERVE = """
import json, sys
from pathlib import Path
from dqmq_deploy.serve.job import ServeJob, serve
images, bundle, output, options = sys.argv[1:]
summary = serve(ServeJob(Path(images), Path(bundle), Path(output), threads=1, **json.loads(options)))
print(json.dumps(summary.to_dict()))
"""


def command(script: str, *arguments: Path | str) -> list[str]:
    """The command that runs ``script`` in a fresh interpreter."""
    return [sys.executable, "-c", script, *map(str, arguments)]


def start(images: Path, bundle: Path, output: Path, **options: object) -> subprocess.Popen[str]:
    """A process that serves."""
    return subprocess.Popen(
        command(SERVE, images, bundle, output, json.dumps(options)), stdout=subprocess.PIPE, text=True
    )


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for ``condition``, not for ever."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def many_pictures(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4,500 pictures: hard links to 90."""
    root = tmp_path_factory.mktemp("many")
    for path in picture_folder.rglob("*.png"):
        (root / path.parent.name).mkdir(exist_ok=True)
        for copy in range(50):
            os.link(path, root / path.parent.name / f"{path.stem}-{copy:02}.png")
    return root


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_resume_after_a_kill(many_pictures: Path, tiny_bundle_path: Path, tmp_path: Path, ending: str) -> None:
    """kill -9 in the middle leaves whole lines; resuming gives what an undisturbed run gives."""
    output = tmp_path / f"results.{ending}"
    process = start(many_pictures, tiny_bundle_path, output)
    wait_until(lambda: output.exists() and output.stat().st_size > 20_000)
    process.kill()
    process.communicate()
    left = output.read_bytes()
    assert left.endswith(b"\n")
    written = left.count(b"\n") - (ending == "csv")
    assert 0 < written < 4500
    with open(output, "ab") as file:
        file.write(b'{"image": "torn' if ending == "jsonl" else b"torn,re")
    summary = serve(ServeJob(many_pictures, tiny_bundle_path, output, resume=True, labels="folders"))
    assert output.read_bytes().startswith(left)
    assert (summary.resumed, summary.images) == (written, 4500 - written)
    assert sum(group.images for group in summary.by_route) == 4500
    whole = tmp_path / f"whole.{ending}"
    expected = serve(ServeJob(many_pictures, tiny_bundle_path, whole, labels="folders"))
    assert summary.accuracy == expected.accuracy
    assert summary.by_quality == expected.by_quality
    if ending == "jsonl":
        assert [*map(timeless, read_json_lines(output))] == [*map(timeless, read_json_lines(whole))]
    again = serve(ServeJob(many_pictures, tiny_bundle_path, output, resume=True, labels="folders"))
    assert (again.resumed, again.images, again.accuracy) == (4500, 0, expected.accuracy)


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_resume_where_nobody_asked_the_estimator(
    picture_folder: Path, escalating_bundle_path: Path, tmp_path: Path, ending: str
) -> None:
    """Records without a quality, and those of images seen twice, are read back as they were."""
    output = tmp_path / f"results.{ending}"
    job = ServeJob(picture_folder, escalating_bundle_path, output, price=0.0, labels="folders")
    whole = serve(job)
    output.write_bytes(b"".join(output.read_bytes().splitlines(keepends=True)[:50]))
    resumed = serve(replace(job, resume=True))
    assert resumed.resumed + resumed.images == 90 and 49 <= resumed.resumed <= 50
    for name in ("accuracy", "escalated", "mean_cost", "by_quality", "by_route"):
        assert getattr(resumed, name) == getattr(whole, name)


def test_resume_without_an_earlier_run(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """Resuming where there is nothing yet, or an empty or torn file, starts from the beginning."""
    for torn in (None, b"", b'{"image": "blu'):
        output = tmp_path / "results.jsonl"
        if torn is not None:
            output.write_bytes(torn)
        summary = serve(ServeJob(picture_folder, tiny_bundle_path, output, resume=True))
        assert (summary.resumed, summary.images) == (0, 90)
        assert len(read_json_lines(output)) == 90
        output.unlink()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1}\n', "record 1 is no result"),
        (b"not json\n", "record 1 is no result"),
        (b"[1]\n", "record 1 is no result"),
    ],
)
def test_resume_refuses_other_files(
    picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path, line: bytes, message: str
) -> None:
    """A file of something else is left as it is."""
    output = tmp_path / "results.jsonl"
    output.write_bytes(line)
    with pytest.raises(InputError, match=message):
        serve(ServeJob(picture_folder, tiny_bundle_path, output, resume=True))
    assert output.read_bytes() == line


def test_resume_refuses_another_bundles_records(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """Records of configurations that this bundle does not have."""
    output = tmp_path / "results.jsonl"
    serve(ServeJob(picture_folder, tiny_bundle_path, output))
    output.write_text(output.read_text().replace('"w2"', '"w6"'))
    with pytest.raises(InputError, match="holds records of another bundle"):
        serve(ServeJob(picture_folder, tiny_bundle_path, output, resume=True))


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_full_disk_leaves_whole_lines(
    picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path, ending: str
) -> None:
    """Where a write ends in the middle of a line, that line goes; the error says how to go on, and going on works."""
    limited = (
        "import resource\n"
        "from dqmq_deploy.errors import DqmqError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n    serve(ServeJob(*map(Path, sys.argv[1:])))\n"
        "except DqmqError as error:\n    print(error)\n"
    )
    output = tmp_path / f"results.{ending}"
    script = SERVE.partition("images, bundle")[0] + limited
    arguments = command(script, picture_folder, tiny_bundle_path, output)
    printed = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    assert "cannot be written: File too large; the lines written so far are whole, --resume goes on there" in printed
    left = output.read_bytes()
    assert left.endswith(b"\n") or not left
    assert serve(ServeJob(picture_folder, tiny_bundle_path, output, resume=True)).images > 0
    assert output.read_bytes().count(b"\n") == 90 + (ending == "csv")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_cleanly(
    many_pictures: Path, tiny_bundle_path: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    """Ctrl-C and a termination request finish the images at hand, and the summary comes."""
    output = tmp_path / "results.jsonl"
    process = start(many_pictures, tiny_bundle_path, output)
    wait_until(lambda: output.exists() and output.stat().st_size > 20_000)
    process.send_signal(kind)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    summary = json.loads(printed)
    assert summary["interrupted"] is True
    names = [record["image"] for record in read_json_lines(output)]
    everything = sorted(path.relative_to(many_pictures).as_posix() for path in many_pictures.rglob("*.png"))
    assert 0 < len(names) == summary["images"] < 4500
    assert names == everything[: len(names)]


def test_watch_picks_up_new_images(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """Images that come later are classified once, after the file is whole; Ctrl-C ends it with the summary."""
    images, output = tmp_path / "images", tmp_path / "results.jsonl"
    images.mkdir()
    pictures = sorted(picture_folder.rglob("*.png"))

    def records() -> int:
        return output.read_bytes().count(b"\n") if output.exists() else 0

    process = start(images, tiny_bundle_path, output, watch=True, poll_seconds=0.2)
    wait_until(output.exists)
    shutil.copy(pictures[0], images / "z.png")
    wait_until(lambda: records() == 1)
    data = pictures[1].read_bytes()
    with open(images / "slow.png", "wb", buffering=0) as file:
        for at in range(0, len(data), len(data) // 6):
            file.write(data[at : at + len(data) // 6])
            time.sleep(0.1)
    (images / "later").mkdir()
    shutil.copy(pictures[2], images / "later" / "a.png")
    wait_until(lambda: records() == 3)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    found = read_json_lines(output)
    assert found[0]["image"] == "z.png"
    assert {record["image"] for record in found[1:]} == {"slow.png", "later/a.png"}
    assert not any("error" in record for record in found)
    summary = json.loads(printed)
    assert (summary["images"], summary["errors"], summary["interrupted"]) == (3, 0, True)


def test_serving_imports_no_training_framework(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """A whole run loads neither torch nor onnx, nor a part of the package that needs them."""
    script = SERVE + (
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'onnx', 'onnxscript', 'pyarrow', 'openvino'}, loaded\n"
        "factory = {'nets', 'quant', 'policy', 'quality', 'train', 'export'}\n"
        "parts = {name.split('.')[1] for name in sys.modules if name.startswith('dqmq_deploy.')}\n"
        "assert not parts & factory, parts\n"
    )
    arguments = (picture_folder, tiny_bundle_path, tmp_path / "results.jsonl", "{}")
    subprocess.run(command(script, *arguments), check=True, stdout=subprocess.DEVNULL)


def test_memory_does_not_grow_with_the_number_of_images(
    many_pictures: Path, tiny_bundle_path: Path, tmp_path: Path
) -> None:
    """After the first thousand, three thousand more images take no more memory: less than 2 MB resident."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dqmq_deploy.serve.job import ServeJob, serve\n"
        "resident = lambda: int(Path('/proc/self/statm').read_text().split()[1]) * 4096\n"
        "marks = {}\n"
        "def progress(at):\n    marks[at.done] = resident()\n"
        "import dqmq_deploy.serve.job as job\n"
        "job.PROGRESS_SECONDS = 0\n"
        "serve(ServeJob(*map(Path, sys.argv[1:]), threads=2), progress)\n"
        "early = max(value for done, value in marks.items() if done <= 1500)\n"
        "print(max(marks.values()) - early, max(marks))\n"
    )
    arguments = command(script, many_pictures, tiny_bundle_path, tmp_path / "results.jsonl")
    grown, done = map(int, subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split())
    assert done == 4500
    assert grown < 2_000_000
