"""Records become numbered files, each within the limits of its profile.

A new file begins where the next record would break a limit of the one before. Files are for their
user alone (mode 600) and are flushed to the disk when they are closed. Memory holds one record, of
Parquet one row group.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.exports.profile import Form, Profile, Shape
from pipeline.exports.records import ROW, Record, RowError
from pipeline.exports.shapes import PAYLOAD, json_text, names, wrapped

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROW_GROUP = 5_000  # records
_QUOTED = frozenset(' ",\t\r\n')


@dataclass(frozen=True)
class Encoded:
    """A record as it stands in a file."""

    content: bytes  # of Parquet: for its size alone
    columns: Any = None  # of Parquet


def encoder(profile: Profile, width: int) -> Callable[[Record], Encoded]:
    """What makes bytes of a record; it raises `RowError` for one that is too big for the tool."""
    most = profile.file.record_bytes

    def encode(record: Record) -> Encoded:
        stands = wrapped(profile, record, width)
        if profile.file.form is Form.CSV:
            content = csv_line(profile, list(stands.values()))
        elif profile.file.form is Form.PARQUET:
            content = "".join(stands.values()).encode()
        else:
            content = json_text(stands).encode()
        if most and is_longer(profile, stands, content, most):
            raise RowError(ROW, f"longer than {most:,} bytes")
        if profile.file.form is Form.PARQUET:
            return Encoded(content, stands)
        return Encoded(content)

    return encode


def is_longer(profile: Profile, stands: Any, content: bytes, most: int) -> bool:
    """Whether a record has more bytes; of CSV also as the JSON object that some tools keep."""
    if len(content) > most:
        return True
    if profile.file.form is not Form.CSV:
        return False
    # JSON escapes a byte by one more at most, because control characters are gone.
    names = sum(map(len, stands)) + len('"":"",') * len(stands)
    return 2 * len(content) + names > most and len(json_text(stands).encode()) > most


def csv_line(profile: Profile, fields: list[str]) -> bytes:
    """A row by RFC 4180."""
    form = profile.file
    line = ",".join(
        f'"{text.replace(chr(34), chr(34) * 2)}"'
        if form.quote_all or not _QUOTED.isdisjoint(text)
        else text
        for text in fields
    )
    return f"{line}{form.line_end}".encode()


def head_of(profile: Profile, header: list[str]) -> bytes:
    """What a file begins with."""
    form = profile.file
    if form.form is Form.CSV:
        mark = BYTE_ORDER_MARK if form.byte_order_mark else b""
        return mark + csv_line(profile, header)
    return form.head.encode()


@dataclass
class NumberedFiles:
    """The files of one kind of an export: `part-00001.csv` and so on.

    Attributes:
        directory: where they are made.
        stem: of their names.
        profile: of the tool.
        header: of CSV.
    """

    directory: Path
    stem: str
    profile: Profile
    header: list[str]
    rows: dict[Path, int] = field(default_factory=dict)
    _sink: _Sink | None = None

    def add(self, record: Encoded) -> None:
        """Write one more record.

        Raises:
            OSError: the system refuses.
        """
        if self._sink is not None and not self._sink.has_room(record):
            self._end()
        if self._sink is None:
            path = self.directory / (
                f"{self.stem}-{len(self.rows) + 1:05d}{self.profile.file.suffix}"
            )
            self._sink = _Sink(path, self.profile, self.header)
            self.rows[path] = 0
        self._sink.add(record)
        self.rows[self._sink.path] += 1

    def close(self) -> None:
        """End the last file."""
        self._end()

    def abandon(self) -> None:
        """Let go of the last file without ending it."""
        if self._sink is not None:
            self._sink.file.close()
            self._sink = None

    def _end(self) -> None:
        if self._sink is not None:
            self._sink.end()
            self._sink = None


class _Sink:
    """One file that is being written."""

    def __init__(self, path: Path, profile: Profile, header: list[str]) -> None:
        self.path, self.form, self.profile = path, profile.file, profile
        self.file = private_file(path)
        self.rows = 0
        self._group: list[Any] = []
        self._parquet: pq.ParquetWriter | None = None
        self.size = self._put(head_of(profile, header))

    def has_room(self, record: Encoded) -> bool:
        form = self.form
        if form.rows and self.rows >= form.rows:
            return False
        after = self.size + len(record.content) + 2 + len(form.tail)  # a comma and a line break
        return not form.bytes or after <= form.bytes or not self.rows

    def add(self, record: Encoded) -> None:
        if self.form.form is Form.PARQUET:
            self._group.append(record.columns)
            self.size += len(record.content)
            if len(self._group) >= _ROW_GROUP:
                self._write_group()
        elif self.form.form is Form.JSON:
            self.size += self._put((b",\n" if self.rows else b"") + record.content)
        elif self.form.form is Form.JSON_LINES:
            self.size += self._put(record.content + b"\n")
        else:
            self.size += self._put(record.content)
        self.rows += 1

    def end(self) -> None:
        if self.form.form is Form.PARQUET:
            self._write_group()
            assert self._parquet is not None
            self._parquet.close()
        self._put(self.form.tail.encode())
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def _put(self, content: bytes) -> int:
        return self.file.write(content) if content else 0

    def _write_group(self) -> None:
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(
                self.file, parquet_schema(self.profile), compression="zstd"
            )
        if self._group:
            self._parquet.write_table(
                pa.Table.from_pylist(self._group, schema=parquet_schema(self.profile))
            )
            self._group.clear()


def parquet_schema(profile: Profile) -> pa.Schema:
    """The columns of a Parquet file; only Braze's shape has one."""
    assert profile.shape is Shape.BRAZE
    return pa.schema([(profile.key.name, pa.string()), (PAYLOAD, pa.string())])


def header_of(profile: Profile, width: int) -> list[str]:
    """The header of a CSV file with so many ranks."""
    return names(profile, width)


def private_file(path: Path) -> BinaryIO:
    """A new file for its user alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, durable.PRIVATE)
    os.fchmod(descriptor, durable.PRIVATE)
    return os.fdopen(descriptor, "wb", buffering=1 << 20)
