"""The triggers of a night as rows of an export: one a shopper, the best trigger first.

Reads the files of published triggers, whose rows lie by shopper and rank. Memory holds one batch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.lake import Partition

_BATCH = 2000
_COLUMNS = [
    "user_id",
    "kind",
    "item_id",
    "title",
    "price",
    "price_before",
    "lowest_price",
    "valid_until",
]


def trigger_rows(
    triggers: Partition, today: dt.date, progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """Each shopper's triggers that still hold, in the shape of a list.

    Args:
        today: triggers that hold until an earlier day are left out; a shopper may have none left.
    """
    for path in triggers.files:
        for user_id, rows in groupby(_triggers(path, progress), lambda row: row["user_id"]):
            holding = [row for row in rows if row["valid_until"] >= today]
            yield {
                "user_id": user_id,
                "items": holding,
                "language": None,
                "method": None,
                "reason": None,
            }


def _triggers(path: Path, progress: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH, columns=_COLUMNS):
            yield from batch.to_pylist()
            progress(batch.num_rows)
