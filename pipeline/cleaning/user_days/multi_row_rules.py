"""The rules that compare several rows, applied to rows that were shuffled once.

The frame has the cleaned columns and `row_rules.OUTCOME_COLUMNS`. All rows that are compared lie in
one task (`placement`): a user's own day for events and reviews, the rows of one key and delivery
for items and users. Rows with another outcome than `accepted` pass through as they are; their
`user_id` is a hash of their own.

  5. duplicates by key (`duplicates`, `winning_row`)
  6. bots, events only (`bots`)
  7. near duplicates, events only (`near_duplicates`): after bots, because a bot's haste is evidence

The outcome is one function of all rows of a user's day, whichever delivery brought them. A delivery
resolves the rows of its own day here. Rows of earlier days are put aside as `late` and resolved
with all that is known of their day (`late_rows`), by this same function.

There is one sort, which is that of the files, and one pass: the rules are written over arrays
(`row_arrays`), because a window of Spark copies whole rows, and seven such steps cost more than
reading them.

Rules over several users' rows, such as many reviews of one item, do not belong here: they need rows
that lie elsewhere, and another way to resolve late ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import arrow_udf

from pipeline.cleaning.rows.row_rules import (
    ACCEPTED,
    BUCKET,
    CONTENT,
    EVIDENCE,
    OUTCOME,
    OWN_DAY,
    QUARANTINED,
    RAW,
    REASON,
    REMOVED,
    Rules,
)
from pipeline.cleaning.user_days.bots import BotLimits, remove_bots
from pipeline.cleaning.user_days.duplicates import resolve_duplicates
from pipeline.cleaning.user_days.near_duplicates import remove_repetitions, repetitions
from pipeline.cleaning.user_days.row_arrays import (
    ACT_TYPES,
    OUTCOME_TYPE,
    Acts,
    Outcomes,
    Rows,
    groups_of,
    whole_groups,
)
from pipeline.cleaning.user_days.winning_row import winners_first
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import quoted
from pipeline.sources.reader_columns import DAY
from pipeline.sources.source import KEY_COLUMN, TIME_COLUMN

_NEW_OUTCOME = "__new_outcome"


def together(dataset: str) -> tuple[str, ...]:
    """The columns that rows have in common which a delivery compares.

    The user (item) comes first: Spark sorts by the first eight bytes of the first column before it
    looks at a row. The delivery is one of them: it keeps late rows, which are not compared here,
    apart.
    """
    first = "user_id" if dataset in TIME_COLUMN else KEY_COLUMN[dataset]
    return (first, OWN_DAY, BUCKET, DAY)


def apply_multi_row_rules(frame: DataFrame, rules: Rules, share: Sequence[str] = ()) -> DataFrame:
    """The same rows and columns; outcome, reason, evidence and raw row are set for those that lose.

    The rows leave in the order of the files: by `share`, events and reviews then by time and id.

    Args:
        frame: see the module's docstring.
        rules: whose dataset says which rules there are.
        share: the columns that compared rows have in common; by default `together`.
    """
    dataset = rules.dataset
    key = KEY_COLUMN[dataset.name]
    share = share or together(dataset.name)
    ordered, rank = winners_first(frame, dataset, share)
    columns = [
        F.xxhash64(*share),
        F.col(OUTCOME) == ACCEPTED,
        F.col(key),
        F.col(CONTENT),
        *rank,
        *(_of_acts() if dataset.name == "events" else ()),
    ]
    new_outcome = arrow_udf(outcome_function(rules, is_ranked=bool(rank)), OUTCOME_TYPE)  # type: ignore[call-overload]
    # Declared so, Spark leaves the sort before it alone: an outcome depends on the rows around.
    resolved = ordered.withColumn(_NEW_OUTCOME, new_outcome.asNondeterministic()(*columns))
    outcome, reason, seen = (
        F.col(_NEW_OUTCOME).getField(name) for name in ("outcome", "reason", "evidence")
    )
    cleaned = load_contract(f"cleaned_{dataset.name}").column_names
    # A row that loses was good: its cleaned columns are kept, not the raw ones.
    as_cleaned = F.to_json(F.struct(*(F.col(quoted(name)) for name in cleaned)))
    changed = {
        OUTCOME: F.coalesce(outcome, F.col(OUTCOME)),
        REASON: F.coalesce(reason, F.col(REASON)),
        EVIDENCE: F.coalesce(seen, F.col(EVIDENCE)),
        RAW: F.when(outcome == QUARANTINED, as_cleaned).otherwise(F.col(RAW)),
    }
    return resolved.select(*(changed.get(name, F.col(name)).alias(name) for name in frame.columns))


def _of_acts() -> list[Column]:
    number = " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(ACT_TYPES))
    thing = F.when(F.col("event_type") == "search", F.col("query")).otherwise(F.col("item_id"))
    return [
        F.expr(f"CAST(CASE event_type {number} ELSE -1 END AS tinyint)"),
        F.coalesce(F.unix_micros("event_time"), F.lit(0)),
        F.xxhash64(thing),
    ]


def outcome_function(
    rules: Rules, *, is_ranked: bool
) -> Callable[[Iterator[tuple[pa.Array[Any], ...]]], Iterator[pa.Array[Any]]]:
    """What a worker makes of the columns that `apply_multi_row_rules` sends: one outcome a row.

    Args:
        rules: of the dataset.
        is_ranked: the rank of a row among those of its key is one of the columns.
    """
    is_events = rules.dataset.name == "events"
    # No rule here needs them, and all of this goes to workers.
    rules = replace(rules, erased=frozenset())

    # Spark reads these hints when it is given the function, and pa.Array takes no parameter then.
    def outcomes(batches: Iterator[tuple[pa.Array, ...]]) -> Iterator[pa.Array]:  # type: ignore[type-arg]
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
            yield outcomes_of(rows, rules).to_arrow()

    return outcomes


def outcomes_of(rows: Rows, rules: Rules) -> Outcomes:
    """The outcomes that the rules over several rows set, one rule after the other.

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
    outcomes = Outcomes(rows.is_good)
    resolve_duplicates(rows, outcomes, differs)
    if rows.acts is None:
        return outcomes
    found = repetitions(rows, outcomes, limits.near_duplicate_seconds, limits.near_duplicate_types)
    bots = BotLimits(
        limits.bot_max_events_per_day,
        limits.bot_max_items_per_day,
        limits.bot_no_dwell_min_events,
        limits.bot_no_dwell_seconds,
    )
    remove_bots(rows, outcomes, bots)
    remove_repetitions(rows, outcomes, found)
    return outcomes
