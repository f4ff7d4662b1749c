"""The file of master keys, and which of them a lake was written with.

A line of the file is a name and 64 hexadecimal digits, of AES-256; the first key is the one that is
written with, the others are read with. A name is `lake-` and a fingerprint of its key, so that a
file of other keys is told from a damaged one. The lake notes the names in `encryption.json`: a key
is made only for a lake that has noted none, because what is encrypted with a key that is lost is
lost. `pipeline/SparkKeys.java` reads the same file. Standard library only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from pathlib import Path

from pipeline import durable
from pipeline.errors import SettingsError
from pipeline.lake import Lake, storage_errors, write_json

NOTE = "encryption.json"
_KEY_BYTES = 32
_LINE = re.compile(r"([\w.-]+)\s+([0-9a-f]{64})")
_FINGERPRINT_OF = b"nightcart: which master key is this?"


def key_name(key: bytes) -> str:
    """The name of a key that is made here."""
    return f"lake-{hmac.new(key, _FINGERPRINT_OF, hashlib.sha256).hexdigest()[:16]}"


def read_master_keys(path: Path) -> dict[str, bytes]:
    """The keys of a file by name, the one to write with first.

    Raises:
        SettingsError: it is not there, others may read it, or a line is no key.
        StorageError: it cannot be read.
    """
    with storage_errors(f"cannot read the key file {path} (encryption.key_file)"):
        try:
            mode = path.stat().st_mode & 0o777
            lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            raise SettingsError(f"encryption.key_file {path} is not there") from None
    if mode & 0o077:
        raise SettingsError(
            f"encryption.key_file {path} may be read by others (mode {mode:03o}); "
            f"run: chmod 600 {path}"
        )
    found = [_LINE.fullmatch(line.strip()) for line in lines if line.strip()]
    if not found or None in found:
        raise SettingsError(
            f"encryption.key_file {path} is not what Nightcart wrote: each line is a name and 64 "
            "hexadecimal digits. Bring the file back from a backup"
        )
    return {match[1]: bytes.fromhex(match[2]) for match in found if match}


def make_master_key(path: Path) -> None:
    """Write a file with a new random key, for its owner only; who comes second keeps the first's.

    Raises:
        StorageError: it cannot be made.
    """
    key = secrets.token_bytes(_KEY_BYTES)
    with storage_errors(f"cannot make the key file {path} (encryption.key_file)"):
        durable.make_directory(path.parent)
        aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{key_name(key)} {key.hex()}\n")
                file.flush()
                os.fsync(file.fileno())
            durable.link_new(aside, path)
        except FileExistsError:
            if not path.exists():
                raise
        finally:
            aside.unlink(missing_ok=True)


def noted_keys(lake: Lake) -> list[str]:
    """The names of the keys that a lake was written with; none where nothing is encrypted.

    Raises:
        SettingsError: the lake's note says nothing.
        StorageError: it cannot be read.
    """
    path = lake.root / NOTE
    with storage_errors(f"cannot read {path}"):
        try:
            return [str(name) for name in json.loads(path.read_text(encoding="utf-8"))["keys"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                f"{path} does not say which keys the lake was written with; bring it back from a "
                "backup"
            ) from None


def note_key(lake: Lake, name: str) -> None:
    """Note that tables of the lake are written with a key from now on."""
    known = noted_keys(lake)
    if name not in known:
        write_json(lake.root / NOTE, {"keys": [*known, name]})
