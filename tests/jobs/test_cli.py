"""The `nightcart` command without a night: help, settings, status, contracts, errors."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.cli.main import command_parser
from pipeline.lake import Lake, Run, write_json
from pipeline.lake_key import key_of_lake
from pipeline.lineage import Lineage
from pipeline.pseudonym import key_fingerprint

REPOSITORY = Path(__file__).resolve().parents[2]
Nightcart = Callable[..., tuple[int, str, str]]

ENGINES = {"airflow", "pyspark", "torch", "transformers", "pandas", "numpy", "pyarrow", "rich"}
SUBCOMMANDS = (
    ("run",),
    ("demo",),
    ("simulate",),
    ("config", "show"),
    ("config", "check"),
    ("source", "check"),
    ("query",),
    ("show",),
    ("export",),
    ("status",),
    ("quarantine",),
    ("quarantine", "release"),
    ("contracts", "list"),
    ("contracts", "show"),
    ("contracts", "docs"),
)


def test_help_loads_no_engine() -> None:
    script = (
        "import sys\n"
        "from jobs.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]
    assert not ENGINES & set(json.loads(said.replace("'", '"')))


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_every_command_explains_itself(nightcart: Nightcart, command: tuple[str, ...]) -> None:
    code, out, _ = nightcart(*command, "--help")
    assert code == 0
    assert out.startswith(f"usage: nightcart {' '.join(command)}")


def test_no_line_of_a_table_in_a_help_is_too_long() -> None:
    def long_lines(parser: argparse.ArgumentParser) -> list[str]:
        lines = f"{parser.description or ''}\n{parser.epilog or ''}".splitlines()
        found = [line for line in lines if line.startswith("  ") and len(line) > 100]
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [line for one in action.choices.values() for line in long_lines(one)]
        return found

    assert long_lines(command_parser()) == []


def test_unknown_setting_is_one_line_that_names_file_key_and_the_nearest(
    nightcart: Nightcart, shop: Path
) -> None:
    (shop / "nightcart.toml").write_text("[generation]\nkk = 5\n")
    code, out, err = nightcart("status")
    assert (code, out) == (65, "")
    assert err.count("\n") == 1
    for part in ("nightcart.toml", "generation.kk", "generation.k"):
        assert part in err


def test_config_show_says_where_each_value_came_from(
    nightcart: Nightcart, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTCART_GENERATION__K", "7")
    code, out, _ = nightcart("config", "show")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines()[1:] if line.strip()}
    assert rows["generation.k"].split()[1:] == ["7", "environment", "NIGHTCART_GENERATION__K"]
    assert '"test shop"' in rows["shop.name"]
    assert str(shop / "nightcart.toml") in rows["shop.name"]
    assert rows["shop.currency"].split()[-1] == "default"
    assert str(shop / "lake") in rows["paths.lake"]


def test_settings_file_is_chosen_by_argument_then_variable_then_folder(
    nightcart: Nightcart, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("by_variable", "by_argument"):
        (shop / f"{name}.toml").write_text(f"[shop]\nname = '{name}'\n")
    assert "test shop" in nightcart("config", "show")[1]
    monkeypatch.setenv("NIGHTCART_CONFIG", str(shop / "by_variable.toml"))
    assert '"by_variable"' in nightcart("config", "show")[1]
    argument = ("--config", str(shop / "by_argument.toml"))
    assert '"by_argument"' in nightcart("config", "show", *argument)[1]


def test_config_check_names_what_a_night_would_miss(nightcart: Nightcart, shop: Path) -> None:
    code, out, _ = nightcart("config", "check")
    assert code == 65
    assert f"✗ raw files: {shop / 'raw'} is not a directory" in out
    (shop / "raw").mkdir()
    code, out, _ = nightcart("config", "check")
    assert (code, out.count("✓"), out.count("✗")) == (0, 4, 0)


def test_status_of_an_empty_lake(nightcart: Nightcart) -> None:
    code, out, _ = nightcart("status")
    assert code == 0
    assert "Nothing is published" in out
    assert "nightcart run --date" in out


def test_status_tells_a_failed_night_from_one_that_was_cut_off(
    nightcart: Nightcart, lake_of_two_nights: Lake
) -> None:
    code, out, _ = nightcart("status", "--stages")
    assert code == 0
    table = out.split("\n\n")[0]
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert "no: clean failed: events.csv line 3 is odd" in rows["2026-03-02"]
    assert "fine_tune is running, or was stopped" in out
    # Newest first, and the failed stage's error stands in the list of stages too.
    assert out.index("2026-03-02 ") < out.index("2026-03-01 ")
    assert out.count("events.csv line 3 is odd") == 2
    assert out.count("warning: 2026-03-01, clean: a.csv.gz cannot be read") == 1


@pytest.fixture
def lake_of_two_nights(shop: Path) -> Lake:
    lake = Lake(shop / "lake")
    first, second = (Run(dt.date(2026, 3, day), "r") for day in (1, 2))
    write_json(
        lake.records(first) / "fine_tune.json",
        {"stage": "fine_tune", "status": "running", "started": "2026-03-02T00:10:00+00:00"},
    )
    warned = {"warnings": ["a.csv.gz cannot be read"]}
    write_json(
        lake.records(first) / "clean.json",
        {"stage": "clean", "status": "done", "seconds": 1.0, "report": warned},
    )
    write_json(
        lake.records(second) / "clean.json",
        {
            "stage": "clean",
            "status": "failed",
            "started": "2026-03-03T00:10:00+00:00",
            "seconds": 4.2,
            "error": "events.csv line 3 is odd",
        },
    )
    (lake.records(second) / "publish.json").write_text('{"status": "do')  # cut off by a crash
    return lake


def test_query_and_show_say_that_nothing_is_published(nightcart: Nightcart) -> None:
    for command in (("query", "SELECT 1"), ("show", "somebody")):
        code, _, err = nightcart(*command)
        assert code == 65
        assert "nothing is published" in err


def test_contracts_are_listed_and_shown(nightcart: Nightcart) -> None:
    _, out, _ = nightcart("contracts", "list")
    assert "recommendations" in out
    _, page, _ = nightcart("contracts", "show", "recommendations")
    assert page.startswith("# recommendations, version 1")
    code, _, err = nightcart("contracts", "show", "recomendations")
    assert code == 65
    assert "recommendations.v1" in err


def test_simulate_writes_the_days(nightcart: Nightcart, shop: Path) -> None:
    code, out, _ = nightcart(
        "simulate", "--users", "30", "--items", "20", "--days", "2", "--out", str(shop / "raw")
    )
    assert code == 0
    assert "2026-01-16 to 2026-01-17" in out
    assert (shop / "raw/date=2026-01-17/events.jsonl").exists()


def test_demo_does_not_remove_what_no_demo_made(nightcart: Nightcart, shop: Path) -> None:
    (shop / "demo").mkdir()
    (shop / "demo" / "thesis.txt").write_text("years of work")
    code, _, err = nightcart("demo", "--small")
    assert code == 65
    assert "is not a demo" in err
    assert (shop / "demo" / "thesis.txt").exists()


def test_a_date_that_is_none_is_refused(nightcart: Nightcart) -> None:
    code, _, err = nightcart("run", "--date", "2026-02-30")
    assert code == 2
    assert "2026-02-30" in err


def test_status_names_what_is_damaged(nightcart: Nightcart, lake_of_two_nights: Lake) -> None:
    run = Run(dt.date(2026, 3, 1), "r")
    (lake_of_two_nights.begin("cleaned_events", run) / "part-0.parquet").write_text("rows")
    lake_of_two_nights.commit("cleaned_events", run, rows=9)
    read = Lineage({"cleaned_events": {"2026-03-01": "gone"}})
    for name in ("histories", "recommendations"):
        lake_of_two_nights.begin(name, run)
        lake_of_two_nights.commit(name, run, **read.facts())
    lake_of_two_nights.require("cleaned_events", run.run_date).paths[0].write_text("")
    code, out, _ = nightcart("status")
    assert code == 0
    said = " ".join(out.split())
    assert "cleaned_events of 2026-03-01" in said
    assert "nightcart redo --date 2026-03-01 --from clean" in said


def test_status_names_nights_without_late_rows_and_those_to_make_again(
    nightcart: Nightcart, lake_of_two_nights: Lake
) -> None:
    lake = lake_of_two_nights
    for day, late in ((1, {}), (2, {"2026-03-01": 1200})):
        run = Run(dt.date(2026, 3, day), "r")
        lake.begin("cleaned_events", run)
        lake.commit("cleaned_events", run, rows=9, late=late)
    first = Run(dt.date(2026, 3, 1), "r")
    lake.begin("histories", first)
    read = Lineage({"cleaned_events": {"2026-03-01": "gone"}})
    lake.commit("histories", first, **read.facts())
    (lake.begin("cleaned_events", Run(first.run_date, "gone")) / "another").touch()
    lake.close("cleaned_events", Run(first.run_date, "gone"))
    lake.begin("recommendations", first)
    lake.publish("recommendations", lake.close("recommendations", first))
    code, out, _ = nightcart("status")
    said = " ".join(out.split())
    assert code == 0
    assert "2026-03-01 1,200 events; nights from 2026-03-02 on have them" in said
    assert "cleaned again since: 2026-03-01 2026-03-01: nightcart run --date 2026-03-01" in said


def test_the_key_is_told_by_its_fingerprint_and_another_one_is_noticed(
    shop: Path, nightcart: Nightcart
) -> None:
    lake, file = Lake(shop / "lake"), shop / ".nightcart" / "user_id.key"
    assert nightcart("key", "show")[0] == 0
    key = key_of_lake(lake, file)
    code, said, _ = nightcart("key", "show")
    assert code == 0
    assert said.count(key_fingerprint(key)) == 2
    assert key.decode() not in said
    file.write_text("ef" * 32)
    code, said, _ = nightcart("key", "show")
    assert code == 1
    assert "Bring the lake's key back" in said
    code, said, _ = nightcart("key", "rotate")
    assert code == 0
    assert str(shop / "raw") in said
