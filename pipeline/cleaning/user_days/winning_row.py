"""Which of several rows with one key wins.

The latest one wins: by the delivery, then by the source's own order (`latest_by`). Where a source
gives no such order, the earliest event or review wins. The smaller hash of the row decides between
equals. If neither of two entries of one user is known to be the later, the one without consent
wins.

The order is Spark's, because the source's own order may be of any type; `duplicates` says what
becomes of the rows that lose.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.rows.row_rules import CONTENT, ORDER
from pipeline.sources.reader_columns import DAY
from pipeline.sources.source import KEY_COLUMN, TIME_COLUMN, SourceDataset

_RANK = "__rank"


def winners_first(
    frame: DataFrame, dataset: SourceDataset, share: Sequence[str]
) -> tuple[DataFrame, list[Column]]:
    """The frame sorted, and the rank of a row among those of its key where the sort is another.

    Rows of items and users leave with the winner of each key first. Events and reviews leave by
    time and key, in the order of the files, so the rank is a column of its own where the source
    has an order.

    Args:
        frame: rows that the rules compare lie in one task.
        dataset: whose rows.
        share: the columns that compared rows have in common.
    """
    content = F.col(CONTENT).asc()
    latest = [F.col(ORDER).desc_nulls_last()] if dataset.latest_by else []
    if dataset.name not in TIME_COLUMN:
        refusal = [F.col("consent").asc()] if dataset.name == "users" else []
        return frame.sortWithinPartitions(*share, *latest, *refusal, content), []
    key = KEY_COLUMN[dataset.name]
    if latest:
        # The source's own order is not kept for earlier deliveries, so the delivery comes first.
        of_key = Window.partitionBy(*share, key).orderBy(F.col(DAY).desc(), *latest, content)
        frame = frame.withColumn(_RANK, F.row_number().over(of_key))
    ordered = frame.sortWithinPartitions(*share, TIME_COLUMN[dataset.name], key, content)
    return ordered, [F.col(_RANK)] if latest else []
