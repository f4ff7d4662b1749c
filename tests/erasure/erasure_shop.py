"""A small lake of several nights, by hand, in which some shoppers are to be erased.

Nights with redone attempts, exports, records, pages, logs, scratch and what was never closed. Ann,
Bob and Cid go; the others stay. Ann alone says that the kettle is "zorbly".
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cleaning.late.late_dependencies import DEPENDENCIES, LateDependencies
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import CLEANED_USERS, RETRACTIONS
from pipeline.erasure.erase import Asked, ask
from pipeline.lake import Lake, Run, write_json
from pipeline.lake_key import key_of_lake
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.lineage import Lineage
from pipeline.model.vocabulary import build_vocabulary
from pipeline.pseudonym import pseudonym
from pipeline.publishing.views import views_beside
from pipeline.settings import Settings
from tests.lake_rows import Row, instant, write_rows

NIGHTS = [dt.date(2026, 3, day) for day in (1, 2, 3)]
GO = ("ann-77410", "bob-77411", "cid-77412")
STAY = ("dot-77413", "eve-77414", "fay-77415", "gus-77416", "hal-77417")
EVERYBODY = (*GO, *STAY)
ONLY_ANN = "zorbly"
TEXTS = {
    user: f"Very {word} kettle, says number {n}."
    for n, (user, word) in enumerate(
        zip(
            EVERYBODY,
            (ONLY_ANN, "quiet", "quiet", "quiet", "quiet", "sturdy", "sturdy", "sturdy"),
            strict=True,
        )
    )
}
QUERIES = {user: f"kettle for {user[:3]}s kitchen" for user in EVERYBODY}
QUOTES_ANN = "The kettle is really zorbly."
OF_COUNTS = {"rows", "erased", "files", "seal", "by_dataset"}


@dataclass(frozen=True)
class Shop:
    """The lake, its key, and where logs lie."""

    lake: Lake
    settings: Settings
    key: bytes
    logs: Path

    def user(self, name: str) -> str:
        return pseudonym(name, self.key)

    def asked(self, *ids: str) -> Asked:
        return ask(self.lake, self.settings.privacy.key_file, ids or GO, [self.logs])

    def secrets(self, users: tuple[str, ...] = GO) -> list[bytes]:
        """What no byte of the lake may say afterwards."""
        pseudonyms = [self.user(name) for name in users]
        texts = [TEXTS[name] for name in users] + [QUERIES[name] for name in users]
        return [text.encode() for text in (*pseudonyms, *users, *texts)]


def clock() -> dt.datetime:
    return dt.datetime(2026, 3, 4, 9, tzinfo=dt.UTC)


def contents(shop: Shop) -> dict[str, bytes]:
    """Every file but locks, proofs, and what is being removed."""
    root = shop.lake.root
    return {
        name: path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and ".removed." not in str(path)
        and not (name := path.relative_to(root).as_posix()).startswith(
            ("erasures/2", "work/", ".use")
        )
    }


def build(settings: Settings) -> Shop:
    """Three nights; the second was made twice."""
    lake = Lake(settings.paths.lake)
    key = key_of_lake(lake, settings.privacy.key_file)
    shop = Shop(lake, settings, key, Path(settings.paths.airflow) / "logs")
    for number, night in enumerate(NIGHTS):
        for run_id in ("one", "two") if number == 1 else ("one",):
            _fill(shop, Run(night, run_id))
    # The same run again, with fewer users: an attempt that no pointer names any more.
    write_rows(lake, CLEANED_USERS, Run(NIGHTS[0], "one"), _users(shop), source="test")
    _beside(shop)
    return shop


def _fill(shop: Shop, run: Run) -> None:
    lake, night = shop.lake, run.run_date
    of_run = {"source": "test"}
    late = {DEPENDENCIES: LateDependencies(lake).of_delivery("events", night, NIGHTS[0])}
    write_rows(
        lake,
        "cleaned_events",
        run,
        _events(shop, night),
        files=2,
        **of_run,
        **(late if night == NIGHTS[2] else {}),
    )
    write_rows(lake, "cleaned_reviews", run, _reviews(shop, night), files=2, **of_run)
    write_rows(lake, "cleaned_users", run, _users(shop), **of_run)
    write_rows(
        lake,
        "removed_events",
        run,
        [
            _event(shop, n, night, "r") | {"rule": "near_duplicate", "repeats_event_id": "e"}
            for n in (0, 4)
        ],
        **of_run,
    )
    _retract(shop, run)
    write_rows(lake, "quarantine", run, list(_refused(shop)), **of_run)
    write_rows(lake, "review_phrases", run, _phrases(shop, night))
    write_rows(
        lake,
        "acts",
        run,
        [
            {
                **_event(shop, n, night, "a"),
                "delivered_date": night,
                "cancelled": False,
                "new_target": False,
                "settled": False,
                "events_before": 0,
            }
            for n in range(8)
        ],
        files=3,
        cut_into=3,
    )
    write_rows(
        lake,
        "user_attributes",
        run,
        [
            {
                "user_id": shop.user(name),
                "consent": True,
                "consent_date": night,
                "changed_date": night,
                "delivered_date": night,
            }
            for name in EVERYBODY
        ],
    )
    write_rows(
        lake,
        "catalogue",
        run,
        [
            {
                "item_id": item,
                "title": title,
                "brand": "Acme",
                "price": 9.5,
                "sellable": True,
                "first_seen_date": night,
                "listed": True,
                "delivered_date": night,
            }
            for item, title in (("k", "Kettle"), ("p", "Pan"))
        ],
    )
    histories = write_rows(
        lake, "histories", run, [_history(shop, name, night) for name in EVERYBODY], files=2
    )
    write_rows(lake, "item_words", run, _item_words())
    _model(shop, run)
    champion = lake.begin("champions", run)
    write_json(
        champion / "champion.json",
        {
            "model_run_date": night.isoformat(),
            "model_run_id": run.run_id,
            "model_version": "v",
            "promoted": True,
            "why": "a test says so",
        },
    )
    lake.commit("champions", run, rows=1)
    facts = Lineage(
        {
            "histories": {night.isoformat(): histories.directory_id},
            "catalogue": {night.isoformat(): run.run_id},
        }
    ).facts()
    lists = write_rows(
        lake,
        "generated",
        run,
        [_list(shop, name) for name in EVERYBODY],
        files=2,
        contract="recommendations",
        **facts,
    )
    published = lake.begin("recommendations", run)
    for file in lists.files:
        (published / file.name).hardlink_to(file)
    partition = lake.close("recommendations", run, rows=lists.rows, k=2, **facts)
    lake.publish(
        "recommendations", partition, lambda newest: views_beside(lake, newest, adding=partition)
    )
    _records(shop, run)


def _retract(shop: Shop, run: Run) -> None:
    """Files are named by what they take back, and counted so in the manifest."""
    rows = [
        {
            "dataset": "events",
            "user_id": shop.user(name),
            "event_date": run.run_date,
            "event_id": f"old {name[:3]}",
            "rule": "bot",
        }
        for name in (GO[0], STAY[0])
    ]
    schema = arrow_schema(load_contract(RETRACTIONS))
    directory = shop.lake.begin(RETRACTIONS, run)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), directory / "events-00000.parquet")
    shop.lake.commit(RETRACTIONS, run, rows=2, by_dataset={"events": 2})


def _event(shop: Shop, n: int, night: dt.date, kind: str) -> dict[str, Any]:
    name = EVERYBODY[n]
    return {
        "event_id": f"{kind}{n} {night}",
        "event_time": instant(f"{night} 10:00"),
        "event_date": night,
        "event_type": "search",
        "user_id": shop.user(name),
        "session_id": pseudonym(f"visit {name}", shop.key),
        "query": QUERIES[name],
        "source": "test",
    }


def _events(shop: Shop, night: dt.date) -> list[Row]:
    return [_event(shop, n, night, "e") for n in range(8)]


def _reviews(shop: Shop, night: dt.date) -> list[Row]:
    return [
        {
            "review_id": f"v{n} {night}",
            "review_time": instant(f"{night} 11:00"),
            "review_date": night,
            "user_id": shop.user(name),
            "item_id": "k",
            "rating": 5.0,
            "text": TEXTS[name],
            "language": "en",
            "source": "test",
        }
        for n, name in enumerate(EVERYBODY)
    ]


def _phrases(shop: Shop, night: dt.date) -> list[Row]:
    return [
        {
            "review_id": f"v{n} {night}",
            "user_id": shop.user(name),
            "item_id": "k",
            "review_date": night,
            "rating": 5.0,
            "language": "en",
            "phrase": TEXTS[name].split()[1],
            "aspect": TEXTS[name].split()[1],
            "polarity": 1,
        }
        for n, name in enumerate(EVERYBODY)
    ]


def _users(shop: Shop) -> list[Row]:
    return [
        {"user_id": shop.user(name), "consent": True, "language": "en", "source": "test"}
        for name in EVERYBODY
    ]


def _refused(shop: Shop) -> Iterator[Row]:
    """By pseudonym, and one line in which an older version left the id as it was."""
    for name, user in ((GO[0], shop.user(GO[0])), (GO[1], GO[1]), (STAY[0], shop.user(STAY[0]))):
        yield {
            "dataset": "events",
            "source": "test",
            "file": "events.jsonl",
            "rows": 1,
            "reason": "price_negative",
            "raw": json.dumps({"user": user, "of": name[:3]}),
        }


def _history(shop: Shop, name: str, night: dt.date) -> Row:
    return {
        "user_id": shop.user(name),
        "item_ids": ["k"],
        "event_types": ["view"],
        "event_times": [instant(f"{night} 10:00")],
        "session_numbers": [1],
        "cancelled": [False],
        "queries": [QUERIES[name]],
        "query_times": [instant(f"{night} 10:00")],
        "owned_item_ids": [],
        "n_events": 1,
        "last_event_time": instant(f"{night} 10:00"),
        "active": True,
        "consent": True,
        "language": "en",
    }


def _item_words() -> list[Row]:
    def said(*phrases: str, praised: int) -> list[Row]:
        return [{"aspect": of, "phrase": of, "praised": praised, "blamed": 0} for of in phrases]

    return [
        {
            "item_id": "k",
            "language": "en",
            "words": ["zorbly", "quiet", "sturdy"],
            "aspects": [
                *said("zorbly", praised=3),
                *said("quiet", praised=4),
                *said("sturdy", praised=3),
            ],
            "n_reviews": 8,
        },
        {
            "item_id": "p",
            "language": "en",
            "words": ["flat"],
            "aspects": said("flat", praised=2),
            "n_reviews": 2,
        },
        {
            "item_id": "p",
            "language": "de",
            "words": ["zorbly"],
            "aspects": said("zorbly", praised=2),
            "n_reviews": 2,
        },
    ]


def _list(shop: Shop, name: str) -> Row:
    """Ann's word is quoted to Eve, a template to Hal, a sentence of others to the rest."""
    reasons = {STAY[1]: (QUOTES_ANN, "model"), STAY[4]: ("We picked Kettle for you.", "template")}
    reason, method = reasons.get(name, ("A quiet kettle.", "model"))
    items = [
        {"rank": rank, "item_id": item, "title": title, "price": 9.5, "score": -float(rank)}
        for rank, item, title in ((1, "k", "Kettle"), (2, "p", "Pan"))
    ]
    return {
        "user_id": shop.user(name),
        "items": items,
        "n_items": 2,
        "method": "model",
        "rules": [],
        "reason": reason,
        "reason_method": method,
        "language": "en-GB",
        "model_version": "v",
        "last_event_time": instant("2026-03-01 10:00"),
    }


def _model(shop: Shop, run: Run) -> None:
    """Its vocabulary knows Ann's word from the second night on."""
    texts = [text for name, text in TEXTS.items() if run.run_date > NIGHTS[0] or name != GO[0]]
    directory = shop.lake.begin("models", run)
    build_vocabulary(["k", "p"], ["en"], texts * 3, text_vocab_size=400).save(directory)
    (directory / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    shop.lake.commit("models", run, rows=1, model_version="v")


def _records(shop: Shop, run: Run) -> None:
    records = shop.lake.records(run)
    write_json(
        records / "clean.json",
        {
            "stage": "clean",
            "report": {shop.user(GO[2]): "a bot", "rows": 8},
            "error": f"the row of {GO[0]} is odd",
        },
    )
    (records / "report.html").write_text(f"<p>{shop.user(GO[0])} <p>{QUOTES_ANN}", "utf-8")
    (records / "data_docs").mkdir()
    (records / "data_docs" / "index.html").write_text("<p>all is well", "utf-8")
    write_ledger(
        shop.lake, run, "clean", [LedgerLine(run.run_date, run.run_id, "clean", "events", 8, 8)]
    )


def _beside(shop: Shop) -> None:
    """What no manifest closes: scratch, a directory that was begun, stray files, logs."""
    lake, user = shop.lake, shop.user(GO[0])
    begun = lake.begin("histories", Run(NIGHTS[2], "cut-off"))
    pq.write_table(pa.table({"user_id": [user]}), begun / "part-00000.parquet")
    lake.close("histories", Run(NIGHTS[2], "cut-off"))
    (begun / "manifest.json").unlink()
    scratch = lake.work("generate", Run(NIGHTS[2], "one"))
    scratch.mkdir(parents=True)
    (scratch / "shard.arrows").write_bytes(gzip.compress(user.encode()))
    (lake.root / "old_note.txt.gz").write_bytes(gzip.compress(f"call {GO[1]}".encode()))
    # What an expiry that was killed was removing: of a whole date, and of one run.
    for place in (
        "acts/.removed.run_date=2026-02-01/run_id=a",
        "acts/run_date=2026-03-01/.removed.b",
    ):
        (lake.root / place).mkdir(parents=True)
        pq.write_table(pa.table({"user_id": [user]}), lake.root / place / "part-00000.parquet")
    pq.write_table(pa.table({"user_id": [user]}), lake.root / "stray.parquet")
    shop.logs.mkdir(parents=True)
    (shop.logs / "attempt=1.log").write_text(f"good line\nof {user}\nlast line\n", "utf-8")
