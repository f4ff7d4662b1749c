"""Parquet files of the lake for DuckDB, encrypted or not.

DuckDB reads plain files itself. It has no part in PyArrow's and Spark's keys, so encrypted files
are handed to it as an Arrow dataset, of which it reads the columns and row groups that it needs.
`parquet_source` gives what stands behind FROM, `bring` hands over what a statement names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.encryption.arrow_keys import to_read_dataset
from pipeline.encryption.keyring import in_use
from pipeline.encryption.parquet_files import is_encrypted, schema_of
from pipeline.sql_values import sql_files

_NAME = re.compile(r"\bencrypted_[0-9a-f]{32}\b")
# What the directories of a run say, as DuckDB's hive_partitioning reads it.
_OF_DIRECTORIES = pa.schema([("run_date", pa.string()), ("run_id", pa.string())])
_named: dict[str, tuple[Path, ...]] = {}


def parquet_source(files: Sequence[Path], options: str = "") -> str:
    """A table of files: `read_parquet` with options of DuckDB, or the name of what `bring` brings.

    Args:
        files: of one dataset.
        options: behind the files, such as `hive_partitioning = true`. Encrypted files always have
            the columns `run_date` and `run_id`, as text, and the columns of all files.
    """
    keyring = in_use()
    if keyring and keyring.is_active and any(is_encrypted(file) for file in files):
        name = f"encrypted_{hashlib.sha256(repr([*map(str, files)]).encode()).hexdigest()[:32]}"
        _named[name] = tuple(files)
        return name
    return f"read_parquet({', '.join([sql_files(files), *([options] if options else [])])})"


def files_of(sql: str) -> list[Path]:
    """The encrypted files that a statement names."""
    return [file for name in _NAME.findall(sql) for file in _named[name]]


def bring(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Let a connection read the encrypted files that a statement names; the statement.

    Raises:
        SettingsError: the settings do not give a key.
    """
    keyring = in_use()
    for name in dict.fromkeys(_NAME.findall(sql)):
        assert keyring is not None, "only a process that has one makes such names"
        # What DuckDB puts aside is as secret as what it reads.
        connection.execute("SET temp_file_encryption = true")
        schemas = [schema_of(file).remove_metadata() for file in _named[name]]
        known = pa.unify_schemas(schemas)
        added = [field for field in _OF_DIRECTORIES if field.name not in known.names]
        reading = ds.ParquetFragmentScanOptions(
            decryption_config=ds.ParquetDecryptionConfig(*to_read_dataset(keyring))
        )
        dataset = ds.dataset(
            [str(file) for file in _named[name]],
            schema=pa.schema([*known, *added]),
            format=ds.ParquetFileFormat(default_fragment_scan_options=reading),
            partitioning=ds.partitioning(_OF_DIRECTORIES, flavor="hive"),
        )
        connection.register(name, dataset)
    return sql
