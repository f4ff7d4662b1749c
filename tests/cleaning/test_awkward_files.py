"""Files as retailers deliver them, drawn from public bug reports: what becomes of every row."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.errors import ContractError
from pipeline.lake import Lake, Run
from pipeline.settings import Settings
from pipeline.sources.source_yaml import load_source

NIGHT = dt.date(2026, 3, 1)
WHOLE = Counter({"accepted": 12})

# Folder -> dataset, and what becomes of its rows.
FOLDERS: dict[str, tuple[str, Counter[str]]] = {
    "03a_mixed_eol_multiline_header_lf": ("events", WHOLE),
    "03b_mixed_eol_multiline_header_crlf": ("events", WHOLE),
    "03c_mixed_eol_half": ("events", WHOLE),
    "05a_nanos_utc": ("events", WHOLE),
    "05b_nanos_naive": ("events", WHOLE),
    "06f_review_year0": ("reviews", Counter({"accepted": 1, "review_time_too_old": 1})),
    "06i_review_year1_la": ("reviews", Counter({"accepted": 1, "review_time_too_old": 1})),
    "06j_dump_year0": ("events", WHOLE + Counter({"undated": 1})),
    "06k_dump_year1": ("events", WHOLE + Counter({"undated": 3})),
    "10b_dec76": ("events", WHOLE),
    "10d_float16": ("events", WHOLE),
    "10h_time": ("events", Counter({"price_unparsable": 12})),
    "10k_uuid": ("events", WHOLE),
    "10u_empty_parquet_and_temporary": ("events", WHOLE),
    "10v_stale_crc": ("events", WHOLE),
    "11l_malformed_nested_plain": (
        "events",
        WHOLE + Counter({"duplicate": 108, "unreadable_line": 15}),
    ),
    "11n_malformed_nested_keys": (
        "events",
        WHOLE + Counter({"duplicate": 108, "unreadable_line": 10}),
    ),
    "12j_blank_multi": ("events", WHOLE),
    "own_check_all_quarantined": ("events", Counter({"accepted": 2})),
    # A snapshot: the second day finds the file as it was.
    "own_identical_users": ("users", Counter({"accepted": 1, "duplicate": 1, "unchanged": 2})),
}


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_row_is_accounted_for(
    spark: SparkSession, settings: Settings, lake: Lake, shared_data: Path, folder: str
) -> None:
    """Rows in = accepted + quarantined + removed, under the reasons that the folder asks for."""
    given = shared_data / "awkward_files" / folder
    raw = Path(settings.paths.raw)
    shutil.copytree(given / "raw" if (given / "raw").is_dir() else given, raw)
    (yaml,) = given.glob("*.yaml")
    zone = "America/Los_Angeles" if folder.endswith("_la") else "UTC"
    shop = dataclasses.replace(settings.shop, source=str(yaml), timezone=zone)
    night = clean_night(spark, dataclasses.replace(settings, shop=shop), lake, Run(NIGHT, "r"))
    dataset, expected = FOLDERS[folder]
    found: Counter[str] = Counter()
    for line in night.lines:
        assert line.unaccounted == 0
        if line.dataset == dataset:
            found.update({"accepted": line.rows_out}, **line.quarantined, **line.removed)
    assert +found == expected
    if dataset == "events":
        items = {
            item
            for day in lake.dates("cleaned_events")
            for file in lake.require("cleaned_events", day).files
            for item in pq.ParquetFile(file).read(["item_id"]).column(0).to_pylist()
        }
        assert items <= {"i0", "i1", "i2", "a", "b"}


@pytest.mark.parametrize("folder", ["07_csv_case_collision", "07_parquet_case_collision"])
def test_one_name_in_two_cases_is_refused(shared_data: Path, folder: str) -> None:
    with pytest.raises(ContractError, match="'userId' and 'userid' differ in case only"):
        load_source(shared_data / "awkward_files" / folder / "my.yaml")
