"""Jars of drivers and of table formats, given to a Spark session that is open already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.errors import SettingsError


def with_jars(spark: SparkSession, jars: Sequence[str]) -> SparkSession:
    """The session, whose driver and workers know the classes of the jars.

    Raises:
        SettingsError: a jar is not there.
    """
    for jar in jars:
        if not Path(jar).is_file():
            raise SettingsError(f"spark.jars: {jar} does not exist; correct the settings")
        spark.sql("ADD JAR '" + jar.replace("\\", "\\\\").replace("'", "\\'") + "'")
    return spark
