"""From pseudonyms back to the retailer's own ids, by whoever has the key.

Reads the raw files of users, and of events and reviews where those do not know everybody; hashes
each id as cleaning does and keeps those whose pseudonym is asked for. So an id that was read in
another way than cleaning reads it is not found; a wrong one cannot be. Nothing is written, and the
pairs live in this process only: about 200 bytes a shopper.

A `user_id` that a source maps from one column as it stands is read by DuckDB, in a tenth of the
time that Spark takes to start. Every other mapping is Spark SQL, and is left to Spark
(`pipeline.sources.user_ids`), which the caller hands in. So is a CSV file whose quotes go over
lines, meant (`multiline`) or not: Spark takes each line for itself, DuckDB does not. The newest
files are read first, and no more than are needed.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.pseudonym import pseudonym
from pipeline.publishing.sql_values import sql_files, sql_text
from pipeline.sources.damage import open_decompressed
from pipeline.sources.dialect import UTF_8
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import Source, SourceDataset

log = logging.getLogger("nightcart")

USER_ID = "user_id"
# Where a shopper's id is looked for, in this order.
LOOKED_AT = ("users", "events", "reviews")

BySpark = Callable[[SourceDataset, Sequence[DeliveredFile]], Iterable[str]]

_COLUMN = re.compile(r"`([^`]+)`|(\w+)")
_BLANK = bytes(range(0x21))  # of a line that is none to Spark
_BUFFER = 1 << 20
_BATCH = 20_000
_FILES_AT_ONCE = 32


def own_ids(
    source: Source, raw_root: str, key: bytes, wanted: Collection[str], by_spark: BySpark
) -> dict[str, str]:
    """The retailer's ids of as many shoppers as the raw files know, by pseudonym.

    Args:
        source: of the retailer, with its time zone filled in.
        raw_root: where the files lie.
        key: of the pseudonyms.
        wanted: pseudonyms.
        by_spark: reads the ids of some files of a dataset by its mapping.

    Raises:
        InputError: no file knows any of them, or a file is not what the source says.
    """
    missing, found = set(wanted), dict[str, str]()
    looked: list[str] = []
    for name in LOOKED_AT:
        dataset = source.datasets.get(name)
        if not missing or dataset is None or USER_ID not in dataset.mapping:
            continue
        files = dataset.pattern.files(raw_root)
        looked.append(f"{len(files):,} of {name} ({dataset.files})")
        for ids in _ids(dataset, files, by_spark):
            for own in ids:
                hashed = pseudonym(own, key)
                if hashed in missing:
                    missing.discard(hashed)
                    found[hashed] = own
                    if not missing:
                        return found
        log.info("%s: %s of %s shoppers known", name, f"{len(found):,}", f"{len(wanted):,}")
    if wanted and not found:
        raise InputError(
            f"none of the {len(wanted):,} shoppers is in the files below {raw_root} (looked at "
            f"{', '.join(looked) or f'nothing: source {source.name} has no user_id'}). Have the "
            "files with the shoppers' ids there as they were cleaned, or export with --ids "
            "pseudonym"
        )
    return found


def plain_column(dataset: SourceDataset) -> str | None:
    """The raw column that is the user id as it stands; none where the mapping says more.

    A column of a joined file or of an array's element is more: Spark makes it.
    """
    match = _COLUMN.fullmatch(dataset.mapping[USER_ID].strip())
    if match is None or dataset.layouts:
        return None
    name = match[1] or match[2]
    return next((column for column in dataset.own.columns if column.lower() == name.lower()), None)


def _ids(
    dataset: SourceDataset, files: Sequence[DeliveredFile], by_spark: BySpark
) -> Iterator[Iterable[str]]:
    """The ids in some files, the newest files first; as they are found."""
    column = plain_column(dataset)
    read_by_spark = partial(by_spark, dataset)
    if column is not None:
        dataset = dataset.own
    newest_first = sorted(files, key=lambda file: (str(file.date), file), reverse=True)
    for start in range(0, len(newest_first), _FILES_AT_ONCE):
        some = newest_first[start : start + _FILES_AT_ONCE]
        damaged = check_files(dataset, some)
        for damage in damaged:
            log.warning("%s: left out", damage)
        whole = [file for file in some if file not in [damage.file for damage in damaged]]
        for done, file in enumerate(whole):
            if column is not None and _is_plain(dataset, file, column):
                yield from _by_duckdb(dataset, file, column)
                continue
            # All that is left at once: each query of Spark's has its price.
            older = _undamaged(dataset, newest_first[start + _FILES_AT_ONCE :])
            yield read_by_spark([*whole[done:], *older])
            return


def _undamaged(dataset: SourceDataset, files: Sequence[DeliveredFile]) -> list[DeliveredFile]:
    damaged = check_files(dataset, files)
    for damage in damaged:
        log.warning("%s: left out", damage)
    return [file for file in files if file not in [damage.file for damage in damaged]]


def _is_plain(dataset: SourceDataset, file: DeliveredFile, column: str) -> bool:
    """Whether DuckDB reads the column as Spark does."""
    if dataset.format == "parquet":
        kind = pq.read_schema(file.path).field(column).type
        return bool(pa.types.is_string(kind) or pa.types.is_integer(kind))
    if dataset.encoding != UTF_8 or dataset.is_multiline or file.path.suffix == ".bz2":
        return False
    return dataset.format != "csv" or _rows_by_duckdb(dataset, file) == _lines(dataset, file)


def _rows_by_duckdb(dataset: SourceDataset, file: DeliveredFile) -> int | None:
    """How many it finds; none where it gives up."""
    with _connection() as connection:
        try:
            found = connection.execute(f"SELECT count(*) FROM {_reader(dataset, file)}").fetchone()  # noqa: S608
        except duckdb.Error:
            return None
    return int(found[0]) if found else None


def _lines(dataset: SourceDataset, file: DeliveredFile) -> int:
    """The lines that Spark takes for rows."""
    comment = dataset.options.get("comment", "").encode()
    with open_decompressed(file) as stream:
        lines = sum(
            1
            for line in io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER)
            if line.strip(_BLANK) and not (comment and line.startswith(comment))
        )
    return lines - dataset.has_header


def _by_duckdb(dataset: SourceDataset, file: DeliveredFile, column: str) -> Iterator[list[str]]:
    """Batches of the different ids of a file.

    Raises:
        InputError: it cannot be read.
    """
    name = '"' + column.replace('"', '""') + '"'
    read = _reader(dataset, file)
    with _connection() as connection:
        try:
            cursor = connection.execute(
                f"SELECT DISTINCT {name}::VARCHAR FROM {read} WHERE {name} IS NOT NULL"  # noqa: S608
            )
            while batch := cursor.fetchmany(_BATCH):
                yield [own for (own,) in batch]
        except duckdb.Error as error:
            # What it says may quote a row.
            raise InputError(
                f"{dataset.where}: {file.path} cannot be read for its ids "
                f"({type(error).__name__}); `nightcart source check` says more"
            ) from None


def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 2})
    # What does not fit into memory would be put aside in the working directory, raw ids too.
    connection.execute("SET temp_directory = ''")
    return connection


def _reader(dataset: SourceDataset, file: DeliveredFile) -> str:
    files = sql_files([file.path])
    if dataset.format == "parquet":
        return f"read_parquet({files})"
    if dataset.format == "jsonl":
        kinds = ", ".join(f"{sql_text(name)}: 'VARCHAR'" for name in dataset.columns)
        return (
            f"read_json({files}, format = 'newline_delimited', columns = {{{kinds}}}, "
            "ignore_errors = true)"
        )
    options = dataset.options
    quote = options.get("quote", '"')
    said = {
        "delim": options.get("delimiter", ","),
        "quote": quote,
        "escape": options.get("escape", '"') if quote else "",
    }
    if "comment" in options:
        said["comment"] = options["comment"]
    words = ", ".join(f"{name} = {sql_text(value)}" for name, value in said.items())
    kinds = ", ".join(f"{sql_text(name)}: 'VARCHAR'" for name in dataset.columns)
    header = str(dataset.has_header).lower()
    return (
        f"read_csv({files}, {words}, header = {header}, columns = {{{kinds}}}, "
        "auto_detect = false, strict_mode = false, null_padding = true, ignore_errors = true, "
        "parallel = false)"
    )
