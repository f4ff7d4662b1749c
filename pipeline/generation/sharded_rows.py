"""A dataset's rows by shard: one pass over its files, however many shards there are.

Reads the Parquet files of a partition whose rows have a `user_id`, a few thousand rows at a time.
Writes one file a shard (Arrow streams, one after another) into a directory of the run's scratch.
The directory is written aside and renamed once it is whole; a rerun and the workers of a cluster
use the one that is there. Its name is a fingerprint of what it was made from.

Guarantees: at most `CHUNK_BYTES` of rows are in memory on the way, however many users there are;
rows of a shard keep their order; a partition that was written in the same shards is read from its
own files; a file that is not what was written is noticed when it is read. Two processes that make
the same directory at once do no harm.

Gives up: nothing is flushed to the disk. The files that a power cut leaves have other checksums and
are made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from pipeline.arrow_columns import column
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.encryption.parquet_files import open_parquet
from pipeline.errors import StorageError
from pipeline.generation.shards import fingerprint, shard_of
from pipeline.intact import file_sha256
from pipeline.lake import Partition, storage_errors

BATCH_ROWS = 4096
CHUNK_BYTES = 16 * 1024 * 1024

_SUMS = "sha256.json"

Keep = Callable[[pa.RecordBatch], pa.RecordBatch]


def contract_columns(dataset: str, names: Sequence[str]) -> pa.Schema:
    """Some columns of a contract, any of them null: what Spark writes says nothing of nulls."""
    contract = arrow_schema(load_contract(dataset))
    return pa.schema([contract.field(name).with_nullable(True) for name in names])


def read_batches(files: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The columns of a schema, a few thousand rows at a time, in the order of the files.

    Not through a dataset: its scanner has decoded whole row groups, and several ahead.
    """
    for path in files:
        with storage_errors(f"cannot read {path}"), open_parquet(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=schema.names, use_threads=False):
                yield batch.select(schema.names).cast(schema)


class ShardedRows:
    """Rows of a partition by shard.

    Args:
        scratch: the directory that the run's scratch is kept in.
        schema: the columns that are wanted, `user_id` among them.
        keep: which rows of a batch, with which columns; all of them without it. What it does must
            follow from its name.
    """

    def __init__(
        self,
        partition: Partition,
        schema: pa.Schema,
        n_shards: int,
        scratch: Path,
        keep: Keep | None = None,
    ) -> None:
        self.partition = partition
        self.n_shards = n_shards
        self._schema = schema
        self._keep = keep
        inputs: dict[str, Any] = {
            "files": partition.manifest["files"],
            "schema": str(schema),
            "keep": keep.__name__ if keep else None,
            "shards": n_shards,
        }
        dataset = partition.path.parent.parent.name
        self.directory = scratch / f"{dataset}-by-shard-{fingerprint(inputs)[:16]}"

    def prepare(self) -> None:
        """Let every shard be there to be read, here or in another process."""
        if self._own_file(0) is None:
            self.make()

    def make(self) -> None:
        """Make the directory if it is not there.

        Raises:
            StorageError: the disk refuses; nothing is left half made.
            ContractError: a user id is no pseudonym.
        """
        if self.directory.is_dir():
            return
        name = f".{self.directory.name}.{socket.gethostname()}.{os.getpid()}.tmp"
        aside = self.directory.with_name(name)
        try:
            with storage_errors(f"cannot set the users of each shard apart in {aside}"):
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir(parents=True)
                self._write(aside)
                try:
                    aside.rename(self.directory)
                except OSError:
                    if not self.directory.is_dir():  # nobody else was faster
                        raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def read(self, shard: int) -> pa.Table:
        """One shard's rows, in the order of the partition's files.

        Raises:
            StorageError: they are not what was written, or cannot be written or read.
        """
        rows = self._own_file(shard)
        if rows is not None:
            return rows
        self.make()
        path = self.directory / _file_name(shard)
        with storage_errors(f"cannot read {path}"):
            try:
                sums = json.loads((self.directory / _SUMS).read_text(encoding="utf-8"))
                content = path.read_bytes()
                intact = hashlib.sha256(content).hexdigest() == sums[path.name]
            except (FileNotFoundError, ValueError, KeyError):
                intact = False
        if not intact:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise StorageError(
                f"{path} changed after it was made; run the same date again, which makes it anew"
            )
        return pa.concat_tables(_tables(content)).combine_chunks()

    def _own_file(self, shard: int) -> pa.Table | None:
        """The partition's own file, if it has a file a shard."""
        paths = self.partition.paths
        if self._keep or len(paths) != self.n_shards:
            return None
        batches = read_batches(self.partition.verified([paths[shard]]), self._schema)
        rows = pa.Table.from_batches(batches, self._schema).combine_chunks()
        mine = shard_of(column(rows, "user_id"), self.n_shards) == shard
        return rows if len(mine) and mine.all() else None

    def _write(self, directory: Path) -> None:
        """A file a shard, and the checksums of all."""
        paths = [directory / _file_name(shard) for shard in range(self.n_shards)]
        chunk = [self._wanted(pa.RecordBatch.from_pylist([], schema=self._schema))]
        # Nobody's shard has a file too, which says what columns there are.
        for path in paths:
            _append(path, chunk[0])
        for batch in read_batches(self.partition.files, self._schema):
            chunk.append(self._wanted(batch))
            if sum(some.nbytes for some in chunk) > CHUNK_BYTES:
                self._set_apart(chunk, paths)
                del chunk[1:]
        self._set_apart(chunk, paths)
        sums = {path.name: file_sha256(path) for path in paths}
        (directory / _SUMS).write_text(json.dumps(sums), encoding="utf-8")

    def _wanted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self._keep(batch) if self._keep else batch

    def _set_apart(self, chunk: Sequence[pa.RecordBatch], paths: Sequence[Path]) -> None:
        """Append some rows to the files of their shards."""
        rows = pa.Table.from_batches(chunk)
        shards = shard_of(column(rows, "user_id"), self.n_shards)
        order = np.argsort(shards, kind="stable")
        in_order = rows.take(order).combine_chunks()
        starts = np.searchsorted(shards[order], np.arange(self.n_shards + 1)).tolist()
        for path, start, end in zip(paths, starts[:-1], starts[1:], strict=True):
            if end > start:
                _append(path, in_order.slice(start, end - start).to_batches()[0])


def _file_name(shard: int) -> str:
    return f"{shard:05d}.arrows"


def _append(path: Path, batch: pa.RecordBatch) -> None:
    """One more stream at the end of a file."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with path.open("ab") as file, pa.ipc.new_stream(file, batch.schema, options=options) as stream:
        stream.write_batch(batch)


def _tables(content: bytes) -> Iterator[pa.Table]:
    """The streams of a file."""
    source = pa.BufferReader(content)
    while source.tell() < len(content):
        yield pa.ipc.open_stream(source).read_all()
