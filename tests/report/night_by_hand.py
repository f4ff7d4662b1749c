"""A small lake made by hand: one good night of a shop with hostile titles."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.lake import Lake, Partition, Run, write_json
from pipeline.ledger import LedgerLine, write_ledger
from tests.lake_rows import point_latest

NIGHT = dt.date(2026, 3, 1)
HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x onerror=alert(1)>'
N_ITEMS = 14
N_USERS = 12
STAGES = (
    "wait_for_raw",
    "clean",
    "validate_cleaned",
    "build_histories",
    "validate_histories",
    "fine_tune",
    "evaluate",
    "generate",
    "target",
    "validate_generated",
    "publish",
)
TITLES = [
    "Kettle, brushed steel, 1.7 l",
    HOSTILE,
    "折叠手机 Pro 12 \u202e txt.exe",
    "Läufer „Sommer“ 80 × 150 cm",
    "",
    "Noise-cancelling headphones",
    "Z̸̧̛͎a̶̢̛l̷̡͝g̵̢̛o̴ ' OR 1=1 --",
]


def user_id_of(number: int) -> str:
    """A pseudonym."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def write_partition(
    lake: Lake,
    name: str,
    run: Run,
    rows: Iterable[dict[str, Any]],
    contract: str | None = None,
    **facts: str,
) -> Partition:
    """Commit rows by the dataset's own contract, or another's."""
    table = pa.Table.from_pylist(list(rows), schema=arrow_schema(load_contract(contract or name)))
    pq.write_table(table, lake.begin(name, run) / "part-0.parquet")
    return lake.commit(name, run, rows=len(table), **facts)


def title_of(number: int) -> str | None:
    """Titles repeat, and one is missing."""
    return TITLES[number % len(TITLES)] or None


def write_records(lake: Lake, run: Run, stages: Iterable[str]) -> None:
    """Run records of stages that ended well."""
    for place, stage in enumerate(stages):
        write_json(
            lake.records(run) / f"{stage}.json",
            {
                "stage": stage,
                "status": "done",
                "started": f"2026-03-02T00:{place:02d}:00+00:00",
                "ended": f"2026-03-02T00:{place:02d}:30+00:00",
                "seconds": 30.5 + 7 * place,
                "report": {"rows": 1000 * (place + 1), "path": "/a/b", "ok": True},
            },
        )


def write_learning(lake: Lake, run: Run) -> None:
    """A model directory without its weights, its metrics and the promotion."""
    directory = lake.begin("models", run)
    log = [
        {
            "epoch": epoch,
            "train_loss": 6.0 / epoch**0.5,
            "validation_ndcg": 0.08 - 0.05 / epoch - 0.001 * epoch,
            "seconds": 4.5,
        }
        for epoch in range(1, 11)
    ]
    (directory / "training_log.json").write_text(json.dumps(log), encoding="utf-8")
    membership = {"auc": 0.534, "low": 0.49, "high": 0.578, "canaries": 0, "exposure_bits": None}
    (directory / "training_report.json").write_text(json.dumps({"membership": membership}))
    lake.commit("models", run)
    values = {
        "candidate": 0.064,
        "champion": 0.058,
        "item_knn": 0.041,
        "markov": 0.047,
        "popularity": 0.02,
    }
    write_partition(
        lake,
        "metrics",
        run,
        (
            {
                "model": model,
                "split": split,
                "metric": metric,
                "k": k,
                "value": value * factor,
                "n_users": n_users,
                "segment": segment,
                "low": value * factor * 0.9,
                "high": value * factor * 1.1,
            }
            for segment, n_users in (("all", 480), ("category:<b>Pans & Töpfe", 40))
            for model, value in values.items()
            for split in ("validation", "test")
            for metric, factor in (("ndcg", 1.0), ("recall", 1.7), ("mrr", 0.8), ("coverage", 5.0))
            for k in (5, 10)
        ),
    )
    champion = {
        "model_run_date": NIGHT.isoformat(),
        "model_run_id": run.run_id,
        "model_version": "2026-03-01-0badcafe",
        "promoted": True,
        "why": "NDCG@10 0.064 beats popularity (0.020) and Markov (0.047); champion 0.058",
        "fallback": "item_knn",
    }
    write_json(lake.begin("champions", run) / "champion.json", champion)
    lake.commit("champions", run)


def write_lists(
    lake: Lake,
    run: Run,
    title: Callable[[int], str | None] = title_of,
    dataset: str = "recommendations",
    **facts: str,
) -> Partition:
    """Every shopper's list; the last shopper's is a fallback's."""
    return write_partition(
        lake,
        dataset,
        run,
        (
            {
                "user_id": user_id_of(number),
                "items": [
                    {
                        "rank": rank + 1,
                        "item_id": f"i{(number // 2 + rank) % (N_ITEMS - 2)}",
                        "title": title((number // 2 + rank) % (N_ITEMS - 2)),
                        "brand": "Acme & Söhne" if rank % 2 else None,
                        "category": "Home > Kitchen",
                        "price": 9.5 + rank if rank else None,
                        "score": -1.5 - rank,
                    }
                    for rank in range(5)
                ],
                "n_items": 5,
                "method": "model" if number < N_USERS - 1 else "popularity",
                "fallback_reason": None if number < N_USERS - 1 else "weights_not_finite",
                "rules": [],
                "reason": f"Because you like {title(number % N_ITEMS)}" if number % 3 else None,
                "reason_method": ("model" if number % 2 else "template") if number % 3 else None,
                "language": ("en", "zh", None)[number % 3],
                "model_version": "2026-03-01-0badcafe",
                "last_event_time": dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
            }
            for number in range(N_USERS)
        ),
        "recommendations",
        **facts,
    )


def write_past(lake: Lake, run: Run, title: Callable[[int], str | None] = title_of) -> None:
    """The catalogue, of which two items are new and one is not sellable, and the histories."""
    write_partition(
        lake,
        "catalogue",
        run,
        (
            {
                "item_id": f"i{number}",
                "title": title(number),
                "brand": "Acme",
                "category": "Home",
                "price": 10.0,
                "stock": None,
                "sellable": number != N_ITEMS - 1,
                # 23 February is the first of the seven days that end with the night.
                "first_seen_date": NIGHT - dt.timedelta(days=(6, 7, 90)[min(number, 2)]),
                "listed": True,
                "delivered_date": NIGHT,
            }
            for number in range(N_ITEMS)
        ),
    )
    kinds = ("view", "view", "cart", "purchase", "return", "rating")
    write_partition(
        lake,
        "histories",
        run,
        (
            {
                "user_id": user_id_of(number),
                "item_ids": [f"i{place % N_ITEMS}" for place in range(number + 1)],
                "event_types": [kinds[place % len(kinds)] for place in range(number + 1)],
                "event_times": [
                    dt.datetime(2026, 2, 1 + place, 23, 30, tzinfo=dt.UTC)
                    for place in range(number + 1)
                ],
                "session_numbers": [1] * (number + 1),
                "cancelled": [False] * (number + 1),
                "queries": ["我想买一款新的手机", title(1) or ""][: number % 3],
                "query_times": [dt.datetime(2026, 2, 1, 8, tzinfo=dt.UTC)] * (number % 3),
                "owned_item_ids": [],
                "n_events": number + 1,
                "last_event_time": dt.datetime(2026, 2, 28, 23, 30, tzinfo=dt.UTC),
                "active": True,
                "consent": True,
                "language": "en",
                "region": "NL",
                "holdout_index": None,
                "holdout_split": None,
            }
            for number in range(N_USERS)
        ),
    )


def write_counts(lake: Lake, run: Run) -> None:
    """A ledger of two delivery days."""
    write_ledger(
        lake,
        run,
        "clean",
        [
            LedgerLine(
                run_date=NIGHT - dt.timedelta(days=back),
                run_id=run.run_id,
                stage="clean",
                dataset="events",
                rows_in=10_000,
                rows_out=9_600,
                quarantined={"event_time_in_future": 30, HOSTILE: 20},
                removed={"duplicate": 250, "bot": 100},
            )
            for back in (0, 1)
        ],
    )
    write_ledger(
        lake,
        run,
        "build_histories",
        [LedgerLine(NIGHT, run.run_id, "build_histories", "histories", 12, 12)],
    )


def write_good_night(lake: Lake, run: Run, title: Callable[[int], str | None] = title_of) -> None:
    """Everything of one night, published."""
    write_records(lake, run, STAGES)
    write_counts(lake, run)
    write_past(lake, run, title)
    write_learning(lake, run)
    write_lists(lake, run, title)
    point_latest(lake, "recommendations", run)
    docs = lake.records(run) / "data_docs" / "index.html"
    docs.parent.mkdir(parents=True)
    docs.write_text("<html></html>", encoding="utf-8")
