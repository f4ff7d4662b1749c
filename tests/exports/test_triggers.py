"""Triggers in exports: one record a shopper, what holds no more left out, the same protection."""

from __future__ import annotations

import csv
import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import export_lists
from jobs.cli.main import main
from pipeline.errors import InputError, SettingsError
from pipeline.exports.export import Exported, check_export
from pipeline.exports.lookup import exported_partition
from pipeline.exports.trigger_profiles import TRIGGER_PROFILES, profile_for, profiles_for
from pipeline.lake import Partition, Run
from pipeline.ledger import read_ledger
from pipeline.lineage import Lineage, inputs_of
from tests.exports.conftest import NIGHT, Shop, item
from tests.lake_rows import instant, write_rows

TODAY = NIGHT + dt.timedelta(days=1)
Trigger = dict[str, Any]


def trigger(kind: str = "price_drop", item_id: str | None = "i1", days: int = 3) -> Trigger:
    """A trigger that holds for some days from `TODAY` on."""
    return {
        "kind": kind,
        "item_id": item_id,
        "title": item_id and f'Tea "{item_id}"',
        "price": 2.5 if item_id else None,
        "price_before": 3.0 if kind == "price_drop" else None,
        "lowest_price": 2.75 if kind == "price_drop" else None,
        "because": "view",
        "since": instant("2026-02-28 10:00"),
        "valid_from": TODAY,
        "valid_until": TODAY + dt.timedelta(days=days - 1),
    }


def put(shop: Shop, given: dict[str, list[Trigger]], night: dt.date = NIGHT) -> Partition:
    """Publish lists, and triggers beside them."""
    run = Run(night, f"t{shop.runs}")
    rows = [
        {"user_id": shop.user_id(own), "rank": rank, **one}
        for own, triggers in given.items()
        for rank, one in enumerate(triggers, 1)
    ]
    rows.sort(key=lambda row: (row["user_id"], row["rank"]))
    triggers = write_rows(shop.lake, "triggers", run, rows, per_shopper=3)
    lists = shop.publish({own: [item("i1", "Tea")] for own in given}, night)
    facts = Lineage(inputs_of({"triggers": triggers})).facts()
    rows_of_lists = [row for file in lists.files for row in pq.read_table(file).to_pylist()]
    lists = write_rows(shop.lake, "recommendations", run, rows_of_lists, k=3, **facts)
    shop.lake.publish("recommendations", lists)
    return exported_partition(shop.lake, lists, "triggers")


def export(shop: Shop, name: str, triggers: Partition, known: list[str], **more: Any) -> Exported:
    return shop.export(
        profile_for(name, "triggers"), triggers, known=known, **({"today": TODAY} | more)
    )


def rows(done: Exported, stem: str = "part") -> list[dict[str, str]]:
    return [
        row
        for path in done.made.files
        if path.name.startswith(stem)
        for row in csv.DictReader(path.read_text().splitlines())
    ]


@pytest.mark.parametrize("name", TRIGGER_PROFILES)
def test_every_profile_keeps_the_limits_of_its_tool(shop: Shop, name: str) -> None:
    people = ["ann@shop.example", "bob@shop.example"]
    if name == "iterable":
        people = ["ann", "bob"]
    hostile = trigger() | {"title": "=cmd 🍵\u0000\r\n" + "Kanne " * 90}
    triggers = put(shop, {people[0]: [hostile, trigger("win_back", None)], people[1]: [trigger()]})
    done = export(shop, name, triggers, people)
    profile = profile_for(name, "triggers")
    assert (done.counts["exported"], done.counts["published"]) == (2, 2)
    assert check_export(done.made, profile) == []
    assert done.made.path.parent.name == f"{name}-triggers"
    lists = profile_for(name, "lists")
    shared = {column.name for column in (*lists.columns, *lists.item_columns)} & {
        column.name for column in (*profile.columns, *profile.item_columns)
    }
    assert not shared, "both may be loaded into one account"
    # Who has none any more is told.
    later = put(shop, {people[1]: [trigger()]}, TODAY)
    left = export(shop, name, later, people)
    assert left.counts["left"] == 1
    assert check_export(left.made, profile) == []


def test_what_a_record_says(shop: Shop) -> None:
    triggers = put(shop, {"ann": [trigger(), trigger("win_back", None)]})
    [row] = rows(export(shop, "csv", triggers, ["ann"]))
    assert list(row)[:4] == ["user_id", "trigger_count", "trigger_date", "trigger_1_kind"]
    first = {key[10:]: value for key, value in row.items() if key.startswith("trigger_1_")}
    assert first == {
        "kind": "price_drop",
        "item_id": "i1",
        "title": 'Tea "i1"',
        "price": "2.5",
        "price_before": "3.0",
        "lowest_price": "2.75",
        "valid_until": "2026-03-04",
    }
    assert (row["trigger_2_kind"], row["trigger_2_item_id"]) == ("win_back", "")
    assert (row["trigger_count"], row["trigger_3_kind"]) == ("2", "")


def test_what_holds_no_more_is_left_out_and_the_next_moves_up(shop: Shop) -> None:
    triggers = put(
        shop, {"ann": [trigger(days=1), trigger("cart_left", "i2")], "bob": [trigger(days=1)]}
    )
    done = export(shop, "csv", triggers, ["ann", "bob"], today=TODAY + dt.timedelta(days=1))
    [row] = rows(done)
    assert (row["user_id"], row["trigger_1_kind"], row["trigger_count"]) == (
        "ann",
        "cart_left",
        "1",
    )
    assert (done.counts["expired"], done.counts["exported"]) == (1, 1)
    gone = export(shop, "csv", triggers, ["ann", "bob"], today=TODAY + dt.timedelta(days=9))
    assert (rows(gone), gone.counts["expired"]) == ([], 2)
    assert [row["user_id"] for row in rows(gone, "left")] == ["ann"]


def test_only_changed(shop: Shop) -> None:
    export(shop, "csv", put(shop, {"ann": [trigger()], "bob": [trigger()]}), ["ann", "bob"])
    later = put(shop, {"ann": [trigger()], "bob": [trigger("cart_left")]}, TODAY)
    done = export(shop, "csv", later, ["ann", "bob"], only_changed=True)
    assert [row["user_id"] for row in rows(done)] == ["bob"]
    assert done.counts["unchanged"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_nobody_who_does_not_agree_is_in_any(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    people = [f"p{n}" for n in range(12)]
    triggers = put(shop, {own: [trigger()] for own in people})
    agrees = dict.fromkeys(people, True)
    for days in range(1, 4):
        answers = {own: chance.random() < 0.5 for own in chance.sample(people, 5)}
        shop.consent(answers, NIGHT + dt.timedelta(days=days))
        agrees |= answers
        known = chance.sample(people, 10)
        done = export(shop, "csv", triggers, known)
        found = {row["user_id"] for row in rows(done)}
        assert found == {own for own in known if agrees[own]}
        assert done.counts["consent_withdrawn"] == sum(not agrees[own] for own in people)
        assert not found & {row["user_id"] for row in rows(done, "left")}


def test_a_night_without_triggers_and_a_tool_without_a_place(shop: Shop) -> None:
    lists = shop.publish({"ann": [item("i1", "Tea")]})
    with pytest.raises(InputError, match="the night of 2026-03-01 has no triggers to export"):
        exported_partition(shop.lake, lists, "triggers")
    with pytest.raises(SettingsError, match="has no place for triggers; export them to one of"):
        profile_for("personalize", "triggers")
    with pytest.raises(SettingsError, match="there is no export for 'brase'"):
        profile_for("brase", "triggers")
    both = profiles_for(["personalize", "csv"], ["lists", "triggers"])
    assert [profile.folder for profile in both] == ["personalize", "csv", "csv-triggers"]


def test_the_command_and_the_job(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nightcart.toml"
    path.write_text(
        '[shop]\nsource = "shop.yaml"\n[paths]\nraw = "raw"\nlake = "lake"\n'
        '[privacy]\nkey_file = "user_id.key"\n'
        '[exports]\nprofiles = ["csv"]\ndatasets = ["lists", "triggers"]\n'
    )
    monkeypatch.setenv("NIGHTCART_CONFIG", str(path))
    put(shop, {"ann": [trigger(days=36_000)], "bob": [trigger(days=1)]})
    shop.deliver(["ann", "bob"])
    assert main(["export", "--to", "klaviyo", "--dataset", "triggers"]) == 0
    out = capsys.readouterr().out
    assert "klaviyo 2026-03-01: 1 of 2 shoppers' triggers written in 1 file" in out
    assert "1  have none that still holds" in out
    part = shop.root / "klaviyo-triggers/2026-03-01/part-00001.json"
    record = json.loads(part.read_text())["data"]["attributes"]["profiles"]["data"][0]["attributes"]
    assert record["external_id"] == "ann"
    assert record["properties"]["nightcart_trigger_1_kind"] == "price_drop"
    assert main(["export", "--check", str(part.parent)]) == 0
    assert main(["export", "--to", "personalize", "--dataset", "triggers"]) == 65
    assert export_lists.main(["--date", "2026-03-01", "--run-id", "x1"]) == 0
    lines = {line.dataset: line for line in read_ledger(shop.lake, Run(NIGHT, "x1"))}
    assert set(lines) == {"recommendations_to_csv", "triggers_to_csv"}
    of = lines["triggers_to_csv"]
    assert (of.rows_in, of.rows_out, of.removed) == (2, 1, {"expired": 1})
    # A night without triggers: its lists go out.
    shop.publish({"ann": [item("i1", "Tea")]}, TODAY)
    assert export_lists.main(["--date", TODAY.isoformat(), "--run-id", "x2"]) == 0
    lines = {line.dataset: line for line in read_ledger(shop.lake, Run(TODAY, "x2"))}
    assert set(lines) == {"recommendations_to_csv"}
