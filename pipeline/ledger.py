"""The ledger: rows in = rows out + quarantined by reason + removed by rule, for every stage.

One JSON line per (stage, dataset, run_date), collected in `<lake>/ledger/`. A line that does not
balance fails its stage. The contract is `schemas/ledger.v1.yaml`. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.datasets import LEDGER
from pipeline.errors import GateError
from pipeline.lake import Lake, Run, storage_errors

# Behind a dataset's name: lines that count its rows once more, by what joins and arrays made of
# them. They balance by themselves, and their rows are not to be added to the dataset's own.
WITH, ARRAYS = "_with_", "_arrays"


@dataclass(frozen=True)
class LedgerLine:
    """What one stage did with the rows of one dataset on one date."""

    run_date: dt.date
    run_id: str
    stage: str
    dataset: str
    rows_in: int
    rows_out: int
    quarantined: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts_again(self) -> bool:
        """Whether the rows are those of another line."""
        return WITH in self.dataset or self.dataset.endswith(ARRAYS)

    @property
    def unaccounted(self) -> int:
        """Rows that vanished (positive) or appeared (negative)."""
        leaving = self.rows_out + sum(self.quarantined.values()) + sum(self.removed.values())
        return self.rows_in - leaving

    def check(self) -> LedgerLine:
        """Return the line itself if it balances.

        Raises:
            GateError: it does not.
        """
        if self.unaccounted:
            raise GateError(
                f"the ledger of {self.stage} {self.dataset} {self.run_date} does not balance: "
                f"{self.rows_in} rows in, {self.rows_out} out, "
                f"{sum(self.quarantined.values())} quarantined, "
                f"{sum(self.removed.values())} removed; {self.unaccounted} unaccounted for"
            )
        return self

    def as_row(self) -> dict[str, Any]:
        """The line in the shape of the ledger contract."""
        return {
            "run_date": self.run_date.isoformat(),
            "run_id": self.run_id,
            "stage": self.stage,
            "dataset": self.dataset,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "quarantined": dict(sorted(self.quarantined.items())),
            "removed": dict(sorted(self.removed.items())),
        }

    def __str__(self) -> str:
        reasons = [f"{n:,} quarantined: {why}" for why, n in sorted(self.quarantined.items())]
        rules = [f"{n:,} removed: {rule}" for rule, n in sorted(self.removed.items())]
        return "; ".join(
            [
                f"{self.stage} {self.dataset} {self.run_date}: "
                f"{self.rows_in:,} in = {self.rows_out:,} out",
                *reasons,
                *rules,
            ]
        )


def write_ledger(lake: Lake, run: Run, stage: str, lines: Iterable[LedgerLine]) -> None:
    """Check every line, then write them as `<lake>/ledger/run_date=D/run_id=R/<stage>.jsonl`.

    A stage's file replaces the one an earlier attempt of the same run wrote: a stage that does
    only what is still missing passes on that attempt's lines (`stage_lines`). `run` is the night;
    the lines may be of earlier delivery dates.
    """
    path = ledger_file(lake, run, stage)
    text = "".join(
        json.dumps(line.check().as_row(), ensure_ascii=False, sort_keys=True) + "\n"
        for line in lines
    )
    with storage_errors(f"cannot write {path}"):
        durable.put_text(path, text)


def read_ledger(lake: Lake, run: Run) -> list[LedgerLine]:
    """Every line that the stages of a run have written, by stage file name."""
    directory = ledger_file(lake, run, "any").parent
    return [line for path in sorted(directory.glob("*.jsonl")) for line in _lines(path)]


def stage_lines(lake: Lake, run: Run, stage: str) -> list[LedgerLine]:
    """The lines that a stage of this run has written so far; none before its first attempt."""
    path = ledger_file(lake, run, stage)
    return _lines(path) if path.exists() else []


def ledger_file(lake: Lake, run: Run, stage: str) -> Path:
    """Where a stage of a run writes its lines."""
    return lake.run_directory(LEDGER, run) / f"{stage}.jsonl"


def _lines(path: Path) -> list[LedgerLine]:
    return [_line(json.loads(text)) for text in path.read_text(encoding="utf-8").splitlines()]


def _line(row: dict[str, Any]) -> LedgerLine:
    return LedgerLine(**{**row, "run_date": dt.date.fromisoformat(row["run_date"])})
