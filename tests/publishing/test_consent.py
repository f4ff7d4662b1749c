"""Withdrawals that are known when lists are published, whatever night the lists are of."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.lake import Run
from pipeline.ledger import read_ledger
from pipeline.lineage import Lineage
from pipeline.publishing.consent import withdrawn_from
from pipeline.publishing.list_origin import beside_lists
from pipeline.publishing.query import run_query
from pipeline.publishing.show import show_user
from tests.lake_rows import read_rows, user_id_of, write_rows
from tests.publishing.conftest import NIGHT, Night
from tests.publishing.test_views import trigger_row

BOB = user_id_of("bob")
DAYS_LATER = NIGHT + dt.timedelta(days=3)


def answer(night: Night, day: dt.date, *answers: tuple[str, bool], run_id: str = "later") -> None:
    rows = [
        {"user_id": user_id_of(name), "consent": consent, "source": "test"}
        for name, consent in answers
    ]
    write_rows(night.lake, "cleaned_users", Run(day, run_id), rows)


def published(night: Night, view: str = "recommendations_wide_latest") -> list[str]:
    return sorted(user for (user,) in run_query(night.lake, f"SELECT user_id FROM {view}").rows)


def without(night: Night, *names: str) -> list[str]:
    gone = {user_id_of(name) for name in names}
    return sorted({str(row["user_id"]) for row in night.lists} - gone)


def test_a_date_that_is_made_again_leaves_out_who_has_withdrawn_since(night: Night) -> None:
    answer(night, DAYS_LATER, ("bob", False), ("ann", True))
    done = night.publish()
    rows = read_rows(night.lake, "recommendations", NIGHT)
    assert sorted(row["user_id"] for row in rows) == without(night, "bob")
    assert (done.ledger.rows_in, done.ledger.rows_out) == (3, 2)
    assert done.ledger.removed == {"consent_withdrawn": 1}
    assert read_ledger(night.lake, night.run) == [done.ledger]
    assert done.partition.manifest["withdrawn"] == 1
    assert done.partition.manifest["consent_until"] == str(DAYS_LATER)
    generated = night.lake.require("generated", NIGHT)
    same = [
        path.stat().st_ino == (generated.path / path.name).stat().st_ino
        for path in done.partition.files
    ]
    assert sorted(same) == [False, True], "a file of others is linked; the generated ones stay"
    assert generated.is_intact()
    again = night.publish()
    assert again.partition == done.partition, "a retry finds it done"


def test_triggers_of_who_has_withdrawn_are_in_no_published_file(night: Night) -> None:
    rows = [trigger_row(name) for name in ("ann", "bob", "cid")]
    made = write_rows(night.lake, "triggers", night.run, rows, files=2, kinds={"price_drop": 3})
    answer(night, DAYS_LATER, ("bob", False))
    done = night.publish()
    beside = beside_lists(night.lake, "triggers", done.partition)
    assert beside is not None
    users = {user for file in beside.files for user in pq.read_table(file)["user_id"].to_pylist()}
    assert users == {user_id_of("ann"), user_id_of("cid")}
    assert (beside.rows, beside.manifest["kinds"]) == (2, {"price_drop": 2})
    assert night.lake.require("triggers", NIGHT) == beside
    assert made.is_intact()
    again = night.publish()
    assert again.partition == done.partition, "a retry finds it done"
    lines = {line.dataset: line.check() for line in read_ledger(night.lake, night.run)}
    assert lines["triggers"].removed == {"consent_withdrawn": 1}


def test_what_is_published_again_after_a_withdrawal_is_other_rows(night: Night) -> None:
    first = night.publish()
    answer(night, DAYS_LATER, ("bob", False))
    second = night.publish()
    assert (first.partition.rows, second.partition.rows) == (3, 2)
    assert second.partition.directory_id == "r1.2"


def test_the_newest_answer_counts_and_of_one_delivery_the_refusal(night: Night) -> None:
    answer(night, DAYS_LATER, ("bob", False), ("cid", False), ("cid", True), ("ann", False))
    answer(night, DAYS_LATER + dt.timedelta(days=1), ("bob", True))
    assert withdrawn_from(night.lake, night.lake.require("generated", NIGHT)) == sorted(
        [user_id_of("ann"), user_id_of("cid")]
    )


def test_views_leave_out_of_every_night_who_has_withdrawn_by_now(night: Night) -> None:
    night.publish()
    later = night.on(DAYS_LATER, "r2")
    later = dataclasses.replace(
        later,
        users=[row | {"consent": row["user_id"] != BOB} for row in later.users],
        histories=[
            row | {"consent": bool(row["consent"]) and row["user_id"] != BOB}
            for row in later.histories
        ],
        lists=[row for row in later.lists if row["user_id"] != BOB],
    )
    assert BOB in published(night)
    later.generate()
    later.publish()
    for view in ("recommendations_wide", "recommendations", "recommendations_wide_latest"):
        assert BOB not in published(night, view)
    assert set(published(night, "recommendations_wide")) == set(without(night, "bob"))


def test_a_shoppers_page_has_no_list_after_a_withdrawal(night: Night) -> None:
    night.publish()
    assert show_user(night.lake, BOB, None).recommendation is not None
    answer(night, DAYS_LATER, ("bob", False))
    page = show_user(night.lake, BOB, None)
    assert (page.recommendation, page.consent) == (None, False)
    assert show_user(night.lake, user_id_of("ann"), None).recommendation is not None


@pytest.mark.parametrize("known", ["as they are", "of before a correction", "of before"])
def test_the_newest_nights_attributes_count_only_while_they_are_of_what_is_there(
    night: Night, known: str
) -> None:
    answer(night, DAYS_LATER, ("bob", False))
    read = {
        date.isoformat(): name
        for date, name in night.lake.pointers("cleaned_users", dt.date.max).items()
    }
    if known == "of before a correction":
        read[str(DAYS_LATER)] = "another"
    of_night = NIGHT if known == "of before" else DAYS_LATER
    read = {day: name for day, name in read.items() if day <= str(of_night)}
    rows: list[dict[str, Any]] = [
        # What tells the two apart: here cid has withdrawn, and in no delivery.
        {"user_id": user_id_of(name), "consent": name != "cid"}
        for name in ("ann", "cid")
    ]
    facts = Lineage({"cleaned_users": read}).facts()
    write_rows(night.lake, "user_attributes", Run(of_night, "r"), rows, **facts)
    expected = {
        "as they are": ["cid"],
        "of before a correction": ["bob"],
        "of before": ["bob", "cid"],
    }
    found = withdrawn_from(night.lake, night.lake.require("generated", NIGHT))
    assert found == sorted(map(user_id_of, expected[known]))
