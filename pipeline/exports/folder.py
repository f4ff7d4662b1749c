"""The folder of exports: who may enter it, what lies in it, what is the newest, what has expired.

    <exports>/<profile>/<night>[.2]/   part-*, left-*, notes.csv, manifest.json, .sent.parquet
    <exports>/<profile>/latest.json    the newest export, and for each kind of ids the newest

An export is made in a hidden directory and renamed when it is whole; then `latest.json` is
replaced. So who reads the folder sees whole exports only. Folders are for their user alone (mode
700), and so are files (600). The folder is never within the lake, where no raw id may stand, nor
within the retailer's files, where an export could be taken for a delivery.

`.sent.parquet` is what the tool has after the export: each id, and a digest of its record. It is
what the next export compares with. It stays after the files have expired, because without it nobody
could tell the tool who has left. `.before.parquet` is what this export was compared with, and goes
with the files. Standard library and the lake's JSON.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.errors import DamagedError, InputError, SettingsError
from pipeline.intact import FaultError, read_sealed_json, sealed_json
from pipeline.lake import storage_errors
from pipeline.locks import alone
from pipeline.settings import Settings

MANIFEST, NOTES, LATEST = "manifest.json", "notes.csv", "latest.json"
SENT, BEFORE = ".sent.parquet", ".before.parquet"
log = logging.getLogger("nightcart")

_ASIDE = ".aside-"
_PRIVATE_FOLDER = 0o700


@dataclass(frozen=True)
class Made:
    """An export that is there."""

    path: Path
    manifest: dict[str, Any]

    @property
    def made(self) -> dt.datetime:
        """When."""
        return dt.datetime.fromisoformat(self.manifest["made"])

    @property
    def files(self) -> list[Path]:
        """What a tool loads, in name order."""
        return [self.path / entry["path"] for entry in self.manifest["files"]]

    @property
    def is_only_sent(self) -> bool:
        """Whether expiry or an erasure has removed the files and left what was sent."""
        return not any(path.exists() for path in (*self.files, self.path / NOTES))


class ToolFolder:
    """The exports for one tool."""

    def __init__(self, root: Path, profile: str) -> None:
        self.path = root / profile

    @contextmanager
    def writing(self, *, dry: bool) -> Iterator[Path]:
        """An empty hidden directory to be filled, while nobody else exports to this tool.

        It is removed at the end, unless it was put in its place.

        Args:
            dry: nothing stays, neither a folder that is made for it.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        folders = [
            path for path in (self.path, *self.path.parents) if not path.exists()
        ]  # the innermost first
        with storage_errors(f"cannot write to {self.path} (paths.exports)"):
            for path in reversed(folders):
                path.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
            self.path.chmod(_PRIVATE_FOLDER)
        try:
            with storage_errors(f"cannot write to {self.path} (paths.exports)"), self.alone():
                for left in self.left_over():
                    shutil.rmtree(left)
                aside = self.path / f"{_ASIDE}new"
                aside.mkdir(mode=_PRIVATE_FOLDER)
                try:
                    yield aside
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
        finally:
            if dry:
                for path in folders:
                    if path.exists() and not any(path.iterdir()):
                        path.rmdir()

    def left_over(self) -> list[Path]:
        """What a killed export was making or removing; of a living one, too, unless `alone`."""
        return [*self.path.glob(f"{_ASIDE}*"), *durable.cut_off_removals(self.path)]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that changes this folder."""
        with alone(self.path / ".lock", f"exporting to {self.path.name}"):
            yield

    def place(self, aside: Path, night: dt.date, ids: str, manifest: Mapping[str, Any]) -> Made:
        """Close a directory with its manifest and give it its name; it is then the newest.

        If it cannot be made the newest, it is not there either.
        """
        put_private(aside / MANIFEST, sealed_json(manifest))
        durable.sync_directories(aside)
        path = self._free_name(night)
        durable.rename(aside, path)
        latest = {**self._latest(), "export": path.name, ids: path.name}
        try:
            put_private(self.path / LATEST, sealed_json(latest))
        except BaseException:
            durable.rename(path, aside)
            raise
        return Made(path, dict(manifest))

    def newest(self, ids: str) -> Made | None:
        """The newest export with one kind of ids; none before the first.

        Raises:
            DamagedError: what is named is not there, or is not what was written.
        """
        name = self._latest().get(ids)
        if name is None:
            return None
        try:
            return read_export(self.path / str(name))
        except InputError as error:
            raise DamagedError(
                f"{error}. It says what {self.path.name} was sent, so without it nobody can be "
                f"told who has left. Bring it back, or remove {self.path} and export everything"
            ) from None

    def newest_names(self) -> set[str]:
        """The directories that the next export compares with."""
        return {str(name) for name in self._latest().values()}

    def expire(self, now: dt.datetime, keep_days: int) -> list[str]:
        """Remove the files of exports that are older; give the names of these exports.

        Of the newest ones, what was sent stays, without the files. What cannot be removed is a
        warning: the export that was just placed is good all the same.
        """
        newest = self.newest_names()
        expired = []
        for path in sorted(path for path in self.path.glob("[!.]*") if path.is_dir()):
            try:
                made = read_export(path)
            except InputError as error:
                log.warning("%s: its files do not expire; remove it if it is an old export", error)
                continue
            if now - made.made <= dt.timedelta(days=keep_days):
                continue
            try:
                if self._remove_files(made, whole=path.name not in newest):
                    expired.append(path.name)
            except OSError as error:
                log.warning(
                    "the files of %s have expired and cannot be removed (%s): remove them, or the "
                    "next export tries again",
                    path,
                    error.strerror or error,
                )
        return expired

    def _remove_files(self, made: Made, *, whole: bool) -> bool:
        """Whether there was anything to remove."""
        if whole:
            durable.remove(made.path)
            return True
        others = (made.path / NOTES, made.path / BEFORE)
        gone = [file for file in (*made.files, *others) if file.exists()]
        for file in gone:
            file.unlink()
        return bool(gone)

    def _free_name(self, night: dt.date) -> Path:
        path, number = self.path / night.isoformat(), 1
        while path.exists():
            number += 1
            path = self.path / f"{night.isoformat()}.{number}"
        return path

    def _latest(self) -> dict[str, Any]:
        path = self.path / LATEST
        if not path.exists():
            return {}
        try:
            return read_sealed_json(path)
        except FaultError as error:
            raise DamagedError(
                f"{error}. It says which export is the newest: bring it back, or remove "
                f"{self.path} and export everything"
            ) from None


def exports_root(settings: Settings) -> Path:
    """Where exports go.

    Raises:
        SettingsError: it is within the lake or the retailer's files.
    """
    root = Path(settings.paths.exports).resolve()
    for key, why in (
        ("lake", "no id of the retailer's may stand in the lake"),
        ("raw", "an export could be taken for a delivery"),
    ):
        folder = Path(getattr(settings.paths, key)).resolve()
        if root.is_relative_to(folder):
            raise SettingsError(
                f"paths.exports {root} is within paths.{key} {folder}: {why}. Name another folder"
            )
    return root


def read_export(path: Path) -> Made:
    """The export of a directory.

    Raises:
        InputError: there is none, or its manifest is damaged.
    """
    try:
        manifest = read_sealed_json(path / MANIFEST)
        found = Made(path, manifest)
        _ = found.made, found.files
    except (FaultError, KeyError, TypeError, ValueError) as error:
        if newest := _newest_in(path):
            raise InputError(
                f"{path} is the folder of all exports to a tool; the newest is {newest}"
            ) from None
        said = f": {error}" if isinstance(error, FaultError) else ""
        raise InputError(f"{path} is no whole export{said}") from None
    return found


def _newest_in(path: Path) -> Path | None:
    """The newest export of a tool's folder; none where it is no such folder."""
    with suppress(FaultError, KeyError, TypeError):
        newest = path / str(read_sealed_json(path / LATEST)["export"])
        return newest if newest.is_dir() else None
    return None


def put_private(path: Path, content: bytes) -> None:
    """A file for its user alone, in its place whole."""
    with durable.in_place(path, durable.PRIVATE) as file:
        file.write(content)
