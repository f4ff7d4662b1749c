"""What holds for every simulation: bytes, prefixes, files, languages, bad arguments."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline.errors import InputError
from pipeline.simulator.shop import simulate_shop

DAY_FILES = {"events.jsonl", "items.csv", "reviews.jsonl", "users.csv"}
DAY_TRUTHS = {"acts", "faults", "market"}


def files_of(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def small(out: Path, days: int = 6, **changes: object) -> Path:
    arguments = {"users": 60, "items": 40, "seed": 5, "dirt": 5.0} | changes
    simulate_shop(out, days=days, **arguments)  # type: ignore[arg-type]
    return out


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    assert files_of(small(tmp_path / "a")) == files_of(small(tmp_path / "b"))


def test_another_seed_other_events(tmp_path: Path) -> None:
    one, other = files_of(small(tmp_path / "a")), files_of(small(tmp_path / "b", seed=6))
    day = "date=2026-01-18/events.jsonl"
    assert one[day] != other[day]


def test_a_longer_simulation_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short = files_of(small(tmp_path / "short", days=8))
    long = files_of(small(tmp_path / "long", days=15))
    assert {name: long[name] for name in short} == short
    assert len(long) == len(short) + 7 * (len(DAY_FILES) + len(DAY_TRUTHS))


def test_a_simulation_can_be_made_longer_in_place(tmp_path: Path) -> None:
    small(tmp_path / "grown", days=3)
    assert files_of(small(tmp_path / "grown", days=6)) == files_of(small(tmp_path / "whole"))


def test_dirt_does_not_change_what_happened(tmp_path: Path) -> None:
    """The same purchases lie under the dirt: faults draw from their own streams."""

    def ids(out: Path) -> set[tuple[str, str]]:
        return {
            (event["user"], event["item"])
            for line in clean_lines(out, "events.jsonl")
            if (event := json.loads(line))["type"] == "purchase"
        }

    clean, dirty = small(tmp_path / "a", dirt=0.0), small(tmp_path / "b", dirt=1.0)
    assert len(ids(clean) & ids(dirty)) > 0.95 * len(ids(clean))


def clean_lines(out: Path, file: str) -> list[str]:
    return [
        line
        for path in sorted(out.glob(f"date=*/{file}"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.endswith("}")
    ]


@pytest.mark.parametrize(
    ("users", "items", "days"), [(1, 1, 1), (1, 1, 30), (1, 30, 3), (30, 1, 10)]
)
def test_small_shops_deliver_every_file_every_day(
    tmp_path: Path, users: int, items: int, days: int
) -> None:
    summary = simulate_shop(tmp_path, users=users, items=items, days=days, seed=1)
    folders = sorted(tmp_path.glob("date=*"))
    assert len(folders) == days
    assert folders[-1].name == f"date={summary.last_date}"
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == DAY_FILES
        assert (folder / "users.csv").read_text().startswith("user,consent,lang,country\n")
    assert len((folders[0] / "items.csv").read_text().splitlines()) >= 2


def test_nothing_half_written_is_left(dirty_shop: Path) -> None:
    assert {path.name[:5] for path in dirty_shop.iterdir()} == {"date=", "_trut"}


def test_every_row_has_every_key_and_the_types_say_what_they_are(clean_shop: Path) -> None:
    kinds = Counter()
    for line in clean_lines(clean_shop, "events.jsonl"):
        event = json.loads(line)
        assert list(event) == [
            "event_id", "ts", "type", "user", "item", "session", "qty", "price", "query",
        ]  # fmt: skip
        kinds[event["type"]] += 1
        search = event["type"] == "search"
        assert (event["item"] is None) == search == (event["query"] is not None)
        assert (event["qty"] is not None) == (
            event["type"] in {"add_to_cart", "purchase", "return"}
        )
        assert (event["price"] is None) == search
        assert dt.datetime.fromisoformat(event["ts"]).tzinfo is not None
    assert set(kinds) == {"view", "add_to_cart", "purchase", "return", "search"}
    assert kinds["view"] > kinds["purchase"] > kinds["return"]
    for line in clean_lines(clean_shop, "reviews.jsonl"):
        assert list(json.loads(line)) == [
            "review_id", "ts", "user", "item", "stars", "headline", "body", "lang",
        ]  # fmt: skip


def test_events_happen_on_their_day_through_a_clock_change(dirty_shop: Path) -> None:
    zone = ZoneInfo("Europe/Berlin")
    offsets, hours = set(), set()
    for folder in sorted(dirty_shop.glob("date=*")):
        day = dt.date.fromisoformat(folder.name.removeprefix("date="))
        truth = dirty_shop / "_truth" / "faults" / f"{folder.name}.jsonl"
        other_days = {
            fault["line"]
            for line in truth.read_text(encoding="utf-8").splitlines()
            if (fault := json.loads(line))["file"] == "events.jsonl"
            and fault["kind"] in {"late", "clock_future", "clock_1970", "truncated"}
        }
        lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if number not in other_days:
                at = dt.datetime.fromisoformat(json.loads(line)["ts"])
                assert at.date() == day
                assert at.astimezone(zone).utcoffset() == at.utcoffset()
                hours.add(at.hour)
                offsets.add((at.utcoffset(), day < dt.date(2026, 3, 29)))
    hour = dt.timedelta(hours=1)
    assert {(hour, True), (2 * hour, False)} <= offsets
    assert len(hours) > 20


def test_languages_are_all_there(clean_shop: Path) -> None:
    reviews = [json.loads(line) for line in clean_lines(clean_shop, "reviews.jsonl")]
    assert {"en", "zh", "de", "es"} <= {review["lang"] for review in reviews}
    queries = {json.loads(line)["query"] for line in clean_lines(clean_shop, "events.jsonl")}
    assert any(query and query.startswith("我想买一款新的手机") for query in queries)
    assert any(query and query.startswith("I want to buy") for query in queries)
    titles = [row["title"] for row in catalogue(clean_shop, first=False)]
    chinese = [title for title in titles if any("\u4e00" <= letter <= "\u9fff" for letter in title)]
    assert 0.05 < len(chinese) / len(titles) < 0.6
    assert len(set(titles)) == len(titles)


def catalogue(out: Path, *, first: bool) -> list[dict[str, str]]:
    paths = sorted(out.glob("date=*/items.csv"))
    with paths[0 if first else -1].open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_catalogue_lives(clean_shop: Path) -> None:
    before = {row["sku"]: row for row in catalogue(clean_shop, first=True)}
    after = {row["sku"]: row for row in catalogue(clean_shop, first=False)}
    assert before.keys() < after.keys(), "new items launch, known ones stay in the file"
    assert any(after[sku]["price"] != before[sku]["price"] for sku in before)
    assert any(row["listed"] == "false" for row in after.values())
    assert any(row["stock"] == "0" for row in after.values())
    assert all(int(row["stock"]) >= 0 for row in after.values())
    assert all(float(row["price"]) > 0 for row in after.values())


def test_consent_changes_both_ways_and_users_join(clean_shop: Path) -> None:
    consent: dict[str, str] = {}
    changes: Counter[tuple[str, str]] = Counter()
    joined_later = 0
    for number, path in enumerate(sorted(clean_shop.glob("date=*/users.csv"))):
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                if row["user"] in consent:
                    changes[consent[row["user"]], row["consent"]] += 1
                else:
                    joined_later += number > 0
                consent[row["user"]] = row["consent"]
    assert set(changes) == {("true", "false"), ("false", "true")}
    assert joined_later > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": 0}, "users must be at least 1, found 0"),
        ({"items": -1}, "items must be at least 1, found -1"),
        ({"days": 0}, "days must be at least 1, found 0"),
        ({"dirt": -0.5}, "dirt must be 0"),
        ({"dirt": float("nan")}, "dirt must be 0"),
        ({"language": "fr"}, "one of en, zh, de, es, found 'fr'"),
        ({"timezone": "Mars/Base"}, "'Mars/Base' is not an IANA time zone"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        small(tmp_path / "out", **changes)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_another_simulation_is_not_written_over(tmp_path: Path) -> None:
    before = files_of(small(tmp_path))
    with pytest.raises(InputError, match=r"holds a simulation with seed=5, asked for seed=6"):
        small(tmp_path, seed=6)
    assert files_of(tmp_path) == before


def test_a_retailers_own_files_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "date=2026-01-16").mkdir()
    with pytest.raises(InputError, match="did not write"):
        small(tmp_path)


def test_progress_is_told_after_each_day(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    summary = simulate_shop(
        tmp_path, users=50, items=20, days=4, seed=2, progress=lambda *now: told.append(now)
    )
    assert [entry[:2] for entry in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1][2] == summary.events
