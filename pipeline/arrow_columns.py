"""Arrow as this room uses it: columns in one piece, and its functions without their type stubs.

The stubs of pyarrow refuse much of what pyarrow accepts (NumPy indices, scalars, list arrays from
tables); what comes out of a column is `Any` here and typed again where it is used.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute

compute: Any = pyarrow.compute

Column: TypeAlias = Any  # an Arrow array in one piece
Lists: TypeAlias = Any  # an Arrow list array in one piece


def column(table: pa.Table, name: str) -> Column:
    """One column, its chunks joined."""
    return table.column(name).combine_chunks()


def numbers(array: Column) -> np.ndarray[Any, np.dtype[np.int64]]:
    """An integer column without nulls as NumPy's int64."""
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)


def python_lists(lists: Lists) -> list[list[str]]:
    """A list column as Python lists; a null counts as empty.

    One conversion of all values and a slice a row: about ten times as fast as `to_pylist`.
    """
    values = lists.flatten().to_pylist()
    ends = np.cumsum(numbers(compute.fill_null(compute.list_value_length(lists), 0)))
    starts = np.concatenate([[0], ends])[:-1]
    return [values[start:end] for start, end in zip(starts, ends, strict=True)]
