"""The views over what is published, through DuckDB alone and through `run_query`."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.errors import InputError
from pipeline.lake import Lake, Run
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.publishing.degrade import degrade
from pipeline.publishing.list_origin import beside_lists
from pipeline.publishing.query import TABLE_ROWS, run_query, write_result
from tests.lake_rows import user_id_of, write_again, write_rows
from tests.publishing.conftest import NIGHT, Night, catalogue_row, entry, list_row

YESTERDAY = NIGHT.replace(month=2)
HOSTILE = 'Kettle\x1b[2J [red]50% off[/red]\u202e\x00\r\nnext, "quoted" 😀 \'; DROP'


def rows(lake: Lake, sql: str) -> list[tuple[object, ...]]:
    return list(run_query(lake, sql).rows)


def printed(lake: Lake, sql: str, form: str) -> str:
    out = io.StringIO(newline="")
    write_result(run_query(lake, sql), form, out, width=200)
    return out.getvalue()


def test_one_row_per_user_and_rank(night: Night) -> None:
    night.publish()
    sql = "SELECT * FROM recommendations_latest ORDER BY user_id, rank"
    result = run_query(night.lake, sql)
    found = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
    assert len(found) == 5
    ann = [row for row in found if row["user_id"] == user_id_of("ann")]
    assert [(row["rank"], row["item_id"], row["title"], row["price"]) for row in ann] == [
        (1, "b", "Item b", 2.5),
        (2, "a", "Item a", 2.5),
    ]
    assert [row["reason"] for row in ann] == ["Because you liked tea.", None]
    assert {row["run_date"] for row in found} == {NIGHT}
    assert {row["model_version"] for row in found} == {"2026-03-01.r1"}


def test_views_sql_alone_answers_and_follows_the_pointer(night: Night) -> None:
    older = night.on(YESTERDAY, "r0")
    older.generate()
    older.publish()
    assert _dates_by_file(night.lake) == [YESTERDAY]
    night.publish()
    assert _dates_by_file(night.lake) == [NIGHT]
    older.publish()
    assert _dates_by_file(night.lake) == [NIGHT]


def _dates_by_file(lake: Lake) -> list[object]:
    with duckdb.connect() as connection:
        connection.execute((lake.root / "views.sql").read_text(encoding="utf-8"))
        for view in ("recommendations", "catalogue_latest", "histories_latest", "ledger"):
            connection.execute(f"SELECT * FROM {view}").fetchall()
        sql = "SELECT DISTINCT run_date FROM recommendations_wide_latest"
        return [date for (date,) in connection.execute(sql).fetchall()]


def test_other_views(night: Night) -> None:
    night.publish()
    line = LedgerLine(NIGHT, "r1", "clean", "raw_events", 3, 2, {"late": 1})
    write_ledger(night.lake, night.run, "clean", [line])
    metric = {"model": "candidate", "split": "test", "metric": "ndcg", "k": 10, "value": 0.5}
    write_rows(night.lake, "metrics", night.run, [metric | {"n_users": 7}])
    lake = night.lake
    assert rows(lake, "SELECT count(*), count_if(sellable) FROM catalogue_latest") == [(4, 3)]
    assert rows(lake, "SELECT count(*) FROM histories_latest") == [(6,)]
    assert rows(lake, "SELECT stage, rows_in, quarantined['late'] FROM ledger ORDER BY 1") == [
        ("clean", 3, 1),
        ("publish", 3, None),
    ]
    assert rows(lake, "SELECT run_date, run_id, value FROM metrics") == [(NIGHT, "r1", 0.5)]


def test_failed_and_earlier_attempts_are_not_added_to_the_ledger(night: Night) -> None:
    night.publish()
    lake = night.lake
    for run_id, status, started, n in (
        ("r1", "failed", "2026-03-02T03:00:00+00:00", 9),  # night.run
        ("a", "done", "2026-03-02T05:00:00+00:00", 4),  # the last good one, whatever it is called
        ("b", "done", "2026-03-02T04:00:00+00:00", 5),
        ("c", "failed", "2026-03-02T06:00:00+00:00", 6),
    ):
        run = Run(NIGHT, run_id)
        write_ledger(lake, run, "clean", [LedgerLine(NIGHT, run_id, "clean", "raw_events", n, n)])
        records = lake.records(run)
        records.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"stage": "clean", "status": status, "started": started})
        (records / "clean.json").write_text(text, encoding="utf-8")
    older = LedgerLine(YESTERDAY, "z", "clean", "raw_events", 7, 7)
    write_ledger(lake, Run(YESTERDAY, "z"), "clean", [older])
    sums = "SELECT sum(rows_in) FROM {} WHERE stage = 'clean'"
    assert rows(lake, sums.format("ledger")) == [(4 + 7,)]
    assert rows(lake, sums.format("ledger_attempts")) == [(9 + 4 + 5 + 6 + 7,)]


def test_each_delivery_day_is_in_the_ledger_once(night: Night) -> None:
    """A rerun cleans one day of many, the next night cleans all again, a third one is killed."""
    night.publish()
    lake = night.lake
    days = [NIGHT - dt.timedelta(days=n) for n in range(3)]
    sql = "SELECT run_date, rows_in FROM ledger WHERE stage = 'clean' ORDER BY 1 DESC"

    def clean(date: dt.date, run_id: str, hour: int, of: dict[dt.date, int], status: str) -> None:
        run = Run(date, run_id)
        lines = [LedgerLine(day, run_id, "clean", "events", n, n) for day, n in of.items()]
        write_ledger(lake, run, "clean", lines)
        lake.records(run).mkdir(parents=True, exist_ok=True)
        started = f"2026-03-02T{hour:02}:00:00+00:00"
        text = json.dumps({"stage": "clean", "status": status, "started": started})
        (lake.records(run) / "clean.json").write_text(text, encoding="utf-8")

    clean(NIGHT, "first", 1, dict.fromkeys(days, 10), "done")
    clean(NIGHT, "rerun", 2, {NIGHT: 11}, "done")
    assert rows(lake, sql) == [(NIGHT, 11), (days[1], 10), (days[2], 10)]
    tomorrow = NIGHT + dt.timedelta(days=1)
    clean(tomorrow, "all", 3, {tomorrow: 5} | dict.fromkeys(days, 12), "done")
    everything = [(tomorrow, 5), (NIGHT, 12), (days[1], 12), (days[2], 12)]
    assert rows(lake, sql) == everything
    clean(tomorrow, "killed", 4, {tomorrow: 6} | dict.fromkeys(days, 13), "failed")
    assert rows(lake, sql) == everything
    write_rows(lake, "cleaned_events", Run(days[1], "killed"), [])
    night.publish()
    assert rows(lake, sql) == [*everything[:2], (days[1], 13), everything[3]]


def test_lists_of_nights_before_there_were_rules(night: Night) -> None:
    older = night.on(YESTERDAY, "r0")
    older.generate()
    older.publish()

    def without_rules(file: Path, target: Path) -> None:
        pq.write_table(pq.read_table(file).drop_columns(["rules"]), target)

    write_again(night.lake, "recommendations", YESTERDAY, without_rules)
    night.publish()
    found = rows(night.lake, "SELECT run_date, any_value(rules) FROM recommendations GROUP BY ALL")
    assert sorted(found) == [(YESTERDAY, None), (NIGHT, [])]


def test_metrics_of_nights_before_there_were_segments(night: Night) -> None:
    """Alone, and beside newer ones: the columns that their files lack are null."""
    night.publish()
    lake = night.lake
    row = {"model": "candidate", "split": "test", "metric": "ndcg", "k": 10, "value": 0.5}
    directory = lake.begin("metrics", night.run)
    pq.write_table(pa.Table.from_pylist([row | {"n_users": 7}]), directory / "part-00000.parquet")
    lake.commit("metrics", night.run, rows=1)
    sql = "SELECT run_date, value, segment, low FROM metrics ORDER BY run_date"
    assert rows(lake, sql) == [(NIGHT, 0.5, None, None)]
    later = Run(NIGHT + dt.timedelta(days=1), "r2")
    write_rows(lake, "metrics", later, [row | {"n_users": 7, "segment": "all", "low": 0.25}])
    assert rows(lake, sql)[1] == (later.run_date, 0.5, "all", 0.25)


def test_what_an_item_was_on_a_day(night: Night) -> None:
    night.publish()
    assert rows(night.lake, "SELECT * FROM item_versions") == []
    new = {"item_id": "a", "changed": ["new"], "price": 1.0, "listed": True, "in_assortment": True}
    prices = {1: 1.0, 4: 2.0, 9: 3.0}
    for day, price in prices.items():
        date = NIGHT.replace(day=day)
        change = new | {"changed_date": date, "price": price}
        write_rows(night.lake, "catalogue_changes", Run(date, "r1"), [change])
    sql = "SELECT valid_from, valid_to, price FROM item_versions ORDER BY 1"
    first, fourth, ninth = (NIGHT.replace(day=day) for day in prices)
    assert rows(night.lake, sql) == [
        (first, NIGHT.replace(day=3), 1.0),
        (fourth, NIGHT.replace(day=8), 2.0),
        (ninth, None, 3.0),
    ]
    on = "SELECT price FROM item_versions WHERE DATE '2026-03-{:02}' BETWEEN valid_from AND "
    on += "coalesce(valid_to, DATE '9999-12-31')"
    priced = {1: 1.0, 3: 1.0, 4: 2.0, 8: 2.0, 9: 3.0, 31: 3.0}
    assert {day: rows(night.lake, on.format(day)) for day in priced} == {
        day: [(price,)] for day, price in priced.items()
    }


def test_a_view_without_data_has_its_columns(night: Night) -> None:
    night.publish()
    ledger = next(night.lake.dataset("ledger").glob("run_date=*/run_id=*/publish.jsonl"))
    ledger.unlink()
    assert rows(night.lake, "SELECT run_date, stage, rows_in, removed FROM ledger") == []
    assert rows(night.lake, "SELECT run_date, run_id, metric, value FROM metrics") == []


def test_an_unpublished_run_is_not_seen(night: Night) -> None:
    night.publish()
    half = night.lake.run_directory("recommendations", Run(NIGHT, "half"))
    half.mkdir()
    (half / "part-00000.parquet").write_bytes(b"half a file")
    assert rows(night.lake, "SELECT count(*) FROM recommendations") == [(5,)]


def test_a_lake_with_a_difficult_name(night: Night, tmp_path: Path) -> None:
    # As patterns, the first two would read the third's rows too, or instead.
    for name in ("shop's l*", "shop's [l]", "shop's l"):
        named = Night(Lake(tmp_path / name), night.settings)
        titles = [catalogue_row(item_id, category=name) for item_id in "abcd"]
        named = dataclasses.replace(named, catalogue=titles).with_lists(
            *(
                {**row, "items": [{**entry, "category": name} for entry in row["items"]]}
                for row in named.lists
            )
        )
        named.generate()
        named.publish()
    for name in ("shop's l*", "shop's [l]", "shop's l"):
        lake = Lake(tmp_path / name)
        counted = rows(lake, "SELECT category, count(*) FROM recommendations_latest GROUP BY 1")
        assert counted == [(name, 5)]


def test_nothing_published(lake: Lake) -> None:
    with pytest.raises(InputError, match="nothing is published in .* yet; run a night first"):
        run_query(lake, "SELECT 1")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT titel FROM recommendations_latest", "titel.*There are the views .*catalogue_lat"),
        ("SELECT * FROM nothing", "nothing does not exist.*There are the views"),
        ("SELEC 1", "syntax error.*There are the views"),
        ("", "one SQL statement, found 0"),
        ("SELECT 1; SELECT 2", "one SQL statement, found 2"),
        ("COPY (SELECT 1) TO '{tmp}/x.csv'", "only SELECT is answered here, found COPY"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO '{tmp}/x.csv'", "only SELECT is answered here"),
        ("CREATE TABLE x AS SELECT 1", "only SELECT is answered here, found CREATE"),
        ("ATTACH '{tmp}/x.db'", "only SELECT is answered here, found ATTACH"),
        ("INSTALL httpfs", "only SELECT is answered here"),
        ("PIVOT (SELECT 1 a) ON a USING sum(a)", "only SELECT .*PIVOT works with"),
    ],
)
def test_what_is_refused(night: Night, tmp_path: Path, sql: str, message: str) -> None:
    night.publish()
    with pytest.raises(InputError, match=f"(?s){message}"):
        run_query(night.lake, sql.replace("{tmp}", str(tmp_path)))
    assert not list(tmp_path.glob("x.*"))


def test_an_error_while_reading_is_ours(night: Night) -> None:
    night.publish()
    with pytest.raises(InputError, match=r"the query failed: .*abc"):
        rows(night.lake, "SELECT CAST('abc' || user_id AS INTEGER) FROM histories_latest")


@pytest.fixture
def hostile(night: Night) -> Night:
    """A night whose first item has a hostile title."""
    changed = Night(
        night.lake,
        night.settings,
        catalogue=[catalogue_row("b", title=HOSTILE), *map(catalogue_row, "acd")],
    )
    changed = changed.with_lists(
        list_row("ann", ("b", "a"), items=[entry(1, "b", title=HOSTILE), entry(2, "a")]),
        list_row("bob", ("b", "c"), items=[entry(1, "b", title=HOSTILE), entry(2, "c")]),
    )
    changed.generate()
    changed.publish()
    return changed


def test_csv_and_json_carry_values_as_they_are(hostile: Night) -> None:
    sql = """
        SELECT flat.rank, flat.title, flat.price, user_id, items FROM recommendations_latest AS flat
        JOIN recommendations_wide_latest USING (user_id) ORDER BY user_id, rank
    """
    expected = rows(hostile.lake, sql)
    read = list(csv.reader(io.StringIO(printed(hostile.lake, sql, "csv"), newline="")))
    assert read[0] == ["rank", "title", "price", "user_id", "items"]
    assert [row[1] for row in read[1:]] == [row[1] for row in expected]
    assert HOSTILE in {row[1] for row in read}
    assert [json.loads(row[4]) for row in read[1:]] == [row[4] for row in expected]
    lines = printed(hostile.lake, sql, "json").splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == expected


def test_a_table_shows_control_characters_and_takes_no_markup(hostile: Night) -> None:
    table = printed(
        hostile.lake, "SELECT title FROM recommendations_latest WHERE rank = 1", "table"
    )
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "\x00" not in table
    assert "Kettle�[2J [red]50% off[/red]��  next" in table


def test_a_long_table_is_cut_and_says_so(night: Night) -> None:
    night.publish()
    table = printed(night.lake, "SELECT * FROM range(1000)", "table")
    assert len(table.splitlines()) == 1 + TABLE_ROWS + 1
    assert f"the first {TABLE_ROWS} rows; --format csv gives all" in table
    assert len(printed(night.lake, "SELECT * FROM range(3000)", "csv").splitlines()) == 3001


def test_every_kind_of_value_prints_in_every_format(night: Night) -> None:
    night.publish()
    sql = """SELECT NULL AS a, true AS b, 1.5::DECIMAL(4,2) AS c, 'x'::BLOB AS d, [1, NULL] AS e,
        {'f': DATE '2026-03-01'} AS f, INTERVAL 1 DAY AS g, TIMESTAMPTZ '2026-03-01 01:00+01' AS h,
        MAP {'k': 1} AS i, uuid '00000000-0000-0000-0000-000000000001' AS j, 1e300 AS k"""
    assert "2026-03-01T00:00:00+00:00" in printed(night.lake, sql, "csv")
    assert json.loads(printed(night.lake, sql, "json"))["f"] == {"f": "2026-03-01"}
    assert "1e+300" in printed(night.lake, sql, "table")


def test_there_is_no_other_format(night: Night) -> None:
    night.publish()
    with pytest.raises(
        InputError, match="no format 'xml'; choose one of table, csv, spreadsheet, json"
    ):
        printed(night.lake, "SELECT 1", "xml")


def test_events_that_a_later_delivery_took_back_are_not_seen(night: Night) -> None:
    """One is taken back; one is taken back and accepted again; one is another user's."""
    lake, user, other = night.lake, user_id_of("a"), user_id_of("b")
    day = YESTERDAY

    def event(event_id: str, user_id: str = user) -> dict[str, object]:
        return {
            "event_id": event_id,
            "event_time": dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC),
            "event_date": day,
            "event_type": "view",
            "user_id": user_id,
            "item_id": "a",
            "source": "simulator",
        }

    first = [event("back"), event("again"), event("stays"), event("back", other)]
    for name, date, brought in (
        ("cleaned_events", day, first),
        ("cleaned_events", NIGHT, [event("again")]),
    ):
        directory = lake.begin(name, Run(date, "r"))
        (directory / f"event_date={day}").mkdir()
        schema = arrow_schema(load_contract(name))
        table = pa.Table.from_pylist(
            brought, schema=pa.schema(f.with_nullable(True) for f in schema)
        )
        pq.write_table(table, directory / f"event_date={day}" / "part-00000.parquet")
        lake.commit(name, Run(date, "r"), rows=len(brought))
    back = {"dataset": "events", "user_id": user, "event_date": day, "rule": "bot"}
    taken = [back | {"event_id": event_id} for event_id in ("back", "again")]
    write_rows(lake, "retractions", Run(NIGHT, "r"), taken)
    night.publish()
    sql = "SELECT event_id, run_date, event_date FROM events ORDER BY ALL"
    assert rows(lake, sql) == [
        ("again", NIGHT, day),
        ("back", day, day),
        ("stays", day, day),
    ]
    assert rows(lake, "SELECT count(*) FROM reviews") == [(0,)]


def test_triggers_are_shown_with_the_lists_that_they_were_published_with(night: Night) -> None:
    def found(view: str) -> list[tuple[object, ...]]:
        return rows(night.lake, f"SELECT run_date, user_id, kind FROM {view} ORDER BY ALL")

    older = night.on(YESTERDAY, "r0")
    older.generate()
    older.publish()
    assert found("triggers_latest") == found("triggers") == []
    write_rows(night.lake, "triggers", night.run, [trigger_row("ann"), trigger_row("bob")])
    assert found("triggers") == []  # made, and published with nothing yet
    night.publish()
    ann, bob = ((NIGHT, user, "price_drop") for user in sorted(map(user_id_of, ("ann", "bob"))))
    assert found("triggers_latest") == found("triggers") == [ann, bob]
    with duckdb.connect() as connection:
        connection.execute((night.lake.root / "views.sql").read_text(encoding="utf-8"))
        assert len(connection.execute("FROM triggers_latest").fetchall()) == 2
    # Another run of the date that publishes none, and lists that stand in, show none.
    rerun = night.on(NIGHT, "r2")
    rerun.generate()
    rerun.publish()
    assert found("triggers_latest") == []
    write_rows(night.lake, "triggers", rerun.run, [trigger_row("ann")])
    rerun.publish()
    assert len(found("triggers_latest")) == 1
    tomorrow = Run(NIGHT + dt.timedelta(days=1), "r3")
    degrade(night.lake, tomorrow, "failed", "a test says so")
    assert found("triggers_latest") == []


def test_triggers_that_were_made_again_are_published_beside_the_first(night: Night) -> None:
    write_rows(night.lake, "triggers", night.run, [trigger_row("ann")])
    first = night.publish().partition
    write_rows(night.lake, "triggers", night.run, [trigger_row("bob")])
    again = night.publish().partition
    assert first.path != again.path
    assert rows(night.lake, "SELECT user_id FROM triggers_latest") == [(user_id_of("bob"),)]


def test_damaged_triggers_of_an_old_night_stop_no_later_one(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(night.lake, "triggers", night.run, [trigger_row("ann")])
    old = beside_lists(night.lake, "triggers", night.publish().partition)
    assert old is not None
    old.paths[0].write_bytes(b"")
    later = night.on(NIGHT + dt.timedelta(days=1), "r2")
    later.generate()
    write_rows(night.lake, "triggers", later.run, [trigger_row("bob")])
    later.publish()
    assert rows(night.lake, "SELECT user_id FROM triggers") == [(user_id_of("bob"),)]
    assert str(old.path) in caplog.text


def trigger_row(name: str) -> dict[str, object]:
    return {
        "user_id": user_id_of(name),
        "rank": 1,
        "kind": "price_drop",
        "item_id": "a",
        "because": "view",
        "since": dt.datetime(2026, 2, 28, tzinfo=dt.UTC),
        "valid_from": NIGHT,
        "valid_until": NIGHT,
    }
