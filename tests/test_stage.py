"""What every job does around its work."""

from __future__ import annotations

import argparse
import errno
import json
from pathlib import Path

import pytest

from pipeline.errors import GateError, StorageError
from pipeline.stage import Report, Stage, run_stage, stage_parser


def start(tmp_path: Path, work: object, *extra: str) -> tuple[int, dict[str, object]]:
    config = tmp_path / "shop.toml"
    config.write_text("[paths]\nlake = 'lake'\n")
    arguments = ["--date", "2026-03-01", "--config", str(config), "--run-id", "try:1", *extra]
    code = run_stage("clean", stage_parser("clean", None), work, arguments)  # type: ignore[arg-type]
    path = tmp_path / "lake/runs/run_date=2026-03-01/run_id=try-1/clean.json"
    return code, json.loads(path.read_text()) if path.exists() else {}


def failing(error: Exception) -> object:
    def work(stage: Stage, arguments: argparse.Namespace) -> Report:
        raise error

    return work


def test_a_stage_that_works_leaves_its_report(tmp_path: Path) -> None:
    def work(stage: Stage, arguments: argparse.Namespace) -> Report:
        assert json.loads(stage.record_path.read_text())["status"] == "running"
        return {"rows": 3}

    code, record = start(tmp_path, work)
    assert (code, record["status"], record["report"]) == (0, "done", {"rows": 3})
    assert str(record["ended"]) >= str(record["started"])


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (GateError("too few rows"), 65, "too few rows"),
        (StorageError("no room"), 75, "no room"),
        (OSError(errno.ENOSPC, "No space left on device", "x.parquet"), 75, "No space"),
        (KeyError("surprise"), 1, "KeyError: '…'"),
    ],
)
def test_a_failure_has_one_line_a_code_and_a_record(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    text: str,
) -> None:
    outcome, record = start(tmp_path, failing(error))
    assert (outcome, record["status"]) == (code, "failed")
    assert text in str(record["error"])
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("clean 2026-03-01 failed: ")
    assert text in last


def test_broken_settings_fail_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "shop.toml"
    config.write_text("[pathz]\nlake = 'lake'\n")
    code = run_stage(
        "clean",
        stage_parser("clean", None),
        failing(AssertionError("not reached")),  # type: ignore[arg-type]
        ["--date", "2026-03-01", "--config", str(config)],
    )
    assert code == 65
    assert "unknown setting 'pathz.lake'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["shop.toml"]


def test_an_unwritable_lake_is_one_line_that_names_it_and_may_be_retried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lake").write_text("a file where the lake should be")
    code, record = start(tmp_path, failing(AssertionError("not reached")))
    assert (code, record) == (75, {})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"clean 2026-03-01 failed: cannot write the run record {tmp_path}/lake/")
    assert "Not a directory" in line
    assert "make room or give permission, then run the same date again" in line


def test_a_job_chooses_its_settings_as_the_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NIGHTCART_CONFIG", raising=False)
    (tmp_path / "nightcart.toml").write_text("[shop]\nname = 'by folder'\n")
    for name in ("by variable", "by argument"):
        (tmp_path / f"{name}.toml").write_text(f"[shop]\nname = '{name}'\n")

    def shop_of(*arguments: str) -> str:
        seen = []

        def work(stage: Stage, arguments: argparse.Namespace) -> Report:
            seen.append(stage.settings.shop.name)
            return {}

        monkeypatch.setenv("NIGHTCART_PATHS__LAKE", str(tmp_path / "lake"))
        parser = stage_parser("clean", None)
        assert run_stage("clean", parser, work, ["--date", "2026-03-01", *arguments]) == 0
        return str(seen[0])

    assert shop_of() == "by folder"
    monkeypatch.setenv("NIGHTCART_CONFIG", str(tmp_path / "by variable.toml"))
    assert shop_of() == "by variable"
    assert shop_of("--config", str(tmp_path / "by argument.toml")) == "by argument"


def test_a_date_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run_stage("clean", stage_parser("clean", None), failing(KeyError()), ["--date", "2026-3"])  # type: ignore[arg-type]
    assert stop.value.code == 2
    assert "'2026-3' is not a date like 2026-03-01" in capsys.readouterr().err
