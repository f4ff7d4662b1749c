"""A public data set as the pipeline's own users, items and vocabulary, for `benchmarks.quality`."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.evaluation.ranking import Items
from pipeline.model.catalogue import CatalogueItem
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary, build_vocabulary

MAX_EVENTS = 50
# So many users tell which epoch is best; the prior is chosen with all of them.
VALIDATION_USERS = 3000
# No figure depends on when: the histories' type needs a time.
START = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Dataset:
    """Each user's items in order, and the catalogue."""

    name: str
    pasts: dict[str, tuple[str, ...]]
    catalogue: list[CatalogueItem]


def read_dataset(directory: Path, every: int = 1) -> Dataset:
    """Read both files; `every` keeps one user in so many."""
    placed: dict[str, list[tuple[int, str]]] = {}
    with (directory / "interactions.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            placed.setdefault(row["user_id"], []).append((int(row["position"]), row["item_id"]))
    pasts = {
        user: tuple(item for _, item in sorted(events, key=lambda event: event[0]))
        for n, (user, events) in enumerate(placed.items())
        if n % every == 0
    }
    words: dict[str, tuple[str, str]] = {}
    if (directory / "items.csv").is_file():
        with (directory / "items.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                names = json.loads(row.get("attributes_json") or "[]")
                words[row["item_id"]] = (row.get("title") or "", " > ".join(map(str, names)))
    met = {item for events in placed.values() for _, item in events}
    catalogue = [
        CatalogueItem(item, words.get(item, ("", ""))[0], "", words.get(item, ("", ""))[1], True)
        for item in sorted(met)
    ]
    return Dataset(directory.name, pasts, catalogue)


def histories(pasts: Mapping[str, Sequence[str]], held_out_from_end: int) -> list[UserHistory]:
    """Users whose item so far from the end is held out: 1 the last (test), 2 (validation).

    Users with fewer than three items are whole, and hold nothing out.
    """
    users = []
    for user_id, past in pasts.items():
        whole = len(past) < 3
        items = tuple(past if whole else past[: len(past) - held_out_from_end + 1])
        n = len(items)
        times = tuple(START + dt.timedelta(seconds=place) for place in range(n))
        users.append(
            UserHistory(
                user_id,
                items,
                ("rating",) * n,
                times,
                (),
                (),
                (),
                None,
                None if whole else n - 1,
                None if whole else "test" if held_out_from_end == 1 else "validation",
            )
        )
    return users


def items_vocabulary(data: Dataset) -> Vocabulary:
    """Items and controls; no words are read or written here."""
    item_ids = [item.item_id for item in data.catalogue]
    return build_vocabulary(item_ids, [], [], text_vocab_size=0)


def every_so_often(users: Sequence[UserHistory]) -> list[UserHistory]:
    """The users by whom epochs are compared."""
    return list(users[:: max(1, len(users) // VALIDATION_USERS)])


def all_items(data: Dataset) -> Items:
    """Every item may be recommended."""
    return Items(
        tuple(item.item_id for item in data.catalogue), np.ones(len(data.catalogue), np.bool_)
    )
