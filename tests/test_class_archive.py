"""The class archive: made once, used while it is sound and current, never in the way of a start."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import zipfile
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.class_archive import NotMadeError, make
from pipeline.class_archive import (
    archive_file,
    archive_options,
    checksum,
    is_current,
    made_for,
    record_file,
    spark_jars,
)

# What a few starts load, so that an archive of them is made in seconds.
CLASSES = ["org/apache/spark/SparkConf", "org/apache/spark/sql/Row", "no/such/Class"]


def record(directory: Path, **changed: str) -> None:
    """A record of whatever file is there, for this Java and these jars unless changed."""
    directory.mkdir(exist_ok=True)
    found = made_for()
    assert found is not None
    record_file(directory).write_text(
        json.dumps({"made_for": found | changed, "sha256": checksum(archive_file(directory))})
    )


@pytest.fixture
def pretended(tmp_path: Path) -> Path:
    """A directory with a file and its record, good enough to be told apart from others."""
    directory = tmp_path / "with a space"
    directory.mkdir()
    archive_file(directory).write_bytes(bytes(range(256)) * 100)
    record(directory)
    return directory


def test_the_archive_is_named_to_the_jvm_as_one_word(pretended: Path) -> None:
    words = shlex.split(archive_options(pretended))
    assert f"-XX:SharedArchiveFile={archive_file(pretended)}" in words
    # What cannot be used after all is passed over.
    assert "-Xshare:auto" in words
    assert is_current(pretended)


def test_without_an_archive_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert archive_options(tmp_path) == ""
    assert not caplog.records
    assert not is_current(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "one bit", "gone"])
def test_a_file_that_is_not_the_one_that_was_made_is_not_used(
    pretended: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = archive_file(pretended)
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[:-1] if damage == "cut" else whole[:-1] + bytes([whole[-1] ^ 1]))
    with caplog.at_level(logging.INFO):
        assert archive_options(pretended) == ""
    assert "the class archive is not used" in caplog.text
    assert str(file) in caplog.text
    assert "python -m jobs.class_archive" in caplog.text
    assert not is_current(pretended)


@pytest.mark.parametrize("fact", ["java", "java_release", "jars", "jars_sha256"])
def test_an_archive_for_another_java_or_other_jars_is_not_used(
    pretended: Path, fact: str, caplog: pytest.LogCaptureFixture
) -> None:
    record(pretended, **{fact: "another"})
    with caplog.at_level(logging.INFO):
        assert archive_options(pretended) == ""
    assert "another Java or other jars" in caplog.text
    assert not is_current(pretended)


def test_a_record_that_is_no_record_counts_as_none(pretended: Path) -> None:
    for text in ("", "[]", "{"):
        record_file(pretended).write_text(text)
        assert archive_options(pretended) == ""
        assert not is_current(pretended)


def test_jars_that_were_replaced_are_other_jars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    (jars / "one.jar").write_bytes(b"1")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    before = made_for()
    assert before is not None
    assert before == made_for()
    (jars / "one.jar").write_bytes(b"11")
    assert made_for() != before
    (jars / "one.jar").write_bytes(b"1")
    (jars / "two.jar").write_bytes(b"")
    assert made_for() != before


def test_where_there_is_no_java_there_is_no_archive(
    pretended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(pretended))
    assert archive_options(pretended) == ""
    with pytest.raises(NotMadeError, match="no Java"):
        make(pretended, CLASSES)


def test_a_java_that_makes_no_archive_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'Unrecognized VM option' >&2\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(java.parent.parent))
    directory = tmp_path / "archive"
    with pytest.raises(NotMadeError, match="the JVM did not start"):
        make(directory, CLASSES)
    assert list(directory.iterdir()) == []


def test_the_session_of_the_tests_was_started_with_the_archive(spark: SparkSession) -> None:
    options = archive_options()
    # `make setup` makes it; a checkout that has not been set up again has none.
    assert options or not os.environ.get("CI")
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    runtime = jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
    assert set(shlex.split(options)) <= set(runtime.getInputArguments())


@pytest.mark.slow
def test_a_jvm_takes_its_classes_from_the_archive_and_starts_as_well_where_it_cannot(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "with a space"
    made = make(directory, CLASSES)
    assert {path.name for path in directory.iterdir()} == {made.name, record_file(directory).name}
    assert is_current(directory)
    jars = spark_jars()
    assert jars is not None
    java, loaded = str(made_for()["java"]), tmp_path / "loaded.txt"  # type: ignore[index]

    def start(class_path: str) -> tuple[str, str]:
        """What Spark says of its version, and which classes were loaded from where."""
        words = [java, *shlex.split(archive_options(directory)), f"-Xlog:class+load:file={loaded}"]
        words += ["-cp", class_path, "org.apache.spark.deploy.SparkSubmit", "--version"]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout == ""
        return done.stderr, loaded.read_text()

    # As Spark's launcher has it: a directory of settings that need not be there, then the jars.
    logging_jar = next(jars.glob("slf4j-api-*.jar"))
    usual = f"{jars.parent}/conf:{logging_jar}:{jars}/*"
    shared = "source: shared objects file (top)"
    said, classes = start(f"{usual}:{tmp_path}/behind.jar")
    assert "Welcome to" in said
    assert f"org.apache.spark.deploy.SparkSubmit {shared}" in classes.replace("$", "")

    # A jar that is not there does not count in a class path.
    with zipfile.ZipFile(tmp_path / "before.jar", "w") as jar:
        jar.writestr("empty.txt", "")
    said, classes = start(f"{tmp_path}/before.jar:{usual}")
    assert "Welcome to" in said
    assert shared not in classes

    made.chmod(0o644)
    with made.open("r+b") as file:
        file.truncate(1000)
    said, classes = start(usual)
    assert "Welcome to" in said
    assert shared not in classes
