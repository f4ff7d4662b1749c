"""Deliveries and disks that spoil a night: one clear message, nothing published, yesterday stays.

Yesterday's night of a small simulated shop is published; each case copies the shop, spoils today's
delivery or the lake, and runs today's stages until one refuses.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from jobs import publish
from jobs.cli.main import main as nightcart
from pipeline.datasets import LEDGER
from pipeline.errors import DATA_ERROR, TRANSIENT_ERROR
from pipeline.lake import Lake, Run
from pipeline.ledger import read_ledger
from pipeline.model.champion import champion_of
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.publishing.query import run_query
from pipeline.simulator.shop import simulate_shop
from pipeline.stages import RAW, STAGES
from tests.lake_spy import Seen
from tests.night_runner import SMALL_NIGHT, NightRunner, StageRunner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).resolve().parents[2]
START = dt.date(2026, 2, 20)
DAYS = 10
TODAY = START + dt.timedelta(days=DAYS - 1)
YESTERDAY = TODAY - dt.timedelta(days=1)
TONIGHT = Run(TODAY, "tonight")
LURKER = "lurker-1"  # in today's users.csv and nowhere else

CONFIG = (
    """\
[shop]
name = "small shop"
[paths]
raw = "raw"
lake = "lake"
[privacy]
key_file = "user_id.key"
"""
    + SMALL_NIGHT
)


@dataclass(frozen=True)
class Shop:
    """A folder with settings, deliveries and a lake."""

    home: Path
    seen: dict[str, Seen] = field(default_factory=dict)  # by the stages of yesterday

    @property
    def config(self) -> Path:
        return self.home / "nightcart.toml"

    @property
    def lake(self) -> Lake:
        return Lake(self.home / "lake")

    @property
    def delivery(self) -> Path:
        """Today's."""
        return self.home / "raw" / f"date={TODAY}"

    def copy(self, home: Path) -> Shop:
        shutil.copytree(self.home, home)
        return Shop(home)

    def yesterdays_rows(self) -> list[tuple[Any, ...]]:
        """What a reader of the latest lists is given."""
        sql = "SELECT run_date, user_id, rank, item_id FROM recommendations_latest ORDER BY ALL"
        return list(run_query(self.lake, sql).rows)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, run_night: NightRunner) -> Shop:
    """Ten days are delivered, and the night of the ninth is published."""
    shop = Shop(tmp_path_factory.mktemp("bad_nights") / "yesterday")
    shop.home.mkdir()
    simulate_shop(
        shop.home / "raw", users=80, items=25, days=DAYS, seed=7, start_date=START, dirt=0.0
    )
    shop.config.write_text(CONFIG)
    return dataclasses.replace(shop, seen=run_night(shop.config, YESTERDAY, "first"))


@pytest.fixture(scope="module")
def generated(
    tmp_path_factory: pytest.TempPathFactory, published: Shop, run_stages: StageRunner
) -> Shop:
    """Today has come as far as the checked lists; one of its shoppers has done nothing yet."""
    shop = published.copy(tmp_path_factory.mktemp("generated") / "today")
    with (shop.delivery / "users.csv").open("a", encoding="utf-8") as file:
        file.write(f"{LURKER},true,en,DE\n")
    ending = run_stages(shop.config, TODAY, TONIGHT.run_id, last="validate_generated")
    assert ending == ("validate_generated", 0)
    return shop


def _write(name: str, content: bytes) -> Callable[[Shop], object]:
    return lambda shop: (shop.delivery / name).write_bytes(content)


def _each_item(change: Callable[[int, list[str]], list[str]]) -> Callable[[Shop], object]:
    """Change every row of today's items.csv; row 0 is the header."""

    def spoil(shop: Shop) -> None:
        path = shop.delivery / "items.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(change(n, fields) for n, fields in enumerate(rows))

    return spoil


def _not_one_can_be_sold(n: int, fields: list[str]) -> list[str]:
    return [*fields[:STOCK], "0", "false"] if n else fields


def _every_third_line_cut_off(shop: Shop) -> None:
    path = shop.delivery / "events.jsonl"
    lines = path.read_text("utf-8").splitlines()
    cut = [line if n % 3 else line[:40] for n, line in enumerate(lines)]
    path.write_text("\n".join(cut) + "\n", "utf-8")


def _parquet_events(shop: Shop) -> None:
    pq.write_table(pa.table({"user": ["u1", "u2"]}), shop.delivery / "events.jsonl")


def _block(path: str) -> Callable[[Shop], object]:
    """A file where a directory should be: refuses root as well, whom a missing permission lets."""
    return lambda shop: (
        (shop.lake.root / path).parent.mkdir(parents=True, exist_ok=True),
        (shop.lake.root / path).write_text("in the way"),
    )


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(range(256)) * 4
HTML = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
PRICE, STOCK = 4, 5  # columns of items.csv
ITEMS_HEADER = b"sku,title,brand,category,price,stock,listed\n"
EVENTS, ITEMS = f"date={TODAY}/events.jsonl", f"date={TODAY}/items.csv"

# case: what is done to today; the stage that refuses; its exit code; what its message names
CASES: dict[str, tuple[Callable[[Shop], object], str, int, tuple[str, ...]]] = {
    "a missing file": (
        lambda shop: (shop.delivery / "events.jsonl").unlink(),
        "wait_for_raw",
        DATA_ERROR,
        (EVENTS, "deliver what is missing"),
    ),
    "a missing day": (
        lambda shop: shutil.rmtree(shop.delivery),
        "wait_for_raw",
        DATA_ERROR,
        (EVENTS, ITEMS),
    ),
    "an empty day": (_write("events.jsonl", b"\n"), "clean", DATA_ERROR, (EVENTS, "no row")),
    "a picture": (_write("items.csv", PNG), "clean", DATA_ERROR, (ITEMS, "PNG", "csv")),
    "an error page": (_write("events.jsonl", HTML), "clean", DATA_ERROR, (EVENTS, "HTML", "jsonl")),
    "Parquet": (_parquet_events, "clean", DATA_ERROR, (EVENTS, "Parquet", "jsonl")),
    "lines cut off": (
        _every_third_line_cut_off,
        "clean",
        DATA_ERROR,
        (EVENTS, "lines cannot be read as jsonl"),
    ),
    "a column missing": (
        _each_item(lambda n, fields: fields[:PRICE] + fields[PRICE + 1 :]),
        "clean",
        DATA_ERROR,
        (ITEMS, "column price is missing"),
    ),
    "a column extra": (
        _each_item(lambda n, fields: [*fields, "red" if n else "colour"]),
        "clean",
        DATA_ERROR,
        (ITEMS, "column 'colour' is not expected"),
    ),
    "a zero-row catalogue": (
        _write("items.csv", ITEMS_HEADER),
        "clean",
        DATA_ERROR,
        (ITEMS, "no row"),
    ),
    "a catalogue of what is sold out": (
        _each_item(_not_one_can_be_sold),
        "build_histories",
        DATA_ERROR,
        (f"catalogue of {TODAY}", "not one sellable item of 25"),
    ),
    "a lake that refuses the run's records": (
        _block(f"runs/run_date={TODAY}"),
        "wait_for_raw",
        TRANSIENT_ERROR,
        (f"runs/run_date={TODAY}",),
    ),
    "a lake that refuses a dataset": (
        _block(f"cleaned_events/run_date={TODAY}"),
        "clean",
        TRANSIENT_ERROR,
        (f"cleaned_events/run_date={TODAY}", "run the same date again"),
    ),
}


# Of what the table of stages names, what this night has no need of.
UNUSED = {
    "fine_tune": {"recommendations"},  # there was enough to train on
    "generate": {"recommendations"},  # generation.no_repeat_nights is 0, and there was time
    "report": {"generated"},  # its lists were published
}
# The shop is clean, nothing came late, and nobody withdrew between target and publish.
UNWRITTEN = {"clean": {"removed_events", "retractions"}, "publish": {"triggers"}}


def test_the_night_that_is_spoilt_below_looks_at_all_that_the_table_of_stages_names(
    published: Shop,
) -> None:
    # So small a model beats the baselines on one machine and not on another.
    champion = champion_of(published.lake, YESTERDAY)
    assert champion is not None
    for stage in STAGES:
        seen, named = published.seen[stage.name], {*stage.reads, *stage.reads_before}
        unused = UNUSED.get(stage.name, set()) | (
            {"models"} if stage.name == "generate" and not champion.promoted else set()
        )
        assert named - seen.touched - {RAW} == unused, stage.name
        committed = set(stage.writes) - {LEDGER}
        assert committed - seen.begun == UNWRITTEN.get(stage.name, set()), stage.name


@pytest.mark.parametrize("case", CASES)
def test_a_bad_night_ends_with_one_message_and_leaves_yesterday_readable(
    published: Shop,
    tmp_path: Path,
    run_stages: StageRunner,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    spoil, stage, code, names = CASES[case]
    shop = published.copy(tmp_path / "shop")
    spoil(shop)
    capsys.readouterr()
    assert run_stages(shop.config, TODAY, TONIGHT.run_id) == (stage, code)
    assert_one_message(capsys.readouterr().err, stage, names)
    assert_yesterday_is_what_readers_see(shop, published)


# The operating system refuses root room by this limit, too, without a file system of one's own:
# EFBIG instead of ENOSPC, on the same write.
_PUBLISH_WITH_LITTLE_ROOM = """
import resource, signal, sys
from jobs.publish import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
raise SystemExit(main(sys.argv[1:]))
"""


def test_a_full_disk_while_publishing(generated: Shop, published: Shop, tmp_path: Path) -> None:
    shop = generated.copy(tmp_path / "shop")
    arguments = ["--config", str(shop.config), "--date", str(TODAY), "--run-id", TONIGHT.run_id]
    done = subprocess.run(
        [sys.executable, "-c", _PUBLISH_WITH_LITTLE_ROOM, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == TRANSIENT_ERROR, done.stderr
    assert_one_message(done.stderr, "publish", ("File too large", str(shop.lake.root)))
    assert_yesterday_is_what_readers_see(shop, published)


def test_a_lake_that_refuses_what_is_published(
    generated: Shop,
    published: Shop,
    tmp_path: Path,
    run_stages: StageRunner,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = generated.copy(tmp_path / "shop")
    blocker = shop.lake.date_directory("recommendations", TODAY)
    blocker.write_text("in the way")
    arguments = ["--config", str(shop.config), "--date", str(TODAY), "--run-id", TONIGHT.run_id]
    assert publish.main(arguments) == TRANSIENT_ERROR
    assert_one_message(
        capsys.readouterr().err, "publish", (str(blocker), "run the same date again")
    )
    assert_yesterday_is_what_readers_see(shop, published)


def test_a_user_with_no_events_is_counted_not_published_and_explained(
    generated: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = generated.copy(tmp_path / "shop")
    arguments = ["--config", str(shop.config), "--date", str(TODAY), "--run-id", TONIGHT.run_id]
    assert publish.main(arguments) == 0
    lake = shop.lake
    shoppers = _user_ids(lake, "cleaned_users", *lake.dates("cleaned_users"))
    with_a_past = _user_ids(lake, "histories", TODAY)
    readers = _user_ids(lake, "recommendations", TODAY)
    lurker = pseudonym(LURKER, read_or_make_key(shop.home / "user_id.key"))
    assert lurker in shoppers - with_a_past
    assert readers
    assert readers <= with_a_past
    [line] = [
        line
        for line in read_ledger(lake, TONIGHT)
        if (line.stage, line.dataset) == ("build_histories", "user_attributes")
    ]
    assert line.removed["without_item_events"] == len(shoppers - with_a_past)
    assert line.unaccounted == 0

    capsys.readouterr()
    assert nightcart(["show", LURKER, "--config", str(shop.config)]) == DATA_ERROR
    said = capsys.readouterr().err
    assert f"no shopper '{LURKER}' in the histories of {TODAY}" in said
    assert (
        "without a view, wish, cart, purchase, return or review up to that night has no page"
        in said
    )
    assert "Traceback" not in said


def assert_one_message(said: str, stage: str, names: tuple[str, ...]) -> None:
    """One line says that the stage failed, and names what is at fault."""
    refusals = [line for line in said.splitlines() if " failed: " in line]
    assert len(refusals) == 1, said
    assert refusals[0].startswith(f"{stage} {TODAY} failed: ")
    for name in names:
        assert name in refusals[0]
    assert "Traceback" not in said


def assert_yesterday_is_what_readers_see(shop: Shop, published: Shop) -> None:
    """Nothing of today is there to be read, and every row of yesterday is."""
    assert shop.lake.dates("recommendations") == [YESTERDAY]
    latest = shop.lake.latest("recommendations")
    assert latest is not None
    assert latest.run_date == YESTERDAY
    rows = shop.yesterdays_rows()
    assert {row[0] for row in rows} == {YESTERDAY}
    assert rows == published.yesterdays_rows()


def _user_ids(lake: Lake, name: str, *dates: dt.date) -> set[str]:
    files = [str(file) for date in dates for file in lake.require(name, date).files]
    return set(ds.dataset(files).to_table(columns=["user_id"])["user_id"].to_pylist())
