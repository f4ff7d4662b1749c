"""Hostile input through a whole cleaning: every row has its place, no string another meaning."""

from __future__ import annotations

import bz2
import csv
import dataclasses
import datetime as dt
import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.cleaning.deliveries.corrupt_files import rows_of
from pipeline.cleaning.night import clean_night
from pipeline.errors import InputError
from pipeline.lake import Lake, Run
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.reviews.encoding import repaired
from pipeline.settings import Settings
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.reader_columns import FILE
from pipeline.sources.readers import count_rows, read_rows
from pipeline.sources.source import SourceDataset
from pipeline.sources.source_yaml import load_source
from tests.lake_rows import read_rows as rows_in_lake

DAY = dt.date(2026, 3, 1)
SHOP = """
source: hostile
description: A shop of strings that break systems.
datasets:
  items:
    files: "items_{date}.csv"
    format: csv
    options: {multiline: true}
    columns: [sku, title]
    map: {item_id: sku, title: title}
  events:
    files: "events_{date}.jsonl"
    format: jsonl
    columns: [n, at, what, who, sku, words]
    map: {event_id: n, event_time: at, event_type: what, user_id: who, item_id: sku, query: words}
  reviews:
    files: "reviews_{date}.jsonl"
    format: jsonl
    columns: [n, at, who, sku, stars, text]
    map: {review_id: n, review_time: at, user_id: who, item_id: sku, rating: stars, text: text}
"""
FUZZED = """
source: fuzzed
description: Events in many small files.
datasets:
  events:
    files: "{date}/*.%s"
    format: %s
    columns: [n, at, what, who, sku, words]
    map: {event_id: n, event_time: at, event_type: what, user_id: who, item_id: sku, query: words}
"""
FILES_OF_A_FORMAT = 700
ROW = {"at": f"{DAY}T10:00:00Z", "what": "search", "who": "u1", "sku": "i1", "words": "größe 'ß'"}


def _of(settings: Settings, source: str, tmp_path: Path) -> Settings:
    yaml = tmp_path / "shop.yaml"
    yaml.write_text(source)
    cleaning = dataclasses.replace(
        settings.cleaning,
        max_quarantined_share=1.0,
        max_unreadable_share=1.0,
        on_corrupt_file="continue",
        bot_max_events_per_day=10**6,
        bot_no_dwell_seconds=0.0,
        near_duplicate_seconds=0.0,
    )
    shop = dataclasses.replace(settings.shop, source=str(yaml))
    Path(settings.paths.raw).mkdir(exist_ok=True)
    return dataclasses.replace(settings, shop=shop, cleaning=cleaning)


def test_hostile_strings_as_ids_titles_queries_and_texts(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path, shared_data: Path
) -> None:
    """Each lands in the lake as it was, or in quarantine for a reason that is true of it."""
    strings = json.loads((shared_data / "hostile_strings/blns.json").read_text("utf-8"))
    strings = [*dict.fromkeys([*strings, " lead", "a\nb", "a\x00b", '"', "\\"])]
    settings = _of(settings, SHOP, tmp_path)
    raw = Path(settings.paths.raw)
    with (raw / f"items_{DAY}.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        lines.writerows([("sku", "title"), *((text, text) for text in strings)])
    given = [{**ROW, "n": str(n), "who": s, "sku": s, "words": s} for n, s in enumerate(strings)]
    seconds = (dt.timedelta(seconds=n) for n in range(len(given)))
    start = dt.datetime.combine(DAY, dt.time(10), dt.UTC)
    for row, second in zip(given, seconds, strict=True):
        row["at"] = (start + second).isoformat()
    reviews = [{**row, "stars": 5, "text": row["words"]} for row in given]
    for name, rows, gone in (("events", given, ()), ("reviews", reviews, ("what", "words"))):
        kept = ({key: row[key] for key in row if key not in gone} for row in rows)
        (raw / f"{name}_{DAY}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in kept))

    night = clean_night(spark, settings, lake, Run(DAY, "hostile"))
    for line in night.lines:
        assert line.rows_in == len(strings), line
        line.check()
    refused = {
        dataset: Counter(
            row["reason"]
            for row in rows_in_lake(lake, "quarantine", DAY)
            if row["dataset"] == dataset
        )
        for dataset in ("items", "events", "reviews")
    }
    key = read_or_make_key(settings.privacy.key_file)
    items = {row["item_id"]: row["title"] for row in rows_in_lake(lake, "cleaned_items", DAY)}
    is_id = {s for s in strings if re.search(r"[^\x00-\x20]", s) and len(s) <= 200}
    assert {s for s in strings if s in items} >= {s for s in is_id if not s.isspace()}
    assert all(items[s] == repaired(s) for s in items if len(s) <= 200)
    for name, column in (("events", "query"), ("reviews", "text")):
        found = {row[f"{name[:-1]}_id"]: row for row in rows_in_lake(lake, f"cleaned_{name}", DAY)}
        assert len(found) + sum(refused[name].values()) == len(strings)
        for n, s in enumerate(strings):
            row = found.get(pseudonym(str(n), key))
            if row is None:
                continue
            assert row["user_id"] == pseudonym(s, key)
            assert row["item_id"] == s
            # Markup, entities, addresses and numbers are taken out of texts on purpose.
            if not re.search(r"[<&@]|(?s:(?:[0-9].*?){7})", s):
                assert row[column] == (s if name == "events" else repaired(s)), s


Mutation = Callable[[random.Random, bytearray], None]


def _flip(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 40)]


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _insert(rng: random.Random, data: bytearray) -> None:
    tokens = (
        b"\x00",
        b'"',
        b"\r",
        b"\n\n",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b",,,",
        b"{",
        b"\\",
        b"\t",
    )
    at = rng.randrange(len(data))
    data[at:at] = rng.choice((*tokens, rng.randbytes(rng.randrange(1, 12))))


def _repeat(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.randrange(1, 200)]


MUTATIONS: tuple[Mutation, ...] = (_flip, _cut, _truncate, _insert, _repeat)


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data))


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, 1, mtime=0),
    ".zst": _zstd,
    ".bz2": bz2.compress,
}


def _write_mutants(folder: Path, kind: str) -> None:
    """Files of eight events, one to three mutations each, before or after compression."""
    rng = random.Random(f"fuzz {kind}")
    folder.mkdir(parents=True)
    for number in range(FILES_OF_A_FORMAT):
        rows = [{"n": f"{number}-{n}", **ROW} for n in range(8)]
        if kind == "csv":
            text = "n,at,what,who,sku,words\n" + "".join(
                ",".join(row.values()) + "\n" for row in rows
            )
        else:
            text = "".join(
                json.dumps(row, ensure_ascii=n % 2 == 0) + "\n" for n, row in enumerate(rows)
            )
        suffix = rng.choices([*COMPRESS], (7, 1, 1, 1))[0]
        data, compress = bytearray(text.encode()), COMPRESS[suffix]
        inside = not suffix or rng.random() < 0.5
        data = data if inside else bytearray(compress(bytes(data)))
        for _ in range(rng.randrange(1, 4) if number else 0):  # the first one is left as it is
            if data:
                rng.choice(MUTATIONS)(rng, data)
        content = compress(bytes(data)) if inside else bytes(data)
        (folder / f"{number:05d}.{kind}{suffix}").write_bytes(content)


def _lines(dataset: SourceDataset, file: DeliveredFile) -> int:
    """Rows of a file, counted here: lines that are not blank, without the header."""
    data = file.path.read_bytes()
    if data and file.path.suffix == ".gz":
        data = gzip.decompress(data)
    elif data and file.path.suffix == ".bz2":
        data = bz2.decompress(data)
    elif data and file.path.suffix == ".zst":
        data = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    lines = [line for line in re.split(rb"\r\n|\r|\n", data) if re.search(rb"[^\x00-\x20]", line)]
    return len(lines) - (1 if lines and dataset.format == "csv" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_no_mutated_file_breaks_a_night_or_loses_a_row(
    spark: SparkSession, settings: Settings, lake: Lake, tmp_path: Path, kind: str
) -> None:
    """Hundreds of garbled files in one night: counted file by file, and the ledger balances."""
    settings = _of(settings, FUZZED % (kind, kind), tmp_path)
    _write_mutants(Path(settings.paths.raw) / str(DAY), kind)
    dataset = load_source(settings.shop.source).datasets["events"]
    files, damaged, refused = [], [], {}
    for file in dataset.pattern.files(settings.paths.raw):
        try:
            faults = check_files(dataset, [file])
        except InputError as error:  # other columns than the source's stop a night, by name
            refused[file.path] = str(error)
            file.path.unlink()
            continue
        assert all(str(file.path) in str(fault) for fault in faults)
        damaged += faults
        files += [] if faults else [file]
    assert all(str(path) in error for path, error in refused.items())
    assert len(files) + len(damaged) + len(refused) == FILES_OF_A_FORMAT
    assert min(len(files), len(damaged), len(refused)) > 20
    lines = {file.relative: _lines(dataset, file) for file in files}
    assert count_rows(spark, dataset, settings.paths.raw, files) == lines
    rows = read_rows(spark, dataset, settings.paths.raw, files).groupBy(FILE).count().collect()
    assert {row[FILE]: row["count"] for row in rows} == {f: n for f, n in lines.items() if n}

    night = clean_night(spark, settings, lake, Run(DAY, "fuzz"))
    # A mutated time may make a row late: what such rows have judged again is counted apart.
    line, *_ = [found.check() for found in night.lines]
    assert line.dataset == "events"
    assert line.rows_in == sum(lines.values()) + sum(map(rows_of, damaged))
    assert line.quarantined["corrupt_file"] == sum(map(rows_of, damaged))
    quarantine = rows_in_lake(lake, "quarantine", DAY)
    assert sum(row["rows"] for row in quarantine) == sum(line.quarantined.values())
    named = {row["file"] for row in quarantine if row["reason"] == "corrupt_file"}
    assert named == {damage.file.relative for damage in damaged}
    assert lake.require("cleaned_events", DAY).rows == line.rows_out > FILES_OF_A_FORMAT
