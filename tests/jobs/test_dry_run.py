"""A dry run says what a night would do, counts what is cheap to count, and writes nothing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from jobs.cli.main import main
from pipeline.encryption.keyring import use
from pipeline.encryption.parquet_files import read_table, write_table
from pipeline.lake import Lake, Run
from pipeline.settings import load_settings
from tests.lake_rows import user_id_of, write_again, write_rows

NIGHT = dt.date(2026, 3, 3)
SOURCE = """\
source: corner_shop
description: A small shop.
datasets:
  events:
    files: "events/{date}.csv"
    format: csv
    columns: [time, who, what, kind]
    map: {event_time: time, user_id: who, item_id: what, event_type: kind}
  items:
    files: "items/{date}.csv"
    format: csv
    required: false
    columns: [what, name]
    map: {item_id: what, title: name}
  users:
    same_files_as: events
    map: {user_id: who, consent: "true"}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(SOURCE)
    (tmp_path / "nightcart.toml").write_text(
        '[shop]\nsource = "shop.yaml"\n[paths]\nraw = "raw"\nlake = "lake"\n'
    )
    for folder in ("events", "items"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
    for day in (1, 2, 3):
        lines = ["time,who,what,kind", *[f"2026-03-0{day} 10:00:00,u{n},i1,view" for n in range(9)]]
        (tmp_path / f"raw/events/2026-03-0{day}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_would_be_cleaned_from_when_and_nothing_is_written(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(shop)
    assert main(["run", "--date", str(NIGHT), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert everything(shop) == before
    assert "3 days from 2026-03-01 on" in said
    assert "events        3 files" in said
    assert "about 30 rows" in said
    assert "an estimate by size" in said
    assert "wait_for_raw, clean" in said


def test_days_in_the_lake_are_not_cleaned_again_and_consent_may_come_tonight(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = Lake(shop / "lake")
    for day in (1, 2):
        run = Run(NIGHT.replace(day=day), "r")
        user = {"user_id": user_id_of("ann"), "consent": False, "source": "test"}
        write_rows(lake, "cleaned_users", run, [user])
        for name in ("cleaned_events", "cleaned_items"):
            write_rows(lake, name, run, [])
    assert main(["run", "--date", str(NIGHT), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "2026-03-03 alone" in said
    assert "consent       so far nobody may be written to" in said
    # The night's own day is cleaned too: nothing that comes changes it.
    for name in ("cleaned_users", "cleaned_events", "cleaned_items"):
        write_rows(lake, name, Run(NIGHT, "r"), [user] if name == "cleaned_users" else [])
    assert main(["run", "--date", str(NIGHT), "--dry-run"]) == 65
    assert "FAULT         nobody may be written to" in capsys.readouterr().out


def test_a_base_model_that_is_not_there_is_a_fault(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = shop / "nightcart.toml"
    settings.write_text(settings.read_text() + '[model]\nbase_model = "./gone"\n')
    assert main(["run", "--date", str(NIGHT), "--dry-run"]) == 65
    said = capsys.readouterr().out
    assert "FAULT         model.base_model" in said
    assert "gone': there is no such directory" in said
    assert main(["run", "--date", str(NIGHT)]) != 0
    assert "there is no such directory" in capsys.readouterr().err


def test_consent_is_read_from_an_encrypted_lake(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `build_histories` reads it; without the key it is a fault."""
    with (shop / "nightcart.toml").open("a") as file:
        file.write('[encryption]\nenabled = true\nkey_file = "lake.key"\n')
    use(load_settings(shop / "nightcart.toml", {})).prepare()
    lake, day = Lake(shop / "lake"), NIGHT.replace(day=2)
    user = {"user_id": user_id_of("ann"), "consent": True, "source": "test"}
    write_rows(lake, "cleaned_users", Run(day, "r"), [user])
    write_again(lake, "cleaned_users", day, lambda file, to: write_table(read_table(file), to))
    use(load_settings(None, {}))
    assert main(["run", "--date", str(NIGHT), "--dry-run"]) == 0
    assert "there are users who agree" in capsys.readouterr().out
    (shop / "lake.key").unlink()
    assert main(["run", "--date", str(NIGHT), "--dry-run"]) == 65
    (fault,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT"))
    assert "lake.key is not there" in fault
    assert "Bring the key file back" in fault


def test_what_is_missing_is_a_fault(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "raw/events/2026-03-03.csv").unlink()
    (shop / "shop.yaml").write_text(SOURCE[: SOURCE.index("  users:")])
    assert main(["run", "--date", str(NIGHT), "--dry-run"]) == 65
    said = capsys.readouterr().out
    assert "events/2026-03-03.csv" in said
    assert "users is not among datasets" in said
