"""The directory job: records, formats, labels, and what is refused before anything is written."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from dqmq_deploy.bundle.read import Bundle
from dqmq_deploy.errors import BundleError, InputError
from dqmq_deploy.runtime.dispatcher import Dispatcher
from dqmq_deploy.serve.job import Progress, ServeJob, serve
from dqmq_deploy.serve.records import COLUMNS, FIELDS

CLOCKS = {"estimator_ms", "graph_ms", "decode_ms"}


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what depends on the clock."""
    return {key: value for key, value in record.items() if key not in CLOCKS}


def test_records_in_the_order_of_sorted_paths(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """One line an image, sorted, with exactly the promised keys and the dispatcher's own answers."""
    output = tmp_path / "results.jsonl"
    summary = serve(ServeJob(picture_folder, tiny_bundle_path, output))
    records = read_json_lines(output)
    names = sorted(path.relative_to(picture_folder).as_posix() for path in picture_folder.rglob("*.png"))
    assert [record["image"] for record in records] == names
    assert summary.images == len(names) == 90
    dispatcher = Dispatcher(Bundle.open(tiny_bundle_path))
    for record in records:
        assert tuple(record) == FIELDS
        expected = dispatcher(picture_folder / record["image"])
        assert record["label"] == expected.label
        assert record["class_index"] == expected.class_index
        assert record["config"] == expected.config
        assert record["score"] == pytest.approx(expected.score, abs=1e-5)
        assert record["quality"] == pytest.approx(expected.quality, abs=1e-5)
        assert min(record[clock] for clock in CLOCKS) > 0


@pytest.mark.parametrize("price", [0.0, 0.2])
def test_a_job_that_escalates(picture_folder: Path, escalating_bundle_path: Path, tmp_path: Path, price: float) -> None:
    """Records say what was seen twice; the summary counts it, both graphs' cost, and the estimator's where asked."""
    output = tmp_path / "results.jsonl"
    summary = serve(ServeJob(picture_folder, escalating_bundle_path, output, price=price, labels="folders"))
    bundle = Bundle.open(escalating_bundle_path)
    dispatcher = Dispatcher(bundle, price=price)
    records = read_json_lines(output)
    spent = []
    for record in records:
        assert tuple(record) == FIELDS
        expected = dispatcher(picture_folder / record["image"])
        assert (record["config"], record["escalated"]) == (expected.config, expected.escalated)
        assert record["score"] == pytest.approx(expected.score, abs=1e-5)
        assert (record["quality"] is None) == (price == 0)
        spent.append(dispatcher.cost[dispatcher.configurations.index(record["config"])])
        spent[-1] += dispatcher.cost[0] * record["escalated"]
    escalated = sum(record["escalated"] for record in records)
    assert 0 < escalated < len(records)
    assert (summary.policy, summary.escalated) == ("escalate", escalated / len(records))
    asked = bundle.manifest.estimator.cost if price else 0.0
    assert summary.mean_cost == pytest.approx(sum(spent) / len(spent) + asked)
    assert sum(group.images for group in summary.by_quality) == (90 if price else 0)
    forced = serve(ServeJob(picture_folder, escalating_bundle_path, output, price=price, escalate=False))
    assert (forced.policy, forced.escalated) == ("route", 0.0)


def test_csv_and_parquet_hold_the_same(picture_folder: Path, escalating_bundle_path: Path, tmp_path: Path) -> None:
    """All three formats hold the same records, errors included; no quality is an empty cell."""
    images = tmp_path / "images"
    shutil.copytree(picture_folder, images)
    (images / "red" / "not, an\n image.png").write_text("no")
    for ending in ("jsonl", "csv", "parquet"):
        serve(ServeJob(images, escalating_bundle_path, tmp_path / f"results.{ending}", price=0.0))
    expected = [timeless(record) for record in read_json_lines(tmp_path / "results.jsonl")]
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [timeless({key: cell for key, cell in row.items() if cell}) for row in rows] == [
        {key: str(value) for key, value in record.items() if value is not None} for record in expected
    ]
    table = pyarrow.parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert tuple(table[0]) == COLUMNS
    assert [row["image"] for row in table] == [record["image"] for record in expected]
    assert [row["label"] for row in table] == [record.get("label") for record in expected]
    assert [row["escalated"] for row in table] == [record.get("escalated") for record in expected]
    assert {row["quality"] for row in table} == {None}
    assert sum(row["error"] is not None for row in table) == 1
    assert not list(tmp_path.glob(".*"))


def test_unreadable_images_become_error_records(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """An unreadable image costs its own record only, which has two keys."""
    images = tmp_path / "images"
    shutil.copytree(picture_folder, images)
    (images / "blue" / "000broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (images / "text.png").write_text("no image")
    summary = serve(ServeJob(images, tiny_bundle_path, tmp_path / "results.jsonl"))
    records = read_json_lines(tmp_path / "results.jsonl")
    assert (summary.images, summary.errors) == (92, 2)
    assert [record["image"] for record in records if "error" in record] == ["blue/000broken.jpg", "text.png"]
    assert all(tuple(record) == ("image", "error") for record in records if "error" in record)
    assert sum(group.images for group in summary.by_route) == 90


def test_labels_by_folder(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """Accuracy in all, by quality and by route, counted from the records."""
    output = tmp_path / "results.jsonl"
    summary = serve(ServeJob(picture_folder, tiny_bundle_path, output, labels="folders", config="w2"))
    records = read_json_lines(output)
    assert {record["quality"] for record in records} == {None}
    right = [record["image"].split("/")[0] == record["label"] for record in records]
    assert summary.accuracy == sum(right) / 90
    assert 45 < sum(right) < 90
    assert [group.name for group in summary.by_quality] == ["below 0.5", "0.5 to 0.8", "0.8 to 0.95", "0.95 and above"]
    assert sum(group.images for group in summary.by_quality) == 0  # nobody asked the estimator
    assert (summary.policy, summary.escalated) == (None, 0.0)
    assert summary.mean_cost == pytest.approx(0.1808, abs=1e-4)
    by_route = {group.name: group for group in summary.by_route}
    assert list(by_route) == ["w2", "w3", "w4", "w8"]
    assert (by_route["w2"].images, by_route["w2"].right, by_route["w2"].share) == (90, sum(right), 1.0)
    assert by_route["w3"].accuracy is None
    assert summary.price is None
    adaptive = serve(ServeJob(picture_folder, tiny_bundle_path, output, labels="folders"))
    assert adaptive.accuracy is not None
    assert adaptive.accuracy > sum(right) / 90
    assert (adaptive.policy, adaptive.price, adaptive.escalated) == ("route", 0.2, 0.0)
    right = [record["image"].split("/")[0] == record["label"] for record in read_json_lines(output)]
    assert sum(group.right or 0 for group in adaptive.by_quality) == sum(right)
    json.dumps(adaptive.to_dict(), allow_nan=False)


def test_a_higher_price_never_raises_mean_cost(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """End to end, the knob works in one direction."""
    output = tmp_path / "results.jsonl"
    costs = [
        serve(ServeJob(picture_folder, tiny_bundle_path, output, price=price)).mean_cost
        for price in (0, 0.1, 0.5, 2, 9)
    ]
    assert costs == sorted(costs, key=lambda cost: -(cost or 0))


def test_labels_that_do_not_fit(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """A folder that is no class, or an image in no folder, is refused before the output is touched."""
    images, output = tmp_path / "images", tmp_path / "results.jsonl"
    shutil.copytree(picture_folder / "red", images / "yellow")
    job = ServeJob(images, tiny_bundle_path, output, labels="folders")
    with pytest.raises(InputError, match=r"folder 'yellow' is none of the bundle's 3 classes \(blue, green, red"):
        serve(job)
    (images / "yellow").rename(images / "red")
    shutil.copy(next(images.glob("red/*.png")), images / "alone.png")
    with pytest.raises(InputError, match=r"alone\.png: labels by folder need"):
        serve(job)
    with pytest.raises(InputError, match="expected labels 'folders', got 'files'"):
        serve(ServeJob(images, tiny_bundle_path, output, labels="files"))
    assert not output.exists()


def test_empty_folder(tiny_bundle_path: Path, tmp_path: Path) -> None:
    """A folder without images names what was looked for; a missing one says so."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"no images below this folder; looked for \.avif .*\.webp"):
        serve(ServeJob(tmp_path / "images", tiny_bundle_path, tmp_path / "results.jsonl"))
    with pytest.raises(InputError, match="expected a folder of images, found nothing there"):
        serve(ServeJob(tmp_path / "none", tiny_bundle_path, tmp_path / "results.jsonl"))
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("output", "resume", "message"),
    [
        ("results.txt", False, r"expected an output that ends in \.jsonl, \.csv, \.parquet"),
        ("none/results.jsonl", False, "its folder does not exist"),
        ("results.parquet", True, "a Parquet file cannot be resumed"),
        ("folder.csv", False, "expected a file, found a folder"),
    ],
)
def test_outputs_that_cannot_work(
    picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path, output: str, resume: bool, message: str
) -> None:
    """Refused before anything is done."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        serve(ServeJob(picture_folder, tiny_bundle_path, tmp_path / output, resume=resume))


def test_parquet_without_pyarrow(
    picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'dqmq-deploy\[parquet\]'"):
        serve(ServeJob(picture_folder, tiny_bundle_path, tmp_path / "results.parquet"))


def test_a_damaged_bundle_is_refused(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """One flipped byte in a graph stops the job before it starts."""
    bundle = tmp_path / "damaged.dqmq"
    shutil.copytree(tiny_bundle_path, bundle)
    data = bytearray((bundle / "w4.onnx").read_bytes())
    data[40] ^= 1
    (bundle / "w4.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"w4\.onnx"):
        serve(ServeJob(picture_folder, bundle, tmp_path / "results.jsonl"))


def test_progress_ends_complete(picture_folder: Path, tiny_bundle_path: Path, tmp_path: Path) -> None:
    """Progress only grows and ends with all images done."""
    seen: list[Progress] = []
    serve(ServeJob(picture_folder, tiny_bundle_path, tmp_path / "results.jsonl"), seen.append)
    assert [at.done for at in seen] == sorted(at.done for at in seen)
    assert (seen[-1].done, seen[-1].total, sum(seen[-1].routes.values())) == (90, 90, 90)
