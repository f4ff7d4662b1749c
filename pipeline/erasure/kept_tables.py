"""Copies of tables below the raw root (`sources.tables`) lose erased users: rows of them go.

The database is the shop's, but these copies are made here, in clear. A row is a user's if a column
that the mapping of `user_id` reads holds their id, however short (`sources.tables.people`), or if
any value says an id that can be told from other words, or their pseudonym. Each file is written
again in one rename. The manifests of all days that were cleaned from it, of whichever dataset, are
told what it is now: these days hold the user no more, so none has to be cleaned again. What a
killed fetch left aside goes as a whole.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import durable
from pipeline.arrow_columns import Column
from pipeline.arrow_columns import compute as pc
from pipeline.cleaning.deliveries.raw_files import RAW_FILES, raw_facts
from pipeline.datasets import cleaned
from pipeline.erasure.tables import rewrite, rows_held
from pipeline.erasure.wanted import Wanted
from pipeline.intact import file_sha256, sealed_json
from pipeline.lake import MANIFEST, Lake
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import DATASETS, Source
from pipeline.sources.tables.folder import TableFolder, folders_of_others, table_folders
from pipeline.sources.tables.people import PersonColumns


@dataclass(frozen=True)
class RawTables:
    """Where copies of tables are, and which of their columns hold ids.

    Attributes:
        raw: the raw root.
        people: by dataset; one that is missing has only ids looked for that can be told from other
            words.
    """

    raw: Path
    people: Mapping[str, PersonColumns] = field(default_factory=dict)

    @classmethod
    def of(cls, raw: Path, source: Source | None) -> RawTables:
        """By the source that fetched them; none: it cannot be read."""
        datasets = source.datasets if source else {}
        every = datasets.values()
        return cls(raw, {of.name: PersonColumns.of(of, every) for of in every if of.table})

    def folders(self) -> list[TableFolder]:
        """One a dataset, in name order."""
        return table_folders(self.raw)

    def doubts(self) -> list[str]:
        """Where not all rows of a user may be found, a line each."""
        lines = [
            f"{path}: no fetch made it, so it is left as it is, like all files that the shop "
            "delivers: remove the users from it where it comes from"
            for path in folders_of_others(self.raw)
        ]
        for folder in self.folders():
            name = folder.root.name
            lines += [
                f"{path} says no day, so no fetch made it and it is left as it is: remove it if "
                "nobody needs it"
                for path in folder.no_days()
            ]
            people = self.people.get(name)
            if people is None:
                lines.append(
                    f"{folder.root}: the source has no such table, so only ids that can be told "
                    "from other words were looked for: remove the folder if nobody needs it"
                )
            elif not people.is_plain:
                made = " and ".join(map(repr, people.expressions))
                lines.append(
                    f"{folder.root}: user_id is made by {made}: rows whose columns "
                    "do not hold the id as it is stay; remove them from the database, and this "
                    "folder's days that hold them"
                )
        return lines


@dataclass(frozen=True)
class KeptTable:
    """The copies of one table that hold some of the users: file -> how many rows do."""

    folder: TableFolder
    people: PersonColumns
    rows: Mapping[Path, int]

    @property
    def name(self) -> str:
        """Of the dataset."""
        return self.folder.root.name


def kept_tables(where: RawTables, wanted: Wanted) -> list[KeptTable]:
    """The copies that hold any of the users.

    Raises:
        DamagedError: a file cannot be read, so nobody can say whom it holds.
    """
    found = []
    for folder in where.folders():
        people = where.people.get(folder.root.name, PersonColumns((), ()))
        held = partial(_held, people=people, wanted=wanted)
        files = table_files(folder)
        rows = {file: n for file in files if (n := rows_held(file, held, file.parent))}
        if rows:
            found.append(KeptTable(folder, people, rows))
    return found


def table_files(folder: TableFolder) -> list[Path]:
    """All files of a table's copies, in name order."""
    return [file for day in folder.days() for file in folder.files(day)]


def sweep_tables(where: RawTables) -> None:
    """End what a killed fetch was putting in its place, and remove what it left aside."""
    for folder in where.folders():
        with folder.alone():
            folder.end_exchange()
            folder.remove_aside()


class NamingManifests:
    """The manifests of cleaned days that name copies of tables, of all datasets.

    Datasets may share files (`same_files_as`), and one whose files are a dump names those of all
    days in each.
    """

    def __init__(self, lake: Lake, raw: Path) -> None:
        self._lake, self._raw = lake, raw

    def tell(self, file: Path, before: Collection[str]) -> None:
        """Have those that remember a file as it was before name it as it is now.

        Args:
            file: the file, rewritten.
            before: SHA-256 of what it may have been.
        """
        relative = file.relative_to(self._raw).as_posix()
        of = DeliveredFile(relative, file, TableFolder.day_of(file.parent))
        facts: dict[str, Any] = {}
        for name, day in self._naming.get(relative, ()) if before else ():
            part = self._lake.whole(name, day)
            said: dict[str, Any] = part.manifest.get(RAW_FILES, {}) if part else {}
            remembered = said.get(relative)
            if part is None or not isinstance(remembered, dict):
                continue
            if remembered.get("sha256") in before:
                facts = facts or raw_facts([of])
                manifest = {**part.manifest, RAW_FILES: {**said, **facts}}
                with durable.in_place(part.path / MANIFEST) as target:
                    target.write(sealed_json(manifest))

    @cached_property
    def _naming(self) -> Mapping[str, list[tuple[str, dt.date]]]:
        """Path below the raw root -> datasets and days; each manifest is read once."""
        found: defaultdict[str, list[tuple[str, dt.date]]] = defaultdict(list)
        for name in map(cleaned, DATASETS):
            for part in self._lake.past_whole(name, dt.date.max):
                for relative in part.manifest.get(RAW_FILES, {}):
                    if relative.startswith("tables/"):
                        found[relative].append((name, part.run_date))
        return found


def remove_from_table(
    found: KeptTable,
    wanted: Wanted,
    manifests: NamingManifests,
    note: Callable[[Path, Path], None] = lambda _file, _aside: None,
) -> None:
    """Write each file again without the rows of the users.

    Args:
        found: what holds them.
        wanted: the users.
        manifests: those that name the files.
        note: told each file, and the one that is about to take its place.
    """

    def without(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(_held(rows, found.people, wanted)))

    with found.folder.alone():
        found.folder.clear_aside()
        for file in found.rows:
            before, aside = file_sha256(file), found.folder.aside / file.name
            rewrite(file, aside, without)
            aside.chmod(file.stat().st_mode & 0o777)
            durable.sync_files([aside])
            note(file, aside)
            durable.rename(aside, file)
            manifests.tell(file, {before})
        found.folder.remove_aside()


def _held(rows: pa.Table, people: PersonColumns, wanted: Wanted) -> Column:
    """Which rows are one of the users'."""
    ids = {*wanted.id_of.values()}
    held = people.held(rows, ids.__contains__)
    for name in rows.column_names:
        column: Column = rows[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_nested(column.type):
            texts = [json.dumps(value, default=str).encode() for value in column.to_pylist()]
        elif any(of(column.type) for of in _TEXTS):
            texts = [value or b"" for value in column.cast(pa.large_binary()).to_pylist()]
        else:
            continue
        if wanted.in_text(b"\n".join(texts)):
            said = [bool(wanted.in_text(text)) for text in texts]
            held = pc.or_(held, pa.array(said, pa.bool_()))
    return held


_TEXTS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
)
