"""The ground truth is true: an independent reading of the files finds the same faults."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import row_rules
from pipeline.simulator.dirt import NEEDLES
from pipeline.simulator.faults import KINDS
from pipeline.simulator.randomness import stream

Found = set[tuple[int, str]]  # line, kind


def truth(out: Path, day: str) -> list[dict[str, Any]]:
    path = out / "_truth" / "faults" / f"date={day}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def days_of(out: Path) -> list[str]:
    return sorted(path.name.removeprefix("date=") for path in out.glob("date=*"))


def read_json_lines(path: Path) -> tuple[list[dict[str, Any] | None], Found]:
    """Rows by line, and the faults that need no knowledge: unreadable and repeated lines."""
    rows: list[dict[str, Any] | None] = []
    found: Found = set()
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            rows.append(None)
            found.add((number, "truncated"))
            continue
        if line in seen:
            found.add((number, "duplicate"))
            rows[-1] = None
        seen.add(line)
    return rows, found


def event_faults(rows: list[dict[str, Any] | None], day: str, known: set[str]) -> Found:
    found: Found = set()
    per_user = Counter(row["user"] for row in rows if row)
    for number, row in enumerate(rows, start=1):
        if row is None:
            continue
        at = dt.datetime.fromisoformat(row["ts"]).date().isoformat()
        signs = {
            "bot": row["user"] and per_user[row["user"]] > 300,
            "user_missing": not row["user"],
            "item_missing": row["item"] is None and row["type"] == "purchase",
            "item_unknown": row["item"] is not None and row["item"] not in known,
            "type_unknown": row["type"]
            not in {"view", "add_to_cart", "purchase", "return", "search"},
            "quantity_impossible": row["qty"] is not None and not 1 <= row["qty"] <= 100_000,
            "price_impossible": row["price"] is not None and row["price"] <= 0,
            "clock_future": at > day,
            "clock_1970": at == "1970-01-01",
            "late": at[:4] > "1970" and at < day,
            "email_in_query": "@" in (row["query"] or ""),
            "card_in_query": len(digits(row["query"])) == 16,
            "phone_in_query": 7 <= len(digits(row["query"])) < 16 and "@" not in row["query"],
        }
        found |= {(number, kind) for kind, is_so in signs.items() if is_so}
    return found


def review_faults(rows: list[dict[str, Any] | None], day: str, known: set[str]) -> Found:
    found: Found = set()
    for number, row in enumerate(rows, start=1):
        if row is None:
            continue
        body = row["body"]
        entity = re.search(r"&[#\w]+;", body)
        signs = {
            "user_missing": not row["user"],
            "item_unknown": row["item"] not in known,
            "clock_future": row["ts"][:10] > day,
            "text_empty": not body.strip(),
            "stars_impossible": not 1 <= row["stars"] <= 5,
            "email_in_text": "@" in body,
            "card_in_text": len(digits(body)) == 16,
            "phone_in_text": 7 <= len(digits(body)) < 16 and "@" not in body,
            "html_tag": "<" in body,
            "html_entity": entity is not None,
        }
        found |= {(number, kind) for kind, is_so in signs.items() if is_so}
    return found


def csv_faults(path: Path) -> Found:
    found: Found = set()
    seen: set[tuple[str, ...]] = set()
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            if tuple(row.values()) in seen:
                found.add((number, "duplicate"))
            elif "price" in row and float(row["price"]) <= 0:
                found.add((number, "price_impossible"))
            elif row.get("consent") == "":
                found.add((number, "consent_missing"))
            seen.add(tuple(row.values()))
    return found


def digits(text: str | None) -> str:
    return re.sub(r"\D", "", text or "")


def known_items(out: Path, day: str) -> set[str]:
    with (out / f"date={day}" / "items.csv").open(encoding="utf-8", newline="") as stream:
        return {row["sku"] for row in csv.DictReader(stream)}


def found_faults(out: Path, day: str) -> dict[str, Found]:
    folder = out / f"date={day}"
    known = known_items(out, day)
    events, event_lines = read_json_lines(folder / "events.jsonl")
    reviews, review_lines = read_json_lines(folder / "reviews.jsonl")
    return {
        "events.jsonl": event_lines | event_faults(events, day, known),
        "reviews.jsonl": review_lines | review_faults(reviews, day, known),
        "items.csv": csv_faults(folder / "items.csv"),
        "users.csv": csv_faults(folder / "users.csv"),
    }


def test_reading_the_files_finds_exactly_the_recorded_faults(dirty_shop: Path) -> None:
    for day in days_of(dirty_shop):
        recorded: dict[str, Found] = defaultdict(set)
        for fault in truth(dirty_shop, day):
            recorded[fault["file"]].add((fault["line"], fault["kind"]))
        for file, found in found_faults(dirty_shop, day).items():
            assert found == recorded[file], (day, file)


def test_every_kind_occurs(dirty_shop: Path) -> None:
    seen = {
        (fault["file"], fault["kind"])
        for day in days_of(dirty_shop)
        for fault in truth(dirty_shop, day)
    }
    assert seen == {(kind.file, kind.name) for kind in KINDS}


def test_a_clean_shop_has_no_faults(clean_shop: Path) -> None:
    for day in days_of(clean_shop):
        assert truth(clean_shop, day) == []
        assert not any(found_faults(clean_shop, day).values()), day


def test_ids_and_needles_are_where_the_record_says(dirty_shop: Path) -> None:
    needles = 0
    for day in days_of(dirty_shop):
        for fault in truth(dirty_shop, day):
            path = dirty_shop / f"date={day}" / fault["file"]
            line = path.read_text(encoding="utf-8").split("\n")[fault["line"] - 1]
            if fault["kind"] != "truncated":
                assert fault["id"] in line, fault
            if fault["needle"] is not None:
                assert fault["needle"] in line, fault
                needles += 1
    assert needles > 50


def test_late_events_were_held_back_by_one_to_five_days(dirty_shop: Path) -> None:
    seen = set()
    for day in days_of(dirty_shop):
        lines = (
            (dirty_shop / f"date={day}" / "events.jsonl").read_text(encoding="utf-8").split("\n")
        )
        for fault in truth(dirty_shop, day):
            if fault["kind"] == "late":
                at = dt.datetime.fromisoformat(json.loads(lines[fault["line"] - 1])["ts"]).date()
                seen.add((dt.date.fromisoformat(day) - at).days)
    assert seen == {1, 2, 3, 4, 5}


def test_some_file_ends_in_the_middle_of_a_line(dirty_shop: Path) -> None:
    ends = [path.read_text(encoding="utf-8")[-1:] for path in dirty_shop.glob("date=*/*.jsonl")]
    assert any(end not in ("\n", "") for end in ends)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.expected == "quarantine"], ids=str)
def test_quarantine_reasons_are_the_contracts(kind: Any) -> None:
    dataset = kind.file.split(".")[0]
    reasons = {reason for reason, _ in row_rules(load_contract(f"raw_{dataset}"))}
    assert kind.reason in reasons | {"unreadable_line"}


def test_card_numbers_have_a_right_check_digit() -> None:
    draw = stream(1, 1, "test")
    for _ in range(200):
        number = [int(digit) for digit in digits(NEEDLES["card"](draw))]
        doubled = [2 * digit - 9 if digit > 4 else 2 * digit for digit in number[-2::-2]]
        assert (sum(number[-1::-2]) + sum(doubled)) % 10 == 0
        assert len(number) == 16
