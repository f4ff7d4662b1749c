"""The export for a mail tool: who is in it, what a row says, and that it is whole or not there."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import sys

import pytest

from pipeline.errors import InputError
from pipeline.lake import Partition, Run
from pipeline.publishing.mail_list import export_mail_list
from pipeline.publishing.query import run_query, write_result
from tests.lake_rows import user_id_of, write_rows
from tests.publishing.conftest import NIGHT, Night, catalogue_row, entry, list_row

LATER = NIGHT + dt.timedelta(days=1)


def rows(partition: Partition) -> list[dict[str, str]]:
    (path,) = partition.files
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_shopper_with_the_facts_of_each_rank(night: Night) -> None:
    published = night.publish().partition
    exported = export_mail_list(night.lake, Run(NIGHT, "x1"))
    found = rows(exported.partition)
    assert [row["user_id"] for row in found] == sorted(row["user_id"] for row in found)
    assert len(found) == exported.lists == published.rows
    ann = next(row for row in found if row["user_id"] == user_id_of("ann"))
    assert list(ann) == [
        *("user_id", "language", "method", "reason"),
        *("item_id_1", "title_1", "price_1", "item_id_2", "title_2", "price_2"),
    ]
    assert ann["title_1"] == f"Item {ann['item_id_1']}"
    assert night.lake.latest("mail_lists") == exported.partition
    again = export_mail_list(night.lake, Run(NIGHT, "x2"))
    assert again.partition.manifest["files"] == exported.partition.manifest["files"]


def test_who_withdrew_since_the_night_is_left_out(night: Night) -> None:
    night.publish()
    refusal = {"user_id": user_id_of("ann"), "consent": False, "source": "test"}
    write_rows(night.lake, "cleaned_users", Run(LATER, "later"), [refusal])
    exported = export_mail_list(night.lake, Run(NIGHT, "x1"))
    assert exported.withdrawn == 1
    assert user_id_of("ann") not in {row["user_id"] for row in rows(exported.partition)}


def test_quotes_and_line_breaks_survive(night: Night) -> None:
    title = 'Tea, "green"\nor not'
    changed = dataclasses.replace(
        night,
        catalogue=[catalogue_row("a", title=title), *night.catalogue[1:]],
        lists=[
            list_row("ann", ("b", "a"), items=[entry(1, "b"), entry(2, "a", title=title)]),
            *night.lists[1:],
        ],
    )
    changed.generate()
    changed.publish()
    found = rows(export_mail_list(night.lake, Run(NIGHT, "x1")).partition)
    assert title in {row["title_2"] for row in found}


def test_an_older_night_does_not_become_the_newest_export(night: Night) -> None:
    for date in (NIGHT, NIGHT.replace(month=2)):
        of = night.on(date, "r1")
        of.generate()
        of.publish()
        export_mail_list(night.lake, Run(date, "x1"))
    latest = night.lake.latest("mail_lists")
    assert latest is not None
    assert latest.run_date == NIGHT


def test_nothing_published_is_said(night: Night) -> None:
    with pytest.raises(InputError, match="no recommendations for"):
        export_mail_list(night.lake, Run(LATER, "x1"))
    assert night.lake.latest("mail_lists") is None


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1")


@pytest.mark.parametrize("profile", ["plain", "spreadsheet"])
def test_only_for_a_spreadsheet_texts_that_begin_like_a_formula_are_changed(
    night: Night, profile: str
) -> None:
    for number, title in enumerate([*FORMULAS, "Lamp = light", "'=1", ""]):
        run = Run(NIGHT + dt.timedelta(days=number), "r1")
        changed = dataclasses.replace(
            night,
            run=run,
            catalogue=[catalogue_row("a", title=title, price=-2.5), *night.catalogue[1:]],
            lists=[
                list_row(
                    "ann",
                    ("b", "a"),
                    items=[entry(1, "b"), entry(2, "a", title=title, price=-2.5)],
                    reason=f"{title}!",
                ),
                *night.lists[1:],
            ],
        )
        changed.generate()
        changed.publish()
        exported = export_mail_list(night.lake, Run(run.run_date, "x1"), profile)
        ann = next(row for row in rows(exported.partition) if row["user_id"] == user_id_of("ann"))
        mark = "'" if profile == "spreadsheet" and title in FORMULAS else ""
        assert ann["title_2"] == f"{mark}{title}"
        assert ann["reason"] == f"{mark}{title}!"
        assert ann["price_2"] == "-2.5", "a number is none"
        if profile == "plain":
            whole = export_mail_list(night.lake, Run(run.run_date, "x2"))
            assert whole.partition.manifest["files"] == exported.partition.manifest["files"]


def test_a_query_for_a_spreadsheet(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    night.publish()
    sql = "SELECT '=1' AS \"+a\", -1 AS b, 'Lamp' AS c, NULL::VARCHAR AS d"
    for form, first, second in (
        ("csv", "+a,b,c,d", "=1,-1,Lamp,"),
        ("spreadsheet", "'+a,b,c,d", "'=1,-1,Lamp,"),
    ):
        write_result(run_query(night.lake, sql), form, sys.stdout)
        assert capsys.readouterr().out.splitlines() == [first, second]
