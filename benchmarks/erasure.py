"""What an erasure costs: a lake of ten nights by hand, 25 shoppers erased, and 1 beside 1,000.

Makes a lake with the tables of each night (events of the day and late ones, reviews, phrases, acts,
histories, lists), a redo of every third night, exports, records and pages. Each erasure works on a
copy of its own, in a process of its own. Afterwards every byte is looked at for the shoppers who
went, by a scan that shares no code with the erasure, and the rows of all others are compared.

    python -m benchmarks.erasure                          ten nights of 2,000 shoppers
    python -m benchmarks.erasure --users 20000 --nights 10

Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import GENERATED, RECOMMENDATIONS, contract_name
from pipeline.erasure.erase import ask, erase
from pipeline.lake import Lake, Run, write_json
from pipeline.lake_key import key_of_lake
from pipeline.pseudonym import pseudonym
from pipeline.verification import verify_lake

FIRST = dt.date(2026, 3, 1)
EVENTS_A_NIGHT, K = 5, 10  # of each shopper
ERASED, FEW, MANY = 25, 1, 1_000
KEY_FILE = "user_id.key"


def main() -> None:
    """Build, erase, look, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=2_000, help="shoppers (default: 2000)")
    parser.add_argument("--nights", type=int, default=10, help="default: 10")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        ids = [f"shopper-{number:06d}" for number in range(arguments.users)]
        build(root / "lake", ids, arguments.nights)
        size = sum(path.stat().st_size for path in (root / "lake").rglob("*") if path.is_file())
        done: dict[str, Any] = {
            "users": arguments.users,
            "nights": arguments.nights,
            "megabytes": round(size / 1e6, 1),
            "files": sum(1 for path in (root / "lake").rglob("*") if path.is_file()),
        }
        for count in (ERASED, FEW, min(MANY, arguments.users // 2)):
            print(f"erasing {count} of {arguments.users}", flush=True)
            lake = root / f"of-{count}"
            shutil.copytree(root / "lake", lake)
            gone = ids[:: max(1, len(ids) // count)][:count]
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, of_processor = pool.apply(timed, (lake, root / KEY_FILE, gone))
            done |= {f"seconds_{count}": seconds, f"processor_seconds_{count}": of_processor}
            done[f"left_{count}"] = left(lake, root / KEY_FILE, gone)
            done[f"others_equal_{count}"] = others_equal(root, lake, gone)
            done[f"faults_{count}"] = len(verify_lake(Lake(lake)).faults)
            shutil.rmtree(lake)
        print(json.dumps(done))


def timed(lake: Path, key_file: Path, gone: Sequence[str]) -> tuple[float, float]:
    """Erase; the seconds that it took, and those of a processor."""
    started, processor = time.perf_counter(), time.process_time()
    erase(ask(Lake(lake), key_file, gone), lambda: dt.datetime.now(dt.UTC))
    return (
        round(time.perf_counter() - started, 2),
        round(time.process_time() - processor, 2),
    )


def left(lake: Path, key_file: Path, gone: Sequence[str]) -> int:
    """How many files still hold a pseudonym or an id of somebody who went."""
    key = Lake(lake), key_file
    secrets = [*gone, *(pseudonym(name, key_of_lake(*key)) for name in gone)]
    values = pa.array(secrets)
    found = 0
    for path in lake.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        held = any(secret.encode() in content for secret in secrets)
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                rows = file.read()
            held |= "user_id" in rows.column_names and bool(
                pc.any(pc.is_in(rows["user_id"], value_set=values)).as_py()
            )
        found += held
    return found


def others_equal(root: Path, lake: Path, gone: Sequence[str]) -> bool:
    """Whether each table is what it was without those who went."""
    key = key_of_lake(Lake(root / "lake"), root / KEY_FILE)
    values = pa.array([pseudonym(name, key) for name in gone])
    for path in sorted((root / "lake").rglob("*.parquet")):
        before, after = (
            pq.ParquetFile(file).read() for file in (path, lake / path.relative_to(root / "lake"))
        )
        if "user_id" in before.column_names:
            before = before.filter(pc.invert(pc.is_in(before["user_id"], value_set=values)))
        elif "raw" in before.column_names:
            users = pa.array([json.loads(str(row))["user"] for row in before["raw"].to_pylist()])
            before = before.filter(pc.invert(pc.is_in(users, value_set=values)))
        if not before.equals(after):
            return False
    return True


def build(root: Path, ids: Sequence[str], nights: int) -> None:
    """The lake."""
    lake = Lake(root)
    key = key_of_lake(lake, root.parent / KEY_FILE)
    users = np.array([pseudonym(name, key) for name in ids])
    for number in range(nights):
        night = FIRST + dt.timedelta(days=number)
        for run_id in ("first", "again") if number % 3 == 0 else ("first",):
            _night(lake, Run(night, run_id), np.sort(users), number)


def _night(lake: Lake, run: Run, users: np.ndarray[Any, Any], number: int) -> None:
    rng = np.random.default_rng(number)
    at = dt.datetime.combine(run.run_date, dt.time(10), dt.UTC)
    items = [f"item {n}" for n in range(500)]

    def acts(count: int, name: str, day: dt.date) -> dict[str, Any]:
        who = np.sort(rng.choice(users, count))
        return {
            "event_id": [f"{name} {n} {run.run_date}" for n in range(count)],
            "event_time": [at] * count,
            "event_date": [day] * count,
            "event_type": ["view"] * count,
            "user_id": who,
            "item_id": rng.choice(items, count),
            "query": [None] * count,
            "source": ["benchmark"] * count,
        }

    n = len(users)
    late = run.run_date - dt.timedelta(days=1)
    events = [acts(n * EVENTS_A_NIGHT, "e", run.run_date), acts(n // 20 + 1, "late", late)]
    _write(lake, "cleaned_events", run, *events)
    who = np.sort(rng.choice(users, n // 10 + 1))
    review = {
        "review_id": [f"r {n} {run.run_date}" for n in range(len(who))],
        "review_date": [run.run_date] * len(who),
        "user_id": who,
        "item_id": rng.choice(items, len(who)),
        "rating": [5.0] * len(who),
        "language": ["en"] * len(who),
    }
    times = {"review_time": [at] * len(who), "source": ["benchmark"] * len(who)}
    texts = [f"A quiet thing, says {name}." for name in rng.choice(items, len(who))]
    _write(lake, "cleaned_reviews", run, {**review, **times, "text": texts})
    said = {"phrase": ["quiet"] * len(who), "aspect": ["noise"] * len(who)}
    _write(lake, "review_phrases", run, {**review, **said, "polarity": [1] * len(who)})
    _write(lake, "cleaned_users", run, {"user_id": users, "consent": [True] * n})
    raw = [json.dumps({"user": user, "price": "-1"}) for user in users[::50]]
    _write(lake, "quarantine", run, {"dataset": ["events"] * len(raw), "raw": raw})
    _write(lake, "acts", run, acts(n * EVENTS_A_NIGHT * (number + 1), "a", run.run_date))
    past = [rng.choice(items, EVENTS_A_NIGHT).tolist() for _ in users]
    histories = {"user_id": users, "item_ids": past, "queries": [["a quiet thing"]] * n}
    _write(lake, "histories", run, {**histories, "consent": [True] * n})
    lists = {
        "user_id": users,
        "items": [
            [
                {"rank": rank, "item_id": name, "title": f"Thing {name}"}
                for rank, name in enumerate(rng.choice(items, K).tolist(), 1)
            ]
            for _ in users
        ],
        "reason": ["A good thing."] * n,
        "reason_method": ["template"] * n,
    }
    _write(lake, GENERATED, run, lists)
    _write(lake, RECOMMENDATIONS, run, lists, k=K)
    write_json(lake.records(run) / "clean.json", {"stage": "clean", "report": {"rows": n}})
    page = f"<p>Some shoppers: {', '.join(users[:3])}"
    (lake.records(run) / "report.html").write_text(page, encoding="utf-8")


def _write(lake: Lake, name: str, run: Run, *files: dict[str, Any], **facts: Any) -> None:
    """A partition, a file of each; what is not given is null."""
    schema = arrow_schema(load_contract(contract_name(name)))
    schema = pa.schema([field.with_nullable(True) for field in schema])
    directory, rows = lake.begin(name, run), 0
    for number, columns in enumerate(files):
        count = len(next(iter(columns.values())))
        rows += count
        table = pa.table(
            [
                pa.array(list(columns[field.name]), field.type)
                if field.name in columns
                else pa.nulls(count, field.type)
                for field in schema
            ],
            schema=schema,
        )
        pq.write_table(table, directory / f"part-{number:05d}.parquet", compression="zstd")
    lake.commit(name, run, rows=rows, **facts)


if __name__ == "__main__":
    main()
