"""The key that turns a retailer's user id into ours, and the turning itself.

Reads and makes one key file. `pseudonym` is HMAC-SHA-256 (RFC 2104, FIPS 180-4) of the id's UTF-8
bytes, cut to its first 128 bits, in lower-case hexadecimal. An id is hashed exactly as the source
maps it: nothing is trimmed or folded here, so " 7" and "7" are two people unless a source's `map`
says otherwise. Spark computes the same value in `pipeline.cleaning.rows.pseudonym_column`.
Without the key nobody can go from a hash to an id, nor test a guess; losing the key means that
tomorrow's users are strangers to yesterday's. Standard library only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pipeline import durable
from pipeline.errors import SettingsError
from pipeline.lake import storage_errors

MIN_KEY_BYTES = 32
PSEUDONYM_LENGTH = 32  # hexadecimal digits: 128 bits
_FINGERPRINT_OF = b"nightcart: which key is this?"


@dataclass(frozen=True)
class KeyFile:
    """Where a key lies and which one it is: what may be said of it, in plans and logs too."""

    path: str
    fingerprint: str


def key_fingerprint(key: bytes) -> str:
    """16 hexadecimal digits that another key would not have."""
    return hmac.new(key, _FINGERPRINT_OF, hashlib.sha256).hexdigest()[:16]


def read_or_make_key(path: Path | str) -> bytes:
    """The key in a file; a missing file is made with a new random key, readable by its owner only.

    Two processes that start at once end up with the same key: the file is linked into place,
    which fails for the second, and the second reads what the first made.

    Raises:
        SettingsError: others may read the file, or it holds too few bytes.
        StorageError: it cannot be read or made.
    """
    path = Path(path)
    with storage_errors(f"cannot make the key file {path} (privacy.key_file)"):
        if not path.exists():
            _make(path)
    return read_key(path)


def read_key(path: Path | str) -> bytes:
    """The key in a file.

    Raises:
        SettingsError: others may read the file, or it holds too few bytes.
        StorageError: it is not there, or cannot be read.
    """
    path = Path(path)
    with storage_errors(f"cannot read the key file {path} (privacy.key_file)"):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise SettingsError(
                f"privacy.key_file {path} may be read by others (mode {mode:03o}), and whoever has "
                f"the key can undo every pseudonym; run: chmod 600 {path}"
            )
        key = path.read_bytes().strip()
    if len(key) < MIN_KEY_BYTES:
        raise SettingsError(
            f"privacy.key_file {path} holds {len(key)} bytes, expected at least {MIN_KEY_BYTES} "
            "random ones; remove the file to have one made, if no lake uses it yet"
        )
    return key


def pseudonym(user_id: str, key: bytes) -> str:
    """The user id as it appears in the lake: 32 hexadecimal digits."""
    return hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()[:PSEUDONYM_LENGTH]


def _make(path: Path) -> None:
    durable.make_directory(path.parent)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(MIN_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        durable.link_new(aside, path)
    except FileExistsError:
        if not path.exists():
            raise
    finally:
        aside.unlink(missing_ok=True)
