"""Last night's lists for tonight, marked: what readers get of a night that cannot be made in time.

Reads the newest `recommendations` before the date and every shopper entry in the lake.
Writes `recommendations/run_date=D/run_id=R/` in the same way as `publish`, with `method`
`last_night`, the reason in `fallback_reason` and the story in the manifest (`degraded`). Shoppers
who have withdrawn consent by now are left out. A night that has its own lists is left alone, and
the same run publishes its own over these as soon as it can be made (`nightcart redo`).

The lists hold as long as those of this night would: as many days as theirs did.

Gives up: titles, prices and stock are those of the night that made the lists, and shoppers who
became active since have none.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from pipeline.code_version import code_version
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import CLEANED_USERS, RECOMMENDATIONS
from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.errors import InputError
from pipeline.intact import file_sha256
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.lineage import LISTS_OF
from pipeline.list_validity import last_valid_day
from pipeline.model.list_methods import LAST_NIGHT
from pipeline.publishing.consent import known_until
from pipeline.publishing.list_origin import (
    DEGRADED,
    is_degraded,
    lineage_of_lists,
    lists_night,
)
from pipeline.publishing.list_rules import VIEWS
from pipeline.publishing.views import views_beside
from pipeline.sql_values import sql_files
from pipeline.stages import DEGRADE

log = logging.getLogger("nightcart")

SPARES, VALID_DAYS = "spares", "valid_days"  # in a manifest of lists
_ONE_DAY = 1  # of a manifest of before there was a setting
# Why, as readers find it in `fallback_reason`.
REASONS = {"deadline": "night_out_of_time", "failed": "night_failed"}


@dataclass(frozen=True)
class Degraded:
    """What readers have for the night now, and how many lists were left out of it."""

    partition: Partition
    withdrawn: int
    report: dict[str, Any]


def degrade(lake: Lake, run: Run, why: str, said: str) -> Degraded:
    """Publish the newest earlier night's lists for this one, unless it has lists of its own.

    Args:
        why: a key of `REASONS`.
        said: what went wrong with the night, for people; into the manifest.

    Raises:
        InputError: there is no earlier night.
        StorageError: the disk or a permission refuses; nothing was switched.
    """
    with lake.writing(RECOMMENDATIONS, run):
        return _degrade(lake, run, why, said)


def _degrade(lake: Lake, run: Run, why: str, said: str) -> Degraded:
    current = lake.whole(RECOMMENDATIONS, run.run_date)
    if current is not None and not is_degraded(current):
        log.info("%s has lists of its own: %s", run.run_date, current.path)
        return Degraded(current, 0, {"kept": str(current.path)})
    earlier = reversed(lake.dates(RECOMMENDATIONS, run.run_date - dt.timedelta(days=1)))
    found = (lake.whole(RECOMMENDATIONS, date) for date in earlier)
    source = next((lists for lists in found if lists is not None), None)
    if source is None:
        raise InputError(
            f"there is no night before {run.run_date} in {lake.root} whose lists could stand in "
            "for it; readers have nothing until the night is made"
        )
    withdrawn = _withdrawn(lake, source, known_until(lake, run.run_date))
    marks = {
        "method": LAST_NIGHT,
        "fallback_reason": REASONS[why],
        "valid_until": last_valid_day(run.run_date, source.manifest.get(VALID_DAYS, _ONE_DAY)),
    }
    scratch = lake.work(DEGRADE, run)
    with storage_errors(f"cannot write {scratch}"):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        rows = sum(_mark(path, scratch / path.name, withdrawn, marks) for path in source.files)
    partition = _closed_before(lake, run, scratch) or _close(
        lake, run, source, rows, {"why": why, "said": said}
    )
    line = LedgerLine(
        run_date=run.run_date,
        run_id=run.run_id,
        stage=DEGRADE,
        dataset=RECOMMENDATIONS,
        rows_in=source.rows,
        rows_out=rows,
        removed={"consent_withdrawn": source.rows - rows} if rows < source.rows else {},
    )
    write_ledger(lake, run, DEGRADE, [line])
    is_latest = lake.publish(
        RECOMMENDATIONS, partition, lambda newest: views_beside(lake, newest, adding=partition)
    )
    shutil.rmtree(scratch, ignore_errors=True)
    night = lists_night(partition)
    log.warning("readers get the lists of %s for %s: %s", night, run.run_date, said)
    report = {
        "lists_of": night.isoformat(),
        "why": f"the lists of {night} stand in for this night: {said}",
        "users": rows,
        "latest": is_latest,
        "path": str(partition.path),
    }
    return Degraded(partition, source.rows - rows, report)


def _withdrawn(lake: Lake, source: Partition, upto: dt.date) -> list[str]:
    """Shoppers of some lists who do not consent as of a date, by the rule of `publish`."""
    users = [file for part in lake.past(CLEANED_USERS, upto) for file in part.files]
    if not users:
        return _column(f"SELECT user_id FROM read_parquet({sql_files(source.files)})")  # noqa: S608
    return _column(
        f"WITH users AS (FROM {parquet_source(users, 'hive_partitioning = true')}), "  # noqa: S608
        f"consenting AS ({VIEWS['consenting']}) "
        f"SELECT user_id FROM read_parquet({sql_files(source.files)}) "
        "ANTI JOIN consenting USING (user_id)"
    )


def _column(sql: str) -> list[str]:
    with duckdb.connect() as connection:
        return [value for (value,) in connection.execute(bring(connection, sql)).fetchall()]


def _mark(source: Path, target: Path, withdrawn: list[str], marks: dict[str, Any]) -> int:
    """One file, row group by row group; returns the rows that stay."""
    schema = arrow_schema(load_contract(RECOMMENDATIONS))
    gone, rows = pa.array(withdrawn, pa.string()), 0
    with (
        pq.ParquetFile(source) as file,
        pq.ParquetWriter(target, schema, compression="zstd") as writer,
    ):
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            leaves = pa.compute.is_in(table.column("user_id"), value_set=gone)
            table = table.filter(pa.compute.invert(leaves))
            columns = {
                # A night of before a column was there has none of it.
                field.name: pa.repeat(pa.scalar(marks.get(field.name), field.type), table.num_rows)
                if field.name in marks or field.name not in table.column_names
                else table.column(field.name).cast(field.type)
                for field in schema
            }
            table = pa.table([columns[name] for name in schema.names], schema=schema)
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _closed_before(lake: Lake, run: Run, scratch: Path) -> Partition | None:
    """The same lists, closed by an earlier attempt of this run."""
    files = {path.name: file_sha256(path) for path in scratch.iterdir()}
    for attempt in lake.attempts(RECOMMENDATIONS, run):
        there = {entry["path"]: entry["sha256"] for entry in attempt.manifest["files"]}
        if there == files and is_degraded(attempt):
            return attempt
    return None


def _close(lake: Lake, run: Run, source: Partition, rows: int, story: dict[str, str]) -> Partition:
    directory, scratch = lake.begin(RECOMMENDATIONS, run), lake.work(DEGRADE, run)
    with storage_errors(f"cannot publish to {directory}"):
        for path in sorted(scratch.iterdir()):
            shutil.copyfile(path, directory / path.name)
    said = source.manifest
    return lake.close(
        RECOMMENDATIONS,
        run,
        rows=rows,
        schema=said["schema"],
        k=said["k"],
        **{name: said[name] for name in (SPARES, VALID_DAYS) if name in said},
        source=said["source"],
        generated_by=run.run_id,
        code=code_version(),
        **lineage_of_lists(lake, source).facts(),
        **{LISTS_OF: lists_night(source).isoformat(), DEGRADED: story},
    )
