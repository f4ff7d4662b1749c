"""Exports of many shoppers, by every profile: seconds, and peak memory, one process a profile.

    python -m benchmarks.exports
    python -m benchmarks.exports --shoppers 1000000 --profiles braze csv

Makes a published night in a scratch directory: lists of 10 items out of 5,000, with titles of the
lengths of a shop's, some with emoji, commas and quotation marks; answers on consent; and the raw
file of users. Each profile is a process that does what `nightcart export` does: finds the ids,
writes, flushes, reads back. Prints one JSON line: seconds by the clock and of the processor, the
peak of resident memory in MB (what the imports take included), bytes and files.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import CLEANED_USERS, RECOMMENDATIONS
from pipeline.exports.profiles import PROFILES
from pipeline.lake import Lake, Run
from pipeline.lake_key import key_of_lake
from pipeline.pseudonym import pseudonym
from pipeline.settings import Settings, load_settings

NIGHT = dt.date(2026, 3, 1)
K, N_ITEMS = 10, 5_000
ROWS_A_FILE, ROWS_A_GROUP = 50_000, 10_000
SEED = 20260301
WORDS = [
    "kettle",
    "Tea-pot",
    '"fine"',
    "steel,",
    "red",
    "500ml",
    "für",
    "große",
    "Küchen",
    "☕",
    "🍵",
    "茶壶",
    "Olla",
    "&",
    "more",
]
# Ids that every tool takes as they are, but Mailchimp, which asks for addresses.
OWN_ID = "c{n}"
ADDRESS = "c{n}@shop.example"


def settings_of(folder: Path) -> Settings:
    """A shop below a folder."""
    given = {
        "NIGHTCART_PATHS__RAW": str(folder / "raw"),
        "NIGHTCART_PATHS__LAKE": str(folder / "lake"),
        "NIGHTCART_PRIVACY__KEY_FILE": str(folder / "key"),
    }
    return load_settings(None, given)


def make(folder: Path, shoppers: int, own_id: str) -> None:
    """Publish lists for some shoppers, and deliver their file."""
    settings, run = settings_of(folder), Run(NIGHT, "bench")
    lake = Lake(settings.paths.lake)
    key = key_of_lake(lake, settings.privacy.key_file)
    own = [own_id.format(n=n) for n in range(shoppers)]
    day = folder / "raw" / f"date={NIGHT}"
    day.mkdir(parents=True)
    lines = ["user,consent,lang,country", *(f"{one},true,en,GB" for one in own)]
    (day / "users.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    hashed = sorted(pseudonym(one, key) for one in own)
    _write(
        lake,
        CLEANED_USERS,
        run,
        ({"user_id": one, "consent": True, "source": "bench"} for one in hashed),
        shoppers,
    )
    partition = _write(lake, RECOMMENDATIONS, run, _lists(hashed), shoppers, k=K)
    lake.publish(RECOMMENDATIONS, partition)


def _lists(hashed: Sequence[str]) -> Iterator[dict[str, Any]]:
    chance = random.Random(SEED)
    items = [
        {
            "item_id": f"sku-{n}",
            "title": " ".join(chance.choices(WORDS, k=chance.randrange(3, 12))),
            "brand": "Acme",
            "category": "Kitchen > Tea",
            "price": round(chance.uniform(1, 200), 2),
        }
        for n in range(N_ITEMS)
    ]
    for one in hashed:
        chosen = chance.sample(items, K)
        yield {
            "user_id": one,
            "items": [
                {"rank": rank, **of, "score": -chance.random() * rank}
                for rank, of in enumerate(chosen, 1)
            ],
            "n_items": K,
            "method": "model",
            "rules": [],
            "reason": f"Because you looked at {chosen[-1]['title']}.",
            "reason_method": "template",
            "language": "en",
            "model_version": "bench",
            "last_event_time": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        }


def _write(
    lake: Lake, dataset: str, run: Run, rows: Iterator[dict[str, Any]], total: int, **facts: Any
) -> Any:
    declared = arrow_schema(load_contract(dataset))
    schema = pa.schema([field.with_nullable(True) for field in declared])
    directory = lake.begin(dataset, run)
    for number in range(0, total, ROWS_A_FILE):
        path = directory / f"part-{number // ROWS_A_FILE:05d}.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            for start in range(number, min(number + ROWS_A_FILE, total), ROWS_A_GROUP):
                n = min(ROWS_A_GROUP, total - start)
                group = [dict.fromkeys(schema.names) | next(rows) for _ in range(n)]
                file.write_table(pa.Table.from_pylist(group, schema=schema))
    return lake.commit(dataset, run, rows=total, **facts)


def measure(folder: Path, name: str) -> dict[str, Any]:
    """Export by one profile in this process."""
    from jobs.export_lists import ids_by_spark
    from pipeline.exports.export import Order, export
    from pipeline.exports.folder import exports_root
    from pipeline.exports.lookup import known_ids, published_lists
    from pipeline.exports.profiles import profile_named

    settings = settings_of(folder)
    lake = Lake(settings.paths.lake)
    began, processor = time.monotonic(), time.process_time()
    lists = published_lists(lake, None)
    known = known_ids(lake, settings, [lists], "own", ids_by_spark(settings))
    ids_seconds = time.monotonic() - began
    order = Order(
        profile_named(name),
        lists,
        "own",
        known,
        only_changed=False,
        dry_run=False,
        now=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
        keep_days=30,
    )
    done = export(lake, exports_root(settings), order)
    assert done.counts["exported"] == lists.rows, done.counts
    return {
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "ids_seconds": round(ids_seconds, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "mb": round(sum(path.stat().st_size for path in done.made.files) / 1e6, 1),
        "files": len(done.made.files),
    }


def main() -> None:
    """Make the shops, measure each profile, print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_RAW)
    parser.add_argument("--shoppers", type=int, default=100_000)
    parser.add_argument("--profiles", nargs="+", choices=list(PROFILES), default=list(PROFILES))
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "PROFILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[0]), arguments.measure[1])))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for own_id, names in (
            (OWN_ID, [name for name in arguments.profiles if name != "mailchimp"]),
            (ADDRESS, [name for name in arguments.profiles if name == "mailchimp"]),
        ):
            if not names:
                continue
            folder = Path(scratch) / own_id
            folder.mkdir()
            make(folder, arguments.shoppers, own_id)
            for name in names:
                words = [sys.executable, "-m", "benchmarks.exports", "--measure", str(folder), name]
                said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
                found[name] = json.loads(said)
    print(json.dumps({"shoppers": arguments.shoppers, "k": K, "profiles": found}))


_RAW = argparse.RawDescriptionHelpFormatter


if __name__ == "__main__":
    main()
