"""A whole lake against its own checksums: every closed directory, pointer and stray file.

Reads everything, also runs that no pointer names any more. A closed directory that is damaged is
marked (`pipeline.intact`), so that the command that is named makes it again; a mark that is not
true (any more) is taken away. Nothing else is written. Standard library only.

Gives up: run records, ledgers and the files of a directory that was never closed carry no checksum.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.datasets import RECOMMENDATIONS
from pipeline.errors import DamagedError, StorageError
from pipeline.intact import MARK, FaultError, forget_checked, is_sealed, read_sealed_json
from pipeline.lake import CURRENT, LATEST, MANIFEST, VIEWS_FILE, Lake, data_files
from pipeline.lineage import LINEAGE
from pipeline.stages import command_that_makes

_DATE = "run_date="
_RUN = "run_id="
# What carries no manifests: scratch, records of runs, and lines of the ledger.
_WITHOUT_MANIFESTS = ("work", "runs", "ledger")
SEAL_LINE = "-- SHA-256 of the lines above: "


@dataclass
class Verified:
    """What was looked at, and what is wrong with it, a line each."""

    files: int = 0
    bytes: int = 0
    directories: int = 0
    pointers: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # no faults, and nothing to be relied on


def verify_lake(
    lake: Lake,
    date: dt.date | None = None,
    progress: Callable[[Path, int], None] = lambda _directory, _bytes: None,
) -> Verified:
    """Compare everything with its checksum.

    Args:
        date: only what is of this date, and the pointers that name it; by default everything.
        progress: told each directory before it is read, and the bytes that were read so far.

    Raises:
        StorageError: the system refuses; nothing is said of the lake then.
    """
    forget_checked()
    done = Verified()
    for dataset in sorted(_datasets(lake)):
        wanted = f"{_DATE}{date}" if date else f"{_DATE}*"
        for of_date in sorted(lake.dataset(dataset).glob(wanted)):
            night = dt.date.fromisoformat(of_date.name.removeprefix(_DATE))
            for directory in sorted(of_date.glob(f"{_RUN}*")):
                progress(directory, done.bytes)
                _look_into(lake, dataset, night, directory, done)
            _follow(lake, dataset, night, done)
        _follow_latest(lake, dataset, date, done)
    if date is None:
        _look_at_views(lake, done)
    return done


def seal_lines(text: str) -> str:
    """Lines of SQL, and one more that says their checksum."""
    return f"{text}{SEAL_LINE}{hashlib.sha256(text.encode()).hexdigest()}\n"


def _datasets(lake: Lake) -> Iterator[str]:
    for directory in lake.root.glob("*/"):
        named = any(directory.glob(f"{_DATE}*/")) or (directory / LATEST).exists()
        if directory.is_dir() and directory.name not in _WITHOUT_MANIFESTS and named:
            yield directory.name


def _look_into(lake: Lake, dataset: str, night: dt.date, directory: Path, done: Verified) -> None:
    if not (directory / MANIFEST).exists():
        done.notes.append(f"{directory} was never closed, and is not read")
        return
    done.directories += 1
    mark, was = directory / MARK, None
    if mark.exists():
        was = mark.read_bytes()
        mark.unlink()
    try:
        partition = lake.partition(dataset, night, directory.name.removeprefix(_RUN))
        said = (partition.manifest.get("dataset"), partition.manifest.get("run_date"))
        if said != (dataset, night.isoformat()):
            with lake.damage_named(dataset, night):
                raise FaultError(f"{directory / MANIFEST} is of {said[0]} of {said[1]}")
        done.files += len(partition.files)
        done.bytes += sum(entry["bytes"] for entry in partition.manifest["files"])
    except DamagedError as error:
        if _is_used(lake, dataset, night, directory):
            done.faults.append(str(error))
        else:
            done.notes.append(f"{directory} is damaged, and nothing names it any more")
        if was is not None and not mark.exists():
            mark.write_bytes(was)
        return
    _note_if_bare(directory / MANIFEST, done)
    stray = {*data_files(directory)} - {*partition.paths}
    done.faults += [f"{path} is stray: no manifest names it; remove it" for path in sorted(stray)]


def _is_used(lake: Lake, dataset: str, night: dt.date, directory: Path) -> bool:
    """Whether a pointer or a published night names a directory; so too where that is not known."""
    try:
        named = {lake.pointers(dataset, dt.date.max).get(night)}
        if (lake.dataset(dataset) / LATEST).exists():
            latest = read_sealed_json(lake.dataset(dataset) / LATEST)
            named |= {latest["run_id"]} if latest["run_date"] == night.isoformat() else set()
    except (DamagedError, FaultError, KeyError):
        return True
    return directory.name.removeprefix(_RUN) in named | set(_inputs_of_lists(lake, dataset, night))


def _inputs_of_lists(lake: Lake, dataset: str, night: dt.date) -> Iterator[str]:
    """The directories of a night that published lists say they were made from."""
    for path in lake.dataset(RECOMMENDATIONS).glob(f"{_DATE}*/{_RUN}*/{MANIFEST}"):
        with suppress(FaultError):
            inputs = read_sealed_json(path).get(LINEAGE, {}).get("inputs", {})
            if directory := inputs.get(dataset, {}).get(night.isoformat()):
                yield str(directory)


def _follow(lake: Lake, dataset: str, night: dt.date, done: Verified) -> None:
    """The date's pointer; what it names was looked into, so only whether it can be followed."""
    if not lake.is_pointed(dataset, night):
        return
    done.pointers += 1
    pointer = lake.date_directory(dataset, night) / CURRENT
    try:
        with lake.damage_named(dataset, night):
            named = f"{_RUN}{read_sealed_json(pointer)['run_id']}"
            if not (pointer.parent / named / MANIFEST).exists():
                raise FaultError(f"{pointer} names {named}, which is not closed")
    except DamagedError as error:
        done.faults.append(str(error))
        return
    _note_if_bare(pointer, done)


def _follow_latest(lake: Lake, dataset: str, date: dt.date | None, done: Verified) -> None:
    path = lake.dataset(dataset) / LATEST
    if not path.exists():
        return
    done.pointers += 1
    newest = lake.dates(dataset)[-1:]
    again = command_that_makes(dataset, newest[0]) if newest else "publish a night"
    try:
        said = read_sealed_json(path)
        of_date = dt.date.fromisoformat(said["run_date"])
        directory = lake.date_directory(dataset, of_date) / f"{_RUN}{said['run_id']}"
        if date in (None, of_date) and not (directory / MANIFEST).exists():
            raise FaultError(f"{path} names {directory}, which is not closed")
    except (FaultError, KeyError, TypeError, ValueError) as error:
        done.faults.append(f"{dataset}: {path.name}: {error}. Mend it: {again}")
        return
    _note_if_bare(path, done)


def _note_if_bare(path: Path, done: Verified) -> None:
    if not is_sealed(path):
        done.notes.append(
            f"{path} carries no checksum: an older version wrote it, or it is damaged"
        )


def _look_at_views(lake: Lake, done: Verified) -> None:
    path = lake.root / VIEWS_FILE
    if not path.exists():
        return
    done.pointers += 1
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from None
    above, seal, _ = text.rpartition(SEAL_LINE)
    if not seal:
        done.notes.append(
            f"{path} carries no checksum: an older version wrote it, or it is damaged"
        )
    elif seal_lines(above) != text:
        newest = lake.dates(RECOMMENDATIONS)[-1:]
        again = f"nightcart redo --date {newest[0]} --from publish" if newest else "publish a night"
        done.faults.append(f"{path} is not what was written. Mend it: {again}")
