"""No value of the data in an error: not in a record, not in a log, whichever engine says it."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.error_words import in_words, traceback_without_values
from pipeline.errors import ContractError, GateError
from pipeline.stage import Report, Stage, run_stage, stage_parser

VALUE = "ann@example.com 4111"
CONTEXT = "of a row"


def raised(work: Callable[[], object]) -> Exception:
    """What a failing piece of work raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  each engine has its own
        work()
    return caught.value


def _csv_error() -> object:
    csv.field_size_limit(131072)
    return list(csv.reader([f'"{VALUE}"x'], strict=True))


ENGINES: dict[str, tuple[Callable[[], object], str]] = {
    "int": (lambda: int(VALUE), "ValueError: invalid literal for int() with base 10"),
    "key": (lambda: {}[VALUE], "KeyError"),
    "codec": (f"{VALUE}\udcff".encode, "UnicodeEncodeError"),
    "json": (lambda: json.loads(f'{{"a": {VALUE}'), "JSONDecodeError"),
    "arrow": (lambda: pc.cast(pa.array([VALUE]), pa.float64()), "ArrowInvalid: Failed to parse"),
    "duckdb": (lambda: duckdb.sql(f"SELECT CAST('{VALUE}' AS int)").fetchall(), "Conversion"),
    "csv": (_csv_error, "Error"),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_quoted_without_its_value(engine: str) -> None:
    """What kind of error it is stays."""
    work, kept = ENGINES[engine]
    error = raised(work)
    for said in (in_words(error), traceback_without_values(error)):
        assert kept in said
        assert "ann@" not in said
    assert "test_error_words.py" in traceback_without_values(error)


def test_what_an_error_came_from_has_no_value_either() -> None:
    """A chain is told from its first error on; our own words stay as they are."""

    def work() -> None:
        try:
            int(VALUE)
        except ValueError as error:
            raise RuntimeError(f"no number: {VALUE!r}") from error

    said = traceback_without_values(raised(work))
    assert said.index("ValueError") < said.index("RuntimeError: no number")
    assert "ann@" not in said
    assert in_words(GateError("5 of 'events'")) == "5 of 'events'"


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("CAST(a AS int)", 'CAST_INVALID_INPUT (sourceType "STRING", targetType "INT")'),
        ("to_timestamp(a, 'yyyy')", "CANNOT_PARSE_TIMESTAMP"),
        ("to_number(a, '999')", "INVALID_FORMAT"),
        ("raise_error(a)", "USER_RAISED_EXCEPTION"),
        ("element_at(map('x', 1), a) + CAST(a AS date)", "CAST_INVALID_INPUT"),
        ("from_json(concat('{', a), 'x int', map('mode', 'FAILFAST'))", "MALFORMED_RECORD"),
    ],
)
def test_sparks_errors_are_told_by_condition_type_and_sql(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: str, kept: str
) -> None:
    """In the record of a stage and on its stderr: neither has the value."""
    rows = spark.createDataFrame([(VALUE,)], "a string").select(F.expr(sql))
    error = raised(rows.collect)
    assert isinstance(error, PySparkException | Py4JJavaError)
    assert "ann@" in str(error) or kept.startswith("MALFORMED")  # that one hides it itself
    config = tmp_path / "shop.toml"
    config.write_text("[paths]\nlake = 'lake'\n")

    def work(stage: Stage, arguments: argparse.Namespace) -> Report:
        raise error

    arguments = ["--date", "2026-03-01", "--config", str(config), "--run-id", "r"]
    assert run_stage("clean", stage_parser("clean", None), work, arguments) == 1
    (record,) = (tmp_path / "lake").rglob("clean.json")
    for said in (record.read_text(), capsys.readouterr().err):
        assert kept in said.replace('\\"', '"')
        assert "ann@" not in said


SHOP = """
source: shop
description: A shop.
datasets:
  events:
    files: "{date}.csv"
    format: csv
    columns: [at, who, what, price]
    map: {event_time: at, event_type: "'purchase'", user_id: who, item_id: what,
          price: "CAST(price AS double)"}
"""


@pytest.mark.slow
@pytest.mark.timeout(300)  # one JVM of its own: what it writes to stderr is the test's subject
def test_a_failing_cast_leaves_its_value_nowhere(tmp_path: Path) -> None:
    """Not in the lake, not in the record, not in what the job and its JVM say."""
    (tmp_path / "shop.yaml").write_text(SHOP)
    (tmp_path / "raw").mkdir()
    rows = f"at,who,what,price\n2026-03-01 10:00:00,u1,i1,{VALUE}\n"
    (tmp_path / "raw/2026-03-01.csv").write_text(rows)
    (tmp_path / "shop.toml").write_text(
        "[paths]\nraw = 'raw'\nlake = 'lake'\n[shop]\nsource = 'shop.yaml'\n"
        "[privacy]\nkey_file = 'user_id.key'\n"
        "[spark]\nmaster = 'local[1]'\nshuffle_partitions = 1\nquick_start = true\n"
    )
    command = [sys.executable, "-m", "jobs.clean", "--date", "2026-03-01"]
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "shop.toml")],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == ContractError.exit_code, said
    assert "an expression fails on a row: NumberFormatException: CAST_INVALID_INPUT" in said
    assert "try_cast" in said
    kept = b"".join(file.read_bytes() for file in (tmp_path / "lake").rglob("*") if file.is_file())
    assert b"CAST_INVALID_INPUT" in kept
    assert "ann@" not in said
    assert b"ann@" not in kept
