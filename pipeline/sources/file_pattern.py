"""A source's file pattern: which files a day delivered, and the day of a file.

A pattern is a path relative to the raw root. `{date}` stands for the delivery day as 2026-03-01,
`{date:%Y%m%d}` for another spelling, `*` and `?` for any characters but a slash. A file may carry
`.gz`, `.zst` or `.bz2` behind the pattern. Files and folders whose name starts with `.` or `_` are
never matched: half-written files are named so, and Spark does not read them. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.errors import ContractError, InputError
from pipeline.sources.dialect import COMPRESSED

# strftime directive -> (regular expression, the same in Spark's datetime patterns)
_DIRECTIVES = {
    "%Y": (r"\d{4}", "yyyy"),
    "%m": (r"\d{2}", "MM"),
    "%d": (r"\d{2}", "dd"),
}
# A day of another year stands for none; and the days beside the calendar's ends are no dates.
FIRST_YEAR, LAST_YEAR = 1900, 2199
_PLACEHOLDER = re.compile(r"\{date(?::([^{}]*))?\}")


def no_path(text: str) -> str:
    """What to do where a path is the address of a bucket or a database."""
    if re.match("jdbc:|postgres(ql)?:", text):
        return (
            "a database is no path: write format: jdbc and table: {url: jdbc:postgresql://host/db, "
            "name: schema.table, watermark: created_at} in the source YAML instead of files"
        )
    return (
        "must be a path below the raw root; buckets are not read: copy the files, or mount the "
        "bucket, below paths.raw"
    )


RENAME = "its name is not UTF-8, and neither Java nor Parquet opens it: rename it"


def not_utf8(path: str) -> str:
    r"""A path that is no UTF-8 as it can be printed, such as `k\xfc.csv`; empty if it is UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return ""


@dataclass(frozen=True, order=True)
class DeliveredFile:
    """One file: where it is, its path below the raw root, and the day that its name says."""

    relative: str
    path: Path
    date: dt.date | None


@dataclass(frozen=True)
class FilePattern:
    """A parsed pattern."""

    text: str
    where: str

    def __post_init__(self) -> None:
        if re.match(r"[A-Za-z0-9+.]{2,}:", self.text):
            self._refuse(no_path(self.text))
        leftover = _PLACEHOLDER.sub("", self.text)
        if "{" in leftover or "}" in leftover:
            self._refuse("the only placeholder is {date} or {date:%Y%m%d}")
        if self.text.startswith("/") or ".." in Path(self.text).parts:
            self._refuse("must be a path below the raw root")
        if "**" in self.text:
            self._refuse("'**' is not supported; write one '*' per folder")
        spellings = {spelling or "%Y-%m-%d" for spelling in _PLACEHOLDER.findall(self.text)}
        if len(spellings) > 1:
            self._refuse("the date must be spelled one way")
        for spelling in spellings:
            if sorted(re.findall("%.", spelling)) != sorted(_DIRECTIVES):
                self._refuse(f"a date needs %Y, %m and %d once each, found {spelling!r}")

    @property
    def has_date(self) -> bool:
        """Whether the day can be read from a file's name."""
        return _PLACEHOLDER.search(self.text) is not None

    @cached_property
    def spelling(self) -> str:
        """How the day is spelled, as for strftime."""
        found = _PLACEHOLDER.search(self.text)
        return (found.group(1) if found else None) or "%Y-%m-%d"

    @cached_property
    def _any_day(self) -> str:
        """A glob for the day: of `%Y/%m/%d`, a folder for each part."""
        return re.sub("%.", "*", self.spelling) if "/" in self.spelling else "*"

    @cached_property
    def spark_date_format(self) -> str:
        """The same spelling for Spark's to_date."""
        parts = re.split("(%.)", self.spelling)
        return "".join(
            _DIRECTIVES[part][1] if part in _DIRECTIVES else "".join(f"'{c}'" for c in part)
            for part in parts
            if part
        )

    @cached_property
    def regex(self) -> str:
        """Matches a whole relative path; group 1 is the date. Valid in Python and in Java."""
        day = "".join(
            _DIRECTIVES[part][0] if part in _DIRECTIVES else re.escape(part)
            for part in re.split("(%.)", self.spelling)
        )
        regex, seen = "", False
        for piece in re.split(r"(\{date[^{}]*\}|\*|\?)", self.text):
            if piece.startswith("{date"):
                regex += r"\1" if seen else f"({day})"
                seen = True
            elif piece == "*":
                regex += "[^/]*"
            elif piece == "?":
                regex += "[^/]"
            else:
                regex += re.escape(piece)
        endings = "|".join(re.escape(ending) for ending in COMPRESSED)
        return f"^{regex}(?:{endings})?$"

    def on(self, date: dt.date) -> str:
        """The pattern with a day filled in, for messages."""
        return _PLACEHOLDER.sub(date.strftime(self.spelling), self.text)

    def files(self, raw_root: Path | str, date: dt.date | None = None) -> list[DeliveredFile]:
        """The files that are there, in path order; those of one day, if one is given.

        Raises:
            InputError: the name of one is not UTF-8.
        """
        root = Path(raw_root)
        files = [self._file(root, path) for path in self._found(root, date) if path.is_file()]
        return sorted(
            file for file in files if file and (date is None or file.date in (date, None))
        )

    def no_files(
        self, raw_root: Path | str, days: Collection[dt.date | None] = (), *, folders: bool = True
    ) -> list[str]:
        """What is called as the files should be and is none, each with what it is.

        Args:
            days: those that are asked for; none: all of them.
            folders: whether folders are said too: beside files they may well be meant.
        """
        root, said = Path(raw_root), []
        for path in sorted(self._found(root, None)):
            file = self._file(root, path)
            if file is None or (days and file.date not in days):
                continue
            name = file.relative
            if path.is_dir():  # as Spark writes a table of one name
                if not folders:
                    continue
                said.append(f"{name} is a folder: files must name what lies in it")
            elif path.is_symlink() and not path.exists():
                said.append(f"{name} is a link to {path.readlink()}, which is not there")
        return said

    def _found(self, root: Path, date: dt.date | None) -> set[Path]:
        """Paths of the pattern's form, whatever they are."""
        glob = self.on(date) if date else _PLACEHOLDER.sub(self._any_day, self.text)
        # The day and a `*` beside it are one star: two are no part of a name to Python.
        glob = re.sub(r"\*+", "*", glob.replace("[", "[[]"))
        found = {path for suffix in ("", *COMPRESSED) for path in root.glob(glob + suffix)}
        if not re.search(r"[*?\[]", glob):  # of one name, glob leaves out a link that leads nowhere
            links = (root / (glob + suffix) for suffix in ("", *COMPRESSED))
            found |= {path for path in links if path.is_symlink()}
        return found

    def matches(self, relative: str, date: dt.date | None = None) -> bool:
        """Whether a path below the raw root is of the pattern; of one day, if one is given.

        The file need not be there.
        """
        file = self._file(Path(), Path(relative))
        return file is not None and (date is None or file.date in (date, None))

    def _file(self, root: Path, path: Path) -> DeliveredFile | None:
        relative = path.relative_to(root).as_posix()
        match = re.match(self.regex, relative)
        if match is None or any(part[0] in "._" for part in Path(relative).parts):
            return None
        if name := not_utf8(relative):
            raise InputError(f"{root}: {name!r}: {RENAME} ({self.where}: files {self.text!r})")
        if not self.has_date:
            return DeliveredFile(relative, path, None)
        try:
            day = dt.datetime.strptime(match.group(1), self.spelling).date()  # noqa: DTZ007
        except ValueError:  # a name such as 2026-99-99.csv is no delivery
            return None
        if not FIRST_YEAR <= day.year <= LAST_YEAR:  # nor is one such as 9999-12-31.csv
            return None
        return DeliveredFile(relative, path, day)

    def _refuse(self, expected: str) -> None:
        raise ContractError(f"{self.where}: files {self.text!r}: {expected}")


@dataclass(frozen=True)
class FilePatterns:
    """Several patterns of one dataset, each for its own days; asked as one pattern is."""

    patterns: tuple[FilePattern, ...]
    spans: tuple[tuple[dt.date | None, dt.date | None], ...]  # first and last day of each

    @property
    def has_date(self) -> bool:
        """Whether the day can be read from each file's name."""
        return all(pattern.has_date for pattern in self.patterns)

    def on(self, date: dt.date) -> str:
        """The pattern that a day's files have, with the day filled in."""
        asked = [n for n in range(len(self.patterns)) if self._covers(n, date)]
        return " or ".join(self.patterns[n].on(date) for n in asked or range(len(self.patterns)))

    def files(self, raw_root: Path | str, date: dt.date | None = None) -> list[DeliveredFile]:
        """The files that are there, in path order; those of one day, if one is given.

        Raises:
            InputError: two patterns find the same file on the same day.
        """
        return sorted(file for one in self.apart(raw_root, date) for file in one)

    def no_files(
        self, raw_root: Path | str, days: Collection[dt.date | None] = (), *, folders: bool = True
    ) -> list[str]:
        """What is called as the files of one pattern should be and is none."""
        return [
            said for one in self.patterns for said in one.no_files(raw_root, days, folders=folders)
        ]

    def apart(self, raw_root: Path | str, date: dt.date | None = None) -> list[list[DeliveredFile]]:
        """The files of each pattern.

        Raises:
            InputError: two patterns find the same file on the same day.
        """
        found = [
            [file for file in pattern.files(raw_root, date) if self._covers(n, file.date)]
            for n, pattern in enumerate(self.patterns)
        ]
        seen: set[str] = set()
        for file in (file for one in found for file in one):
            if file.relative in seen:
                raise InputError(
                    f"{file.path} is of two layouts ({self.patterns[0].where}); give them from and "
                    "to, or patterns that find different files"
                )
            seen.add(file.relative)
        return found

    def number_of(self, file: DeliveredFile) -> int:
        """Which pattern a file is of."""
        return next(
            n
            for n, pattern in enumerate(self.patterns)
            if pattern.matches(file.relative, file.date) and self._covers(n, file.date)
        )

    def matches(self, relative: str, date: dt.date | None = None) -> bool:
        """Whether a path below the raw root is of one of the patterns."""
        return any(
            pattern.matches(relative, date) and self._covers(n, date)
            for n, pattern in enumerate(self.patterns)
        )

    def _covers(self, number: int, date: dt.date | None) -> bool:
        first, last = self.spans[number]
        return date is None or ((first is None or first <= date) and (last is None or date <= last))
