"""The one way a Spark session is opened, for jobs and for tests."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.settings import Spark

LOG_SETTINGS = Path(__file__).with_name("spark_log4j2.properties")
# Hadoop's local file system without a process for each file (SparkLocalFiles.java).
LOCAL_FILES = Path(__file__).with_name("spark_local_files.jar")

# HotSpot's first compiler only. On a small night most processor time went into its second one,
# whose code had hardly run when the session ended. Alone it is given 48 MB for code; the cleaning
# of one night of 1,570 days filled 41, and beyond it HotSpot throws code away and interprets.
_QUICK_START = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"


def open_spark(settings: Spark, name: str) -> SparkSession:
    """Open (or reuse) a session with the settings that every stage relies on.

    The session zone is UTC: instants are stored as they are and a shop's calendar day is always
    computed with its zone spelled out. ANSI mode stays on, so that a cast that fails says so;
    source expressions use `try_cast` and `try_to_timestamp` where a null is meant.

    A job that `spark-submit` started runs where that was told to run it: its master and memory
    are taken, and those of the settings are not.
    """
    # py4j reports every connection that it closes.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    # Worker processes would otherwise start whichever python3 is first on the PATH.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join(
        dict.fromkeys([str(Path(__file__).resolve().parent.parent), *_existing_python_path()])
    )
    builder = SparkSession.builder.appName(f"nightcart {name}")
    if _is_submitted():
        builder = builder.config("spark.log.level", "ERROR")
    else:
        # All of them are read when the JVM starts, which under spark-submit is long ago.
        builder = (
            builder.master(settings.master)
            .config("spark.driver.memory", settings.driver_memory)
            .config("spark.driver.defaultJavaOptions", _java_options(settings))
        )
        if re.match(r"local(\[|$)", settings.master):
            # Executors elsewhere would not have the class.
            builder = builder.config("spark.driver.extraClassPath", str(LOCAL_FILES)).config(
                "spark.hadoop.fs.file.impl", "nightcart.SparkLocalFiles"
            )
    return (
        builder.config("spark.sql.shuffle.partitions", settings.shuffle_partitions)
        # A night's cleaning has 151 generated classes, and Spark keeps 100: the next night of the
        # session would compile all of them again, and HotSpot after it.
        .config("spark.sql.codegen.cache.maxEntries", 2000)
        # Else each column that is built asks Python's stack and the JVM where it was: half of all
        # calls to the JVM, for a line in errors of Spark that we word ourselves.
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.csv.parser.columnPruning.enabled", "false")
        # Retailers' files come in windows-1252 and many others; bytes that are none of its text
        # become U+FFFD, as they do in UTF-8, and fail nothing.
        .config("spark.sql.legacy.javaCharsets", "true")
        .config("spark.sql.legacy.codingErrorAction", "true")
        .config("spark.sql.parquet.compression.codec", "zstd")
        # "1.50" in JSON is read as "1.5" by one of Spark's ways to read it and not by the other.
        .config("spark.sql.json.enableExactStringParsing", "false")
        # Spark's default, INT96, has no zone and is read by Arrow as naive nanoseconds.
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .config("spark.sql.warehouse.dir", _warehouse())
        .config("spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )


def _java_options(settings: Spark) -> str:
    """What the driver's JVM is started with, beside its memory."""
    quick = f"{_QUICK_START} " if settings.quick_start else ""
    return f"{quick}-Dlog4j2.configurationFile={LOG_SETTINGS.as_uri()}"


def _is_submitted() -> bool:
    """Whether `spark-submit` started this process; its JVM then waits at this port."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


@functools.cache
def _warehouse() -> str:
    """A directory for tables, which we have none of: Spark makes one in the working directory."""
    directory = tempfile.mkdtemp(prefix="nightcart-warehouse-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _existing_python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
