"""What can be known of a raw file before Spark reads it: that it is what the source says it is.

Reads the first bytes of each file (a Parquet file's footer) and refuses, by name, a file of
another format, a header whose columns are not the source's, and bytes that are not the encoding's
text. Gives up: what lies behind the first 64 KiB is Spark's to read, row by row.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Iterable
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.json_keys import check_keys
from pipeline.sources.source import SourceDataset

_HEAD_BYTES = 64 * 1024
_SIGNATURES = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a ZIP archive (or an Excel workbook)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "gzip data; name it .gz",
    b"\x89PNG": "a PNG image",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
}


def check_files(dataset: SourceDataset, files: Iterable[DeliveredFile]) -> None:
    """Refuse the first file that is not of the dataset's format or has not its columns.

    Raises:
        InputError: naming the file, what was found and what was expected.
    """
    for file in files:
        try:
            if dataset.format == "parquet":
                _check_parquet(dataset, file)
            else:
                _check_text(dataset, file)
        except (OSError, EOFError) as error:
            raise InputError(f"{file.path} cannot be read: {error}") from None


def _check_parquet(dataset: SourceDataset, file: DeliveredFile) -> None:
    try:
        found = pq.read_schema(file.path).names
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{file.path} is not the Parquet file that {dataset.where} expects: {error}"
        ) from None
    _compare_columns(dataset, file, found, in_order=False)


def _check_text(dataset: SourceDataset, file: DeliveredFile) -> None:
    encoding = dataset.options.get("encoding", "utf-8")
    with _open(file) as stream:
        head = stream.read(_HEAD_BYTES)
        whole = len(head) < _HEAD_BYTES
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            _refuse_format(dataset, file, what)
    if b"\x00" in head and not encoding.lower().startswith(("utf-16", "utf-32")):
        _refuse_format(dataset, file, "binary: it holds NUL bytes")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=whole)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file.path} is not {encoding} text: {error.reason} at byte {error.start}. "
            f"If it is in another encoding, say so in {dataset.where}: options: encoding"
        ) from None
    except LookupError:
        raise InputError(f"{dataset.where}: options: encoding {encoding!r} is unknown") from None
    opening = text.lstrip("\ufeff \t\r\n")[:200].lower()
    if opening.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")):
        _refuse_format(dataset, file, "HTML or XML (an error page that was saved?)")
    if dataset.format == "csv" and dataset.has_header:
        _check_header(dataset, file, text.removeprefix("\ufeff"))
    if dataset.format == "jsonl":
        if opening.startswith("["):
            _refuse_format(dataset, file, "one JSON array; write one object per line")
        with _open(file) as stream:
            rest = io.TextIOWrapper(stream, encoding, errors="replace")
            check_keys(dataset, file, text.removeprefix("\ufeff"), rest)


def _check_header(dataset: SourceDataset, file: DeliveredFile, text: str) -> None:
    if not text.strip():
        raise InputError(
            f"{file.path} is empty: it has not even the header {','.join(dataset.columns)}"
        )
    options = dataset.options
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=options.get("delimiter", ","),
        quotechar=options.get("quote", '"'),
    )
    found = next(row for row in reader if row)
    _compare_columns(dataset, file, found, in_order=True)


def _compare_columns(
    dataset: SourceDataset, file: DeliveredFile, found: list[str], *, in_order: bool
) -> None:
    wanted = list(dataset.columns)
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    faults = []
    if missing:
        faults.append(f"column {', '.join(missing)} is missing")
    if extra:
        faults.append(f"column {', '.join(repr(name)[:80] for name in extra[:12])} is not expected")
    if not faults and in_order and found != wanted:
        faults.append(f"columns are in another order ({','.join(found)})")
    if faults:
        raise InputError(
            f"{file.path}: {'; '.join(faults)}. {dataset.where} expects the columns "
            f"{','.join(wanted)}; correct the file, or the source if the retailer changed it"
        )


def _refuse_format(dataset: SourceDataset, file: DeliveredFile, found: str) -> None:
    raise InputError(f"{file.path} is {found}; {dataset.where} expects {dataset.format}")


def _open(file: DeliveredFile) -> IO[bytes]:
    plain = file.path.open("rb")
    if file.path.suffix != ".gz":
        return plain
    return io.BufferedReader(gzip.GzipFile(fileobj=plain))
