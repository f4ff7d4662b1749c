"""The entry `table` of a source YAML: what it may say, and that no secret is taken from it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import yaml

from pipeline.cleaning.deliveries.made_by import made_by
from pipeline.errors import ContractError, InputError, SettingsError
from pipeline.settings import Settings
from pipeline.sources.file_pattern import FilePattern
from pipeline.sources.source import Source
from pipeline.sources.source_yaml import parse_source
from pipeline.sources.table import Table
from pipeline.sources.tables.credentials import Credentials, credentials_of
from pipeline.sources.tables.postgres import parameters_of

TABLE = {
    "url": "jdbc:postgresql://db.example.com/shop",
    "name": "public.orders",
    "watermark": "created",
}
NOBODY = Credentials()
EVENTS = {
    "format": "jdbc",
    "table": TABLE,
    "columns": ["id", "buyer"],
    "map": {"event_id": "id", "user_id": "buyer"},
}


def source(events: dict[str, Any] | None = None, **others: Any) -> Source:
    datasets = {"events": {**EVENTS, **(events or {})}, **others}
    return parse_source(
        yaml.safe_dump({"source": "s", "description": "d", "datasets": datasets}), "shop.yaml"
    )


def table(**given: Any) -> Table:
    entry = {key: value for key, value in {**TABLE, **given}.items() if value is not None}
    found = source({"table": entry}).datasets["events"].table
    assert found is not None
    return found


def test_a_table_is_for_all_that_follows_a_dataset_of_parquet_files() -> None:
    users = {"same_files_as": "events", "map": {"user_id": "buyer", "consent": "'true'"}}
    found = source(users=users)
    events, shared = found.datasets["events"], found.datasets["users"]
    assert (events.format, events.files) == ("parquet", "tables/events/date={date}/*.parquet")
    assert events.columns == ("id", "buyer", "created")  # what a fetch itself needs is asked for
    assert (shared.files, shared.columns, shared.table) == (events.files, events.columns, None)
    assert events.required
    own = {**EVENTS, "table": {**TABLE, "watermark": "changed"}, "map": users["map"]}
    assert not source(users=own).datasets["users"].required


def test_a_table_decides_no_row_so_none_is_cleaned_again_for_it() -> None:
    settings = Settings()
    other = {"table": {**TABLE, "overlap": "1 day"}}
    assert made_by(source(), settings)["events"].settings == (
        made_by(source(other), settings)["events"].settings
    )


@pytest.mark.parametrize(
    "url",
    [
        "jdbc:postgresql://ann:hunter2@db/shop",
        "postgresql://ann:hunter2@db/shop",
        "jdbc:postgresql://db/shop?user=ann&password=hunter2",
        "jdbc:postgresql://db/shop?sslpassword=hunter2",
        "jdbc:mysql://db/shop?user=ann&PASSWORD=hunter2",
        "jdbc:sqlserver://db;databaseName=shop;user=ann;password=hunter2",
        "jdbc:sqlserver://db;user=ann;pwd = hunter2",
        "jdbc:oracle:thin:ann/hunter2@//db:1521/shop",
        "jdbc:snowflake://db/?accessToken=hunter2",
    ],
)
def test_a_password_in_the_yaml_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ContractError, match="AIRFLOW_CONN_SHOP_DB") as raised:
        table(url=url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"watermark": None}, "events need a watermark"),
        ({"nam": "x"}, "did you mean 'name'"),
        ({"url": None}, "needs url .* or connection"),
        ({"name": "public..orders"}, "write schema.table"),
        ({"overlap": "soon"}, "expected such as 6 hours"),
        ({"overlap": -1}, "expected such as 6 hours"),
        ({"connection": "shop-db"}, "letters, digits and _"),
        ({"name": ["a\0b"]}, "holds a character that no name may"),
    ],
)
def test_a_wrong_entry_is_said(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        table(**given)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ({"files": "x.csv"}, "files is for files"),
        ({"delivery": "dump"}, "delivery is for files"),
        ({"format": "csv", "files": "{date}.csv"}, "table is for format: jdbc"),
        ({"format": "jbdc"}, "found format: jbdc"),
        ({"table": "orders"}, "expected a mapping"),
        ({"format": "duckdb"}, "unknown key 'url'"),
    ],
)
def test_an_entry_of_a_table_has_no_files(events: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        source(events)


def test_what_is_required_and_what_is_complete() -> None:
    users = {**EVENTS, "required": True, "map": {"user_id": "buyer", "consent": "'true'"}}
    with pytest.raises(ContractError, match="users: required: true"):
        source(users=users)
    items = {**EVENTS, "complete": True, "map": {"item_id": "id", "title": "id"}}
    with pytest.raises(ContractError, match="complete: true is for a table without watermark"):
        source(items=items)


def test_overlaps() -> None:
    assert table(overlap="90 minutes").overlap == dt.timedelta(minutes=90)
    assert table(overlap="2 DAYS").overlap == dt.timedelta(days=2)
    assert table(overlap=500).overlap == 500


def test_urls_of_postgres() -> None:
    """JDBC's own spellings, and PostgreSQL's."""

    def of(url: str, credentials: Credentials = NOBODY) -> dict[str, Any]:
        found = parameters_of(table(url=url), credentials)
        known = ("host", "port", "dbname", "user", "password", "sslmode", "target_session_attrs")
        return {key: found[key] for key in known if key in found}

    assert of("jdbc:postgresql://db/shop") == {"host": "db", "port": "5432", "dbname": "shop"}
    assert of("jdbc:postgresql:shop") == {"dbname": "shop"}
    assert of("jdbc:postgresql://[::1]:5433/a%20b?sslmode=require") == {
        "host": "::1",
        "port": "5433",
        "dbname": "a b",
        "sslmode": "require",
    }
    assert of("jdbc:postgresql://a:1,b/shop?targetServerType=primary&ssl=true") == {
        "host": "a,b",
        "port": "1,5432",
        "dbname": "shop",
        "sslmode": "verify-full",
        "target_session_attrs": "primary",
    }
    known = Credentials("ann", "pw", "elsewhere", 5433, "other")
    assert of("postgresql://bob@db/shop", known) == {
        "host": "db",
        "port": "5432",
        "dbname": "shop",
        "user": "ann",
        "password": "pw",
    }
    alone = parameters_of(table(url=None, connection="shop_db"), known)
    assert (alone["host"], alone["port"], alone["dbname"]) == ("elsewhere", 5433, "other")
    for url, words in (
        ("jdbc:postgresql://db/shop?currentSchema=x", "write the schema before"),
        ("jdbc:postgresql://db/shop?stringtype=x", "unknown parameter 'stringtype'"),
        ("jdbc:postgresql://db:port/shop", "cannot be read"),
    ):
        with pytest.raises(ContractError, match=words):
            of(url)


def test_connections_as_airflow_writes_them() -> None:
    def of(text: str) -> Credentials:
        return credentials_of(table(connection="shop_db"), {"AIRFLOW_CONN_SHOP_DB": text})

    as_json = (
        '{"conn_type": "postgres", "login": "ann", "password": "p@/w", "host": "db", "port": 5}'
    )
    assert of("postgres://ann:p%40%2Fw@db:5/shop") == Credentials(
        "ann", "p@/w", "db", 5, "shop", "postgres"
    )
    assert of(as_json) == Credentials("ann", "p@/w", "db", 5, "", "postgres")
    assert "p@/w" not in repr(of(as_json))
    for text in ("", "p@/w", '{"login": "p@/w"', "postgres://ann:p@/w@db:x/shop"):
        with pytest.raises(SettingsError) as raised:
            of(text)
        assert "p@/w" not in str(raised.value)


def test_an_address_of_a_bucket_or_a_database_is_no_path() -> None:
    for text, words in (
        ("s3a://bucket/x", "mount the bucket"),
        ("jdbc:postgresql://db/shop", "write format: jdbc and table"),
    ):
        with pytest.raises(ContractError, match=words):
            FilePattern(text, "shop.yaml: events")


def test_an_overlap_of_the_wrong_kind() -> None:
    from pipeline.sources.tables.window import DATE, LOCAL, NUMBER, Column, Zones

    zone = Zones(dt.UTC, dt.UTC)
    with pytest.raises(InputError, match="must be a whole number"):
        Column("id", NUMBER, zone).less(5, dt.timedelta(1), "x")
    with pytest.raises(InputError, match="must be a time"):
        Column("at", LOCAL, zone).less(dt.datetime(2026, 3, 1, tzinfo=dt.UTC), 5, "x")
    day = Column("day", DATE, zone).less(dt.date(2026, 3, 2), dt.timedelta(hours=1), "x")
    assert day == dt.date(2026, 3, 1)  # whole days, never less than was asked for
