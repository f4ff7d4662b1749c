"""PostgreSQL as the source: two nights through the jobs, every row of the tables accounted for."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.datasets import CLEANED_EVENTS, QUARANTINE
from pipeline.errors import DATA_ERROR
from pipeline.lake import Lake, Run
from pipeline.ledger import stage_lines
from pipeline.stages import CLEAN, WAIT_FOR_RAW
from tests.night_runner import StageRunner
from tests.postgres import CONNECTION, PASSWORD, Cluster, cluster

FIRST, SECOND = dt.date(2026, 3, 1), dt.date(2026, 3, 2)
SOURCE = """
source: shop
description: The tables of a shop.
datasets:
  items:
    format: jdbc
    table: &database {{url: "{url}", connection: shop_db, name: items, watermark: changed}}
    columns: [sku, title]
    map: {{item_id: sku, title: title}}
  users:
    format: jdbc
    table: {{<<: *database, name: customers}}
    columns: [id, agrees]
    map: {{user_id: id, consent: agrees}}
  events:
    format: jdbc
    table: {{<<: *database, name: order_lines, watermark: created}}
    columns: [order_no, line, customer, sku, created, price]
    map:
      event_id: "concat(order_no, '-', line)"
      event_time: created
      event_type: "'purchase'"
      user_id: customer
      item_id: sku
      price: price
"""
TABLES = (
    "CREATE TABLE items (sku text, title text, changed timestamptz)",
    "CREATE TABLE customers (id uuid, agrees boolean, changed timestamptz)",
    "CREATE TABLE order_lines (order_no int, line int, customer uuid, sku text,"
    " created timestamptz, price numeric(10, 2))",
    "INSERT INTO items SELECT 'i' || g, 'Item ' || g, '2026-02-01' FROM generate_series(1, 20) g",
    "INSERT INTO customers SELECT md5(g::text)::uuid, g % 3 > 0, '2026-02-01'"
    " FROM generate_series(1, 30) g",
)
LINES = (
    "INSERT INTO order_lines SELECT g, 1, md5((g % 30 + 1)::text)::uuid, 'i' || g % 21, "
    "'{day}'::timestamptz + g * interval '1 second', g FROM generate_series({first}, {last}) g"
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_nights_of_a_database_are_reconciled_to_the_row(
    postgres: Cluster,
    run_stages: StageRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also: a rerun sees the rows of the first time, and the password is nowhere."""
    caplog.set_level(logging.DEBUG)
    config = tmp_path / "nightcart.toml"
    config.write_text(
        '[shop]\nsource = "shop.yaml"\n[paths]\nraw = "raw"\nlake = "lake"\n'
        '[privacy]\nkey_file = "key"\n[spark]\nmaster = "local[2]"\nshuffle_partitions = 2\n'
        'driver_memory = "1g"\n'
    )
    (tmp_path / "shop.yaml").write_text(SOURCE.format(url=postgres.url))
    monkeypatch.setenv(CONNECTION, postgres.variable())
    postgres.run(*TABLES, LINES.format(day="2026-02-28 12:00+00", first=1, last=200))
    postgres.run(LINES.format(day="2026-03-01 12:00+00", first=201, last=500))
    late = postgres.connect()
    late.execute(LINES.format(day="2026-03-01 20:00+00", first=501, last=520).encode())
    assert run_stages(config, FIRST, "one", last=CLEAN) == (CLEAN, 0)
    late.commit()
    late.close()
    accepted, refused = accepted_and_refused(tmp_path)
    assert (accepted + refused, refused > 0) == (500, True)
    assert rows_in_ledger(tmp_path, FIRST, "one") == 500
    postgres.run(
        LINES.format(day="2026-03-02 08:00+00", first=521, last=700),
        "INSERT INTO items VALUES ('i0', 'New', '2026-03-02 07:00+00')",
        "UPDATE customers SET agrees = false, changed = '2026-03-02 07:00+00'"
        " WHERE id = md5('2')::uuid",
    )
    # A rerun is of the rows that were kept; a table that cannot be asked stops nothing.
    monkeypatch.setenv(CONNECTION, "postgresql://shop@127.0.0.1/shop")
    kept = {path: path.read_bytes() for path in (tmp_path / "raw").rglob("*") if path.is_file()}
    assert run_stages(config, FIRST, "two", last=WAIT_FOR_RAW) == (WAIT_FOR_RAW, 0)
    assert {path: path.read_bytes() for path in kept} == kept
    assert run_stages(config, SECOND, "one", last=CLEAN) == (WAIT_FOR_RAW, DATA_ERROR)

    monkeypatch.setenv(CONNECTION, postgres.variable())
    assert run_stages(config, SECOND, "two", last=CLEAN) == (CLEAN, 0)
    with postgres.connect() as connection:
        (rows,) = connection.execute(b"SELECT count(*) FROM order_lines").fetchone() or ()
    assert rows == 700
    # i0 came on the second day, and with it the lines that had asked for it.
    assert accepted_and_refused(tmp_path)[0] == 700
    assert rows_in_ledger(tmp_path, SECOND, "two") == 200
    record = json.loads(
        (tmp_path / "lake/runs/run_date=2026-03-02/run_id=two/wait_for_raw.json").read_text()
    )
    tables = record["report"]["tables"]
    assert {name: found["rows"] for name, found in tables.items()} == {
        "events": 200,
        "items": 1,
        "users": 1,
    }
    assert run_stages(config, dt.date(2026, 3, 3), "one", last=CLEAN) == (WAIT_FOR_RAW, DATA_ERROR)
    said = capfd.readouterr()
    assert "asks for a password and was given none; correct AIRFLOW_CONN_SHOP_DB" in said.err
    assert "lacks a row of order_lines with created on 2026-03-03" in said.err
    everything = "".join((said.out, said.err, caplog.text)).encode()
    for path in tmp_path.rglob("*"):
        everything += path.read_bytes() if path.is_file() else b""
    assert PASSWORD.encode() not in everything


def accepted_and_refused(shop: Path) -> tuple[int, int]:
    """Different events in the lake, and the rows of events in quarantine."""
    lake = Lake(shop / "lake")
    files = {
        dataset: [file for day in lake.dates(dataset) for file in lake.require(dataset, day).files]
        for dataset in (CLEANED_EVENTS, QUARANTINE)
    }
    ids = {
        id_
        for file in files[CLEANED_EVENTS]
        for id_ in pq.ParquetFile(file).read(["event_id"])["event_id"].to_pylist()
    }
    refused = [pq.ParquetFile(file).read(["dataset", "rows"]) for file in files[QUARANTINE]]
    rows = [row for table in refused for row in table.to_pylist() if row["dataset"] == "events"]
    return len(ids), sum(row["rows"] for row in rows)


def rows_in_ledger(shop: Path, night: dt.date, run_id: str) -> int:
    """Rows of events that a night's cleaning counted in."""
    lines = stage_lines(Lake(shop / "lake"), Run(night, run_id), CLEAN)
    return sum(line.rows_in for line in lines if line.dataset == "events")
