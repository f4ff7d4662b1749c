"""A shop's days through the real cleaner and gate: drift stops a night and names itself."""

from __future__ import annotations

import dataclasses
import datetime as dt
import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import PROFILES
from pipeline.errors import GateError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings, load_settings
from pipeline.simulator.shop import simulate_shop
from pipeline.validation.dataset_group import validate_group
from pipeline.validation.profiles import read_or_make_profiles

FIRST = dt.date(2026, 2, 1)
DAYS = 8
NIGHT = FIRST + dt.timedelta(days=DAYS - 1)
GATED = Run(NIGHT, "gated")


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw days and a lake into which one first night has cleaned them all; nothing validated."""
    root = tmp_path_factory.mktemp("drift")
    simulate_shop(root / "raw", users=300, items=60, days=DAYS, seed=3, start_date=FIRST)
    here = _settings(root)
    clean_night(spark, here, Lake(here.paths.lake), Run(NIGHT, "first"))
    return root


@pytest.fixture
def drifting(shop: Path, tmp_path: Path) -> Settings:
    """A copy of the shop, to be spoilt."""
    shutil.copytree(shop, tmp_path / "shop")
    return _settings(tmp_path / "shop")


def _settings(root: Path) -> Settings:
    return load_settings(
        None,
        {
            "NIGHTCART_PATHS__RAW": str(root / "raw"),
            "NIGHTCART_PATHS__LAKE": str(root / "lake"),
            "NIGHTCART_PRIVACY__KEY_FILE": str(root / "user_id.key"),
            "NIGHTCART_SPARK__MASTER": "local[2]",
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
        },
    )


def _spoil(settings: Settings, change: Callable[[pa.Table], pa.Table]) -> Lake:
    """Commit the night's events again, changed."""
    lake = Lake(settings.paths.lake)
    events = pa.concat_tables(
        [pq.ParquetFile(file).read() for file in lake.require("cleaned_events", NIGHT).files]
    )
    changed = change(events.sort_by("event_id"))
    directory = lake.begin("cleaned_events", GATED)
    pq.write_table(changed, directory / "part-00000.parquet")
    lake.commit("cleaned_events", GATED, rows=changed.num_rows)
    return lake


def _stopped(spark: SparkSession, lake: Lake, settings: Settings) -> tuple[str, str, str]:
    """The gate's message, the front page and the page of the events, as text."""
    with pytest.raises(GateError) as caught:
        validate_group(spark, lake, GATED, "cleaned", settings)
    site = lake.records(GATED) / "data_docs"
    (page,) = (site / "validations" / "cleaned_events").rglob("*.html")
    return str(caught.value), _text(site / "index.html"), _text(page)


def _text(page: Path) -> str:
    bare = re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8"))
    return " ".join(html.unescape(bare).split())


def test_a_usual_day_passes_and_the_past_of_a_first_night_is_profiled(
    spark: SparkSession, drifting: Settings
) -> None:
    lake = Lake(drifting.paths.lake)
    report = validate_group(spark, lake, GATED, "cleaned", drifting)

    assert not [found for kept in report["datasets"].values() for found in kept["warnings"]]
    assert lake.dates(PROFILES) == [FIRST + dt.timedelta(days=n) for n in range(DAYS)]
    assert "Nothing stops the night." in _text(lake.records(GATED) / "data_docs" / "index.html")
    schema = arrow_schema(load_contract(PROFILES))
    for partition in lake.past(PROFILES, NIGHT):
        table = pq.ParquetFile(partition.files[0]).read()
        assert table.schema.names == schema.names
        kept = {(row["dataset"], row["column"]): row for row in table.to_pylist()}
        delivered = lake.require("cleaned_events", partition.run_date)
        events = pa.concat_tables([pq.ParquetFile(file).read() for file in delivered.files])
        assert kept["cleaned_events", "price"]["rows"] == delivered.rows == events.num_rows
        assert kept["cleaned_events", "price"]["nulls"] == events["price"].null_count
        counted = {
            v["values"]: v["counts"] for v in events["event_type"].value_counts().to_pylist()
        }
        found = {word: n for word, n in kept["cleaned_events", "event_type"]["counts"] if n}
        assert found == counted
        users = len(events["user_id"].unique())
        assert kept["cleaned_events", "user_id"]["distinct"] == pytest.approx(users, rel=0.2)
        newest = max(events["event_time"].to_pylist())
        assert kept["cleaned_events", "event_time"]["latest"] == newest
        refused = lake.require("quarantine", partition.run_date)
        assert (
            sum(r["rows"] for (name, _), r in kept.items() if name == "quarantine") == refused.rows
        )

    again = {day: lake.require(PROFILES, day).path for day in lake.dates(PROFILES)}
    read_or_make_profiles(spark, lake, Run(NIGHT, "again"), drifting)
    assert {day: lake.require(PROFILES, day).path for day in again} == again, "measured twice"


def test_a_tripled_share_of_nulls_stops(spark: SparkSession, drifting: Settings) -> None:
    def lose_prices(events: pa.Table) -> pa.Table:
        prices = events["price"].to_pylist()
        lost, wanted = events["price"].null_count, 3 * events["price"].null_count
        for place, price in enumerate(prices):
            if price is not None and lost < wanted:
                prices[place], lost = None, lost + 1
        place = events.schema.get_field_index("price")
        return events.set_column(place, events.schema.field(place), pa.array(prices, pa.float64()))

    message, front, page = _stopped(spark, _spoil(drifting, lose_prices), drifting)

    assert message.count("cleaned_events: ") == 1
    for text in (message, front, page):
        assert re.search(r"price is null in \d+\.\d% of the rows, usually \d+\.\d%", text)
    assert 'validation.only_warn = ["cleaned_events.null_shares"]' in message
    assert "lost its source" in front


def test_a_fifth_of_the_usual_volume_stops_until_it_is_allowed(
    spark: SparkSession, drifting: Settings
) -> None:
    lake = _spoil(drifting, lambda events: events.take(list(range(0, events.num_rows, 5))))
    message, front, page = _stopped(spark, lake, drifting)
    for text in (message, front, page):
        assert re.search(r"\d+ rows, (1\d|2[0-4])% of the usual \d+ \(median of", text)
    assert "cleaned_events: volume (expect_rows_like_same_weekday)" in message

    named = re.findall(r'"(cleaned_events\.\w+)"', message)
    validation = dataclasses.replace(drifting.validation, only_warn=tuple(named))
    excused = dataclasses.replace(drifting, validation=validation)
    report = validate_group(spark, lake, GATED, "cleaned", excused)
    warned = {found["reason"] for found in report["datasets"]["cleaned_events"]["warnings"]}
    assert {"volume", "volume_unusual"} <= warned


def test_a_renamed_event_type_stops_and_both_names_are_said(
    spark: SparkSession, drifting: Settings
) -> None:
    raw = Path(drifting.paths.raw) / f"date={NIGHT}" / "events.jsonl"
    text = raw.read_text(encoding="utf-8")
    bought = text.count('"type": "purchase"') + text.count('"type":"purchase"')
    assert bought > 20
    raw.write_text(re.sub(r'("type": ?)"purchase"', r'\1"sale"', text), encoding="utf-8")
    lake = Lake(drifting.paths.lake)
    clean_night(spark, drifting, lake, GATED)

    message, front, page = _stopped(spark, lake, drifting)

    for text in (message, front, page):
        assert "no row has event_type purchase, usually" in text
        assert "unknown words are 'sale'" in text
        assert "refused as event_type_unknown_value" in text
    assert "event_type_values on event_type" in message
    assert not json.dumps(message).count("@")


def test_a_first_delivery_is_compared_with_nothing_and_says_so(
    spark: SparkSession, drifting: Settings
) -> None:
    lake = Lake(drifting.paths.lake)
    run = Run(FIRST, "gated")
    report = validate_group(spark, lake, run, "cleaned", drifting)
    assert not report["datasets"]["cleaned_events"]["warnings"]
    front = _text(lake.records(run) / "data_docs" / "index.html")
    assert "Nothing stops the night." in front
    assert re.search(
        r"cleaned_events .* distinct, event_type_shares, .* volume, volume_unusual", front
    )
    (page,) = (lake.records(run) / "data_docs/validations/cleaned_events").rglob("*.html")
    assert "0 earlier deliveries are there to compare with, 5 are needed" in _text(page)
