"""Writing a night's dataset in few Parquet files and a fixed order.

The files are named by their number, and their rows depend on the frame alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import DataFrame

from pipeline.encryption.keyring import SPARK_KEY
from pipeline.encryption.parquet_files import row_count
from pipeline.lake import storage_errors

# Below this a file is too small to be worth opening: a row of events is about 60 bytes of zstd.
ROWS_PER_FILE = 250_000
MOST_ROWS_PER_FILE = 2_000_000  # an act takes 500 bytes while it is copied (acts/act_files.py)


def file_count(rows: int, most: int) -> int:
    """Into how many files (and tasks) to cut so many rows.

    `most` is doubled until no file is too large to be held. That is seldom, because files that are
    cut in another number than the night before cannot be copied from it.
    """
    while rows > most * MOST_ROWS_PER_FILE:
        most *= 2
    return max(1, min(most, math.ceil(rows / ROWS_PER_FILE)))


def write_sorted(
    frame: DataFrame,
    directory: Path,
    *,
    key: str,
    files: int,
    order: Sequence[str] = (),
    plain: bool = False,
) -> int:
    """Write a frame into `files` files by hash of its key; return the rows.

    Each file is sorted by the key, then by `order`, which together must tell all rows apart. Rows
    are counted in what was written. A frame that is already cut by the same key into as many
    partitions is not shuffled again. A `plain` table is never encrypted.
    """
    with storage_errors(f"cannot write {directory}"):
        cut = frame.repartition(files, key).sortWithinPartitions(key, *order)
        # The directory exists and is empty: `append` is Spark's word for writing into it.
        written = cut.write.mode("append")
        if plain:
            written = written.option(SPARK_KEY, "")
        written.parquet(str(directory))
        _name_by_number(directory)
        return sum(row_count(file) for file in directory.glob("*.parquet"))


def _name_by_number(directory: Path) -> None:
    """Spark's names carry a random id, and its checksum files would not survive the renaming."""
    for aside in directory.glob(".*.crc"):
        aside.unlink()
    for file in directory.glob("part-*.parquet"):
        file.rename(file.with_name(f"{'-'.join(file.name.split('-')[:2])}.parquet"))
