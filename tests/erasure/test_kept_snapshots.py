"""Snapshots of the shop's own files lose erased users; a kill does no harm."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import durable
from pipeline.erasure.erase import erase
from pipeline.erasure.kept_snapshots import kept_of, remove_kept, sweep_kept
from pipeline.erasure.wanted import Wanted
from pipeline.pseudonym import pseudonym
from pipeline.sources.snapshots import USER, Snapshot, Snapshots
from tests.erasure.byte_scan import places
from tests.erasure.erasure_shop import GO, STAY, Shop, clock

KEY = b"k" * 32
WHO = ["ann@shop", "7", "long-standing-customer-12"]


def keep(
    root: Path, key: bytes, name: str, *files: list[tuple[str | None, str | None]]
) -> Snapshot:
    """A snapshot of customers: (raw id, unreadable line) of each row, mapped by lower and trim."""
    store = Snapshots(root, "users")
    date = dt.date.fromisoformat(name.partition(".")[0])
    with store.alone():
        aside = store.begin(date)
        (aside / "kept").mkdir()
        for number, rows in enumerate(files):
            users = [who and pseudonym(who.strip().lower(), key) for who, _ in rows]
            table = pa.table(
                {
                    "who": pa.array([who for who, _ in rows], pa.string()),
                    "region": pa.array(["7"] * len(rows), pa.string()),
                    "__line": pa.array([line for _, line in rows], pa.string()),
                    USER: pa.array(users, pa.string()),
                }
            )
            pq.write_table(table, aside / "kept" / f"rows-{number:05d}.parquet", row_group_size=2)
        total = sum(map(len, files))
        made = {
            "rows": {"users.csv": total},
            "kept": total,
            "erased": 0,
            "user_columns": ["who"],
            "columns": ["who", "region"],
        }
        snapshot = store.put(aside / "kept", name, made)
        store.note(date, snapshot, "run")
    return snapshot


def left(snapshot: Snapshot) -> list[str | None]:
    return [row["who"] for file in snapshot.files for row in pq.read_table(file).to_pylist()]


def test_rows_of_users_go_by_hash_by_id_and_by_what_a_line_says(tmp_path: Path) -> None:
    rows = [(" Ann@Shop ", None), ("bo", None), ("7", None), ("77", None)]
    more = [(None, '{"who":"ann@shop","reg'), (None, "cy;7;north"), ("cy", None)]
    kept = keep(tmp_path, KEY, "2026-03-01.a", rows, more)
    other = keep(tmp_path, b"o" * 32, "2026-03-02.b", rows)  # as under another mapping or key
    untouched = keep(tmp_path, KEY, "2026-03-03.c", [("bo", None)])
    before = (untouched.path / "snapshot.json").read_bytes()
    wanted = Wanted.of_ids(["ann@shop", "7"], KEY)
    assert {one.name: sum(one.rows.values()) for one in kept_of(tmp_path, wanted)} == {
        "users 2026-03-01.a": 3,
        "users 2026-03-02.b": 1,
    }
    for one in kept_of(tmp_path, wanted):
        with one.store.alone():
            remove_kept(one, wanted)
    assert left(kept) == ["bo", "77", None, "cy"], (
        "of a line only what is no other word is looked for"
    )
    assert left(other) == [" Ann@Shop ", "bo", "77"]
    assert (untouched.path / "snapshot.json").read_bytes() == before
    store = Snapshots(tmp_path, "users")
    assert list(store.faults()) == []
    said = store.named(kept.name).manifest
    assert (said["kept"], said["erased"], said["rows"]) == (4, 3, {"users.csv": 7})
    assert kept_of(tmp_path, Wanted.of_ids(["ann@shop"], KEY)) == []


def test_a_kill_between_two_files_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(tmp_path, KEY, "2026-03-01.a", [("ann", None), ("bo", None)], [("ann", None)])
    wanted = Wanted.of_ids(["ann"], KEY)
    rename, calls = durable.rename, 0

    def killed(aside: Path, path: Path) -> None:
        nonlocal calls
        calls += path.suffix == ".parquet"
        if calls == 2:
            raise KeyboardInterrupt
        rename(aside, path)

    monkeypatch.setattr(durable, "rename", killed)
    (found,) = kept_of(tmp_path, wanted)
    with pytest.raises(KeyboardInterrupt), found.store.alone():
        remove_kept(found, wanted)
    monkeypatch.undo()
    assert list(Snapshots(tmp_path, "users").faults()), "the file that is still the old one"
    sweep_kept(tmp_path)
    (found,) = kept_of(tmp_path, wanted)
    with found.store.alone():
        remove_kept(found, wanted)
    assert left(kept) == ["bo"]
    assert list(found.store.faults()) == []
    assert found.store.named(kept.name).manifest["kept"] == 1
    assert not list(found.store.root.glob("taking-*"))


def test_an_erasure_leaves_no_byte_of_them_beside_the_lake(shop: Shop) -> None:
    """Nor in what a kill left of a snapshot; the proof counts the rows."""
    root = shop.lake.root.parent / "lake-snapshots"
    keep(root, shop.key, "2026-03-01.a", [(who, None) for who in (*GO, *STAY)])
    keep(root, shop.key, "2026-03-02.b", [(who, None) for who in GO])
    for dataset in ("users", "items"):
        killed = root / dataset / "taking-2026-03-03"
        killed.mkdir(parents=True)
        (killed / "users.csv").write_text("\n".join(GO))
    asked = dataclasses.replace(shop.asked(), snapshots=root)
    secrets = [secret.encode() for who in GO for secret in (who, shop.user(who))]
    assert places(root, secrets)
    proof = erase(asked, clock)
    assert places(root, secrets) == []
    assert proof.facts["rows"]["snapshots of users"] == 2 * len(GO)
    assert proof.facts["searched"]["snapshots of users"]["files"] == 2
    store = Snapshots(root, "users")
    assert left(store.named("2026-03-01.a")) == [*STAY]
    assert left(store.named("2026-03-02.b")) == []
