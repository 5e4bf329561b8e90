"""The records that an interrupted run left in its output."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from dqmq_deploy.errors import InputError
from dqmq_deploy.serve.records import COLUMNS, FIELDS, Record


def cut_torn_line(path: Path) -> None:
    """Cut off what follows the last line feed of ``path``: a line that was being written when the run was killed."""
    with open(path, "r+b") as file:
        size = end = file.seek(0, 2)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def read_records(path: Path) -> Iterator[Record]:
    """The records of a ``.jsonl`` or ``.csv`` output, one by one.

    Raises:
        InputError: a line is no result record.
    """
    records = _read_csv(path) if path.suffix.lower() == ".csv" else _read_json_lines(path)
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not (record.keys() >= set(FIELDS) or record.keys() == {"image", "error"}):
            raise InputError(
                f"{path}: record {number} is no result of this tool; choose another output, or leave out --resume"
            )
        yield record


def _read_json_lines(path: Path) -> Iterator[object]:
    with open(path, "rb") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                yield None


def _read_csv(path: Path) -> Iterator[object]:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, None)
        if header is not None and header != list(COLUMNS):
            yield None
        for row in rows:
            yield _from_row(row)


def _from_row(row: list[str]) -> Record | None:
    if len(row) != len(COLUMNS):
        return None
    record: Record = {name: cell for name, cell in zip(COLUMNS, row, strict=True) if cell}
    if "error" not in record:
        record.setdefault("quality", None)  # an empty cell: the estimator was not asked
    try:
        for name in record:
            if name == "class_index":
                record[name] = int(record[name])
            elif name == "escalated":
                record[name] = {"True": True, "False": False}[record[name]]
            elif record[name] is not None and (name.endswith("_ms") or name in ("score", "quality")):
                record[name] = float(record[name])
    except (KeyError, ValueError):
        return None
    return record
