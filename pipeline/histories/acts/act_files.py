"""The files of a night's acts: acts of unchanged users are copied, the others are replaced.

`acts` are cut into files by hash of the user, and each file is sorted by `KEY`. So a file of the
night is the file of the night before without the users whose acts changed, merged with their new
rows: a copy that costs a microsecond a row, where Spark's windows cost forty and its reading,
shuffling and writing ten. Where nothing is copied the file is written in the same way, so its bytes
do not show how it was made.

Gives up: the driver copies, and holds one file at a time (`sorted_files.ROWS_PER_FILE` rows, more
only where `spark.shuffle_partitions` files of them are not enough).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import ACTS
from pipeline.encryption.parquet_files import read_table, write_table
from pipeline.histories.unchanged_users import READ_COLUMNS, NightStep, unique_users
from pipeline.lake import Partition, storage_errors

KEY = ("user_id", "event_date", "event_id")


@dataclass(frozen=True)
class ActCounts:
    """Counts of the acts that were written, for the histories' line of the ledger."""

    rows: int = 0
    after: int = 0
    searches: int = 0
    forgotten: int = 0

    def plus(self, acts: pa.Table, night: dt.date) -> ActCounts:
        """These counts and those of a file."""
        known = pc.field("event_date") <= pa.scalar(night)
        searches = known & (pc.field("event_type") == pa.scalar("search"))
        return ActCounts(
            self.rows + acts.num_rows,
            self.after + acts.filter(~known).num_rows,
            self.searches + acts.filter(searches).num_rows,
            self.forgotten + int(pc.sum(acts["events_before"]).as_py() or 0),
        )


@dataclass(frozen=True)
class CopiedActs:
    """The acts of the night before, and the ids of users whose acts or history may have changed.

    Acts of users outside `changed_acts` are copied, histories outside `changed_histories` reused.
    """

    before: Partition
    changed_acts: pa.StringArray
    changed_histories: pa.StringArray


def find_copied_acts(
    before: Partition, delivered: Iterable[Partition], step: NightStep
) -> CopiedActs:
    """Find the users of whom something may change.

    Args:
        before: the acts of the night that is gone on from.
        delivered: deliveries since, of the datasets that bring or retract acts.
        step: from that night to this one.
    """
    acting = [
        unique_users(_read(file, ["user_id"]))
        for part in delivered
        if part.rows
        for file in part.files
    ]
    changed_acts, changed_histories = list(acting), list(acting)
    for file in before.files:
        acts = _read(file, READ_COLUMNS)
        changed_acts.append(step.users_whose_acts_change(acts))
        changed_histories.append(step.users_whose_history_changes(acts))
    return CopiedActs(
        before,
        pa.concat_arrays(changed_acts).unique(),
        pa.concat_arrays(changed_histories).unique(),
    )


def write_acts_to_update(copied: CopiedActs, directory: Path) -> int:
    """Write the acts that are not copied, as the night before has them, for Spark; count them."""
    rows = 0
    with storage_errors(f"cannot write {directory}"):
        directory.mkdir(parents=True)
        for number, file in enumerate(copied.before.files):
            acts = _acts_of(_read(file), copied.changed_acts)
            write_table(acts, _part(directory, number))
            rows += acts.num_rows
    return rows


def write_merged(
    made: Path,
    copied: CopiedActs | None,
    directory: Path,
    for_histories: Path,
    *,
    files: int,
    night: dt.date,
) -> ActCounts:
    """Write the night's acts.

    Args:
        made: the acts that Spark made tonight, cut as `write_sorted` cuts.
        copied: the acts to copy; none: nothing is copied.
        directory: empty.
        for_histories: empty; where acts are copied, it gets the acts of `changed_histories`.
        files: how many; as many as `made` and `copied` are cut into.
        night: the last day that is known.
    """
    schema, counts = arrow_schema(load_contract(ACTS)), ActCounts()
    with storage_errors(f"cannot write {directory}"):
        for number in range(files):
            tables = [schema.empty_table()]
            if copied is not None:
                acts = _read(_part(copied.before.path, number))
                tables.append(_acts_of(acts, copied.changed_acts, others=True).cast(schema))
            # Spark writes no file of a task without rows.
            if (new := _part(made, number)).exists():
                tables.append(_read(new).cast(schema))
            # One chunk, because the writer begins a page with each.
            acts = pa.concat_tables(tables).sort_by([(name, "ascending") for name in KEY])
            acts = acts.combine_chunks()
            write_table(acts, _part(directory, number), compression="zstd")
            if copied is not None:
                write_table(_acts_of(acts, copied.changed_histories), _part(for_histories, number))
            counts = counts.plus(acts, night)
    return counts


def _part(directory: Path, number: int) -> Path:
    return directory / f"part-{number:05d}.parquet"


def _read(file: Path, columns: Iterable[str] | None = None) -> pa.Table:
    return read_table(file, list(columns) if columns is not None else None)


def _acts_of(acts: pa.Table, users: pa.StringArray, *, others: bool = False) -> pa.Table:
    """The acts of some users, or those of all others."""
    among = pc.is_in(acts["user_id"], value_set=users)
    return acts.filter(pc.invert(among) if others else among)
