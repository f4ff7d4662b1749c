"""The lake: where every dataset lives, and the one protocol by which it is written.

Layout (see docs/architecture.md): in `<dataset>/run_date=D/run_id=R/` the `manifest.json` is
written last and closes the directory; `<dataset>/run_date=D/current.json` is then replaced by an
atomic rename. A reader resolves `current.json`; a directory that no manifest closes is never read,
one that is closed is never changed. A retry of the same run replaces what that run had not closed,
and goes beside what it had, to `run_id=R.2`, `run_id=R.3` …; the pointers name directories, the
manifests the runs. `latest.json` of a published dataset names one directory of all dates.

Gives up: object stores are not exercised. The protocol needs only an atomic replace of one
small file, which they have, but the paths and the lock here are local ones. Two processes that
write the same run of the same date at once are not kept apart here (generation takes a lock of its
own). Standard library only.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, StorageError

MANIFEST = "manifest.json"
CURRENT = "current.json"
LATEST = "latest.json"

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


@dataclass(frozen=True)
class Run:
    """One attempt at one night. Retries keep the `run_id`; a rerun takes a new one."""

    run_date: dt.date
    run_id: str

    def __post_init__(self) -> None:
        if not _RUN_ID.fullmatch(self.run_id):
            raise InputError(
                f"run_id {self.run_id!r} must be 1 to 120 letters, digits, '.', '_' or '-' "
                "(it becomes a directory name)"
            )


def run_id_of(text: str) -> str:
    """A directory-safe run id from any text, such as Airflow's `run_id`.

    >>> run_id_of("manual__2026-03-01T00:00:00+00:00")
    'manual__2026-03-01T00-00-00-00-00'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip("._-")[:120] or "run"


@dataclass(frozen=True)
class Partition:
    """A closed partition: its directory, the run that made it, and what its manifest says."""

    path: Path
    run_date: dt.date
    run_id: str
    manifest: dict[str, Any]

    @property
    def files(self) -> list[Path]:
        """The data files, in name order."""
        return [self.path / entry["path"] for entry in self.manifest["files"]]

    @property
    def directory_id(self) -> str:
        """What pointers call it: the run id, or `R.2` … where the run wrote more than once."""
        return self.path.name.removeprefix("run_id=")

    @property
    def rows(self) -> int:
        """Rows, as counted by the writer."""
        return int(self.manifest["rows"])


class Lake:
    """All paths below one root, and the commit protocol."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    # -- paths ---------------------------------------------------------------------------

    def dataset(self, name: str) -> Path:
        """`<lake>/<name>`."""
        return self.root / name

    def date_directory(self, name: str, run_date: dt.date) -> Path:
        """`<lake>/<name>/run_date=D`."""
        return self.dataset(name) / f"run_date={run_date.isoformat()}"

    def run_directory(self, name: str, run: Run) -> Path:
        """`<lake>/<name>/run_date=D/run_id=R`, the first directory that a run fills."""
        return self.date_directory(name, run.run_date) / f"run_id={run.run_id}"

    def records(self, run: Run) -> Path:
        """`<lake>/runs/run_date=D/run_id=R`: stage records, data docs, the report."""
        return self.run_directory("runs", run)

    def work(self, stage: str, run: Run) -> Path:
        """Scratch space of one stage of one run; survives a retry."""
        return self.run_directory(f"work/{stage}", run)

    # -- writing -------------------------------------------------------------------------

    def begin(self, name: str, run: Run) -> Path:
        """Make an empty directory for a run to fill and `commit`.

        What an earlier, unfinished attempt left is removed. What one has closed stays, and stays
        what readers see until the commit: it may be what a published night was made from.
        """
        directory = self._open_directory(name, run)
        with storage_errors(f"cannot write {directory}"):
            if directory.exists():
                shutil.rmtree(directory)
            directory.mkdir(parents=True)
        return directory

    def close(self, name: str, run: Run, *, rows: int | None = None, **facts: Any) -> Partition:
        """Close the directory that `begin` made with its manifest; nobody is pointed at it yet.

        Args:
            rows: number of rows over all files.
            **facts: further keys of the manifest.
        """
        directory = self._open_directory(name, run)
        if not directory.is_dir():
            raise StorageError(f"{directory} is not there to be committed: begin comes first")
        with storage_errors(f"cannot commit {directory}"):
            manifest = {
                "dataset": name,
                "run_date": run.run_date.isoformat(),
                "run_id": run.run_id,
                "rows": rows or 0,
                "files": [_file_entry(directory, path) for path in _data_files(directory)],
                **facts,
            }
            write_json(directory / MANIFEST, manifest)
        return Partition(directory, run.run_date, run.run_id, manifest)

    def commit(self, name: str, run: Run, *, rows: int | None = None, **facts: Any) -> Partition:
        """`close` a directory, then point its date at it."""
        partition = self.close(name, run, rows=rows, **facts)
        self.point(partition)
        return partition

    def point(self, partition: Partition) -> None:
        """Point a closed partition's date at it, if it does not yet."""
        pointer = partition.path.parent / CURRENT
        if pointer.exists() and _read_json(pointer)["run_id"] == partition.directory_id:
            return
        with storage_errors(f"cannot commit {partition.path}"):
            write_json(pointer, {"run_id": partition.directory_id})

    def publish(
        self,
        name: str,
        partition: Partition,
        beside: Callable[[Partition], AbstractContextManager[None]] = lambda _newest: nullcontext(),
    ) -> bool:
        """Point a closed partition's date at it, and `<name>/latest.json`, never backwards.

        Both pointers are written aside first and then only renamed, so a disk that is full is found
        out while readers still see what they saw. One process at a time does this.

        Args:
            beside: given what `latest.json` will name, a context that is entered before the first
                pointer is switched and left after the last: for what has to go along with them.

        Returns:
            whether `latest.json` now names this partition.
        """
        with self._alone(name), storage_errors(f"cannot publish {partition.path}"):
            before = self.latest(name)
            later = before is not None and before.run_date > partition.run_date
            newest = before if before is not None and later else partition
            current = {"run_id": partition.directory_id}
            latest = {"run_date": newest.run_date.isoformat(), "run_id": newest.directory_id}
            # Left in the opposite order: current.json is switched first.
            with (
                beside(newest),
                _json_beside(self.dataset(name) / LATEST, latest),
                _json_beside(partition.path.parent / CURRENT, current),
            ):
                pass
        return newest is partition

    def point_latest(self, name: str, run: Run) -> bool:
        """`publish` what a run has closed, with nothing beside it."""
        partition = self.committed(name, run)
        if partition is None:
            raise InputError(f"{self.run_directory(name, run)} was never committed")
        return self.publish(name, partition)

    def _open_directory(self, name: str, run: Run) -> Path:
        """The first of a run's directories that no manifest closes."""
        return next(path for path in self._directories(name, run) if not _is_closed(path))

    def _directories(self, name: str, run: Run) -> Iterator[Path]:
        """`run_id=R`, `run_id=R.2`, `run_id=R.3` …, without end."""
        first = self.run_directory(name, run)
        yield first
        for number in itertools.count(2):
            path = first.with_name(f"run_id={run.run_id[:110]}.{number}")
            if path != first:
                yield path

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold a dataset's lock; the system lets go of it when the process ends, however it ends."""
        path = self.root / f".{name}.lock"
        with storage_errors(f"cannot lock {path}"):
            file = path.open("a")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- reading -------------------------------------------------------------------------

    def current(self, name: str, run_date: dt.date) -> Partition | None:
        """The committed partition of a date, or none."""
        date_directory = self.date_directory(name, run_date)
        pointer = date_directory / CURRENT
        if not pointer.exists():
            return None
        return self.partition(name, run_date, _read_json(pointer)["run_id"])

    def partition(self, name: str, run_date: dt.date, directory_id: str) -> Partition:
        """A closed partition by the name that a pointer or a manifest gives it.

        Raises:
            StorageError: it is not there any more.
        """
        directory = self.date_directory(name, run_date) / f"run_id={directory_id}"
        manifest = _read_json(directory / MANIFEST)
        return Partition(directory, run_date, manifest["run_id"], manifest)

    def attempts(self, name: str, run: Run) -> list[Partition]:
        """Everything a run has closed, oldest first, whether or not the date points at it."""
        closed = itertools.takewhile(_is_closed, self._directories(name, run))
        found = (
            self.partition(name, run.run_date, path.name.removeprefix("run_id=")) for path in closed
        )
        # A run that was itself given the id `R.2` is not an attempt of R.
        return [partition for partition in found if partition.run_id == run.run_id]

    def committed(self, name: str, run: Run) -> Partition | None:
        """The newest partition that a run closed, whether or not the date points at it."""
        attempts = self.attempts(name, run)
        return attempts[-1] if attempts else None

    def require(self, name: str, run_date: dt.date) -> Partition:
        """The committed partition of a date.

        Raises:
            InputError: there is none; the message names the dataset, the date and what exists.
        """
        partition = self.current(name, run_date)
        if partition is None:
            dates = self.dates(name)
            there = f"newest there is {dates[-1]}" if dates else "there is none at all"
            raise InputError(
                f"no {name} for {run_date} in {self.root} ({there}); "
                "run the stage that writes it for this date first"
            )
        return partition

    def dates(self, name: str, upto: dt.date | None = None) -> list[dt.date]:
        """Dates with a committed partition, ascending; none after `upto`."""
        found = (
            dt.date.fromisoformat(pointer.parent.name.removeprefix("run_date="))
            for pointer in self.dataset(name).glob(f"run_date=*/{CURRENT}")
        )
        return sorted(date for date in found if upto is None or date <= upto)

    def past(self, name: str, upto: dt.date) -> list[Partition]:
        """Every committed partition up to and including a date, ascending."""
        return [self.require(name, date) for date in self.dates(name, upto)]

    def pointers(self, name: str, upto: dt.date) -> dict[dt.date, str]:
        """Date -> the directory its pointer names, up to and including a date, ascending.

        What `past` would read, without opening a manifest.
        """
        return {
            date: _read_json(self.date_directory(name, date) / CURRENT)["run_id"]
            for date in self.dates(name, upto)
        }

    def latest(self, name: str) -> Partition | None:
        """What `latest.json` points at, or none."""
        path = self.dataset(name) / LATEST
        if not path.exists():
            return None
        pointer = _read_json(path)
        return self.partition(name, dt.date.fromisoformat(pointer["run_date"]), pointer["run_id"])


def write_json(path: Path, value: Any) -> None:
    """Write JSON aside, flush it to the disk, and rename it into place."""
    with _json_beside(path, value):
        pass


@contextmanager
def _json_beside(path: Path, value: Any) -> Iterator[None]:
    """Write JSON aside and flush it to the disk; rename it into place after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, ensure_ascii=False, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        yield
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn the operating system's refusal (full disk, permission) into a clear error."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{doing}: {reason}; make room or give permission, then run the same date again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from None
    return value


def _is_closed(directory: Path) -> bool:
    return (directory / MANIFEST).exists()


def _data_files(directory: Path) -> list[Path]:
    """The files a reader should see: not the manifest, not hidden ones, not Spark's markers."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file()
        and path.name != MANIFEST
        and not any(part[0] in "._" for part in path.relative_to(directory).parts)
    )


def _file_entry(directory: Path, path: Path) -> dict[str, Any]:
    return {
        "path": path.relative_to(directory).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }
