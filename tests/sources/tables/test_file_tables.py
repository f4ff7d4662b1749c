"""Tables of DuckDB and SQLite files, and of a database that Spark reads by its JDBC driver."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.errors import InputError, NightcartError, SettingsError
from pipeline.sources.check import check_source
from pipeline.sources.source import Source, with_timezone
from pipeline.sources.source_yaml import parse_source
from pipeline.sources.tables import folder
from pipeline.sources.tables.fetch import Asked, fetch_tables
from pipeline.sources.tables.folder import TableFolder
from pipeline.sources.tables.open_table import Access
from pipeline.sources.tables.sample import write_sample
from pipeline.sources.tables.spark_jars import with_jars
from pipeline.sources.tables.taken import Taken
from pipeline.sources.tables.window import Zones

ZONE = ZoneInfo("Europe/Berlin")
ZONES = Zones(ZONE, ZONE)
DAY = dt.timedelta(days=1)
FIRST = dt.date(2026, 3, 1)
LOADER = Callable[[str], None]


def source(table: str, file_format: str = "duckdb", columns: str = "id, created") -> Source:
    text = f"""
source: shop
description: A table.
timezone: Europe/Berlin
datasets:
  events:
    format: {file_format}
    table: {table}
    columns: [{columns}]
    map: {{event_id: id, event_time: created}}
"""
    return with_timezone(parse_source(text, "shop.yaml"), "UTC")


def no_spark() -> Any:
    raise AssertionError("a file needs no Spark")


def fetch(
    raw: Path,
    of: Source,
    night: dt.date,
    open_spark: Callable[[], Any] = no_spark,
    zones: Zones = ZONES,
    again: bool = False,
) -> dict[dt.date, list[Any]]:
    raw.mkdir(exist_ok=True)
    now = dt.datetime.combine(night + DAY, dt.time(3), ZONE)
    fetch_tables(of, Access(raw, {}, open_spark, raw), Asked(night, now, zones, again=again))
    return taken(raw)


def taken(raw: Path, column: str = "id") -> dict[dt.date, list[Any]]:
    kept = TableFolder(raw, "events")
    return {
        day: sorted(v for file in kept.files(day) for v in pq.read_table(file)[column].to_pylist())
        for day in kept.days()
    }


def duckdb_loader(path: Path, kind: str) -> LOADER:
    def load(sql: str) -> None:
        with duckdb.connect(str(path)) as connection:
            connection.execute(sql.replace("TIMES", kind))

    return load


def sqlite_loader(path: Path, kind: str) -> LOADER:
    def load(sql: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.executescript(sql.replace("TIMES", kind))

    return load


@pytest.mark.parametrize(
    ("loader", "kind", "offset"),
    [
        (duckdb_loader, "TIMESTAMP", ""),
        (duckdb_loader, "TIMESTAMPTZ", "+01"),
        (duckdb_loader, "DATE", ""),
        (sqlite_loader, "TEXT", ""),
        (sqlite_loader, "TIMESTAMP", "+01:00"),
    ],
)
def test_two_nights_of_a_file(
    tmp_path: Path, loader: Callable[[Path, str], LOADER], kind: str, offset: str
) -> None:
    """A tie and a row of the next day come once, and a rerun asks nothing."""
    load = loader(tmp_path / "shop.db", kind)

    def order(number: int, created: str) -> str:
        return f"INSERT INTO orders VALUES ({number}, '{created}{offset}');"

    load("CREATE TABLE orders (id INTEGER, created TIMES);")
    load(order(1, "2026-02-20 10:00:00") + order(2, "2026-03-01 23:30:00"))
    load(order(3, "2026-03-02 00:00:00"))
    of = source("{path: ../shop.db, name: orders, watermark: created}")
    raw = tmp_path / "raw"
    february = dt.date(2026, 2, 20)
    assert fetch(raw, of, FIRST) == {february: [1], FIRST: [2]}
    load(order(4, "2026-03-01 23:30:00") + order(5, "2026-03-02 09:00:00"))
    assert fetch(raw, of, FIRST) == {february: [1], FIRST: [2]}
    expected = {february: [1], FIRST: [2], FIRST + DAY: [3, 4, 5]}
    assert fetch(raw, of, FIRST + DAY) == expected


@pytest.mark.parametrize(
    ("kind", "created"),
    [
        ("TIMESTAMP", ["2026-02-28 23:00:00", "2026-03-01 22:59:59", "2026-03-01 23:00:00"]),
        ("TIMESTAMPTZ", ["2026-02-28 23:00:00+00", "2026-03-01 22:59:59Z", "2026-03-01 23:00+00"]),
    ],
)
def test_days_are_the_shops_though_times_are_the_sources(
    tmp_path: Path, kind: str, created: list[str]
) -> None:
    """Cleaning quarantines a row of a later day as of the future, and it is never asked again."""
    load = duckdb_loader(tmp_path / "shop.db", kind)
    load("CREATE TABLE orders (id INTEGER, created TIMES);")
    for number, time in enumerate(created):
        load(f"INSERT INTO orders VALUES ({number}, '{time}');")
    of = source("{path: ../shop.db, name: orders, watermark: created}")
    raw, zones = tmp_path / "raw", Zones(dt.UTC, ZONE)
    assert fetch(raw, of, FIRST, zones=zones) == {FIRST: [0, 1]}
    assert fetch(raw, of, FIRST + DAY, zones=zones)[FIRST + DAY] == [2]


def test_a_fetch_that_was_killed_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in the exchange of an older night's days: the next night ends it."""
    load = sqlite_loader(tmp_path / "shop.db", "TEXT")
    load("CREATE TABLE orders (id INTEGER, created TIMES);")
    for number in range(1, 6):
        load(f"INSERT INTO orders VALUES ({number}, '2026-03-0{number} 10:00:00');")
    of = source("{path: ../shop.db, name: orders, watermark: created}")
    second, whole = FIRST + DAY, folder.durable.rename
    for allowed in range(10):
        raw = tmp_path / f"raw{allowed}"
        fetch(raw, of, FIRST)
        fetch(raw, of, FIRST + 2 * DAY)  # of two days
        fetch(raw, of, FIRST + 3 * DAY)
        left = [None] * allowed

        def cut(aside: Path, path: Path, left: list[None] = left) -> None:
            if not left:
                raise KeyboardInterrupt
            left.pop()
            whole(aside, path)

        monkeypatch.setattr(folder.durable, "rename", cut)
        try:
            fetch(raw, of, FIRST + 2 * DAY, again=True)
        except KeyboardInterrupt:
            monkeypatch.undo()
            expected = {FIRST + day * DAY: [day + 1] for day in range(5)}
            assert fetch(raw, of, FIRST + 4 * DAY) == expected, allowed
            assert not list(raw.glob("tables/events/.[!f]*"))
        else:
            break
    assert 5 < allowed < 9
    assert taken(raw)[second] == [2]


def test_types_of_duckdb_are_kept_or_are_text(tmp_path: Path) -> None:
    types = {
        "a": ("BIGINT", "9007199254740993", pa.int64(), "9007199254740993"),
        "b": ("DECIMAL(10,2)", "19.90", pa.decimal128(10, 2), "19.90"),
        "c": ("HUGEINT", "170141183460469231731687303715884105727", pa.string(), None),
        "d": ("UUID", "'6f9619ff-8b86-d011-b42d-00c04fc964ff'", pa.string(), None),
        "e": ("ENUM('x y')", "'x y'", pa.string(), "x y"),
        "f": ("STRUCT(a INT, b VARCHAR)[]", "[{'a': 1, 'b': 'x'}]", pa.string(), '[{"a":1,"b":"x"}]'),
        "g": ("TIMESTAMP_NS", "'2026-03-01 10:00:00'", pa.timestamp("us"), "2026-03-01 10:00:00"),
        "h": ("TIMESTAMP", "'infinity'", pa.timestamp("us"), "None"),
        "i": ("INTERVAL", "INTERVAL 2 DAY", pa.string(), "2 days"),
        "j": ("BLOB", "'\\x00\\xFF'::BLOB", pa.binary(), "b'\\x00\\xff'"),
        "k": ("BOOLEAN", "true", pa.bool_(), "True"),
    }  # fmt: skip
    with duckdb.connect(str(tmp_path / "shop.db")) as connection:
        declared = ", ".join(f"{name} {kind}" for name, (kind, *_) in types.items())
        values = ", ".join(value for _, value, *_ in types.values())
        connection.execute(f"CREATE TABLE t (created DATE, {declared})")
        connection.execute(f"INSERT INTO t VALUES ('2026-03-01', {values})")
    of = source(
        "{path: ../shop.db, name: main.t, watermark: created}",
        columns=", ".join(types),
    )
    (tmp_path / "raw").mkdir()
    now = dt.datetime(2026, 3, 2, 3, tzinfo=ZONE)
    access = Access(tmp_path / "raw", {}, no_spark, tmp_path)
    fetch_tables(of, access, Asked(FIRST, now, ZONES))
    (file,) = TableFolder(tmp_path / "raw", "events").files(FIRST)
    found = pq.read_table(file)
    for name, (_, value, kind, text) in types.items():
        assert found.schema.field(name).type == kind, name
        assert str(found[name][0].as_py()) == (text or value.strip("'")), name


def test_sqlite_holds_anything_in_any_column(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, price REAL, created TEXT)")
        connection.execute("INSERT INTO orders VALUES ('A-1', 2, '2026-03-01T10:00:00')")
        connection.execute("INSERT INTO orders VALUES (2, 2.5, '2026-03-01 11:00:00.5')")
    of = source(
        "{path: ../shop.db, name: orders, watermark: created}", columns="id, price, created"
    )
    assert fetch(tmp_path / "raw", of, FIRST) == {FIRST: ["2", "A-1"]}
    assert taken(tmp_path / "raw", "price") == {FIRST: [2.0, 2.5]}


def test_a_table_is_joined_with_files_and_its_arrays_become_rows(
    spark: SparkSession, tmp_path: Path
) -> None:
    """A fetch asks for the table's own columns; `source check` sees the files that are there."""
    load = sqlite_loader(tmp_path / "shop.db", "TEXT")
    load("CREATE TABLE orders (id INTEGER, created TIMES, lines TEXT);")
    insert = "INSERT INTO orders VALUES ({0}, '2026-03-0{0} 10:00:00', '[{{\"sku\": \"a{0}\"}}]');"
    load(insert.format(1))
    text = """
source: shop
description: A table.
timezone: Europe/Berlin
datasets:
  events:
    format: duckdb
    table: {path: ../shop.db, name: orders, watermark: created}
    columns: [id, created, lines]
    with:
      buyers: {files: buyers.csv, format: csv, columns: [id, buyer], on: {id: id}}
    explode: {lines: line}
    map:
      event_id: concat(id, line_position)
      event_time: created
      event_type: "'purchase'"
      user_id: buyers.buyer
      item_id: line.sku
"""
    of = with_timezone(parse_source(text, "shop.yaml"), "UTC")
    raw = tmp_path / "raw"
    fetch(raw, of, FIRST)
    load(insert.format(2))
    assert fetch(raw, of, FIRST + DAY) == {FIRST: [1], FIRST + DAY: [2]}
    (raw / "buyers.csv").write_text("id,buyer\n1,ann\n2,bob\n")
    (check,) = check_source(spark, of, raw)
    assert check.faults == []
    assert sorted((row["user_id"], row["item_id"]) for row in check.rows) == [
        ("ann", "a1"),
        ("bob", "a2"),
    ]


@pytest.mark.parametrize(
    ("watermark", "created", "value"),
    [
        ("created", ["2026-03-01 10:00:00", "2026-03-01T11:00:00Z"], "2026-03-01 10:00:00"),
        ("created", ["2026-03-01 10:00:00", "10:30"], "10:30"),
        ("id, day: created", ["2026-03-01 10:00:00", "10:30"], "10:30"),
    ],
)
def test_a_time_that_is_written_another_way_is_said(
    tmp_path: Path, watermark: str, created: list[str], value: str
) -> None:
    load = sqlite_loader(tmp_path / "shop.db", "TEXT")
    load("CREATE TABLE orders (id INTEGER, created TIMES);")
    for number, time in enumerate(created):
        load(f"INSERT INTO orders VALUES ({number}, '{time}');")
    of = source(f"{{path: ../shop.db, name: orders, watermark: {watermark}}}")
    with pytest.raises(InputError, match=f"created of orders has the value '{value}'") as raised:
        fetch(tmp_path / "raw", of, FIRST)
    assert "\n" not in str(raised.value)
    table = of.datasets["events"].table
    assert table is not None
    access = Access(tmp_path / "raw", {}, no_spark, tmp_path / "sample")
    with pytest.raises(InputError, match=f"has the value '{value}'"):
        write_sample(of.datasets["events"], table, access)


def test_a_watermark_of_an_unsigned_type(tmp_path: Path) -> None:
    """The overlap begins before all numbers that it has."""
    load = duckdb_loader(tmp_path / "shop.db", "DATE")
    load("CREATE TABLE orders (id UINTEGER, created TIMES);")
    load("INSERT INTO orders VALUES (1, '2026-03-01')")
    of = source("{path: ../shop.db, name: orders, watermark: id, day: created}")
    fetch(tmp_path / "raw", of, FIRST)
    load("INSERT INTO orders VALUES (2, '2026-03-02')")
    assert fetch(tmp_path / "raw", of, FIRST + DAY) == {FIRST: [1], FIRST + DAY: [2]}


def test_a_column_that_became_text_holds_the_same(tmp_path: Path) -> None:
    """PostgreSQL's spelling of what Arrow held before one value had no place in the type."""
    utc = dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)
    half = dt.datetime.fromisoformat("2026-03-01 10:00:00.5")
    values = {
        "at": [utc, utc.replace(microsecond=120_000), None],
        "local": [half, half.replace(microsecond=0), None],
        "price": [Decimal("0.0000000"), Decimal("19.9000000"), None],
        "words": [["a", "é", None], [], None],
    }
    texts = {
        "at": ["2026-03-01 10:00:00+00", "2026-03-01 10:00:00.12+00", "infinity"],
        "local": ["2026-03-01 10:00:00.5", "2026-03-01 10:00:00", "infinity"],
        "price": ["0.0000000", "19.9000000", "NaN"],
        "words": ['["a","é",null]', "[]", "[[1]]"],
    }
    pq.write_table(pa.table(values), tmp_path / "x.parquet")
    before = Taken([tmp_path / "x.parquet"], list(values), (), "", None)
    new = before.without(pa.RecordBatch.from_pydict(texts))
    assert new.to_pydict()["at"] == ["infinity"]


@pytest.mark.parametrize("name", ["/etc/passwd", "x.csv", "outside"])
def test_a_file_is_all_that_duckdb_may_reach(tmp_path: Path, name: str) -> None:
    """A name is a table's: neither another file's, nor a variable's of this program."""
    outside = pa.table({"id": [1], "created": ["2026-03-01"]})
    assert outside.num_rows == 1
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.csv").write_text("id,created\n1,2026-03-01\n")
    with duckdb.connect(str(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (id INT, created DATE)")
    of = source(f"{{path: ../shop.db, name: ['{name}'], watermark: created}}")
    with pytest.raises(InputError):
        fetch(tmp_path / "raw", of, FIRST)
    assert not list((tmp_path / "raw").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (source("{path: no.db, name: orders, watermark: created}"), "does not exist"),
        (source("{path: duck.db, name: none, watermark: created}"), "no such table"),
        (source("{path: duck.db, name: orders, watermark: made}"), "correct columns"),
        (source("{path: lite.db, name: none, watermark: created}"), "no table none"),
        (source("{path: lite.db, name: orders, watermark: made}"), "has no column made"),
        (source("{path: text.db, name: orders, watermark: created}"), "no DuckDB file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, of: Source, words: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    sql = "CREATE TABLE orders (id INT, created DATE)"
    duckdb_loader(raw / "duck.db", "")(sql)
    sqlite_loader(raw / "lite.db", "")(sql)
    (raw / "text.db").write_text("no database\n" * 1000)
    with pytest.raises(NightcartError, match=words) as raised:
        fetch(raw, of, FIRST)
    assert "\n" not in str(raised.value)


def test_two_nights_of_another_database_by_its_driver(spark: SparkSession, tmp_path: Path) -> None:
    """Derby, whose driver is among Spark's own jars."""
    url = f"jdbc:derby:{tmp_path}/derby"
    jvm = spark._jvm
    assert jvm is not None
    connection = jvm.java.sql.DriverManager.getConnection(f"{url};create=true")

    def run(sql: str) -> None:
        connection.createStatement().execute(sql)

    run('CREATE TABLE "or""ders" ("id" INT, "created" TIMESTAMP, "price" DECIMAL(10,2))')
    insert = 'INSERT INTO "or""ders" VALUES '
    run(insert + "(1, '2026-02-20 10:00:00', 1), (2, '2026-03-01 23:30:00.123456', 2.50)")
    run(insert + "(3, '2026-03-02 00:00:00', 3)")
    table = f"{{url: '{url}', name: ['or\"ders'], watermark: created}}"
    of = source(table, "jdbc", "id, price")
    raw, february = tmp_path / "raw", dt.date(2026, 2, 20)
    assert fetch(raw, of, FIRST, lambda: spark) == {february: [1], FIRST: [2]}
    run(insert + "(4, '2026-03-01 23:30:00.123456', 4)")
    assert fetch(raw, of, FIRST + DAY, lambda: spark)[FIRST + DAY] == [3, 4]
    (file,) = TableFolder(raw, "events").files(FIRST)
    schema = pq.read_schema(file)
    assert schema.field("price").type == pa.decimal128(10, 2)
    assert schema.field("created").type == pa.timestamp("us")

    for wrong, words in (
        (table.replace("ders", "no"), "the database refused or did not answer"),
        (table.replace("created", "made"), "has no column made"),
        ("{url: 'jdbc:nodb:x', name: a, watermark: b}", "name its jar in the settings"),
    ):
        with pytest.raises(NightcartError, match=words) as raised:
            fetch(tmp_path / "other", source(wrong, "jdbc"), FIRST, lambda: spark)
        assert "\n" not in str(raised.value)


def test_a_table_format_without_its_jar_is_said(spark: SparkSession, tmp_path: Path) -> None:
    for kind in ("delta", "iceberg"):
        of = source("{path: x, watermark: created}", kind)
        with pytest.raises(SettingsError, match=f"does not know {kind}: name its jar"):
            fetch(tmp_path / "raw", of, FIRST, lambda: spark)
    with pytest.raises(SettingsError, match="no.jar does not exist"):
        with_jars(spark, [str(tmp_path / "no.jar")])
