"""A key in a file of a test's own, for Spark, which reads it there."""

from __future__ import annotations

from pathlib import Path

from pipeline.pseudonym import KeyFile, key_fingerprint


def key_file(directory: Path, key: bytes) -> KeyFile:
    """Write a key, and say where it lies."""
    path = directory / f"{key_fingerprint(key)}.key"
    path.write_bytes(key)
    path.chmod(0o600)
    return KeyFile(str(path), key_fingerprint(key))
