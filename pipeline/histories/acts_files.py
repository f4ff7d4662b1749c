"""The files of a night's acts: rows of quiet users copied, and those of the others put in their place.

`acts` are cut into files by hash of the user, and each file is sorted by `KEY`. So a file of the
night is the file of the night before without the users that had to be judged, and their new rows,
sorted: a copy that costs a microsecond a row, where Spark's windows cost forty and its reading,
shuffling and writing ten. Where nothing is copied the file is written in the same way, so its bytes
do not show how it was made.

Gives up: the driver copies, and holds one file at a time (`past.ROWS_PER_FILE` rows, more only
where `spark.shuffle_partitions` files of them are not enough).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.histories.quiet_users import JUDGED_BY, Passage, unique_users
from pipeline.lake import Partition, storage_errors

KEY = ("user_id", "event_date", "event_id")


@dataclass(frozen=True)
class ActCounts:
    """What the histories' line of the ledger has to say of the acts that were written."""

    rows: int = 0
    after: int = 0
    searches: int = 0
    forgotten: int = 0

    def plus(self, acts: pa.Table, night: dt.date) -> ActCounts:
        """With those of a file."""
        known = pc.field("event_date") <= pa.scalar(night)
        searches = known & (pc.field("event_type") == pa.scalar("search"))
        return ActCounts(
            self.rows + acts.num_rows,
            self.after + acts.filter(~known).num_rows,
            self.searches + acts.filter(searches).num_rows,
            self.forgotten + int(pc.sum(acts["events_before"]).as_py() or 0),
        )


@dataclass(frozen=True)
class Copied:
    """What of the night before is not made anew.

    Its acts but for those of users that are `judged`, its pasts but for those that are `retold`.
    """

    before: Partition
    judged: pa.StringArray
    retold: pa.StringArray


def what_is_copied(before: Partition, delivered: Iterable[Partition], passage: Passage) -> Copied:
    """Find the users of whom something may change.

    Args:
        before: the acts of the night that is gone on from.
        delivered: deliveries since, of what brings acts or takes them back.
    """
    acting = [
        unique_users(_read(file, ["user_id"]))
        for part in delivered
        if part.rows
        for file in part.files
    ]
    judged, retold = list(acting), list(acting)
    for file in before.files:
        acts = _read(file, JUDGED_BY)
        judged.append(passage.acts_change(acts))
        retold.append(passage.pasts_change(acts))
    return Copied(before, pa.concat_arrays(judged).unique(), pa.concat_arrays(retold).unique())


def write_judged(copied: Copied, directory: Path) -> int:
    """Write the acts that are not copied, as the night before has them, for Spark; how many."""
    rows = 0
    with storage_errors(f"cannot write {directory}"):
        directory.mkdir(parents=True)
        for number, file in enumerate(copied.before.files):
            acts = _of(_read(file), copied.judged)
            pq.write_table(acts, _part(directory, number))
            rows += acts.num_rows
    return rows


def write_merged(
    made: Path,
    copied: Copied | None,
    directory: Path,
    retold: Path,
    *,
    files: int,
    night: dt.date,
) -> ActCounts:
    """Write the night's acts.

    Args:
        made: what Spark made tonight, cut as `past.write_sorted` cuts.
        copied: what is not made anew; none: nothing.
        directory: empty.
        retold: empty; for the acts of users whose past is told anew, where any are copied.
        files: how many; as many as `made` and `copied` are cut into.
        night: the last day that is known.
    """
    schema, counts = arrow_schema(load_contract("acts")), ActCounts()
    with storage_errors(f"cannot write {directory}"):
        for number in range(files):
            tables = [schema.empty_table()]
            if copied is not None:
                acts = _read(_part(copied.before.path, number))
                tables.append(_of(acts, copied.judged, others=True).cast(schema))
            # Spark writes no file of a task without rows.
            if (new := _part(made, number)).exists():
                tables.append(_read(new).cast(schema))
            # One chunk, because the writer begins a page with each.
            acts = pa.concat_tables(tables).sort_by([(name, "ascending") for name in KEY])
            acts = acts.combine_chunks()
            pq.write_table(acts, _part(directory, number), compression="zstd")
            if copied is not None:
                pq.write_table(_of(acts, copied.retold), _part(retold, number))
            counts = counts.plus(acts, night)
    return counts


def _part(directory: Path, number: int) -> Path:
    return directory / f"part-{number:05d}.parquet"


def _read(file: Path, columns: Iterable[str] | None = None) -> pa.Table:
    # Not read_table, which takes columns from names of directories too.
    return pq.ParquetFile(file).read(columns=list(columns) if columns is not None else None)


def _of(acts: pa.Table, users: pa.StringArray, *, others: bool = False) -> pa.Table:
    """The acts of some users, or those of all others."""
    among = pc.is_in(acts["user_id"], value_set=users)
    return acts.filter(pc.invert(among) if others else among)
