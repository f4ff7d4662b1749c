"""Users who were erased stay out, although their raw files still have them. The ledger balances."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from pipeline.cleaning.night import CUT_OFF, OTHER_IDS, clean_night
from pipeline.erased import add_erased, digest_of
from pipeline.lake import Lake, Run
from pipeline.lake_key import key_of_lake
from pipeline.ledger import LedgerLine
from pipeline.pseudonym import pseudonym
from pipeline.settings import Settings

DAY = dt.date(2026, 3, 2)
GONE, STAYS = "ann-77410", "dot-77413"
ITEM = "sku,title,brand,category,price,stock,listed\ni1,Lamp,,,9.5,3,true\n"


def _deliver(settings: Settings) -> None:
    """Both shoppers do the same: good, refused and late rows, a line that cannot be read."""
    folder = Path(settings.paths.raw) / f"date={DAY}"
    folder.mkdir(parents=True)
    (folder / "items.csv").write_text(ITEM)
    users = "".join(f"{user},true,en,DE\n" for user in (GONE, STAYS))
    (folder / "users.csv").write_text(f"user,consent,lang,country\n{users}")
    lines, reviews = [], []
    for user in (GONE, STAYS):
        for number, (changes, day) in enumerate(
            [
                ({}, DAY),
                ({}, DAY - dt.timedelta(days=1)),
                ({"price": -1}, DAY),
                ({"item": "?"}, DAY),
            ]
        ):
            event = {
                "event_id": f"{user} {number}",
                "ts": f"{day}T10:0{number}:00+00:00",
                "type": "view",
                "user": user,
                "item": "i1",
                "session": f"s {user}",
                "qty": None,
                "price": 9.5,
                "query": None,
            }
            lines.append(json.dumps(event | changes))
        lines.append(json.dumps({"event_id": f"{user} cut", "user": user, "session": "s"})[:-1])
        reviews.append(
            json.dumps(
                {
                    "review_id": f"r {user}",
                    "ts": f"{DAY}T11:00:00+00:00",
                    "user": user,
                    "item": "i1",
                    "stars": 5,
                    "headline": None,
                    "body": f"The words of {user[:3]}.",
                    "lang": "en",
                }
            )
        )
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "reviews.jsonl").write_text("\n".join(reviews) + "\n")


def _content(lake: Lake) -> str:
    """All values of the newest run's tables."""
    return repr(
        [
            pq.ParquetFile(file).read().to_pylist()
            for name in ("events", "reviews", "users")
            for file in lake.require(f"cleaned_{name}", DAY).files
        ]
        + [
            pq.ParquetFile(file).read().to_pylist()
            for file in lake.require("quarantine", DAY).files
        ]
    )


def test_a_day_that_is_cleaned_again_does_not_bring_them_back(
    spark: SparkSession, settings: Settings, lake: Lake
) -> None:
    _deliver(settings)
    key = key_of_lake(lake, settings.privacy.key_file)
    gone, stays = pseudonym(GONE, key), pseudonym(STAYS, key)
    add_erased(lake, [digest_of(gone, key)], [], DAY, "made in another way")

    under_way = lake.root / "erasures" / ".under_way" / "users.json"
    under_way.parent.mkdir()
    under_way.write_text("{}")
    night = clean_night(spark, settings, lake, Run(DAY, "one"))
    assert night.warnings == [CUT_OFF, OTHER_IDS]
    lines: dict[str, LedgerLine] = {line.dataset: line.check() for line in night.lines}
    content = _content(lake)
    assert (gone in content, "words of ann" in content) == (False, False)
    assert (stays in content, "words of dot" in content) == (True, True)
    assert lines["users"].removed == {"erased": 1}
    assert lines["reviews"].removed == {"erased": 1}
    events = lines["events"]
    assert events.removed == {"erased": 4}
    assert (events.rows_in, events.rows_out) == (10, 2)
    assert events.quarantined == {
        "item_unknown": 1,
        "price_out_of_range": 1,
        "unreadable_line": 2,
    }, "of a line that could not be read only the outline is kept"
