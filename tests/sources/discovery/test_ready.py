"""Ready mappings: made to fit files, recognised by them, and what they make of each row."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from pipeline.errors import SettingsError
from pipeline.sources.check import DatasetCheck, check_source
from pipeline.sources.discovery.proposal import propose
from pipeline.sources.discovery.ready import PLATFORMS, made_to_fit, ready_mappings
from pipeline.sources.source_yaml import parse_source
from tests.sources.discovery import platform_samples as samples

# Platform -> its accepted events (type, user, item, quantity, price), and who agrees.
EXPECTED: dict[str, tuple[set[tuple[Any, ...]], dict[str, bool]]] = {
    "shopify_orders": (
        {
            ("purchase", "ann@x.test", "M-1", 2, 9.5),
            ("purchase", "ann@x.test", "Blue Mug", 1, 8.0),
            ("purchase", "bob@x.test", "M-1", 1, None),
        },
        {"ann@x.test": True, "bob@x.test": False},
    ),
    "shopify_tables": ({("purchase", "100", "10", 2, 10.0)}, {"100": True, "101": False}),
    "woocommerce": (
        {("purchase", "3", "20", 2, 4.5), ("return", "3", "20", 1, 4.5)},
        {"3": False},
    ),
    "ga4_flat": (
        {
            ("view", "p1", "a", None, 4.5),
            ("wishlist", "p1", "a", None, 4.5),
            ("purchase", "u1", "a", 2, 4.5),
            ("search", "p1", None, None, None),
        },
        {"p1": False, "u1": False},
    ),
    "ga4_export": (
        {
            ("view", "p1", "a", None, 4.5),
            ("wishlist", "p1", "a", None, 4.5),
            ("purchase", "u1", "a", None, 4.5),
            ("purchase", "u1", "b", 2, 3.0),
            ("search", "p1", None, None, None),
        },
        {"p1": False, "u1": False},
    ),
    "segment": (
        {
            ("view", "anon", "a", 1, 4.5),
            ("wishlist", "u1", "a", 1, 4.5),
            ("cart", "u1", "a", 1, 4.5),
            ("purchase", "u1", "a", 1, 4.5),
            ("purchase", "u1", "b", 1, 4.5),
            ("search", "u1", None, None, None),
        },
        {"anon": False, "u1": False},
    ),
    "snowplow": (
        {
            ("view", "d1", "a", None, 4.5),
            ("purchase", "d1", "a", None, 4.5),
            ("purchase", "d1", "b", None, 4.5),
            ("purchase", "d1", "c", 3, None),
        },
        {"d1": False},
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_platforms_rows_become(spark: SparkSession, tmp_path: Path, name: str) -> None:
    """Recognised by its columns, and each row comes out as what it is."""
    getattr(samples, name)(tmp_path)
    proposal = propose(tmp_path)
    assert (proposal.like, proposal.missing) == (name, [])
    source = parse_source(proposal.yaml, "x.yaml")
    checks = {one.dataset: one for one in check_source(spark, source, tmp_path)}
    assert {one.dataset: one.faults for one in checks.values() if one.faults} == {}
    names = ("event_type", "user_id", "item_id", "quantity", "price")
    events = {tuple(row.get(column) for column in names) for row in checks["events"].rows}
    agreed = {row["user_id"]: row["consent"] for row in checks["users"].rows}
    assert (events, agreed) == EXPECTED[name]
    assert checks["events"].outcomes["accepted"] == len(EXPECTED[name][0])


def checked(spark: SparkSession, folder: Path) -> tuple[Any, dict[str, DatasetCheck]]:
    proposal = propose(folder)
    source = parse_source(proposal.yaml, "x.yaml")
    return proposal, {one.dataset: one for one in check_source(spark, source, folder)}


def test_magentos_own_reviews(spark: SparkSession, tmp_path: Path, shared_data: Path) -> None:
    shutil.copy(shared_data / "shop_exports/magento_products_reviews.csv", tmp_path)
    proposal, checks = checked(spark, tmp_path)
    assert proposal.like == "magento_reviews"
    assert "review_time" in proposal.to_fill[0]
    reviews = checks["reviews"]
    assert (reviews.faults, reviews.warnings) == ([], [])
    assert sum(reviews.outcomes.values()) > 300


def test_what_files_lack_is_left_out_or_missing(tmp_path: Path) -> None:
    """An optional column takes its line with it; beside others it is read as none."""
    samples.shopify_tables(tmp_path)
    text = (tmp_path / "product_data.csv").read_text().replace("vendor", "maker")
    (tmp_path / "product_data.csv").write_text(text.replace("_fivetran_deleted", "deleted"))
    text = (tmp_path / "customer_data.csv").read_text()
    (tmp_path / "customer_data.csv").write_text(
        text.replace("email_marketing_consent_state", "email_state")
    )
    proposal = propose(tmp_path, like="shopify")
    made = yaml.safe_load(proposal.yaml)["datasets"]
    assert "brand" not in made["items"]["map"]
    assert "CAST(NULL AS string)" in made["items"]["map"]["listed"]
    assert "# brand: vendor    # not in your files: vendor" in proposal.yaml
    assert proposal.missing == ["users: consent: your files have no email_marketing_consent_state"]


def test_columns_beyond_the_mapping_are_named_and_formats_follow_the_files(tmp_path: Path) -> None:
    samples.woocommerce(tmp_path)
    path = tmp_path / "wp_wc_customer_lookup.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"{line.replace(',', ';')};x" for line in lines))
    proposal = propose(tmp_path, timezone="Europe/Berlin", consent="email LIKE '%@x.test'")
    source = parse_source(proposal.yaml, "x.yaml")
    assert source.timezone == "Europe/Berlin"
    users = source.datasets["users"]
    assert users.options == {"delimiter": ";"}
    assert users.columns[-1] == "x"
    assert users.mapping["consent"] == "email LIKE '%@x.test'"
    assert proposal.to_fill == []


def test_an_unknown_mapping_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'shopify'"):
        made_to_fit("shoppify", [])
    assert set(ready_mappings()) == {*PLATFORMS}


def test_with_no_file_of_a_platform_it_is_said_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    assert [line.split(":")[0] for line in propose(tmp_path, like="woocommerce").missing] == [
        "items",
        "users",
        "events",
    ]
