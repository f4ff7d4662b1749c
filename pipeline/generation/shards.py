"""Shards: a night's users in parts, each of which is made once, whatever is killed in between.

A shard is one Parquet file, written aside, flushed and renamed, and then a sidecar JSON beside it
with its rows, its SHA-256, its counts and the fingerprint of everything it was made from. A shard
is done when its sidecar is there and has tonight's fingerprint, and the file has its checksum. What
remains to be done is derived from that alone. A shard that is read back is checked against its
sidecar once more.

Two processes that make the same shard at once (a task that Spark runs twice) do no harm: both write
the same rows, each to a temporary file of its own (encrypted, in other bytes each time).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import durable
from pipeline.arrow_columns import Column, compute
from pipeline.encryption.parquet_files import read_table, write_table
from pipeline.errors import ContractError, StorageError
from pipeline.intact import file_sha256
from pipeline.lake import storage_errors, write_json

log = logging.getLogger("nightcart")

_HEX_DIGITS = 8


def shard_of(user_ids: Column, n_shards: int) -> NDArray[np.int64]:
    """A user's shard: the first 8 hexadecimal digits of the pseudonym, modulo the shards.

    The pseudonym is a keyed hash, so its digits are as evenly spread as any hash of it, and every
    language and engine computes the same.

    Raises:
        ContractError: a user id does not begin with 8 lowercase hexadecimal digits.
    """
    if len(user_ids) == 0:
        return np.zeros(0, dtype=np.int64)
    heads = compute.utf8_slice_codeunits(user_ids, 0, _HEX_DIGITS)
    wrong = compute.invert(compute.match_substring_regex(heads, f"^[0-9a-f]{{{_HEX_DIGITS}}}$"))
    if compute.any(wrong).as_py():
        raise ContractError(
            f"histories: user_id {user_ids.filter(wrong)[0].as_py()!r} is not a pseudonym of "
            "32 hexadecimal digits; run clean and build_histories again"
        )
    codes = np.frombuffer("".join(heads.to_pylist()).encode("ascii"), dtype=np.uint8)
    digits = np.where(codes >= ord("a"), codes - ord("a") + 10, codes - ord("0")).astype(np.int64)
    powers = 16 ** np.arange(_HEX_DIGITS - 1, -1, -1, dtype=np.int64)
    return (digits.reshape(-1, _HEX_DIGITS) @ powers) % n_shards


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """A short name for everything that a shard's content depends on."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Shards:
    """The directory of a stage's shards, and the fingerprint of what they must be made from."""

    directory: Path
    inputs: str

    def path(self, name: str) -> Path:
        """The data file of a shard."""
        return self.directory / f"{name}.parquet"

    def counts(self, name: str) -> dict[str, Any] | None:
        """The counts in the shard's sidecar, or none if the shard has yet to be made."""
        sidecar = self._sidecar(name)
        with storage_errors(f"cannot read {sidecar}"):
            try:
                content = json.loads(sidecar.read_text(encoding="utf-8"))
                whole = file_sha256(self.path(name)) == content["sha256"]
                done = whole and content["inputs"] == self.inputs
                return dict(content["counts"]) if done else None
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                return None  # missing, or not a sidecar of ours: the shard has yet to be made

    def commit(self, name: str, table: pa.Table, counts: Mapping[str, Any]) -> None:
        """Write a shard so that it is either whole or missing.

        Raises:
            StorageError: the disk refuses; what was committed before stays.
        """
        path = self.path(name)
        with storage_errors(f"cannot write shard {path}"):
            write_parquet(path, table)
            content = {
                "rows": table.num_rows,
                "sha256": file_sha256(path),
                "inputs": self.inputs,
                "counts": dict(counts),
            }
            write_json(self._sidecar(name), content)

    def read(self, name: str) -> pa.Table:
        """A committed shard.

        Raises:
            StorageError: it is not, or no longer, what its sidecar says.
        """
        if self.counts(name) is None:
            raise StorageError(
                f"shard {self.path(name)} changed after it was made; run the same date again, "
                "which makes it anew"
            )
        with storage_errors(f"cannot read shard {self.path(name)}"):
            return read_table(self.path(name))

    def _sidecar(self, name: str) -> Path:
        return self.directory / f"{name}.json"


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write Parquet aside, flush it to the disk and rename it.

    Unless it is encrypted, the same table is the same bytes.
    """
    with durable.in_place(path) as file:
        write_table(table, file, compression="zstd")
