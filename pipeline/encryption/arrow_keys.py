"""A keyring's keys in PyArrow's words: what files are read and written with."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pyarrow.parquet.encryption as pe

from pipeline.encryption.file_kms import FileKms
from pipeline.encryption.keyring import KEY_BITS, Keyring, client_of


def to_write(keyring: Keyring) -> Any:
    """What one encrypted file is written with.

    Raises:
        SettingsError: there is no key to write with.
    """
    how = pe.EncryptionConfiguration(  # type: ignore[call-arg]  # newer than its stubs
        footer_key=keyring.master_key, uniform_encryption=True, data_key_length_bits=KEY_BITS
    )
    return _factory(keyring).file_encryption_properties(_connection(keyring), how)


def to_read(keyring: Keyring) -> Any:
    """What a file is read with, encrypted or not."""
    return _factory(keyring).file_decryption_properties(_connection(keyring))


def to_read_dataset(keyring: Keyring) -> tuple[Any, Any, Any]:
    """The arguments of `pyarrow.dataset.ParquetDecryptionConfig`."""
    return _factory(keyring), _connection(keyring), pe.DecryptionConfiguration()


@functools.lru_cache(maxsize=1)
def _factory(keyring: Keyring) -> Any:
    """It keeps the keys that it has unwrapped: one for each keyring."""
    encryption = keyring.encryption
    if encryption.kms:
        return pe.CryptoFactory(client_of(encryption))
    return pe.CryptoFactory(lambda _: FileKms(Path(encryption.key_file)))


def _connection(keyring: Keyring) -> Any:
    return pe.KmsConnectionConfig(kms_instance_url=keyring.encryption.kms_url)
