"""Shards: done once, seen whole, made again when anything they depend on has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import ContractError, StorageError
from pipeline.generation.shards import Shards, fingerprint, shard_of

TABLE = pa.table({"user_id": ["a", "b"]})


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path / "work", "inputs-1")


def test_a_user_has_one_shard_whatever_else_is_there() -> None:
    ids = [f"{n:08x}{'0' * 24}" for n in (0, 1, 7, 255, 2**32 - 1)]
    assert shard_of(pa.array(ids), 7).tolist() == [n % 7 for n in (0, 1, 7, 255, 2**32 - 1)]
    assert shard_of(pa.chunked_array([ids[:2], ids[2:]]), 7).tolist() == [
        shard_of(pa.array([user_id]), 7)[0] for user_id in ids
    ]
    assert shard_of(pa.array([], pa.string()), 7).tolist() == []


@pytest.mark.parametrize(
    "user_id", ["", "abc", "0000000G" + "0" * 24, "ABCDEF01" + "0" * 24, "é" * 32]
)
def test_what_is_no_pseudonym_is_refused(user_id: str) -> None:
    with pytest.raises(ContractError, match="pseudonym"):
        shard_of(pa.array(["0" * 32, user_id]), 4)


def test_a_committed_shard_is_found_and_the_same_bytes_again(shards: Shards) -> None:
    assert shards.counts("s") is None
    shards.commit("s", TABLE, {"users": 2})
    first = shards.path("s").read_bytes()
    assert shards.counts("s") == {"users": 2}
    assert shards.read("s").equals(TABLE)
    shards.commit("s", TABLE, {"users": 2})
    assert shards.path("s").read_bytes() == first


def test_other_inputs_make_it_a_shard_to_be_done(shards: Shards) -> None:
    shards.commit("s", TABLE, {})
    assert Shards(shards.directory, "inputs-2").counts("s") is None


@pytest.mark.parametrize(
    "damage",
    ["flip a byte", "cut the file", "lose the file", "lose the sidecar", "cut the sidecar"],
)
def test_a_damaged_shard_is_to_be_done(shards: Shards, damage: str) -> None:
    shards.commit("s", TABLE, {})
    data, sidecar = shards.path("s"), shards.directory / "s.json"
    content = bytearray(data.read_bytes())
    if damage == "flip a byte":
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif damage == "cut the file":
        data.write_bytes(content[:-1])
    elif damage == "lose the file":
        data.unlink()
    elif damage == "lose the sidecar":
        sidecar.unlink()
    else:
        sidecar.write_text(sidecar.read_text()[:20])
    assert shards.counts("s") is None


def test_a_kill_between_file_and_sidecar_leaves_it_to_be_done(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.generation.shards.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        shards.commit("s", TABLE, {})
    assert shards.path("s").exists()
    assert shards.counts("s") is None


def test_a_refusing_disk_is_a_storage_error_and_leaves_nothing_behind(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards.commit("before", TABLE, {})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"shard .*s\.parquet: No space left.*run the same date"):
        shards.commit("s", TABLE, {})
    monkeypatch.undo()
    assert shards.counts("s") is None
    assert shards.counts("before") == {}
    assert sorted(path.name for path in shards.directory.iterdir()) == [
        "before.json",
        "before.parquet",
    ]


def test_a_fingerprint_changes_with_any_input() -> None:
    inputs = {"k": 10, "files": [{"sha256": "a"}], "champion": None}
    same = json.loads(json.dumps(inputs))
    assert fingerprint(inputs) == fingerprint(same)
    assert fingerprint(inputs) != fingerprint(inputs | {"k": 11})
    assert fingerprint(inputs) != fingerprint(inputs | {"champion": {}})
