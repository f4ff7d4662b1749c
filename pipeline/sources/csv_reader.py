"""CSV files as frames of strings; a line that is no row comes whole, in `__line`.

Lines end in LF, CR LF or CR. A file that is read by lines may mix them. In a multi-line file some
rows may end in LF and others in CR LF, the header too; a line break within a field then comes as
LF. Where no row ends in CR, a CR in a field stays. (A file that mixes CR alone with others is
refused, `damage`.) A line of nothing but spaces and control characters is no row.

Gives up: a file is compared to the source's header by position, so its columns must come in the
source's order. An empty field in quotation marks is null like one without.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.contracts.spark import quoted
from pipeline.sources.damage import ends_rows_in_crlf, open_decompressed
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.file_reader import charset_of, file_reader, paths_of
from pipeline.sources.reader_columns import FILE, LINE, UNKNOWN_KEY
from pipeline.sources.source import SourceDataset

# Spark's own default escape is a backslash; RFC 4180 and nearly every retailer double the quote.
_CSV_DEFAULTS = {"escape": '"', "header": "true"}
_CSV_NAMES = {"delimiter": "sep", "multiline": "multiLine"}
# Spark's parser keeps an array of so many; a garbled line can have more than its default of 20,480.
_MOST_COLUMNS = 100_000
_CHUNK_CHARACTERS = 1024 * 1024
_NOT_BLANK = r"[^\x00-\x20]"


def read_csv(
    spark: SparkSession, dataset: SourceDataset, files: Sequence[DeliveredFile], file: Column
) -> DataFrame:
    """The source's columns, `__line`, `__unknown_key` (null) and, as `file` says, `__file`."""
    given = _CSV_DEFAULTS | dict(dataset.options)
    given |= {
        "encoding": charset_of(spark, dataset),
        "multiline": str(dataset.is_multiline).lower(),
    }
    if given["escape"] == given.get("quote", '"'):
        # Left alone, Spark takes NUL for it and drops NULs from quoted fields.
        given["charToEscapeQuoteEscaping"] = given["escape"]
    schema = T.StructType(
        [T.StructField(name, T.StringType()) for name in (*dataset.columns, LINE)]
    )
    reader = (
        file_reader(spark)
        .schema(schema)
        .options(**{_CSV_NAMES.get(key, key): value for key, value in given.items()})
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", LINE)
        .option("maxColumns", _MOST_COLUMNS)
    )
    values = {name: F.col(quoted(name)) for name in dataset.columns}
    if not dataset.is_multiline:
        frame = reader.csv(paths_of(files))
        return frame.select(*values.values(), LINE, _no_key(), file.alias(FILE))
    by_end: defaultdict[str, list[DeliveredFile]] = defaultdict(list)
    for one in files:
        by_end[_line_end(dataset, one)].append(one)
    frames = []
    for end, ended_so in sorted(by_end.items()):
        # Left alone, Spark takes the first line's end for that of every line.
        frame = reader.option("lineSep", end[-1]).csv(paths_of(ended_so))
        lines = [
            _without_cr(value, end, is_last=name == dataset.columns[-1]).alias(name)
            for name, value in values.items()
        ]
        rows = frame.select(*lines, LINE, _no_key(), file.alias(FILE))
        frames.append(rows.where(_is_row(dataset)))
    return reduce(DataFrame.unionByName, frames)


def _no_key() -> Column:
    return F.lit(None).cast("string").alias(UNKNOWN_KEY)


def _line_end(dataset: SourceDataset, file: DeliveredFile) -> str:
    """CR LF where any row ends so, LF where none does, CR where the file has no LF."""
    found = ""
    with open_decompressed(file) as stream:
        text = io.TextIOWrapper(stream, dataset.encoding, errors="replace", newline="")
        while chunk := text.read(_CHUNK_CHARACTERS):
            found = "".join(c for c in "\r\n" if c in found or c in chunk)
            if found == "\r\n":
                return "\r\n" if ends_rows_in_crlf(dataset, file) else "\n"
    return found or "\n"


def _without_cr(value: Column, end: str, *, is_last: bool) -> Column:
    """A field of a line that ends in CR (LF): its breaks are LF, and the last has the line's CR."""
    if end == "\n":
        return value
    value = F.replace(value, F.lit(end), F.lit("\n"))
    if end == "\r" or not is_last:
        return value
    whole = F.when(value.endswith("\r"), F.left(value, F.length(value) - 1)).otherwise(value)
    return F.nullif(whole, F.lit(""))


def _is_row(dataset: SourceDataset) -> Column:
    """Whether what was read is no blank line; in one column such a line is a row like others."""
    first = F.col(quoted(dataset.columns[0]))
    if len(dataset.columns) == 1:
        return F.coalesce(F.col(LINE), first, F.lit("")).rlike(_NOT_BLANK)
    # Spark lets nobody ask for `__line` alone.
    return (
        F.col(LINE).isNull()
        | F.col(LINE).rlike(_NOT_BLANK)
        | F.coalesce(first.rlike(_NOT_BLANK), F.lit(False))
    )
