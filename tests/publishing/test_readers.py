"""Nights that readers do not see are named, and one command puts the pointer back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from jobs.cli.main import main
from pipeline.errors import InputError
from pipeline.publishing.query import run_query
from pipeline.publishing.readers import point_readers, unseen_nights
from tests.publishing.conftest import NIGHT, Night

AHEAD = dt.date(2099, 12, 31)


def seen(night: Night) -> set[object]:
    result = run_query(night.lake, "SELECT DISTINCT run_date FROM recommendations_latest")
    return {row[0] for row in result.rows}


def made(night: Night, date: dt.date) -> None:
    other = night.on(date, "r0")
    other.generate()
    other.publish()


def test_a_night_far_ahead_is_named_and_left_by_one_command(
    night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert unseen_nights(night.lake, NIGHT) is None
    night.publish()
    assert unseen_nights(night.lake, NIGHT) is None
    made(night, AHEAD)
    found = unseen_nights(night.lake, NIGHT)
    assert found is not None
    assert (found.dates, found.should_see) == ((NIGHT,), NIGHT)
    assert str(AHEAD) in found.why
    config = tmp_path / "nightcart.toml"
    config.write_text(f'[paths]\nlake = "{night.lake.root}"\n')
    assert main(["status", "--config", str(config)]) == 0
    assert f"readers --to {NIGHT}" in capsys.readouterr().out.replace("\n", " ")
    assert main(["readers", "--to", str(NIGHT), "--config", str(config)]) == 0
    assert seen(night) == {NIGHT}
    assert unseen_nights(night.lake, NIGHT) is None
    next_day = NIGHT + dt.timedelta(days=1)
    made(night, next_day)  # real nights move readers on again
    assert seen(night) == {next_day}


def test_a_pointer_that_fell_behind_is_named(night: Night) -> None:
    night.publish()
    made(night, NIGHT + dt.timedelta(days=1))
    point_readers(night.lake, NIGHT)
    found = unseen_nights(night.lake, NIGHT + dt.timedelta(days=1))
    assert found is not None
    assert found.dates == (NIGHT + dt.timedelta(days=1),)


def test_a_date_without_lists_is_refused(night: Night) -> None:
    night.publish()
    with pytest.raises(InputError, match="no lists are published for 2020-01-01"):
        point_readers(night.lake, dt.date(2020, 1, 1))


def test_a_day_that_has_not_begun_is_refused_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightcart.toml").write_text('[paths]\nlake = "lake"\n')
    day = "2099-12-31"
    for command in (
        ["run", "--date", day],
        ["redo", "--date", day, "--in-process"],
        ["backfill", "--from", "2026-01-01", "--to", day, "--in-process"],
        ["readers", "--to", day],
    ):
        assert main(command) == 65
        assert f"{day} has not begun" in capsys.readouterr().err


def test_outside_a_shops_folder_run_says_which_shop_it_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--date", "2026-03-01"]) == 65
    said = capsys.readouterr().err
    assert "simulated shop" in said
    assert "--config FILE" in said
    assert not (tmp_path / ".nightcart").exists()
