"""A key management service in a file: master keys wrap the keys of Parquet files.

A key is wrapped by AES-256-GCM (NIST SP 800-38D) with the master key's name as additional data:
base64 of 12 bytes of nonce, the ciphertext and 16 bytes of tag. `pipeline/SparkKeys.java` does the
same for Spark.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from pathlib import Path

import pyarrow.parquet.encryption as pe
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline.encryption.master_keys import read_master_keys
from pipeline.errors import SettingsError

_NONCE_BYTES = 12


class FileKms(pe.KmsClient):
    """Wraps and unwraps by the keys of `encryption.key_file`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._keys = path, read_master_keys(path)

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        """Base64 of the key as only the master key opens it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        wrapped = self._key(master_key_identifier).encrypt(
            nonce, key_bytes, master_key_identifier.encode()
        )
        return base64.b64encode(nonce + wrapped).decode()

    def unwrap_key(  # type: ignore[override]  # its stubs say that it returns a text
        self, wrapped_key: str, master_key_identifier: str
    ) -> bytes:
        """The key that was wrapped.

        Raises:
            SettingsError: the file does not have the master key, or another by its name.
        """
        key = self._key(master_key_identifier)
        try:
            whole = base64.b64decode(wrapped_key, validate=True)
            nonce, rest = whole[:_NONCE_BYTES], whole[_NONCE_BYTES:]
            return key.decrypt(nonce, rest, master_key_identifier.encode())
        except (InvalidTag, ValueError, binascii.Error):
            raise SettingsError(
                f"encryption.key_file {self._path} has another key named {master_key_identifier}"
            ) from None

    def _key(self, name: str) -> AESGCM:
        if name not in self._keys:
            raise SettingsError(f"encryption.key_file {self._path} has no key {name}")
        return AESGCM(self._keys[name])
