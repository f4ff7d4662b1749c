"""The key file, and the pseudonym in Python and in Spark."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.rows.pseudonym_column import pseudonym_column
from pipeline.error_words import key_fault
from pipeline.errors import SettingsError
from pipeline.pseudonym import pseudonym, read_or_make_key
from tests.key_files import key_file

# A lone surrogate is no text: no UTF-8 file can hold one.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(ids=st.lists(TEXT, min_size=1, max_size=40), key=st.binary(min_size=1, max_size=150))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_spark_and_the_standard_library_agree(
    spark: SparkSession, ids: list[str], key: bytes
) -> None:
    """Any id in any script, any key length: shorter and longer than a block of SHA-256."""
    key = key.strip() or b"k"  # as the file is read
    frame = spark.createDataFrame([(text,) for text in ids], "id string")
    with TemporaryDirectory() as directory:
        file = key_file(Path(directory), key)
        found = [row[0] for row in frame.select(pseudonym_column(F.col("id"), file)).collect()]
    assert found == [hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32] for text in ids]
    assert found == [pseudonym(text, key) for text in ids]


def test_a_missing_id_has_no_pseudonym(spark: SparkSession, tmp_path: Path) -> None:
    """A null stays a null, for the contract's rule to name."""
    frame = spark.createDataFrame([(None,)], "id string")
    key = key_file(tmp_path, b"k" * 32)
    assert frame.select(pseudonym_column(F.col("id"), key)).first()[0] is None


def test_the_key_is_in_no_plan_and_no_closure(spark: SparkSession, tmp_path: Path) -> None:
    """Nor in what Spark sends to its tasks: the whole of the plan's objects, as Java writes them.

    `spark.range` cannot be folded while the plan is made: the hash is left to a task.
    """
    key = b"0123456789abcdef" * 4
    frame = spark.range(3).select(
        pseudonym_column(F.col("id").cast("string"), key_file(tmp_path, key)).alias("user")
    )
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    execution = frame._jdf.queryExecution()
    said = execution.toString() + execution.executedPlan().treeString()
    for line in jvm.org.apache.spark.sql.execution.debug.package.codegenStringSeq(
        execution.executedPlan()
    ).mkString():
        said += line
    stream = jvm.java.io.ByteArrayOutputStream()
    jvm.java.io.ObjectOutputStream(stream).writeObject(execution.executedPlan())
    sent = bytes(stream.toByteArray())
    assert b"pseudonym" in sent  # the function is there
    pads = [bytes(byte ^ pad for byte in key) for pad in (0x36, 0x5C)]
    for secret in (key, key.hex().encode(), base64.b64encode(key), *pads):
        assert secret not in sent
        assert secret not in said.encode()
    assert [row[0] for row in frame.collect()] == [pseudonym(text, key) for text in "012"]


@pytest.mark.parametrize(
    ("how", "said"),
    [("gone", "cannot be read; each machine"), ("another", "holds another key than the lake")],
)
def test_a_machine_without_the_key_says_so(
    spark: SparkSession, tmp_path: Path, how: str, said: str
) -> None:
    key = key_file(tmp_path, b"k" * 32)
    path = Path(key.path)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"q" * 32)
    with pytest.raises(Exception, match="NIGHTCART_KEY") as failed:
        spark.range(1).select(pseudonym_column(F.col("id").cast("string"), key)).collect()
    fault = key_fault(failed.value)
    assert fault is not None
    assert fault.startswith(f"privacy.key_file {path} on ")
    assert said in fault
    assert "q" * 32 not in str(failed.value)


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """The second reader gets the first one's key, and nobody else may read it."""
    path = tmp_path / "keys" / "user_id.key"
    key = read_or_make_key(path)
    assert read_or_make_key(path) == key
    assert len(key) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["user_id.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says what to run."""
    path = tmp_path / "user_id.key"
    read_or_make_key(path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"chmod 600 {path}"):
        read_or_make_key(path)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    """31 bytes are one too few."""
    path = tmp_path / "user_id.key"
    path.write_bytes(b"k" * 31 + b"\n")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="holds 31 bytes, expected at least 32"):
        read_or_make_key(path)
