"""The class archive of this environment: Spark's classes, loaded and checked before a start.

HotSpot can write the classes that it has loaded to a file and map that file at the next start
(class-data sharing). `jobs.class_archive` makes the file, once for each environment; here is where
it lies and whether it may be used. Without it a start is slower and nothing else differs.

The archive lies in the environment itself (`<sys.prefix>/var/nightcart`), as compiled Python files
do: who may write there may change the code as well. A record beside it says what it was made for
and its SHA-256. HotSpot 17 refuses an archive of other jars or another Java by itself, but it
aborts on one that is cut short, so nothing is given to it that is not the file that was made.
Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.java import java_program

log = logging.getLogger("nightcart")

# How to make it again.
COMMAND = "python -m jobs.class_archive"
# What HotSpot has to say about an archive goes where its other warnings go: to stderr.
_WARNINGS_TO_STDERR = "-Xlog:disable -Xlog:all=warning:stderr"


def archive_directory() -> Path:
    """Where this environment's archive and its record lie."""
    return Path(sys.prefix) / "var" / "nightcart"


def archive_file(directory: Path) -> Path:
    """The archive."""
    return directory / "spark_classes.jsa"


def record_file(directory: Path) -> Path:
    """What the archive was made for, and its SHA-256."""
    return directory / "spark_classes.json"


def archive_options(directory: Path | None = None) -> str:
    """The options that let a JVM with Spark's jars use the archive; empty if none may be used."""
    directory = directory or archive_directory()
    if not (record := _read_record(directory)):
        log.debug("no class archive in %s", directory)
        return ""
    if problem := _problem(directory, record):
        log.info("the class archive is not used: %s (`%s` makes it again)", problem, COMMAND)
        return ""
    file = shlex.quote(str(archive_file(directory)))
    return f"-Xshare:auto -XX:SharedArchiveFile={file} {_WARNINGS_TO_STDERR}"


def is_current(directory: Path) -> bool:
    """Whether the directory holds an archive for this Java and these jars."""
    record = _read_record(directory)
    return bool(record) and not _problem(directory, record)


def made_for() -> dict[str, str] | None:
    """The Java and the jars that Spark starts with; none if one of them is missing."""
    java, jars = java_program(), spark_jars()
    if java is None or jars is None:
        return None
    release = java.parent.parent / "release"
    listed = hashlib.sha256()
    for jar in sorted(jars.glob("*.jar")):
        facts = jar.stat()
        # Whole seconds are what HotSpot compares; layers of images keep no more.
        listed.update(f"{jar.name} {facts.st_size} {int(facts.st_mtime)}\n".encode())
    return {
        "java": str(java),
        "java_release": release.read_text(encoding="utf-8") if release.is_file() else "",
        "jars": str(jars),
        "jars_sha256": listed.hexdigest(),
    }


def spark_jars() -> Path | None:
    """The directory of Spark's jars, found as Spark's own scripts find it."""
    home = os.environ.get("SPARK_HOME")
    if not home:
        spec = find_spec("pyspark")
        if spec is None or not spec.submodule_search_locations:
            return None
        home = spec.submodule_search_locations[0]
    jars = Path(home).resolve() / "jars"
    return jars if jars.is_dir() else None


def checksum(file: Path) -> str:
    """The file's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read_record(directory: Path) -> dict[str, Any]:
    try:
        record = json.loads(record_file(directory).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _problem(directory: Path, record: dict[str, Any]) -> str:
    """Why the archive may not be used; empty if it may."""
    if record.get("made_for") != made_for():
        return "it was made for another Java or other jars"
    file = archive_file(directory)
    try:
        if checksum(file) != record.get("sha256"):
            return f"{file} is not the file that was made"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    return ""
