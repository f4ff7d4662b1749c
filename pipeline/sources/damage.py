"""Whether a file can be read to its end, checked before Spark reads it.

A file that cannot be read to its end is damaged as a whole: the part before the fault may be wrong,
and the part behind it is lost. Compressed files and Parquet are read through once here, several at
a time (decompression releases Python's lock), because a broken block or a wrong checksum shows
nowhere else. A text file that is not compressed has no such fault: the reader refuses a cut-off
line, as a row.

Gives up: bytes that changed in a text file, or in a Parquet file without checksums, so that they
still make sense.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import SourceDataset

_CHUNK_BYTES = 4 * 1024 * 1024
_SMALL_CHUNK_BYTES = 1024  # what is lost of a file's end with the chunk that fails
_CODECS: dict[str, Literal["gzip", "zstd", "bz2"]] = {
    ".gz": "gzip",
    ".zst": "zstd",
    ".bz2": "bz2",
}
_MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".bz2": b"BZh"}
# What decompressors say of bytes at which other data should begin.
_NO_HEADER = ("incorrect header check", "unknown compression method", "Unknown frame descriptor")
_LONGEST_FIELD = 16 * 1024 * 1024
_ROWS_AT_ONCE = 64 * 1024


class FileDamageError(InputError):
    """A file that cannot be read, or not to its end, or that holds something else."""

    def __init__(self, file: DeliveredFile, fault: str, readable_rows: int = 0) -> None:
        super().__init__(f"{file.path} {fault}")
        self.file = file
        self.fault = fault
        self.readable_rows = readable_rows


@contextmanager
def open_decompressed(file: DeliveredFile) -> Iterator[IO[bytes]]:
    """The bytes of a text file, decompressed if its name says that it is compressed."""
    codec = _CODECS.get(file.path.suffix)
    with pa.OSFile(str(file.path), "rb") as plain:
        if codec is None or file.path.stat().st_size == 0:
            yield cast(IO[bytes], plain)
        else:
            with pa.CompressedInputStream(plain, codec) as stream:
                yield cast(IO[bytes], stream)


def read_to_the_end(dataset: SourceDataset, file: DeliveredFile) -> None:
    """Read all of a file that could be damaged inside.

    Raises:
        FileDamageError: with how many rows could be read before the fault.
    """
    if ":" in file.path.name:
        raise FileDamageError(file, "cannot be read: Hadoop opens no file with a colon in its name")
    if dataset.format == "parquet":
        _read_parquet(dataset, file)
    elif file.path.suffix in _CODECS:
        _decompress(dataset, file)
    if dataset.format == "csv" and dataset.options.get("multiline") == "true":
        _look_for_an_open_quote(dataset, file)


def _decompress(dataset: SourceDataset, file: DeliveredFile) -> None:
    try:
        with open_decompressed(file) as stream:
            while stream.read(_CHUNK_BYTES):
                pass
    except OSError as error:
        header = 1 if dataset.format == "csv" and dataset.has_header else 0
        rows = max(0, _lines_before_the_fault(file) - header)
        raise FileDamageError(file, why_unreadable(file, error), rows) from None


def why_unreadable(file: DeliveredFile, error: OSError) -> str:
    """The fault in words; a decompressor's own name what it met, and not what the file is."""
    magic = _MAGIC.get(file.path.suffix)
    if magic is None or not file.path.exists():
        return f"cannot be read: {error}"
    with file.path.open("rb") as stream:
        if stream.read(len(magic)) != magic:
            codec = _CODECS[file.path.suffix]
            return f"cannot be read: it is no {codec} data, whatever its name says ({error})"
    if any(words in str(error) for words in _NO_HEADER):
        return f"cannot be read: other bytes lie behind its compressed data ({error})"
    return f"cannot be read: {error}"


def _lines_before_the_fault(file: DeliveredFile) -> int:
    """Line ends that come out before the decompressor gives up, to a kilobyte."""
    lines = 0
    with suppress(OSError), open_decompressed(file) as stream:
        while chunk := stream.read(_SMALL_CHUNK_BYTES):
            lines += chunk.count(b"\n")
    return lines


def _read_parquet(dataset: SourceDataset, file: DeliveredFile) -> None:
    rows = 0
    try:
        with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
            names = [name for name in parquet.schema_arrow.names if name in dataset.columns]
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=names):
                rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())
        raise FileDamageError(
            file, f"is not the Parquet file that {dataset.where} expects: {why}", rows
        ) from None


def ends_rows_in_crlf(dataset: SourceDataset, file: DeliveredFile) -> bool:
    """Whether a row of a multi-line CSV file ends in CR LF; one inside a field does not count."""
    dialect, last = _dialect(dataset), [""]

    def lines(text: io.TextIOWrapper) -> Iterator[str]:
        for last[0] in text:
            yield last[0]

    csv.field_size_limit(_LONGEST_FIELD)
    with open_decompressed(file) as stream:
        text = io.TextIOWrapper(stream, dataset.encoding, errors="replace", newline="")
        if dialect is None:
            return any(line.endswith("\r\n") for line in text)
        records = csv.reader(lines(text), **dialect)
        return any(last[0].endswith("\r\n") for _ in records)


def _dialect(dataset: SourceDataset) -> dict[str, Any] | None:
    """How Python's reader is told to read a CSV file; none where it cannot."""
    options = dataset.options
    delimiter, quote = options.get("delimiter", ","), options.get("quote", '"')
    if len(delimiter) != 1 or not quote:
        return None
    escape = options.get("escape", quote)
    return {
        "delimiter": delimiter,
        "quotechar": quote,
        "doublequote": escape == quote,
        "escapechar": None if escape == quote else escape,
    }


def _look_for_an_open_quote(dataset: SourceDataset, file: DeliveredFile) -> None:
    """In a multi-line CSV an unclosed quotation mark swallows the rest of the file.

    Only the last record of the file can show it: parsed by itself, it has no end. Whole rows that
    end in CR alone, among others that end in LF, are found here too: they would be one row.
    """
    dialect = _dialect(dataset)
    if dialect is None:
        return
    last: list[str] = []  # physical lines of the record that is being read
    ends: set[str] = set()
    record, rows = [""], -1 if dataset.has_header else 0

    def lines(text: io.TextIOWrapper) -> Iterator[str]:
        for line in text:
            last.append(line)
            yield line

    csv.field_size_limit(_LONGEST_FIELD)  # Python's own is less than a long text can have
    try:
        with open_decompressed(file) as stream:
            text = io.TextIOWrapper(stream, dataset.encoding, errors="replace", newline="")
            for fields in csv.reader(lines(text), **dialect):
                record, rows = [*last], rows + 1
                if len(fields) == len(dataset.columns):
                    ends.add(last[-1][-1:])
                last.clear()
        if ends >= {"\r", "\n"}:
            raise FileDamageError(
                file, "ends some lines in CR alone and others in LF; write one kind of line end"
            )
        # A record that begins and ends on one line has swallowed none.
        if len(record) > 1:
            list(csv.reader(record, strict=True, **dialect))
    except csv.Error as error:
        too_long = "field larger" in str(error)
        if too_long or "unexpected end of data" in str(error):
            lost = len(last if too_long else record)
            raise FileDamageError(
                file,
                f"has a quotation mark that is opened and not closed: {lost} lines or more "
                "behind it would be one field",
                max(0, rows if too_long else rows - 1),
            ) from None
