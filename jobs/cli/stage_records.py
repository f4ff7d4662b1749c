"""What the lake's run records say of a night, for `run`, `status` and `demo`.

Reads `<lake>/runs/run_date=D/run_id=R/<stage>.json`, the ledger and the published pointer.
Writes nothing. A record that is cut off or not JSON counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.datasets import RECOMMENDATIONS, RUNS
from pipeline.lake import Lake, Partition, Run
from pipeline.ledger import LedgerLine, ledger_file, read_ledger
from pipeline.model.list_methods import MODEL
from pipeline.publishing.list_origin import is_degraded, lists_night
from pipeline.stages import NAMES

Record = dict[str, Any]


@dataclass(frozen=True)
class NightRecord:
    """Everything recorded of one run."""

    run: Run
    stages: dict[str, Record]
    published: bool  # the date's pointer names what this run put there
    stands_in: str = ""  # the night whose lists that are, where they are not its own

    @property
    def started(self) -> str:
        """When the first stage started, ISO 8601 in UTC; empty if nothing is known."""
        return min((str(stage.get("started", "")) for stage in self.stages.values()), default="")

    @property
    def seconds(self) -> float:
        """Time spent in stages that ended."""
        return sum(float(stage.get("seconds", 0.0)) for stage in self.stages.values())

    @property
    def failed_stage(self) -> str | None:
        """The first stage that failed."""
        return next((s for s in self.in_order() if self.stages[s]["status"] == "failed"), None)

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """What stages went on in spite of: stage and warning."""
        return [
            (stage, str(text))
            for stage in self.in_order()
            for report in [self.stages[stage].get("report")]
            for text in (report.get("warnings") or () if isinstance(report, dict) else ())
        ]

    def in_order(self) -> list[str]:
        """The recorded stages, in the order of the night."""
        return [stage for stage in NAMES if stage in self.stages]


def read_night(lake: Lake, run: Run) -> NightRecord:
    """The records of one run; empty if it never started."""
    stages = {
        path.stem: record
        for path in sorted(lake.records(run).glob("*.json"))
        if path.stem in NAMES and (record := _record(path)) is not None
    }
    partition = lake.whole(RECOMMENDATIONS, run.run_date)
    stands_in = (
        str(lists_night(partition)) if partition is not None and is_degraded(partition) else ""
    )
    return NightRecord(run, stages, is_of_run(partition, run), stands_in)


def is_of_run(partition: Partition | None, run: Run) -> bool:
    """Whether a published partition is what a run generated.

    A run that published twice with different lists has a second directory of its own, `R.2`.
    """
    return partition is not None and run.run_id in (
        partition.run_id,
        partition.manifest.get("generated_by"),
    )


def last_nights(lake: Lake, limit: int) -> list[NightRecord]:
    """The runs that started last, newest first."""
    return _nights(lake, "run_date=*")[:limit]


def nights_of(lake: Lake, run_date: date) -> list[NightRecord]:
    """The runs of one date, newest first."""
    return _nights(lake, f"run_date={run_date.isoformat()}")


def _nights(lake: Lake, dates: str) -> list[NightRecord]:
    nights = [
        read_night(
            lake,
            Run(
                date.fromisoformat(path.parent.name.removeprefix("run_date=")),
                path.name.removeprefix("run_id="),
            ),
        )
        for path in lake.dataset(RUNS).glob(f"{dates}/run_id=*")
    ]
    begun = [night for night in nights if night.stages]
    return sorted(begun, key=lambda night: (night.started, night.run.run_id), reverse=True)


def stage_record(lake: Lake, run: Run, stage: str) -> Record | None:
    """One stage's record."""
    return _record(lake.records(run) / f"{stage}.json")


def ledger_summary(lake: Lake, run: Run, stage: str) -> str:
    """`12,345 in = 11,900 out, 445 quarantined` over all datasets of a stage; empty without."""
    if not ledger_file(lake, run, stage).exists():
        return ""
    return _summary(line for line in read_ledger(lake, run) if line.stage == stage)


def _summary(lines: Iterable[LedgerLine]) -> str:
    counted = [line for line in lines if not line.counts_again]
    if not counted:
        return ""
    parts = [
        f"{sum(line.rows_in for line in counted):,} in = "
        f"{sum(line.rows_out for line in counted):,} out"
    ]
    quarantined = sum(sum(line.quarantined.values()) for line in counted)
    removed = sum(sum(line.removed.values()) for line in counted)
    parts += [f"{quarantined:,} quarantined"] if quarantined else []
    parts += [f"{removed:,} removed by rule"] if removed else []
    return ", ".join(parts)


def said_of(lake: Lake, run: Run, stage: str) -> str:
    """What a stage did, for one line: its rows, and what else it reports."""
    record = stage_record(lake, run, stage) or {}
    rows = ledger_summary(lake, run, stage)
    return "; ".join(part for part in (rows, _figures(record.get("report") or {})) if part)


def _figures(report: Record) -> str:
    """A verdict in words if there is one, else a gate's checks, else a few plain figures."""
    if report.get("why"):
        return str(report["why"])
    datasets = report.get("datasets")
    gates = list(datasets.values()) if isinstance(datasets, dict) else []
    if gates and all(isinstance(gate, dict) and "checks" in gate for gate in gates):
        checks = sum(gate["checks"] for gate in gates)
        warnings = [_warning(found) for gate in gates for found in gate.get("warnings", ())]
        said = f"{checks} checks of {len(gates)} datasets, {len(warnings)} warnings"
        return ": ".join([said, "; ".join(warnings)] if warnings else [said])
    shown = [
        f"{key.replace('_', ' ')} {_plain(value)}"
        for key, value in report.items()
        if isinstance(value, bool | int | float)
        or (isinstance(value, str) and 0 < len(value) <= 40 and "/" not in value)
    ]
    return ", ".join(shown[:4])


def _warning(found: Any) -> str:
    """A check of a gate that did not hold, as its record has it, in few words."""
    if not isinstance(found, dict):
        return str(found)
    columns = ", ".join(found.get("columns") or ())
    where = f"{found.get('dataset')}.{columns}" if columns else str(found.get("dataset"))
    return f"{where} {found.get('reason')}, {found.get('observed')}"


def fallback_share(partition: Partition) -> float | None:
    """The share of lists that a fallback made, counted in what is published."""
    import pyarrow.parquet as pq

    methods = [
        method
        for path in partition.files
        for method in pq.read_table(path, columns=["method"]).column("method").to_pylist()
    ]
    return sum(method != MODEL for method in methods) / len(methods) if methods else None


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _record(path: Path) -> Record | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and "status" in value else None
