"""What is kept of files that the retailer overwrites: `delivery: snapshot` of a source.

    <paths.snapshots>/<dataset>/dates/2026-03-04.json    which snapshot the night of a date has read
    <paths.snapshots>/<dataset>/<snapshot>/rows-*.parquet    the rows as the reader gave them
    <paths.snapshots>/<dataset>/<snapshot>/snapshot.json     what it was made of; written last

A snapshot is named `<date of the night that took it>.<digest of its content>`. A night that finds
what the night before has read keeps nothing again: its date names the same snapshot. Beside the raw
columns a row has its file and, of users, the keyed hash of its user (`USER`), so that an erasure
finds it whatever the source's expressions do to an id. The rows hold raw ids, so all of this lies
outside the lake, for the account alone (files 600, directories 700).

A date sees the newest snapshot that was taken for it or for a date before it, and a date before the
first one sees the first. Only the newest date may be taken again, as long as no later one was: a
night that is run once more after its file was corrected reads the corrected file.

A snapshot is renamed into its place when it is whole, then its date names it. What a kill has left
before that is removed when the next one is taken (`alone`), and so is, two days later, a snapshot
whose night was run again. Standard library only.
"""

from __future__ import annotations

import bisect
import datetime as dt
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.errors import DamagedError
from pipeline.intact import FaultError, file_sha256, read_sealed_json, sealed_json
from pipeline.locks import alone

DATES, MANIFEST, ROWS = "dates", "snapshot.json", "rows-*.parquet"
USER = "__user"  # column of the kept rows
_ASIDE, _LOCK = "taking-", ".lock"
_FOLDER, _FILE = 0o700, 0o600
_MAY_BE_READ_SECONDS = 2 * 24 * 3600


@dataclass(frozen=True)
class Snapshot:
    """A kept snapshot.

    Attributes:
        path: its directory.
        manifest: `made_of` (digest of all that decides the kept rows), `raw` (path below the raw
            root -> size and SHA-256), `rows` (of each raw file), `kept` (rows in `files`), `erased`
            (rows of erased users, which are not kept), `columns`, `user_columns`, `files` (each
            with size and SHA-256).
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As dates name it."""
        return self.path.name

    @property
    def files(self) -> list[Path]:
        """Parquet files with the kept rows, in name order."""
        return sorted(self.path.glob(ROWS))

    @cached_property
    def content(self) -> str:
        """A digest of the raw files: two snapshots of the same bytes have the same."""
        sums = {name: of["sha256"] for name, of in self.manifest["raw"].items()}
        return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def rows(self) -> int:
        """Rows of the raw files, those of erased users too."""
        return sum(self.manifest["rows"].values())


class Snapshots:
    """The snapshots of one dataset; use `alone` around what changes them."""

    def __init__(self, root: Path | str, dataset: str) -> None:
        self.root = Path(root) / dataset

    def dates(self) -> list[dt.date]:
        """Dates whose night has read a snapshot, ascending."""
        names = (path.stem for path in (self.root / DATES).glob("[0-9]*.json"))
        return sorted(dt.date.fromisoformat(name) for name in names)

    def on(self, date: dt.date) -> Snapshot | None:
        """The snapshot that the night of a date has read.

        Raises:
            DamagedError: what is kept of the date cannot be read.
        """
        path = self._date(date)
        if not path.exists():
            return None
        try:
            return self.named(read_sealed_json(path)["snapshot"])
        except (FaultError, KeyError) as error:
            raise _damaged(path, error) from None

    def as_of(self, date: dt.date) -> Snapshot | None:
        """The snapshot that a date sees: the newest up to it, or else the first; None: no one."""
        return self.seen_by()(date)

    def seen_by(self) -> Callable[[dt.date], Snapshot | None]:
        """`as_of` for many dates: the dates are listed once, as they are now."""
        dates, on = self.dates(), cache(self.on)

        def seen(date: dt.date) -> Snapshot | None:
            upto = bisect.bisect_right(dates, date)
            return on(dates[max(upto - 1, 0)]) if dates else None

        return seen

    def named(self, name: str) -> Snapshot:
        """A snapshot by its name.

        Raises:
            DamagedError: it is not there, or not whole.
        """
        path = self.root / name / MANIFEST
        try:
            return Snapshot(path.parent, read_sealed_json(path))
        except FaultError as error:
            raise _damaged(path, error) from None

    def has(self, name: str) -> bool:
        """Whether a snapshot is kept."""
        return (self.root / name / MANIFEST).exists()

    def sees_kept(self, date: dt.date) -> bool:
        """Whether a date reads what is kept, and not the file as it is now."""
        return any(one >= date for one in self.dates())

    # -- changing them --------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time; what a kill has left is removed first."""
        durable.make_directory(self.root)
        self.root.chmod(_FOLDER)
        with alone(self.root / _LOCK, "takes a snapshot"):
            for left in [*self.root.glob(f"{_ASIDE}*"), *durable.cut_off_removals(self.root)]:
                shutil.rmtree(left)
            for path in self._replaced():
                durable.remove(path)
            yield

    def begin(self, date: dt.date) -> Path:
        """A new directory in which the snapshot of a date is made."""
        path = self.root / f"{_ASIDE}{date.isoformat()}"
        path.mkdir(_FOLDER)
        return path

    def put(self, aside: Path, name: str, manifest: Mapping[str, Any]) -> Snapshot:
        """Give a directory with `rows-*.parquet` its manifest and its name.

        A snapshot of that name that no date has come to name has the same content, and goes.
        """
        files = sorted(aside.glob(ROWS))
        sums = {file.name: _sum(file) for file in files}
        with durable.in_place(aside / MANIFEST, _FILE) as file:
            file.write(sealed_json({**manifest, "files": sums}))
        for path in files:
            path.chmod(_FILE)
        aside.chmod(_FOLDER)
        durable.sync_files(files)
        durable.sync_directory(aside)
        target = self.root / name
        if target.exists():
            durable.remove(target)
        durable.rename(aside, target)
        return self.named(name)

    def note(self, date: dt.date, snapshot: Snapshot, run_id: str) -> None:
        """Have a date name a snapshot."""
        path = self._date(date)
        durable.make_directory(path.parent)
        path.parent.chmod(_FOLDER)
        said = {"date": date.isoformat(), "snapshot": snapshot.name, "run_id": run_id}
        with durable.in_place(path, _FILE) as file:
            file.write(sealed_json(said))

    def aside_of(self, snapshot: Snapshot) -> Path:
        """A new directory in which files of a snapshot are made again."""
        path = self.root / f"{_ASIDE}{snapshot.name}"
        path.mkdir(_FOLDER)
        return path

    def replace_rows(self, snapshot: Snapshot, files: Mapping[str, Path], kept: int) -> None:
        """Put files with fewer rows in the place of some.

        The manifest goes first: after a kill, who does the same once more makes the same files.

        Args:
            snapshot: whose.
            files: name -> the new file.
            kept: rows of all files of the snapshot then.
        """
        sums = {**snapshot.manifest["files"], **{name: _sum(new) for name, new in files.items()}}
        erased = snapshot.rows - kept
        said = {**snapshot.manifest, "files": sums, "kept": kept, "erased": erased}
        for new in files.values():
            new.chmod(_FILE)
        durable.sync_files(files.values())
        with durable.in_place(snapshot.path / MANIFEST, _FILE) as file:
            file.write(sealed_json(said))
        for name, new in files.items():
            durable.rename(new, snapshot.path / name)

    def _replaced(self) -> list[Path]:
        """Snapshots that no date names any more, and that no night can be reading any more."""
        named = {self._named_on(date) for date in self.dates()}
        old = time.time() - _MAY_BE_READ_SECONDS
        return [
            path
            for path in self.snapshots()
            if path.name not in named and (path / MANIFEST).stat().st_mtime < old
        ]

    # -- what is kept too long, and what is not what was written ----------------------------

    def snapshots(self) -> list[Path]:
        """Directories of all snapshots, whether or not a date names them, in name order."""
        return sorted(path.parent for path in self.root.glob(f"[0-9]*/{MANIFEST}"))

    def expiring(self, until: dt.date) -> tuple[list[dt.date], list[Path]]:
        """Dates and snapshots that no day after `until` needs.

        The newest date up to `until` stays: the day after it is compared with that.
        """
        dates = self.dates()
        old = [date for date in dates if date <= until][:-1]
        named = {found.name for date in dates if date not in old and (found := self.on(date))}
        return old, [path for path in self.snapshots() if path.name not in named]

    def expire(self, until: dt.date) -> None:
        """Remove what `expiring` names."""
        with self.alone():
            dates, paths = self.expiring(until)
            for date in dates:
                self._date(date).unlink()
            if dates:
                durable.sync_directory(self.root / DATES)
            for path in paths:
                durable.remove(path)

    def faults(self) -> Iterator[str]:
        """What is not as it was written, a line each; reads everything."""
        again = "run the newest date again; to give up an older one, remove its file in dates"
        for date in self.dates():
            try:
                self.on(date)
            except DamagedError as error:
                yield f"{error}"
        for path in self.snapshots():
            try:
                said = self.named(path.name).manifest["files"]
            except DamagedError as error:
                yield f"{error}"
                continue
            for name in sorted({*said, *(file.name for file in path.glob(ROWS))}):
                if name not in said or not (path / name).exists():
                    yield f"{path / name} is missing, or nothing names it: {again}"
                elif _sum(path / name) != said[name]:
                    yield f"{path / name} is not what was written: {again}"

    def said(self) -> str:
        """How many are kept and since when, for people; empty where none is."""
        dates = self.dates()
        if not dates:
            return ""
        names = [self._named_on(date) for date in dates]
        since = next(
            date
            for number, date in enumerate(dates)
            if all(name == names[-1] for name in names[number:])
        )
        last = f"the newest is of {dates[-1]}"
        if since != dates[-1]:
            last += f", unchanged since {since}"
        kept = _number(len({*names}), "snapshot")
        return f"{kept} kept for {_number(len(dates), 'night')} since {dates[0]}; {last}"

    def _named_on(self, date: dt.date) -> str:
        try:
            return str(json.loads(self._date(date).read_text(encoding="utf-8"))["snapshot"])
        except (OSError, ValueError, KeyError) as error:
            raise _damaged(self._date(date), error) from None

    def _date(self, date: dt.date) -> Path:
        return self.root / DATES / f"{date.isoformat()}.json"


def all_snapshots(root: Path | str) -> list[Snapshots]:
    """The snapshots of each dataset that there are any of, in name order."""
    return [Snapshots(root, path.name) for path in sorted(Path(root).glob("[a-z]*/"))]


def _number(n: int, of: str) -> str:
    return f"{n} {of}" if n == 1 else f"{n} {of}s"


def _sum(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "sha256": file_sha256(file)}


def _damaged(path: Path, error: Exception) -> DamagedError:
    return DamagedError(
        f"the kept snapshot cannot be read: {path}: {error}. Bring it back; or remove the dates "
        f"that name it from {path.parent.parent / DATES}, and those nights read the one before"
    )
