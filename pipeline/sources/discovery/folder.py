"""Which files of a folder belong together: one group for each kind of file, with its pattern.

Looks at names only. A date in a path becomes `{date}` or `{date:%Y%m%d}`; numbers, hashes and
months by which files of one kind differ become `*`. Files that no reader of a source knows are
named with what can be done about them. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError
from pipeline.sources.dialect import without_compression
from pipeline.sources.file_pattern import RENAME, not_utf8

MOST_FILES = 50_000

_TEXT = {"csv", "tsv", "tab", "psv", "txt", "dat", "log"}
_JSON = {"jsonl", "ndjson", "json"}
_PARQUET = {"parquet", "pq", "parq"}
_NOT_READ = {
    "xlsx": "an Excel workbook; save each sheet as CSV (UTF-8)",
    "xls": "an Excel workbook; save each sheet as CSV (UTF-8)",
    "ods": "a spreadsheet; save each sheet as CSV (UTF-8)",
    "zip": "an archive; unpack it",
    "tar": "an archive; unpack it",
    "tgz": "an archive; unpack it",
    "7z": "an archive; unpack it",
    "rar": "an archive; unpack it",
    "xml": "XML; export CSV, JSON Lines or Parquet",
    "avro": "Avro; export Parquet or JSON Lines",
    "orc": "ORC; export Parquet",
    "db": "a database; export its tables as CSV or Parquet",
    "sqlite": "a database; export its tables as CSV or Parquet",
    "sql": "a database dump; export its tables as CSV or Parquet",
    "feather": "Feather; export Parquet",
    "arrow": "Arrow IPC; export Parquet",
    "pkl": "a pickle; export Parquet",
    "snappy": "compressed in a way that is not read here; use gzip, zstd or bzip2",
    "lz4": "compressed in a way that is not read here; use gzip, zstd or bzip2",
    "xz": "compressed in a way that is not read here; use gzip, zstd or bzip2",
    "br": "compressed in a way that is not read here; use gzip, zstd or bzip2",
}
# Spelling for strftime -> how it looks in a path. The longest first; of a folder a year, the
# folders are part of the date.
_DATES = (
    ("year=%Y/month=%m/day=%d", r"year=\d{4}/month=\d{2}/day=\d{2}"),
    ("y=%Y/m=%m/d=%d", r"y=\d{4}/m=\d{2}/d=\d{2}"),
    ("%Y/%m/%d", r"(?<!\d)(?:19|20)\d{2}/\d{2}/\d{2}(?!\d)"),
    ("%Y-%m-%d", r"(?<!\d)(?:19|20)\d{2}-\d{2}-\d{2}(?!\d)"),
    ("%Y_%m_%d", r"(?<!\d)(?:19|20)\d{2}_\d{2}_\d{2}(?!\d)"),
    ("%Y.%m.%d", r"(?<!\d)(?:19|20)\d{2}\.\d{2}\.\d{2}(?!\d)"),
    ("%Y%m%d", r"(?<!\d)(?:19|20)\d{6}(?!\d)"),
    ("%d.%m.%Y", r"(?<!\d)\d{2}\.\d{2}\.(?:19|20)\d{2}(?!\d)"),
    ("%d-%m-%Y", r"(?<!\d)\d{2}-\d{2}-(?:19|20)\d{2}(?!\d)"),
    ("%m-%d-%Y", r"(?<!\d)\d{2}-\d{2}-(?:19|20)\d{2}(?!\d)"),
    ("%d_%m_%Y", r"(?<!\d)\d{2}_\d{2}_(?:19|20)\d{2}(?!\d)"),
)
_CHANGES = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\d+"
    r"|(?i:(?<![a-z])(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}(?![a-z]))"
)


@dataclass(frozen=True)
class FileGroup:
    """Files of one kind: their pattern below the folder, and their paths in order."""

    pattern: str
    paths: tuple[str, ...]
    kind: str  # text, json or parquet, by the name's ending
    has_date: bool = False
    days: tuple[dt.date, ...] = ()
    doubt: str = ""  # what the names leave open

    @property
    def name(self) -> str:
        """What the files are called, without date, number and ending."""
        stem = without_compression(self.pattern)
        stem = re.sub(r"\{date[^{}]*\}|\*|(?:date|dt|day|ds)=", " ", stem)
        stem = re.sub(r"\.[A-Za-z]{2,8}$", "", stem)
        words = [part.strip(" ._-") for part in stem.split("/")]
        return next((word for word in reversed(words) if word and word != "part"), "files")


@dataclass(frozen=True)
class Folder:
    """What lies in a folder: groups of files, and files that are not read, with why."""

    groups: tuple[FileGroup, ...]
    left_out: tuple[tuple[str, str], ...]


def look_at(root: Path) -> Folder:
    """Group the files of a folder by their names.

    Raises:
        InputError: it is no folder, holds no file, or more than `MOST_FILES`.
    """
    if "://" in str(root):
        raise InputError(
            f"{root} is no folder; buckets and databases are not read: copy the files, or mount "
            "the bucket, and give the folder"
        )
    if not root.is_dir():
        said = "is a file; give the folder that it lies in" if root.is_file() else "is no folder"
        raise InputError(f"{root} {said}")
    paths = list(_paths(root))
    if not paths:
        raise InputError(f"{root} holds no file; give the folder that holds the shop's files")
    left_out, by_kind = [], defaultdict(list)
    for path in paths:
        if name := not_utf8(path):
            left_out.append((name, RENAME))
            continue
        kind, why = _kind(path)
        if why:
            left_out.append((path, why))
        else:
            by_kind[kind].append(path)
    groups = [group for kind, found in by_kind.items() for group in _groups(kind, found)]
    return Folder(tuple(sorted(groups, key=lambda group: group.pattern)), tuple(left_out))


def _paths(root: Path) -> Iterator[str]:
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        for name in sorted(names):
            if name[0] in "._" or ":" in name:
                continue
            seen += 1
            if seen > MOST_FILES:
                raise InputError(
                    f"{root} holds more than {MOST_FILES:,} files; give a folder with fewer, such "
                    "as one with a few days of each file"
                )
            yield (Path(folder) / name).relative_to(root).as_posix()


def _kind(path: str) -> tuple[str, str]:
    """The kind of a file, or why it is not read."""
    ending = without_compression(path.lower()).rsplit("/", 1)[-1].rpartition(".")[2]
    for kind, endings in (("text", _TEXT), ("json", _JSON), ("parquet", _PARQUET)):
        if ending in endings:
            return kind, ""
    if ending in _NOT_READ:
        return "", _NOT_READ[ending]
    if ending in ("yaml", "yml", "toml", "md", "html", "pdf", "png", "jpg", "py", "ipynb"):
        return "", "no data"
    if "." in path.rsplit("/", 1)[-1]:
        return "", "of an unknown kind; CSV, JSON Lines and Parquet are read, by their endings"
    return "text", ""  # such as part-00000 of a Hadoop job


def _groups(kind: str, paths: list[str]) -> Iterator[FileGroup]:
    dated: defaultdict[str, list[tuple[str, dt.date]]] = defaultdict(list)
    plain = []
    for path in paths:
        found = [_dated(path, spelling, regex) for spelling, regex in _DATES]
        options = [one for one in found if one is not None]
        if not options:
            plain.append(path)
        for pattern, day in options[:1] + [o for o in options[1:] if "%m-%d-%Y" in o[0]]:
            dated[pattern].append((path, day))
    yield from _dated_groups(kind, dated)
    by_shape: defaultdict[str, list[str]] = defaultdict(list)
    for path in plain:
        by_shape[_CHANGES.sub("*", path)].append(path)
    for shape, alike in sorted(by_shape.items()):
        if len(alike) == 1:
            yield FileGroup(_without_braces(alike[0]), (alike[0],), kind)
        else:
            pattern = re.sub(r"\*[-_.]?(?=\*)", "", shape)
            pattern = _without_braces(_only_what_changes(pattern, alike))
            yield FileGroup(pattern, tuple(alike), kind)


def _without_braces(path: str) -> str:
    """A path as a pattern: braces stand for a date there, so `?` stands for them."""
    return path.replace("{", "?").replace("}", "?")


def _only_what_changes(pattern: str, paths: list[str]) -> str:
    """The pattern, with what is the same in all paths written out again."""
    pieces = [_CHANGES.findall(path) for path in paths]
    if len({len(found) for found in pieces}) > 1:
        return pattern
    same = [column[0] if len({*column}) == 1 else "*" for column in zip(*pieces, strict=True)]
    between = _CHANGES.split(paths[0])
    return "".join(text + mark for text, mark in zip(between, [*same, ""], strict=True))


def _dated_groups(
    kind: str, dated: defaultdict[str, list[tuple[str, dt.date]]]
) -> Iterator[FileGroup]:
    """One group for each pattern; numbers beside the date become `*` where they differ."""
    merged: defaultdict[str, list[tuple[str, dt.date]]] = defaultdict(list)
    by_shape: defaultdict[str, list[str]] = defaultdict(list)
    for pattern in dated:
        holder = re.search(r"\{[^{}]*\}", pattern)
        marked = pattern.replace(holder.group(0), "\0") if holder else pattern
        shape = _CHANGES.sub("*", marked).replace("\0", holder.group(0) if holder else "")
        by_shape[shape].append(pattern)
    for shape, patterns in by_shape.items():
        key = patterns[0] if len(patterns) == 1 else shape
        for pattern in patterns:
            merged[key] += dated[pattern]
    taken: set[str] = set()
    for pattern, found in sorted(merged.items(), key=lambda one: (-len(one[1]), one[0])):
        new = [one for one in found if one[0] not in taken]
        if len(new) < len(found) or not new:
            continue  # day and month the other way round, which fits fewer names
        taken |= {path for path, _ in new}
        rival = pattern.replace("%d-%m-%Y", "%m-%d-%Y")
        unclear = rival != pattern and len(merged.get(rival, ())) == len(found)
        yield FileGroup(
            pattern,
            tuple(sorted(path for path, _ in new)),
            kind,
            has_date=True,
            days=tuple(sorted({day for _, day in new})),
            doubt="day and month may be the other way round in the names" if unclear else "",
        )


def _dated(path: str, spelling: str, regex: str) -> tuple[str, dt.date] | None:
    """The path with `{date}` for its first date of a spelling, and the day."""
    for match in re.finditer(regex, path):
        try:
            day = dt.datetime.strptime(match.group(0), spelling).date()  # noqa: DTZ007
        except ValueError:
            continue
        written = "{date}" if spelling == "%Y-%m-%d" else f"{{date:{spelling}}}"
        return _without_braces(path).replace(match.group(0), written), day
    return None
