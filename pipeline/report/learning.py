"""The model's part of the page: the training curve, the ranking metrics, the promotion.

Reads `training_log.json` and `training_report.json` of the night's `models` partition, the
`metrics` partition (contract `metrics.v1`) and `champion.json` of the `champions` partition. Writes
nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from pipeline.lake import Partition
from pipeline.model.list_methods import CANDIDATE, COMPARED_MODELS

TRAINING_LOG = "training_log.json"
TRAINING_REPORT = "training_report.json"
CHAMPION = "champion.json"
# Metrics written before there were segments have none.
EVERYBODY = "all"


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows. A value that is not a finite number is none."""

    epoch: int
    train_loss: float | None
    validation_ndcg: float | None
    seconds: float | None


@dataclass(frozen=True)
class Membership:
    """How often a learned sentence is told from an unseen one (0.5: by chance), and canaries."""

    auc: float
    low: float
    high: float
    canaries: int
    exposure_bits: float | None


@dataclass(frozen=True)
class Ranking:
    """One split's metrics at one cut-off: `values[metric][model]`."""

    split: str
    k: int
    n_users: int
    values: Mapping[str, Mapping[str, float]]

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were measured, in the order of the page."""
        return tuple(
            name for name in COMPARED_MODELS if any(name in row for row in self.values.values())
        )

    def lift(self, metric: str, over: str, model: str = CANDIDATE) -> float | None:
        """How many times as good as another model; none where that is zero or was not measured."""
        row = self.values.get(metric, {})
        if model not in row or not row.get(over):
            return None
        return row[model] / row[over]


@dataclass(frozen=True)
class Segment:
    """NDCG of some of the test half's users: `values[model]` is (mean, low, high)."""

    name: str
    k: int
    n_users: int
    values: Mapping[str, tuple[float, float | None, float | None]]


@dataclass(frozen=True)
class Promotion:
    """Which model generated and why, and which baseline made the lists that it could not."""

    model_version: str | None
    model_run_date: str | None
    model_run_id: str | None
    promoted: bool
    why: str
    fallback: str | None = None


def read_training_log(models: Partition) -> list[Epoch]:
    """The epochs of the night's fine-tuning, in order."""
    (path,) = models.verified([models.path / TRAINING_LOG])
    text = path.read_text(encoding="utf-8")
    epochs = [
        Epoch(
            epoch=int(entry["epoch"]),
            train_loss=_finite(entry.get("train_loss")),
            validation_ndcg=_finite(entry.get("validation_ndcg")),
            seconds=_finite(entry.get("seconds")),
        )
        for entry in json.loads(text)
    ]
    return sorted(epochs, key=lambda entry: entry.epoch)


def read_membership(models: Partition) -> Membership | None:
    """How far the model gives away what it learned; none where it learned no sentences."""
    if models.path / TRAINING_REPORT not in models.paths:
        return None
    (path,) = models.verified([models.path / TRAINING_REPORT])
    found = json.loads(path.read_text(encoding="utf-8")).get("membership")
    if not found:
        return None
    return Membership(
        auc=float(found["auc"]),
        low=float(found["low"]),
        high=float(found["high"]),
        canaries=int(found["canaries"]),
        exposure_bits=_finite(found["exposure_bits"]),
    )


def read_promotion(champions: Partition) -> Promotion:
    """The champion as of the night."""
    (path,) = champions.verified([champions.path / CHAMPION])
    content = json.loads(path.read_text(encoding="utf-8"))
    return Promotion(
        model_version=content.get("model_version"),
        model_run_date=content.get("model_run_date"),
        model_run_id=content.get("model_run_id"),
        promoted=bool(content.get("promoted")),
        why=str(content.get("why") or ""),
        fallback=str(content["fallback"]) if content.get("fallback") else None,
    )


def read_rankings(metrics: Partition, k: int) -> list[Ranking]:
    """Every split at the cut-off `k` (the largest if `k` was not measured), test first."""
    rows: list[dict[str, Any]] = []
    for path in metrics.files:
        if path.suffix == ".parquet":
            rows += pq.ParquetFile(path).read().to_pylist()
    return rankings(rows, k)


def read_segments(metrics: Partition, k: int) -> list[Segment]:
    """NDCG of the test half by segment, everybody first; empty for nights that have none."""
    rows = [
        row
        for path in metrics.files
        if path.suffix == ".parquet"
        for row in pq.ParquetFile(path).read().to_pylist()
        if row["split"] == "test" and row["metric"] == "ndcg" and row.get("segment")
    ]
    at = k if any(row["k"] == k for row in rows) else max((row["k"] for row in rows), default=k)
    found: dict[str, Segment] = {}
    for row in rows:
        if row["k"] == at:
            name = row["segment"]
            before = found.get(name)
            values = {**before.values} if before else {}
            values[row["model"]] = (row["value"], row["low"], row["high"])
            found[name] = Segment(name, at, row["n_users"], values)
    return list(found.values())


def rankings(rows: Iterable[Mapping[str, Any]], k: int) -> list[Ranking]:
    """Rows of `metrics.v1` as one table a split."""
    of_everybody = [row for row in rows if row.get("segment") in (None, EVERYBODY)]
    found = []
    for split in ("test", "validation"):
        of_split = [row for row in of_everybody if row["split"] == split]
        cut_offs = {row["k"] for row in of_split}
        if not cut_offs:
            continue
        at = k if k in cut_offs else max(cut_offs)
        values: dict[str, dict[str, float]] = {}
        for row in of_split:
            if row["k"] == at:
                values.setdefault(row["metric"], {})[row["model"]] = row["value"]
        n_users = max(row["n_users"] for row in of_split)
        found.append(Ranking(split, at, n_users, values))
    return found


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
