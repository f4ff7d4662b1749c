"""What a night goes on from, and that going on gives what the whole past gives."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.histories import history, sorted_files
from pipeline.histories.acts import act_log
from pipeline.histories.increment import INCREMENTAL, Increment, increment_of, oldest_day
from pipeline.histories.unchanged_users import READ_COLUMNS, NightStep
from pipeline.lake import Lake, Partition, Run
from tests.histories.conftest import DAY, Shop, event, item, review, user
from tests.lake_rows import read_rows, user_id_of, write_rows

NIGHTS = [DAY + dt.timedelta(days=n) for n in range(4)]
CONTINUED = ("acts", "catalogue", "user_attributes")
DATASETS = (*CONTINUED, "histories", "item_words")


# -- which night is gone on from -------------------------------------------------------------


def deliver(lake: Lake, day: dt.date, run_id: str = "c") -> None:
    write_rows(lake, "cleaned_users", Run(day, run_id), [user(f"of {day}")])


def looked_for(lake: Lake, night: dt.date, code: str = "1", **settings: Any) -> Increment:
    chosen = {"most": [1, 2]} | settings
    return increment_of(
        lake, "user_attributes", ["cleaned_users"], night, code=code, settings=chosen
    )


def carry(lake: Lake, night: dt.date, **settings: Any) -> Increment:
    found = looked_for(lake, night, **settings)
    write_rows(lake, "user_attributes", Run(night, "n"), [], **found.facts())
    return found


def test_the_newest_night_before_is_gone_on_from(lake: Lake) -> None:
    for day in NIGHTS:
        deliver(lake, day)
    first = carry(lake, NIGHTS[0])
    assert first.before is None
    assert first.built == "rebuilt because there are no user_attributes of an earlier night"
    second = carry(lake, NIGHTS[1])
    assert second.before is not None
    assert (second.before.run_date, second.built) == (NIGHTS[0], INCREMENTAL)
    assert [part.run_date for part in second.new["cleaned_users"]] == [NIGHTS[1]]
    # A night without histories in between only makes more to read.
    fourth = looked_for(lake, NIGHTS[3])
    assert fourth.before is not None
    assert fourth.before.run_date == NIGHTS[1]
    assert [part.run_date for part in fourth.new["cleaned_users"]] == NIGHTS[2:]
    # By the writers' count, however it was made.
    assert fourth.rows("cleaned_users") == 4
    assert fourth.lineage.inputs == looked_for(lake, NIGHTS[3], code="2").lineage.inputs


def test_a_night_sees_neither_a_later_one_nor_itself(lake: Lake) -> None:
    for day in NIGHTS:
        deliver(lake, day)
    for night in (NIGHTS[0], NIGHTS[3]):
        carry(lake, night)
    again = looked_for(lake, NIGHTS[3]).before
    assert again is not None
    assert again.run_date == NIGHTS[0], "a night that is run again does not go on from itself"
    found = looked_for(lake, NIGHTS[1])
    assert found.before is not None
    assert found.before.run_date == NIGHTS[0]
    assert list(found.lineage.inputs["cleaned_users"]) == [str(day) for day in NIGHTS[:2]]


def test_what_does_not_hold_any_more_is_not_gone_on_from(lake: Lake) -> None:
    for day in NIGHTS[:3]:
        deliver(lake, day)
        carry(lake, day)
    other = looked_for(lake, NIGHTS[3], code="2", most=[1])
    assert other.before is None
    assert "the user_attributes of 2026-03-03 were made with another code, most" in other.built
    # The second delivery is cleaned again: the first night still holds.
    deliver(lake, NIGHTS[1], "again")
    found = looked_for(lake, NIGHTS[3])
    assert found.before is not None
    assert found.before.run_date == NIGHTS[0]
    # And then one that came before them all.
    deliver(lake, DAY - dt.timedelta(days=1))
    found = looked_for(lake, NIGHTS[3])
    assert found.built == (
        "rebuilt because the user_attributes of 2026-03-03 were made from another cleaned_users of "
        "2026-02-28 and 1 more than is current"
    )
    assert len(found.new["cleaned_users"]) == 4


def test_a_partition_without_lineage_is_not_gone_on_from(lake: Lake) -> None:
    deliver(lake, NIGHTS[0])
    write_rows(lake, "user_attributes", Run(NIGHTS[0], "n"), [])
    found = looked_for(lake, NIGHTS[1])
    assert found.built == (
        "rebuilt because the user_attributes of 2026-03-01 do not say what they were made from"
    )


# -- acts remembered in steps ----------------------------------------------------------------

HORIZON, CANCELLATION, MOST, ACTIVE = 2, 2, 3, 2
FIRST = DAY - dt.timedelta(days=12)


def random_past(seed: int, users: int = 8) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Deliveries of twelve days, each with late rows, and what later ones took back."""
    chance = random.Random(seed)
    events, retractions = [], []
    for number in range(600):
        delivered = FIRST + dt.timedelta(days=chance.randrange(13))
        own = delivered - dt.timedelta(days=chance.choice([0, 0, 0, 1, HORIZON]))
        kind = chance.choice(["view", "cart", "purchase", "purchase", "return", "search"])
        named = None if kind == "search" else chance.choice("abcdef")
        row = event(
            str(chance.randrange(users)),
            kind,
            named,
            f"{own} {chance.randrange(24):02}:00",
            event_id=f"e{number % 550}",
            quantity=chance.choice([None, 1, 2]) if kind in ("purchase", "return") else None,
            query="tea" if kind == "search" else None,
            run_date=delivered,
        )
        events.append(row)
        later = delivered + dt.timedelta(days=1)
        if number % 9 == 0 and own >= later - dt.timedelta(days=HORIZON):
            retractions.append(
                {"dataset": "events", "rule": "bot", "run_date": later}
                | {name: row[name] for name in ("user_id", "event_date", "event_id")}
            )
            if number % 2:
                events.append(row | {"run_date": later})  # and accepted again at once
    return events, retractions


@pytest.mark.parametrize("users", [8, 200])
def test_remembering_in_steps_is_remembering_the_whole(spark: SparkSession, users: int) -> None:
    """With few users all of them act every night; with many, most are copied as they are."""
    events, retractions = random_past(3, users)
    copied: list[float] = []
    reused: list[float] = []

    def frame(name: str, rows: list[dict[str, Any]]) -> Any:
        schema = spark_schema(load_contract(name)).add("run_date", "date")
        return spark.createDataFrame(
            [[row.get(field) for field in schema.names] for row in rows], schema
        )

    def memory(night: dt.date) -> act_log.Memory:
        return act_log.Memory(night, HORIZON, CANCELLATION, MOST, ("purchase",))

    def stored(rows: list[Any]) -> Any:
        return spark.createDataFrame(rows, spark_schema(load_contract("acts")))

    def histories(rows: list[Any], night: dt.date, but: set[Any]) -> list[Any]:
        made = history.event_histories(
            stored([row for row in rows if row["user_id"] not in but]),
            night=night,
            active_days=ACTIVE,
            max_events=MOST,
            session_gap_minutes=90,
            partitions=1,
        )
        return sorted(made.collect())

    def remembered(night: dt.date, since: dt.date | None, before: list[Any]) -> list[Any]:
        def new(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            start = since or dt.date.min
            return [row for row in rows if start < row["run_date"] <= night]

        known = act_log.delivered_acts(
            frame("cleaned_events", new(events)), frame("cleaned_reviews", [])
        )
        taken_back = frame("retractions", new(retractions))
        unchanged: list[Any] = []
        if since is not None:
            step = NightStep(memory(since), memory(night), ACTIVE)
            table = pa.table({name: [row[name] for row in before] for name in READ_COLUMNS})
            acting = {row["user_id"] for row in new(events) + new(retractions)}
            changed_acts = acting | set(step.users_whose_acts_change(table).to_pylist())
            changed = acting | set(step.users_whose_history_changes(table).to_pylist())
            unchanged = [row for row in before if row["user_id"] not in changed_acts]
            rest = [row for row in before if row["user_id"] in changed_acts]
            known = known.unionByName(act_log.remembered_acts(stored(rest)))
            copied.append(len(unchanged) / len(before))
        standing = act_log.without_retracted(known, act_log.retracted_acts(taken_back))
        marked = act_log.remember(act_log.without_repeats(standing, 2), memory(night))
        after = sorted([*unchanged, *marked.where("is_kept").drop("is_kept").collect()])
        if since is not None:
            as_before = histories(before, since, but=changed)
            assert as_before == histories(after, night, but=changed)
            reused.append(len(as_before) / users)
        return after

    before: list[Any] = []
    since = None
    for step in (4, 1, 1, 3, 1, 2):
        night = (since or FIRST) + dt.timedelta(days=step)
        before = remembered(night, since, before)
        since = night
    assert since == DAY
    whole = remembered(DAY, None, [])
    assert before == whole
    if users > 8:
        assert max(copied) > 0.25, "hardly anybody is unchanged: this proves little"
        assert max(reused) > 0.4, "nearly every history is built anew: this proves little"
        return
    assert len(whole) < 0.7 * len(events), "little is forgotten: this proves little"
    assert any(row["settled"] for row in whole)
    assert any(row["cancelled"] for row in whole)
    assert sum(row["events_before"] for row in whole) > 50


# -- whole nights ----------------------------------------------------------------------------


def some_nights(shop: Shop) -> None:
    """Four deliveries with late rows, retractions, changes of catalogue and consent."""
    chance = random.Random(11)
    names = [f"u{n}" for n in range(9)]
    for place, day in enumerate(NIGHTS):
        events, reviews = [], []
        for number in range(40):
            own = day - dt.timedelta(days=chance.choice([0, 0, 0, min(1, place)]))
            kind = chance.choice(["view", "cart", "purchase", "return", "search"])
            named = None if kind == "search" else chance.choice("abcd")
            more = {"query": "tea"} if kind == "search" else {}
            events.append(
                event(
                    chance.choice(names),
                    kind,
                    named,
                    f"{own} {chance.randrange(24):02}:30",
                    event_id=f"{day}-{number}",
                    **more,
                )
            )
        if not place:
            events += [
                event(f"q{n}", kind, "abcd"[n % 4], f"{day} 0{hour}:00", event_id=f"q{n}-{hour}")
                for n in range(9)
                for hour, kind in enumerate(["view", "purchase", "cart", "purchase", "view"])
            ]
        for number in range(3):
            reviews.append(
                review(chance.choice(names), chance.choice("abcd"), f"{day} 1{number}:00")
                | {"text": "A quiet fan, and a very quiet fan.", "language": "en"}
            )
        items = [
            item(name, price=float(chance.randrange(1, 9)), stock=chance.choice([None, 0, 5, 5]))
            for name in chance.sample("abcd", 3 if place else 4)
        ]
        users = [user(name, chance.random() < 0.8) for name in chance.sample(names, 5)]
        shop.deliver(day, events=events, reviews=reviews, users=users)
        write_rows(shop.lake, "cleaned_items", Run(day, "r1"), items, complete=day == NIGHTS[2])
        before = read_rows(shop.lake, "cleaned_events", NIGHTS[place - 1])[:3] if place else []
        taken_back = [
            {"dataset": "events", "rule": "bot"}
            | {name: row[name] for name in ("user_id", "event_date", "event_id")}
            for row in before
        ]
        write_rows(shop.lake, "retractions", Run(day, "r1"), taken_back)


def checksums(shop: Shop, night: dt.date) -> list[tuple[str, str, str]]:
    return [
        (name, entry["path"], entry["sha256"])
        for name in DATASETS
        for entry in shop.lake.require(name, night).manifest["files"]
    ]


@pytest.mark.parametrize(("rows_per_file", "files"), [(110, [1, 2, 2]), (60, [2, 2, 2])])
def test_nights_one_by_one_are_a_rebuild(
    shop: Shop,
    rows_per_file: int,
    files: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether or not acts are cut into as many files as before; nine users act once and no more."""
    monkeypatch.setattr(sorted_files, "ROWS_PER_FILE", rows_per_file)
    caplog.set_level("INFO", "nightcart")
    shop.set(
        cleaning__late_horizon_days=1,
        histories__cancellation_days=1,
        histories__max_events=4,
        histories__active_days=2,
    )
    some_nights(shop)
    first = shop.build(NIGHTS[0])
    assert set(first.report["built"].values()) == {
        f"rebuilt because there are no {name} of an earlier night" for name in CONTINUED
    }
    # The third night was never run.
    for night in (NIGHTS[1], NIGHTS[3]):
        built = shop.build(night)
        assert set(built.report["built"].values()) == {INCREMENTAL}
        assert [line.unaccounted for line in built.ledger] == [0] * len(built.ledger)
        if night == NIGHTS[1]:
            second = checksums(shop, night)
            copied = "acts: 9 users are updated" in caplog.text
            assert copied == (files[0] == files[1])
            assert ("histories: 9 users are updated" in caplog.text) == copied
    cut_into = [len(shop.lake.require("acts", NIGHTS[n]).files) for n in (0, 1, 3)]
    assert cut_into == files
    one_by_one = checksums(shop, NIGHTS[3])
    # Whatever was delivered and built since, an earlier night sees none of it.
    shop.build(NIGHTS[1], "again", rebuild=True)
    assert checksums(shop, NIGHTS[1]) == second
    again = shop.build(NIGHTS[3], "again", rebuild=True)
    assert set(again.report["built"].values()) == {"rebuilt because it was asked for"}
    assert checksums(shop, NIGHTS[3]) == one_by_one
    forgotten = {line.dataset: line.removed for line in built.ledger}["acts"]
    assert forgotten["retracted"] > 0
    assert forgotten["forgotten"] > 0
    remembered = read_rows(shop.lake, "acts", NIGHTS[3])
    assert sum(row["settled"] for row in remembered) > 0
    assert sum(row["cancelled"] for row in remembered) > 0

    # A delivery that reaches behind what is remembered: no night can be gone on from.
    late = event("u1", "purchase", "a", "2026-02-20 08:00")
    fifth = NIGHTS[3] + dt.timedelta(days=1)
    shop.deliver(fifth, events=[late], items=[], users=[], reviews=[])
    built_from = shop.build(fifth).report["built"]
    assert built_from["catalogue"] == built_from["user_attributes"] == INCREMENTAL
    assert built_from["acts"].startswith(
        "rebuilt because a delivery since 2026-03-04 is of acts of 2026-02-20"
    )
    rows = {row["user_id"]: row for row in read_rows(shop.lake, "histories", fifth)}
    assert "a" in rows[user_id_of("u1")]["owned_item_ids"]


def test_a_night_of_nothing_copies_everything(shop: Shop) -> None:
    shop.deliver(
        NIGHTS[0],
        items=[item("a")],
        users=[user("ann"), user("bob")],
        events=[
            event("ann", "purchase", "a", f"{NIGHTS[0]} 08:00"),
            event("bob", "search", None, f"{NIGHTS[0]} 08:00", query="tea"),
        ],
    )
    shop.build(NIGHTS[0])
    shop.deliver(NIGHTS[1], items=[], users=[], events=[])
    built = shop.build(NIGHTS[1])
    assert [line.unaccounted for line in built.ledger] == [0] * len(built.ledger)
    for name in ("acts", "histories"):
        assert read_rows(shop.lake, name, NIGHTS[1]) == read_rows(shop.lake, name, NIGHTS[0])
    assert not list(shop.lake.work("acts", Run(NIGHTS[1], "n1")).glob("*"))

    # And of one user all that there is is taken back.
    shop.deliver(NIGHTS[2], items=[], users=[], events=[])
    bob = read_rows(shop.lake, "cleaned_events", NIGHTS[0])[1]
    taken_back = {name: bob[name] for name in ("user_id", "event_date", "event_id")}
    taken_back |= {"dataset": "events", "rule": "bot"}
    write_rows(shop.lake, "retractions", Run(NIGHTS[2], "r1"), [taken_back])
    lines = {line.dataset: line for line in shop.build(NIGHTS[2]).ledger}
    assert lines["acts"].removed == {"retracted": 1}
    [left] = read_rows(shop.lake, "acts", NIGHTS[2])
    assert left["user_id"] == user_id_of("ann")


def test_histories_made_otherwise_are_not_carried(shop: Shop) -> None:
    """The acts continue; two settings more change the history of every user."""
    times = [f"{NIGHTS[0]} {hour:02}:00" for hour in (8, 9, 12)]
    shop.deliver(
        NIGHTS[0],
        items=[item("a")],
        users=[user("ann"), user("bob")],
        events=[event("ann", "view", "a", time) for time in times],
    )
    shop.build(NIGHTS[0])
    shop.set(histories__session_gap_minutes=200, histories__active_days=2)
    bob = event("bob", "view", "a", f"{NIGHTS[1]} 08:00")
    shop.deliver(NIGHTS[1], items=[], users=[], events=[bob])
    assert shop.build(NIGHTS[1]).report["built"]["acts"] == INCREMENTAL
    rows = {row["user_id"]: row for row in read_rows(shop.lake, "histories", NIGHTS[1])}
    assert rows[user_id_of("ann")]["session_numbers"] == [1, 1, 1]
    assert len(rows) == 2


def test_by_setting_every_night_is_a_rebuild(shop: Shop) -> None:
    shop.set(histories__incremental=False)
    shop.deliver(
        items=[item("a")],
        users=[user("u")],
        events=[event("u", "view", "a", "2026-03-01 08:00")],
    )
    assert shop.build().report["built"]["acts"] == (
        "rebuilt because histories.incremental is false"
    )


def test_the_oldest_day_of_a_delivery_is_read_from_paths_or_rows(lake: Lake) -> None:
    rows = [event("u", "view", "a", f"2026-02-{day} 08:00") for day in (25, 20, 28)]
    part = write_rows(lake, "cleaned_events", Run(DAY, "r"), rows)
    assert oldest_day([part], "event_date") == dt.date(2026, 2, 20)
    named = Partition(
        part.path, DAY, "r", {"rows": 1, "files": [{"path": "event_date=2026-02-27/x"}]}
    )
    assert oldest_day([named], "event_date") == dt.date(2026, 2, 27)
    assert oldest_day([write_rows(lake, "cleaned_events", Run(DAY, "r"), [])], "event_date") is None
