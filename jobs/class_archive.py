"""Make this environment's class archive, so that Spark's JVMs start faster.

Starts a JVM as Spark does, has it load every class named in pipeline/spark_classes.txt.gz, and has
HotSpot write them to an archive as it ends (Java 17 or newer). A second JVM must start with the
archive before it is put in place. An archive that is current is kept. Where none can be made, one
line says why and the exit code is 0: everything works without it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.class_archive import (
    archive_directory,
    archive_file,
    checksum,
    is_current,
    made_for,
    record_file,
)

log = logging.getLogger("nightcart")

# Recorded by scripts/spark_classes.sh. Names that a jar does not have are passed over.
CLASSES = Path(__file__).resolve().parents[1] / "pipeline" / "spark_classes.txt.gz"
END_SECONDS = 300.0


class NotMadeError(Exception):
    """No archive can be made here; the message says why."""


def make(directory: Path, classes: list[str]) -> Path:
    """Make the archive of these classes in the directory; returns it.

    Raises:
        NotMadeError: the JVM cannot, or the disk cannot hold it.
    """
    wanted = made_for()
    if wanted is None:
        raise NotMadeError("there is no Java, or there are no jars of Spark")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix="making-") as aside:
            made = archive_file(Path(aside))
            quoted = shlex.quote(str(made))
            with _Jvm(f"-XX:ArchiveClassesAtExit={quoted}", Path(aside)) as gateway:
                _load(gateway, classes)
            if not made.is_file():
                raise NotMadeError("this Java writes no archive")
            # `on`: where the archive cannot be used, this start fails.
            with _Jvm(f"-Xshare:on -XX:SharedArchiveFile={quoted}", Path(aside)):
                pass
            record = record_file(Path(aside))
            record.write_text(json.dumps({"made_for": wanted, "sha256": checksum(made)}))
            durable.sync_files([made, record])
            durable.rename(made, archive_file(directory))
            durable.rename(record, record_file(directory))
    except OSError as error:
        raise NotMadeError(f"{error.strerror or error}: {error.filename or directory}") from error
    return archive_file(directory)


class _Jvm:
    """A JVM started by Spark's own scripts, without a session; it must end well."""

    def __init__(self, options: str, scratch: Path) -> None:
        self._options = options
        self._output = scratch / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Any:
        # Imported here: `make setup` asks each time, and an archive that is current needs neither.
        from pyspark import SparkConf
        from pyspark.errors import PySparkException
        from pyspark.java_gateway import launch_gateway

        conf = SparkConf(loadDefaults=False)
        # `-Xlog:disable`: hundreds of classes cannot be archived, and HotSpot names each.
        conf.set(
            "spark.driver.defaultJavaOptions",
            f"-XX:TieredStopAtLevel=1 -Xlog:disable {self._options}",
        )
        conf.set("spark.driver.memory", "1g")
        with self._output.open("wb") as output:
            try:
                gateway = launch_gateway(  # type: ignore[no-untyped-call]
                    conf, {"stdout": output, "stderr": subprocess.STDOUT}
                )
            except PySparkException:
                raise NotMadeError(self._last_words()) from None
        self._process = gateway.proc
        return gateway

    def __exit__(self, *_error: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()  # the JVM ends when nobody can write to it
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise NotMadeError(f"the JVM did not end within {END_SECONDS:.0f} s") from None
        if code:
            raise NotMadeError(self._last_words())

    def _last_words(self) -> str:
        lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"the JVM did not start: {lines[-1] if lines else 'it said nothing'}"


def _load(gateway: Any, classes: list[str]) -> None:
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]

    jvm = gateway.jvm
    loader = jvm.java.lang.ClassLoader.getSystemClassLoader()
    load = jvm.java.lang.Class.forName  # looked up once: each part of the name is a question
    for name in classes:
        try:
            load(name.replace("/", "."), False, loader)
        except Py4JError:
            continue


def main(argv: list[str] | None = None) -> int:
    """The process's entry."""
    parser = argparse.ArgumentParser(prog="python -m jobs.class_archive", description=__doc__)
    parser.add_argument("--again", action="store_true", help="although there is a current one")
    again = parser.parse_args(argv).again
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    directory = archive_directory()
    if not again and is_current(directory):
        return 0
    log.info("making the class archive of Spark's JVMs (once for this environment)")
    try:
        made = make(directory, gzip.decompress(CLASSES.read_bytes()).decode().splitlines())
    except NotMadeError as error:
        log.info("no class archive was made, so each start of Spark loads its classes: %s", error)
        return 0
    log.info("%s: %.0f MB", made, made.stat().st_size / 1e6)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
