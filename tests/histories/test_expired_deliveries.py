"""A night after deliveries have expired goes on as if they had not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import shutil
from functools import partial
from pathlib import Path

from pipeline.lake import Lake
from pipeline.publishing.views import views_without
from pipeline.retention.expire import expire
from pipeline.retention.expired import expired_until
from pipeline.settings import Retention
from tests.histories.conftest import DAY, Shop, event, item, review, user
from tests.lake_rows import read_rows

DATASETS = ("acts", "catalogue", "user_attributes", "histories")
NIGHTS = [DAY + dt.timedelta(days=n) for n in range(3)]


def deliver(shop: Shop, night: dt.date) -> None:
    first = night == NIGHTS[0]
    shop.deliver(
        night,
        items=[item("a"), item("b")] if first else [],
        users=[user("ann", language="en"), user("bob", consent=False)] if first else [],
        events=[
            event("ann", "purchase" if first else "view", "a", f"{night} 08:00"),
            event("bob", "view", "b", f"{night} 09:00"),
        ],
        reviews=[review("ann", "a", f"{night} 20:00")],
    )


def test_the_next_night_is_the_same_and_knows_what_is_owned(shop: Shop, tmp_path: Path) -> None:
    shop.set(cleaning__late_horizon_days=0)
    shop.settings = dataclasses.replace(
        shop.settings, retention=Retention(deliveries_days=1, nights_days=1)
    )
    for night in NIGHTS:
        deliver(shop, night)
        if night != NIGHTS[2]:
            shop.build(night)
    kept = Lake(tmp_path / "kept")
    shutil.copytree(shop.lake.root, kept.root)

    # Nobody is at these nights any more, though no lists were made of them.
    for path in shop.lake.root.rglob("*"):
        os.utime(path, (0, 0))
    expire(shop.lake, shop.settings, NIGHTS[2], partial(views_without, shop.lake))
    assert expired_until(shop.lake) == NIGHTS[0]
    assert shop.lake.dates("cleaned_events") == NIGHTS[1:]
    built = shop.build(NIGHTS[2]).report["built"]
    assert set(built.values()) == {"incremental"}
    as_before = dataclasses.replace(shop, lake=kept)
    as_before.build(NIGHTS[2])
    for name in DATASETS:
        assert read_rows(shop.lake, name, NIGHTS[2]) == read_rows(kept, name, NIGHTS[2]), name
    (ann,) = [row for row in read_rows(shop.lake, "histories", NIGHTS[2]) if row["language"]]
    assert ann["owned_item_ids"] == ["a"], "bought in a delivery that has expired"
