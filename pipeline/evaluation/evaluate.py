"""A night's evaluation: measure candidate, champion and baselines, decide, write both datasets.

Reads `histories`, `catalogue` and `models` of the night and the champion as of the night before.
Writes `metrics` (contract `metrics.v1`) and `champions` (`champion.json`: which model generates as
of this night). Guarantees: everybody ranks the same items for the same users; the test half is
scored once; there is always an outcome: a candidate that is missing or damaged is not promoted.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.contracts.arrow import arrow_schema, check_table
from pipeline.contracts.contract import load_contract
from pipeline.errors import NightcartError
from pipeline.evaluation.baselines import fit_markov, fit_popularity
from pipeline.evaluation.gate import Decision, decide
from pipeline.evaluation.metrics import coverage, mrr, ndcg, recall
from pipeline.evaluation.ranking import (
    Items,
    Ranks,
    Scorer,
    history_scorer,
    measurable,
    model_scorer,
    rank_users,
)
from pipeline.lake import Lake, Run, storage_errors
from pipeline.model.catalogue import read_catalogue
from pipeline.model.champion import ChampionRecord, champion_before, write_champion
from pipeline.model.checkpoint import Checkpoint, load_checkpoint
from pipeline.model.user_history import UserHistory, held_out, read_histories
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Loaded:
    """A model, or why there is none."""

    checkpoint: Checkpoint | None
    run: Run | None
    fault: str | None = None


@dataclass(frozen=True)
class Evaluated:
    """The night's outcome and how its histories were used."""

    champion: ChampionRecord
    n_histories: int
    n_consenting: int
    n_measured: int
    report: dict[str, Any]


def evaluate(
    lake: Lake, run: Run, settings: Settings, *, no_candidate: str | None = None
) -> Evaluated:
    """Measure, decide and commit.

    Args:
        no_candidate: why this night has no model of its own; one that is there is not looked at.

    Raises:
        InputError: the night has no histories or no catalogue.
    """
    if settings.training.threads:
        torch.set_num_threads(settings.training.threads)
    users = read_histories(lake, run.run_date)
    catalogue = read_catalogue(lake, run.run_date)
    items = Items(
        tuple(item.item_id for item in catalogue),
        np.array([item.sellable for item in catalogue], dtype=np.bool_),
    )
    candidate = Loaded(None, None, no_candidate) if no_candidate else _candidate(lake, run)
    previous = _previous(lake, run)
    scorers = _scorers(users, items, candidate, previous, settings)
    halves = {
        split: measurable(held_out(users, split), items)[: settings.evaluation.max_users]
        for split in SPLITS
    }
    k = settings.evaluation.k
    rows = []
    for split, half in halves.items():
        for name, scorer in scorers.items():
            rows += _metric_rows(name, split, rank_users(scorer, half, items, k), items, k)
    ndcg_of = {
        row["model"]: row["value"]
        for row in rows
        if row["split"] == "test" and row["metric"] == "ndcg"
    }
    decision = _decision(candidate, ndcg_of, len(halves["test"]), settings)
    record = _record(candidate, previous, decision)
    _write(lake, run, rows, record)
    log.info("%s: %s", "promoted" if record.promoted else "not promoted", record.why)
    report = {
        "promoted": record.promoted,
        "why": record.why,
        "champion": record.model_version,
        "ndcg": {name: round(value, 4) for name, value in ndcg_of.items()},
        "k": k,
        "users": {split: len(half) for split, half in halves.items()},
    }
    n_histories = lake.require("histories", run.run_date).rows
    n_measured = sum(len(half) for half in halves.values())
    return Evaluated(record, n_histories, len(users), n_measured, report)


def _candidate(lake: Lake, run: Run) -> Loaded:
    """This run's model, else the one the date points at; whatever is wrong becomes a fault."""
    try:
        partition = lake.committed("models", run) or lake.current("models", run.run_date)
        if partition is None:
            return Loaded(None, None, f"there is no model of {run.run_date}: run fine_tune first")
        checkpoint = _sound(load_checkpoint(partition.path))
        return Loaded(checkpoint, Run(partition.run_date, partition.directory_id))
    except (NightcartError, OSError) as error:
        log.error("the candidate cannot be used: %s", error)
        return Loaded(None, None, f"the candidate cannot be used: {error}")


def _previous(lake: Lake, run: Run) -> Loaded:
    """The champion as of the night before; none where it cannot be loaded any more."""
    try:
        record = champion_before(lake, run.run_date)
        if record is None or record.model_run is None:
            return Loaded(None, None)
        directory = lake.run_directory("models", record.model_run)
        return Loaded(_sound(load_checkpoint(directory)), record.model_run)
    except (NightcartError, OSError) as error:
        log.error("the champion cannot be used any more and is dropped: %s", error)
        return Loaded(None, None, f"the previous champion cannot be used: {error}")


def _sound(checkpoint: Checkpoint) -> Checkpoint:
    for name, weights in checkpoint.model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise NightcartError(
                f"{checkpoint.model_version} has weights that are not finite numbers ({name})"
            )
    return checkpoint


def _scorers(
    users: Sequence[UserHistory],
    items: Items,
    candidate: Loaded,
    previous: Loaded,
    settings: Settings,
) -> dict[str, Scorer]:
    index = items.index
    known = [
        [
            (index[item], kind in settings.histories.target_event_types)
            for item, kind in zip(user.known_items, user.known_event_types, strict=True)
            if item in index
        ]
        for user in users
    ]
    histories = [[item for item, _ in row] for row in known]
    n_items = len(items.item_ids)
    popularity = fit_popularity(histories, [[kind for _, kind in row] for row in known], n_items)
    markov = fit_markov(histories, popularity, n_items)
    scorers = {
        "popularity": history_scorer(popularity.scores, items),
        "markov": history_scorer(markov.scores, items),
    }
    for name, loaded in (("candidate", candidate), ("champion", previous)):
        if loaded.checkpoint is not None:
            scorers[name] = model_scorer(
                loaded.checkpoint.model,
                loaded.checkpoint.vocabulary,
                items,
                settings.histories.max_events,
            )
    return scorers


def _metric_rows(name: str, split: str, ranks: Ranks, items: Items, k: int) -> list[dict[str, Any]]:
    values = {
        "recall": recall(ranks.rank_B, k),
        "ndcg": ndcg(ranks.rank_B, k),
        "mrr": mrr(ranks.rank_B, k),
        "coverage": coverage(ranks.top_BK, int(items.sellable_I.sum())),
    }
    return [
        {
            "model": name,
            "split": split,
            "metric": metric,
            "k": k,
            "value": value,
            "n_users": len(ranks.rank_B),
        }
        for metric, value in values.items()
    ]


def _decision(
    candidate: Loaded, ndcg_of: Mapping[str, float], n_users: int, settings: Settings
) -> Decision:
    if candidate.checkpoint is None:
        return Decision(False, candidate.fault or "there is no candidate")
    if not math.isfinite(ndcg_of["candidate"]):
        return Decision(False, "the candidate's scores are not numbers")
    return decide(ndcg_of, n_users, settings.evaluation.champion_tolerance)


def _record(candidate: Loaded, previous: Loaded, decision: Decision) -> ChampionRecord:
    chosen = candidate if decision.promoted else previous
    notes = [decision.why, previous.fault or ""]
    if chosen.checkpoint is None or chosen.run is None:
        notes.append("no champion: generation uses the fallback")
        return ChampionRecord(None, None, None, False, "; ".join(filter(None, notes)))
    return ChampionRecord(
        chosen.run.run_date.isoformat(),
        chosen.run.run_id,
        chosen.checkpoint.model_version,
        decision.promoted,
        "; ".join(filter(None, notes)),
    )


def _write(lake: Lake, run: Run, rows: list[dict[str, Any]], record: ChampionRecord) -> None:
    contract = load_contract("metrics")
    table = check_table(pa.Table.from_pylist(rows, schema=arrow_schema(contract)), contract)
    directory = lake.begin("metrics", run)
    with storage_errors(f"cannot write {directory}"):
        pq.write_table(table, directory / "part-00000.parquet")
    lake.commit("metrics", run, rows=table.num_rows)
    directory = lake.begin("champions", run)
    write_champion(directory, record)
    lake.commit("champions", run, rows=1, model_version=record.model_version)
