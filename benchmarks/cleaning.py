"""What cleaning costs over just reading and writing the same files, side by side in one run.

    python -m benchmarks.cleaning --rows 1000000

For each size: (a) Spark reads the day's events and items with a plain typed schema and writes the
same columns as Parquet, (b) `clean_night` cleans the same files into a fresh lake, (c) the Great
Expectations gate checks what was cleaned. Seconds of processor time of the JVM and its workers are
given beside those of the clock: where a machine is shared, theirs is the ratio to trust. (a) and
(b) take turns `--rounds` times after one unmeasured turn of each on a small day; what is reported
is the median of each, their ratio, rows per second, (c)'s share of (b), and the peak memory of the
Spark JVM, its Python workers and this process during (b). Prints a line per step and, last, one
line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from benchmarks.many_events import DAY, write_day
from pipeline.cleaning.night import clean_night
from pipeline.lake import Lake, Run
from pipeline.settings import Settings, load_settings
from pipeline.spark_session import open_spark
from pipeline.validation.dataset_group import validate_group

WARM_UP_ROWS = 50_000
_EVENTS = (
    "event_id string, ts timestamp, type string, user string, item string, session string, "
    "qty int, price double, query string"
)
_ITEMS = (
    "sku string, title string, brand string, category string, price double, stock int, "
    "listed boolean"
)


def bare(spark: SparkSession, day: Path, out: Path) -> None:
    """What anybody would write first."""
    events = spark.read.schema(_EVENTS).json(str(day / "events.jsonl"))
    events.write.parquet(str(out / "events"))
    items = spark.read.schema(_ITEMS).option("header", "true").csv(str(day / "items.csv"))
    items.write.parquet(str(out / "items"))


def measure(
    spark: SparkSession, scratch: Path, rows: int, rounds: int, seed: int
) -> dict[str, Any]:
    """All figures of one size."""
    raw = scratch / f"raw-{rows}"
    if not raw.exists():
        write_day(raw, rows, seed)
    settings = _settings(raw, scratch / "lake")
    day = raw / f"date={DAY}"
    seconds: dict[str, list[float]] = {"bare": [], "clean": [], "gate": []}
    processor: dict[str, list[float]] = {step: [] for step in seconds}
    peaks: list[dict[str, float]] = []
    for number in range(rounds):
        shutil.rmtree(scratch / "bare", ignore_errors=True)
        shutil.rmtree(scratch / "lake", ignore_errors=True)
        lake, run = Lake(settings.paths.lake), Run(DAY, "benchmark")
        steps: dict[str, Callable[[], object]] = {
            "bare": partial(bare, spark, day, scratch / "bare"),
            "clean": partial(clean_night, spark, settings, lake, run),
            "gate": partial(validate_group, spark, lake, run, "cleaned", settings),
        }
        for step, work in steps.items():
            with Meter(spark) as meter:
                work()
            seconds[step].append(meter.seconds)
            processor[step].append(meter.processor)
            if step == "clean":
                peaks.append(meter.megabytes)
        took = ", ".join(
            f"{step} {seconds[step][-1]:.1f} s ({processor[step][-1]:.1f} s of processor)"
            for step in steps
        )
        print(f"{rows:,} rows, round {number + 1}: {took}", flush=True)
    median = {step: statistics.median(times) for step, times in seconds.items()}
    processor_median = {step: statistics.median(times) for step, times in processor.items()}
    files = lake.require("cleaned_events", DAY).files
    return {
        "rows": rows,
        "raw_megabytes": round((day / "events.jsonl").stat().st_size / 1e6, 1),
        "seconds": {step: round(value, 2) for step, value in median.items()},
        "all_seconds": {step: [round(t, 2) for t in times] for step, times in seconds.items()},
        "rows_per_second": round(rows / median["clean"]),
        "ratio": round(median["clean"] / median["bare"], 2),
        "ratios": [
            round(clean / plain, 2)
            for clean, plain in zip(seconds["clean"], seconds["bare"], strict=True)
        ],
        "processor_seconds": {step: round(value, 2) for step, value in processor_median.items()},
        "processor_ratio": round(processor_median["clean"] / processor_median["bare"], 2),
        "gate_share": round(median["gate"] / median["clean"], 2),
        "peak_megabytes": {key: max(peak[key] for peak in peaks) for key in peaks[0]},
        "cleaned_rows": lake.require("cleaned_events", DAY).rows,
        "cleaned_files": len(files),
        "cleaned_megabytes": round(sum(file.stat().st_size for file in files) / 1e6, 1),
    }


class Meter:
    """Seconds, and the largest resident size (Linux) of Spark's JVM, its workers and this process.

    Processor seconds are those of the JVM and of the Python workers that it started.
    """

    def __init__(self, spark: SparkSession) -> None:
        jvm = spark.sparkContext._jvm
        assert jvm is not None
        self._jvm = str(jvm.ProcessHandle.current().pid())

    def __enter__(self) -> Meter:
        for pid in [self._jvm, "self", *_descendants(self._jvm)]:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.processor = -self._processor()
        self.seconds = -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.processor += self._processor()
        self.megabytes = {
            "jvm": _high_water(self._jvm),
            "python": _high_water("self"),
            "workers": sum(map(_high_water, _descendants(self._jvm))),
        }

    def _processor(self) -> float:
        return sum(map(_processor_seconds, [self._jvm, *_descendants(self._jvm)]))


def _descendants(pid: str) -> list[str]:
    """Processes that a process started, and those that these started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parents[stat.parent.name] = _stat(stat)[1]
    found = [pid]
    for known in found:
        found += [child for child, parent in parents.items() if parent == known]
    return found[1:]


def _processor_seconds(pid: str) -> float:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """What the kernel says of a process, from its state on."""
    return path.read_text().rpartition(")")[2].split()


def _high_water(pid: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024)
    return 0.0


def _settings(raw: Path, lake: Path) -> Settings:
    return load_settings(
        None,
        {
            "NIGHTCART_PATHS__RAW": str(raw),
            "NIGHTCART_PATHS__LAKE": str(lake),
            "NIGHTCART_PRIVACY__KEY_FILE": str(lake.with_name("user_id.key")),
        },
    )


def main() -> int:
    """Measure each size, print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cleaning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="keep the made-up days here for the next run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = (arguments.scratch or Path(temporary)).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        settings = _settings(scratch, scratch / "lake")
        spark = open_spark(settings.spark, "benchmark")
        measure(spark, scratch, WARM_UP_ROWS, 1, arguments.seed)
        found = [
            measure(spark, scratch, rows, arguments.rounds, arguments.seed)
            for rows in arguments.rows
        ]
        spark.stop()
    print(json.dumps({"master": settings.spark.master, "sizes": found}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
