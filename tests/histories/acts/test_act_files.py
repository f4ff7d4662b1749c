"""Acts that are copied from file to file, and those that are put in their place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.histories.acts.act_files import (
    CopiedActs,
    find_copied_acts,
    write_acts_to_update,
    write_merged,
)
from pipeline.histories.acts.act_log import Memory
from pipeline.histories.unchanged_users import NightStep
from pipeline.lake import Lake, Partition, Run
from tests.histories.conftest import DAY, event
from tests.lake_rows import instant, user_id_of, write_rows

# Acts of before 6 days may not be delivered any more, trades of before 16 days are not all known.
HORIZON, CANCELLATION, ACTIVE = 6, 10, 30


def days_ago(days: int) -> str:
    return (DAY - dt.timedelta(days=days)).isoformat()


def act(user: str, day: str, kind: str = "view", **more: Any) -> dict[str, Any]:
    """An act; its id is its user and day."""
    row = event(user, kind, None if kind == "search" else "a", f"{day} 08:00")
    flags = {"cancelled": False, "new_target": False, "settled": False, "events_before": 0}
    return row | flags | {"event_id": f"{user}-{day}", "delivered_date": DAY} | more


def step(then: dt.date) -> NightStep:
    def memory(night: dt.date) -> Memory:
        return Memory(night, HORIZON, CANCELLATION, 5, ("purchase",))

    return NightStep(memory(then), memory(DAY), ACTIVE)


def night_before(lake: Lake, rows: list[dict[str, Any]]) -> Partition:
    return write_rows(lake, "acts", Run(DAY - dt.timedelta(days=1), "n"), rows)


@pytest.mark.parametrize(
    ("day", "changed_acts", "changed_history"),
    [
        (-1, True, True),  # tomorrow's: a second look that changes nothing
        (0, True, True),  # known only now
        (1, False, False),
        (HORIZON, False, False),
        (HORIZON + 1, True, False),
        (HORIZON + 2, False, False),
        (HORIZON + CANCELLATION + 1, True, False),
        (ACTIVE - 1, False, False),
        (ACTIVE, False, True),
        (ACTIVE + 1, False, False),
    ],
)
def test_a_user_changes_when_a_day_passes_an_act(
    lake: Lake, day: int, changed_acts: bool, changed_history: bool
) -> None:
    before = night_before(lake, [act("ann", days_ago(day)), act("bob", days_ago(3))])
    copied = find_copied_acts(before, [], step(DAY - dt.timedelta(days=1)))
    ann = [user_id_of("ann")]
    assert copied.changed_acts.to_pylist() == ann * changed_acts
    assert copied.changed_histories.to_pylist() == ann * changed_history


def test_users_of_a_delivery_change_and_settled_acts_change_nobody(lake: Lake) -> None:
    before = night_before(lake, [act("ann", days_ago(HORIZON + 1), settled=True)])
    events = write_rows(lake, "cleaned_events", Run(DAY, "c"), [act("bob", days_ago(0))])
    nothing = write_rows(lake, "cleaned_reviews", Run(DAY, "c"), [])
    copied = find_copied_acts(before, [events, nothing], step(DAY - dt.timedelta(days=1)))
    assert (
        copied.changed_acts.to_pylist()
        == copied.changed_histories.to_pylist()
        == [user_id_of("bob")]
    )


def test_new_acts_are_put_among_copied_ones(lake: Lake, tmp_path: Path) -> None:
    days = [days_ago(n) for n in (5, 4, 3)]
    rows = [act(user, day) for user in sorted("abcd", key=user_id_of) for day in days]
    before = night_before(lake, rows)
    changed = pa.array([user_id_of("b"), user_id_of("d")])
    copied = CopiedActs(before, changed, pa.array([user_id_of("b")]))
    assert write_acts_to_update(copied, tmp_path / "before") == 6
    [file] = (tmp_path / "before").glob("*.parquet")
    assert {row["user_id"] for row in pq.read_table(file).to_pylist()} == set(changed.to_pylist())

    # Nothing is left of d; b has a search, an act of tomorrow, and one that counts for four.
    made = [
        act("b", days_ago(2), "search", query="tea"),
        act("b", days_ago(-1)),
        act("b", days_ago(5), events_before=4),
    ]
    for name in ("made", "night", "for_histories"):
        (tmp_path / name).mkdir()
    schema = arrow_schema(load_contract("acts"))
    full = [{name: row.get(name) for name in schema.names} for row in made]
    pq.write_table(pa.Table.from_pylist(full, schema), tmp_path / "made" / "part-00000.parquet")
    counts = write_merged(
        tmp_path / "made",
        copied,
        tmp_path / "night",
        tmp_path / "for_histories",
        files=1,
        night=DAY,
    )
    written = pq.read_table(tmp_path / "night" / "part-00000.parquet")
    assert written.schema.equals(schema)
    keys = [(row["user_id"], row["event_date"], row["event_id"]) for row in written.to_pylist()]
    kept = [row for row in rows if row["user_id"] not in changed.to_pylist()]
    wanted = [(row["user_id"], row["event_date"], row["event_id"]) for row in [*kept, *made]]
    assert keys == sorted(wanted)
    assert (counts.rows, counts.after, counts.searches, counts.forgotten) == (9, 1, 1, 4)
    acts = pq.read_table(tmp_path / "for_histories" / "part-00000.parquet")
    assert set(acts["event_id"].to_pylist()) == {row["event_id"] for row in made}
    assert instant(f"{days_ago(-1)} 08:00") in acts["event_time"].to_pylist()


def test_a_night_without_acts_has_its_files(tmp_path: Path) -> None:
    for name in ("made", "night", "for_histories"):
        (tmp_path / name).mkdir()
    counts = write_merged(
        tmp_path / "made", None, tmp_path / "night", tmp_path / "for_histories", files=2, night=DAY
    )
    assert counts.rows == 0
    assert [pq.read_table(file).num_rows for file in (tmp_path / "night").iterdir()] == [0, 0]
