"""Figures over all lists, against a count by hand; the shoppers shown, against any file layout."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.lake import Lake, Partition, Run
from pipeline.report.example_users import SHOWN, read_example_users
from pipeline.report.lists import read_lists
from tests.report.night_by_hand import N_ITEMS, N_USERS, title_of, user_id_of


def rows_of(partition: Partition) -> list[dict[str, object]]:
    return pq.ParquetFile(partition.files[0]).read().to_pylist()


def test_the_figures_are_those_counted_by_hand(good_night: Lake, run: Run) -> None:
    published = good_night.require("recommendations", run.run_date)
    lists = read_lists(published, good_night.require("catalogue", run.run_date))
    rows = rows_of(published)
    ids = [tuple(item["item_id"] for item in row["items"]) for row in rows]
    holders = {item: sum(item in one for one in ids) for one in ids for item in one}
    assert lists.n_users == N_USERS
    assert lists.n_model == N_USERS - 1
    assert lists.n_different == len(set(ids)) == 6
    assert lists.n_items_shown == len(holders)
    assert lists.n_slots == 5 * N_USERS
    assert {f.item_id: f.n_lists for f in lists.favourites}.items() <= holders.items()
    assert [f.n_lists for f in lists.favourites] == sorted(holders.values(), reverse=True)[:10]
    assert lists.n_top_slots == sum(sorted(holders.values(), reverse=True)[:10])
    assert lists.coverage == len(holders) / (N_ITEMS - 1)
    assert (lists.n_new_items, lists.n_new_items_shown) == (1, 1)
    assert lists.fallback_reasons == (("weights_not_finite", 1),)
    assert lists.fallback_methods == (("popularity", 1),)
    assert dict(lists.reason_methods) == {"model": 4, "template": 4, "none": 4}
    assert dict(lists.languages) == {"en": 4, "zh": 4, "not said": 4}
    assert lists.fallback_share == pytest.approx(1 / N_USERS)
    assert lists.different_share == 0.5


def test_without_a_catalogue_there_is_no_coverage(good_night: Lake, run: Run) -> None:
    lists = read_lists(good_night.require("recommendations", run.run_date), None)
    assert lists.coverage is None
    assert lists.n_users == N_USERS


def shown(lake: Lake, run: Run, seed: int) -> list[str]:
    users = read_example_users(
        lake.require("recommendations", run.run_date),
        lake.require("histories", run.run_date),
        lake.require("catalogue", run.run_date),
        seed,
    )
    return [user.user_id for user in users]


def test_the_choice_of_shoppers_does_not_depend_on_files_or_order(
    good_night: Lake, run: Run
) -> None:
    before = shown(good_night, run, seed=1)
    table = pq.ParquetFile(good_night.require("recommendations", run.run_date).files[0]).read()
    directory = good_night.begin("recommendations", run)
    shuffled = table.take(pa.array([7, 3, 11, 0, 5, 9, 1, 8, 2, 10, 4, 6]))
    pq.write_table(shuffled.slice(0, 5), directory / "part-1.parquet")
    pq.write_table(shuffled.slice(5), directory / "part-0.parquet")
    good_night.commit("recommendations", run, rows=N_USERS)
    assert shown(good_night, run, seed=1) == before
    assert len(set(before)) == SHOWN
    assert {tuple(shown(good_night, run, seed)) for seed in range(8)} != {tuple(before)}


def test_a_fallback_is_among_the_shoppers_whatever_the_seed(good_night: Lake, run: Run) -> None:
    for seed in range(8):
        assert shown(good_night, run, seed)[-1] == user_id_of(N_USERS - 1)


def test_a_shoppers_card_is_their_own_past_and_list(good_night: Lake, run: Run) -> None:
    users = read_example_users(
        good_night.require("recommendations", run.run_date),
        good_night.require("histories", run.run_date),
        good_night.require("catalogue", run.run_date),
        seed=1,
    )
    last = users[-1]
    assert last.n_events == N_USERS
    assert [event.item_id for event in last.events] == [f"i{n}" for n in range(11, 3, -1)]
    assert [event.title for event in last.events] == [title_of(n) for n in range(11, 3, -1)]
    assert last.events[0].time == dt.datetime(2026, 2, 12, 23, 30, tzinfo=dt.UTC)
    assert [item.rank for item in last.items] == [1, 2, 3, 4, 5]
    assert last.items[0].item_id == "i5"
