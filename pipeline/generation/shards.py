"""Shards: a night's users in parts that are each done once, whatever is killed in between.

A shard is one Parquet file, written aside, flushed and renamed, and then a sidecar JSON beside it
with its rows, its SHA-256, its counts and the fingerprint of everything it was made from. A shard
is done when its sidecar is there, has tonight's fingerprint, and the file has its checksum; what
remains to be done is derived from that and from nothing else. What is read back is held against the
sidecar once more.

Two processes that make the same shard at once (a task that Spark runs twice) do no harm: both write
the same bytes, each aside under a name of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import ContractError, StorageError
from pipeline.generation.columns import Column, compute
from pipeline.lake import file_sha256, storage_errors, write_json

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
    """Where a stage keeps its shards, and what they must have been made from."""

    directory: Path
    inputs: str

    def path(self, name: str) -> Path:
        """The data file of a shard."""
        return self.directory / f"{name}.parquet"

    def counts(self, name: str) -> dict[str, Any] | None:
        """What the shard's sidecar counted, or none if the shard has yet to be done."""
        sidecar = self._sidecar(name)
        with storage_errors(f"cannot read {sidecar}"):
            try:
                said = json.loads(sidecar.read_text(encoding="utf-8"))
                whole = file_sha256(self.path(name)) == said["sha256"]
                done = whole and said["inputs"] == self.inputs
                return dict(said["counts"]) if done else None
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                return None  # not there, or not one of ours: to be done

    def commit(self, name: str, table: pa.Table, counts: Mapping[str, Any]) -> None:
        """Write a shard so that it is either there whole or not there.

        Raises:
            StorageError: the disk refuses; what was committed before stays.
        """
        path = self.path(name)
        with storage_errors(f"cannot write shard {path}"):
            self.directory.mkdir(parents=True, exist_ok=True)
            write_parquet(path, table)
            said = {
                "rows": table.num_rows,
                "sha256": file_sha256(path),
                "inputs": self.inputs,
                "counts": dict(counts),
            }
            write_json(self._sidecar(name), said)

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
            return pq.read_table(self.path(name))

    def _sidecar(self, name: str) -> Path:
        return self.directory / f"{name}.json"


@contextmanager
def alone(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock file, waiting for whoever has it; the system lets go of it whatever ends us."""
    with storage_errors(f"cannot lock {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process is %s (it holds %s); waiting for it", doing, path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write Parquet aside, flush it to the disk and rename it. The same table, the same bytes."""
    # Several machines may write beside each other, and two may have a process of one number.
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
