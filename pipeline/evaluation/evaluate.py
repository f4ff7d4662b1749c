"""A night's evaluation: measure candidate, champion and baselines, decide, write both datasets.

Reads `histories`, `catalogue` and `models` of the night and the champion as of the night before.
Writes `metrics` (contract `metrics.v1`) and `champions` (`champion.json`: which model generates as
of this night, and which baseline where no model can; and the candidate's completed card).
Guarantees: all models rank the same items for the same users; the test half is scored once and
chooses no baseline; there is always an outcome: a candidate that is missing or damaged is not
promoted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.contracts.arrow import arrow_schema, check_table
from pipeline.contracts.contract import load_contract
from pipeline.datasets import CHAMPIONS, HISTORIES, METRICS, MODELS
from pipeline.errors import InputError, NightcartError
from pipeline.evaluation.evaluated_card import evaluated_card
from pipeline.evaluation.night_measures import ItemFacts, Measures
from pipeline.evaluation.promotion_gate import Decision, decide
from pipeline.lake import Lake, Run, storage_errors
from pipeline.model.catalogue import read_catalogue
from pipeline.model.champion import (
    ChampionRecord,
    champion_before,
    champion_of,
    write_champion,
)
from pipeline.model.checkpoint import Checkpoint, load_checkpoint
from pipeline.model.held_out_rules import held_out_otherwise
from pipeline.model.list_methods import (
    CANDIDATE,
    CHAMPION,
    POPULARITY,
    REPEAT_BASELINES,
    TRAINED_MODELS,
)
from pipeline.model.training_fault import read_fault
from pipeline.model.user_history import UserHistory, held_out, read_histories
from pipeline.ranking.baselines import SHAPES, fit_markov, fit_popularity, known_events
from pipeline.ranking.best_baseline import best_baseline
from pipeline.ranking.held_out_ranks import (
    Items,
    Scorer,
    history_scorer,
    measurable,
    model_scorer,
    rank_users,
)
from pipeline.ranking.metrics import Floats
from pipeline.ranking.visit_baselines import visit_scorer
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

SPLITS = ("validation", "test")
CARD_FILE = "model_card.md"
# Stands between a person's reason and the gate's, in a night that was evaluated again.
GATE_SAYS = "; the gate says: "


@dataclass(frozen=True)
class LoadedModel:
    """A model, or why there is none."""

    checkpoint: Checkpoint | None
    run: Run | None
    fault: str | None = None
    unmeasured: str | None = None  # why it may generate but is not compared


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
    candidate = LoadedModel(None, None, no_candidate) if no_candidate else _candidate(lake, run)
    previous = _previous(lake, run, settings)
    known = known_events(users, items.index, settings.histories.target_event_types)
    popularity = fit_popularity(*known, len(items.item_ids))
    facts = ItemFacts(items, catalogue, popularity)
    scorers = _scorers(known[0], facts, candidate, previous, settings)
    scorers |= _repeat_scorers(users, facts, settings)
    halves = {
        split: measurable(held_out(users, split), items)[: settings.evaluation.max_users]
        for split in SPLITS
    }
    k = settings.evaluation.k
    mask_owned = settings.generation.exclude_owned
    measured = [
        Measures(
            name,
            split,
            rank_users(
                scorer,
                half,
                items,
                k,
                mask_owned=mask_owned,
                log_scores=name in TRAINED_MODELS,
            ),
            k,
        )
        for split, half in halves.items()
        for name, scorer in scorers.items()
    ]
    rows = [row for each in measured for row in each.rows(halves[each.split], facts, settings.seed)]
    ndcg_B_of = {each.model: each.ndcg_B for each in measured if each.split == "test"}
    validation_ndcg_B_of = {
        each.model: each.ndcg_B for each in measured if each.split == "validation"
    }
    fallback = best_baseline(validation_ndcg_B_of, settings.seed)
    decision = _decision(candidate, ndcg_B_of, settings)
    record = _decided_by_hand(lake, run, _record(candidate, previous, decision, fallback))
    _write(lake, run, rows, record, _card(lake, candidate, rows, decision))
    log.info("%s: %s", "promoted" if record.promoted else "not promoted", record.why)
    report = {
        "promoted": record.promoted,
        "why": record.why,
        "champion": record.model_version,
        "fallback": record.fallback,
        "ndcg": {
            name: round(float(values_B.mean()) if len(values_B) else 0.0, 4)
            for name, values_B in ndcg_B_of.items()
        },
        "k": k,
        "users": {split: len(half) for split, half in halves.items()},
    }
    if candidate.fault:
        report["fault"] = candidate.fault
    n_histories = lake.require(HISTORIES, run.run_date).rows
    n_measured = sum(len(half) for half in halves.values())
    return Evaluated(record, n_histories, len(users), n_measured, report)


def _candidate(lake: Lake, run: Run) -> LoadedModel:
    """This run's model, else the one the date points at; whatever is wrong becomes a fault."""
    fault = read_fault(lake, run)
    if fault is not None:
        return LoadedModel(None, None, fault)
    try:
        partition = lake.committed(MODELS, run) or lake.current(MODELS, run.run_date)
        if partition is None:
            return LoadedModel(
                None, None, f"there is no model of {run.run_date}: run fine_tune first"
            )
        checkpoint = _sound(load_checkpoint(partition.path))
        return LoadedModel(checkpoint, Run(partition.run_date, partition.directory_id))
    except (NightcartError, OSError) as error:
        log.error("the candidate cannot be used: %s", error)
        return LoadedModel(None, None, f"the candidate cannot be used: {error}")


def _previous(lake: Lake, run: Run, settings: Settings) -> LoadedModel:
    """The champion as of the night before; none where it cannot be loaded any more."""
    try:
        record = champion_before(lake, run.run_date)
        if record is None or record.model_run is None:
            return LoadedModel(None, None)
        directory = lake.run_directory(MODELS, record.model_run)
        why = held_out_otherwise(directory, settings)
        if why:
            log.warning("the champion %s is not measured: %s", record.model_version, why)
        said = f"the champion {record.model_version} is not measured: {why}" if why else None
        return LoadedModel(_sound(load_checkpoint(directory)), record.model_run, unmeasured=said)
    except (NightcartError, OSError) as error:
        log.error("the champion cannot be used any more and is dropped: %s", error)
        return LoadedModel(None, None, f"the previous champion cannot be used: {error}")


def _sound(checkpoint: Checkpoint) -> Checkpoint:
    for name, weights in checkpoint.model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise NightcartError(
                f"{checkpoint.model_version} has weights that are not finite numbers ({name})"
            )
    return checkpoint


def _scorers(
    histories: Sequence[Sequence[int]],
    facts: ItemFacts,
    candidate: LoadedModel,
    previous: LoadedModel,
    settings: Settings,
) -> dict[str, Scorer]:
    items = facts.items
    scorers = {POPULARITY: history_scorer(facts.popularity.scores, items)}
    for name, shape in SHAPES.items():
        counted = fit_markov(histories, facts.popularity, len(items.item_ids), shape)
        scorers[name] = history_scorer(counted.scores, items)
    for name, loaded in ((CANDIDATE, candidate), (CHAMPION, previous)):
        if loaded.checkpoint is not None and loaded.unmeasured is None:
            scorers[name] = model_scorer(
                loaded.checkpoint.model,
                loaded.checkpoint.vocabulary,
                items,
                settings.histories.max_events,
                loaded.checkpoint.prior,
            )
    return scorers


def _repeat_scorers(
    users: Sequence[UserHistory], facts: ItemFacts, settings: Settings
) -> dict[str, Scorer]:
    """The baselines that know what users buy again; none where no list may repeat an item."""
    if settings.generation.exclude_owned:
        return {}
    targets = settings.histories.target_event_types
    return {
        name: visit_scorer(name, users, facts.items, facts.popularity, targets)
        for name in REPEAT_BASELINES
    }


def _decision(
    candidate: LoadedModel, ndcg_B_of: Mapping[str, Floats], settings: Settings
) -> Decision:
    if candidate.checkpoint is None:
        return Decision(False, candidate.fault or "there is no candidate")
    return decide(ndcg_B_of, settings.evaluation.champion_tolerance, settings.seed)


def _decided_by_hand(lake: Lake, run: Run, record: ChampionRecord) -> ChampionRecord:
    """The record of a person's decision, which stays when the date is evaluated again.

    A record that cannot be read is replaced by this evaluation's.
    """
    try:
        decided = champion_of(lake, run.run_date)
    except InputError as error:
        log.warning("whatever a person decided for this night is lost: %s", error)
        return record
    if decided is None or decided.decided_by is None:
        return record
    why = f"{decided.why.partition(GATE_SAYS)[0]}{GATE_SAYS}{record.why}"
    return replace(decided, why=why, fallback=record.fallback)


def _card(
    lake: Lake, candidate: LoadedModel, rows: Sequence[Mapping[str, Any]], decision: Decision
) -> str | None:
    """The candidate's card with what was measured; none without a candidate."""
    if candidate.run is None:
        return None
    directory = lake.run_directory(MODELS, candidate.run)
    return evaluated_card(directory, rows, decision)


def _record(
    candidate: LoadedModel, previous: LoadedModel, decision: Decision, fallback: str | None
) -> ChampionRecord:
    chosen = candidate if decision.promoted else previous
    notes = [decision.why, previous.fault or "", previous.unmeasured or ""]
    if chosen.checkpoint is None or chosen.run is None:
        notes.append("no champion: generation uses the fallback")
        why = "; ".join(filter(None, notes))
        return ChampionRecord(None, None, None, False, why, fallback=fallback)
    return ChampionRecord(
        chosen.run.run_date.isoformat(),
        chosen.run.run_id,
        chosen.checkpoint.model_version,
        decision.promoted,
        "; ".join(filter(None, notes)),
        fallback=fallback,
    )


def _write(
    lake: Lake,
    run: Run,
    rows: list[dict[str, Any]],
    record: ChampionRecord,
    card: str | None,
) -> None:
    contract = load_contract(METRICS)
    table = check_table(pa.Table.from_pylist(rows, schema=arrow_schema(contract)), contract)
    directory = lake.begin(METRICS, run)
    with storage_errors(f"cannot write {directory}"):
        pq.write_table(table, directory / "part-00000.parquet")
    lake.commit(METRICS, run, rows=table.num_rows)
    directory = lake.begin(CHAMPIONS, run)
    write_champion(directory, record)
    if card is not None:
        with storage_errors(f"cannot write {directory}"):
            (directory / CARD_FILE).write_text(card, encoding="utf-8")
    lake.commit(CHAMPIONS, run, rows=1, model_version=record.model_version)
