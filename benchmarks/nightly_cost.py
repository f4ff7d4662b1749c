"""Whether a night costs more because the past is longer: cleaning and histories, early and late.

    python -m benchmarks.nightly_cost --data ../shared/data/online_retail

Near the `--early`th and the `--late`th day of the files in `--data` (one CSV a day, named by its
date) it takes the two days whose files are nearest in rows. For each, a lake is made that holds
every night before it, and then that night is run `--rounds` times, each time on a copy of that
lake: `clean_night` of the day, then `build`, which goes on from the night before. The two take
turns after one unmeasured turn of each, in one Spark session, so that neither pays for its start.
A night that did not go on from the one before is an error, not a figure; where a lake that was kept
was made by other code, the histories of its last night are made again first.

What is compared is processor time of the JVM and of this process, because the clock of a shared
machine says little; what a process of its own would cost for its start (the same every night) is
not in it. Prints a line per step and, last, one line of JSON: medians, the ratio late / early of
each stage and of both, and how many rows were remembered.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.cleaning.night import clean_night
from pipeline.histories.build import Built, build
from pipeline.histories.increment import INCREMENTAL
from pipeline.histories.night import history_night
from pipeline.lake import Lake, Run
from pipeline.settings import Settings, load_settings
from pipeline.spark_session import open_spark

NEAR = 5  # trading days on either side
STAGES = ("clean", "build_histories")


@dataclass
class Mark:
    """One night that is measured, and what it took."""

    number: int
    day: dt.date
    rows: int
    lake: Path
    processor: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in STAGES})
    seconds: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in STAGES})
    remembered: int = 0

    def median(self, *stages: str) -> float:
        """Median processor seconds of some stages together."""
        taken = zip(*(self.processor[stage] for stage in stages), strict=True)
        return float(statistics.median(map(sum, taken)))


def equal_days(data: Path, early: int, late: int) -> list[tuple[int, dt.date, int]]:
    """Number (from 1), date and rows of the two days nearest in rows, one near each mark."""
    files = sorted(data.glob("????-??-??.csv"))

    def near(mark: int) -> list[tuple[int, dt.date, int]]:
        found = []
        for number in range(max(2, mark - NEAR), min(len(files), mark + NEAR) + 1):
            path = files[number - 1]
            with path.open(newline="", encoding="utf-8") as file:
                rows = sum(1 for _ in csv.reader(file)) - 1
            found.append((number, dt.date.fromisoformat(path.stem), rows))
        return found

    pairs = [(one, other) for one in near(early) for other in near(late)]
    unlike = [abs(one[2] / max(1, other[2]) - 1) for one, other in pairs]
    return list(pairs[unlike.index(min(unlike))])


def run_night(
    spark: SparkSession, settings: Settings, lake: Path, night: dt.date, mark: Mark | None
) -> int:
    """Clean and build one night; what it took goes to `mark`; returns the acts remembered."""
    run = Run(night, "benchmark")
    work: dict[str, Callable[[], object]] = {
        "clean": partial(clean_night, spark, settings, Lake(lake), run),
        "build_histories": partial(build, spark, Lake(lake), run, settings),
    }
    for stage in STAGES:
        clock, processor = time.perf_counter(), _processor_seconds(spark)
        done = work[stage]()
        if mark is not None and isinstance(done, Built):
            _require_incremental(done.report["built"], night)
        taken, used = time.perf_counter() - clock, _processor_seconds(spark) - processor
        print(f"{night} {stage}: {used:.1f} s of processor, {taken:.1f} s", flush=True)
        if mark is not None:
            mark.processor[stage].append(used)
            mark.seconds[stage].append(taken)
    return Lake(lake).require("acts", night).rows


def prepare(spark: SparkSession, data: Path, scratch: Path, mark: Mark) -> None:
    """A lake with every night before the mark: all days cleaned, the last one's histories."""
    files = sorted(data.glob("????-??-??.csv"))
    before = dt.date.fromisoformat(files[mark.number - 2].stem)
    if mark.lake.exists():
        settings, lake = _settings(data, scratch, mark.lake), Lake(mark.lake)
        run = Run(mark.day, "benchmark")
        built = history_night(spark, lake, run, settings, rebuild=False).built()
        if set(built.values()) != {INCREMENTAL}:
            print(f"{before} again: {built}", flush=True)
            build(spark, lake, Run(before, "benchmark"), settings)
        return
    aside = mark.lake.with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)
    run_night(spark, _settings(data, scratch, aside), aside, before, None)
    aside.rename(mark.lake)


def measure(spark: SparkSession, data: Path, scratch: Path, marks: list[Mark], rounds: int) -> None:
    """Run the nights in turns, each on a fresh copy of its lake."""
    copy = scratch / "copy"
    for number in range(rounds + 1):
        for mark in marks:
            shutil.rmtree(copy, ignore_errors=True)
            # Files in a lake are never changed, only replaced: links are copies.
            shutil.copytree(mark.lake, copy, copy_function=os.link)
            settings = _settings(data, scratch, copy)
            taken = mark if number else None
            mark.remembered = run_night(spark, settings, copy, mark.day, taken)


def result(marks: list[Mark]) -> dict[str, Any]:
    """The figures."""
    early, late = marks
    stages = {stage: (stage,) for stage in STAGES} | {"both": STAGES}
    return {
        "nights": [
            {
                "number": mark.number,
                "date": mark.day.isoformat(),
                "rows": mark.rows,
                "remembered_acts": mark.remembered,
                "processor_seconds": {s: [round(t, 2) for t in mark.processor[s]] for s in STAGES},
                "seconds": {s: [round(t, 2) for t in mark.seconds[s]] for s in STAGES},
            }
            for mark in marks
        ],
        "ratio": {
            name: round(late.median(*which) / early.median(*which), 2)
            for name, which in stages.items()
        },
    }


def _require_incremental(built: dict[str, str], night: dt.date) -> None:
    """Refuse a night that was made from the whole past: it says nothing of what a night costs."""
    for name, how in built.items():
        if how != INCREMENTAL:
            raise SystemExit(f"{name} of {night} did not go on from the night before: {how}")


def _processor_seconds(spark: SparkSession) -> float:
    """Of the JVM and of this process, so far (Linux)."""
    jvm = spark.sparkContext._jvm
    assert jvm is not None
    stat = Path(f"/proc/{jvm.ProcessHandle.current().pid()}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    of_jvm = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return float(of_jvm + time.process_time())


def _settings(data: Path, scratch: Path, lake: Path) -> Settings:
    return load_settings(
        None,
        {
            "NIGHTCART_SHOP__SOURCE": "online_retail",
            "NIGHTCART_SHOP__TIMEZONE": "Europe/London",
            "NIGHTCART_PATHS__RAW": str(data),
            "NIGHTCART_PATHS__LAKE": str(lake),
            "NIGHTCART_PRIVACY__KEY_FILE": str(scratch / "user_id.key"),
        },
    )


def main() -> int:
    """Measure, print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nightly_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder of online_retail's days")
    parser.add_argument("--early", type=int, default=30)
    parser.add_argument("--late", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="keep the lakes here for the next run")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = (arguments.scratch or Path(temporary)).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        marks = [
            Mark(number, day, rows, scratch / f"before-{number}")
            for number, day, rows in equal_days(data, arguments.early, arguments.late)
        ]
        spark = open_spark(_settings(data, scratch, scratch / "lake").spark, "benchmark")
        for mark in marks:
            prepare(spark, data, scratch, mark)
        measure(spark, data, scratch, marks, arguments.rounds)
        spark.stop()
    print(json.dumps(result(marks)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
