"""The directories of a lake that a run made, closed or not, and their files."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.datasets import LEDGER, RUNS
from pipeline.erasure.exchange import aside_of, put_in_place
from pipeline.intact import check_contents, file_sha256, read_sealed_json, sealed_json
from pipeline.lake import MANIFEST, Lake

ERASED_ROWS = "erased"  # the key in a manifest: rows that erasures have taken out so far
# Whatever a run notes there; no manifest closes it.
WITHOUT_MANIFESTS = (RUNS, LEDGER)
_VIEWS = "views.sql"
DATE, RUN = "run_date=", "run_id="


@dataclass(frozen=True)
class RunDirectory:
    """`<lake>/<dataset>/run_date=D/run_id=R`, whether or not a pointer names it."""

    dataset: str
    date: dt.date
    path: Path

    @property
    def is_closed(self) -> bool:
        """Whether a manifest closes it."""
        return (self.path / MANIFEST).exists()

    @property
    def directory_id(self) -> str:
        """What pointers call it."""
        return self.path.name.removeprefix(RUN)

    def files(self) -> list[Path]:
        """All of its files but the manifest, hidden ones too."""
        return [file for file in files_below(self.path) if file != self.path / MANIFEST]


def run_directories(lake: Lake) -> Iterator[RunDirectory]:
    """All of them, by dataset and date; without those of `work/`."""
    for of_date in sorted(lake.root.glob(f"*/{DATE}*/")):
        date = dt.date.fromisoformat(of_date.name.removeprefix(DATE))
        for path in sorted(of_date.glob(f"{RUN}*/")):
            yield RunDirectory(of_date.parent.name, date, path)


def files_below(directory: Path) -> list[Path]:
    """Every file below a directory; symbolic links are none, and are not followed."""
    return sorted(
        path
        for folder, _, names in os.walk(directory)
        for name in names
        if not (path := Path(folder, name)).is_symlink()
    )


def may_say_ids(lake: Lake, file: Path) -> bool:
    """Whether ids in clear are looked for in a file: not in the ledger and `views.sql`."""
    return file != lake.root / _VIEWS and not file.is_relative_to(lake.root / LEDGER)


@dataclass(frozen=True)
class NewFile:
    """A file that was written again: how many rows went, and how many others were changed."""

    removed: int
    changed: int = 0


@dataclass
class Remade:
    """The new content of a closed directory, in its `aside_of`, and what is different in it."""

    directory: RunDirectory
    manifest: dict[str, Any]
    entries: list[dict[str, Any]] = field(default_factory=list)  # of each changed file

    def put(self) -> None:
        """Give the directory its new content."""
        put_in_place(self.directory.path)


def begin_again(directory: RunDirectory) -> Path:
    """An empty `aside_of` a closed directory that is what its manifest says.

    Raises:
        FaultError: it is not. Written again, it would pass for good.
    """
    path, aside = directory.path, aside_of(directory.path)
    check_contents(path, read_sealed_json(path / MANIFEST)["files"])
    if aside.exists():
        shutil.rmtree(aside)
    for folder, _, _ in os.walk(path):
        (aside / Path(folder).relative_to(path)).mkdir()
    return aside


def remake(lake: Lake, directory: RunDirectory, made: Mapping[Path, NewFile | None]) -> Remade:
    """Complete the new content of a closed directory: links to the files that stay, a manifest.

    Args:
        lake: whose it is.
        directory: closed.
        made: by the file in the directory what was written again, into its `aside_of`; none: the
            file goes.
    """
    path, aside = directory.path, aside_of(directory.path)
    manifest = read_sealed_json(path / MANIFEST)
    for file in directory.files():
        target = aside / file.relative_to(path)
        if file not in made:
            link_or_copy(file, target)
        elif made[file] is not None:
            target.chmod(file.stat().st_mode & 0o777)
    for folder in (Path(where) for where, _, _ in os.walk(path)):
        (aside / folder.relative_to(path)).chmod(folder.stat().st_mode & 0o7777)
    remade = Remade(directory, manifest)
    removed, entries = 0, {path / entry["path"]: entry for entry in manifest["files"]}
    for file, new in made.items():
        entry = entries.pop(file, None)  # none of a stray file
        after = None if new is None else sum_of(aside / file.relative_to(path))
        remade.entries.append(
            {
                "path": file.relative_to(lake.root).as_posix(),
                "before": _sum_in(entry) if entry else sum_of(file),
                "after": after,
                "rows": new.removed if new else 0,
                "changed": new.changed if new else 0,
            }
        )
        if new is not None and entry is not None:
            removed += new.removed
            _lower_by_prefix(manifest, file.name, new.removed)
            entries[file] = {**entry, **(after or {})}
    manifest["files"] = [entries[file] for file in sorted(entries)]
    manifest["rows"] = int(manifest["rows"]) - removed
    manifest[ERASED_ROWS] = int(manifest.get(ERASED_ROWS, 0)) + removed
    with durable.in_place(aside / MANIFEST) as file_object:
        file_object.write(sealed_json(manifest))
    (aside / MANIFEST).chmod((path / MANIFEST).stat().st_mode & 0o777)
    durable.sync_directories(aside)
    return remade


def sum_of(file: Path) -> dict[str, Any]:
    """Size and checksum of a file, which is on the disk then."""
    durable.sync_files([file])
    return {"bytes": file.stat().st_size, "sha256": file_sha256(file)}


def _sum_in(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"bytes": entry["bytes"], "sha256": entry["sha256"]}


def link_or_copy(file: Path, target: Path) -> None:
    """A second name of a file; a copy where the file system has none."""
    try:
        os.link(file, target)
    except OSError:
        durable.copy(file, target)


def _lower_by_prefix(manifest: dict[str, Any], name: str, removed: int) -> None:
    """Retractions are counted by dataset too; their files are named by it."""
    by_dataset = manifest.get("by_dataset", {})
    dataset = name.partition("-")[0]
    if dataset in by_dataset:
        by_dataset[dataset] -= removed
