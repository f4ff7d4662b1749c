"""Stage `target`: why to write to whom today.

Reads the night's `histories` (who is active and agrees), `acts` (what they did), `catalogue` and
`catalogue_changes` (prices and stock, now and before), and the `triggers` of published nights
before. Writes the dataset `triggers`, and two lines of the ledger: what became of every shopper,
and of every candidate.

*Before* is the newest earlier night that was published with triggers, of the last week; else the
day before. So a night that was missed loses no price drop. Work is done by shards of users, as
`acts` are cut: memory holds the items, one short row a shopper and one shard. DuckDB spills what
is more to the scratch directory. The same inputs give the same bytes.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema, check_table
from pipeline.contracts.contract import load_contract
from pipeline.datasets import (
    ACTS,
    CATALOGUE,
    CATALOGUE_CHANGES,
    HISTORIES,
    RECOMMENDATIONS,
    TRIGGERS,
)
from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.errors import StorageError
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.ledger import LedgerLine
from pipeline.lineage import Lineage, inputs_of, lineage_of
from pipeline.progress import Progress
from pipeline.publishing.list_origin import PER_SHOPPER
from pipeline.settings import Settings
from pipeline.sql_values import sql_files, sql_text
from pipeline.stages import TARGET
from pipeline.targeting import trigger_sql
from pipeline.targeting.item_facts import make_items
from pipeline.targeting.shoppers import make_shoppers, read_quiet_list, unknown_lines

log = logging.getLogger("nightcart")

# In the manifest of triggers that are empty because nobody looked for any: why.
NOT_MADE = "not_made"
SWITCHED_OFF = "switched_off"
# So far back an earlier night is gone on from.
CATCH_UP_DAYS = 7
# So far back it is known which purchase or silence was written about.
REMEMBERED_DAYS = 90
_NO_CAP = 2**31 - 1


@dataclass(frozen=True)
class Triggers:
    """What was written, and what became of every shopper and candidate."""

    partition: Partition
    lines: tuple[LedgerLine, LedgerLine]
    report: dict[str, Any]


def make_triggers(lake: Lake, run: Run, settings: Settings) -> Triggers:
    """Find the night's triggers and commit them.

    Raises:
        QuietListError: the quiet list cannot be read.
        InputError: the night has no histories, acts or catalogue; or the quiet list names none of
            the shoppers.
        StorageError: the disk refuses.
    """
    if not settings.triggers.kinds:
        return no_triggers(lake, run, SWITCHED_OFF)
    night = run.run_date
    histories, catalogue = lake.require(HISTORIES, night), lake.require(CATALOGUE, night)
    acts = acts_of(lake, histories)
    past = _past(lake, night)
    before = _before(night, past)
    quiet = read_quiet_list(lake, settings)
    changes = lake.past(CATALOGUE_CHANGES, before)
    scratch = lake.work(TARGET, run)
    directory = lake.begin(TRIGGERS, run)
    with engine(scratch) as connection:
        without = make_shoppers(connection, lake, histories, quiet.ids)
        n_unknown = unknown_lines(connection, quiet)
        make_items(connection, catalogue, changes, before, settings.triggers.price_days)
        make_past(connection, past, night, settings.triggers.quiet_days)
        _make_rebuys(connection, acts, night, settings.triggers.due_min_gaps)
        counts = _write(connection, acts, directory, _Names(settings, night, before).all)
    shutil.rmtree(scratch, ignore_errors=True)
    read = inputs_of({HISTORIES: histories, ACTS: acts, CATALOGUE: catalogue})
    partition = lake.commit(
        TRIGGERS,
        run,
        rows=counts.rows,
        before=before.isoformat(),
        kinds=dict(sorted(counts.kinds.items())),
        **{PER_SHOPPER: settings.triggers.per_shopper},
        **Lineage(read).facts(),
    )
    without["nothing_to_say"] = histories.rows - counts.shoppers - sum(without.values())
    removed = {reason: n for reason, n in without.items() if n}
    n_candidates = counts.rows + counts.left_out.total()
    lines = (
        LedgerLine(
            night, run.run_id, TARGET, HISTORIES, histories.rows, counts.shoppers, removed=removed
        ),
        LedgerLine(
            night,
            run.run_id,
            TARGET,
            TRIGGERS,
            n_candidates,
            counts.rows,
            removed=dict(counts.left_out),
        ),
    )
    report = {
        "triggers": counts.rows,
        "users": counts.shoppers,
        "kinds": dict(sorted(counts.kinds.items())),
        "compared_with": before.isoformat(),
        **({"quiet_list_unknown": n_unknown} if n_unknown else {}),
    }
    return Triggers(partition, lines, report)


def no_triggers(lake: Lake, run: Run, why: str) -> Triggers:
    """Commit none, so that the lists can be published.

    Args:
        why: a name for it, for the ledger. No later night goes on from this one.

    Raises:
        InputError: the night has no histories or catalogue.
        StorageError: the disk refuses.
    """
    night = run.run_date
    histories, catalogue = lake.require(HISTORIES, night), lake.require(CATALOGUE, night)
    schema = arrow_schema(load_contract(TRIGGERS))
    directory = lake.begin(TRIGGERS, run)
    with storage_errors(f"cannot write {directory}"):
        pq.write_table(schema.empty_table(), directory / "part-00000.parquet", compression="zstd")
    read = inputs_of({HISTORIES: histories, CATALOGUE: catalogue})
    facts = {"kinds": {}, NOT_MADE: why, **Lineage(read).facts()}
    partition = lake.commit(TRIGGERS, run, rows=0, **facts)
    removed = {why: histories.rows} if histories.rows else {}
    lines = (
        LedgerLine(night, run.run_id, TARGET, HISTORIES, histories.rows, 0, removed=removed),
        LedgerLine(night, run.run_id, TARGET, TRIGGERS, 0, 0),
    )
    return Triggers(partition, lines, {"triggers": 0, "users": 0, "kinds": {}})


@dataclass
class _Counts:
    rows: int
    shoppers: int
    kinds: Counter[str]
    left_out: Counter[str]


@dataclass(frozen=True)
class _Names:
    """What stands for the names in braces of `trigger_sql`."""

    settings: Settings
    night: dt.date
    before: dt.date

    @property
    def all(self) -> dict[str, str]:
        asked = self.settings.triggers
        values = {
            name: str(getattr(asked, name))
            for name in (
                "interest_days",
                "cart_left_days",
                "due_early_days",
                "follow_events",
                "win_back_times",
                "win_back_min_days",
                "win_back_min_visits",
                "quiet_days",
            )
        }
        caps = {
            name: str(getattr(asked, name) or _NO_CAP)
            for name in ("per_shopper", "per_kind", "per_item")
        }
        night = f"DATE {sql_text(self.night.isoformat())}"
        names = {
            **values,
            **caps,
            "night": night,
            "before": f"DATE {sql_text(self.before.isoformat())}",
            "last_day": f"({night} + {asked.valid_days})",
            "share": str(asked.price_drop_share),
            "value": str(asked.price_drop_value),
            "kinds": "[" + ", ".join(map(sql_text, asked.kinds)) + "]::VARCHAR[]",
        }
        return {**names, "candidates": trigger_sql.candidates(asked.kinds, names)}


@contextmanager
def engine(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in UTC, spilling to a scratch directory; what it says of the disk, as ours."""
    with storage_errors(f"cannot write {scratch}"):
        scratch.mkdir(parents=True, exist_ok=True)
    try:
        with duckdb.connect() as connection:
            connection.execute(f"SET temp_directory = {sql_text(scratch)}")
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StorageError(
            f"cannot find the triggers: {error}; make room in {scratch}, then run the same date "
            "again"
        ) from error


def acts_of(lake: Lake, histories: Partition) -> Partition:
    """The acts that the histories were made from; where they do not say it, the night's."""
    lineage = lineage_of(histories)
    known = lineage.directory(ACTS, histories.run_date) if lineage else None
    if known is None:
        return lake.require(ACTS, histories.run_date)
    return lake.partition(ACTS, histories.run_date, known)


def _past(lake: Lake, night: dt.date) -> list[Partition]:
    """The triggers that readers could see on earlier nights, oldest first."""
    found = []
    for date in lake.dates(RECOMMENDATIONS, night - dt.timedelta(days=1)):
        if date < night - dt.timedelta(days=REMEMBERED_DAYS):
            continue
        lists = lake.whole(RECOMMENDATIONS, date)
        lineage = lineage_of(lists) if lists is not None else None
        directory = lineage.directory(TRIGGERS, date) if lineage else None
        triggers = lake.whole(TRIGGERS, date, directory) if directory else None
        if triggers is not None and NOT_MADE not in triggers.manifest:
            found.append(triggers)
    return found


def _before(night: dt.date, past: list[Partition]) -> dt.date:
    first = night - dt.timedelta(days=CATCH_UP_DAYS)
    return past[-1].run_date if past and past[-1].run_date >= first else night - dt.timedelta(1)


def make_past(
    connection: duckdb.DuckDBPyConnection, past: list[Partition], night: dt.date, quiet_days: int
) -> None:
    """The table `past`: what was sent of late, and which purchases and silences were spoken of.

    Of who may get any tonight; what can keep nothing quiet any more is left out.
    """
    connection.execute(
        "CREATE TEMP TABLE past "
        "(run_date DATE, user_id VARCHAR, kind VARCHAR, item_id VARCHAR, since TIMESTAMPTZ)"
    )
    for part in past:
        if part.rows:
            of_late = part.run_date > night - dt.timedelta(days=quiet_days)
            connection.execute(
                f"INSERT INTO past SELECT ?::DATE, user_id, kind, item_id, since "  # noqa: S608
                f"FROM read_parquet({sql_files(part.files)}, hive_partitioning = false) "
                "SEMI JOIN due USING (user_id) WHERE ? OR kind IN ('due_again', 'win_back')",
                [part.run_date, of_late],
            )


def _make_rebuys(
    connection: duckdb.DuckDBPyConnection, acts: Partition, night: dt.date, min_gaps: int
) -> None:
    """The table `rebuys`, shard by shard: gaps are counted, not kept."""
    connection.execute("CREATE TEMP TABLE gaps (item_id VARCHAR, gap BIGINT, n BIGINT)")
    for file in acts.files:
        _read_shard(connection, file, night)
        connection.execute(trigger_sql.GAPS)
    connection.execute(trigger_sql.REBUYS.format(min_gaps=min_gaps))
    connection.execute("DROP TABLE gaps")


def _read_shard(connection: duckdb.DuckDBPyConnection, file: Path, night: dt.date) -> None:
    made = trigger_sql.ACTS.format(
        files=parquet_source([file]), users="due", night=f"DATE {sql_text(night.isoformat())}"
    )
    connection.execute(bring(connection, made))


def _write(
    connection: duckdb.DuckDBPyConnection,
    acts: Partition,
    directory: Path,
    names: dict[str, str],
) -> _Counts:
    """One file of triggers for each shard of acts."""
    contract = load_contract(TRIGGERS)
    schema = arrow_schema(contract)
    counts = _Counts(0, 0, Counter(), Counter())
    progress = Progress("shards of shoppers", len(acts.files))
    night = dt.date.fromisoformat(names["night"].removeprefix("DATE ").strip("'"))
    for number, file in enumerate(acts.files):
        _read_shard(connection, file, night)
        connection.execute(trigger_sql.SHARD.format(**names))
        connection.execute(trigger_sql.CHOSEN.format(**names))
        rows: Any = connection.sql(trigger_sql.ROWS.format(**names)).to_arrow_table()
        rows = check_table(rows.cast(pa.schema([f.with_nullable(True) for f in schema])), contract)
        with storage_errors(f"cannot write {directory}"):
            pq.write_table(rows, directory / f"part-{number:05d}.parquet", compression="zstd")
        counts.rows += rows.num_rows
        counts.shoppers += len(rows.column("user_id").unique())
        left_out = connection.execute(
            "SELECT kind, left_out, count(*) FROM chosen GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for kind, reason, n in left_out:
            counts.kinds.update({kind: n} if reason is None else {})
            counts.left_out.update({reason: n} if reason is not None else {})
        progress.add(1)
    return counts
