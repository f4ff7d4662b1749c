"""Whose rows a table's rows are: the ids that raw values may become by the source's mapping.

A fetch leaves out who was erased from the lake, and an erasure finds them in what was kept, both
before any row is mapped. Only columns that the mapping of `user_id` reads are looked at. Of a value
its text counts, as it is and without the spaces around it and a fraction of zeros; in small or
capital letters too, where the expression says `lower` or `upper`.

Gives up: an expression that puts an id together out of parts, or hashes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipeline.arrow_columns import Column
from pipeline.arrow_columns import compute as pc
from pipeline.sources.source import SourceDataset

_ZEROS = re.compile(r"\.0+$")
# An expression of these alone gives an id that some raw column holds.
_KEEPS_IDS = {
    *("as", "bigint", "cast", "coalesce", "ifnull", "int", "long", "lower", "nullif", "null"),
    *("nvl", "string", "trim", "try_cast", "upper", "varchar"),
}


@dataclass(frozen=True)
class PersonColumns:
    """The columns of a table that hold ids of users, and the expression that makes ids of them."""

    names: tuple[str, ...]
    expression: str

    @classmethod
    def of(cls, dataset: SourceDataset) -> PersonColumns:
        """Those of a dataset's own table; none where its ids come from a joined file."""
        named = (*dataset.user_columns, *dataset.users_elsewhere)
        own = tuple(name for name in dict.fromkeys(named) if name in dataset.own.columns)
        return cls(own, dataset.mapping.get("user_id", ""))

    @property
    def is_plain(self) -> bool:
        """Whether an id is what a column holds."""
        bare = re.sub(r"`[^`]*`|'(?:[^'\\]|\\.)*'", "", self.expression)
        words = {word.lower() for word in re.findall(r"[A-Za-z_]\w*", bare)}
        names = {name.lower() for name in self.names}
        return not re.search(r"[|+*/\-%]", bare) and words <= _KEEPS_IDS | names

    def ids_of(self, value: Any) -> set[str]:
        """The ids that a raw value may become."""
        if value is None or isinstance(value, bool):
            return set()
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
        if isinstance(value, bytes):
            text = value.decode(errors="replace")
        found = {text, text.strip(), _ZEROS.sub("", text.strip())}
        if isinstance(value, float) and value.is_integer():
            found.add(str(int(value)))
        said = self.expression.lower()
        if "lower" in said:
            found |= {one.lower() for one in found}
        if "upper" in said:
            found |= {one.upper() for one in found}
        return found

    def held(self, rows: pa.Table | pa.RecordBatch, is_one: Callable[[str], bool]) -> Column:
        """Which rows have an id for which `is_one` is true; each distinct value is asked once."""
        held: Column = pa.array([False] * rows.num_rows, pa.bool_())
        for name in self.names:
            if name not in rows.schema.names:
                continue
            column: Column = rows.column(name)
            if isinstance(column, pa.ChunkedArray):
                column = column.combine_chunks()
            if pa.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            if pa.types.is_nested(column.type):
                said = [any(map(is_one, _within(self, value))) for value in column.to_pylist()]
                held = pc.or_(held, pa.array(said, pa.bool_()))
                continue
            values: list[Any] = pc.unique(column).to_pylist()
            theirs = [value for value in values if any(map(is_one, self.ids_of(value)))]
            if theirs:
                held = pc.or_(held, pc.is_in(column, value_set=pa.array(theirs, column.type)))
        return pc.fill_null(held, False)


def _within(people: PersonColumns, value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _within(people, part)
    else:
        yield from people.ids_of(value)
