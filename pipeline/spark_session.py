"""The one way a Spark session is opened, for jobs and for tests."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from pyspark import SparkConf, SparkContext
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from pipeline import file_modes
from pipeline.class_archive import archive_options
from pipeline.encryption.keyring import in_use
from pipeline.errors import SettingsError, StartError
from pipeline.java import check_java
from pipeline.night_jvm import claim, give_back
from pipeline.open_files import explain_too_few
from pipeline.settings import Spark
from pipeline.spark_network import (
    LOCAL,
    SECRET_VARIABLE,
    is_local,
    missing_options,
    network_options,
)
from pipeline.spark_scratch import claim_scratch, release_scratch

LOG_SETTINGS = Path(__file__).with_name("spark_log4j2.properties")
# Classes of ours for the JVM: pipeline/*.java.
EXTRAS = Path(__file__).with_name("spark_extras.jar")

# HotSpot's first compiler only. On a small night most processor time went into its second one,
# whose code had hardly run when the session ended. Alone it is given 48 MB for code; the cleaning
# of one night of 1,570 days filled 41, and beyond it HotSpot throws code away and interprets.
_QUICK_START = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"


def open_spark(settings: Spark, name: str, scratch: Path | None = None) -> SparkSession:
    """Open (or reuse) a session with the settings that every stage relies on.

    The session zone is UTC: instants are stored as they are and a shop's calendar day is always
    computed with its zone spelled out. ANSI mode stays on, so that a cast that fails says so;
    source expressions use `try_cast` and `try_to_timestamp` where a null is meant.

    A job that `spark-submit` started runs where that was told to run it: its master and memory
    are taken, and those of the settings are not.

    Args:
        name: of the application, for people.
        scratch: below which Spark may spill; by default below the system's temporary directory.

    Raises:
        SettingsError: there is no Java here that Spark runs on, or the master is a cluster whose
            processes do not prove who they are.
        StorageError: this process may not open as many files as Spark needs to start, or there is
            no room for a scratch directory.
        StartError: Spark did not start for another reason, such as a master that is not there.
    """
    # py4j reports every connection that it closes.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    # Prints each error of a query in full, with the value that it failed on; we word them.
    for each in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(each).disabled = True
    builder = SparkSession.builder.appName(f"nightcart {name}")
    if _is_submitted():
        # A master that `spark-submit` was told is known once pyspark has reached its JVM. What a
        # cluster's processes must prove is for whoever submits: here it would come too late.
        SparkContext._ensure_initialized()
        if is_local(SparkConf().get("spark.master", settings.master) or ""):
            for key, value in LOCAL.items():
                builder = builder.config(key, value)
        builder = builder.config("spark.log.level", "ERROR")
        builder = builder.config("spark.sql.warehouse.dir", _warehouse())
    else:
        check_java()
        builder = builder.master(settings.master)
        if SparkContext._gateway is None and not _attach_to_the_nights_jvm(settings):
            ours = claim_scratch(scratch or temporary_scratch())
            atexit.register(_end_jvm, ours)
            os.environ.update(start_environment(os.environ))
            options = launch_options(settings, ours)
            _start_jvm(options)
            for key, value in options.items():
                builder = builder.config(key, value)
    os.environ.update(start_environment(os.environ))
    if SECRET_VARIABLE in os.environ:
        # Only now that the JVM runs: what it is started with can be read by everybody.
        builder = builder.config("spark.authenticate.secret", os.environ[SECRET_VARIABLE])
    builder = (
        builder.config("spark.sql.shuffle.partitions", settings.shuffle_partitions)
        # A night's cleaning has 151 generated classes, and Spark keeps 100: the next night of the
        # session would compile all of them again, and HotSpot after it.
        .config("spark.sql.codegen.cache.maxEntries", 2000)
        # Else each column that is built asks Python's stack and the JVM where it was: half of all
        # calls to the JVM, for a line in errors of Spark that we word ourselves.
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")
        # The optimizer would infer conditions from all rules of a contract: 60 % of the processor
        # time of a small day's cleaning. What it gives up: nulls in keys of joins are not skipped
        # before the join.
        .config("spark.sql.constraintPropagation.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        # Else '${env:HOME}' in any SQL is the environment's value before the SQL is parsed.
        .config("spark.sql.variable.substitute", "false")
        .config("spark.sql.csv.parser.columnPruning.enabled", "false")
        # Retailers' files come in windows-1252 and many others; bytes that are none of its text
        # become U+FFFD, as they do in UTF-8, and fail nothing.
        .config("spark.sql.legacy.javaCharsets", "true")
        .config("spark.sql.legacy.codingErrorAction", "true")
        .config("spark.sql.parquet.compression.codec", "zstd")
        # "1.50" in JSON is read as "1.5" by one of Spark's ways to read it and not by the other.
        .config("spark.sql.json.enableExactStringParsing", "false")
        # Else a line with a fault inside a nested value is a row with the values of that one.
        .config("spark.sql.json.enablePartialResults", "false")
        # Spark's default, INT96, has no zone and is read by Arrow as naive nanoseconds.
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        # Hadoop gives its files modes of its own, whatever the umask of the process.
        .config("spark.hadoop.fs.permissions.umask-mode", f"{file_modes.umask():03o}")
        .config("spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        .config("spark.ui.enabled", "false")
        # Kept in the heap for pages that nobody can open, a thousand queries with their plans.
        .config("spark.sql.ui.retainedExecutions", 10)
        .config("spark.ui.retainedJobs", 100)
        .config("spark.ui.retainedStages", 100)
        .config("spark.ui.showConsoleProgress", "false")
    )
    if keyring := in_use():
        for key, value in keyring.spark_options().items():
            builder = builder.config(key, value)
        if keyring.writes:
            builder = builder.config("spark.io.encryption.enabled", "true")  # what it spills
    try:
        session = builder.getOrCreate()
    except Exception as error:
        _explain_start(error)
    _refuse_an_open_network(session)
    _bring_extras(session)
    return session


def _start_jvm(options: Mapping[str, str]) -> None:
    """Start this process's JVM.

    Raises:
        StorageError: this process may not open as many files as Spark needs to start.
        StartError: it did not start for another reason.
    """
    conf = SparkConf(loadDefaults=False).setAll(list(options.items()))
    try:
        SparkContext._ensure_initialized(conf=conf)
    except Exception as error:
        _explain_start(error)


def _explain_start(error: Exception) -> NoReturn:
    explain_too_few("Spark did not start", error)
    # Py4J's first line says only what it called. Nothing of the data is in the others yet.
    lines = [line.strip(" :") for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if "Exception: " in line), [*lines, ""][0])
    raise StartError(f"Spark did not start: {said[:400]}") from error


def launch_options(settings: Spark, scratch: Path) -> dict[str, str]:
    """What a JVM for these settings is started with, as options of Spark.

    All of them are read when the JVM starts, which under spark-submit is long ago.

    Args:
        scratch: the JVM's own directory, for all that it keeps beside its results.
    """
    temporary = f"-Djava.io.tmpdir={shlex.quote(str(scratch))} -XX:-UsePerfData"
    java = f"{java_options(settings)} {temporary} {archive_options()}"
    options = {
        "spark.master": settings.master,
        "spark.driver.memory": settings.driver_memory,
        "spark.driver.defaultJavaOptions": java.strip(),
        "spark.local.dir": str(scratch),
        # For tables, which we have none of: Spark makes it in the working directory.
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
    }
    options |= network_options(settings.master)
    if is_local(settings.master):
        options["spark.hadoop.fs.file.impl"] = "nightcart.SparkLocalFiles"
    return options


def jvm_options(settings: Spark) -> str:
    """Tells JVMs apart: sessions of settings with the same text can follow each other in one."""
    return f"{settings.master} {settings.driver_memory} {java_options(settings)}"


def start_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that a JVM and Python's workers are started in."""
    root = str(Path(__file__).resolve().parent.parent)
    changed = {
        **environ,
        # Worker processes would otherwise start whichever python3 is first on the PATH.
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": _joined(root, *_parts(environ.get("PYTHONPATH", ""))),
    }
    # Behind Spark's own jars: the class archive is for a class path that begins with them.
    jars = _parts(environ.get("SPARK_DIST_CLASSPATH", ""))
    changed["SPARK_DIST_CLASSPATH"] = _joined(*jars, str(EXTRAS))
    return changed


def java_options(settings: Spark) -> str:
    """What the driver's JVM is started with, beside its memory."""
    quick = f"{_QUICK_START} " if settings.quick_start else ""
    return f"{quick}-Dlog4j2.configurationFile={LOG_SETTINGS.as_uri()}"


def _attach_to_the_nights_jvm(settings: Spark) -> bool:
    """Have pyspark use the JVM that the night's Spark stages share; false if there is none."""
    claimed = claim(jvm_options(settings), os.environ)
    if claimed is None:
        return False
    jvm, file = claimed
    os.environ["PYSPARK_GATEWAY_PORT"] = str(jvm.port)
    os.environ["PYSPARK_GATEWAY_SECRET"] = jvm.secret
    try:
        SparkContext._ensure_initialized()
    finally:
        # Else this session would be taken for one that `spark-submit` started.
        del os.environ["PYSPARK_GATEWAY_PORT"], os.environ["PYSPARK_GATEWAY_SECRET"]
    atexit.register(_leave, file)
    return True


def _leave(file: Path) -> None:
    """Stop the session, and let the next stage have the JVM."""
    session = SparkSession.getActiveSession()
    if session is not None:
        jvm = session.sparkContext._jvm
        session.stop()
        # What is free goes back to the system: the next stage may be the training.
        if jvm is not None:
            jvm.System.gc()
    give_back(file)


def _refuse_an_open_network(session: SparkSession) -> None:
    """Stop before the first row is read where anybody on the network could read along.

    Raises:
        SettingsError: the master is a cluster, and its processes do not prove who they are.
    """
    context = session.sparkContext
    missing = missing_options(context.master or "", dict(context.getConf().getAll()))
    if missing:
        session.stop()
        raise SettingsError(
            f"the Spark master {context.master} is a cluster, and rows and the key of the "
            f"pseudonyms would cross its network for all to read; start the job with "
            f"{', '.join(missing)}, and a standalone cluster with the same and a secret "
            "(docs/runbook.md)"
        )


def _bring_extras(session: SparkSession) -> None:
    """Have our classes in the executors of a cluster, and in a driver that `spark-submit` made."""
    context = session.sparkContext
    jvm = context._jvm
    assert jvm is not None
    jar = jvm.java.io.File(str(EXTRAS)).toURI()
    if not is_local(context.master or ""):
        context._jsc.sc().addJar(jar.toString())
    if _is_submitted():
        jvm.java.lang.Thread.currentThread().getContextClassLoader().addURL(jar.toURL())


def _is_submitted() -> bool:
    """Whether `spark-submit` started this process; its JVM then waits at this port."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def temporary_scratch() -> Path:
    """Where scratch lies that belongs to no lake."""
    return Path(tempfile.gettempdir()) / f"nightcart-spark-{os.getuid()}"


def _end_jvm(scratch: Path) -> None:
    """End this process's JVM and remove what it kept."""
    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()
    process = getattr(SparkContext._gateway, "proc", None)
    if process is not None:
        process.kill()
        process.wait()
    release_scratch(scratch)


@functools.cache
def _warehouse() -> str:
    """A directory for tables of a JVM that `spark-submit` started."""
    directory = tempfile.mkdtemp(prefix="nightcart-warehouse-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _parts(path: str) -> list[str]:
    """The parts of a search path."""
    return [part for part in path.split(os.pathsep) if part]


def _joined(*parts: str) -> str:
    """A search path that names each part once."""
    return os.pathsep.join(dict.fromkeys(parts))
