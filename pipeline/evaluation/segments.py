"""Segments of users: everybody, and groups for whom a model may fail without being noticed.

- `history:new`, `history:short`, `history:long`: users with up to 2, up to 9, more known events.
- `item:new`, `item:known`: users whose held-out item had fewer than 5 known events, or more.
- `target:repeat`, `target:new`: users who had owned the held-out item before, or not; left out
  where nobody had, since everybody is then of the second.
- `category:<name>`: users whose held-out item is of that top category, for the largest
  `MAX_CATEGORIES`.

Pure. Shapes: B users, I items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.model.user_history import UserHistory
from pipeline.ranking.metrics import Booleans, Floats

ALL = "all"
NEW_USER_EVENTS = 2
SHORT_HISTORY_EVENTS = 9
NEW_ITEM_EVENTS = 5
MAX_CATEGORIES = 12


def segments(
    users: Sequence[UserHistory],
    index: Mapping[str, int],
    events_I: Floats,
    categories: Sequence[str],
) -> dict[str, Booleans]:
    """The users of each segment, `ALL` first; a segment without anybody is left out.

    Args:
        users: with a held-out item that is in `index`.
        index: number of an item.
        events_I: known events of each item.
        categories: of each item; may be empty.
    """
    n_known_B = np.array([user.n_known for user in users], dtype=np.int64)
    items = [index[user.held_out_item] for user in users]
    is_new_B = np.array([events_I[item] < NEW_ITEM_EVENTS for item in items], dtype=np.bool_)
    top = [top_category(categories[item]) for item in items]
    by_size = Counter(name for name in top if name)
    largest = sorted(by_size, key=lambda name: (-by_size[name], name))[:MAX_CATEGORIES]
    found = {
        ALL: np.ones(len(users), dtype=np.bool_),
        "history:new": n_known_B <= NEW_USER_EVENTS,
        "history:short": (n_known_B > NEW_USER_EVENTS) & (n_known_B <= SHORT_HISTORY_EVENTS),
        "history:long": n_known_B > SHORT_HISTORY_EVENTS,
        "item:new": is_new_B,
        "item:known": ~is_new_B,
    }
    repeats_B = np.array(
        [user.held_out_item in user.owned_before_holdout() for user in users], np.bool_
    )
    if repeats_B.any():
        found |= {"target:repeat": repeats_B, "target:new": ~repeats_B}
    found |= {f"category:{name}": np.array([name == of for of in top]) for name in largest}
    return {name: inside for name, inside in found.items() if name == ALL or inside.any()}


def top_category(category: str) -> str:
    """The first level of "Kitchen > Kettles"."""
    return category.partition(">")[0].strip()
