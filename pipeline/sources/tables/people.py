"""Whose rows a table's rows are: the ids that raw values may become by the source's mapping.

A fetch leaves out who was erased from the lake, and an erasure finds them in what was kept, both
before any row is mapped. Only columns that a mapping of `user_id` reads are looked at: that of the
table's own dataset, and of each that reads the same files. Of a value its text counts, as it is and
without the spaces around it and a fraction of zeros; in small or capital letters too, where an
expression says `lower` or `upper`, and as a whole number, where one casts to it.

Gives up: an expression that puts an id together out of parts, or hashes it; ids in an array that
becomes rows. `is_plain` says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import pyarrow as pa

from pipeline.arrow_columns import Column
from pipeline.arrow_columns import compute as pc
from pipeline.sources.source import SourceDataset, columns_read

_ZEROS = re.compile(r"\.0+$")
# What Spark makes a whole number of: "0017", "+17" and "17.9" are 17.
_NUMBER = re.compile(r"([+-]?)(\d*)(?:\.\d*)?")
_BLANKS = "".join(map(chr, [*range(33), 127]))  # around a number, to Spark
_WHOLE = {"bigint", "int", "long"}
# An expression of these alone gives an id that some raw column holds.
_KEEPS_IDS = {
    *("as", "cast", "coalesce", "ifnull", "lower", "nullif", "null"),
    *("nvl", "string", "trim", "try_cast", "upper", "varchar"),
    *_WHOLE,
}


@dataclass(frozen=True)
class PersonColumns:
    """The columns of a table that hold ids of users, and the expressions that make ids of them.

    Attributes:
        names: the table's columns.
        expressions: of all datasets that read the table's files.
        amid: whether an id stands within a column, as one of an array that becomes rows.
    """

    names: tuple[str, ...]
    expressions: tuple[str, ...]
    amid: bool = False

    @classmethod
    def of(cls, dataset: SourceDataset, datasets: Iterable[SourceDataset]) -> PersonColumns:
        """Those of a dataset's own table, by the mappings of all of a source's datasets."""
        names, expressions, amid = set(), [], False
        own = {name.lower(): name for name in dataset.own.columns}
        for reader in datasets:
            for sql, read in _ids_from(reader, dataset.files):
                expressions.append(sql)
                names |= {own[name.lower()] for name in read if name.lower() in own}
                amid |= any(name.lower() not in own for name in read)
        ordered = tuple(name for name in dataset.own.columns if name in names)
        return cls(ordered, tuple(dict.fromkeys(expressions)), amid)

    @property
    def is_plain(self) -> bool:
        """Whether an id is what a column holds."""
        names = {name.lower() for name in self.names}
        return not self.amid and all(_is_plain(sql, names) for sql in self.expressions)

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
        if _is_float(value) and value:
            found.add(_with_exponent(value))
        words = self._words
        if words & _WHOLE:
            found |= _whole_numbers(format(Decimal(text), "f") if _is_float(value) else text)
        if "lower" in words:
            found |= {one.lower() for one in found}
        if "upper" in words:
            found |= {one.upper() for one in found}
        return found

    @cached_property
    def _words(self) -> set[str]:
        return {word for sql in self.expressions for word in _words_of(sql)}

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


def _ids_from(reader: SourceDataset, files: str) -> Iterator[tuple[str, list[str]]]:
    """Each expression of a dataset that makes ids of users of some files, and their columns in it.

    The files are the dataset's own, or joined with them: then their columns bear the join's name.
    """
    prefixes = [f"{join.name}." for join in reader.joins]
    for one in reader.layouts or (reader,):
        sql = one.mapping.get("user_id", "")
        read = columns_read(sql, reader.columns)
        if one.files == files:
            own = [name for name in read if not name.startswith(tuple(prefixes))]
            if own:
                yield sql, own
        for join, prefix in zip(reader.joins, prefixes, strict=True):
            theirs = [name.removeprefix(prefix) for name in read if name.startswith(prefix)]
            if theirs and join.table.files == files:
                yield sql, theirs


def _bare(sql: str) -> str:
    """An expression without what stands in quotes."""
    return re.sub(r"`[^`]*`|'(?:[^'\\]|\\.)*'", "", sql)


def _words_of(sql: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Za-z_]\w*", _bare(sql))}


def _is_plain(sql: str, names: set[str]) -> bool:
    return not re.search(r"[|+*/\-%]", _bare(sql)) and _words_of(sql) <= _KEEPS_IDS | names


def _is_float(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _with_exponent(value: float) -> str:
    """As Spark writes a number of ten million or more, or below a thousandth: 1.7E7."""
    exact = Decimal(repr(value)).normalize()
    sign, digits, _ = exact.as_tuple()
    rest = "".join(map(str, digits[1:])) or "0"
    return f"{'-' * sign}{digits[0]}.{rest}E{exact.adjusted()}"


def _whole_numbers(text: str) -> set[str]:
    """The whole number that a cast makes of a text; none where it makes null."""
    found = _NUMBER.fullmatch(text.strip(_BLANKS))
    if found is None or not found[0].strip("+-"):
        return set()
    return {str(int(found[1] + (found[2] or "0")))}
