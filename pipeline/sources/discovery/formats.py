"""What one group of files is: its format, encoding, dialect and columns, and a sample of its rows.

Reads at most `SAMPLE_BYTES` from the beginning of at most `SAMPLE_FILES` files of a group (the
first, the last and some between), and keeps at most `SAMPLE_ROWS` rows; of Parquet, the first rows
of each such file. What is said of a table is said of that sample.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.sources.damage import FileDamageError, open_decompressed, why_unreadable
from pipeline.sources.discovery.encodings import encoding_of
from pipeline.sources.discovery.folder import FileGroup
from pipeline.sources.discovery.parquet_sample import parquet_rows
from pipeline.sources.file_pattern import DeliveredFile

SAMPLE_BYTES = 1024 * 1024
SAMPLE_FILES = 5
SAMPLE_ROWS = 10_000
_MOST_PATHS = 300  # of nested values

_DELIMITERS = (",", ";", "\t", "|", "||", "\x01", "^", "~")
_NUMBER = re.compile(r"[+-]?[\d.,]+(?:[eE][+-]?\d+)?$")


@dataclass
class Field:
    """A value of each row: how SQL reads it, and the sample's texts (none where there is none)."""

    name: str
    sql: str
    values: list[str | None]


@dataclass(frozen=True)
class Exploded:
    """An array whose objects are the rows of a table: SQL that gives it, a name for its element.

    `full` of `rows` rows of the file had any.
    """

    array: str
    alias: str
    full: int
    rows: int

    def is_of_element(self, sql: str) -> bool:
        """Whether an expression is of the element, not of the row around it."""
        return sql.startswith(f"{self.alias}.")


@dataclass
class Table:
    """A group of files, as far as its sample tells."""

    group: FileGroup
    format: str
    columns: list[str]
    fields: list[Field]
    rows: int
    options: dict[str, Any] = field(default_factory=dict)
    header_row: tuple[str, str] | None = None  # a column and what its header says, to be removed
    absent: list[str] = field(default_factory=list)
    is_whole: bool = False  # the sample is all there is
    guesses: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    exploded: Exploded | None = None

    @property
    def name(self) -> str:
        """What its files are called."""
        return self.group.name


class NotReadError(ValueError):
    """A group of files that no reader of a source takes; says what to do."""


def read_table(root: Path, group: FileGroup) -> Table:
    """The table of a group of files.

    Raises:
        NotReadError: the files are something else than their names say, or empty.
    """
    paths = _spread(group.paths)
    try:
        if group.kind == "parquet":
            return _parquet(root, group, paths)
        heads = [_head(root, path) for path in paths]
    except NotReadError:
        raise
    except (OSError, EOFError, FileDamageError, ValueError) as error:
        raise NotReadError(f"cannot be read: {error}"[:300]) from None
    raw = b"".join(data[:4096] for data, _ in heads)
    if not raw.strip(b"\x00 \r\n\t\xef\xbb\xbf"):
        raise NotReadError("is empty")
    for signature, what in _SIGNATURES.items():
        if heads[0][0].startswith(signature):
            raise NotReadError(f"is {what}")
    encoding, doubt = encoding_of([data for data, _ in heads])
    texts = [_text(data, encoding, whole=whole) for data, whole in heads]
    is_whole = all(whole for _, whole in heads) and len(paths) == len(group.paths)
    if texts[0][:4096].count("\x00") > 0.01 * len(texts[0][:4096]):
        raise NotReadError("is no text, whatever its name says; have it delivered as CSV")
    opening = texts[0].lstrip()[:200]
    if opening.lower().startswith(("<!doctype", "<html", "<?xml", "<head", "<body")):
        raise NotReadError("is HTML or XML (an error page that was saved?)")
    if group.kind == "json" or opening.startswith(("{", "[{")):
        table = _json_lines(group, texts, encoding)
    else:
        table = _csv(group, texts, is_whole=is_whole)
    table.is_whole = is_whole and table.is_whole
    if encoding != "utf-8":
        table.options["encoding"] = encoding
        table.guesses.append(f"the text is not UTF-8; it reads well as {encoding}")
    if doubt:
        table.doubts.append(doubt)
    return table


_SIGNATURES = {
    b"PAR1": "a Parquet file; name it .parquet",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"\x1f\x8b": "gzip data; name it .gz",
    b"\x28\xb5\x2f\xfd": "zstd data; name it .zst",
    b"SQLite format 3": "an SQLite database; export its tables",
}


def _spread(paths: Sequence[str]) -> list[str]:
    """At most `SAMPLE_FILES` of them: the first, the last, and some between."""
    if len(paths) <= SAMPLE_FILES:
        return list(paths)
    last = len(paths) - 1
    return [paths[round(place * last / (SAMPLE_FILES - 1))] for place in range(SAMPLE_FILES)]


def _head(root: Path, path: str) -> tuple[bytes, bool]:
    file = DeliveredFile(path, root / path, None)
    try:
        with open_decompressed(file) as stream:
            data = bytes(stream.read(SAMPLE_BYTES + 1))
    except OSError as error:
        raise NotReadError(why_unreadable(file, error)[:300]) from None
    return data[:SAMPLE_BYTES], len(data) <= SAMPLE_BYTES


def _text(data: bytes, encoding: str, *, whole: bool) -> str:
    text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
    if whole:
        return text
    end = max(text.rfind("\n"), text.rfind("\r"))  # a last line that is cut off is left out
    return text[: end + 1] if end >= 0 else text


def _sql_name(name: str) -> str:
    """A column as SQL names it: in backquotes where it is no plain word."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _RESERVED
    return name if plain else "`" + name.replace("`", "``") + "`"


_KEYWORDS = """
    all and any as at between both by case cast check collate column create cross current_date
    current_time current_timestamp current_user date day desc distinct else end except exists false
    fetch for foreign from full grant group having hour in inner intersect interval into is join
    leading left like lateral limit minute minus month natural not null offset on only or order
    outer overlaps primary references right second select session_user set some table then time
    timestamp to trailing true union unique unknown user using values when where with within year"""
_RESERVED = {*_KEYWORDS.split()}


# -- Parquet -------------------------------------------------------------------------------------


def _parquet(root: Path, group: FileGroup, paths: list[str]) -> Table:
    per_file = max(1, SAMPLE_ROWS // len(paths))
    columns: list[str] = []
    rows: list[dict[str, Any]] = []
    whole = len(paths) == len(group.paths)
    for path in paths:
        names, some, all_read = parquet_rows(root / path, per_file)
        if columns and [*names] != columns and {*names} != {*columns}:
            raise NotReadError(
                "differ in their columns: "
                + ", ".join(sorted({*names} ^ {*columns})[:8])
                + " are only in some; deliver them under names of their own"
            )
        columns = columns or names
        rows += some
        whole = whole and all_read
    table = Table(group, "parquet", columns, _nested_fields(columns, rows), len(rows))
    table.is_whole = whole
    return table


# -- JSON Lines ----------------------------------------------------------------------------------


def _json_lines(group: FileGroup, texts: Sequence[str], encoding: str) -> Table:
    if encoding.startswith(("utf-16", "utf-32")):
        raise NotReadError(f"is JSON in {encoding}; have it written in UTF-8, as JSON is to be")
    if texts[0].lstrip().startswith("["):
        raise NotReadError("is one JSON array; write one object per line (jq -c '.[]' makes it so)")
    rows, wrong = [], 0
    in_files: list[set[str]] = []
    for text in texts:
        keys: set[str] = set()
        for line in re.split(r"[\r\n]+", text)[: SAMPLE_ROWS // len(texts)]:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                rows.append(row)
                keys |= {*row}
            else:
                wrong += 1
        in_files.append(keys)
    if len(rows) < max(1, wrong):
        raise NotReadError(
            "is not JSON Lines; write one object per line (a pretty-printed file is not read)"
        )
    counts = Counter(key for row in rows for key in row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(group, "jsonl", columns, _nested_fields(columns, rows), len(rows))
    # A key that many lines lack may be lacking from a whole file of another day.
    table.absent = [
        key
        for key in columns
        if any(key not in keys for keys in in_files) or counts[key] < 0.9 * len(rows)
    ]
    table.is_whole = len(rows) < SAMPLE_ROWS
    if wrong:
        table.doubts.append(f"{wrong:,} of {len(rows) + wrong:,} lines are no JSON objects")
    return table


def _nested_fields(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[Field]:
    """The columns, and the single values inside them, each with the SQL that reads it."""
    fields = []
    for column in columns:
        values = [row.get(column) for row in rows]
        nested = [value for value in values if isinstance(value, dict | list)]
        fields.append(Field(column, _sql_name(column), [as_text(value) for value in values]))
        if nested:
            fields += _inside(column, values)
    return fields


def _inside(column: str, values: Sequence[Any]) -> list[Field]:
    paths: dict[tuple[str, ...], None] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(key, str) and len(path) < 4:
                    walk(inner, (*path, key))
        elif path and not isinstance(value, list):
            paths.setdefault(path)

    for value in values[:1000]:
        walk(value, ())
    fields = []
    for path in list(paths)[:_MOST_PATHS]:
        if any(re.search(r"['\[\]\"\\]", key) for key in path):
            continue
        keys = "".join(f".{key}" if re.fullmatch(r"\w+", key) else f"[\\'{key}\\']" for key in path)
        texts = [as_text(at(value, path)) for value in values]
        name = ".".join((column, *path))
        fields.append(Field(name, f"get_json_object({_sql_name(column)}, '${keys}')", texts))
    return fields


def at(value: Any, path: Sequence[str]) -> Any:
    """What stands at a path inside a JSON value; None where nothing does."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def as_text(value: Any) -> str | None:
    """A JSON value as a raw column has it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


# -- CSV -----------------------------------------------------------------------------------------


def _csv(group: FileGroup, texts: Sequence[str], *, is_whole: bool) -> Table:
    comment = _comment(texts[0])
    if comment:
        texts = [_without_comments(text, comment) for text in texts]
    delimiter = _delimiter(texts[0])
    quote, escape = _quotes(texts[0], delimiter)
    limit = SAMPLE_ROWS // len(texts) + 1
    parsed = [_records(text, delimiter, quote, escape, limit) for text in texts]
    if not parsed[0]:
        raise NotReadError("is empty")
    names = parsed[0][0]
    has_header = _is_header(parsed[0])
    others = [rows[0] for rows in parsed[1:] if rows]
    if has_header and any(other != names for other in others):
        odd = next(other for other in others if other != names)
        raise NotReadError(
            f"differ in their headers ({','.join(names)[:120]} and {','.join(odd)[:120]}); "
            "deliver them under names of their own"
        )
    columns, header_row = _column_names(names, has_header=has_header)
    start = 1 if has_header else 0
    rows = [row for records in parsed for row in records[start:]]
    right = [row for row in rows if len(row) == len(columns)]
    table = Table(
        group,
        "csv",
        columns,
        [
            Field(name, _sql_name(name), [row[place] or None for row in right])
            for place, name in enumerate(columns)
        ],
        len(right),
        header_row=header_row,
        is_whole=sum(map(len, parsed)) < SAMPLE_ROWS,
    )
    _say_dialect(table, delimiter, quote, escape, comment)
    if not has_header:
        table.options["header"] = False
        table.guesses.append("no header: the first line is a row like the others")
    elif header_row:
        table.options["header"] = False
        table.guesses.append(
            "two columns have one name (or a name is empty), so the header is read as a row and "
            "removed; a changed header is then not noticed"
        )
    if any("\n" in value or "\r" in value for row in right for value in row):
        table.options["multiline"] = True
        table.guesses.append("a field holds a line break")
    elif not is_whole and '"' in texts[0] and _has_long_texts(right):
        table.options["multiline"] = True
        table.guesses.append(
            "long texts in quotation marks may hold line breaks, though none of the sample does"
        )
    if len(right) < len(rows):
        table.doubts.append(
            f"{len(rows) - len(right):,} of {len(rows):,} rows have another number of fields"
        )
    return table


def _has_long_texts(rows: Sequence[Sequence[str]]) -> bool:
    return any(len(value) > 120 for row in rows[:2000] for value in row)


def _say_dialect(table: Table, delimiter: str, quote: str, escape: str, comment: str) -> None:
    if delimiter != ",":
        table.options["delimiter"] = delimiter
    if quote != '"':
        table.options["quote"] = quote
    if escape:
        table.options["escape"] = escape
    if comment:
        table.options["comment"] = comment


def _comment(text: str) -> str:
    lines = text.split("\n", 3)[:3]
    for mark in "#%":
        # A header may begin with the mark itself; a comment has fewer fields than what follows.
        if lines[0].startswith((mark + " ", mark + "\t", mark * 2)) and len(lines) > 1:
            return mark
    return ""


def _without_comments(text: str, mark: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(mark))


def _delimiter(text: str) -> str:
    """The one by which the first records have most fields, all of one number."""
    best, most = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        records = _records(text, delimiter, '"', "", 200)
        sizes = Counter(map(len, records))
        if not sizes:
            continue
        size, same = max(sizes.items(), key=lambda one: (one[1], one[0]))
        if size < 2:
            continue
        merit = (round(same / len(records), 1), size)
        if merit > most:
            best, most = delimiter, merit
    # Of `a||b` a single bar would make a field of nothing between every two.
    is_double = best == "|" and "|" not in text.split("\n", 1)[0].replace("||", "")
    return "||" if is_double else best


def _quotes(text: str, delimiter: str) -> tuple[str, str]:
    """The quotation mark (none: empty) and, where it is no doubled mark, the escape."""
    some = text[:200_000]
    edge = re.escape(delimiter)
    for mark in ('"', "'"):
        opens = len(re.findall(rf"(?:^|{edge}){mark}", some, re.MULTILINE))
        closes = len(re.findall(rf"{mark}(?={edge}|\r?$)", some, re.MULTILINE))
        if opens and closes and (mark == '"' or min(opens, closes) > 0.1 * some.count("\n")):
            doubled = some.count(mark * 2)
            escaped = len(re.findall(rf"(?<!\\)\\{mark}", some))
            return mark, "\\" if escaped > doubled else ""
    # A mark within fields, but none around them, is a letter like others.
    return ('"', "") if '"' not in some else ("", "")


def _records(text: str, delimiter: str, quote: str, escape: str, limit: int) -> list[list[str]]:
    if len(delimiter) > 1:
        lines = [line for line in text.splitlines()[:limit] if line.strip()]
        return [[value.strip(quote or None) for value in line.split(delimiter)] for line in lines]
    records = []
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        escapechar=escape or None,
        doublequote=not escape,
    )
    try:
        for row in reader:
            if any(value.strip() for value in row):
                records.append(row)
            if len(records) >= limit:
                break
    except csv.Error:
        pass
    return records


def _is_header(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record names columns: no number, no time, none of it among the rows."""
    first, rest = records[0], records[1:200]
    if any(_NUMBER.match(name.strip()) or re.match(r"\d{4}-\d\d-\d\d", name) for name in first):
        return False
    if not rest:
        return True
    named = sum(1 for name in first if re.search(r"[^\W\d]", name))
    alike = sum(
        1
        for place, name in enumerate(first)
        if any(len(row) > place and row[place] == name for row in rest)
    )
    return named >= len(first) - 1 and alike <= 0.2 * len(first)


def _column_names(
    first: Sequence[str], *, has_header: bool
) -> tuple[list[str], tuple[str, str] | None]:
    """Names that can be told apart, and what to remove the header by where its own cannot be."""
    if not has_header:
        return [f"column_{place}" for place in range(1, len(first) + 1)], None
    seen: Counter[str] = Counter()
    names = []
    for place, name in enumerate(first, 1):
        plain = name.strip() or f"column_{place}"
        plain = "_" + plain.lstrip("_") if plain.startswith("__") else plain
        seen[plain.lower()] += 1
        names.append(plain if seen[plain.lower()] == 1 else f"{plain}_{seen[plain.lower()]}")
    if names == list(first):
        return names, None
    # A header whose names are all changed is known by the first of them, as it stands in the file.
    told = [place for place, name in enumerate(first) if name.strip()]
    unchanged = [place for place in told if names[place] == first[place]]
    if not told:
        raise NotReadError("has a first line without a name in it; give its columns names")
    place = (unchanged or told)[0]
    return names, (names[place], first[place])
