"""Checks of a raw file before Spark reads it: whether the file is what the source describes.

Reads the first bytes of each file (a Parquet file's footer), and all of a file that could be
damaged inside (`sources.damage`). Refuses, by name, a header or a key that is not the source's: the
retailer delivers something else, and a person should look. Returns the files that are damaged or
are something else (an error page, a spreadsheet, another encoding); the caller decides whether the
night goes on without them.

Gives up: only Spark reads what lies behind the first 64 KiB of a text, row by row.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.sources.damage import FileDamageError, open_decompressed, read_to_the_end
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.json_keys import check_keys, differ_a_little
from pipeline.sources.source import SourceDataset

_HEAD_BYTES = 64 * 1024
# A file with more lines whose bytes are no text is of another kind; fewer such lines are dirt.
_STRANGE_LINES_SHARE = 0.01
_NOT_BLANK = re.compile(r"[^\x00-\x20]")  # what Spark and `count_rows` take for a line
_SIGNATURES = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a ZIP archive (or an Excel workbook)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "gzip data; name it .gz",
    b"\x28\xb5\x2f\xfd": "zstd data; name it .zst",
    b"\x89PNG": "a PNG image",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
}


def check_files(dataset: SourceDataset, files: Iterable[DeliveredFile]) -> list[FileDamageError]:
    """The files that cannot be read, in their order, each with its fault.

    Raises:
        InputError: a file can be read and has not the source's columns: naming it, what was found
            and what was expected.
    """
    if dataset.layouts:
        return sorted(
            (fault for one, of_it in dataset.by_layout(files) for fault in check_files(one, of_it)),
            key=lambda fault: fault.file,
        )
    dataset = dataset.own
    # Decompression releases Python's lock; the first error of another kind is raised here.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = pool.map(lambda file: _damage(dataset, file), files)
        return [damage for damage in found if damage is not None]


def _damage(dataset: SourceDataset, file: DeliveredFile) -> FileDamageError | None:
    try:
        read_to_the_end(dataset, file)
        if dataset.format == "parquet":
            names = pq.read_schema(file.path).names
            _compare_columns(dataset, file, names, in_order=False)
        else:
            _check_text(dataset, file)
    except FileDamageError as damage:
        return damage
    except (OSError, EOFError) as error:
        return FileDamageError(file, f"cannot be read: {error}")
    return None


def _check_text(dataset: SourceDataset, file: DeliveredFile) -> None:
    with open_decompressed(file) as stream:
        head = bytes(stream.read(_HEAD_BYTES))
        whole = len(head) < _HEAD_BYTES
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            _refuse_format(dataset, file, what)
    text = _text_of_head(dataset, file, head, whole)
    opening = text.lstrip("\ufeff \t\r\n")[:200].lower()
    if opening.startswith(("<!doctype", "<html", "<?xml", "<head", "<body")):
        _refuse_format(dataset, file, "HTML or XML (an error page that was saved?)")
    if dataset.format == "csv" and dataset.has_header:
        _check_header(dataset, file, text.removeprefix("\ufeff"))
    if dataset.format == "jsonl":
        if opening.startswith("["):
            _refuse_format(dataset, file, "one JSON array; write one object per line")
        with open_decompressed(file) as stream:
            rest = io.TextIOWrapper(stream, dataset.encoding, errors="replace")
            check_keys(dataset, file, text.removeprefix("\ufeff"), rest)


def _text_of_head(dataset: SourceDataset, file: DeliveredFile, head: bytes, whole: bool) -> str:
    """The head as text, with U+FFFD for the few bytes that are none."""
    encoding = dataset.encoding
    if encoding in ("utf-16", "utf-32") and head and not head.startswith(_MARKS[encoding]):
        raise FileDamageError(
            file, f"does not begin with a byte order mark; is it {encoding}-le or {encoding}-be?"
        )
    decode = codecs.getincrementaldecoder(encoding)
    try:
        text, why = decode().decode(head, final=whole), ""
    except UnicodeDecodeError as error:
        text, why = (
            decode("replace").decode(head, final=whole),
            f"{error.reason}, byte {error.start}",
        )
    lines = text.splitlines()
    if why and _many(sum("\ufffd" in line for line in lines), lines):
        raise FileDamageError(
            file,
            f"is not {encoding} text: {why}. "
            f"If it is in another encoding, say so in {dataset.where}: options: encoding",
        )
    if _many(sum("\x00" in line for line in lines), lines):
        _refuse_format(dataset, file, "binary: it holds NUL bytes")
    return text


_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


def _many(strange: int, lines: list[str]) -> bool:
    return strange > _STRANGE_LINES_SHARE * len(lines)


def _check_header(dataset: SourceDataset, file: DeliveredFile, text: str) -> None:
    comment = dataset.options.get("comment")
    lines = io.StringIO(text, newline="")
    rows = [line for line in lines if _NOT_BLANK.search(line) and not _is_comment(line, comment)]
    if not rows:
        raise FileDamageError(
            file, f"is empty: it has not even the header {','.join(dataset.columns)}"
        )
    before = text[: text.index(rows[0])].replace("\n", "")
    if dataset.is_multiline and before and not _is_comment(before, comment):
        raise FileDamageError(file, "begins with a blank line before its header; take it away")
    _compare_columns(dataset, file, _fields(dataset, rows), in_order=True)


def _is_comment(line: str, comment: str | None) -> bool:
    return comment is not None and line.startswith(comment)


def _fields(dataset: SourceDataset, lines: list[str]) -> list[str]:
    """The first record's fields."""
    delimiter, quote = dataset.options.get("delimiter", ","), dataset.options.get("quote", '"')
    if len(delimiter) > 1:  # Python's reader knows one character only
        fields = lines[0].rstrip("\r\n").split(delimiter)
        return [field.strip(quote) if quote else field for field in fields]
    if not quote:
        return next(csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE))
    return next(csv.reader(lines, delimiter=delimiter, quotechar=quote))


def _compare_columns(
    dataset: SourceDataset, file: DeliveredFile, found: list[str], *, in_order: bool
) -> None:
    wanted = list(dataset.columns)
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    faults = []
    if in_order and len(missing) == len(wanted):
        # A first row of data, perhaps: what it holds is no name.
        raise InputError(
            f"{file.path}: its first line names none of the columns {','.join(wanted)} (it has "
            f"{len(found)} fields). Either {dataset.where} has another delimiter in its options, "
            "or the file has no header (options: header: false)"
        )
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
            f"{differ_a_little(extra, missing)}"
        )


def _refuse_format(dataset: SourceDataset, file: DeliveredFile, found: str) -> None:
    raise FileDamageError(file, f"is {found}; {dataset.where} expects {dataset.format}")
