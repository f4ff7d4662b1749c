"""Single-bit flips over a published lake, and what else `nightcart verify` finds. No Spark."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from jobs.cli.main import main
from pipeline import intact
from pipeline.errors import DATA_ERROR, DamagedError
from pipeline.lake import Lake
from pipeline.publishing.query import run_query
from pipeline.publishing.views import view_statements
from pipeline.settings import Settings
from pipeline.verification import Verified, verify_lake
from tests.lake_rows import write_rows
from tests.publishing.conftest import NIGHT, Night

FLIPS = 400
DATASETS = ("recommendations", "generated", "histories", "catalogue", "cleaned_users")


@pytest.fixture
def night(lake: Lake, settings: Settings) -> Night:
    """A night that is published."""
    two = dataclasses.replace(settings.generation, k=2)
    made = Night(lake, dataclasses.replace(settings, generation=two))
    made.generate()
    event = {"user_id": made.users[0]["user_id"], "event_id": "e", "event_date": NIGHT}
    write_rows(lake, "cleaned_events", made.run, [event])
    made.publish()
    return made


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def carriers(lake: Lake) -> list[Path]:
    """Files whose content anybody relies on."""
    return sorted(
        path
        for path in lake.root.rglob("*")
        if path.is_file()
        and path.stat().st_size
        and path.relative_to(lake.root).parts[0] not in {"work", "runs", "ledger"}
    )


def test_a_good_lake_has_no_fault(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify_lake(night.lake)
    assert (found.faults, found.notes) == ([], [])
    assert found.files == 8
    assert found.directories == 6
    assert found.pointers == 6 + 1 + 1, "of dates, the latest, the views"
    assert verify_lake(night.lake, NIGHT).files == found.files


def test_no_flipped_bit_is_silent(night: Night) -> None:
    lake, chosen = night.lake, random.Random(20260301)
    files = carriers(lake)
    assert {path.name for path in files} >= {"manifest.json", "current.json", "views.sql"}
    silent = []
    for _ in range(FLIPS):
        path = chosen.choice(files)
        bit = chosen.randrange(path.stat().st_size * 8)
        flip(path, bit)
        found = verify_lake(lake)
        named = [*found.faults, *found.notes]
        if not any(str(path) in line or str(path.parent) in line for line in named):
            silent.append(f"{path} bit {bit}: {named}")
        flip(path, bit)
    assert silent == []
    assert verify_lake(lake) == dataclasses.replace(verify_lake(lake), faults=[], notes=[])


def test_a_flip_in_a_data_file_is_named_with_what_heals_it(night: Night) -> None:
    for dataset in DATASETS:
        file = night.lake.require(dataset, NIGHT).paths[0]
        flip(file, 400)
        (fault, *_) = [line for line in verify_lake(night.lake).faults if str(file) in line]
        assert fault.startswith(f"{dataset} of 2026-03-01")
        assert "nightcart redo --date 2026-03-01 --from " in fault
        with pytest.raises(DamagedError, match="redo"):
            night.lake.require(dataset, NIGHT)
        flip(file, 400)
        assert verify_lake(night.lake).faults == [], "what is good again is not held to be damaged"


@pytest.mark.parametrize("dataset", ["generated", "histories", "catalogue", "cleaned_users"])
def test_publish_refuses_a_flip_in_anything_that_it_reads(night: Night, dataset: str) -> None:
    file = night.lake.require(dataset, NIGHT).paths[0]
    seen = night.lake.require("recommendations", NIGHT)
    flip(file, file.stat().st_size * 4)
    intact.forget_checked()  # another process reads it
    with pytest.raises(DamagedError) as raised:
        night.publish()
    assert f"{dataset} of 2026-03-01" in str(raised.value)
    assert str(file) in str(raised.value)
    assert raised.value.exit_code == DATA_ERROR
    assert night.lake.require("cleaned_events", NIGHT), "only what is damaged is"
    if dataset != "generated":  # whose files are those that are published
        assert night.lake.require("recommendations", NIGHT) == seen


@pytest.mark.parametrize(
    ("view", "dataset"),
    [
        ("recommendations_latest", "recommendations"),
        ("Recommendations_Wide", "recommendations"),
        ("histories_latest", "histories"),
        ("catalogue_latest", "catalogue"),
        ("events", "cleaned_events"),
    ],
)
def test_a_query_refuses_a_flip_in_what_it_names(night: Night, view: str, dataset: str) -> None:
    file = night.lake.require(dataset, NIGHT).paths[0]
    assert list(run_query(night.lake, "SELECT 1").rows)
    flip(file, file.stat().st_size * 4)
    intact.forget_checked()
    with pytest.raises(DamagedError, match=f"{dataset} of 2026-03-01"):
        run_query(night.lake, f"SELECT count(*) FROM {view}")


def test_what_was_made_again_beside_is_a_note(night: Night) -> None:
    file = night.lake.require("cleaned_events", NIGHT).paths[0]
    flip(file, 400)
    assert len(verify_lake(night.lake).faults) == 1
    write_rows(night.lake, "cleaned_events", night.run, [])
    found = verify_lake(night.lake)
    assert found.faults == []
    assert found.notes == [f"{file.parent} is damaged, and nothing names it any more"]


def test_missing_and_stray_files_and_pointers(night: Night) -> None:
    lake = night.lake
    histories, catalogue = (lake.require(name, NIGHT) for name in ("histories", "catalogue"))
    (histories.path / "part-99999.parquet").write_bytes(b"?")
    catalogue.paths[0].unlink()
    (lake.dataset("recommendations") / "latest.json").write_text("{}")
    lake.begin("metrics", night.run)
    found = verify_lake(lake)
    stray, missing, pointer = sorted(found.faults, key=len)
    assert "part-99999.parquet is stray" in stray or "part-99999.parquet is stray" in missing
    assert any(f"{catalogue.paths[0]} is not there" in line for line in found.faults)
    assert any("latest.json" in line or "recommendations: " in line for line in found.faults), (
        pointer
    )
    assert [line for line in found.notes if "metrics" in line and "never closed" in line]


def test_the_command(night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(f'[paths]\nlake = "{night.lake.root}"\n')
    assert main(["verify", "--config", str(config)]) == 0
    assert "8 files" in capsys.readouterr().out
    file = night.lake.require("histories", NIGHT).paths[0]
    flip(file, 400)
    assert main(["verify", "--date", "2026-03-01", "--config", str(config)]) == DATA_ERROR
    said = capsys.readouterr().out
    assert f"FAULT: histories of 2026-03-01 in {night.lake.root} counts as not made" in said
    assert "1 fault" in said
    assert main(["verify", "--date", "2026-03-02", "--config", str(config)]) == 0


def test_what_older_versions_wrote_is_read_and_noted(night: Night) -> None:
    import json

    path = night.lake.require("histories", NIGHT).path / "manifest.json"
    said = json.loads(path.read_text())
    del said["seal"]
    path.write_text(json.dumps(said))
    assert night.lake.require("histories", NIGHT).rows == len(night.histories)
    found: Verified = verify_lake(night.lake)
    assert (found.faults, len(found.notes)) == ([], 1)
    assert view_statements(night.lake)
