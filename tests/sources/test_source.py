"""Source YAMLs: what is refused, which files a day delivered, what a check says."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.errors import ContractError, InputError
from pipeline.sources.check import check_source
from pipeline.sources.delivered_files import delivered_dates, missing_files
from pipeline.sources.discovery.folder import look_at
from pipeline.sources.file_pattern import FilePattern
from pipeline.sources.source_yaml import load_source, parse_source, shipped_sources

DAY = dt.date(2026, 3, 1)
GOOD = """
source: shop
description: A shop.
datasets:
  events:
    files: "sales_{date:%Y%m%d}.csv"
    format: csv
    columns: [when, who, what, extra]
    map: {event_time: when, event_type: "'purchase'", user_id: who, item_id: what}
"""
WRONG = {
    "unknown key 'formt'; did you mean 'format'": ("format: csv", "formt: csv"),
    "unknown key 'event_tme'; did you mean 'event_time'": ("event_time:", "event_tme:"),
    "unknown key 'evnts'; did you mean 'events'": ("  events:", "  evnts:"),
    "found 'cvs', expected one of csv, jsonl, parquet": ("format: csv", "format: cvs"),
    "a daily delivery needs {date}": ("sales_{date:%Y%m%d}.csv", "sales.csv"),
    "a dump has no {date}": ("format: csv", "format: csv\n    delivery: dump"),
    "complete: true is for a daily delivery of items": (
        "format: csv",
        "format: csv\n    complete: true",
    ),
    "names who more than once": ("[when, who,", "[when, who, who,"),
    "a date needs %Y, %m and %d": ("%Y%m%d", "%Y%m"),
    "must be a path below the raw root": ("sales_", "../sales_"),
    "description must be text": ("description: A shop.", "description:"),
}


def test_the_shipped_sources_load() -> None:
    """Each is named as its file."""
    assert {load_source(name).name for name in shipped_sources()} == set(shipped_sources())
    assert {"simulator", "online_retail", "rees46_sample", "amazon_reviews"} <= set(
        shipped_sources()
    )
    with pytest.raises(ContractError, match="did you mean 'online_retail'"):
        load_source("online_retial")


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_yaml_is_refused_by_name(message: str) -> None:
    """The message names the file and the nearest known key."""
    parse_source(GOOD, "shop.yaml")
    with pytest.raises(ContractError) as caught:
        parse_source(GOOD.replace(*WRONG[message]), "shop.yaml")
    assert message in str(caught.value)
    assert "shop.yaml" in str(caught.value)


def test_which_files_a_day_delivered(tmp_path: Path) -> None:
    """Compressed or not; half-written, hidden and impossible names are no delivery."""
    names = ["sales_20260228.csv", "sales_20260301.csv.gz", "sales_20260302.csv"]
    for name in [*names, "sales_20261399.csv", "_sales_20260303.csv", "sales_20260304.csv.tmp"]:
        (tmp_path / name).touch()
    source = parse_source(GOOD, "shop.yaml")
    assert delivered_dates(source, tmp_path, DAY) == [DAY - dt.timedelta(days=1), DAY]
    assert missing_files(source, tmp_path, DAY) == []
    assert missing_files(source, tmp_path, dt.date(2026, 3, 9)) == ["sales_20260309.csv"]


def test_nothing_is_required_on_a_closed_day(tmp_path: Path) -> None:
    closed = "closed: [Sunday, 2026-03-04]\ndatasets:"
    source = parse_source(GOOD.replace("datasets:", closed), "shop.yaml")
    missing = [missing_files(source, tmp_path, dt.date(2026, 3, day)) != [] for day in range(1, 9)]
    assert missing == [False, True, True, False, True, True, True, False]
    assert source.may_bring_nothing("events", dt.date(2026, 3, 1))
    assert not source.may_bring_nothing("events", dt.date(2026, 3, 2))
    with pytest.raises(ContractError, match="'Sundays' is neither .* did you mean 'sunday'"):
        parse_source(GOOD.replace("datasets:", "closed: [Sundays]\ndatasets:"), "shop.yaml")


def test_a_pattern_in_a_folder_and_a_name() -> None:
    """Both dates of one path must be the same day."""
    pattern = FilePattern("day={date}/part-*_{date}.jsonl", "here")
    assert pattern.on(DAY) == "day=2026-03-01/part-*_2026-03-01.jsonl"
    assert pattern.spark_date_format == "yyyy'-'MM'-'dd"


def test_a_day_beside_a_star_is_found_on_any_day(tmp_path: Path) -> None:
    """The day is a star too when files of any day are asked for."""
    for name in ("e_2026-03-01_1.csv", "e_2026-03-01.csv", "x_e_2026-03-02.csv"):
        (tmp_path / name).touch()
    for name in ("e_9999-12-31.csv", "e_0001-01-01.csv"):  # days that stand for none
        (tmp_path / name).touch()
    for text, found in {"e_{date}*.csv": 2, "*e_*{date}.csv": 2, "*e*{date}*.csv": 3}.items():
        assert len(FilePattern(text, "").files(tmp_path)) == found


def test_a_name_that_is_not_utf8_is_refused_as_it_can_be_printed(tmp_path: Path) -> None:
    """Of the source's own files, in a folder's name too; nothing of it is left unreadable."""
    for name in (b"e_2026-03-01_k\xfc.csv", b"other_\xfc.csv"):
        (tmp_path / os.fsdecode(name)).touch()
    with pytest.raises(InputError, match=r"k\\+xfc.csv.*not UTF-8.*rename") as caught:
        FilePattern("e_{date}*.csv", "shop.yaml: events").files(tmp_path)
    str(caught.value).encode()
    assert FilePattern("e_{date}.csv", "").files(tmp_path) == []
    found = look_at(tmp_path)
    assert found.groups == ()
    assert [path for path, _ in found.left_out] == ["e_2026-03-01_k\\xfc.csv", "other_\\xfc.csv"]


def test_a_time_without_an_offset_is_of_the_source_s_zone(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Text with an offset and a timestamp that the SQL made say themselves what they mean."""
    times = {
        "2026-03-01 10:00:00": 9,  # Berlin is an hour ahead in winter
        "2026-03-01T10:00": 9,
        "2026-07-01 10:00:00.5": 8,  # and two in summer
        "2026-03-01T10:00:00Z": 10,
        "2026-03-01T10:00:00+00:00": 10,
        "2026-03-01T10:00:00-05:00": 15,
        "2026-03-01 10:00:00 UTC": 10,
        "2026-03-01 10:00:00 America/New_York": 15,
    }
    lines = "".join(f"{time},u{n},i1,x\n" for n, time in enumerate(times))
    (tmp_path / "sales_20260301.csv").write_text("when,who,what,extra\n" + lines)
    yaml = tmp_path / "shop.yaml"
    yaml.write_text(GOOD.replace("datasets:", "timezone: Europe/Berlin\ndatasets:"))
    (check,) = check_source(spark, yaml, tmp_path)
    assert check.ok
    assert [row["event_time"].hour for row in check.rows] == [*times.values()]
    yaml.write_text(yaml.read_text().replace("event_time: when", "event_time: timestamp(when)"))
    (check,) = check_source(spark, yaml, tmp_path)
    assert [row["event_time"].hour for row in check.rows][:2] == [10, 10]


def test_a_source_check_says_what_maps_and_what_does_not(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Unmapped and unused columns, SQL that does not parse, mapped rows and refusals."""
    (tmp_path / "sales_20260301.csv").write_text(
        "when,who,what,extra\n2026-03-01 10:00:00,u1,i1,x\nyesterday,u2,i2,x\n"
    )
    yaml = tmp_path / "shop.yaml"
    yaml.write_text(GOOD)
    (check,) = check_source(spark, yaml, tmp_path)
    assert check.ok
    assert check.unused == ["extra"]
    assert "quantity" in check.unmapped
    assert check.rows == [
        {
            "event_time": dt.datetime(2026, 3, 1, 10),  # noqa: DTZ001 - as Spark collects it
            "event_type": "purchase",
            "user_id": "u1",
            "item_id": "i1",
        }
    ]
    assert check.outcomes == {"accepted": 1, "quarantined: event_time_unparsable": 1}
    yaml.write_text(GOOD.replace("item_id: what", "item_id: nosuch(what)"))
    (check,) = check_source(spark, yaml, tmp_path)
    assert not check.ok
    assert "map: item_id" in check.faults[0]
    assert any("FAULT" in line for line in check.lines())
