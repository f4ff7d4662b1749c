"""The gate: poisoned partitions stop the night for the right reason, and the pages are safe."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.validate import main
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.contracts.day_profile import DayProfile
from pipeline.contracts.expectations import drift_suite, expectation_suite
from pipeline.errors import DATA_ERROR, GateError, InputError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.validation.data_docs import escaped
from pipeline.validation.dataset_group import GROUPS, validate_group
from pipeline.validation.pages import stand_alone
from tests.conftest import REPOSITORY

NIGHT = dt.date(2026, 3, 1)
RUN = Run(NIGHT, "first")
USER = "0123456789abcdef0123456789abcdef"
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
_NOTHING = DayProfile(NIGHT, NOON, {})
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> $x ${y} {z} %s"

Rows = list[dict[str, Any]]


def events(n: int = 3) -> Rows:
    return [
        {
            "event_id": f"e{i}",
            "event_time": NOON,
            "event_date": NIGHT,
            "event_type": "view",
            "user_id": USER,
            "item_id": "i1",
            "source": "simulator",
        }
        for i in range(n)
    ]


def items(n: int = 2) -> Rows:
    return [{"item_id": f"i{i}", "listed": True, "source": "simulator"} for i in range(n)]


def put(
    lake: Lake, dataset: str, rows: Rows, *, night: dt.date = NIGHT, claimed: int | None = None
) -> None:
    """Commit a partition, with columns beside the contract's where a row has them."""
    run = Run(night, RUN.run_id)
    contract = GROUPS["generated"].get(dataset, dataset)
    schema = arrow_schema(load_contract(contract))
    extra = {name for row in rows for name in row} - set(schema.names)
    for name in sorted(extra):
        schema = schema.append(pa.field(name, pa.string()))
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    directory = lake.begin(dataset, run)
    pq.write_table(pa.Table.from_pylist(rows, schema=nullable), directory / "part-0.parquet")
    lake.commit(dataset, run, rows=len(rows) if claimed is None else claimed)


def pages(lake: Lake) -> dict[str, str]:
    """Every page of the run's site."""
    site = lake.records(RUN) / "data_docs"
    return {path.relative_to(site).as_posix(): path.read_text() for path in site.rglob("*.html")}


def page_of(lake: Lake, dataset: str) -> str:
    (text,) = (
        text for name, text in pages(lake).items() if name.startswith(f"validations/{dataset}/")
    )
    return text


def test_good_data_passes_and_leaves_a_page_per_dataset(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_events", events())
    put(lake, "cleaned_items", items())
    cached = spark.sparkContext._jsc.getPersistentRDDs().size()

    report = validate_group(spark, lake, RUN, "cleaned", settings)

    assert {name: figures["rows"] for name, figures in report["datasets"].items()} == {
        "cleaned_events": 3,
        "cleaned_items": 2,
    }
    assert all(not figures["warnings"] for figures in report["datasets"].values())
    suite = expectation_suite(load_contract("cleaned_events"))
    past = drift_suite(load_contract("cleaned_events"), "cleaned_events", _NOTHING, [])
    checks = len(suite.expectations) + len(past.expectations)
    assert report["datasets"]["cleaned_events"]["checks"] == checks
    assert Path(report["data_docs"]).is_file()
    assert "user_id" in page_of(lake, "cleaned_events")
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == cached, "a frame stays cached"


def poison_user(rows: Rows) -> None:
    rows[1]["user_id"] = "anna@example.com"


def poison_type(rows: Rows) -> None:
    rows[1]["event_type"] = HOSTILE


def poison_null(rows: Rows) -> None:
    rows[0]["event_time"] = None


def poison_price(rows: Rows) -> None:
    rows[0]["price"] = -2.5


def poison_rule(rows: Rows) -> None:
    rows[2]["item_id"] = None


def poison_key(rows: Rows) -> None:
    rows[2]["event_id"] = rows[1]["event_id"]


def poison_column(rows: Rows) -> None:
    rows[0]["phone"] = "+49 30 123456"


@pytest.mark.parametrize(
    ("poison", "said"),
    [
        (poison_user, "user_id_malformed on user_id (expect_column_values_to_match_regex): 1 of 3"),
        (poison_type, "event_type_unknown_value on event_type (expect_column_values_to_be_in_set)"),
        (poison_null, "event_time_missing on event_time (expect_column_values_to_not_be_null)"),
        (
            poison_price,
            "price_out_of_range on price (expect_column_values_to_be_between): 1 of 3 rows, such as -2.5",
        ),
        (poison_rule, "item_id_missing on event_type, item_id (expect_rows_to_satisfy): 1 of 3"),
        (poison_key, "key_repeats on event_id (expect_key_to_be_unique): 2 of 3 rows"),
        (poison_column, "columns (expect_table_columns_to_match_ordered_list): extra column phone"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_poisoned_partition_stops_the_night(
    spark: SparkSession, lake: Lake, settings: Settings, poison: Callable[[Rows], None], said: str
) -> None:
    rows = events()
    poison(rows)
    put(lake, "cleaned_events", rows)

    with pytest.raises(GateError) as caught:
        validate_group(spark, lake, RUN, "cleaned", settings)

    message = str(caught.value)
    assert said in message
    assert message.count("cleaned_events: ") == 1, "one fault, no consequences of it"
    reason, _, where = said.partition(" on ")
    column = where.partition(" ")[0].rstrip(",") or "phone"
    assert column in page_of(lake, "cleaned_events")
    assert reason.partition(" ")[0] in pages(lake)["index.html"]
    assert "failed" in pages(lake)["index.html"]
    for name, text in pages(lake).items():
        assert "<script" not in text.lower(), name
        assert "<img src=x" not in text.lower(), name
        assert "anna@example.com" not in text, name
    results = lake.records(RUN) / "gx"
    assert not any("anna@" in path.read_text() for path in results.rglob("*.json"))
    assert "anna@" not in message


def test_a_hostile_value_is_shown_as_it_is_written(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    rows = items()
    rows[0]["item_id"] = rows[1]["item_id"] = HOSTILE
    put(lake, "cleaned_events", events())
    put(lake, "cleaned_items", rows)
    with pytest.raises(GateError, match="key_repeats on item_id"):
        validate_group(spark, lake, RUN, "cleaned", settings)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page_of(lake, "cleaned_items")
    assert "<script" not in page_of(lake, "cleaned_items")


def test_a_warning_is_reported_and_stops_nothing(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_items", items(), night=NIGHT - dt.timedelta(days=1))
    put(lake, "cleaned_items", [])
    put(lake, "cleaned_events", events())

    report = validate_group(spark, lake, RUN, "cleaned", settings)

    (warning,) = report["datasets"]["cleaned_items"]["warnings"]
    assert warning["reason"] == "has_rows"
    assert warning["severity"] == "warn"
    assert "has_rows (warn)" in pages(lake)["index.html"]


def test_what_a_source_never_delivered_is_not_missed(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_events", events())
    put(lake, "cleaned_reviews", [])
    assert set(validate_group(spark, lake, RUN, "cleaned", settings)["datasets"]) == {
        "cleaned_events"
    }


def test_a_day_without_an_event_that_had_some_before_stops(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_events", events(), night=NIGHT - dt.timedelta(days=1))
    put(lake, "cleaned_events", [])
    with pytest.raises(GateError) as caught:
        validate_group(spark, lake, RUN, "cleaned", settings)
    assert "cleaned_events: has_rows" in str(caught.value)
    assert "not one event or review was accepted" in str(caught.value)


def test_a_closed_day_without_an_event_does_not_stop(
    spark: SparkSession, lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    """Unless rows were delivered and all of them refused; the day is compared with no other."""
    simulator = (REPOSITORY / "schemas/sources/simulator.yaml").read_text()
    path = tmp_path / "closed.yaml"
    path.write_text(simulator.replace("datasets:", f"closed: [{RUN.run_date}]\ndatasets:", 1))
    closed = replace(settings, shop=replace(settings.shop, source=str(path)))
    put(lake, "cleaned_events", events(), night=NIGHT - dt.timedelta(days=1))
    put(lake, "cleaned_events", [])
    assert validate_group(spark, lake, RUN, "cleaned", closed)["datasets"] == {}
    lake.begin("cleaned_events", RUN)
    lake.commit("cleaned_events", RUN, rows=0, raw_rows=3)
    with pytest.raises(GateError, match="not one event or review was accepted"):
        validate_group(spark, lake, RUN, "cleaned", closed)


def test_a_first_delivery_of_nothing_stops(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_events", [])
    with pytest.raises(GateError, match="not one event or review was accepted"):
        validate_group(spark, lake, RUN, "cleaned", settings)


def test_files_that_are_not_what_the_manifest_says_stop(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_events", events(), claimed=4)
    with pytest.raises(GateError, match="its manifest says 4 rows, its files have 3"):
        validate_group(spark, lake, RUN, "cleaned", settings)


def test_an_extra_column_in_one_file_of_many_is_seen(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_events", events())
    table = pq.ParquetFile(lake.require("cleaned_events", RUN.run_date).files[0]).read()
    directory = lake.begin("cleaned_events", RUN)
    pq.write_table(table, directory / "part-0.parquet")
    more = table.append_column("phone", pa.array(["1"] * 3)).slice(0, 0)
    pq.write_table(more, directory / "part-1.parquet")
    lake.commit("cleaned_events", RUN, rows=3)
    with pytest.raises(GateError, match="extra column phone"):
        validate_group(spark, lake, RUN, "cleaned", settings)


def test_nothing_to_look_at_says_which_stage_to_run(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    with pytest.raises(InputError, match="none of catalogue, histories, item_words"):
        validate_group(spark, lake, RUN, "histories", settings)


def test_both_gates_of_a_run_share_one_site_and_a_retry_replaces_its_page(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    bad = events()
    poison_price(bad)
    put(lake, "cleaned_events", bad)
    with pytest.raises(GateError):
        validate_group(spark, lake, RUN, "cleaned", settings)
    put(lake, "cleaned_events", events())
    validate_group(spark, lake, RUN, "cleaned", settings)
    generated = {
        "user_id": USER,
        "items": [{"rank": 1, "item_id": "i1", "score": -1.0}],
        "n_items": 1,
        "method": "model",
        "model_version": "m",
        "last_event_time": NOON,
        "rules": [],
    }
    put(lake, "generated", [generated])
    validate_group(spark, lake, RUN, "generated", settings)

    index = pages(lake)["index.html"]
    assert "cleaned_events.v1" in index
    assert "recommendations.v1" in index
    assert "failed" not in index.partition("<tbody>")[2]
    for href in index.split('href="')[1:]:
        assert href.partition('"')[0] in {*pages(lake), "../report.html"}


def test_the_job_records_the_reason_and_says_not_to_retry(
    spark: SparkSession,
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = events()
    poison_price(rows)
    put(lake, "cleaned_events", rows)
    monkeypatch.setenv("NIGHTCART_PATHS__LAKE", str(lake.root))
    monkeypatch.setenv("NIGHTCART_SPARK__MASTER", "local[2]")

    code = main(["--date", "2026-03-01", "--run-id", "first", "--dataset", "cleaned"])

    assert code == DATA_ERROR
    record = json.loads((lake.records(RUN) / "validate_cleaned.json").read_text())
    assert record["status"] == "failed"
    assert "price_out_of_range" in record["error"]
    assert "price_out_of_range" in capsys.readouterr().err


def test_pages_fetch_nothing_and_run_nothing(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    put(lake, "cleaned_events", events())
    validate_group(spark, lake, RUN, "cleaned", settings)
    for name, text in pages(lake).items():
        assert "http://" not in text, name
        assert "https://" not in text, name
        assert "<script" not in text, name
        assert "default-src 'none'" in text, name


def test_stand_alone_leaves_the_text_of_a_page() -> None:
    page = (
        '<html><head><link rel="stylesheet" href="https://a.example/x.css">'
        "<style>a { background: url('https://b.example/y.png') }</style></head>"
        '<body><img\n src="https://c.example/z.png?id=1"\n/><SCRIPT>x()</SCRIPT >kept'
        '<img src="static/here.png"></body></html>'
    )
    text = stand_alone(page)
    assert "example" not in text
    assert "x()" not in text
    assert 'kept<img src="static/here.png">' in text


def test_escaping_reaches_every_depth_and_only_strings() -> None:
    value = {"a": ["<b>", ("&", 1.5)], "c": None, "d": True}
    assert escaped(value) == {"a": ["&lt;b&gt;", ["&amp;", 1.5]], "c": None, "d": True}
