"""Ta-Feng's baskets in its two published splits, for `benchmarks.next_basket`.

    split.json              {train, validate, test: {user: [[item, …], …]}}, by users; the last
                            basket of each user is the target (DNNTSP, KDD 2020)
    all_history.json        {user: [[-1], basket, …, [-1]]}
    all_future.json         {user: [[-1], basket, [-1]]}: what the same users bought next ("A Next
                            Basket Recommendation Reality Check", TOIS 2023)

The two number items differently. Order inside a basket means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.ranking.visits import Booleans, Integers

Baskets = list[list[Integers]]
PARTS = ("train", "validate", "test")


@dataclass(frozen=True)
class UserSplit:
    """Baskets of each part's users, oldest first, targets last."""

    parts: dict[str, Baskets]
    n_items: int


@dataclass(frozen=True)
class TimeSplit:
    """Baskets of all users, oldest first, and the basket that came next."""

    history: Baskets
    future: list[Integers]
    n_items: int


def read_user_split(directory: Path, n_users: int | None = None) -> UserSplit:
    """`split.json`; of each part the first `n_users`.

    Raises:
        InputError: the file is missing or is none of this form.
    """
    path = directory / "split.json"
    written = _read(path)
    missing = [part for part in PARTS if part not in written]
    if missing:
        raise InputError(f"{path} has no part {missing[0]!r}; it needs {', '.join(PARTS)}")
    parts = {part: _baskets(path, written[part], 2)[:n_users] for part in PARTS}
    return UserSplit(parts, _n_items(list(parts.values())))


def read_time_split(directory: Path, n_users: int | None = None) -> TimeSplit:
    """`all_history.json` and `all_future.json`; the first `n_users`.

    Raises:
        InputError: a file is missing or is none of this form, or the two are of other users.
    """
    paths = directory / "all_history.json", directory / "all_future.json"
    history, future = (_read(path) for path in paths)
    if history.keys() != future.keys():
        raise InputError(
            f"{paths[0]} and {paths[1]} are of different users; take both of one split"
        )
    users = list(history)[:n_users]
    pasts = _baskets(paths[0], {user: history[user] for user in users}, 1)
    nexts = [baskets[-1] for baskets in _baskets(paths[1], {u: future[u] for u in users}, 1)]
    return TimeSplit(pasts, nexts, _n_items([pasts, [[basket] for basket in nexts]]))


def wanted_of(baskets: Sequence[Integers], n_items: int) -> Booleans:
    """`wanted_UI`: what is in each user's target."""
    wanted_UI = np.zeros((len(baskets), n_items), dtype=np.bool_)
    for user, basket in enumerate(baskets):
        wanted_UI[user, basket] = True
    return wanted_UI


def _read(path: Path) -> dict[str, Any]:
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give --data its folder") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(written, dict) or not written:
        raise InputError(f"{path} must be an object of users and their baskets")
    return written


def _baskets(path: Path, users: dict[str, Any], at_least: int) -> Baskets:
    found: Baskets = []
    for user, baskets in users.items():
        try:
            arrays = [np.unique(np.asarray(basket, dtype=np.int64)) for basket in baskets]
        except (TypeError, ValueError):
            raise InputError(
                f"{path}, user {user}: baskets must be lists of item numbers"
            ) from None
        full = [basket for basket in arrays if len(basket) and basket[0] >= 0]
        if len(full) < at_least:
            raise InputError(
                f"{path}, user {user}: {len(full)} baskets, at least {at_least} are needed"
            )
        found.append(full)
    return found


def _n_items(groups: Sequence[Baskets]) -> int:
    return 1 + max(
        (int(basket[-1]) for users in groups for of_user in users for basket in of_user), default=0
    )
