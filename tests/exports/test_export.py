"""One export: who is in it, what the next one says, that it is whole or not there, and private."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import errno
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import durable
from pipeline.errors import DamagedError, GateError, InputError, SettingsError, StorageError
from pipeline.exports import export as exporting
from pipeline.exports import folder, sent
from pipeline.exports.export import Exported, check_export
from pipeline.exports.folder import ToolFolder, exports_root, read_export
from pipeline.exports.profile import Fact
from pipeline.exports.profiles import CSV, PROFILES, profile_named
from pipeline.exports.shapes import unwrapped
from pipeline.exports.validator import Validator
from pipeline.intact import file_sha256, sealed_json
from pipeline.lake import Run
from pipeline.settings_ranges import EXPORT_PROFILES
from tests.exports.conftest import NIGHT, NOW, Shop, item
from tests.lake_rows import write_again, write_rows

TEA, POT = item("i1", "Tea"), item("i2", "Pot")
TOMORROW = NIGHT + dt.timedelta(days=1)


def keys(done: Exported, stem: str = "part") -> list[str]:
    """The ids in the CSV files of a kind, sorted."""
    rows: list[str] = []
    for path in done.made.files:
        if path.name.startswith(stem):
            with path.open(encoding="utf-8", newline="") as file:
                rows += [row["user_id"] for row in csv.DictReader(file)]
    return sorted(rows)


def files_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_own_ids_go_out_and_unknown_ones_are_counted(shop: Shop) -> None:
    shop.publish({"ann": [TEA], "bob": [POT], "cid": [TEA, POT]})
    done = shop.export("csv", known=["ann", "cid"])
    assert keys(done) == ["ann", "cid"]
    assert (done.counts["published"], done.counts["id_unknown"]) == (3, 1)
    assert [note.user_id for note in done.notes] == [shop.user_id("bob")]
    manifest = read_export(done.made.path).manifest
    assert manifest["run_date"] == "2026-03-01"
    assert [entry["rows"] for entry in manifest["files"]] == [2]
    assert check_export(done.made, CSV) == []


def test_pseudonyms_need_no_ids(shop: Shop) -> None:
    shop.publish({"ann": [TEA]})
    done = exporting.export(shop.lake, shop.root, _order(shop, ids="pseudonym", known=None))
    assert keys(done) == [shop.user_id("ann")]


def _order(shop: Shop, **more: Any) -> exporting.Order:
    lists = shop.lake.latest("recommendations")
    assert lists is not None
    asked: dict[str, Any] = {
        "profile": CSV,
        "lists": lists,
        "ids": "own",
        "known": {},
        "only_changed": False,
        "dry_run": False,
        "now": NOW,
        "keep_days": 30,
    }
    return exporting.Order(**(asked | more))


def test_only_changed_sends_what_differs_and_who_has_left(shop: Shop) -> None:
    everybody = ["ann", "bob", "cid", "dot"]
    shop.publish({"ann": [TEA], "bob": [POT], "cid": [TEA]})
    first = shop.export("csv", known=everybody, only_changed=True)
    assert (keys(first), keys(first, "left")) == (["ann", "bob", "cid"], [])
    # ann's list stays, bob's is another, cid has none any more, dot is new.
    shop.publish({"ann": [TEA], "bob": [TEA], "dot": [POT]}, TOMORROW)
    second = shop.export("csv", known=everybody, only_changed=True)
    assert (keys(second), keys(second, "left")) == (["bob", "dot"], ["cid"])
    assert second.counts["unchanged"] == 1
    assert second.made.manifest["compared_with"] == first.made.path.name
    # The same lists again: nobody knows whether the second was loaded, so the third has it all.
    third = shop.export("csv", known=everybody, only_changed=True)
    assert (keys(third), keys(third, "left")) == (["bob", "dot"], ["cid"])
    # Everything again, and nobody has left since.
    fourth = shop.export("csv", known=everybody)
    assert (keys(fourth), keys(fourth, "left")) == (["ann", "bob", "dot"], ["cid"])
    shop.publish({"ann": [TEA], "bob": [TEA], "dot": [POT]}, TOMORROW + dt.timedelta(days=1))
    fifth = shop.export("csv", known=everybody, only_changed=True)
    assert (fifth.made.files, fifth.counts["unchanged"]) == ([], 3)


def test_the_newest_of_several_exports_of_the_same_lists_tells_everything(shop: Shop) -> None:
    """Whoever loads only the newest has in the tool who agrees, with tonight's list."""
    everybody = ["ann", "bob", "cid", "dot"]
    shop.publish({"ann": [TEA], "bob": [TEA], "cid": [TEA]})
    shop.export("csv", known=everybody)
    lists = shop.publish({"ann": [POT], "bob": [TEA], "dot": [TEA]}, TOMORROW)
    shop.export("csv", lists, known=everybody, only_changed=True)
    shop.consent({"dot": False}, TOMORROW)
    shop.export("csv", lists, known=["ann", "bob"], only_changed=True)
    done = shop.export("csv", lists, known=["ann", "bob"], only_changed=True)
    # bob has the list that he had; dot may have been loaded by the second and gone by the third.
    assert (keys(done), keys(done, "left")) == (["ann"], ["cid", "dot"])


def test_files_that_cannot_be_removed_are_a_warning(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.publish({"ann": [TEA]})
    shop.export("csv", known=["ann"])
    real = shutil.rmtree

    def denied(path: Path, *args: Any, **more: Any) -> None:
        if "2026-03-01" in path.name:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, *args, **more)

    monkeypatch.setattr(shutil, "rmtree", denied)
    done = shop.export("csv", known=["ann"], now=NOW + dt.timedelta(days=40))
    assert (done.made.path.name, done.expired) == ("2026-03-01.2", [])
    assert "2026-03-01 have expired and cannot be removed (Permission denied)" in caplog.text


def test_another_night_of_the_same_list_is_no_change(shop: Shop) -> None:
    shop.publish({"ann": [TEA]})
    assert shop.export("hubspot", known=["ann"], only_changed=True).counts["exported"] == 1
    shop.publish({"ann": [TEA]}, TOMORROW)
    assert shop.export("hubspot", known=["ann"], only_changed=True).counts["unchanged"] == 1


def test_a_list_that_stays_is_sent_again_before_it_stops_holding(shop: Shop) -> None:
    """It holds for two days: what the tool was sent on day 0 is good on days 1 and 2."""
    sent = []
    for days in range(5):
        shop.publish({"ann": [TEA]}, NIGHT + dt.timedelta(days=days))
        sent.append(shop.export("csv", known=["ann"], only_changed=True).counts["exported"])
    assert sent == [1, 0, 1, 0, 1]
    # A tool that is not told until when a list holds need not be told again.
    for days in range(5, 9):
        shop.publish({"ann": [TEA]}, NIGHT + dt.timedelta(days=days))
        done = shop.export("personalize", known=["ann"], only_changed=True)
    assert done.counts["unchanged"] == 1


@pytest.mark.parametrize("name", EXPORT_PROFILES)
def test_spares_stand_behind_the_list_and_are_counted(shop: Shop, name: str) -> None:
    own = "ann@shop.example" if name == "mailchimp" else "ann"
    items = [item(f"i{n}", f"Tea {n}") for n in range(1, 6)]
    shop.publish({own: items}, spares=2)
    done = shop.export(name, known=[own])
    profile = profile_named(name)
    assert check_export(done.made, profile) == []
    [path] = done.made.files
    validator = Validator(profile, done.made.manifest["items_a_row"])
    [(stands, _)] = validator._records(path, keys_only=False)
    record = unwrapped(profile, stands, validator.width)
    facts = {column.fact: record.values[column.name] for column in profile.columns}
    ids = [one[profile.item_columns[0].name] for one in record.items]
    if name == "personalize":  # it could not tell them from the list
        assert (facts, ids) == ({}, ["i1", "i2", "i3"])
        return
    assert ids == ["i1", "i2", "i3", "i4", "i5"]
    assert facts[Fact.SPARES] == 2
    assert facts[Fact.VALID_UNTIL] == "2026-03-03"
    assert facts.get(Fact.COUNT, 3) == 3


def test_a_tool_of_few_items_gets_few_spares(shop: Shop) -> None:
    own = "ann@shop.example"
    shop.publish({own: [item(f"i{n}", "Tea") for n in range(8)]}, spares=5)
    record = json.loads(shop.export("mailchimp", known=[own]).made.files[0].read_text())
    fields = record["members"][0]["merge_fields"]
    assert (fields["NCCOUNT"], fields["NCSPARES"], fields["NCID6"]) == (3, 3, "i5")
    assert "NCID7" not in fields


def test_lists_of_before_they_said_until_when_are_exported(shop: Shop) -> None:
    shop.publish({"ann": [TEA]})

    def without(file: Path, target: Path) -> None:
        pq.write_table(pq.read_table(file).drop_columns(["spares", "valid_until"]), target)

    lists = write_again(shop.lake, "recommendations", NIGHT, without)
    done = shop.export("csv", lists, known=["ann"])
    [row] = csv.DictReader(done.made.files[0].read_text().splitlines())
    assert (row["item_id_1"], row["valid_until"], row["spares"]) == ("i1", "", "0")


@pytest.mark.parametrize("digest_type", [pa.binary(16), pa.binary(), pa.binary(32)])
@pytest.mark.parametrize("again", [False, True])
def test_what_another_version_sent_is_sent_once_more(
    shop: Shop, digest_type: pa.DataType, again: bool
) -> None:
    """Digests of another length, as those of 16 bytes were before lists said until when."""
    n_bytes = {pa.binary(32): 32}.get(digest_type, 16)
    shop.publish({"ann": [TEA], "bob": [POT], "cid": [TEA]})
    path = shop.export("csv", known=["ann", "bob", "cid"], only_changed=True).made.path
    manifest = read_export(path).manifest
    for name, said_in in ((".sent.parquet", "sent"), (".before.parquet", "before")):
        ids = pq.read_table(path / name).column("key").to_pylist()
        old = pa.table(
            {"key": pa.array(ids, pa.string()), "digest": pa.array([b"d" * n_bytes] * len(ids))}
        )
        schema = pa.schema({"key": pa.string(), "digest": digest_type})
        pq.write_table(old.cast(schema), path / name)
        manifest[said_in] = file_sha256(path / name)
    (path / "manifest.json").write_bytes(sealed_json(manifest))
    if not again:
        shop.publish({"ann": [TEA], "bob": [POT]}, TOMORROW)
    known = ["ann", "bob"]
    first = shop.export("csv", known=known, only_changed=True)
    assert (keys(first), keys(first, "left")) == (known, ["cid"])
    # The same lists once more, compared with a folder of both versions, and then a night later.
    second = shop.export("csv", known=known, only_changed=True)
    assert (keys(second), keys(second, "left")) == (known, ["cid"])
    shop.publish({"ann": [TEA], "bob": [POT]}, NIGHT + dt.timedelta(days=1 if again else 2))
    assert shop.export("csv", known=known, only_changed=True).counts["unchanged"] == 2


def test_an_empty_list_is_exported_as_one(shop: Shop) -> None:
    """Only triggers expire: whoever has a list without items has no old one in the tool either."""
    shop.publish({"ann": [], "bob": [TEA]})
    done = shop.export("csv", known=["ann", "bob"])
    assert (done.counts["exported"], keys(done)) == (2, ["ann", "bob"])
    assert check_export(done.made, CSV) == []


def test_each_tool_and_kind_of_ids_is_compared_with_its_own_last_export(shop: Shop) -> None:
    shop.publish({"ann": [TEA]})
    shop.export("csv", known=["ann"])
    assert shop.export("klaviyo", known=["ann"], only_changed=True).counts["exported"] == 1
    other = exporting.export(
        shop.lake, shop.root, _order(shop, ids="pseudonym", known=None, only_changed=True)
    )
    assert (other.counts["exported"], other.counts["left"]) == (1, 0)


def test_who_is_refused_or_unknown_now_does_not_keep_an_old_list(shop: Shop) -> None:
    shop.publish({"ann": [TEA], "bob": [TEA]})
    shop.export("iterable", known=["ann", "bob"])
    shop.publish({"ann": [item("i1", "Tea", score=float("nan"))], "bob": [TEA]}, TOMORROW)
    gone = shop.export("iterable", known=["ann"])
    assert gone.counts["left"] == 1  # bob; a score is not in this profile
    endless = item("i1", "Tea", price=float("inf"))
    shop.publish({"ann": [endless], "bob": [TEA]}, TOMORROW)
    refused = shop.export("iterable", known=["ann", "bob"])
    assert (refused.counts["left_out"], refused.counts["left"]) == (1, 1)
    assert refused.notes[0].why == "is no finite number"
    # Of everybody it is no export: what the tool has would be cleared.
    shop.publish({"ann": [endless], "bob": [endless]}, TOMORROW)
    with pytest.raises(InputError, match=r"would refuse all 2 lists .*, 2 of them because item_1_"):
        shop.export("iterable", known=["ann", "bob"])


@pytest.mark.parametrize("seed", range(3))
def test_nobody_without_consent_is_in_any_export(shop: Shop, seed: int) -> None:
    """Nights with changing consent: an export has exactly who agrees by now, or is cleared."""
    chance = random.Random(seed)
    people = [f"p{n}" for n in range(12)]
    agrees = dict.fromkeys(people, True)
    in_tool: set[str] = set()
    for n in range(4):
        night = NIGHT + dt.timedelta(days=2 * n)
        listed = chance.sample(people, 9)
        lists = shop.publish({own: [chance.choice([TEA, POT])] for own in listed}, night)
        agrees |= dict.fromkeys(listed, True)  # to be in a list they had to
        answers = {own: chance.random() < 0.6 for own in chance.sample(people, 5)}
        shop.consent(answers, night + dt.timedelta(days=1))
        agrees |= answers
        done = shop.export("csv", lists, known=people, only_changed=chance.random() < 0.7)
        assert all(agrees[own] for own in keys(done))
        assert done.counts["consent_withdrawn"] == sum(not agrees[own] for own in listed)
        in_tool = (in_tool | set(keys(done))) - set(keys(done, "left"))
        assert in_tool == {own for own in listed if agrees[own]}


def test_addresses_that_differ_in_case_are_one_member_of_mailchimp(shop: Shop) -> None:
    ann, other, bob = "ann@shop.example", "Ann@Shop.example", "bob@shop.example"
    shop.publish({ann: [TEA], bob: [TEA]})
    shop.export("mailchimp", known=[ann, bob])
    # The same address in another spelling: updated, and not cleared.
    shop.publish({other: [POT], bob: [TEA]}, TOMORROW)
    done = shop.export("mailchimp", known=[other, bob])
    assert (done.counts["exported"], done.counts["left"]) == (2, 0)
    # Two shoppers of one address: neither's list goes out, and the member's is cleared.
    shop.publish({ann: [TEA], other: [POT], bob: [TEA]}, TOMORROW + dt.timedelta(days=1))
    done = shop.export("mailchimp", known=[ann, other, bob])
    assert (done.counts["exported"], done.counts["left_out"], done.counts["left"]) == (1, 2, 1)
    assert {note.why for note in done.notes} == {"is another shopper's too, but for its case"}
    # Other tools tell them apart.
    assert shop.export("csv", known=[ann, other, bob]).counts["exported"] == 3


def test_who_the_lake_has_no_entry_of_any_more_is_left_out(shop: Shop) -> None:
    """As after an erasure: the published night is older, and has the list still."""
    lists = shop.publish({"ann": [TEA], "bob": [TEA]})
    kept = {"user_id": shop.user_id("ann"), "consent": True, "source": "test"}
    write_rows(shop.lake, "cleaned_users", Run(NIGHT, "erased"), [kept])
    assert keys(shop.export("csv", lists, known=["ann", "bob"])) == ["ann"]


def test_no_raw_id_stands_in_the_lake(shop: Shop) -> None:
    own = "ann.of.the.shop@example.com"
    shop.publish({own: [TEA], "bob": [TEA]})
    for name in PROFILES:
        shop.export(name, known=[own, "bob"])
    for path in shop.lake.root.rglob("*"):
        assert not path.is_file() or own.encode() not in path.read_bytes(), path


def test_files_are_private_and_hidden_until_they_are_whole(shop: Shop) -> None:
    shop.publish({"ann": [TEA]})
    done = shop.export("csv", known=["ann"])
    for path in [shop.root / "csv", *(shop.root / "csv").rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & 0o777 == wanted, path
    assert files_below(shop.root) == {
        "csv/latest.json",
        *(f"csv/2026-03-01/{name}" for name in ("part-00001.csv", "notes.csv", "manifest.json")),
        "csv/2026-03-01/.sent.parquet",
        "csv/2026-03-01/.before.parquet",
    }
    latest = json.loads((shop.root / "csv/latest.json").read_text())
    assert latest["export"] == done.made.path.name


def test_a_dry_run_counts_the_same_and_leaves_nothing(shop: Shop) -> None:
    shop.publish({"ann": [TEA], "bob": [TEA]})
    dry = shop.export("braze", known=["ann"], dry_run=True)
    assert not shop.root.exists()
    assert dry.counts == shop.export("braze", known=["ann"]).counts
    before = files_below(shop.root)
    shop.export("braze", known=["ann"], dry_run=True)
    assert files_below(shop.root) == before


def test_old_files_go_and_what_was_sent_stays(shop: Shop) -> None:
    shop.publish({"ann": [TEA], "bob": [TEA]})
    shop.export("csv", known=["ann", "bob"], keep_days=7)
    shop.export("csv", known=["ann", "bob"], now=NOW + dt.timedelta(days=1), keep_days=7)
    third = shop.export("csv", known=["ann", "bob"], now=NOW + dt.timedelta(days=8), keep_days=7)
    assert third.expired == ["2026-03-01"]
    assert not (shop.root / "csv/2026-03-01").exists()
    # By pseudonym much later: of the newest by own ids only what was sent stays.
    later = exporting.export(
        shop.lake,
        shop.root,
        _order(shop, ids="pseudonym", known=None, now=NOW + dt.timedelta(days=80)),
    )
    assert sorted(later.expired) == ["2026-03-01.2", "2026-03-01.3"]
    left = {path.name for path in (shop.root / "csv/2026-03-01.3").iterdir()}
    assert left == {"manifest.json", ".sent.parquet"}
    shop.publish({"bob": [TEA]}, TOMORROW)
    assert keys(shop.export("csv", known=["bob"]), "left") == ["ann"]


def test_no_old_export_stays_unnoticed(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """What a kill left half removed goes; what cannot be read is named each time."""
    shop.publish({"ann": [TEA]})
    first = shop.export("csv", known=["ann"]).made.path
    second = shop.export("csv", known=["ann"]).made.path
    child = os.fork()
    if child == 0:
        unlink, left = os.unlink, 1

        def killed(*args: Any, **more: Any) -> None:
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            unlink(*args, **more)

        os.unlink = killed
        ToolFolder(shop.root, "csv").expire(NOW + dt.timedelta(days=40), 30)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not first.exists(), "it is there whole or not at all"
    shop.export("csv", known=["ann"])
    (second / "manifest.json").write_text("{}")
    assert "csv/.removed.2026-03-01" not in {
        path.relative_to(shop.root).as_posix() for path in shop.root.rglob("*")
    }
    shop.export("csv", known=["ann"], now=NOW + dt.timedelta(days=40))
    assert f"{second} is no whole export: " in caplog.text
    assert "its files do not expire; remove it" in caplog.text


@pytest.mark.parametrize("within", ["lake", "raw"])
def test_a_folder_within_the_lake_or_the_raw_files_is_refused(
    shop: Shop, tmp_path: Path, within: str
) -> None:
    (tmp_path / within).mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(tmp_path / within)
    for place in (within, f"{within}/exports", "link/exports"):
        paths = dataclasses.replace(shop.settings.paths, exports=str(tmp_path / place))
        with pytest.raises(SettingsError, match=f"is within paths.{within} .* Name another folder"):
            exports_root(dataclasses.replace(shop.settings, paths=paths))


def test_by_default_exports_lie_beside_the_lake(shop: Shop, tmp_path: Path) -> None:
    assert shop.root == tmp_path / "exports"


def test_a_folder_that_cannot_be_made_is_one_message(shop: Shop, tmp_path: Path) -> None:
    shop.publish({"ann": [TEA]})
    (tmp_path / "exports").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot write to .*exports/csv \(paths.exports\)"):
        shop.export("csv", known=["ann"])


@pytest.mark.parametrize("at", ["write", "fsync", "rename", "latest"])
def test_a_full_disk_leaves_the_last_export(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    shop.publish({"ann": [TEA]})
    shop.export("csv", known=["ann"])
    before = {path: path.read_bytes() for path in shop.root.rglob("*") if path.is_file()}

    put = folder.put_private

    def full(*args: Any) -> Any:
        if at == "latest" and args[0].name != "latest.json":
            return put(*args)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = {
        "write": (sent, "private_file"),
        "fsync": (os, "fsync"),
        "latest": (folder, "put_private"),
    }
    monkeypatch.setattr(*target.get(at, (durable, "rename")), full)
    with pytest.raises(StorageError, match="No space left on device; make room"):
        shop.export("csv", known=["ann"])
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in shop.root.rglob("*") if path.is_file()} == before


def test_what_does_not_keep_the_limits_is_not_exported(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that is wrong is found out by who reads back."""
    shop.publish({"a_n": [TEA]})
    monkeypatch.setattr(exporting.RecordMaker, "_text", _as_it_is)
    with pytest.raises(GateError, match="nothing was exported: part-00001.csv record 1 key: has"):
        shop.export("iterable", known=["a_n"])
    assert not list((shop.root / "iterable").glob("2026*"))


def _as_it_is(_maker: object, _column: object, text: str) -> Any:
    from pipeline.exports.records import _Text

    return _Text(text)


@pytest.mark.parametrize("name", PROFILES)
def test_a_changed_file_is_found(shop: Shop, name: str) -> None:
    own = "ann@shop.example" if name == "mailchimp" else "ann"
    shop.publish({own: [TEA]})
    made = shop.export(name, known=[own]).made
    path = made.files[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert any("its checksum is another" in fault for fault in check_export(made, PROFILES[name]))
    path.unlink()
    assert check_export(made, PROFILES[name]) == [f"{path.name} is not there"]


def test_a_lost_record_of_what_was_sent_is_said(shop: Shop) -> None:
    shop.publish({"ann": [TEA]})
    made = shop.export("csv", known=["ann"]).made
    (made.path / "manifest.json").unlink()
    with pytest.raises(DamagedError, match=r"nobody can be told who has left\. Bring it back, or"):
        shop.export("csv", known=["ann"])


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_damaged_record_of_what_was_sent_is_said(shop: Shop, how: str) -> None:
    shop.publish({"ann": [TEA]})
    path = shop.export("csv", known=["ann"]).made.path / ".sent.parquet"
    content = path.read_bytes()
    path.unlink()
    if how == "changed":
        path.write_bytes(content[:-9] + b"x" + content[-8:])
    with pytest.raises(DamagedError, match=r"nobody can be told who has left\. Bring it back, or"):
        shop.export("csv", known=["ann"])


def test_what_a_killed_process_left_is_removed(shop: Shop) -> None:
    shop.publish({"ann": [TEA]})
    left = shop.root / "csv" / ".aside-new"
    left.mkdir(parents=True)
    (left / "part-00001.csv").write_text("half")
    assert keys(shop.export("csv", known=["ann"])) == ["ann"]
    assert not left.exists()


def test_files_are_split_where_a_limit_says_so(shop: Shop) -> None:
    few = dataclasses.replace(CSV, file=dataclasses.replace(CSV.file, rows=2, bytes=0))
    small = dataclasses.replace(CSV, file=dataclasses.replace(CSV.file, bytes=400))
    people = {f"p{n:02}": [TEA, POT] for n in range(7)}
    shop.publish(people)
    done = shop.export(few, known=list(people))
    assert [entry["rows"] for entry in done.made.manifest["files"]] == [2, 2, 2, 1]
    assert keys(done) == sorted(people)
    done = shop.export(small, known=list(people))
    assert len(done.made.files) > 1
    assert all(path.stat().st_size <= 400 for path in done.made.files)
    assert keys(done) == sorted(people)


def test_what_was_sent_is_in_the_order_of_the_ids(shop: Shop) -> None:
    people = {f"p{n:02}": [TEA] for n in range(20)}
    shop.publish(people)
    made = shop.export("csv", known=list(people)).made
    assert pq.read_table(made.path / ".sent.parquet").column("key").to_pylist() == sorted(people)


def test_a_folder_that_is_no_export_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no whole export"):
        read_export(tmp_path)
