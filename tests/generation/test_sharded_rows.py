"""Rows by shard: one pass for any number of shards, the rows of a filter, whole or missing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ContractError, StorageError
from pipeline.generation import inputs, sharded_rows
from pipeline.generation.audience import COLUMNS, users_by_shard
from pipeline.generation.inputs import USERS_PER_SHARD, shards_for
from pipeline.generation.sharded_rows import ShardedRows, contract_columns
from pipeline.generation.shards import shard_of
from pipeline.lake import Partition
from tests.generation.lists.test_reranker import ids, send
from tests.generation_shop import NIGHT, Shop, checksums, history, item, many_histories, rows_of


@pytest.fixture
def partition(shop: Shop) -> Partition:
    """Histories of 60 users in two files, some not due."""
    rows = many_histories(60, seed=4)
    for place, row in enumerate(rows):
        row["active"], row["consent"] = place % 7 != 0, place % 5 != 0
    shop.put("histories", rows)
    return shop.lake.require("histories", NIGHT)


def due_of_shard(partition: Partition, shard: int, n_shards: int) -> pa.Table:
    """The slow way: read everything, keep the shard's."""
    whole = pa.concat_tables([pq.read_table(path) for path in partition.files])
    due = whole.filter(pa.compute.and_(whole.column("active"), whole.column("consent")))
    mine = pa.array(shard_of(due.column("user_id").combine_chunks(), n_shards) == shard)
    return due.filter(mine).select(list(COLUMNS))


@pytest.mark.parametrize("n_shards", [1, 3, 8, 200])
@pytest.mark.parametrize(("batch_rows", "chunk_bytes"), [(4096, 1 << 26), (7, 1), (7, 20_000)])
def test_a_shard_has_its_users_in_order_whatever_a_chunk_holds(
    partition: Partition,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_shards: int,
    batch_rows: int,
    chunk_bytes: int,
) -> None:
    monkeypatch.setattr(sharded_rows, "BATCH_ROWS", batch_rows)
    monkeypatch.setattr(sharded_rows, "CHUNK_BYTES", chunk_bytes)
    users = users_by_shard(partition, n_shards, tmp_path)
    found = [users.read(shard) for shard in range(n_shards)]
    for shard, rows in enumerate(found):
        assert rows.to_pylist() == due_of_shard(partition, shard, n_shards).to_pylist()
    assert sum(rows.num_rows for rows in found) == 41


def test_histories_are_read_once_however_many_shards(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = pq.ParquetFile

    def opened(path: Path, *args: object, **kwargs: object) -> pq.ParquetFile:
        read.append(path.parent.parent.parent.name)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(pq, "ParquetFile", opened)
    times = []
    for n_shards in (3, 12):
        read.clear()
        shop.with_settings("generation", shards=n_shards).generate(f"R{n_shards}")
        times.append(read.count("histories"))
    # Two files: once for the flags of the audience, once to set the users apart.
    assert times == [4, 4]


def test_what_is_set_apart_is_used_again_and_goes_with_the_commit(shop: Shop) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    begun = shop.night("R")
    begun.shard_maker.make(0)
    directory = begun.inputs.users.directory
    assert directory.parent == shop.lake.work("generate", begun.run)
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    again = shop.night("R")
    again.shard_maker.make(1)
    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    assert checksums(shop.generate("R")) == undisturbed
    assert not directory.exists()


@pytest.mark.parametrize("damage", ["flip a byte", "cut the file", "lose it", "lose the sums"])
def test_damage_is_said_and_a_rerun_makes_it_anew(shop: Shop, damage: str) -> None:
    undisturbed = checksums(shop.generate("undisturbed"))
    night = shop.night("R")
    night.inputs.users.make()
    victim = night.inputs.users.directory / "00001.arrows"
    if damage == "flip a byte":
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    elif damage == "cut the file":
        victim.write_bytes(victim.read_bytes()[:-8])
    else:
        (victim if damage == "lose it" else victim.parent / "sha256.json").unlink()
    with pytest.raises(StorageError, match=r"\.arrows changed after it was made; run the same"):
        night.generate()
    assert checksums(shop.generate("R")) == undisturbed


def test_other_histories_are_never_taken_for_tonights(shop: Shop) -> None:
    night = shop.night("R")
    night.inputs.users.make()
    shop.put("histories", [history("somebody else", [item(1)])])
    made = shop.generate("R")
    assert made.report["users"] == 1


def test_two_that_make_it_at_once_do_no_harm(
    partition: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (users_by_shard(partition, 3, tmp_path) for _ in range(2))
    real = Path.rename

    def slower(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", real)
        # The other's aside has the same name in this one process.
        moved = path.with_name("moved")
        real(path, moved)
        other.make()
        real(moved, path)
        return real(path, target)

    monkeypatch.setattr(Path, "rename", slower)
    one.make()
    assert one.read(1).equals(other.read(1))
    assert [path.name for path in tmp_path.glob("*by-shard*")] == [one.directory.name]
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_user_id_that_is_no_pseudonym_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.put("histories", [history("a", [item(1)], user_id="ann@example.com")])
    users = users_by_shard(shop.lake.require("histories", NIGHT), 3, tmp_path / "scratch")
    with pytest.raises(ContractError, match="pseudonym"):
        users.make()
    assert not list((tmp_path / "scratch").iterdir())


def test_a_partition_in_the_same_shards_is_read_as_it_is(shop: Shop, tmp_path: Path) -> None:
    made = shop.generate().partition
    columns = contract_columns("recommendations", ("user_id", "items"))
    same, other = (ShardedRows(made, columns, n, tmp_path) for n in (3, 5))
    for rows in (same, other):
        rows.prepare()
    assert not same.directory.exists()
    assert other.directory.exists()
    for shard, path in enumerate(made.files):
        written = pq.read_table(path, columns=["user_id", "items"])
        assert same.read(shard).to_pylist() == written.to_pylist()
    users = {user for n in range(5) for user in other.read(n).column("user_id").to_pylist()}
    assert len(users) == 30


def test_shards_are_doubled_so_that_most_nights_have_as_many() -> None:
    most = USERS_PER_SHARD
    assert [shards_for(n, 4) for n in (0, 1, 4 * most, 4 * most + 1, 8 * most, 50 * most)] == [
        4,
        4,
        4,
        8,
        8,
        64,
    ]
    assert shards_for(5 * most, 3) == 6
    assert shards_for(10, 0) == 1


def test_a_night_in_other_shards_than_the_last_repeats_nothing_either(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {row["user_id"]: ids(row) for row in rows_of(shop.generate("sent"))}
    send(shop, NIGHT - dt.timedelta(days=1), sent)
    tired = shop.with_settings("generation", no_repeat_nights=1)
    before = {row["user_id"]: ids(row) for row in rows_of(tired.generate("in-three"))}
    assert not any(set(before[user]) & set(items) for user, items in sent.items())
    monkeypatch.setattr(inputs, "USERS_PER_SHARD", 5)
    night = tired.night("doubled")
    assert len(night.names) == 6
    assert {row["user_id"]: ids(row) for row in rows_of(night.generate())} == before
