"""A file that cannot be read: the night stops, or goes on without it and says so everywhere."""

from __future__ import annotations

import dataclasses
import datetime as dt
import gzip
import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import clean
from pipeline.cleaning.night import clean_night
from pipeline.errors import InputError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from tests.lake_rows import read_rows

DAY = dt.date(2026, 3, 1)
SHOP = """
source: shop
description: A shop that delivers its events in parts.
datasets:
  events:
    files: "{date}/part-*.csv"
    format: csv
    columns: [n, at, who, sku]
    map: {event_id: n, event_time: at, event_type: "'view'", user_id: who, item_id: sku}
"""
HEADER = "n,at,who,sku\n"


def _part(name: str, rows: int) -> str:
    lines = (f"{name}{n},{DAY} 1{n % 10}:00:00,{name}u{n},i{n}\n" for n in range(rows))
    return HEADER + "".join(lines)


@pytest.fixture
def delivery(settings: Settings, tmp_path: Path) -> tuple[Settings, Path]:
    """Two parts; of the second, two thirds arrived."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    folder = Path(settings.paths.raw) / str(DAY)
    folder.mkdir(parents=True)
    (folder / "part-a.csv").write_text(_part("a", 5))
    whole = gzip.compress(_part("b", 900).encode(), mtime=0)
    (folder / "part-b.csv.gz").write_bytes(whole[: 2 * len(whole) // 3])
    shop = dataclasses.replace(settings.shop, source=str(tmp_path / "shop.yaml"))
    return dataclasses.replace(settings, shop=shop), folder


def _continuing(settings: Settings) -> Settings:
    cleaning = dataclasses.replace(settings.cleaning, on_corrupt_file="continue")
    return dataclasses.replace(settings, cleaning=cleaning)


def test_a_night_stops_by_default_and_names_the_file(
    spark: SparkSession, lake: Lake, delivery: tuple[Settings, Path]
) -> None:
    """With the setting that would let it go on; nothing is written."""
    settings, folder = delivery
    with pytest.raises(InputError, match=r"part-b\.csv\.gz cannot be read") as caught:
        clean_night(spark, settings, lake, Run(DAY, "r"))
    assert 'cleaning.on_corrupt_file = "continue"' in str(caught.value)
    assert lake.dates("cleaned_events") == []
    (folder / "part-a.csv").unlink()
    with pytest.raises(InputError, match="no other file of 2026-03-01 holds a row"):
        clean_night(spark, _continuing(settings), lake, Run(DAY, "r"))


def test_a_night_goes_on_without_it_and_takes_it_in_when_it_comes_again(
    spark: SparkSession, lake: Lake, delivery: tuple[Settings, Path]
) -> None:
    """Ledger, quarantine and the stage's record say what was lost; then nothing is."""
    settings, folder = delivery
    night = clean_night(spark, _continuing(settings), lake, Run(DAY, "r"))
    (line,) = night.lines
    (refused,) = read_rows(lake, "quarantine", DAY)
    raw = json.loads(refused["raw"])
    assert 300 < raw["readable_rows"] < 900
    assert (refused["file"], refused["reason"]) == (f"{DAY}/part-b.csv.gz", "corrupt_file")
    assert refused["rows"] == raw["readable_rows"] + 1
    assert line.check().quarantined == {"corrupt_file": refused["rows"]}
    assert (line.rows_in, line.rows_out) == (5 + refused["rows"], 5)
    assert lake.require("quarantine", DAY).rows == 1
    (warning,) = clean.report(night)["warnings"]
    assert "part-b.csv.gz cannot be read" in warning

    tomorrow = DAY + dt.timedelta(days=1)
    (folder.parent / str(tomorrow)).mkdir()
    (folder.parent / str(tomorrow) / "part-a.csv").write_text(
        _part("c", 3).replace(str(DAY), str(tomorrow))
    )
    (folder / "part-b.csv.gz").write_bytes(gzip.compress(_part("b", 900).encode()))
    night = clean_night(spark, settings, lake, Run(tomorrow, "r"))
    assert night.days == [DAY, tomorrow]
    assert [(x.rows_in, x.rows_out) for x in night.lines] == [(905, 905), (3, 3)]
    assert read_rows(lake, "quarantine", DAY) == []
