"""Parquet files of the lake by PyArrow, encrypted or not.

Readers take a file as it is. Writers encrypt where the settings say so, the footer too; tables that
stay plain (`keyring.PLAIN`) are written by PyArrow itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.encryption.arrow_keys import to_read, to_write
from pipeline.encryption.keyring import in_use
from pipeline.errors import SettingsError

_ENCRYPTED = b"PARE"  # what a file with an encrypted footer begins with


def is_encrypted(path: Path) -> bool:
    """Whether a file's footer is encrypted."""
    with path.open("rb") as file:
        return file.read(len(_ENCRYPTED)) == _ENCRYPTED


def open_parquet(source: Any) -> pq.ParquetFile:
    """A file, to be read or looked at.

    Args:
        source: a path, or what PyArrow takes for one.

    Raises:
        SettingsError: it is encrypted, and the settings do not give its key.
        pyarrow.ArrowException: it is damaged.
    """
    keyring = in_use()
    if keyring is None or not keyring.is_active:
        if isinstance(source, str | Path) and is_encrypted(Path(source)):
            raise SettingsError(
                f"{source} is encrypted, and no key is known here; ask with the settings that it "
                "was written with (--config), so that encryption.key_file names its key"
            )
        return pq.ParquetFile(source)
    try:
        return pq.ParquetFile(source, decryption_properties=to_read(keyring))
    except SettingsError as error:
        raise SettingsError(
            f"{source} is encrypted: {error}. Bring the key file back from a backup, or name where "
            "it is now (encryption.key_file)"
        ) from None


def read_table(source: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of one file, without what the names of its directories say."""
    with open_parquet(source) as file:
        return file.read(columns=None if columns is None else list(columns))


def row_count(source: Any) -> int:
    """The rows that a file's footer counts."""
    with open_parquet(source) as file:
        return int(file.metadata.num_rows)


def schema_of(source: Any) -> pa.Schema:
    """The columns of a file."""
    with open_parquet(source) as file:
        return file.schema_arrow


def write_table(table: pa.Table, target: Any, compression: Any = "snappy") -> None:
    """Write a table that holds acts of single shoppers."""
    pq.write_table(table, target, compression=compression, encryption_properties=_to_write())


def writer(target: Any, schema: pa.Schema, *, like: Any, **options: Any) -> pq.ParquetWriter:
    """A writer of a file that takes another's place; encrypted if that one was.

    Args:
        like: the other file.
        options: of PyArrow's writer.
    """
    properties = _to_write(always=True) if _was_encrypted(like) else None
    return pq.ParquetWriter(target, schema, encryption_properties=properties, **options)


def _was_encrypted(source: Any) -> bool:
    return isinstance(source, str | Path) and is_encrypted(Path(source))


def _to_write(*, always: bool = False) -> Any:
    keyring = in_use()
    return to_write(keyring) if keyring and (keyring.writes or always) else None
