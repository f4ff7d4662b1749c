"""Which rows of the overlap were taken by other fetches.

Rows are compared by all their columns, so that a row whose key is not as unique as was thought is
not lost. Of acts each copy counts: a row that was taken twice is left out twice. Of items and users
the newest row of a key that was taken before counts: what changed and changed back is taken.
Memory: about 150 bytes a row of the overlap.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.sources.tables.reader import NOT_OF_TYPE
from pipeline.sources.tables.window import Value

_Columns = Sequence[str]

_TIME = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?P<fraction>\.\d+)?(?P<utc>\+00(:00)?)?"
)


class Taken:
    """Rows of other fetches, from `files` in the order of their days."""

    def __init__(
        self, files: Iterable[Path], columns: _Columns, key: _Columns, watermark: str, lower: Value
    ) -> None:
        """Read them.

        Args:
            files: Parquet.
            columns: what a row is compared by.
            key: of a row that says how something is now; none for acts.
            watermark: the column of `lower`.
            lower: rows below it are not asked for; None: all are.
        """
        self._columns, self._key = columns, key
        self._copies: Counter[bytes] = Counter()
        self._newest: dict[bytes, bytes] = {}
        for batch in _batches(files, columns, watermark, lower):
            for key_digest, digest in self._digests(batch):
                if key:
                    self._newest[key_digest] = digest
                else:
                    self._copies[digest] += 1

    def without(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch without the rows that were taken before."""
        if not self._copies and not self._newest:
            return batch
        is_new = []
        for key_digest, digest in self._digests(batch):
            if self._key:
                is_new.append(self._newest.get(key_digest) != digest)
            elif self._copies[digest]:
                self._copies[digest] -= 1
                is_new.append(False)
            else:
                is_new.append(True)
        return batch.filter(pa.array(is_new, pa.bool_()))

    def _digests(self, batch: pa.RecordBatch) -> Iterator[tuple[bytes, bytes]]:
        """Of each row: of its key (empty without one), and of all its columns."""
        values = {name: batch.column(name).to_pylist() for name in self._columns}
        keys = [values[name] for name in self._key]
        for row in zip(*values.values(), range(batch.num_rows), strict=True):
            key = _digest(column[row[-1]] for column in keys) if keys else b""
            yield key, _digest(row[:-1])


def _digest(values: Iterable[Any]) -> bytes:
    """Of values as texts: a column that became text since still holds the same."""
    texts = tuple(None if value is None else _text(value) for value in values)
    return blake2b(repr(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _text(value: Any) -> str:
    """A value as a database writes it that hands it over as text."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    time = _TIME.fullmatch(text)
    if time is None:
        return text
    # 10:00:00.500000+00:00 and 10:00:00.5+00 are one time.
    fraction = (time["fraction"] or "").rstrip("0").rstrip(".")
    return time["seconds"] + fraction + ("+00" if time["utc"] else "")


def _batches(
    files: Iterable[Path], columns: _Columns, watermark: str, lower: Value
) -> Iterator[pa.RecordBatch]:
    for path in files:
        rows = ds.dataset(path, format="parquet")
        wanted = None
        if lower is not None:
            kind = rows.schema.field(watermark).type
            least = Decimal(lower) if pa.types.is_decimal(kind) else lower
            # A number before all that the type can hold, such as -1 where it is unsigned, leaves
            # out none.
            with contextlib.suppress(*NOT_OF_TYPE):
                wanted = ds.field(watermark) >= pa.scalar(least, kind)
        yield from rows.to_batches(columns=list(columns), filter=wanted, use_threads=False)
