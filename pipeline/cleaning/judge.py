"""Everything that looks at several rows that belong together, on rows that were shuffled once.

The frame that `judge` is given has the cleaned columns and `tagging.TAGS`, and all rows that are
judged together lie in one task (`day_files.place`): of events and reviews a user's own day, of
items and users the rows of one key and delivery. Rows with another fate than `out` pass through as
they are; their `user_id` is a hash of their own.

  5. duplicates by key (`duplicates`)
  6. of events, bots (`bots`)
  7. of events, near duplicates (`near_duplicates`): after bots, whose haste is evidence

It is one function of all rows of a user's day, whichever delivery brought them. A delivery judges
the rows of its own day here; rows of earlier days are put aside as `late` and judged together with
what is known of their day (`late_rows`), by this same function.

One sort, which is that of the files, and one look: the rules are written over arrays (`verdicts`),
because a window of Spark's copies whole rows, and seven steps of it cost more than reading them.

Rules over several users' rows, such as of many reviews of one item, are not for here: they need
rows that lie elsewhere, and another answer to late ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf

from pipeline.cleaning.bots import BotLimits, without_bots
from pipeline.cleaning.duplicates import without_duplicates
from pipeline.cleaning.near_duplicates import repetitions, without_repetitions
from pipeline.cleaning.tagging import (
    BUCKET,
    CONTENT,
    EVIDENCE,
    FATE,
    ORDER,
    OUT,
    OWN_DAY,
    QUARANTINED,
    RAW,
    REASON,
    REMOVED,
    Rules,
)
from pipeline.cleaning.verdicts import (
    ACT_TYPES,
    VERDICT_TYPE,
    Acts,
    Rows,
    Verdicts,
    groups_of,
    whole_groups,
)
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import quoted
from pipeline.sources.readers import DAY
from pipeline.sources.source import KEY_COLUMN, TIME_COLUMN, SourceDataset

_VERDICT, _RANK = "__verdict", "__rank"


def together(dataset: str) -> tuple[str, ...]:
    """The columns that rows share which a delivery judges together.

    The user (item) first: Spark sorts by the first eight bytes of the first column before it looks
    at a row. The delivery too: it keeps rows that came late, which are not judged here, apart.
    """
    first = "user_id" if dataset in TIME_COLUMN else KEY_COLUMN[dataset]
    return (first, OWN_DAY, BUCKET, DAY)


def judge(frame: DataFrame, rules: Rules, share: Sequence[str] = ()) -> DataFrame:
    """The same rows and columns; fate, reason, evidence and raw row are set for those that lose.

    They leave in the order of the files: by `share`, of events and reviews then by time and id.

    Args:
        frame: see the module's docstring.
        rules: whose dataset says which rules there are.
        share: the columns that rows share which are judged as one; by default `together`.
    """
    dataset = rules.dataset
    key = KEY_COLUMN[dataset.name]
    share = share or together(dataset.name)
    ordered, rank = _winners_first(frame, dataset, share)
    asked = [
        F.xxhash64(*share),
        F.col(FATE) == OUT,
        F.col(key),
        F.col(CONTENT),
        *rank,
        *(_of_acts() if dataset.name == "events" else ()),
    ]
    look = arrow_udf(_looks(rules, is_ranked=bool(rank)), VERDICT_TYPE)  # type: ignore[call-overload]
    # Told so, Spark leaves the sort before it alone: what it says depends on the rows around.
    told = ordered.withColumn(_VERDICT, look.asNondeterministic()(*asked))
    fate, reason, seen = (F.col(_VERDICT).getField(name) for name in ("fate", "reason", "evidence"))
    cleaned = load_contract(f"cleaned_{dataset.name}").column_names
    # A row that loses was good: what is kept of it is what it was cleaned to.
    as_cleaned = F.to_json(F.struct(*(F.col(quoted(name)) for name in cleaned)))
    judged = {
        FATE: F.coalesce(fate, F.col(FATE)),
        REASON: F.coalesce(reason, F.col(REASON)),
        EVIDENCE: F.coalesce(seen, F.col(EVIDENCE)),
        RAW: F.when(fate == QUARANTINED, as_cleaned).otherwise(F.col(RAW)),
    }
    return told.select(*(judged.get(name, F.col(name)).alias(name) for name in frame.columns))


def _winners_first(
    frame: DataFrame, dataset: SourceDataset, share: Sequence[str]
) -> tuple[DataFrame, list[Column]]:
    """The frame sorted, and the place of a row among those of its key where its order is another.

    Spark compares the source's own order, which may be of any type.
    """
    content = F.col(CONTENT).asc()
    latest = [F.col(ORDER).desc_nulls_last()] if dataset.latest_by else []
    if dataset.name not in TIME_COLUMN:
        refusal = [F.col("consent").asc()] if dataset.name == "users" else []
        return frame.sortWithinPartitions(*share, *latest, *refusal, content), []
    key = KEY_COLUMN[dataset.name]
    if latest:
        # Of earlier deliveries no order of the source is kept, hence the delivery.
        of_key = Window.partitionBy(*share, key).orderBy(F.col(DAY).desc(), *latest, content)
        frame = frame.withColumn(_RANK, F.row_number().over(of_key))
    ordered = frame.sortWithinPartitions(*share, TIME_COLUMN[dataset.name], key, content)
    return ordered, [F.col(_RANK)] if latest else []


def _of_acts() -> list[Column]:
    number = " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(ACT_TYPES))
    thing = F.when(F.col("event_type") == "search", F.col("query")).otherwise(F.col("item_id"))
    return [
        F.expr(f"CAST(CASE event_type {number} ELSE -1 END AS tinyint)"),
        F.coalesce(F.unix_micros("event_time"), F.lit(0)),
        F.xxhash64(thing),
    ]


def _looks(
    rules: Rules, *, is_ranked: bool
) -> Callable[[Iterator[tuple[pa.Array[Any], ...]]], Iterator[pa.Array[Any]]]:
    """What a worker does with the columns that `judge` asks for.

    Args:
        rules: of the dataset.
        is_ranked: the place of a row among those of its key is one of the columns.
    """
    is_events = rules.dataset.name == "events"
    rules = replace(rules, key=b"")  # no rule here asks for it, and all of this goes to workers

    # Spark reads these hints when it is told of the function, and pa.Array takes no parameter then.
    def look(batches: Iterator[tuple[pa.Array, ...]]) -> Iterator[pa.Array]:  # type: ignore[type-arg]
        for share, is_good, key, content, *others in whole_groups(batches):
            columns = [column.to_numpy() for column in others]
            rank = columns.pop(0) if is_ranked else np.arange(len(share))
            rows = Rows(
                groups_of(share),
                is_good.to_numpy(zero_copy_only=False),
                key,
                content.to_numpy(),
                rank,
                Acts(*columns) if is_events else None,
            )
            yield verdicts_of(rows, rules).to_arrow()

    return look


def verdicts_of(rows: Rows, rules: Rules) -> Verdicts:
    """The rules over several rows, one after the other.

    Args:
        rows: whole groups, of events in the order of time and id.
        rules: of the dataset.
    """
    dataset, limits = rules.dataset, rules.limits
    differs = (
        (REMOVED, "superseded")
        if dataset.latest_by
        else (QUARANTINED, f"{KEY_COLUMN[dataset.name]}_conflict")
    )
    verdicts = Verdicts(rows.is_good)
    without_duplicates(rows, verdicts, differs)
    if rows.acts is None:
        return verdicts
    found = repetitions(rows, verdicts, limits.near_duplicate_seconds, limits.near_duplicate_types)
    bots = BotLimits(
        limits.bot_max_events_per_day,
        limits.bot_max_items_per_day,
        limits.bot_no_dwell_min_events,
        limits.bot_no_dwell_seconds,
    )
    without_bots(rows, verdicts, bots)
    without_repetitions(rows, verdicts, found)
    return verdicts
