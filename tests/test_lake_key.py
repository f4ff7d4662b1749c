"""A lake and its key: one key for good, and none made anew where users are known."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.lake import Lake, Run
from pipeline.lake_key import KEY_FILE, key_of_lake, lake_fingerprint
from pipeline.pseudonym import key_fingerprint
from tests.lake_rows import write_rows

RUN = Run(dt.date(2026, 3, 1), "r")


def another(path: Path) -> Path:
    path.write_text("ef" * 32)
    path.chmod(0o600)
    return path


def test_the_first_night_makes_the_key_and_notes_its_fingerprint(
    lake: Lake, tmp_path: Path
) -> None:
    key = key_of_lake(lake, tmp_path / "key")
    assert lake_fingerprint(lake) == key_fingerprint(key)
    assert key_of_lake(lake, tmp_path / "key") == key
    noted = (lake.root / KEY_FILE).read_text()
    assert key.decode() not in noted


def test_a_key_that_is_gone_is_not_made_anew(lake: Lake, tmp_path: Path) -> None:
    key_of_lake(lake, tmp_path / "key")
    (tmp_path / "key").rename(tmp_path / "moved")
    with pytest.raises(SettingsError, match=r"key is not there.*backup"):
        key_of_lake(lake, tmp_path / "key")
    assert not (tmp_path / "key").exists()
    key_of_lake(lake, tmp_path / "moved")


def test_another_key_is_refused(lake: Lake, tmp_path: Path) -> None:
    key_of_lake(lake, tmp_path / "key")
    with pytest.raises(SettingsError, match="holds another key"):
        key_of_lake(lake, another(tmp_path / "other"))


def test_a_lake_from_before_fingerprints_gets_one_and_no_new_key(
    lake: Lake, tmp_path: Path
) -> None:
    write_rows(lake, "cleaned_users", RUN, [])
    with pytest.raises(SettingsError, match="is not there"):
        key_of_lake(lake, tmp_path / "key")
    key_of_lake(lake, another(tmp_path / "key"))
    assert lake_fingerprint(lake) is not None


def test_a_damaged_fingerprint_is_no_leave_to_take_any_key(lake: Lake, tmp_path: Path) -> None:
    key_of_lake(lake, tmp_path / "key")
    (lake.root / KEY_FILE).write_text("{")
    with pytest.raises(SettingsError, match="does not say which key"):
        key_of_lake(lake, tmp_path / "key")
