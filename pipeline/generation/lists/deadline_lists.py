"""Lists for users whose list was not made before the night's deadline.

Such a user gets the list that the night before sent, without the items that they may not get any
more (owned since then, or no longer sold), and below it the fallback's items until the list is
full. A user to whom the night before sent nothing gets the fallback's list alone.

Shapes: U users, K list length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.arrow_columns import column
from pipeline.engine.exclusions import Exclusions
from pipeline.generation.lists.candidates import Candidates
from pipeline.generation.lists.earlier_lists import EarlierLists
from pipeline.generation.lists.list_batch import ListBatch
from pipeline.model.list_methods import LAST_NIGHT


@dataclass(frozen=True)
class LastNightList:
    """The part of last night's list that may still be sent: candidates and scores, best first."""

    items: list[int]
    scores: list[float]


def last_night_lists(
    users: pa.Table,
    late: Sequence[int],
    excluded: Exclusions,
    earlier: EarlierLists,
    candidates: Candidates,
) -> dict[int, LastNightList]:
    """The lists of the night before, as far as these users may still get them, by row.

    Args:
        late: rows of the users that tonight has no time for.
    """
    if not late:
        return {}
    sent = earlier.last_lists(users)
    user_ids = column(users, "user_id").to_pylist()
    found: dict[int, LastNightList] = {}
    for user in late:
        items, scores = sent.get(user_ids[user], ((), ()))
        start, end = excluded.starts_U1[user : user + 2]
        refused = {-1, *excluded.items_E[start:end].tolist()}
        places = candidates.places(pa.array(items, pa.string())).tolist()
        allowed = [pair for pair in zip(places, scores, strict=True) if pair[0] not in refused]
        if allowed:
            found[user] = LastNightList(
                [place for place, _ in allowed], [score for _, score in allowed]
            )
    return found


def put_last_night_first(batch: ListBatch, lists: Mapping[int, LastNightList], k: int) -> None:
    """Put last night's lists above what the batch has of these users (the fallback's items)."""
    for user, last in lists.items():
        below = [
            item for item in batch.items_UK[user].tolist() if item >= 0 and item not in last.items
        ]
        listed = [*last.items, *below][:k]
        batch.items_UK[user] = -1
        batch.items_UK[user, : len(listed)] = listed
        # The items that fill up a list have the score of its last item.
        batch.scores_UK[user] = last.scores[-1]
        batch.scores_UK[user, : len(last.items)] = last.scores[:k]
        batch.methods[user] = LAST_NIGHT
