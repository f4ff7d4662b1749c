"""A night of an encrypted lake: its files say nothing to others, and every reader still reads."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.cli.main import main as nightcart
from pipeline.encryption import keyring
from pipeline.encryption.parquet_files import is_encrypted, read_table
from pipeline.errors import DATA_ERROR
from pipeline.lake import Lake
from pipeline.settings import load_settings
from pipeline.simulator.shop import simulate_shop
from tests.night_runner import SMALL_NIGHT, NightRunner, StageRunner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TODAY = dt.date(2026, 2, 27)
CONFIG = (
    """\
[paths]
raw = "raw"
lake = "lake"
exports = "exports"
[privacy]
key_file = "user_id.key"
[encryption]
enabled = true
key_file = "lake.key"
"""
    + SMALL_NIGHT
)


@dataclass(frozen=True)
class Home:
    """A shop whose night of today is published."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "nightcart.toml"

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake")

    def tables(self) -> dict[Path, str]:
        """Every Parquet file of the lake, and whose it is."""
        found = sorted(self.lake.root.rglob("*.parquet"))
        return {path: path.relative_to(self.lake.root).parts[0] for path in found}

    def users(self) -> list[str]:
        keyring.use(load_settings(self.config, os.environ))
        files = self.lake.require("histories", TODAY).files
        return [user for file in files for user in read_table(file)["user_id"].to_pylist()]

    def copy(self, root: Path) -> Home:
        shutil.copytree(self.root, root)
        return Home(root)


@pytest.fixture(scope="module")
def night(
    tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, run_night: NightRunner
) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("encrypted") / "shop")
    simulate_shop(
        home.root / "raw", seed=5, users=40, items=30, start_date=TODAY - dt.timedelta(7), days=8
    )
    home.config.write_text(CONFIG)
    run_night(home.config, TODAY, "first")
    yield home
    spark.conf.set(keyring.SPARK_KEY, "")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """What a command answers."""
    capsys.readouterr()
    code = nightcart([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_no_byte_of_an_encrypted_file_is_a_pseudonym_or_an_item(night: Home) -> None:
    """Nor the name of a column: every table but those that are said to stay plain."""
    users, tables = night.users(), night.tables()
    items = [
        item
        for file in night.lake.require("catalogue", TODAY).files
        for item in pq.ParquetFile(file).read()["item_id"].to_pylist()
    ]
    assert len(users) > 20
    assert len(items) > 20
    words = [word.encode() for word in (*users, *items, "user_id", "item_id")]
    hidden = {path for path in tables if is_encrypted(path)}
    for path, dataset in tables.items():
        assert (path in hidden) == (dataset not in keyring.PLAIN), path
        if path in hidden:
            content = path.read_bytes()
            assert content[-4:] == b"PARE"
            assert not [word for word in words if word in content], path
    assert {tables[path] for path in hidden} >= {
        *("cleaned_events", "cleaned_reviews", "cleaned_users", "quarantine", "acts"),
        *("histories", "user_attributes", "item_words", "generated"),
    }
    # Scratch of stages is gone, or as secret.
    assert not [path for path in (night.lake.root / "work").rglob("*") if path.suffix == ".parquet"]
    note = json.loads((night.lake.root / "encryption.json").read_text())
    assert len(note["keys"]) == 1


def test_marketings_engine_reads_what_is_published_without_a_key(night: Home) -> None:
    """And `views.sql` names nothing that it could not read."""
    with duckdb.connect() as connection:
        connection.execute((night.lake.root / "views.sql").read_text())
        views = {
            name
            for (name,) in connection.execute(
                "SELECT view_name FROM duckdb_views() WHERE NOT internal"
            ).fetchall()
        }
        for view in views:
            connection.execute(f"SELECT count(*) FROM {view}")
        found = connection.execute("SELECT count(*) FROM recommendations_latest").fetchone()
    assert found is not None
    assert found[0] > 20
    assert not views & {"events", "reviews", "histories_latest"}
    assert views >= {"recommendations", "recommendations_wide_latest", "catalogue_latest"}
    (file, *_) = night.lake.require("recommendations", TODAY).files
    assert pq.ParquetFile(file).metadata.num_rows > 0


def test_our_own_readers_have_the_key(night: Home, capsys: pytest.CaptureFixture[str]) -> None:
    config = ("--config", night.config)
    for view in ("events", "histories_latest", "recommendations"):
        sql = f"SELECT count(*) AS n FROM {view}"
        code, out, err = said(capsys, "query", sql, "--format", "csv", *config)
        assert code == 0, err
        assert int(out.split()[1]) > 0
    user = night.users()[0]
    code, out, err = said(capsys, "show", user, *config)
    assert code == 0, err
    assert user in out
    assert said(capsys, "verify", *config)[0] == 0
    code, _, err = said(capsys, "quarantine", "--samples", "1", *config)
    assert code == 0, err
    code, _, err = said(capsys, "export", "--to", "csv", *config)
    assert code == 0, err


def test_who_is_erased_is_in_no_encrypted_row(
    night: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = night.copy(tmp_path / "shop")
    keyring.use(load_settings(home.config, os.environ))
    raw = [
        json.loads(line)["user"]
        for line in (home.root / f"raw/date={TODAY}/events.jsonl").read_text().splitlines()
        if line.startswith("{") and line.endswith("}")
    ]
    gone = next(user for user in raw if user)
    before = set(home.users())
    code, out, err = said(capsys, "erase", gone, "--config", home.config, "--yes")
    assert code == 0, out + err
    (erased,) = before - set(home.users())
    for path, dataset in home.tables().items():
        assert is_encrypted(path) == (dataset not in keyring.PLAIN), path
        assert erased not in str(read_table(path).to_pylist()), path


def test_without_its_key_a_lake_is_refused_in_one_line(
    night: Home,
    tmp_path: Path,
    run_stages: StageRunner,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = night.copy(tmp_path / "shop")
    (home.root / "lake.key").unlink()
    code, _, err = said(capsys, "query", "FROM events", "--config", home.config)
    assert code == DATA_ERROR
    (line,) = err.strip().splitlines()
    assert f"{home.lake.root}/" in line  # the file, and with it the dataset
    assert f"encryption.key_file {home.root / 'lake.key'} is not there" in line
    stage, code = run_stages(home.config, TODAY, "second")
    assert (stage, code) == ("clean", DATA_ERROR)
    assert not (home.root / "lake.key").exists()
    record = json.loads(
        (home.lake.root / f"runs/run_date={TODAY}/run_id=second/clean.json").read_text()
    )
    assert "Bring the file back from a backup" in record["error"]
