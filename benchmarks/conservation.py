"""A real shop's days, cleaned night by night: does every ledger balance, do nights get dearer?

    python -m benchmarks.conservation --raw ../shared/data/online_retail

Cleans the days of `online_retail` (or the first `--days` of them) night by night into one lake. For
each night: every ledger line must balance, count what plain Python counts in the file, and say what
its partition holds. Prints a line per night and, last, one line of JSON with the seconds of the
clock and of the JVM's processor per night, of the first and the last tenth of the nights.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import statistics
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.cleaning import Meter
from pipeline.cleaning.night import CleanedNight, clean_night
from pipeline.lake import Lake, Run
from pipeline.settings import Settings, load_settings
from pipeline.spark_session import open_spark


def faults_of(lake: Lake, night: CleanedNight, file: Path) -> list[str]:
    """What does not add up in a night; empty where all of it does."""
    faults = []
    with file.open(newline="", encoding="utf-8") as lines:
        rows = sum(1 for _ in csv.DictReader(lines))
    for line in night.lines:
        if line.unaccounted:
            faults.append(f"{line} does not balance")
        if line.dataset in ("events", "items", "users"):
            partition = lake.require(f"cleaned_{line.dataset}", line.run_date)
            if line.rows_in != rows:
                faults.append(f"{line.dataset} {line.run_date}: {rows} rows in {file.name}")
            if partition.rows != line.rows_out:
                faults.append(f"{line.dataset} {line.run_date}: {partition.rows} rows in the lake")
    return faults


def main() -> int:
    """Clean the nights, print the figures; 1 where something does not add up."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conservation", description=__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--days", type=int, default=0, help="only the first so many")
    arguments = parser.parse_args()
    files = sorted(arguments.raw.resolve().glob("*.csv"))
    files = files[: arguments.days or len(files)]
    seconds, processor, faults = [], [], []
    totals: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        settings = _settings(arguments.raw.resolve(), Path(scratch))
        lake = Lake(settings.paths.lake)
        spark = open_spark(settings.spark, "conservation")
        for file in files:
            run = Run(dt.date.fromisoformat(file.stem), "one")
            first = dt.date.fromisoformat(files[0].stem)
            with Meter(spark) as meter:
                night = clean_night(spark, settings, lake, run, first)
            seconds.append(meter.seconds)
            processor.append(meter.processor)
            faults += faults_of(lake, night, file)
            for line in night.lines:
                if line.dataset == "events":
                    outcomes = {"in": line.rows_in, "out": line.rows_out}
                    totals.update(outcomes | dict(line.quarantined) | dict(line.removed))
            print(
                f"{file.stem}: {meter.seconds:.1f} s, {meter.processor:.1f} s of processor",
                flush=True,
            )
        spark.stop()
    for fault in faults:
        print(fault)
    tenth = max(1, len(files) // 10)
    figures = {
        name: [round(statistics.median(part), 2) for part in (values[:tenth], values[-tenth:])]
        for name, values in (("seconds", seconds), ("processor_seconds", processor))
    }
    figures_text = {"nights": len(files), "faults": len(faults), "events": dict(totals), **figures}
    print(json.dumps(figures_text))
    return 1 if faults else 0


def _settings(raw: Path, scratch: Path) -> Settings:
    return load_settings(
        None,
        {
            "NIGHTCART_SHOP__SOURCE": "online_retail",
            "NIGHTCART_SHOP__TIMEZONE": "Europe/London",
            "NIGHTCART_PATHS__RAW": str(raw),
            "NIGHTCART_PATHS__LAKE": str(scratch / "lake"),
            "NIGHTCART_PRIVACY__KEY_FILE": str(scratch / "user_id.key"),
            "NIGHTCART_SPARK__SHUFFLE_PARTITIONS": "2",
        },
    )


if __name__ == "__main__":
    raise SystemExit(main())
