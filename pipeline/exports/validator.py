"""Reads the files of an export back, and holds each record to the limits of its tool.

Nothing of the writer is trusted but the profile: bytes are decoded strictly, a record is taken
apart from what stands in the file, and every value is measured again. A fault names the file and
the number of the record, never a value.

Gives up: it knows what a vendor has published. Whether an account has the attributes, the primary
key or the room is for the tool to say.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exports.files import (
    csv_line,
    head_of,
    header_of,
    is_longer,
    parquet_schema,
)
from pipeline.exports.profile import Column, Form, Left, Profile, fault_of
from pipeline.exports.records import Record, Value
from pipeline.exports.shapes import ShapeError, count_of, unwrapped
from pipeline.intact import file_sha256

PART, LEFT = "part", "left"
MOST_FAULTS = 20  # that are told
_REMEMBERED = 100_000


class _FileError(Exception):
    """A file that cannot be gone on with."""


@dataclass
class Validator:
    """Checks one export.

    Attributes:
        profile: of the tool.
        width: ranks that a flat record has columns for.
    """

    profile: Profile
    width: int
    faults: list[str] = field(default_factory=list)
    _keys: set[str] = field(default_factory=set)
    _good: set[tuple[str, str]] = field(default_factory=set)

    def check(self, directory: Path, entries: list[dict[str, Any]]) -> list[str]:
        """What is wrong with the files that a manifest names; at most `MOST_FAULTS` are told.

        Args:
            directory: of the export.
            entries: `path`, `bytes`, `sha256` and `rows` of each file.
        """
        for entry in entries:
            path = directory / entry["path"]
            try:
                self._check_file(path, entry)
            except FileNotFoundError:
                self._say(path, "is not there")
            except (_FileError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
                said = str(error) if isinstance(error, _FileError) else type(error).__name__
                self._say(path, f"cannot be read as {self.profile.file.form.value}: {said}")
            if len(self.faults) >= MOST_FAULTS:
                break
        return self.faults[:MOST_FAULTS]

    def _check_file(self, path: Path, entry: Mapping[str, Any]) -> None:
        form, size = self.profile.file, path.stat().st_size
        if size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
            self._say(path, "is not what was written: its checksum is another")
            return
        if form.bytes and size > form.bytes:
            self._say(path, f"has {size:,} bytes, more than {form.bytes:,}")
        keys_only = path.name.startswith(LEFT) and self.profile.left is Left.KEYS
        rows = 0
        for rows, (stands, content) in enumerate(self._records(path, keys_only=keys_only), 1):
            try:
                if keys_only:
                    self._check_key(str(stands[self.profile.key.name]))
                else:
                    self._check_record(stands, content, left=path.name.startswith(LEFT))
            except (ShapeError, _FileError) as error:
                self._say(path, f"record {rows:,} {error}")
                if len(self.faults) >= MOST_FAULTS:
                    return
        if rows != entry["rows"]:
            self._say(path, f"has {rows:,} records, its manifest says {entry['rows']:,}")
        if form.rows and rows > form.rows:
            self._say(path, f"has {rows:,} records, more than {form.rows:,}")

    def _records(self, path: Path, *, keys_only: bool) -> Iterator[tuple[Any, bytes]]:
        """Each record as it stands in the file, and its bytes (again, of CSV)."""
        form = self.profile.file
        if form.form is Form.PARQUET:
            yield from self._of_parquet(path)
        elif form.form is Form.CSV:
            header = [self.profile.key.name] if keys_only else header_of(self.profile, self.width)
            yield from self._of_csv(path, header)
        else:
            yield from self._of_json(path)

    def _of_parquet(self, path: Path) -> Iterator[tuple[Any, bytes]]:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(parquet_schema(self.profile)):
                raise _FileError("it has other columns")
            for batch in file.iter_batches(batch_size=2000):
                for row in batch.to_pylist():
                    yield row, "".join(row.values()).encode()

    def _of_csv(self, path: Path, header: list[str]) -> Iterator[tuple[Any, bytes]]:
        head = head_of(self.profile, header)
        with path.open("rb") as file:
            if file.read(len(head)) != head:
                raise _FileError("it has another header")
        mark = self.profile.file.byte_order_mark
        encoding = "utf-8-sig" if mark else "utf-8"
        with path.open(encoding=encoding, newline="") as text:
            rows = csv.reader(text, strict=True)
            next(rows)
            for fields in rows:
                if len(fields) != len(header):
                    raise _FileError(f"a row has {len(fields)} fields, not {len(header)}")
                yield dict(zip(header, fields, strict=True)), csv_line(self.profile, fields)

    def _of_json(self, path: Path) -> Iterator[tuple[Any, bytes]]:
        """Lines of one record each; of a document, between its head and its tail.

        The head and the tail being what they are, it is JSON if each line is.
        """
        form = self.profile.file
        content = path.read_bytes() if form.form is Form.JSON else b""
        if form.form is Form.JSON:
            head, tail = form.head.encode(), form.tail.encode()
            if not content.startswith(head) or not content.endswith(tail):
                raise _FileError("it is another document")
            lines = iter(content[len(head) : len(content) - len(tail)].split(b",\n"))
        else:
            lines = _lines(path)
        for line in lines:
            try:
                stands = json.loads(line, parse_constant=_refuse_constant)
            except ValueError:
                raise _FileError("a line is no JSON") from None
            yield stands, line

    def _check_record(self, stands: Any, content: bytes, *, left: bool) -> None:
        most = self.profile.file.record_bytes
        if most and is_longer(self.profile, stands, content, most):
            raise _FileError(f"has more than {most:,} bytes")
        if self._takes_no_null and _has_null(stands):
            raise _FileError("has a null, which the tool takes for no value")
        record = unwrapped(self.profile, stands, self.width)
        self._check_key(record.key)
        for column in self.profile.columns:
            self._check_value(column, column.name, record.values.get(column.name))
        for rank, item in enumerate(record.items, 1):
            for column in self.profile.item_columns:
                self._check_value(column, column.of_rank(rank), item[column.name])
        self._check_items(record, left=left)

    @property
    def _takes_no_null(self) -> bool:
        return self.profile.empty is not None and self.profile.file.form is Form.JSON

    def _check_items(self, record: Record, *, left: bool) -> None:
        most, first = self.profile.most_items, self.profile.item_columns[0]
        if len(record.items) > min(most, self.width):
            raise _FileError(f"has {len(record.items)} items, more than {min(most, self.width)}")
        if any(item[first.name] is None for item in record.items):
            raise _FileError("has an item without an id")
        count = count_of(self.profile, record)
        if count is not None and count != len(record.items):
            raise _FileError(f"says that it has {count} items, and has {len(record.items)}")
        if left and (record.items or any(record.values.values())):
            raise _FileError("is of somebody who has left, and is not cleared")

    def _check_key(self, key: object) -> None:
        if not isinstance(key, str) or not key:
            raise _FileError(f"{self.profile.key.name}: has no value")
        self._check_value(self.profile.key, self.profile.key.name, key)
        if key in self._keys:
            raise _FileError(f"{self.profile.key.name}: is there twice")
        self._keys.add(key)

    def _check_value(self, column: Column, name: str, value: Value) -> None:
        if value is None or (column.name, value) in self._good:
            return
        if column.is_number:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _FileError(f"{name}: is no number")
            return
        if not isinstance(value, str):
            raise _FileError(f"{name}: is no text")
        fault = fault_of(column, value)
        if fault:
            raise _FileError(f"{name}: {fault}")
        for rule in self.profile.all_rules:
            if rule.regex.search(value):
                raise _FileError(f"{name}: has what should have been: {rule.words}")
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good.add((column.name, value))

    def _say(self, path: Path, fault: str) -> None:
        self.faults.append(f"{path.name} {fault}")


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                raise _FileError("its last line does not end")
            yield line[:-1]


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and infinities are not JSON")


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return value is None
