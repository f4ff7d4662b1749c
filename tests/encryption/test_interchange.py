"""Files that Spark encrypts are read by PyArrow and DuckDB, and the other way; a wrong key by name.

Without a night: tables by hand. The whole of an encrypted night is in test_encrypted_lake.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.encryption.keyring import SPARK_KEY, Keyring, use
from pipeline.encryption.master_keys import key_name, make_master_key, read_master_keys
from pipeline.encryption.parquet_files import (
    is_encrypted,
    open_parquet,
    read_table,
    row_count,
    write_table,
    writer,
)
from pipeline.error_words import key_fault
from pipeline.errors import SettingsError
from pipeline.settings import Encryption, Settings

SECRET = "cafe0123456789abcdef0123456789ab"
ROWS = pa.table(
    {
        "user_id": [SECRET] * 500,
        "items": [[{"item_id": "item-4711", "rank": 1}]] * 500,
        "number": range(500),
    }
)


@pytest.fixture
def encrypted(settings: Settings, tmp_path: Path) -> Settings:
    """Settings that encrypt, with a key of their own, in use in this process."""
    found = dataclasses.replace(
        settings, encryption=Encryption(enabled=True, key_file=str(tmp_path / "lake.key"))
    )
    use(found).prepare()
    return found


@pytest.fixture
def session(spark: SparkSession) -> Iterator[SparkSession]:
    """The tests' session, plain again afterwards."""
    yield spark
    spark.conf.set(SPARK_KEY, "")


def tell(session: SparkSession, keyring: Keyring) -> None:
    """As `open_spark` tells a session."""
    for name, value in keyring.spark_options().items():
        session.conf.set(name, value)


def test_each_engine_reads_what_the_other_encrypts(
    session: SparkSession, encrypted: Settings, tmp_path: Path
) -> None:
    tell(session, use(encrypted))
    ours, its, plain = (tmp_path / name for name in ("ours.parquet", "its", "plain"))
    write_table(ROWS, ours, compression="zstd")
    frame = session.read.parquet(str(ours))
    assert frame.selectExpr("sum(number)", "max(items[0].item_id)").first() == (
        sum(range(500)),
        "item-4711",
    )
    frame.write.parquet(str(its))
    frame.write.option(SPARK_KEY, "").parquet(str(plain))

    (file,) = its.glob("part-*.parquet")
    assert is_encrypted(ours)
    assert is_encrypted(file)
    for path in (ours, file):
        said = path.read_bytes()
        assert said[:4] == said[-4:] == b"PARE"  # the footer too
        for word in (SECRET, "item-4711", "user_id"):
            assert word.encode() not in said
    assert read_table(file).equals(ROWS.cast(read_table(file).schema))
    assert row_count(file) == 500
    (open_file,) = plain.glob("part-*.parquet")
    assert SECRET.encode() in b"".join(
        str(value).encode() for value in pq.read_table(open_file)["user_id"].to_pylist()
    )

    with duckdb.connect() as connection:
        sql = f"SELECT count(*), max(items[1].item_id) FROM {parquet_source([ours, file])}"
        found = connection.execute(bring(connection, f"{sql} WHERE number < 3")).fetchone()
        assert found == (6, "item-4711")
        with pytest.raises(duckdb.Error, match="is encrypted"):
            connection.execute(f"FROM read_parquet('{ours}')")


def test_what_is_written_again_is_encrypted_if_it_was(encrypted: Settings, tmp_path: Path) -> None:
    """Also once the setting is off: what was hidden stays so."""
    plain, hidden = tmp_path / "plain.parquet", tmp_path / "hidden.parquet"
    pq.write_table(ROWS, plain)
    write_table(ROWS, hidden)
    off = dataclasses.replace(encrypted.encryption, enabled=False)
    use(dataclasses.replace(encrypted, encryption=off))
    for path in (plain, hidden):
        again = path.with_suffix(".again")
        with writer(again, ROWS.schema, like=path, compression="zstd") as file:
            file.write_table(read_table(path))
        assert is_encrypted(again) == is_encrypted(path) == (path == hidden)
        assert read_table(again).equals(ROWS)
    write_table(ROWS, tmp_path / "new.parquet")
    assert not is_encrypted(tmp_path / "new.parquet")


def test_a_key_that_is_missing_or_another_is_said_in_one_line(
    session: SparkSession, encrypted: Settings, tmp_path: Path
) -> None:
    file, key_file = tmp_path / "cleaned_events.parquet", Path(encrypted.encryption.key_file)
    write_table(ROWS, file)
    good = key_file.read_text()
    (name,) = read_master_keys(key_file)
    assert key_name(read_master_keys(key_file)[name]) == name

    key_file.unlink()
    with pytest.raises(SettingsError, match=f"{key_file} is not there. Tables of .* {name}"):
        use(encrypted).prepare()
    assert not key_file.exists()  # never made anew for a lake that has one

    make_master_key(key_file)
    other = key_file.read_text()
    with pytest.raises(SettingsError, match=f"has no key {name}. .*Bring the file back"):
        use(encrypted).prepare()
    with pytest.raises(SettingsError, match=f"{file} is encrypted: .*has no key {name}"):
        open_parquet(file)
    tell(session, use(encrypted))
    with pytest.raises(Exception, match="NIGHTCART_KEY") as failed:
        session.read.parquet(str(file)).count()
    fault = key_fault(failed.value)
    assert fault is not None
    assert f"has no key {name}" in fault

    key_file.write_text(good.split()[0] + " " + other.split()[1] + "\n")
    use(encrypted)
    with pytest.raises(SettingsError, match=f"has another key named {name}"):
        open_parquet(file)
    key_file.write_text(other + good)  # a new key first, the old one to read with
    assert use(encrypted).master_key != name
    assert read_table(file).equals(ROWS)
    key_file.chmod(0o640)
    use(encrypted)
    with pytest.raises(SettingsError, match=f"chmod 600 {key_file}"):
        open_parquet(file)


def test_without_settings_an_encrypted_file_is_named(encrypted: Settings, tmp_path: Path) -> None:
    file = tmp_path / "acts.parquet"
    write_table(ROWS, file)
    use(dataclasses.replace(encrypted, paths=dataclasses.replace(encrypted.paths, lake="/none")))
    use(Settings())
    with pytest.raises(SettingsError, match=f"{file} is encrypted, and no key is known here"):
        open_parquet(file)


def test_a_key_management_service_is_named_by_its_entry_point(settings: Settings) -> None:
    """One that no package brings is refused before a stage works."""
    chosen = Encryption(enabled=True, kms="vault", kms_key="k1", spark_kms_class="com.shop.Kms")
    keyring = use(dataclasses.replace(settings, encryption=chosen))
    assert keyring.spark_options()["parquet.encryption.kms.client.class"] == "com.shop.Kms"
    with pytest.raises(SettingsError, match=r"no installed package has an entry point.*there is"):
        keyring.prepare()
