"""Results into a file: JSON lines, CSV or Parquet, by the file's ending.

JSON lines and CSV grow by whole lines, several to one write, so that a killed run leaves whole lines (at worst one
torn line at the end, which resuming cuts off). A Parquet file cannot be read before its end is written: it grows
beside its place under a temporary name and is renamed when the run ends.
"""

import csv
import errno
import io
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

from dqmq_deploy.errors import DqmqError, InputError
from dqmq_deploy.serve.records import COLUMNS, Record

FLUSH_RECORDS = 64
"""Lines are written when so many have gathered ..."""

FLUSH_SECONDS = 0.5
"""... or when the last write is so long ago."""

ROW_GROUP = 4096
"""Records to a row group of Parquet."""

ENDINGS = (".jsonl", ".csv", ".parquet")


class Output(Protocol):
    """Where records go. To be used in a ``with`` block; leaving it completes the file."""

    def add(self, record: Record) -> None:
        """Take in one record; it may be written a little later."""

    def flush(self) -> None:
        """Write what has gathered."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_output(path: Path, resume: bool) -> None:
    """Refuse an output that cannot work, before anything else is done.

    Raises:
        InputError: an unknown ending, a folder that does not exist, Parquet with ``resume`` or without pyarrow.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: expected an output that ends in {', '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{path}: expected a file, found a folder")
    if path.suffix.lower() == ".parquet":
        if resume:
            raise InputError(f"{path}: a Parquet file cannot be resumed; choose .jsonl or .csv")
        _pyarrow()


def open_output(path: Path, resume: bool) -> Output:
    """Open ``path`` for results: from its start, or with ``resume`` after the records that it holds.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return ParquetOutput(path)
        return LineOutput(path, resume, path.suffix.lower() == ".csv")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; choose another output") from None


class LineOutput:
    """JSON lines, or CSV with a header."""

    def __init__(self, path: Path, resume: bool, as_csv: bool) -> None:
        self._path = path
        self._file: BinaryIO = open(path, "ab" if resume else "wb", buffering=0)  # noqa: SIM115 -- closed by __exit__
        self._whole = self._file.seek(0, os.SEEK_END)  # bytes that are whole lines
        self._records: list[Record] = []
        self._encode = _csv_lines if as_csv else _json_lines
        self._written_at = time.monotonic()
        if as_csv and not self._whole:
            self._write(_csv_header())

    def add(self, record: Record) -> None:
        """Take in one record."""
        self._records.append(record)
        if len(self._records) >= FLUSH_RECORDS or time.monotonic() - self._written_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the records at hand in one go."""
        self._written_at = time.monotonic()
        if self._records:
            records, self._records = self._records, []
            self._write(self._encode(records))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._whole)
            raise DqmqError(
                f"{self._path}: cannot be written: {_cause(error)}; "
                "the lines written so far are whole, --resume goes on there"
            ) from None
        self._whole += len(data)


class ParquetOutput:
    """A Parquet file of row groups; complete only after the ``with`` block."""

    def __init__(self, path: Path) -> None:
        arrow, parquet = _pyarrow()
        self._path = path
        self._temporary = path.with_name(f".{path.name}.writing-{os.getpid()}")
        number, text = arrow.float32(), arrow.string()
        kinds = {"class_index": arrow.int32(), "score": number, "quality": number, "escalated": arrow.bool_()}
        self._schema = arrow.schema(
            [(name, kinds.get(name, number if name.endswith("_ms") else text)) for name in COLUMNS]
        )
        self._table = arrow.Table.from_pylist
        self._writer = parquet.ParquetWriter(str(self._temporary), self._schema)
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Take in one record."""
        self._records.append({**record, "image": _plain(record["image"])})
        if len(self._records) >= ROW_GROUP:
            try:
                self._write()
            except OSError as error:
                raise self._failed(error) from None

    def flush(self) -> None:
        """Nothing to do before the row group is full: small row groups would make a slow file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._write()
            self._writer.close()
            os.replace(self._temporary, self._path)
        except OSError as failure:
            raise self._failed(failure) from None
        finally:
            self._temporary.unlink(missing_ok=True)

    def _write(self) -> None:
        records, self._records = self._records, []
        if records:
            self._writer.write_table(self._table(records, schema=self._schema))

    def _failed(self, error: OSError) -> DqmqError:
        return DqmqError(f"{self._path}: cannot be written: {_cause(error)}; free some space, or choose another output")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow: pip install 'dqmq-deploy[parquet]', or choose an output in .jsonl or .csv"
        ) from None
    return pyarrow, pyarrow.parquet


def _cause(error: OSError) -> str:
    return "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)


def _plain(name: str) -> str:
    """A file name as valid Unicode: bytes that are none become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


_to_json = json.JSONEncoder(allow_nan=False).encode


def _json_lines(records: list[Record]) -> bytes:
    return "".join([f"{_to_json(record)}\n" for record in records]).encode()


def _csv_lines(records: list[Record]) -> bytes:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(records)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _csv_header() -> bytes:
    return (",".join(COLUMNS) + "\n").encode()
