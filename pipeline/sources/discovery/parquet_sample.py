"""The first rows of a Parquet file, as Python values that look as the reader gives them."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.sources.parquet_by_arrow import python_values

BATCH_ROWS = 1000


def parquet_rows(path: Path, limit: int) -> tuple[list[str], list[dict[str, Any]], bool]:
    """The columns, at most `limit` rows, and whether these are all.

    Raises:
        ValueError: Arrow cannot read the file.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            rows: list[dict[str, Any]] = []
            for batch in file.iter_batches(batch_size=min(limit, BATCH_ROWS)):
                some = batch.slice(0, limit - len(rows))
                columns = [map(_plain, python_values(values)) for values in some.columns]
                rows += [
                    dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)
                ]
                if len(rows) >= limit:
                    break
            return names, rows, len(rows) == file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return _text(value) if isinstance(value, _TEXTS) else value


_TEXTS = (dt.date, dt.time, decimal.Decimal, bytes)  # a datetime is a date, too


def _text(value: dt.date | dt.time | decimal.Decimal | bytes) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        try:
            return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ") + "Z"
        except OverflowError:  # the first or last hours of the calendar, in another zone
            return value.isoformat(" ")
    text = str(value)
    is_decimal = isinstance(value, decimal.Decimal) and "." in text
    return text.rstrip("0").rstrip(".") if is_decimal else text
