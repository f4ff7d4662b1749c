"""Snapshots of files that the retailer overwrites lose erased users: rows of them go.

They lie outside the lake and hold raw ids. A row is a user's if its keyed hash is theirs, if a
column that ids are read from is their id, however short, or if any value says an id that can be
told from other words. Files are written again as tables of the lake are (`tables.rewrite`). What a
kill left while a snapshot was taken goes as a whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline.arrow_columns import Column
from pipeline.arrow_columns import compute as pc
from pipeline.encryption.parquet_files import row_count
from pipeline.erasure.tables import rewrite, rows_held
from pipeline.erasure.wanted import Wanted
from pipeline.sources.snapshots import Snapshot, Snapshots, all_snapshots


@dataclass(frozen=True)
class Kept:
    """A snapshot that holds some of the users, and how many rows of each of its files do."""

    store: Snapshots
    snapshot: Snapshot
    rows: Mapping[Path, int]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.store.root.name} {self.snapshot.name}"


def kept_of(root: Path, wanted: Wanted) -> list[Kept]:
    """The snapshots that hold any of the users, whether or not a date names them.

    Raises:
        DamagedError: a snapshot cannot be read, so nobody can say whom it holds.
    """
    found = []
    for store in all_snapshots(root):
        for path in store.snapshots():
            snapshot = store.named(path.name)
            held = partial(_held, snapshot=snapshot, wanted=wanted)
            rows = {
                file: n for file in snapshot.files if (n := rows_held(file, held, snapshot.path))
            }
            if rows:
                found.append(Kept(store, snapshot, rows))
    return found


def remove_kept(found: Kept, wanted: Wanted) -> None:
    """Write a snapshot's files again without the rows of the users."""
    aside = found.store.aside_of(found.snapshot)
    made = {}
    for file in found.rows:

        def without(rows: pa.Table) -> pa.Table:
            return rows.filter(pc.invert(_held(rows, found.snapshot, wanted)))

        rewrite(file, aside / file.name, without)
        made[file.name] = aside / file.name
    kept = sum(row_count(made.get(file.name, file)) for file in found.snapshot.files)
    found.store.replace_rows(found.snapshot, made, kept)
    shutil.rmtree(aside)


def sweep_kept(root: Path) -> None:
    """Remove what kills have left beside the snapshots."""
    for store in all_snapshots(root):
        with store.alone():
            pass


def _held(rows: pa.Table, snapshot: Snapshot, wanted: Wanted) -> Column:
    """Which rows are one of the users'."""
    ids = pa.array(sorted(wanted.id_of.values()), pa.string())
    by_id = {*snapshot.manifest["user_columns"]}
    held: Column = pa.array([False] * rows.num_rows, pa.bool_())
    for name in rows.column_names:
        column = rows[name].combine_chunks()
        if name in by_id:
            held = pc.or_(held, pc.fill_null(pc.is_in(column, value_set=ids), False))
        values = column.cast(pa.large_binary()).to_pylist()
        if wanted.in_text(b"\n".join(value for value in values if value)):
            said = [value is not None and bool(wanted.in_text(value)) for value in values]
            held = pc.or_(held, pa.array(said, pa.bool_()))
    return held
