"""A data set as the pipeline's own users, items and vocabulary, for `benchmarks.quality`.

The format is what any log of interactions can be written in:

    interactions.csv   a line an interaction, with a header: `user_id`, `item_id`, and `position`
                       (a whole number, rising within a user) or `timestamp` (a number, or ISO
                       8601); with both, `position` decides. Equal ones stay in the file's order.
    items.csv          if there is one: `item_id`, and any of `title`, `brand`, `category`
                       (levels by `>`) and `attributes_json` (a list of brand and category names)

Separated by commas or tabs, UTF-8; other columns are not read. Nothing is left out: a user of one
interaction and an item of one user count too. Items of `items.csv` that nobody met are not ranked.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.model.catalogue import CatalogueItem
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary, build_vocabulary
from pipeline.ranking.held_out_ranks import Items

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
    """Read both files; `every` keeps one user in so many.

    Raises:
        InputError: a file or a column is missing, or a value cannot be read.
    """
    path = directory / "interactions.csv"
    placed: dict[str, list[tuple[float, str]]] = {}
    for line, row in _rows(path, ["user_id", "item_id"]):
        user_id, item_id = (row.get(name) or "" for name in ("user_id", "item_id"))
        if not user_id or not item_id:
            raise InputError(
                f"{path}, line {line}: user_id or item_id is empty; leave the line out"
            )
        placed.setdefault(user_id, []).append((_place(path, line, row), item_id))
    pasts = {
        user: tuple(item for _, item in sorted(events, key=lambda event: event[0]))
        for n, (user, events) in enumerate(placed.items())
        if n % every == 0
    }
    if not any(len(past) >= 3 for past in pasts.values()):
        raise InputError(
            f"{path} has {len(placed):,} users, none of those read with three interactions: the last is "
            "the test, the one before it the validation, and at least one is learned from"
        )
    words = _words(directory / "items.csv")
    met = {item for events in pasts.values() for item in events}
    nothing = ("", "", "")
    catalogue = [CatalogueItem(item, *words.get(item, nothing), True) for item in sorted(met)]
    return Dataset(directory.name, pasts, catalogue)


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a table with their numbers; the header is line 1."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter="\t" if "\t" in header else ",")
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path} lacks {', '.join(missing)}; its header has "
                    f"{', '.join(reader.fieldnames or ()) or 'nothing'}. Rename its columns, or see "
                    "python -m benchmarks.quality --help for the format"
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"cannot read {path}: {error}. --dataset takes a directory with interactions.csv in "
            "UTF-8; see --help"
        ) from None


def _place(path: Path, line: int, row: Mapping[str, str]) -> float:
    """Where in its user's past a line stands."""
    for name in ("position", "timestamp"):
        text = (row.get(name) or "").strip()
        if not text:
            continue
        try:
            return float(text)
        except ValueError:
            pass
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            raise InputError(
                f"{path}, line {line}: {name} is {text!r}, neither a number nor an ISO 8601 time"
            ) from None
        return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
    raise InputError(
        f"{path}, line {line}: neither position nor timestamp says when this was; add one of them"
    )


def _words(path: Path) -> dict[str, tuple[str, str, str]]:
    """Title, brand and category of each item; nothing without the file."""
    if not path.is_file():
        return {}
    words = {}
    for line, row in _rows(path, ["item_id"]):
        levels = [row.get("category") or ""]
        try:
            levels += map(str, json.loads(row.get("attributes_json") or "[]"))
        except (ValueError, TypeError):
            raise InputError(
                f"{path}, line {line}: attributes_json is no JSON list: {row['attributes_json']!r}"
            ) from None
        category = " > ".join(filter(None, levels))
        words[row["item_id"]] = (row.get("title") or "", row.get("brand") or "", category)
    return words


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
