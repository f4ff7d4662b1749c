"""Each fault alone stops publishing, under its own name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import GateError, StorageError
from pipeline.lake import Run
from pipeline.publishing.list_rules import CHECKS
from tests.lake_rows import user_id_of, write_again, write_rows
from tests.publishing.conftest import NIGHT, Night, entry, history_row, list_row

ANN = user_id_of("ann")

Fault = Callable[[Night], Night]

FAULTS: dict[str, Fault] = {
    "null_value": lambda night: night.with_lists(list_row("ann", ("b", "a"), model_version=None)),
    "user_repeated": lambda night: dataclasses.replace(night, lists=[*night.lists, night.lists[0]]),
    "user_missing": lambda night: dataclasses.replace(night, lists=night.lists[1:]),
    "user_not_due": lambda night: night.with_lists(list_row("eve", ("b", "c"))),
    "consent_withdrawn": lambda night: dataclasses.replace(
        night, users=[row | {"consent": False} for row in night.users]
    ),
    "list_length": lambda night: night.with_lists(list_row("ann", ("b", "a"), n_items=1)),
    "list_too_short": lambda night: night.with_lists(list_row("ann", ("b",))),
    "spares_wrong": lambda night: night.with_lists(
        list_row("ann", ("b", "a"), spares=[entry(3, "c")])
    ),
    "valid_until_wrong": lambda night: night.with_lists(
        list_row("ann", ("b", "a"), valid_until=NIGHT)
    ),
    "rank_wrong": lambda night: night.with_lists(
        list_row("ann", ("b", "a"), items=[entry(2, "b"), entry(1, "a")])
    ),
    "item_repeated": lambda night: night.with_lists(list_row("ann", ("b", "b"))),
    "item_not_sellable": lambda night: night.with_lists(list_row("ann", ("b", "d"))),
    "item_owned": lambda night: night.with_lists(list_row("bob", ("b", "a"))),
    "facts_wrong": lambda night: night.with_lists(
        list_row("ann", ("b", "a"), items=[entry(1, "b"), entry(2, "a", price=0.01)])
    ),
    "score_not_finite": lambda night: night.with_lists(
        list_row("ann", ("b", "a"), items=[entry(1, "b"), entry(2, "a", score=math.nan)])
    ),
    "method_unexplained": lambda night: night.with_lists(
        list_row("ann", ("b", "a"), method="popularity")
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_stops_publishing_by_name(night: Night, name: str) -> None:
    bad = FAULTS[name](night)
    bad.generate()
    with pytest.raises(GateError, match=rf"(?s)nothing was published.*\n  {name}: ") as refused:
        bad.publish()
    assert str(refused.value).count("\n  ") <= 2, "one fault, at most one consequence"
    assert night.lake.latest("recommendations") is None
    assert not night.lake.dataset("recommendations").exists()


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert [check.name for check in CHECKS] == list(FAULTS)


def test_the_message_counts_and_gives_examples(night: Night) -> None:
    bad = night.with_lists(list_row("ann", ("b", "d")), list_row("bob", ("b", "d")))
    bad.generate()
    examples = ", ".join(sorted(f"{user_id_of(name)} gets d" for name in ("ann", "bob")))
    with pytest.raises(GateError, match=f"2 times, such as {examples}"):
        bad.publish()


def test_a_user_without_a_users_entry_is_refused(night: Night) -> None:
    unknown = dataclasses.replace(night, users=night.users[1:])
    unknown.generate()
    with pytest.raises(GateError, match=rf"consent_withdrawn: .* 1 times, such as {ANN}"):
        unknown.publish()


def test_no_users_delivered_at_all(night: Night) -> None:
    write_rows(night.lake, "cleaned_users", night.run, [])
    with pytest.raises(GateError, match="consent_withdrawn: .* 3 times"):
        night.publish()


def test_the_newest_entry_up_to_the_night_decides(night: Night) -> None:
    refused = [{"user_id": ANN, "consent": False, "source": "test"}]
    write_rows(night.lake, "cleaned_users", Run(NIGHT.replace(month=2), "r1"), refused)
    write_rows(night.lake, "cleaned_users", Run(NIGHT.replace(month=4), "r1"), refused)
    assert night.publish().report["users"] == 3


@pytest.mark.parametrize("first", [True, False])
def test_a_refusal_beats_an_older_and_an_equally_new_agreement(night: Night, first: bool) -> None:
    write_rows(night.lake, "cleaned_users", Run(NIGHT.replace(month=2), "r1"), night.users)
    twice = [{"user_id": ANN, "consent": agreed} for agreed in (first, not first)]
    for entries in (twice, [{"user_id": ANN, "consent": False}]):
        full = [entry | {"source": "test"} for entry in entries] + list(night.users[1:])
        write_rows(night.lake, "cleaned_users", night.run, full)
        with pytest.raises(GateError, match=rf"consent_withdrawn: .* 1 times, such as {ANN}"):
            night.publish()


@pytest.mark.parametrize(
    ("name", "list_"),
    [
        ("item_repeated", list_row("ann", ("b", "a"), spares=[entry(3, "a")])),
        ("item_not_sellable", list_row("ann", ("b", "a"), spares=[entry(3, "d")])),
        ("item_owned", list_row("bob", ("b", "c"), spares=[entry(3, "a")])),
        ("rank_wrong", list_row("ann", ("b", "a"), spares=[entry(1, "c")])),
        ("facts_wrong", list_row("ann", ("b", "a"), spares=[entry(3, "c", title="C")])),
        ("score_not_finite", list_row("ann", ("b", "a"), spares=[entry(3, "c", score=math.nan)])),
        ("spares_wrong", list_row("cid", ("c",), spares=[entry(2, "a")])),
    ],
)
def test_a_spare_is_held_to_what_an_item_is(
    night: Night, name: str, list_: dict[str, object]
) -> None:
    generation = dataclasses.replace(night.settings.generation, spares=1)
    more = dataclasses.replace(
        night, settings=dataclasses.replace(night.settings, generation=generation)
    )
    good = more.with_lists(list_row("ann", ("b", "a"), spares=[entry(3, "c")]))
    good.generate()
    published = good.publish()
    assert published.report["items_recommended"] == 3
    assert published.partition.manifest["spares"] == 1
    bad = more.with_lists(list_)
    bad.generate()
    with pytest.raises(GateError, match=rf"\n  {name}: "):
        bad.publish()


def test_owned_items_may_come_where_the_settings_allow_it(night: Night) -> None:
    allowed = dataclasses.replace(
        night,
        settings=dataclasses.replace(
            night.settings,
            generation=dataclasses.replace(night.settings.generation, exclude_owned=False),
        ),
    ).with_lists(
        list_row("bob", ("b", "a")),
        list_row("cid", ("a", "b")),
        list_row("fay", ("a", "b")),
    )
    allowed.generate()
    assert allowed.publish().report["users"] == 4


def test_not_one_list(night: Night) -> None:
    empty = dataclasses.replace(night, lists=[], histories=[history_row("fay", ("a", "b", "c"))])
    empty.generate()
    with pytest.raises(GateError, match="there is not a single one"):
        empty.publish()


def test_a_file_with_another_schema(night: Night) -> None:
    def more(file: Path, target: Path) -> None:
        table = pq.ParquetFile(file).read()
        pq.write_table(table.append_column("extra", table.column("reason")), target)

    write_again(night.lake, "generated", NIGHT, more)
    with pytest.raises(GateError, match=r"part-00000.parquet .*recommendations.v1: extra extra"):
        night.publish()


def test_a_file_that_is_no_parquet(night: Night) -> None:
    write_again(
        night.lake, "generated", NIGHT, lambda _, target: target.write_bytes(b"PAR1 half a file")
    )
    with pytest.raises(GateError, match=r"part-00000.parquet cannot be read as Parquet"):
        night.publish()


@pytest.mark.parametrize("name", ["generated", "histories", "cleaned_users"])
def test_a_file_that_is_gone(night: Night, name: str) -> None:
    night.lake.require(name, NIGHT).files[0].unlink()
    with pytest.raises(StorageError, match=r"(?s)part-00000.parquet.*Nothing was published"):
        night.publish()


def test_fewer_rows_than_the_manifest_says(night: Night) -> None:
    def fewer(file: Path, target: Path) -> None:
        rows = pq.ParquetFile(file).read()
        pq.write_table(rows.slice(0, 0) if file.name == "part-00001.parquet" else rows, target)

    write_again(night.lake, "generated", NIGHT, fewer)
    with pytest.raises(GateError, match="rows: the manifest says 3, the files hold 2"):
        night.publish()
