"""`nightcart export` and the job of the DAG: what is said, what is written, what is recorded."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from jobs import export_lists
from jobs.cli.main import main
from pipeline.exports.folder import ToolFolder
from pipeline.lake import Run
from pipeline.ledger import read_ledger
from tests.exports.conftest import NIGHT, Shop, item
from tests.exports.test_profiles import read

LISTS = {own: [item("i1", "Tea")] for own in ("ann@shop.example", "bob@shop.example", "c_d")}


@pytest.fixture
def config(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published shop with its settings file."""
    path = tmp_path / "nightcart.toml"
    path.write_text(
        '[shop]\nsource = "shop.yaml"\n[paths]\nraw = "raw"\nlake = "lake"\n'
        '[privacy]\nkey_file = "user_id.key"\n[exports]\nprofiles = ["braze", "mailchimp"]\n'
    )
    monkeypatch.setenv("NIGHTCART_CONFIG", str(path))
    shop.publish(LISTS)
    shop.deliver([*LISTS])
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["export", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_export_then_check(config: Path, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--to", "klaviyo")
    assert code == 0
    assert "klaviyo 2026-03-01: 3 of 3 lists written in 1 file," in out
    part = shop.root / "klaviyo/2026-03-01/part-00001.json"
    assert f"  {part}\n" in out
    assert {key for key, _ in read(part, _profile("klaviyo"))} == set(LISTS)
    code, out, _ = run(capsys, "--check", str(part.parent))
    assert (code, out) == (
        0,
        "1 file, 3 records for Klaviyo (bulk profile import): no faults\n",
    )
    code, _, err = run(capsys, "--check", str(part.parents[1]))
    assert code == 65
    assert f"is the folder of all exports to a tool; the newest is {part.parent}" in err
    part.write_text("{}")
    code, out, _ = run(capsys, "--check", str(part.parent))
    assert code == 65
    assert "FAULT: part-00001.json is not what was written" in out
    ToolFolder(shop.root, "klaviyo").expire(dt.datetime.now(dt.UTC) + dt.timedelta(days=40), 30)
    code, out, _ = run(capsys, "--check", str(part.parent))
    assert (code, out.count("\n")) == (0, 1)
    assert "has no files any more: they have expired" in out


def _profile(name: str) -> object:
    from pipeline.exports.profiles import profile_named

    return profile_named(name)


def test_rows_that_the_tool_refuses_are_named(
    config: Path, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.publish({"c_d": [item("i1", "Tea")], "e-f": [item("i1", "Tea")]})
    shop.deliver(["c_d", "e-f"])
    _, out, _ = run(capsys, "--to", "iterable", "--dry-run")
    assert "1 of 2 lists would be written" in out
    who = shop.user_id("c_d")
    assert f"{who} key: left_out, has other characters than letters, digits and dashes" in out
    assert "c_d" not in out
    assert not shop.root.exists()


def test_without_a_name_the_tools_of_the_settings(
    config: Path, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "--only", "changed")
    assert code == 0
    assert "braze 2026-03-01: 3 of 3 lists" in out
    assert "mailchimp 2026-03-01: 2 of 3 lists" in out
    shop.publish(LISTS, NIGHT.replace(day=2))
    _, out, _ = run(capsys, "--only", "changed")
    assert "        3  the same as in the last export, not written again" in out


def test_one_tool_that_fails_keeps_no_other(
    config: Path, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.root.mkdir()
    (shop.root / "braze").write_text("in the way")
    code, out, err = run(capsys)
    assert code == 75
    assert "mailchimp 2026-03-01: 2 of 3 lists written" in out
    assert err.splitlines()[-1].startswith(f"nightcart: cannot write to {shop.root / 'braze'}")


@pytest.mark.parametrize(
    ("break_it", "words", "code", "says"),
    [
        ("", ("--to", "brase"), 65, "no export for 'brase'; did you mean 'braze'?"),
        ("key", ("--to", "csv"), 65, "user_id.key is not there, and only who has the key"),
        ("other key", ("--to", "csv"), 65, "holds another key"),
        ("raw", ("--to", "csv"), 65, "none of the 3 shoppers is in the files below"),
        ("column", ("--to", "csv"), 65, "column user is missing"),
        ("file", ("--to", "csv"), 75, "cannot write to"),
        ("", ("--date", "2026-01-01", "--to", "csv"), 65, "no recommendations for 2026-01-01"),
        ("none", (), 65, "exports.profiles names no tool; say --to TOOL"),
        ("wrong", (), 65, "exports.profiles must be some of braze, klaviyo"),
        ("within", ("--to", "csv"), 65, "is within paths.lake"),
        ("", ("--check", "."), 65, "is no whole export"),
        (
            "",
            ("--to", "iterable"),
            65,
            "would refuse all 3 lists of 2026-03-01, 3 of them because key",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    config: Path,
    shop: Shop,
    capsys: pytest.CaptureFixture[str],
    break_it: str,
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    folder = config.parent
    if break_it == "key":
        (folder / "user_id.key").unlink()
    if break_it == "other key":
        (folder / "user_id.key").write_text("1" * 64)
    if break_it == "raw":
        shop.deliver(["zoe"])
    if break_it == "column":
        (folder / "raw/users_2026-03-01.csv").write_text("who,consent\nann,true\n")
    if break_it == "file":
        (folder / "exports").write_text("")
    if break_it in ("none", "wrong"):
        given = "[]" if break_it == "none" else '["brase"]'
        config.write_text(config.read_text().replace('["braze", "mailchimp"]', given))
    if break_it == "within":
        config.write_text(config.read_text().replace("raw =", 'exports = "lake/x"\nraw ='))
    found, out, err = run(capsys, *words)
    assert (found, out) == (code, "")
    told = [line for line in err.splitlines() if line.startswith("nightcart: ")]
    assert len(told) == 1
    assert says in told[0]
    assert not list((folder / "exports").glob("*/2026*"))
    assert "ann@shop.example" not in err


def test_pseudonyms_need_neither_the_key_nor_the_raw_files(
    config: Path, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {shop.user_id(own) for own in LISTS}
    (config.parent / "user_id.key").unlink()
    code, _, _ = run(capsys, "--to", "csv", "--ids", "pseudonym")
    assert code == 0
    part = shop.root / "csv/2026-03-01/part-00001.csv"
    assert {key for key, _ in read(part, _profile("csv"))} == wanted


def test_the_job_writes_for_each_tool_and_accounts_for_every_list(config: Path, shop: Shop) -> None:
    shop.consent({"ann@shop.example": False}, NIGHT.replace(day=2))
    assert export_lists.main(["--date", "2026-03-01", "--run-id", "x1"]) == 0
    lines = {line.dataset: line for line in read_ledger(shop.lake, Run(NIGHT, "x1"))}
    braze = lines["recommendations_to_braze"]
    assert (braze.rows_in, braze.rows_out) == (3, 2)
    assert braze.removed == {"consent_withdrawn": 1}
    mailchimp = lines["recommendations_to_mailchimp"]
    assert mailchimp.removed == {"consent_withdrawn": 1, "left_out": 1}
    record = json.loads((shop.lake.records(Run(NIGHT, "x1")) / "export_lists.json").read_text())
    assert record["report"]["braze"]["exported"] == 2
    for path in shop.lake.root.rglob("*"):
        assert not path.is_file() or b"@shop.example" not in path.read_bytes(), path


def test_a_tool_that_fails_does_not_keep_the_others(config: Path, shop: Shop) -> None:
    shop.root.mkdir()
    (shop.root / "braze").write_text("in the way")
    assert export_lists.main(["--date", "2026-03-01", "--run-id", "x1"]) == 75
    assert (shop.root / "mailchimp/2026-03-01/part-00001.json").exists()
    record = json.loads((shop.lake.records(Run(NIGHT, "x1")) / "export_lists.json").read_text())
    assert record["status"] == "failed"
    assert "cannot write to" in record["error"]
    assert [line.dataset for line in read_ledger(shop.lake, Run(NIGHT, "x1"))] == [
        "recommendations_to_mailchimp"
    ]
    # The retry exports to who failed, and accounts for both.
    (shop.root / "braze").unlink()
    assert export_lists.main(["--date", "2026-03-01", "--run-id", "x1"]) == 0
    assert (shop.root / "braze/2026-03-01/part-00001.parquet").exists()
    assert not (shop.root / "mailchimp/2026-03-01.2").exists()
    assert [line.dataset for line in read_ledger(shop.lake, Run(NIGHT, "x1"))] == [
        "recommendations_to_braze",
        "recommendations_to_mailchimp",
    ]
    assert export_lists.main(["--date", "2026-03-01", "--run-id", "x2"]) == 0
    assert (shop.root / "mailchimp/2026-03-01.2").exists()
