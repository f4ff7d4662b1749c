"""`nightcart quarantine` on a lake written by hand."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from jobs.cli.main import main
from pipeline.cleaning.deliveries.releases import marked_days
from pipeline.lake import Lake, Run
from pipeline.sources.source_yaml import load_source
from tests.lake_rows import write_rows

DAYS = [dt.date(2026, 3, n) for n in (1, 2, 3)]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Three delivery days; the raw file of the first one is gone."""
    (tmp_path / "raw").mkdir()
    settings = '[paths]\nraw = "raw"\nlake = "lake"\n[shop]\nsource = "online_retail"\n'
    (tmp_path / "nightcart.toml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    lake = Lake(tmp_path / "lake")
    for number, day in enumerate(DAYS):
        rows = [
            {
                "dataset": "events",
                "source": "s",
                "file": f"{day}.csv",
                "reason": "item_unknown",
                "raw": json.dumps({"item": f"i{n}\x1b[31m"}),
                "rows": 1,
            }
            for n in range(number + 1)
        ]
        if day == DAYS[1]:
            corrupt = {"reason": "corrupt_file", "raw": "{}", "rows": 900}
            rows.append({**rows[0], **corrupt})
        write_rows(lake, "quarantine", Run(day, "r"), rows)
        write_rows(lake, "cleaned_events", Run(day, "r"), [], raw_files={f"{day}.csv": 9})
        if number:
            (tmp_path / "raw" / f"{day}.csv").write_text("x")
    return lake


def test_reasons_with_counts_and_rows(shop: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Most rows first; a corrupt file counts as its rows; nothing a row holds moves the cursor."""
    assert main(["quarantine", "--samples", "3"]) == 0
    said = capsys.readouterr().out
    table = [line.split() for line in said.splitlines()[1:3]]
    assert table == [
        ["events", "corrupt_file", "900", "1", "2026-03-02", "2026-03-02"],
        ["events", "item_unknown", "6", "3", "2026-03-01", "2026-03-03"],
    ]
    assert said.count("2026-03-03.csv: ") == 3
    assert "\x1b" not in said
    assert main(["quarantine", "--by-day", "--reason", "item_unknown", "--to", "2026-03-02"]) == 0
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines()[1:3]] == [
        ["events", "item_unknown", "1", "2026-03-01"],
        ["events", "item_unknown", "2", "2026-03-02"],
    ]
    assert main(["quarantine", "--json", "--from", "2026-03-03"]) == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["rows"], found["days"]) == (3, {"2026-03-03": 3})
    assert found["samples"][0]["file"] == "2026-03-03.csv"
    assert main(["quarantine", "--dataset", "users"]) == 0
    assert "No refused row" in capsys.readouterr().out


def test_a_release_marks_days_that_can_be_cleaned_again(
    shop: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run marks none; a day without its raw file is named; a wrong word is helped."""
    order = ["quarantine", "release", "--reason", "item_unknown"]
    assert main([*order, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "events: 5 rows refused for item_unknown, in 2 delivery days, 2026-03-02 to" in said
    assert "2026-03-01 stays as it is: its raw file 2026-03-01.csv is gone" in said
    assert not shop.dataset("releases").exists()
    assert main([*order, "--from", "2026-03-03"]) == 0
    assert "next night" in capsys.readouterr().out
    (made,) = shop.dataset("releases").iterdir()
    assert made.name == "run_date=2026-03-03.json"
    assert json.loads(made.read_text()) == {"events": {"reasons": ["item_unknown"], "cleaned": "r"}}
    assert main(["quarantine", "release", "--reason", "item_unknwon"]) == 65
    assert "did you mean 'item_unknown'" in capsys.readouterr().err
    assert main([*order, "--to", "2026-03-01"]) == 65
    assert "none of the 1 days can be cleaned again" in capsys.readouterr().err


def test_the_commit_of_the_cleaned_rows_spends_a_mark(shop: Lake, tmp_path: Path) -> None:
    """Not that of the quarantine, which comes first: a night may die between the two."""
    day, raw = DAYS[2], tmp_path / "raw"
    source = load_source("online_retail")
    assert main(["quarantine", "release", "--reason", "item_unknown", "--from", str(day)]) == 0
    assert marked_days(shop, raw, source, DAYS) == {day: {"events": ["item_unknown"]}}
    write_rows(shop, "quarantine", Run(day, "again"), [])
    assert [*marked_days(shop, raw, source, DAYS)] == [day]
    assert [*marked_days(shop, raw, source, DAYS[:2])] == []
    write_rows(shop, "cleaned_events", Run(day, "again"), [], raw_files={f"{day}.csv": 9})
    assert marked_days(shop, raw, source, DAYS) == {}
