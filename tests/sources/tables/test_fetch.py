"""Nights that ask PostgreSQL: what is new, once; nothing twice and nothing lost."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.sql import SQL, Identifier
from pyspark.sql import SparkSession

from pipeline.errors import InputError, NightcartError, SettingsError, StartError
from pipeline.sources.check import check_source
from pipeline.sources.source import Source, with_timezone
from pipeline.sources.source_yaml import parse_source
from pipeline.sources.tables import folder
from pipeline.sources.tables.credentials import credentials_of
from pipeline.sources.tables.fetch import Asked, Fetched, fetch_tables
from pipeline.sources.tables.folder import TableFolder
from pipeline.sources.tables.open_table import Access
from pipeline.sources.tables.postgres import PostgresTable
from pipeline.sources.tables.window import Window, Zones
from tests.postgres import CONNECTION, PASSWORD, Cluster, cluster

ZONE = ZoneInfo("Europe/Berlin")
ZONES = Zones(ZONE, ZONE)
DAY = dt.timedelta(days=1)
FIRST = dt.date(2026, 3, 1)

SOURCE = """
source: shop
description: Tables.
timezone: Europe/Berlin
datasets:
  items:
    format: jdbc
    table: {{url: "{url}", connection: shop_db, name: public.items, watermark: changed}}
    columns: [sku, title]
    map: {{item_id: sku, title: title}}
  users:
    format: jdbc
    table: {{url: "{url}", connection: shop_db, name: users}}
    columns: [id, agrees]
    map: {{user_id: id, consent: "agrees = 'true'"}}
  events:
    format: jdbc
    table: {{url: "{url}", connection: shop_db, name: public.orders, watermark: created}}
    columns: [id, buyer, sku, created]
    map: {{event_id: id, event_time: created, event_type: "'purchase'", user_id: buyer, item_id: sku}}
"""
TABLES = (
    "DROP TABLE IF EXISTS items, users, orders",
    "CREATE TABLE items (sku text, title text, changed timestamp)",
    "CREATE TABLE users (id int, agrees bool)",
    "CREATE TABLE orders (id int, buyer int, sku text, created timestamptz)",
    "INSERT INTO items VALUES ('a', 'A', '2025-01-01'), ('b', 'B', NULL)",
    "INSERT INTO users VALUES (1, true), (2, false)",
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture
def shop(postgres: Cluster) -> Cluster:
    postgres.run(*TABLES)
    return postgres


def source_of(text: str) -> Source:
    return with_timezone(parse_source(text, "shop.yaml"), "UTC")


def access(raw: Path, variable: str) -> Access:
    def no_spark() -> Any:
        raise AssertionError("PostgreSQL needs no Spark")

    return Access(raw, {CONNECTION: variable}, no_spark, raw)


def fetch(shop: Cluster, raw: Path, night: dt.date, text: str = SOURCE, **more: Any) -> Fetched:
    source = source_of(text.format(url=shop.url))
    now = more.pop("now", dt.datetime.combine(night + DAY, dt.time(3), ZONE))
    return fetch_tables(source, access(raw, shop.variable()), Asked(night, now, ZONES, **more))


def rows(raw: Path, dataset: str, column: str) -> dict[dt.date, list[Any]]:
    """A column's values by delivery day, in their order."""
    folder = TableFolder(raw, dataset)
    return {
        day: [v for file in folder.files(day) for v in pq.read_table(file)[column].to_pylist()]
        for day in folder.days()
    }


def order(number: int, created: str) -> str:
    return f"INSERT INTO orders VALUES ({number}, 1, 'a', '{created}')"


def test_two_nights_and_a_rerun_take_each_row_once_into_its_day(
    shop: Cluster, tmp_path: Path
) -> None:
    shop.run(
        order(1, "2026-02-20 10:00+01"),
        order(2, "2026-03-01 23:59:59.999999+01"),
        order(3, "2026-03-02 00:00+01"),  # the next night's, though it is there
    )
    fetch(shop, tmp_path, FIRST)
    february = dt.date(2026, 2, 20)
    assert rows(tmp_path, "events", "id") == {february: [1], FIRST: [2]}
    # How things are is all that is known of the past; a whole table is each night's too.
    assert rows(tmp_path, "items", "sku") == {february: ["a", "b"], FIRST: []}
    assert rows(tmp_path, "users", "id") == {february: [1, 2], FIRST: [1, 2]}

    shop.run(
        order(4, "2026-03-02 12:00+01"),
        "UPDATE items SET title = 'B2', changed = '2026-03-02 09:00' WHERE sku = 'b'",
        "DELETE FROM users WHERE id = 2",
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    found = fetch(shop, tmp_path, FIRST)
    assert found.records == {}  # the tables are not asked for a night that has its rows
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    second = FIRST + DAY
    fetch(shop, tmp_path, second)
    assert rows(tmp_path, "events", "id")[second] == [3, 4]
    assert rows(tmp_path, "items", "title")[second] == ["B2"]
    assert rows(tmp_path, "users", "id")[second] == [1]
    record = TableFolder(tmp_path, "events").record(second)
    assert (record["from"], record["before"], record["taken_before"]) == (
        "2026-03-01T17:00:00+00:00",  # the end of 1 March in Berlin, less six hours
        "2026-03-02T23:00:00+00:00",
        1,
    )


def test_ties_and_late_commits_are_neither_lost_nor_doubled(shop: Cluster, tmp_path: Path) -> None:
    """Rows of one watermark that come at different times; exact copies; a transaction left open."""
    late = shop.connect()
    late.execute(b"INSERT INTO orders VALUES (9, 1, 'a', '2026-03-01 22:00+01')")
    shop.run(*[order(number, "2026-03-01 23:00+01") for number in (1, 1, 2)])
    fetch(shop, tmp_path, FIRST)
    late.commit()
    late.close()
    shop.run(
        order(3, "2026-03-01 23:00+01"),
        order(1, "2026-03-01 23:00+01"),  # a third copy
        order(4, "2026-03-02 08:00+01"),
    )
    second = FIRST + DAY
    fetch(shop, tmp_path, second)
    assert rows(tmp_path, "events", "id") == {FIRST: [1, 1, 2], second: [9, 3, 1, 4]}
    fetch(shop, tmp_path, second, again=True)
    found = rows(tmp_path, "events", "id")
    assert (found[FIRST], sorted(found[second])) == ([1, 1, 2], [1, 3, 4, 9])


def test_a_transaction_longer_than_the_overlap_is_seen_by_who_has_written(
    shop: Cluster, tmp_path: Path
) -> None:
    """The next fetch begins where the oldest open transaction did."""
    text = SOURCE.replace("watermark: created", "watermark: created, overlap: 1 minute")
    long = shop.connect()
    (begun,) = long.execute(b"SELECT now() - interval '1 second'").fetchone() or ()
    long.execute(b"INSERT INTO orders VALUES (1, 1, 'a', now())")
    now = begun + dt.timedelta(hours=1)
    night = now.astimezone(ZONE).date()
    shop.run(order(2, (begun - dt.timedelta(hours=1)).isoformat()))
    shop.run(order(3, (begun + dt.timedelta(seconds=2)).isoformat()))
    fetch(shop, tmp_path, night, text, now=now)
    long.commit()
    long.close()
    shop.run(order(4, (begun + dt.timedelta(hours=2)).isoformat()))
    later = night + DAY
    shop.run(order(5, dt.datetime.combine(later, dt.time(12), ZONE).isoformat()))
    fetch(shop, tmp_path, later, text)
    taken = [value for ids in rows(tmp_path, "events", "id").values() for value in ids]
    assert sorted(taken) == [1, 2, 3, 4, 5]


def test_a_day_that_is_not_over_is_taken_up_to_now(shop: Cluster, tmp_path: Path) -> None:
    shop.run(order(1, "2026-03-01 09:00+01"))
    fetch(shop, tmp_path, FIRST, now=dt.datetime(2026, 3, 1, 10, tzinfo=ZONE))
    shop.run(order(2, "2026-03-01 11:00+01"), order(3, "2026-03-02 11:00+01"))
    fetch(shop, tmp_path, FIRST + DAY)
    assert rows(tmp_path, "events", "id") == {FIRST: [1], FIRST + DAY: [2, 3]}


def test_nights_that_were_left_out_and_nights_before(shop: Cluster, tmp_path: Path) -> None:
    shop.run(*[order(day, f"2026-03-0{day} 10:00+01") for day in (1, 2, 4)])
    fetch(shop, tmp_path, FIRST)
    shop.run("INSERT INTO items VALUES ('c', 'C', '2026-03-02 09:00')")
    fourth = FIRST + 3 * DAY
    fetch(shop, tmp_path, fourth)
    assert rows(tmp_path, "events", "id") == {FIRST: [1], FIRST + DAY: [2], fourth: [4]}
    assert rows(tmp_path, "items", "sku")[FIRST + DAY] == ["c"]
    assert fetch(shop, tmp_path, FIRST + DAY).records == {}
    with pytest.raises(InputError, match="no row of 2026-03-03 when it was asked for 2026-03-04"):
        fetch(shop, tmp_path, FIRST + 2 * DAY)
    with pytest.raises(InputError, match="ask for 2026-03-04 again"):
        fetch(shop, tmp_path, FIRST + DAY, again=True)


def test_a_day_without_a_row_keeps_nothing_and_is_asked_again(
    shop: Cluster, tmp_path: Path
) -> None:
    shop.run(order(1, "2026-03-01 10:00+01"))
    fetch(shop, tmp_path, FIRST)
    found = fetch(shop, tmp_path, FIRST + DAY)
    assert found.missing == ["a row of public.orders with created on 2026-03-02"]
    assert rows(tmp_path, "events", "id") == {FIRST: [1]}
    closed = SOURCE.replace("datasets:", "closed: [2026-03-02]\ndatasets:", 1)
    assert fetch(shop, tmp_path, FIRST + DAY, closed).missing == []
    assert rows(tmp_path, "events", "id")[FIRST + DAY] == []


def test_what_was_changed_and_changed_back_is_taken(shop: Cluster, tmp_path: Path) -> None:
    """All within the overlap, and by a watermark that does not move."""
    titles = []
    for number, title in enumerate(["A", "X", "A"]):
        night = FIRST + number * DAY
        shop.run(
            order(number, f"{night} 10:00+01"),
            f"UPDATE items SET title = '{title}', changed = '2026-03-01 23:00' WHERE sku = 'a'",
        )
        text = SOURCE.replace("watermark: changed", "watermark: changed, overlap: 9 days")
        fetch(shop, tmp_path, night, text)
        titles += rows(tmp_path, "items", "title")[night]
    assert titles == ["A", "B", "X", "A"] or titles == ["B", "A", "X", "A"]


def test_a_watermark_that_is_a_number_needs_a_day(shop: Cluster, tmp_path: Path) -> None:
    by_id = SOURCE.replace("watermark: created", "watermark: id, overlap: 2")
    with pytest.raises(InputError, match="add the column that does, day: created_at"):
        fetch(shop, tmp_path, FIRST, by_id)
    text = by_id.replace("watermark: id", "watermark: id, day: created")
    shop.run(
        order(1, "2026-03-01 10:00+01"),
        order(2, "2026-03-02 10:00+01"),  # of the next day, with a smaller id than the next row
        *[order(number, "2026-03-01 11:00+01") for number in range(3, 9)],
    )
    fetch(shop, tmp_path, FIRST, text)
    assert rows(tmp_path, "events", "id") == {FIRST: [1, 3, 4, 5, 6, 7, 8]}
    assert TableFolder(tmp_path, "events").record(FIRST)["next_from"] == "2"
    shop.run(order(9, "2026-03-02 12:00+01"))
    fetch(shop, tmp_path, FIRST + DAY, text)
    assert rows(tmp_path, "events", "id")[FIRST + DAY] == [2, 9]


def test_rows_without_a_watermark_are_counted_and_said(
    shop: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shop.run(
        order(1, "2026-03-01 10:00+01"),
        order(2, "-infinity"),
        order(3, "infinity"),
        "INSERT INTO orders VALUES (4, 1, 'a', NULL)",
        "INSERT INTO items VALUES ('z', 'Z', 'infinity')",
    )
    fetch(shop, tmp_path, FIRST)
    assert rows(tmp_path, "events", "id") == {FIRST: [1]}
    assert sorted(rows(tmp_path, "items", "sku")[FIRST]) == ["a", "b", "z"]
    said = caplog.text
    assert "events: 3 rows of public.orders have no value in created and are not taken" in said
    assert "items: 2 rows of public.items have no value in changed and are taken now" in said
    shop.run(order(5, "2026-03-02 10:00+01"))
    fetch(shop, tmp_path, FIRST + DAY)
    # What ends never is above every watermark: taken each night, which changes nothing.
    assert rows(tmp_path, "items", "sku")[FIRST + DAY] == ["z"]


def test_a_fetch_that_was_cut_off_is_made_again(
    shop: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before all rows lie aside: nothing of it is kept."""
    shop.run(*[order(day, f"2026-03-0{day} 10:00+01") for day in (1, 2, 3)])
    third = FIRST + 2 * DAY

    def cut(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder.durable, "put_text", cut)
    with pytest.raises(KeyboardInterrupt):
        fetch(shop, tmp_path, third)
    assert rows(tmp_path, "events", "id") == {}
    monkeypatch.undo()
    shop.run("DELETE FROM orders WHERE id = 2")
    fetch(shop, tmp_path, third)
    assert rows(tmp_path, "events", "id") == {FIRST: [1], third: [3]}


def test_names_are_only_names(shop: Cluster, tmp_path: Path) -> None:
    """Whatever a YAML names, it is quoted; what it names is read."""
    schema, table = 'we"ird.%s', "orders; DROP TABLE users; --"
    column, mark = "'); DELETE FROM users; --%", 'a"b'
    with shop.connect(autocommit=True) as connection:
        connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
        names = (Identifier(schema, table), Identifier(column), Identifier(mark))
        connection.execute(SQL("CREATE TABLE {} ({} text, {} date)").format(*names))
        connection.execute(
            SQL("INSERT INTO {} VALUES ('x', '2026-03-01')").format(Identifier(schema, table))
        )
    given = {
        "url": shop.url,
        "connection": "shop_db",
        "name": [schema, table],
        "watermark": mark,
    }
    text = json.dumps(
        {
            "source": "s",
            "description": "d",
            "datasets": {
                "events": {
                    "format": "jdbc",
                    "table": given,
                    "columns": [column, mark],
                    "map": {"event_time": f"`{mark}`"},
                }
            },
        }
    )
    source = source_of(text)
    now = dt.datetime(2026, 3, 2, tzinfo=ZONE)
    fetch_tables(source, access(tmp_path, shop.variable()), Asked(FIRST, now, ZONES))
    assert rows(tmp_path, "events", column) == {FIRST: ["x"]}
    with shop.connect() as connection:
        assert connection.execute(b"SELECT count(*) FROM users").fetchone() == (2,)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"name: public.orders": "name: public.no"}, InputError, "there is no such table"),
        ({"name: public.orders": "name: no.orders"}, InputError, "there is no such table"),
        ({"columns: [id, buyer": "columns: [id, byer"}, InputError, "correct columns, watermark"),
        ({"watermark: created": "watermark: sku"}, InputError, "a watermark or a day is a time"),
        ({"/shop": "/shoop"}, SettingsError, "does not exist"),
        ({"connection: shop_db, name: public.o": "name: public.o"}, SettingsError, "PGPASSWORD"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    shop: Cluster, tmp_path: Path, change: dict[str, str], kind: type[Exception], words: str
) -> None:
    text = SOURCE.format(url=shop.url).replace("{", "{{").replace("}", "}}")
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(kind, match=words) as raised:
        fetch(shop, tmp_path, FIRST, text)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("shop.yaml: events")


def test_a_database_that_refuses_or_is_not_there(shop: Cluster, tmp_path: Path) -> None:
    """The password is in no message; what may be tried again has another exit code."""
    source = source_of(SOURCE.format(url=shop.url))
    asked = Asked(FIRST, dt.datetime(2026, 3, 2, tzinfo=ZONE), ZONES)

    def refused(variable: str, of: Source = source) -> NightcartError:
        with pytest.raises(NightcartError) as raised:
            fetch_tables(of, access(tmp_path, variable), asked)
        assert "wr0ng" not in str(raised.value)
        return raised.value

    wrong = refused(shop.variable(password="wr0ng"))
    assert isinstance(wrong, SettingsError)
    assert "refused user or password; correct AIRFLOW_CONN_SHOP_DB" in str(wrong)
    assert "connection shop_db is not known here" in str(refused(""))
    assert f"{CONNECTION} cannot be read" in str(refused("wr0ng@:x"))

    elsewhere = source_of(SOURCE.format(url="jdbc:postgresql://127.0.0.1:1/shop"))
    gone = refused(shop.variable(password="wr0ng"), elsewhere)
    assert isinstance(gone, StartError)
    assert "cannot connect" in str(gone)

    shop.run(
        order(1, "2026-03-01 10:00+01"),
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN PASSWORD 'wr0ng'",
    )
    assert "GRANT SELECT" in str(refused(shop.variable("reader", "wr0ng")))
    shop.run("ALTER ROLE shop SET statement_timeout = 1")
    try:
        shop.run(
            "SET statement_timeout = 0; INSERT INTO orders SELECT g, 1, 'a', "
            "'2026-03-01' FROM generate_series(1, 300000) g"
        )
        assert "statement_timeout" in str(refused(shop.variable()))
    finally:
        shop.run("SET statement_timeout = 0; ALTER ROLE shop RESET statement_timeout")


def test_a_source_that_has_other_columns_now_says_what_to_do(shop: Cluster, tmp_path: Path) -> None:
    shop.run(order(1, "2026-03-01 10:00+01"), order(2, "2026-03-02 10:00+01"))
    fetch(shop, tmp_path, FIRST)
    text = SOURCE.replace("[id, buyer, sku, created]", "[id, buyer, sku, created, price]")
    shop.run("ALTER TABLE orders ADD price numeric(10, 2)")
    with pytest.raises(InputError, match="remove that folder"):
        fetch(shop, tmp_path, FIRST + DAY, text)


TYPES = {
    "small": ("smallint", "-3", pa.int16(), -3),
    "big": ("bigint", "9007199254740993", pa.int64(), 9007199254740993),
    "flag": ("boolean", "true", pa.bool_(), True),
    "real8": ("double precision", "1.5", pa.float64(), 1.5),
    "money": ("numeric(12,2)", "19.90", pa.decimal128(12, 2), "19.90"),
    "exact": ("numeric", "0.1000000000000000055511151231257827", pa.string(), None),
    "odd": ("numeric(5,2)", "NaN", pa.string(), "NaN"),
    "at": ("timestamptz", "2026-03-01 10:00:00.123456+05:30", pa.timestamp("us", "UTC"),
           "2026-03-01 04:30:00.123456+00:00"),
    "local": ("timestamp", "2026-03-29 02:30:00", pa.timestamp("us"), "2026-03-29 02:30:00"),
    "never": ("timestamp", "infinity", pa.string(), "infinity"),
    "far": ("date", "10000-01-01", pa.string(), "10000-01-01"),
    "day": ("date", "2026-02-28", pa.date32(), "2026-02-28"),
    "clock": ("time", "23:59:60", pa.string(), "24:00:00"),
    "doc": ("json", '{"a": "\\u0000", "b":1}', pa.string(), '{"a": "\\u0000", "b":1}'),
    "docb": ("jsonb", '{"b":1}', pa.string(), '{"b": 1}'),
    "id": ("uuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff", pa.string(), None),
    "words": ("text[]", '{a,"b,c",NULL}', pa.list_(pa.string()), "['a', 'b,c', None]"),
    "table": ("int[]", "{{1,2},{3,4}}", pa.string(), "[[1,2],[3,4]]"),
    "times": ("timestamptz[]", '{"2026-03-01 10:00+00"}', pa.string(),
              '["2026-03-01T10:00:00+00:00"]'),
    "bytes": ("bytea", "\\x00ff", pa.binary(), "b'\\x00\\xff'"),
    "mood": ("mood", "so so", pa.string(), "so so"),
    "moods": ("mood[]", '{"so so"}', pa.string(), '["so so"]'),
    "pair": ("pair", "(1,x)", pa.string(), '{"a":1,"b":"x"}'),
    "only": ("positive", "7", pa.int32(), 7),
    "range": ("int4range", "[1,3)", pa.string(), "[1,3)"),
    "text": ("text", "NUL-like \x01 \ufffd 日本語 '' \\0", pa.string(), None),
    "address": ("inet", "10.0.0.1/8", pa.string(), "10.0.0.1/8"),
    "none": ("text", None, pa.string(), "None"),
}  # fmt: skip


def test_types_are_kept(shop: Cluster, tmp_path: Path) -> None:
    """A value that its type has no place for makes its column text, and fails no night."""
    names = list(TYPES)
    declared = ", ".join(f'"{name}" {TYPES[name][0]}' for name in names)
    shop.run(
        "DROP TABLE IF EXISTS types; DROP TYPE IF EXISTS mood, pair; DROP DOMAIN IF EXISTS positive",
        "CREATE TYPE mood AS ENUM ('so so')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN positive AS int CHECK (value > 0)",
        f"CREATE TABLE types ({declared}, created timestamptz)",
    )
    with shop.connect(autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO types VALUES ({'%s, ' * len(names)}'2026-03-01 10:00+01')".encode(),
            [TYPES[name][1] for name in names],
        )
    text = f"""
source: s
description: d
datasets:
  events:
    format: jdbc
    table: {{{{url: "{{url}}", connection: shop_db, name: types, watermark: created}}}}
    columns: {json.dumps(names)}
    map: {{{{event_time: created}}}}
"""
    fetch(shop, tmp_path, FIRST, text)
    (file,) = TableFolder(tmp_path, "events").files(FIRST)
    found = pq.read_table(file)
    kept = {name: (found.schema.field(name).type, str(found[name][0].as_py())) for name in names}
    assert kept == {
        name: (kind, str(given if value is None else value))
        for name, (_, given, kind, value) in TYPES.items()
    }
    (row,) = found.select(["created"]).to_pylist()
    assert row["created"] == dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)


def test_no_password_is_kept_or_logged(
    shop: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop.run(order(1, "2026-03-01 10:00+01"))
    fetch(shop, tmp_path, FIRST)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in caplog.text


def test_a_table_is_read_in_one_state(shop: Cluster, tmp_path: Path) -> None:
    """Rows that are committed while a fetch reads are the next one's, bounds and all."""
    shop.run(order(1, "2026-03-01 10:00+01"))
    table = source_of(SOURCE.format(url=shop.url)).datasets["events"].table
    assert table is not None
    reader = PostgresTable(
        table, ["id", "created"], credentials_of(table, {CONNECTION: shop.variable()})
    )
    try:
        window = Window("created", None, "created", None)
        before = reader.newest(window)
        shop.run(order(2, "2026-03-02 10:00+01"))
        assert reader.newest(window) == before
        assert [batch.num_rows for batch in reader.rows(window, ["created"])] == [1]
    finally:
        reader.close()


def test_source_check_looks_at_a_sample_and_says_so(
    spark: SparkSession, shop: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a table that cannot be read it says why, in one line; nothing stays."""
    shop.run(
        "INSERT INTO orders SELECT g, 1, 'a', '2026-03-01 10:00+01' FROM generate_series(1, 12000) g"
    )
    yaml = tmp_path / "shop.yaml"
    yaml.write_text(SOURCE.format(url=shop.url))
    monkeypatch.setenv(CONNECTION, shop.variable())
    checks = {check.dataset: check for check in check_source(spark, yaml, tmp_path / "raw")}
    assert all(check.ok for check in checks.values()), checks
    assert checks["events"].files == ["public.orders (a sample: 10,000 rows newest by created)"]
    assert checks["events"].outcomes == {"accepted": 10_000}
    assert checks["users"].files == ["users (all of its 2 rows)"]
    assert checks["users"].rows == [
        {"user_id": "1", "consent": True},
        {"user_id": "2", "consent": False},
    ]
    monkeypatch.setenv(CONNECTION, shop.variable(password="wr0ng"))
    events = check_source(spark, yaml, tmp_path / "raw")[-1]
    assert not events.ok
    assert "refused user or password" in events.faults[0]
    assert [path.name for path in tmp_path.iterdir()] == ["shop.yaml"]
