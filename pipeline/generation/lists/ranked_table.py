"""One shard's ranked lists as a table, with the anchor that each recommendation is presented with.

Guarantees: the columns of `RANKED`, one row a user in their order. A user for whom nothing at all
may be recommended has an empty list here; `recommendation_rows` leaves them out.

Shapes: U users of the shard, K list length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.arrow_columns import Column, column, compute, python_lists
from pipeline.generation.lists.candidates import Candidates
from pipeline.generation.lists.list_batch import ListBatch
from pipeline.generation.reasons.anchors import choose_anchor
from pipeline.generation.reasons.voice import CHOSEN, POPULAR
from pipeline.model.list_methods import POPULARITY

# Scores are published to 5 decimals: what batching moves lies below that.
SCORE_DECIMALS = 5

RANKED = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_ids", pa.list_(pa.string()), nullable=False),
        pa.field("scores", pa.list_(pa.float64()), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("fallback_reason", pa.string()),
        pa.field("rules", pa.list_(pa.string()), nullable=False),
        pa.field("anchor_kind", pa.string(), nullable=False),
        pa.field("anchor_item_id", pa.string()),
        pa.field("language", pa.string()),
        pa.field("last_event_time", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


def ranked_table(
    users: pa.Table, batch: ListBatch, candidates: Candidates, titles: Mapping[str, str]
) -> pa.Table:
    """The lists of a shard's users.

    Args:
        titles: of every item of the catalogue that has one; an anchor needs a title.
    """
    items_UK, methods = batch.items_UK, list(batch.methods)
    there_UK = items_UK >= 0
    starts = pa.array(np.concatenate([[0], there_UK.sum(axis=1).cumsum()]), pa.int32())
    item_ids = candidates.item_ids.take(pa.array(items_UK[there_UK]))
    scores = pa.array(np.round(batch.scores_UK[there_UK], SCORE_DECIMALS) + 0.0, pa.float64())
    firsts = compute.list_element(
        pa.ListArray.from_arrays(starts, item_ids).filter(pa.array(there_UK[:, 0])), 0
    )
    anchors = _anchors(users, methods, there_UK[:, 0], firsts.to_pylist(), titles)
    columns: dict[str, Column] = {
        "user_id": column(users, "user_id"),
        "item_ids": pa.ListArray.from_arrays(starts, item_ids),
        "scores": pa.ListArray.from_arrays(starts, scores),
        "method": pa.array(methods, pa.string()),
        "fallback_reason": pa.array(
            [batch.reasons.get(user) for user in range(users.num_rows)], pa.string()
        ),
        "rules": pa.array(batch.rules, pa.list_(pa.string())),
        "anchor_kind": pa.array([kind for kind, _ in anchors], pa.string()),
        "anchor_item_id": pa.array([item for _, item in anchors], pa.string()),
        "language": column(users, "language"),
        "last_event_time": column(users, "last_event_time"),
    }
    return pa.table([columns[field.name] for field in RANKED], schema=RANKED)


def _anchors(
    users: pa.Table,
    methods: Sequence[str],
    has_list_U: np.ndarray,
    firsts: Sequence[str],
    titles: Mapping[str, str],
) -> list[tuple[str, str | None]]:
    """The kind of anchor of each user's first item, and the item of their past that it is.

    Args:
        firsts: the first item of each list that has one.
    """
    first = iter(firsts)
    anchors: list[tuple[str, str | None]] = []
    for user, (items, types) in enumerate(
        zip(
            python_lists(column(users, "item_ids")),
            python_lists(column(users, "event_types")),
            strict=True,
        )
    ):
        if not has_list_U[user]:
            anchors.append((CHOSEN, None))
        elif methods[user] == POPULARITY:
            next(first)
            anchors.append((POPULAR, None))
        else:
            anchors.append(choose_anchor(items, types, next(first), titles))
    return anchors
