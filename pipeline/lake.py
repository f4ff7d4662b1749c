"""The lake: where every dataset lives, and the one protocol by which it is written.

Layout (see docs/architecture.md): in `<dataset>/run_date=D/run_id=R/` the `manifest.json` is
written last and closes the directory; `<dataset>/run_date=D/current.json` is then replaced by an
atomic rename. A reader resolves `current.json`; a directory that no manifest closes is never read,
one that is closed is never changed, but by an erasure (`pipeline.erasure`), which exchanges the
whole directory. A retry of the same run replaces what that run had not closed,
and goes beside what it had, to `run_id=R.2`, `run_id=R.3` …; the pointers name directories, the
manifests the runs. `latest.json` of a published dataset names one directory of all dates.

One process at a time writes a dataset of a run, from `begin` to the pointer (`writing`): a second
one waits.

Each step is on the disk before the next (`pipeline.durable`): files and directories, the manifest,
the pointer. A partition whose files are not there in the size that its manifest says counts as not
committed: `whole` and `attempts` leave it out, everything else raises `DamagedError`.

Gives up: object stores are not exercised. The protocol needs only an atomic replace of one
small file, which they have, but the paths and the locks here are local ones. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import durable, file_modes
from pipeline.datasets import CLEANED, OF_A_DELIVERY, RUNS
from pipeline.errors import DamagedError, InputError, StorageError
from pipeline.intact import (
    FaultError,
    check_contents,
    check_sizes,
    file_sha256,
    read_sealed_json,
    sealed_json,
)
from pipeline.locks import alone, apart, together
from pipeline.stages import command_that_makes

log = logging.getLogger("nightcart")

MANIFEST = "manifest.json"
CURRENT = "current.json"
LATEST = "latest.json"
VIEWS_FILE = "views.sql"

# Locks of what this process has begun and not closed yet.
_begun: dict[Path, ExitStack] = {}

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
    def paths(self) -> list[Path]:
        """The data files, in name order: to be named, not to be read."""
        return [self.path / entry["path"] for entry in self.manifest["files"]]

    @property
    def files(self) -> list[Path]:
        """The data files, in name order, to be read: each is hashed once in a process.

        Raises:
            DamagedError: one of them is not what the manifest says.
        """
        return self.verified(self.paths)

    def verified(self, paths: Iterable[Path]) -> list[Path]:
        """Some of the `paths`, to be read; as `files`."""
        wanted = list(paths)
        entries = {self.path / entry["path"]: entry for entry in self.manifest["files"]}
        name = str(self.manifest["dataset"])
        with Lake(self.path.parents[2]).damage_named(name, self.run_date):
            check_contents(self.path, [entries[path] for path in wanted])
        return wanted

    def is_intact(self) -> bool:
        """Whether every file is what the manifest says; a warning names one that is not."""
        try:
            _ = self.files
        except DamagedError as error:
            log.warning("%s", error)
            return False
        return True

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
        return self.run_directory(RUNS, run)

    def work(self, stage: str, run: Run) -> Path:
        """Scratch space of one stage of one run; survives a retry."""
        return self.run_directory(f"work/{stage}", run)

    def cut_off_removals(self) -> list[Path]:
        """What an expiry or an erasure that was killed had begun to remove."""
        return durable.cut_off_removals(self.root, depth=3)  # work/<stage>/run_date=D/

    # -- writing -------------------------------------------------------------------------

    def begin(self, name: str, run: Run) -> Path:
        """Make an empty directory for a run to fill and `commit`.

        What an earlier, unfinished attempt left is removed. What one has closed stays, and stays
        what readers see until the commit: it may be what a published night was made from.
        """
        key = self._lock_of(name, run)
        if key not in _begun:
            held = ExitStack()
            held.enter_context(self.writing(name, run))
            _begun[key] = held  # until it is closed, or this process ends
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
        with _begun.pop(self._lock_of(name, run), ExitStack()):
            return self._close(name, run, rows or 0, facts)

    def _close(self, name: str, run: Run, rows: int, facts: dict[str, Any]) -> Partition:
        directory = self._open_directory(name, run)
        if not directory.is_dir():
            raise StorageError(f"{directory} is not there to be committed: begin comes first")
        with storage_errors(f"cannot commit {directory}"):
            manifest = {
                "dataset": name,
                "run_date": run.run_date.isoformat(),
                "run_id": run.run_id,
                "rows": rows,
                "files": _flushed_entries(directory),
                **facts,
            }
            durable.sync_parents(directory, self.root)
            _put_sealed(directory / MANIFEST, manifest)
        return Partition(directory, run.run_date, run.run_id, manifest)

    def commit(self, name: str, run: Run, *, rows: int | None = None, **facts: Any) -> Partition:
        """`close` a directory, then point its date at it."""
        with self.writing(name, run):
            partition = self.close(name, run, rows=rows, **facts)
            self.point(partition)
        return partition

    def point(self, partition: Partition) -> None:
        """Point a closed partition's date at it, if it does not yet."""
        pointer = partition.path.parent / CURRENT
        if _points_at(pointer, partition.directory_id):
            return
        with storage_errors(f"cannot commit {partition.path}"):
            _put_sealed(pointer, {"run_id": partition.directory_id})

    def point_all(self, partitions: Iterable[Partition]) -> None:
        """As `point`, several in their order; their flushes wait for the disk together."""
        pointers = {
            partition.path.parent / CURRENT: partition.directory_id for partition in partitions
        }
        with storage_errors(f"cannot commit partitions in {self.root}"):
            durable.put_in_order(
                [
                    (pointer, sealed_json({"run_id": directory_id}))
                    for pointer, directory_id in pointers.items()
                    if not _points_at(pointer, directory_id)
                ]
            )

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
            before = self._latest_date(name)
            later = self.latest(name) if before and before > partition.run_date else None
            newest = later or partition
            current = {"run_id": partition.directory_id}
            latest = {"run_date": newest.run_date.isoformat(), "run_id": newest.directory_id}
            # Left in the opposite order: current.json is switched first.
            with (
                beside(newest),
                _sealed_beside(self.dataset(name) / LATEST, latest),
                _sealed_beside(partition.path.parent / CURRENT, current),
            ):
                pass
        return newest is partition

    def point_latest(self, partition: Partition) -> None:
        """Make `<name>/latest.json` name a published partition, also an older one."""
        name = partition.path.parent.parent.name
        latest = {"run_date": partition.run_date.isoformat(), "run_id": partition.directory_id}
        with self._alone(name), storage_errors(f"cannot point readers at {partition.path}"):
            _put_sealed(self.dataset(name) / LATEST, latest)

    def _open_directory(self, name: str, run: Run) -> Path:
        """The one after the last of a run's directories that a manifest closes."""
        closed = self._closed_directories(name, run)
        number = max(closed, default=0) + 1
        first = self.run_directory(name, run)
        path = first if number == 1 else first.with_name(f"{_stem(run)}{number}")
        return path if path not in closed.values() else first.with_name(f"{_stem(run)}{number + 1}")

    def _closed_directories(self, name: str, run: Run) -> dict[int, Path]:
        """A run's closed ones of `run_id=R`, `run_id=R.2` …, ascending; any of them may be gone."""
        first, stem = self.run_directory(name, run), _stem(run)
        found = {1: first} if _is_closed(first) else {}
        for path in first.parent.iterdir() if first.parent.is_dir() else ():
            number = path.name.removeprefix(stem)
            if path.name.startswith(stem) and number.isdecimal() and path != first:
                found |= {int(number): path} if _is_closed(path) else {}
        return dict(sorted(found.items()))

    @contextmanager
    def writing(self, name: str, run: Run) -> Iterator[None]:
        """Be the only process that writes a dataset of a run; a second one waits.

        `begin` holds this until `close`; who looks at what is there before, or publishes after,
        holds it around all of that.

        Args:
            name: a dataset, or anything else that a run makes once.
        """
        path = self._lock_of(name, run)
        with ExitStack() as held:
            with storage_errors(f"cannot write {path}"):
                held.enter_context(alone(path, f"writing {name} of {run.run_date}"))
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Read or write the lake; `rewriting` waits until everybody has left this."""
        with ExitStack() as held:
            with storage_errors(f"cannot lock {self._use}"):
                held.enter_context(
                    together(self._use, "closed partitions to be rewritten or removed")
                )
            yield

    @contextmanager
    def rewriting(self) -> Iterator[None]:
        """Rewrite or remove what is closed: nobody else uses the lake, and who comes now waits."""
        with ExitStack() as held:
            with storage_errors(f"cannot lock {self._use}"):
                held.enter_context(apart(self._use, "those who use the lake"))
            yield

    @property
    def _use(self) -> Path:
        return self.root / ".use.lock"

    def _lock_of(self, name: str, run: Run) -> Path:
        file = f"{name.replace('/', '.')}.{run.run_date.isoformat()}.{run.run_id}.lock"
        return self.root.absolute() / "work" / "locks" / file

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold a dataset's lock; the system lets go of it however the process ends."""
        path = self.root / f".{name}.lock"
        with storage_errors(f"cannot lock {path}"):
            file = path.open("a")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- reading -------------------------------------------------------------------------

    def is_pointed(self, name: str, run_date: dt.date) -> bool:
        """Whether a date has a pointer, to whatever."""
        return (self.date_directory(name, run_date) / CURRENT).exists()

    def current(self, name: str, run_date: dt.date) -> Partition | None:
        """The committed partition of a date, or none.

        Raises:
            DamagedError: its files are not what its manifest says, in number or size.
        """
        pointer = self.date_directory(name, run_date) / CURRENT
        if not pointer.exists():
            return None
        with self.damage_named(name, run_date):
            directory_id = str(read_sealed_json(pointer)["run_id"])
        return self.partition(name, run_date, directory_id)

    def whole(
        self, name: str, run_date: dt.date, directory_id: str | None = None
    ) -> Partition | None:
        """The committed partition of a date; none, with a warning, also where it is damaged.

        For whoever can make it again, or do without it.

        Args:
            directory_id: which of the date's; by default what its pointer names.
        """
        try:
            if directory_id is None:
                return self.current(name, run_date)
            return self.partition(name, run_date, directory_id)
        except DamagedError as error:
            log.warning("%s", error)
            return None

    def partition(self, name: str, run_date: dt.date, directory_id: str) -> Partition:
        """A closed partition by the name that a pointer or a manifest gives it.

        Looks at the size of every file: about 3 µs each, beside 100 µs for the manifest.

        Raises:
            DamagedError: it is not there any more, or its files are not what its manifest says.
        """
        directory = self.date_directory(name, run_date) / f"run_id={directory_id}"
        with self.damage_named(name, run_date):
            manifest = read_sealed_json(directory / MANIFEST)
            try:
                check_sizes(directory, manifest["files"])
            except FaultError:
                # Of a directory that was exchanged between the two lines, the manifest is another.
                was, manifest = manifest, read_sealed_json(directory / MANIFEST)
                if manifest == was:
                    raise
                check_sizes(directory, manifest["files"])
        return Partition(directory, run_date, manifest["run_id"], manifest)

    @contextmanager
    def damage_named(self, name: str, run_date: dt.date) -> Iterator[None]:
        """Say of what is damaged which dataset and date it is, and how to make it again."""
        try:
            yield
        except (FaultError, KeyError, TypeError) as error:
            fault = error if isinstance(error, FaultError) else f"a key is missing: {error}"
            night = run_date
            if name in OF_A_DELIVERY:
                # The newest night cleans what is not committed of earlier deliveries.
                night = max([night, *(dates[-1] for of in CLEANED if (dates := self.dates(of)))])
            raise DamagedError(
                f"{name} of {run_date} in {self.root} counts as not made: {fault}. "
                f"Make it again: {command_that_makes(name, night)}"
            ) from None

    def attempts(self, name: str, run: Run) -> list[Partition]:
        """All whole that a run has closed, oldest first, whether or not the date points at it."""
        found = (
            self.whole(name, run.run_date, path.name.removeprefix("run_id="))
            for path in self._closed_directories(name, run).values()
        )
        # A run that was itself given the id `R.2` is not an attempt of R.
        return [partition for partition in found if partition and partition.run_id == run.run_id]

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

    def past_whole(self, name: str, upto: dt.date) -> list[Partition]:
        """As `past`, without those that are damaged, each of which a warning names."""
        found = (self.whole(name, date) for date in self.dates(name, upto))
        return [partition for partition in found if partition]

    def pointers(self, name: str, upto: dt.date) -> dict[dt.date, str]:
        """Date -> the directory its pointer names, up to and including a date, ascending.

        What `past` would read, without opening a manifest.
        """
        found = {}
        for date in self.dates(name, upto):
            with self.damage_named(name, date):
                found[date] = str(
                    read_sealed_json(self.date_directory(name, date) / CURRENT)["run_id"]
                )
        return found

    def latest(self, name: str) -> Partition | None:
        """What `latest.json` points at, or none.

        Raises:
            DamagedError: the pointer cannot be read, or what it names is damaged.
        """
        path = self.dataset(name) / LATEST
        if not path.exists():
            return None
        pointer = self._latest_pointer(name)
        if pointer is None:
            newest = self.dates(name)[-1:]
            again = command_that_makes(name, newest[0]) if newest else "publish a night"
            raise DamagedError(f"{path} is damaged: it names no directory. Mend it: {again}")
        return self.partition(name, *pointer)

    def whole_latest(self, name: str) -> Partition | None:
        """As `latest`; none, with a warning, also where that is damaged."""
        try:
            return self.latest(name)
        except DamagedError as error:
            log.warning("%s", error)
            return None

    def _latest_date(self, name: str) -> dt.date | None:
        """The date that `latest.json` names; none where it cannot be read, to be written anew."""
        pointer = self._latest_pointer(name)
        return pointer[0] if pointer else None

    def _latest_pointer(self, name: str) -> tuple[dt.date, str] | None:
        path = self.dataset(name) / LATEST
        if not path.exists():
            return None
        try:
            pointer = read_sealed_json(path)
            return dt.date.fromisoformat(pointer["run_date"]), str(pointer["run_id"])
        except (FaultError, KeyError, TypeError, ValueError):
            return None


def write_json(path: Path, value: Any) -> None:
    """Write JSON aside, flush it to the disk, and rename it into place."""
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    durable.put_text(path, f"{text}\n")


def _put_sealed(path: Path, value: dict[str, Any]) -> None:
    with _sealed_beside(path, value):
        pass


@contextmanager
def _sealed_beside(path: Path, value: dict[str, Any]) -> Iterator[None]:
    """Write JSON that carries its checksum aside; rename it into place after the block."""
    with durable.beside(path) as (file, flush):
        file.write(sealed_json(value))
        flush()
        yield


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


def _points_at(pointer: Path, directory_id: str) -> bool:
    try:
        return bool(read_sealed_json(pointer).get("run_id") == directory_id)
    except FaultError:
        return False


def _stem(run: Run) -> str:
    """What the names of a run's second and later directories begin with."""
    return f"run_id={run.run_id[:110]}."


def _is_closed(directory: Path) -> bool:
    return (directory / MANIFEST).exists()


def data_files(directory: Path) -> list[Path]:
    """The files a reader should see: not the manifest, not hidden ones, not Spark's markers."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file()
        and path.name != MANIFEST
        and not any(part[0] in "._" for part in path.relative_to(directory).parts)
    )


def _between(file: Path, directory: Path) -> list[Path]:
    """The directories that a file lies in below another one."""
    return [parent for parent in file.parents if parent.is_relative_to(directory)]


def _flushed_entries(directory: Path) -> list[dict[str, Any]]:
    """What the manifest says of each file, all of them and their directories on the disk."""

    def entry(path: Path) -> dict[str, Any]:
        file_modes.fit(path)
        durable.sync_files([path])
        return {
            "path": path.relative_to(directory).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": file_sha256(path),
        }

    files = data_files(directory)
    for path in {directory, *(parent for file in files for parent in _between(file, directory))}:
        file_modes.fit(path)
    entries = durable.in_threads(entry, files)
    durable.sync_directories(directory)
    return entries
