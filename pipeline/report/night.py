"""The night's part of the page: its stages, the rows they counted, and what readers see now.

Reads the run records `<lake>/runs/run_date=D/run_id=R/<stage>.json`, the ledger lines of the run
and the pointers of `recommendations`. Writes nothing. A failed night can be read like a good one: a
stage without a record has not run, and a stage whose record still says `running` was killed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets import GENERATED, RECOMMENDATIONS
from pipeline.lake import Lake, Partition, Run
from pipeline.ledger import LedgerLine
from pipeline.stages import NAMES, REPORT, names_before, stage_named

PUBLISHED, REPLACED, UNPUBLISHED = "published", "replaced", "unpublished"
ANOTHER_RUNS = "another run's"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class StageLine:
    """One row of the stage table."""

    name: str
    title: str
    status: str  # done, failed, cut off, not run
    started: dt.datetime | None
    seconds: float | None
    error: str | None
    figures: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Funnel:
    """Rows of one dataset through one stage, over all delivery days that the run counted."""

    stage: str
    dataset: str
    days: int
    rows_in: int
    rows_out: int
    quarantined: tuple[tuple[str, int], ...]
    removed: tuple[tuple[str, int], ...]

    @property
    def rows_quarantined(self) -> int:
        """Rows refused."""
        return sum(n for _, n in self.quarantined)

    @property
    def rows_removed(self) -> int:
        """Rows removed on purpose."""
        return sum(n for _, n in self.removed)

    def share(self, rows: int) -> float:
        """A part of the rows that came in."""
        return rows / self.rows_in if self.rows_in else 0.0


@dataclass(frozen=True)
class Outcome:
    """Whether readers see this run, and if not, why and what they see instead."""

    state: str  # published, replaced, unpublished
    failed: StageLine | None
    readers_date: dt.date | None
    readers_run_id: str | None
    stands_in: dt.date | None = None  # the night whose lists readers see in place of this one's

    @property
    def published(self) -> bool:
        """Whether the date points at this run."""
        return self.state == PUBLISHED


def read_stages(lake: Lake, run: Run) -> list[StageLine]:
    """Every stage of the night in its order, then any that is not one of the night's."""
    records: dict[str, Record] = {}
    for path in sorted(lake.records(run).glob("*.json")):
        record = _record(path)
        if record is not None and path.stem != REPORT:
            records[path.stem] = record
    others = (name for name in records if name not in NAMES)
    names = [*names_before(REPORT), *others]
    return [_stage_line(name, records.get(name)) for name in names]


def read_outcome(lake: Lake, run: Run, stages: Iterable[StageLine]) -> Outcome:
    """Whether the night was published: the pointers decide, not the stages' own records."""
    current = lake.current(RECOMMENDATIONS, run.run_date)
    seen = current or lake.latest(RECOMMENDATIONS)
    if current is not None and made_by(current, run):
        state = PUBLISHED
    elif lake.committed(RECOMMENDATIONS, run) is not None:
        state = REPLACED
    else:
        state = UNPUBLISHED
    return Outcome(
        state=state,
        failed=next((line for line in stages if line.status in ("failed", "cut off")), None),
        readers_date=seen.run_date if seen else None,
        readers_run_id=seen.run_id if seen else None,
        stands_in=_night_of(current) if current is not None else None,
    )


def _night_of(lists: Partition) -> dt.date | None:
    """The night that made lists which stand in for another's (`pipeline.publishing.degrade`)."""
    night = lists.manifest.get("lists_of")
    return dt.date.fromisoformat(night) if night else None


def made_by(partition: Partition, run: Run) -> bool:
    """Whether a run made a published partition.

    If a run publishes twice with other rows, the second partition lies beside the first as `R.2`;
    its manifest says which run generated it.
    """
    return bool(partition.manifest.get("generated_by", partition.run_id) == run.run_id)


def lists_of(lake: Lake, run: Run) -> tuple[Partition | None, str]:
    """The lists to show and what they are: this run's, in whatever state, before another run's."""
    current = lake.current(RECOMMENDATIONS, run.run_date)
    if current is not None and made_by(current, run):
        return current, PUBLISHED
    if replaced := lake.committed(RECOMMENDATIONS, run):
        return replaced, REPLACED
    if generated := lake.committed(GENERATED, run):
        return generated, UNPUBLISHED
    return current, ANOTHER_RUNS


def funnels(lines: Iterable[LedgerLine]) -> list[Funnel]:
    """Ledger lines added up over delivery days, in the night's order of stages."""
    groups: dict[tuple[str, str], list[LedgerLine]] = defaultdict(list)
    for line in lines:
        groups[line.stage, line.dataset].append(line)
    order = {name: position for position, name in enumerate(NAMES)}
    return [
        Funnel(
            stage=stage,
            dataset=dataset,
            days=len({line.run_date for line in group}),
            rows_in=sum(line.rows_in for line in group),
            rows_out=sum(line.rows_out for line in group),
            quarantined=_added(line.quarantined for line in group),
            removed=_added(line.removed for line in group),
        )
        for (stage, dataset), group in sorted(
            groups.items(), key=lambda entry: (order.get(entry[0][0], len(order)), entry[0])
        )
    ]


def run_partition(lake: Lake, name: str, run: Run) -> Partition | None:
    """The partition that this run committed, else the one that the date points at, else none.

    A night that was resumed in the middle reads partitions of an earlier run of the date.
    """
    return lake.committed(name, run) or lake.current(name, run.run_date)


def _record(path: Path) -> Record | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and "status" in value else None


def _stage_line(name: str, record: Record | None) -> StageLine:
    title = stage_named(name).title if name in NAMES else name.replace("_", " ").capitalize()
    if record is None:
        return StageLine(name, title, "not run", None, None, None, ())
    status = str(record["status"])
    error = record.get("error")
    if status == "running":
        status, error = "cut off", "It started and never said how it ended: it was killed."
    seconds = record.get("seconds")
    return StageLine(
        name=name,
        title=title,
        status=status,
        started=_instant(record.get("started")),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        error=str(error) if error else None,
        figures=_plain_figures(record.get("report")),
        warnings=_warnings(record.get("report")),
    )


def _instant(text: Any) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _plain_figures(report: Any, limit: int = 4) -> tuple[tuple[str, str], ...]:
    """The first few figures of a stage's own report that fit a table."""
    if not isinstance(report, dict):
        return ()
    shown = [
        (str(key).replace("_", " "), _plain(value))
        for key, value in report.items()
        if isinstance(value, bool | int | float)
        or (isinstance(value, str) and 0 < len(value) <= 40 and "/" not in value)
    ]
    return tuple(shown[:limit])


def _warnings(report: Any) -> tuple[str, ...]:
    """Faults that a stage went on in spite of, such as a file that could not be read."""
    warnings = report.get("warnings") if isinstance(report, dict) else None
    return tuple(str(text) for text in warnings) if isinstance(warnings, list) else ()


def _plain(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else value


def _added(parts: Iterable[Mapping[str, int]]) -> tuple[tuple[str, int], ...]:
    """Counts by reason, the largest first."""
    total: dict[str, int] = defaultdict(int)
    for part in parts:
        for reason, n in part.items():
            total[reason] += n
    return tuple(sorted(total.items(), key=lambda entry: (-entry[1], entry[0])))
