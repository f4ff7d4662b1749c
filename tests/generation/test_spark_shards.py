"""Shards made by Spark's workers are the single process's, byte for byte, whoever is killed."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from pipeline.errors import SettingsError, StorageError
from pipeline.generation import spark_shards
from pipeline.settings import load_settings
from tests.generation_shop import Shop, checksums, history, item


def test_spark_is_the_single_process(shop: Shop, spark: SparkSession) -> None:
    alone = shop.generate("alone")
    on_spark = shop.with_settings("generation", runner="spark")
    made = on_spark.generate("spark")
    assert checksums(made) == checksums(alone)
    same = {"seconds": 0, "users_per_s": 0}
    assert made.report | same == alone.report | same


def test_what_one_runner_began_the_other_finishes(shop: Shop, spark: SparkSession) -> None:
    alone = shop.generate("alone")
    begun = shop.night("R")
    begun.make_shard(1)
    before = begun.shards.path(begun.names[1]).stat().st_mtime_ns
    night = shop.with_settings("generation", runner="spark").night("R")
    spark_shards.make_on_spark(night, spark_shards.Progress("users", 30))
    assert all(night.shards.counts(name) is not None for name in night.names)
    assert night.shards.path(night.names[1]).stat().st_mtime_ns == before
    assert checksums(shop.generate("R")) == checksums(alone)


def test_a_worker_that_sees_another_lake_makes_nothing(shop: Shop) -> None:
    night = shop.night("R")
    told = spark_shards._Told(
        str(shop.lake.root), night.run, shop.settings, "of another lake", None
    )
    with pytest.raises(StorageError, match="finds other inputs"):
        spark_shards._make_one(told, 0)
    assert night.shards.counts(night.names[0]) is None


def test_a_shard_of_nobody_is_made_too(shop: Shop, spark: SparkSession) -> None:
    shop.put("histories", [history("a", [item(1)])])
    made = shop.with_settings("generation", runner="spark", shards=5).generate("spark")
    assert made.report["users"] == 1


def test_a_runner_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="must be 'process' or 'spark'"):
        load_settings(None, {"NIGHTCART_GENERATION__RUNNER": "cluster"})
