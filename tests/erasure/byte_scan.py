"""Whether any byte below a directory says something: a scan that shares no code with the erasure.

Tables are decoded column by column, and their files are looked at as they are too (names, footers,
statistics). Other files are looked at as they are and unpacked.
"""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def places(root: Path, secrets: Sequence[bytes]) -> list[str]:
    """Each secret that is found, and where."""
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file():
            contents = list(_contents(path))
            found += [
                f"{secret!r} in {name}"
                for secret in secrets
                if any(secret in content for content in contents)
            ]
        found += [f"{secret!r} in the name {name}" for secret in secrets if secret in name.encode()]
    return found


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    for unpack in (gzip.decompress, bz2.decompress, _from_zstd):
        try:
            yield unpack(content)
        except (OSError, EOFError, ValueError):
            continue
    if content[:4] == content[-4:] == b"PAR1":
        with pq.ParquetFile(path) as file:
            for number in range(file.metadata.num_row_groups):
                for name in file.schema_arrow.names:
                    column = file.read_row_group(number, columns=[name]).column(0)
                    yield repr(column.to_pylist()).encode()


def _from_zstd(content: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        return bytes(stream.read())
