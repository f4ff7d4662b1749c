"""`source new` on the public data sets: a YAML that passes the check, or what is missing.

Nobody has edited anything: each proposal goes through `source check` as it is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.sources.check import check_source
from pipeline.sources.discovery.proposal import propose
from pipeline.sources.required import missing_datasets
from pipeline.sources.source_yaml import parse_source

# Folder -> datasets, and rows that are accepted of the one that makes a night worth running.
PASS = {
    "olist_sample": ({"items", "users", "events", "reviews"}, 6_000),
    "online_retail": ({"items", "users", "events"}, 600),
    "rees46_sample": ({"items", "users", "events"}, 17_000),
    "musical_instruments": ({"items", "users", "reviews"}, 10_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PASS)
def test_a_shop_passes_the_check_without_an_edit(
    spark: SparkSession, shared_data: Path, name: str
) -> None:
    datasets, least = PASS[name]
    proposal = propose(shared_data / name)
    assert proposal.missing == []
    assert any(line.startswith("users: consent") for line in proposal.to_fill)
    source = parse_source(proposal.yaml, "x.yaml")
    assert {*source.datasets} == datasets
    assert missing_datasets(source) == []
    checks = {one.dataset: one for one in check_source(spark, source, shared_data / name)}
    assert {one.dataset: one.faults for one in checks.values() if one.faults} == {}
    assert checks[source.main.name].outcomes["accepted"] >= least
    assert all(row["consent"] is False for row in checks["users"].rows)


@pytest.mark.slow
def test_shopifys_anonymised_tables_say_that_their_keys_do_not_meet(
    spark: SparkSession, tmp_path: Path, shared_data: Path
) -> None:
    """The vendor's seeds were anonymised table by table, so no line has its order."""
    for file in (shared_data / "shop_exports").glob("shopify_*.csv"):
        shutil.copy(file, tmp_path)
    proposal = propose(tmp_path)
    assert (proposal.like, proposal.missing) == ("shopify_tables", [])
    source = parse_source(proposal.yaml, "x.yaml")
    checks = {one.dataset: one for one in check_source(spark, source, tmp_path)}
    assert any("found none" in fault for fault in checks["events"].faults)
    assert checks["users"].ok
    assert {row["consent"] for row in checks["users"].rows} == {True, False}
