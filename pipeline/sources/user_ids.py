"""The retailer's user ids in raw files, as a source maps them: what an export is keyed by.

Read by the reader and the expression that cleaning uses, so that the same id comes out. No shuffle:
ids would lie in Spark's scratch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from pipeline.error_words import in_words
from pipeline.errors import ContractError, InputError
from pipeline.sources.expressions import expression_faults, mapped_values
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.readers import read_rows
from pipeline.sources.source import SourceDataset


def given_user_ids(
    spark: SparkSession,
    dataset: SourceDataset,
    raw_root: Path | str,
    files: Sequence[DeliveredFile],
) -> Iterator[str]:
    """The user id of each row of some files, in no order; an id comes as often as it stands there.

    Raises:
        ContractError: an expression of the source is wrong.
        InputError: Spark cannot read the files.
    """
    raw = read_rows(spark, dataset, raw_root, list(files))
    if faults := expression_faults(raw, dataset):
        raise ContractError(f"{dataset.where}: " + "; ".join(faults))
    values, _ = mapped_values(raw, dataset)
    ids = raw.select(values["user_id"].alias("user_id")).where("user_id IS NOT NULL")
    try:
        yield from _different(row["user_id"] for row in ids.toLocalIterator())
    except (PySparkException, Py4JJavaError) as error:
        raise InputError(
            f"{dataset.where}: the ids cannot be read: {in_words(error)}; "
            "`nightcart source check` says more"
        ) from None


def _different(ids: Iterator[str]) -> Iterator[str]:
    """Without an id that stood in the row before: rows of a file are often in runs."""
    before = None
    for own in ids:
        if own != before:
            yield own
        before = own
