"""A night's fine-tuning: read, build the vocabulary and the rows, train, save, commit.

Reads `histories`, `catalogue`, `item_words` of the night, `cleaned_reviews` of the past and the
champion as of the night before. Writes the dataset `models`: a plain Hugging Face directory with
`training_log.json` and a model card. Guarantees: only what was known before the end of the night's
day and before each user's held-out event is trained on; shoppers who do not agree to personalised
marketing are not; on one CPU the same inputs, settings and seed give the same weights.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from pipeline.errors import NightcartError
from pipeline.evaluation.metrics import ndcg
from pipeline.evaluation.ranking import Items, held_out_ranks, measurable, model_scorer
from pipeline.lake import Lake, Partition, Run, storage_errors, write_json
from pipeline.model.champion import champion_before
from pipeline.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from pipeline.model.transitions import Prior
from pipeline.model.user_history import UserHistory, held_out
from pipeline.model.vocabulary import Vocabulary
from pipeline.settings import Settings, Training
from pipeline.training.bookmark import Bookmarks, training_fingerprint
from pipeline.training.cost import Meter
from pipeline.training.curves import Curves
from pipeline.training.epoch import Conditions
from pipeline.training.fit import EpochLog, Fitted, fit
from pipeline.training.item_descriptions import feature_matrix
from pipeline.training.model_card import model_card
from pipeline.training.new_items import lift, with_stand_ins
from pipeline.training.night_inputs import NightInputs, read_inputs
from pipeline.training.night_rows import (
    items_met,
    night_rows,
    night_vocabulary,
    refuse_nothing_to_learn,
    unmet_items,
)
from pipeline.training.prior_choice import choose_prior
from pipeline.training.provenance import code_used, data_read, settings_told
from pipeline.training.starting_model import load_base_model, same_network, starting_model
from pipeline.training.team import ALONE, Team, training_device
from pipeline.training.text_phase import TextFitted, TextLog, fit_text, split_text
from pipeline.training.training_rows import TrainingRow

log = logging.getLogger("nightcart")

TRAINING_LOG = "training_log.json"
TEXT_LOG = "text_log.json"
STAGE = "fine_tune"
CURVES = "tensorboard"
TRAINING_REPORT = "training_report.json"
MODEL_CARD = "README.md"


@dataclass(frozen=True)
class FineTuned:
    """What a night's training made."""

    partition: Partition
    checkpoint: Checkpoint
    n_histories: int
    n_users: int
    n_consenting: int
    report: dict[str, Any]


@dataclass(frozen=True)
class _Ready:
    """Everything that training needs; every process of a team makes the same."""

    night: dt.date
    inputs: NightInputs
    champion: Checkpoint | None
    vocabulary: Vocabulary
    model: GPT2LMHeadModel
    rows: Mapping[str, list[TrainingRow]]


def fine_tune(lake: Lake, run: Run, settings: Settings, team: Team = ALONE) -> FineTuned:
    """Train the night's model and commit it.

    Args:
        team: the processes that train together; this is the first of them, the others `follow`.

    Raises:
        GateError: there is too little to train on.
        BrokenModelError: nothing came of it: no item to learn, or a loss or weights that are no
            numbers.
        InputError: the night has no histories or no catalogue.
        SettingsError: the base model cannot be used.
    """
    meter = Meter.start()
    ready = _ready(lake, run, settings)
    inputs, champion = ready.inputs, ready.champion
    vocabulary, model, rows = ready.vocabulary, ready.model, ready.rows
    report: dict[str, Any] = {
        "users": inputs.n_trainable,
        "items": len(vocabulary.item_ids),
        "vocabulary": vocabulary.size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "rows": {kind: len(of_kind) for kind, of_kind in rows.items()},
        "warm_start_from": champion.model_version if champion else None,
    }
    log.info("%s", ", ".join(f"{name} {value}" for name, value in report.items()))
    fitted, texts = _train(ready, settings, _conditions(lake, run, settings, ready, team))
    model.to("cpu")
    prior = _with_new_items(ready, _prior(model, vocabulary, inputs, settings), settings)
    report |= {
        "epochs": len(fitted.epochs),
        "best_epoch": fitted.best_epoch,
        "best_validation_ndcg": fitted.best_ndcg,
        "prior_weight": prior.weight,
        "text_epochs": len(texts.epochs),
        "text_loss_held_out": texts.held_out_loss,
        "data": data_read(lake, run, inputs),
        "code": code_used(),
        "cost": meter.spent(),
    }
    partition, checkpoint = _save(
        lake,
        run,
        settings,
        trained=(model, vocabulary, prior, fitted.epochs, texts.epochs),
        report=report,
    )
    report["model_version"] = checkpoint.model_version
    shutil.rmtree(lake.work(STAGE, run), ignore_errors=True)
    return FineTuned(
        partition,
        checkpoint,
        inputs.history_rows,
        inputs.n_trainable,
        len(inputs.users),
        report,
    )


def follow(lake: Lake, run: Run, settings: Settings, team: Team) -> None:
    """Train along with the first process of a team, which alone writes."""
    ready = _ready(lake, run, settings)
    _train(ready, settings, _conditions(lake, run, settings, ready, team))


def _ready(lake: Lake, run: Run, settings: Settings) -> _Ready:
    inputs = read_inputs(lake, run, settings)
    champion = _champion(lake, run) if settings.training.warm_start else None
    base = load_base_model(settings.model.base_model) if settings.model.base_model else None
    if settings.training.threads:
        torch.set_num_threads(settings.training.threads)
    vocabulary = night_vocabulary(inputs, settings, base)
    model = starting_model(
        vocabulary,
        {item.item_id: item.description for item in inputs.catalogue},
        settings.model,
        settings.seed,
        pasts=[user.known_items for user in inputs.users],
        base=base,
        champion=champion,
    )
    if champion is not None and not same_network(champion.model.config, model.config):
        champion = None  # and a start from nothing is trained, told and kept as one
    rows = night_rows(vocabulary, inputs, settings, model.config.n_positions)
    refuse_nothing_to_learn(vocabulary, rows, inputs)
    return _Ready(run.run_date, inputs, champion, vocabulary, model.to(training_device()), rows)


def _conditions(lake: Lake, run: Run, settings: Settings, ready: _Ready, team: Team) -> Conditions:
    """Bookmarks in the run's scratch space, which a retry goes on from; curves beside its records."""
    told = {
        **settings_told(settings),
        **code_used(),
        "team": team.size,
        "from_champion": ready.champion is not None,
        "validation": [user.user_id for user in held_out(ready.inputs.users, "validation")],
    }
    rows = [row for of_kind in ready.rows.values() for row in of_kind]
    fingerprint = training_fingerprint(told, rows, ready.model.state_dict())
    return Conditions(
        team,
        Bookmarks(lake.work(STAGE, run), fingerprint, settings.training.checkpoint_seconds),
        Curves(lake.records(run) / CURVES) if team.is_first else None,
    )


def _champion(lake: Lake, run: Run) -> Checkpoint | None:
    """Last night's champion; one that cannot be read is no reason not to train."""
    try:
        record = champion_before(lake, run.run_date)
        directory = record.model_directory(lake) if record else None
        return load_checkpoint(directory) if directory else None
    except NightcartError as error:
        log.warning("starting without the champion: %s", error)
        return None


def _train(ready: _Ready, settings: Settings, conditions: Conditions) -> tuple[Fitted, TextFitted]:
    """Text first, then all of it; a night without reasons to learn from has no text phase."""
    model, vocabulary, rows = ready.model, ready.vocabulary, ready.rows
    items = [row for of_kind in rows.values() for row in of_kind if not row.is_text]
    texts = [row for of_kind in rows.values() for row in of_kind if row.is_text]
    unmet_I = unmet_items(vocabulary, ready.inputs, ready.night, settings)
    written = TextFitted([], 0, None)
    if rows["reason"] and settings.training.text_epochs:
        texts, held_out = split_text(texts)
        written = fit_text(
            model,
            vocabulary,
            texts,
            held_out,
            items,
            settings=settings.training,
            seed=settings.seed,
            unmet_I=unmet_I,
            conditions=conditions,
        )
    fitted = fit(
        model,
        vocabulary,
        [*items, *texts],
        _validation(vocabulary, ready.inputs, settings),
        settings=_at_its_rate(settings.training, warm=ready.champion is not None),
        seed=settings.seed,
        may_keep_start=ready.champion is not None or written.best_epoch > 0,
        features_IF=feature_matrix(ready.inputs.catalogue, vocabulary),
        unmet_I=unmet_I,
        conditions=conditions,
    )
    if conditions.curves is not None:
        conditions.curves.close()
    return fitted, written


def _at_its_rate(training: Training, *, warm: bool) -> Training:
    """A champion is refined: the rate that a start from nothing needs would unlearn it first."""
    if not warm:
        return training
    return replace(training, learning_rate=training.learning_rate * training.warm_rate)


def _validation(
    vocabulary: Vocabulary, inputs: NightInputs, settings: Settings
) -> Callable[[GPT2LMHeadModel], float] | None:
    """NDCG@k on the validation half; none where that half is empty."""
    items, users = _validation_half(inputs, settings)
    k = settings.evaluation.k

    def validation_ndcg(model: GPT2LMHeadModel) -> float:
        scorer = model_scorer(model, vocabulary, items, settings.histories.max_events)
        return ndcg(held_out_ranks(scorer, users, items), k)

    return validation_ndcg if users else None


def _prior(
    model: GPT2LMHeadModel, vocabulary: Vocabulary, inputs: NightInputs, settings: Settings
) -> Prior:
    """Transitions of the past, weighed by the validation half."""
    items, users = _validation_half(inputs, settings)
    return choose_prior(
        model,
        vocabulary,
        [user.known_items for user in inputs.users],
        users,
        items,
        settings.histories.max_events,
        settings.evaluation.k,
    )


def _with_new_items(ready: _Ready, prior: Prior, settings: Settings) -> Prior:
    """The prior with new items in it; the model's rows of them are moved."""
    quantile = settings.training.new_item_quantile
    if not quantile:
        return prior
    model, vocabulary, inputs = ready.model, ready.vocabulary, ready.inputs
    new_I = unmet_items(vocabulary, inputs, ready.night, settings).numpy()
    met = items_met(inputs)
    met_I = np.array([item in met for item in vocabulary.item_ids], dtype=np.bool_)
    max_events = settings.histories.max_events
    lift(model, vocabulary, inputs.users, met_I, new_I, quantile, max_events)
    features_IF = feature_matrix(inputs.catalogue, vocabulary)
    return with_stand_ins(prior, features_IF, met_I, new_I)


def _validation_half(inputs: NightInputs, settings: Settings) -> tuple[Items, list[UserHistory]]:
    items = Items(
        tuple(item.item_id for item in inputs.catalogue),
        np.array([item.sellable for item in inputs.catalogue], dtype=np.bool_),
    )
    users = measurable(held_out(inputs.users, "validation"), items)
    return items, users[: settings.evaluation.max_users]


def _save(
    lake: Lake,
    run: Run,
    settings: Settings,
    *,
    trained: tuple[GPT2LMHeadModel, Vocabulary, Prior, Sequence[EpochLog], Sequence[TextLog]],
    report: Mapping[str, Any],
) -> tuple[Partition, Checkpoint]:
    model, vocabulary, prior, epochs, text_epochs = trained
    directory = lake.begin("models", run)
    with storage_errors(f"cannot write the model to {directory}"):
        checkpoint = save_checkpoint(directory, model, vocabulary, run.run_date, prior)
        lines = [asdict(line) for line in epochs]
        (directory / TRAINING_LOG).write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
        lines = [asdict(line) for line in text_epochs]
        (directory / TEXT_LOG).write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")
        said = {**report, "model_version": checkpoint.model_version}
        write_json(directory / TRAINING_REPORT, {**said, "settings": settings_told(settings)})
        card = model_card(run, settings, said)
        (directory / MODEL_CARD).write_text(card, encoding="utf-8")
    partition = lake.commit(
        "models",
        run,
        rows=sum(report["rows"].values()),
        model_version=checkpoint.model_version,
    )
    return partition, checkpoint
