"""What is published, as SQL views for DuckDB.

Reads the pointers and manifests of a lake; writes `<lake>/views.sql`. The views name the files of
the runs that the pointers name, one by one, and those never change: a query sees a whole night or
none. The alternative, a view that globs and filters by the pointer, opens every file of every
night and meets directories that are being written.

So a connection that has read `views.sql` keeps seeing the same nights. `publish` replaces the file
by an atomic rename each time; `nightcart query` makes the views anew each time. Paths are absolute:
a lake that was moved has good views in `nightcart query` at once, in the file after the next
publish.

    duckdb -init <lake>/views.sql

Of an encrypted lake `views.sql` has the views of what is published plainly, and `nightcart query`
those of encrypted tables too.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline import durable
from pipeline.contracts.contract import Contract, load_contract
from pipeline.datasets import (
    BESIDE_LISTS,
    BOUGHT_TOGETHER,
    CATALOGUE,
    CATALOGUE_CHANGES,
    HISTORIES,
    LEDGER,
    METRICS,
    RECOMMENDATIONS,
    RETRACTIONS,
    RUNS,
    SIMILAR_ITEMS,
    TRIGGERS,
    cleaned,
)
from pipeline.encryption.duckdb_tables import bring, files_of, parquet_source
from pipeline.errors import InputError
from pipeline.lake import VIEWS_FILE, Lake, Partition, Run, storage_errors
from pipeline.ledger import LedgerLine, stage_lines
from pipeline.publishing.consent import refusing
from pipeline.publishing.list_origin import beside_lists, input_of
from pipeline.retention.expired import expired_until
from pipeline.sql_values import sql_files, sql_text
from pipeline.stages import CLEAN
from pipeline.verification import seal_lines

_FLAT = """
    SELECT run_date, run_id, user_id, entry.rank, entry.item_id, entry.title, entry.brand,
        entry.category, entry.price, entry.score, n_items, method, fallback_reason, rules,
        CASE WHEN entry.rank = 1 THEN reason END AS reason,
        CASE WHEN entry.rank = 1 THEN reason_method END AS reason_method,
        language, model_version, last_event_time, valid_until
    FROM (SELECT *, unnest(items) AS entry FROM {wide})"""

# What may take the place of a listed item that sold out since, best first.
_SPARES = """
    SELECT run_date, run_id, user_id, entry.rank, entry.item_id, entry.title, entry.brand,
        entry.category, entry.price, entry.score, valid_until
    FROM (SELECT *, unnest(spares) AS entry FROM {wide})"""

# What was delivered and still stands: of an accepted row, no later delivery took it back
# (docs/adr/0007). `run_date` is the delivery.
_STANDING = """
    SELECT delivered.* FROM ({delivered}) AS delivered
    ANTI JOIN (
        SELECT user_id, event_date, event_id, max(run_date) AS run_date FROM ({retractions})
        WHERE dataset = {dataset} GROUP BY ALL
    ) AS back
    ON delivered.user_id = back.user_id AND delivered.{own_day} = back.event_date
        AND delivered.{key} = back.event_id AND back.run_date > delivered.run_date"""

# Each version of an item and the days it held: the last one still does. What an item was on a day:
# WHERE DATE '2026-03-01' BETWEEN valid_from AND coalesce(valid_to, DATE '9999-12-31')
_VERSIONS = """
    SELECT item_id, changed_date AS valid_from,
        (lead(changed_date) OVER (PARTITION BY item_id ORDER BY changed_date)
            - INTERVAL 1 DAY)::DATE AS valid_to,
        changed, title, brand, category, price, stock, listed, in_assortment
    FROM {changes}"""


@dataclass(frozen=True)
class _Refused:
    """A SELECT of `user_id`, and what of a list is compared with it."""

    select: str
    of_list: str = "lists.user_id"


_TYPES = {"bigint": "BIGINT", "int": "INTEGER", "string": "VARCHAR"}


def view_statements(
    lake: Lake,
    latest: Partition | None = None,
    adding: Partition | None = None,
    leaving: Collection[Path] = (),
    *,
    for_all: bool = False,
) -> list[str]:
    """`CREATE OR REPLACE VIEW` statements over what the pointers name now.

    A dataset without a single partition gets a view with its columns and no row, so that a query
    over it answers.

    Args:
        latest: the night to take for the latest; by default what `latest.json` names.
        adding: a closed night to take for the one that its date points at.
        leaving: directories that are about to be removed.
        for_all: also for engines without the lake's keys. Views of encrypted tables are left out.

    Raises:
        InputError: nothing is published.
    """
    latest = latest or lake.latest(RECOMMENDATIONS)
    if latest is None:
        raise InputError(
            f"nothing is published in {lake.root} yet; run a night first: nightcart run --date "
            "YYYY-MM-DD, or nightcart demo"
        )
    nights = {night.run_date: night for night in lake.past_whole(RECOMMENDATIONS, dt.date.max)}
    if adding is not None:
        nights[adding.run_date] = adding
    all_nights = _without(leaving, [nights[date] for date in sorted(nights)])
    published = [*all_nights, latest]
    triggers = _beside(lake, TRIGGERS, all_nights, leaving)
    of_latest = {name: _beside(lake, name, [latest], leaving) for name in BESIDE_LISTS}
    of_triggers = {part.path: part for part in (*triggers, *of_latest[TRIGGERS])}
    refused = _refused(lake, [*published, *of_triggers.values()], for_all=for_all)
    views = {
        "recommendations_wide_latest": _consenting(_wide([latest]), refused),
        "recommendations_latest": _FLAT.format(wide="recommendations_wide_latest"),
        "recommendations_wide": _consenting(_wide(all_nights), refused),
        "recommendations": _FLAT.format(wide="recommendations_wide"),
        "spares_latest": _SPARES.format(wide="recommendations_wide_latest"),
        "spares": _SPARES.format(wide="recommendations_wide"),
        "triggers_latest": _consenting(
            _grown(load_contract(TRIGGERS), of_latest[TRIGGERS]), refused
        ),
        "triggers": _consenting(_grown(load_contract(TRIGGERS), triggers), refused),
        **{
            f"{name}_latest": _grown(load_contract(name), of_latest[name])
            for name in (SIMILAR_ITEMS, BOUGHT_TOGETHER)
        },
        "catalogue_latest": _input(lake, CATALOGUE, latest),
        "histories_latest": _input(lake, HISTORIES, latest),
        "events": _standing(lake, "events", "event", leaving),
        "reviews": _standing(lake, "reviews", "review", leaving),
        "catalogue_changes": _stored(
            load_contract(CATALOGUE_CHANGES), lake.past(CATALOGUE_CHANGES, dt.date.max)
        ),
        "item_versions": _VERSIONS.format(changes="catalogue_changes"),
        "ledger": _ledger(lake, leaving, every=False),
        "ledger_attempts": _ledger(lake, leaving, every=True),
        "metrics": _grown(
            load_contract(METRICS), _without(leaving, lake.past_whole(METRICS, dt.date.max))
        ),
    }
    return [
        f"CREATE OR REPLACE VIEW {name} AS {select.strip()};"
        for name, select in views.items()
        if not (for_all and files_of(select))
    ]


@contextmanager
def views_beside(lake: Lake, latest: Partition, adding: Partition) -> Iterator[None]:
    """Write the views of a night aside, and rename them to `<lake>/views.sql` after the block.

    The block switches the pointers. A disk that is full is found out before it, and the renaming
    after it needs no room. The arguments are those of `view_statements`.
    """
    with _written_beside(lake, view_statements(lake, latest, adding, for_all=True)):
        yield


@contextmanager
def views_without(lake: Lake, leaving: Collection[Path]) -> Iterator[None]:
    """Write the views, where there are any, aside without what leaves; rename after the block.

    Whatever can fail does so before the block, which notes that something has expired.
    """
    if (lake.root / VIEWS_FILE).exists() and lake.latest(RECOMMENDATIONS) is not None:
        with _written_beside(lake, view_statements(lake, leaving=leaving, for_all=True)):
            yield
    else:
        yield


@contextmanager
def _written_beside(lake: Lake, statements: Sequence[str]) -> Iterator[None]:
    path = lake.root / VIEWS_FILE
    lines = [
        "-- Written by Nightcart at each publish. Made for DuckDB: duckdb -init views.sql",
        *statements,
    ]
    with storage_errors(f"cannot write {path}"), durable.beside(path) as (file, flush):
        file.write(seal_lines("\n\n".join(lines) + "\n").encode())
        flush()
        yield


def _without(leaving: Collection[Path], partitions: Sequence[Partition]) -> list[Partition]:
    return [partition for partition in partitions if partition.path not in leaving]


def _wide(nights: Sequence[Partition]) -> str:
    """One row per user."""
    return _grown(load_contract(RECOMMENDATIONS), nights)


def _consenting(lists: str, refused: _Refused | None) -> str:
    """Lists without those of users who have withdrawn since: of whatever night they are."""
    if refused is None:
        return lists
    return f"""
    SELECT lists.* FROM ({lists}) AS lists
    ANTI JOIN ({refused.select}) AS refused ON {refused.of_list} = refused.user_id"""  # noqa: S608 (paths are quoted)


def _refused(lake: Lake, nights: Sequence[Partition], *, for_all: bool) -> _Refused | None:
    """Who has withdrawn.

    Args:
        nights: whose lists, and triggers, are to be read.
        for_all: also engines without the key are to read them: where entries are encrypted, this
            is digests of those who have lists, and the next publish knows who has withdrawn since.
    """
    select = refusing(lake)
    if select is None or not (for_all and files_of(select)):
        return None if select is None else _Refused(select)
    files = sql_files(_absolute([file for night in nights for file in night.paths]))
    among = (
        f"SELECT DISTINCT sha256(user_id) FROM read_parquet({files}) "  # noqa: S608 (paths are quoted)
        f"SEMI JOIN ({select}) AS refused USING (user_id) ORDER BY ALL"
    )
    with duckdb.connect() as connection:
        digests = connection.execute(bring(connection, among)).fetchall()
    if not digests:
        return None
    values = ", ".join(sql_text(digest) for (digest,) in digests)
    return _Refused(f"SELECT unnest([{values}]) AS user_id", "sha256(lists.user_id)")


def _beside(
    lake: Lake, name: str, nights: Sequence[Partition], leaving: Collection[Path]
) -> list[Partition]:
    """What was published beside the lists of some nights."""
    found = [made for night in nights if (made := beside_lists(lake, name, night)) is not None]
    return _without(leaving, found)


def _input(lake: Lake, name: str, lists: Partition) -> str:
    """What the lists were made from, whatever a later run of their date has written since."""
    return _stored(load_contract(name), [input_of(lake, name, lists)])


def _standing(lake: Lake, dataset: str, act: str, leaving: Collection[Path]) -> str:
    """All events, or reviews, that were delivered so far and stand."""
    deliveries = {
        name: _stored(load_contract(name), _not_expired(lake, name, leaving))
        for name in (cleaned(dataset), RETRACTIONS)
    }
    return _STANDING.format(
        delivered=deliveries[cleaned(dataset)],
        retractions=deliveries[RETRACTIONS],
        dataset=sql_text(dataset),
        own_day=f"{act}_date",
        key=f"{act}_id",
    )


def _not_expired(lake: Lake, name: str, leaving: Collection[Path]) -> list[Partition]:
    """What leaves is told by its pointer: maybe it is damaged, which is no matter any more."""
    until = expired_until(lake)
    return [
        lake.require(name, date)
        for date, directory_id in lake.pointers(name, dt.date.max).items()
        if (until is None or date > until)
        and lake.run_directory(name, Run(date, directory_id)) not in leaving
    ]


def _stored(contract: Contract, partitions: Sequence[Partition]) -> str:
    return _parquet(contract, [file for partition in partitions for file in partition.paths])


def _parquet(contract: Contract, files: Sequence[Path]) -> str:
    """The contract's columns, behind the run they belong to."""
    if not files:
        return _no_rows(contract)
    # A date that is in the path too is read from there, as text.
    names = ", ".join(
        f"{column.name}::DATE AS {column.name}" if column.type == "date" else column.name
        for column in contract.columns
    )
    source = parquet_source(
        _absolute(files), "hive_partitioning = true, hive_types_autocast = false"
    )
    return f"""
    SELECT run_date::DATE AS run_date, run_id::VARCHAR AS run_id, {names}
    FROM {source}"""  # noqa: S608 (paths are quoted)


def _grown(contract: Contract, partitions: Sequence[Partition]) -> str:
    """Every night's, also where older ones lack columns that came later: those are null then."""
    files = [file for partition in partitions for file in partition.paths]
    if not files:
        return _no_rows(contract)
    names = ", ".join(contract.column_names)
    return f"""
    SELECT run_date::DATE AS run_date, run_id::VARCHAR AS run_id, {names}
    FROM ({_no_rows(contract)} UNION ALL BY NAME
        FROM read_parquet({sql_files(_absolute(files))}, union_by_name = true,
            hive_partitioning = true, hive_types_autocast = false))"""  # noqa: S608 (paths are quoted)


def _ledger(lake: Lake, leaving: Collection[Path], *, every: bool) -> str:
    """The ledger has no pointer: what its runs wrote, by its own columns.

    Args:
        every: every line of every run; else of each stage and day of lines those of the last run
            that names the day and did not fail, so that rows are counted once. One night's
            cleaning has lines of many days.
    """
    contract = load_contract(LEDGER)
    lines = sorted(lake.dataset(LEDGER).glob("run_date=*/run_id=*/*.jsonl"))
    files = [file for file in lines if file.parent not in leaving]
    if not files:
        return _no_rows(contract)
    kinds = ", ".join(
        f"{column.name}: {sql_text(_kind(column.type))}" for column in contract.columns
    )
    if every:
        return f"""
    FROM read_json({sql_files(_absolute(files))}, format = 'newline_delimited',
        columns = {{{kinds}}}, hive_partitioning = false)"""
    good = [row for file in files for row in _good(lake, file)]
    if not good:
        return _no_rows(contract)
    named = ", ".join(
        f"({sql_text(str(file.resolve()))}, {sql_text(file.stem)}, {sql_text(at)}, "
        f"{'NULL' if day is None else sql_text(str(day))}::DATE)"
        for file, at, day in good
    )
    some = sorted({file for file, _, _ in good})
    names = ", ".join(f"line.{name}" for name in contract.column_names)
    return f"""
    SELECT {names}
    FROM read_json({sql_files(_absolute(some))}, format = 'newline_delimited',
        columns = {{{kinds}}}, hive_partitioning = false, filename = true) AS line
    JOIN (VALUES {named}) AS good(file, of_stage, started, of_day)
        ON line.filename = good.file AND coalesce(good.of_day = line.run_date, true)
    QUALIFY dense_rank() OVER (PARTITION BY of_stage, line.run_date
        ORDER BY started DESC, file DESC) = 1"""  # noqa: S608 (paths are quoted)


def _good(lake: Lake, file: Path) -> Iterator[tuple[Path, str, dt.date | None]]:
    """(file, when its stage started, the day that counts; None for all of them).

    A run whose stage left no record counts as good. Nothing of a failed stage counts, but for days
    that a cleaning committed before it failed and that are still its own.
    """
    date, run, stage = file.parent.parent.name, file.parent.name, file.stem
    record = _record(lake.dataset(RUNS) / date / run / f"{stage}.json")
    run_id = run.removeprefix("run_id=")
    at = str(record.get("started") or run_id)
    if record.get("status") != "failed":
        yield file, at, None
    elif stage == CLEAN:
        lines = stage_lines(lake, Run(dt.date.fromisoformat(date[-10:]), run_id), CLEAN)
        own = {line.run_date for line in lines if _is_of(lake, line, run_id)}
        for day in sorted(own):
            yield file, at, day


def _is_of(lake: Lake, line: LedgerLine, run_id: str) -> bool:
    """Whether what a line counted is in the lake as that run wrote it."""
    there = lake.whole(cleaned(line.dataset), line.run_date)
    return there is not None and (
        there.directory_id == run_id or there.directory_id.startswith(f"{run_id}.")
    )


def _record(path: Path) -> dict[str, Any]:
    """A stage's record; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _no_rows(contract: Contract) -> str:
    columns = {"run_date": "date", "run_id": "string"} | {
        column.name: column.type for column in contract.columns
    }
    nulls = ", ".join(f"NULL::{_kind(kind)} AS {name}" for name, kind in columns.items())
    return f"SELECT {nulls} WHERE false"


def _kind(spark_type: str) -> str:
    """A contract's type in DuckDB's words."""
    kind = spark_type.replace(" ", "")
    if kind.startswith("array<"):
        return f"{_kind(kind[6:-1])}[]"
    if kind.startswith("struct<"):
        fields = (field.partition(":") for field in _outer_parts(kind[7:-1]))
        return f"STRUCT({', '.join(f'{name} {_kind(of)}' for name, _, of in fields)})"
    if kind.startswith("map<"):
        key, _, value = kind[4:-1].partition(",")
        return f"MAP({_kind(key)}, {_kind(value)})"
    return {"timestamp": "TIMESTAMPTZ"}.get(kind, _TYPES.get(kind, kind.upper()))


def _outer_parts(kinds: str) -> list[str]:
    """The fields of a struct: split at the commas that are inside nothing else."""
    parts, depth = [""], 0
    for char in kinds:
        depth += (char == "<") - (char == ">")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _absolute(files: Sequence[Path]) -> list[Path]:
    return [file.resolve() for file in files]
