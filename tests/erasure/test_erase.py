"""Erasing three shoppers of a small lake: no byte of them is left, and nothing else changed."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.cli.main import main
from pipeline.cleaning.late.late_dependencies import DEPENDENCIES, LateDependencies
from pipeline.datasets import CLEANED_EVENTS, EXPIRING_DELIVERIES, HISTORIES, MODELS
from pipeline.erased import digest_of, read_erased
from pipeline.erasure import exchange
from pipeline.erasure.erase import ask, erase, look
from pipeline.erasure.proof import proofs
from pipeline.erasure.wanted import Wanted
from pipeline.erasure.words import MIN_REVIEWS, only_theirs
from pipeline.errors import DamagedError, InputError
from pipeline.generation.champion import CHAMPION_UNREADABLE, load_champion, read_champion
from pipeline.histories.item_words import MIN_REVIEWS as AS_HISTORIES_ASK
from pipeline.intact import forget_checked
from pipeline.lake import Lake, Run
from pipeline.publishing.query import run_query
from pipeline.retention.expired import note_expired
from pipeline.sources.source_yaml import load_source
from pipeline.verification import verify_lake
from tests.erasure.byte_scan import places
from tests.erasure.conftest import Done
from tests.erasure.erasure_shop import (
    GO,
    NIGHTS,
    ONLY_ANN,
    QUOTES_ANN,
    STAY,
    TEXTS,
    Shop,
    clock,
    contents,
)
from tests.lake_rows import read_rows

Rows = dict[str, list[dict[str, Any]]]


def tables(lake: Lake) -> Rows:
    """Every row of every table, also of runs that no pointer names, by file."""
    return {
        file.relative_to(lake.root).as_posix(): pq.ParquetFile(file).read().to_pylist()
        for file in sorted(lake.root.rglob("*.parquet"))
        if "work" not in file.parts
    }


def of_others(rows: Rows, shop: Shop) -> Rows:
    """Without the rows of those who go, by what the tests have written themselves."""
    gone = {shop.user(name) for name in GO} | set(GO)
    return {
        file: [row for row in of if not any(user in repr(row) for user in gone)]
        for file, of in rows.items()
    }


def test_no_byte_of_them_is_left_and_others_rows_are_equal(done: Done) -> None:
    shop, proof = done.after, done.proof
    assert len(places(done.before.lake.root, shop.secrets())) > 100, "the scan finds them before"
    assert places(done.before.logs, shop.secrets())
    before = of_others(tables(done.before.lake), shop)

    assert places(shop.lake.root, shop.secrets()) == []
    left = places(shop.lake.root, [ONLY_ANN.encode()])
    assert all("in item_words/" in place for place in left), "others say it, of another item"
    assert places(shop.logs, shop.secrets()) == []
    after = tables(shop.lake)
    changed = {file for file, rows in before.items() if after.get(file) != rows}
    unclosed = {
        file
        for file in before
        if any(name in file for name in ("cut-off", ".removed.", "stray.parquet"))
    }
    assert len(unclosed) == 4
    assert {file.split("/")[0] for file in changed - unclosed} == {
        "item_words",
        "recommendations",
        "generated",
    }, "others were told what only Ann had said"
    assert unclosed.isdisjoint(after)
    assert verify_lake(shop.lake).faults == []
    assert verify_lake(shop.lake).notes == []
    assert proof.facts["users"] == proof.facts["found"] == 3
    assert proof.facts["rows"]["histories"] == 3 * 4, "of each run, named by a pointer or not"


def test_what_only_they_said_goes_from_what_others_see(done: Done) -> None:
    night, shop = NIGHTS[1], done.after
    lists = {row["user_id"]: row for row in read_rows(done.before.lake, "recommendations", night)}
    assert lists[shop.user(STAY[1])]["reason"] == QUOTES_ANN
    words = read_rows(shop.lake, "item_words", night)
    # Two of four who said "quiet" stay, on two nights. Nobody else said "zorbly" in English.
    assert [(row["item_id"], row["language"], row["words"], row["n_reviews"]) for row in words] == [
        ("k", "en", ["quiet", "sturdy"], 8),
        ("p", "en", ["flat"], 2),
        ("p", "de", ["zorbly"], 2),
    ]
    assert [(of["phrase"], of["praised"]) for of in words[0]["aspects"]] == [
        ("quiet", 4),
        ("sturdy", 3),
    ]
    after = {row["user_id"]: row for row in read_rows(shop.lake, "recommendations", night)}
    assert set(after) == {shop.user(name) for name in STAY}
    eve = after[shop.user(STAY[1])]
    assert (eve["reason"], eve["reason_method"]) == (None, None)
    for name in (STAY[0], STAY[2], STAY[3], STAY[4]):
        assert after[shop.user(name)] == lists[shop.user(name)]


def test_the_words_need_as_many_reviews_as_histories_ask() -> None:
    assert MIN_REVIEWS == AS_HISTORIES_ASK


def test_models_that_know_their_words_go_and_others_are_not_gone_on_from(done: Done) -> None:
    shop, proof = done.after, done.proof
    dropped = [
        f"models/run_date={night}/run_id={run}"
        for night, run in ((NIGHTS[1], "one"), (NIGHTS[1], "two"), (NIGHTS[2], "one"))
    ]
    assert proof.facts["models"] == {"dropped": dropped, "not_gone_on_from": [f"{NIGHTS[0]}/one"]}
    assert shop.lake.dates(MODELS) == [NIGHTS[0]]
    erased = read_erased(shop.lake)
    assert erased.learned_from(Run(NIGHTS[0], "one")) == "2026-03-04"
    assert erased.learned_from(Run(NIGHTS[0], "two")) is None
    champion = load_champion(
        shop.lake, read_champion(shop.lake, NIGHTS[2]), shop.settings.generation
    )
    assert champion.fallback_reason == CHAMPION_UNREADABLE, (
        "the night of a dropped champion goes on"
    )


def test_readers_read_on_and_exports_are_made(shop: Shop) -> None:
    erase(shop.asked(), clock)
    for night, run_id in ((NIGHTS[0], "one"), (NIGHTS[1], "two"), (NIGHTS[2], "one")):
        partition = shop.lake.require("recommendations", night)
        assert (partition.directory_id, partition.rows) == (run_id, len(STAY))
        assert partition.manifest["erased"] == len(GO)
    (count,) = run_query(shop.lake, "SELECT count(*) FROM recommendations_wide").rows
    assert count == (3 * len(STAY),)
    views = (shop.lake.root / "views.sql").read_text("utf-8")
    assert "recommendations_latest" in views


def test_records_pages_and_logs_lose_them_and_stay_what_they_are(done: Done) -> None:
    shop = done.after
    records = shop.lake.records(Run(NIGHTS[0], "one"))
    assert json.loads((records / "clean.json").read_text("utf-8")) == {
        "stage": "clean",
        "report": {"(erased)": "a bot", "rows": 8},
        "error": "(erased)",
    }
    assert "nightcart redo" in (records / "report.html").read_text("utf-8")
    assert (records / "data_docs" / "index.html").read_text("utf-8") == "<p>all is well"
    assert (shop.logs / "attempt=1.log").read_text("utf-8") == "good line\nlast line\n"
    assert not (shop.lake.root / "old_note.txt.gz").exists()
    assert list((shop.lake.root / "work").iterdir()) in ([], [shop.lake.root / "work" / "locks"])


def test_the_manifests_count_what_is_left(done: Done) -> None:
    shop = done.after
    taken_back = shop.lake.require("retractions", NIGHTS[0])
    assert (taken_back.rows, taken_back.manifest["by_dataset"]) == (1, {"events": 1})
    for dataset in (CLEANED_EVENTS, HISTORIES, "acts", "quarantine"):
        partition = shop.lake.require(dataset, NIGHTS[2])
        read = read_rows(shop.lake, dataset, NIGHTS[2])
        assert partition.rows == len(read)
    assert [row["raw"] for row in read_rows(shop.lake, "quarantine", NIGHTS[2])] == [
        json.dumps({"user": shop.user(STAY[0]), "of": "dot"})
    ]


def test_files_keep_their_shape(done: Done) -> None:
    """Row groups, order, compression, schema, and that a published file is a link."""

    def shape(file: Path) -> Any:
        found = pq.ParquetFile(file)
        return (
            found.schema_arrow,
            found.metadata.num_row_groups,
            found.metadata.row_group(0).column(0).compression,
        )

    before, after = (of.lake.require(HISTORIES, NIGHTS[0]) for of in (done.before, done.after))
    assert [*map(shape, after.files)] == [*map(shape, before.files)]
    (published, made) = (
        done.after.lake.require(name, NIGHTS[0]).files for name in ("recommendations", "generated")
    )
    assert [file.stat().st_ino for file in published] == [file.stat().st_ino for file in made]
    sums = {entry["path"]: entry for entry in done.proof.facts["files"]}
    entry = sums[f"histories/run_date={NIGHTS[0]}/run_id=one/part-00000.parquet"]
    assert entry["before"]["sha256"] != entry["after"]["sha256"]
    assert entry["rows"] == 2


def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    before = _everything(shop.lake.root)
    (shop.logs / "latest").symlink_to(shop.logs / "rotated away")
    (shop.logs / "rotating.log").write_text("whatever")
    plan = look(shop.asked(), _rotate)
    assert _everything(shop.lake.root) == before
    assert len(plan.found) == 3
    assert sum(".removed." in path.name for path in plan.scratch) == 2
    assert plan.rows_by_dataset()["histories"] == 3 * 4
    done = erase(shop.asked(), clock)
    assert done.facts["rows"] == plan.rows_by_dataset()


def test_nobody_there_and_nobody_named(shop: Shop) -> None:
    with pytest.raises(InputError, match="nobody to erase"):
        ask(shop.lake, shop.settings.privacy.key_file, [])
    # Ids that are words of the lake's own files, and one that is a number in a record.
    others = ("events", "run_id", "part-00000.parquet", "2026-03-01", "178501234")
    (shop.lake.records(Run(NIGHTS[0], "one")) / "sizes.json").write_text('{"bytes": 178501234}')
    before = contents(shop)
    proof = erase(shop.asked("nobody-1", *others), clock)
    assert (proof.facts["users"], proof.facts["found"], proof.facts["rows"]) == (6, 0, {})
    assert len(read_erased(shop.lake).digests) == 6
    (shop.lake.root / "erasures" / "erased.json").unlink()
    assert contents(shop) == before


def test_a_damaged_file_is_named_and_all_else_is_done(shop: Shop) -> None:
    file = shop.lake.require(HISTORIES, NIGHTS[0]).paths[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:40])
    with pytest.raises(DamagedError, match="is not complete.*part-00000"):
        erase(shop.asked(), clock)
    left = places(shop.lake.root, [shop.user(GO[0]).encode()])
    assert all(".under_way" in place for place in left), left
    file.write_bytes(whole)
    erase(shop.asked("nobody-1"), clock)
    assert places(shop.lake.root, [*shop.secrets(), b"nobody-1"]) == [], "its notes named them"


def test_the_proof_is_kept_and_names_nobody(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(
        f'[paths]\nlake = "{shop.lake.root}"\nairflow = "{shop.logs.parent}"\n'
        f'[privacy]\nkey_file = "{shop.settings.privacy.key_file}"\n'
    )
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(GO[1:]) + "\n\n", "utf-8")
    asked = ["erase", GO[0], "--file", str(ids), "--config", str(config)]
    assert main([*asked, "--dry-run"]) == 0
    assert "3 of 3 shoppers are in the lake" in capsys.readouterr().out
    assert main(asked) == 65, "nobody is there to be asked"
    assert main([*asked, "--yes"]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 shoppers were in the lake and are erased" in said
    assert main(["erase", "--list", "--config", str(config)]) == 0
    assert "3 of 3 shoppers found and erased" in capsys.readouterr().out
    (proof,) = proofs(shop.lake)
    text = (shop.lake.root / "erasures" / f"{proof.name}.json").read_bytes()
    assert not any(secret in text for secret in shop.secrets())
    assert proof.facts["exports"] == {}
    user_ids = load_source(shop.settings.shop.source).user_ids_digest
    assert read_erased(shop.lake).user_ids == user_ids
    digest = digest_of(shop.user(GO[0]), shop.key)
    assert digest in read_erased(shop.lake).digests
    assert main(["erase", "--lift", GO[0], "--config", str(config)]) == 0
    assert digest not in read_erased(shop.lake).digests
    assert read_erased(shop.lake).user_ids == user_ids


def test_without_an_exchange_of_names_two_renames_do(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_renameat2", lambda: None)
    erase(shop.asked(), clock)
    assert places(shop.lake.root, shop.secrets()) == []
    assert verify_lake(shop.lake).faults == []


def _rotate(where: str) -> None:
    """Put a log away once its directory is listed."""
    if where.endswith("/logs"):
        Path(where, "rotating.log").unlink(missing_ok=True)


def _everything(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".use.lock"
    }


def test_deliveries_with_late_rows_need_not_be_cleaned_again(done: Done) -> None:
    before, after = (of.lake for of in (done.before, done.after))
    assert LateDependencies(before).out_of_date(NIGHTS, []) == set()
    said = [of.require(CLEANED_EVENTS, NIGHTS[2]).manifest[DEPENDENCIES] for of in (before, after)]
    assert said[0] != said[1]
    assert LateDependencies(after).out_of_date(NIGHTS, []) == set()


def test_where_the_past_has_expired(shop: Shop) -> None:
    for dataset in (*EXPIRING_DELIVERIES, HISTORIES, "acts"):
        shutil.rmtree(shop.lake.root / dataset / f"run_date={NIGHTS[0]}", ignore_errors=True)
    plan = look(shop.asked(GO[1]))
    assert min(of.date for of in plan.learned) == NIGHTS[0], "its histories are gone"
    note_expired(shop.lake, NIGHTS[0])
    erase(shop.asked(GO[1]), clock)
    assert LateDependencies(shop.lake).out_of_date(NIGHTS, []) == set(), "none is cleaned again"


def test_sentences_and_words_that_stand_in_nobody_elses_texts(built: Shop) -> None:
    ann, wanted = TEXTS[GO[0]], Wanted.of_ids(GO[:1], built.key)
    asked = {ann, "ZORBLY kettle", "quiet", "says number", "never said"}
    assert only_theirs(asked, {ann}, built.lake, wanted) == {ann, "ZORBLY kettle"}
    assert only_theirs(asked, set(), built.lake, wanted) == set()


def test_who_opened_a_partition_before_is_told_to_ask_again(shop: Shop) -> None:
    opened = shop.lake.require("recommendations", NIGHTS[1])
    erase(shop.asked(), clock)
    forget_checked()  # another process has opened it
    with pytest.raises(DamagedError, match="was written again while it was read"):
        _ = opened.files
    assert verify_lake(shop.lake).faults == [], "nothing was taken for damaged"


def test_a_reader_meanwhile_sees_old_files_or_new_ones(shop: Shop) -> None:
    lake, night = shop.lake, NIGHTS[1]
    files = lake.require("recommendations", night).paths
    seen: list[list[str]] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            forget_checked()
            try:
                for file in lake.require("recommendations", night).files:
                    seen.append(pq.ParquetFile(file).read()["user_id"].to_pylist())
            except DamagedError as error:
                assert "was written again while it was read" in str(error)  # noqa: PT017

    old = [pq.ParquetFile(file).read()["user_id"].to_pylist() for file in files]
    reader = threading.Thread(target=read)
    reader.start()
    try:
        erase(shop.asked(), clock)
    finally:
        ended.set()
        reader.join()
    new = [pq.ParquetFile(file).read()["user_id"].to_pylist() for file in files]
    assert {tuple(users) for users in seen} <= {tuple(users) for users in [*old, *new]}
    assert {tuple(users) for users in seen} >= {tuple(users) for users in old}
    assert verify_lake(lake).faults == []
