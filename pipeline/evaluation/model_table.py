"""One line a night: how good its model was, and which model generates as of that night.

Reads the datasets `models`, `metrics` and `champions`. A part that is missing is none.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from pipeline.datasets import CHAMPIONS, METRICS, MODELS
from pipeline.errors import DamagedError, InputError
from pipeline.lake import Lake, Partition
from pipeline.model.champion import ChampionRecord, champion_of
from pipeline.model.checkpoint import read_version

TRAINING_REPORT = "training_report.json"


@dataclass(frozen=True)
class ModelLine:
    """One night. `ndcg` is (mean, low, high) of the test half by model."""

    run_date: dt.date
    model_version: str | None
    parameters: int | None
    seconds: float | None
    ndcg: dict[str, tuple[float, float | None, float | None]]
    k: int | None
    n_users: int
    champion: ChampionRecord | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        record = self.champion
        return {
            "run_date": self.run_date.isoformat(),
            "model_version": self.model_version,
            "parameters": self.parameters,
            "seconds": self.seconds,
            "ndcg": {name: value[0] for name, value in self.ndcg.items()},
            "k": self.k,
            "n_users": self.n_users,
            "generates": record.model_version if record else None,
            "promoted": record.promoted if record else None,
            "decided_by": record.decided_by if record else None,
            "decided_at": record.decided_at if record else None,
            "why": record.why if record else None,
        }


def model_lines(lake: Lake) -> list[ModelLine]:
    """Every night with a model or a decision, newest first."""
    dates = sorted({*lake.dates(MODELS), *lake.dates(CHAMPIONS)}, reverse=True)
    return [_line(lake, date) for date in dates]


def _line(lake: Lake, date: dt.date) -> ModelLine:
    model, metrics = lake.whole(MODELS, date), lake.whole(METRICS, date)
    report = _training_report(model) if model else {}
    rows = [
        row
        for path in (metrics.files if metrics else ())
        for row in pq.ParquetFile(path).read().to_pylist()
        if (row["split"], row["metric"]) == ("test", "ndcg") and row.get("segment") in (None, "all")
    ]
    try:
        champion = champion_of(lake, date)
    except (InputError, DamagedError) as error:
        champion = ChampionRecord(None, None, None, False, str(error))
    return ModelLine(
        run_date=date,
        model_version=read_version(model.path) if model else None,
        parameters=report.get("parameters"),
        seconds=report.get("cost", {}).get("seconds"),
        ndcg={row["model"]: (row["value"], row.get("low"), row.get("high")) for row in rows},
        k=max((row["k"] for row in rows), default=None),
        n_users=max((row["n_users"] for row in rows), default=0),
        champion=champion,
    )


def _training_report(model: Partition) -> dict[str, Any]:
    try:
        (path,) = model.verified([model.path / TRAINING_REPORT])
        report = json.loads(path.read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}
