"""A night's fine-tuning: read, build the vocabulary and the rows, train, save, commit.

Reads `histories`, `catalogue`, `item_words` of the night, `cleaned_reviews` of the past and the
champion as of the night before. Writes the dataset `models`: a plain Hugging Face directory with
`training_log.json` and a model card. Guarantees: only what was known before the end of the night's
day and before each user's held-out event is trained on; shoppers who do not agree to personalised
marketing are not; weights that learned from shoppers who were erased are not gone on from; on one
CPU the same inputs, settings and seed give the same weights.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from pipeline.code_digest import code_digest
from pipeline.datasets import MODELS
from pipeline.erased import read_erased
from pipeline.errors import NightcartError
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.model.champion import champion_before
from pipeline.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from pipeline.model.held_out_rules import held_out_otherwise
from pipeline.model.item_features import feature_matrix
from pipeline.model.prior import Prior
from pipeline.model.user_history import held_out
from pipeline.model.vocabulary import Vocabulary
from pipeline.settings import Settings, shop_timezone
from pipeline.stages import FINE_TUNE
from pipeline.training.base_model import load_base_model
from pipeline.training.cost import Meter
from pipeline.training.items.new_items import lift, with_stand_ins
from pipeline.training.loop.learning_rate import refined
from pipeline.training.loop.phases import RunContext, Trained
from pipeline.training.loop.process_group import ALONE, ProcessGroup, training_device
from pipeline.training.loop.tensorboard import TensorBoard
from pipeline.training.loop.train_state import TrainCheckpoints, training_fingerprint
from pipeline.training.membership import Membership, canary_rows, measure_membership
from pipeline.training.mixture_choice import learn_mixture
from pipeline.training.model_files import write_model_files
from pipeline.training.night_inputs import NightInputs, read_inputs
from pipeline.training.night_rows import (
    met_items,
    night_rows,
    night_vocabulary,
    refuse_nothing_to_learn,
    unmet_items,
)
from pipeline.training.prior_choice import choose_mixture, choose_prior
from pipeline.training.provenance import code_used, data_read, settings_used
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.catalogue_rows import item_kinds
from pipeline.training.rows.training_rows import TrainingRow
from pipeline.training.starting_model import same_network, starting_model
from pipeline.training.text_phase import fit_text, split_text
from pipeline.training.validation_half import validation_half, validation_ndcg

log = logging.getLogger("nightcart")

TENSORBOARD = "tensorboard"


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
    """Everything that training needs; every process of the group makes the same."""

    night: dt.date
    inputs: NightInputs
    champion: Checkpoint | None
    anew: str | None  # why the night does not start from the champion that there is
    vocabulary: Vocabulary
    model: GPT2LMHeadModel
    rows: Mapping[str, list[TrainingRow]]


def fine_tune(lake: Lake, run: Run, settings: Settings, group: ProcessGroup = ALONE) -> FineTuned:
    """Train the night's model and commit it.

    Args:
        group: the processes that train together; this is the first of them, the others `follow`.

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
        **({"trained_anew": ready.anew} if ready.anew else {}),
    }
    log.info("%s", ", ".join(f"{name} {value}" for name, value in report.items()))
    ranking, text = _train(ready, settings, _run_context(lake, run, settings, ready, group))
    membership = _membership(ready, settings)
    model.to("cpu")
    prior = _with_new_items(ready, _prior(ready, settings), settings)
    report |= {
        "epochs": len(ranking.epochs),
        "best_epoch": ranking.best_epoch,
        "best_validation_ndcg": max(ranking.best, 0.0),
        "learning_rate": ranking.learning_rate,
        "prior_weight": prior.weight,
        "prior_own_weight": prior.own_weight,
        "prior_is_mixture": prior.mixture is not None,
        "text_epochs": len(text.epochs) if text else 0,
        "text_loss_held_out": text.best if text else None,
        "membership": asdict(membership) if membership else None,
        "data": data_read(lake, run, inputs),
        "code": code_used(),
        "cost": meter.spent(),
    }
    directory = lake.begin(MODELS, run)
    with storage_errors(f"cannot write the model to {directory}"):
        checkpoint = save_checkpoint(directory, model, vocabulary, run.run_date, prior)
        report["model_version"] = checkpoint.model_version
        write_model_files(directory, run, settings, ranking=ranking, text=text, report=report)
    partition = lake.commit(
        MODELS,
        run,
        rows=sum(report["rows"].values()),
        model_version=checkpoint.model_version,
    )
    shutil.rmtree(lake.work(FINE_TUNE, run), ignore_errors=True)
    return FineTuned(
        partition,
        checkpoint,
        inputs.history_rows,
        inputs.n_trainable,
        len(inputs.users),
        report,
    )


def follow(lake: Lake, run: Run, settings: Settings, group: ProcessGroup) -> None:
    """Train along with the first process of a group, which alone writes."""
    ready = _ready(lake, run, settings)
    _train(ready, settings, _run_context(lake, run, settings, ready, group))


def _ready(lake: Lake, run: Run, settings: Settings) -> _Ready:
    inputs = read_inputs(lake, run, settings.training, settings.histories.target_event_types)
    champion, anew = (
        _champion(lake, run, settings) if settings.training.warm_start else (None, None)
    )
    base = load_base_model(settings.model.base_model) if settings.model.base_model else None
    if settings.training.threads:
        torch.set_num_threads(settings.training.threads)
    vocabulary = night_vocabulary(inputs, settings.model.text_vocab_size, base)
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
    rows = night_rows(
        vocabulary,
        inputs,
        max_events=settings.histories.max_events,
        n_positions=model.config.n_positions,
        reasons=settings.reasons,
    )
    refuse_nothing_to_learn(vocabulary, rows, inputs)
    model = model.to(training_device())
    return _Ready(run.run_date, inputs, champion, anew, vocabulary, model, rows)


def _run_context(
    lake: Lake, run: Run, settings: Settings, ready: _Ready, group: ProcessGroup
) -> RunContext:
    """Checkpoints in the run's scratch space, for a retry; TensorBoard beside its records."""
    made_by = {
        **settings_used(settings),
        **code_used(),
        "modules": code_digest(__name__),
        "processes": group.size,
        "from_champion": ready.champion is not None,
        "validation": [user.user_id for user in held_out(ready.inputs.users, "validation")],
    }
    rows = [row for of_kind in ready.rows.values() for row in of_kind]
    fingerprint = training_fingerprint(made_by, rows, ready.model.state_dict())
    return RunContext(
        group,
        TrainCheckpoints(
            lake.work(FINE_TUNE, run), fingerprint, settings.training.checkpoint_seconds
        ),
        TensorBoard(lake.records(run) / TENSORBOARD) if group.is_first else None,
    )


def _champion(lake: Lake, run: Run, settings: Settings) -> tuple[Checkpoint | None, str | None]:
    """Last night's champion, or why the night starts from nothing although there is one.

    One that cannot be read is no reason not to train. The weights of one that has learned from
    users who were erased since are not gone on from, nor those of one that may know what is held
    out tonight.
    """
    erased = read_erased(lake)
    try:
        record = champion_before(lake, run.run_date)
        if record is None or record.model_run is None:
            return None, None
        if day := erased.learned_from(record.model_run):
            anew = (
                f"the champion {record.model_version} may have learned from shoppers who were "
                f"erased on {day}"
            )
            log.warning("training from nothing: %s", anew)
            return None, anew
        directory = lake.run_directory(MODELS, record.model_run)
        if why := held_out_otherwise(directory, settings):
            anew = f"the champion {record.model_version} is not gone on from: {why}"
            log.warning("training from nothing: %s", anew)
            return None, anew
        return load_checkpoint(directory), None
    except NightcartError as error:
        log.warning("starting without the champion: %s", error)
        return None, str(error)


def _canaries(texts: Sequence[TrainingRow], settings: Settings) -> list[TrainingRow]:
    return canary_rows(texts, settings.training.canaries, settings.seed)


def _membership(ready: _Ready, settings: Settings) -> Membership | None:
    """What can be told of the reviews that were learned; none without a phase of text."""
    if not (ready.rows["reason"] and settings.training.text_epochs):
        return None
    learned, unseen = split_text(ready.rows["reason"])
    found = measure_membership(
        ready.model,
        ready.vocabulary,
        learned,
        unseen,
        _canaries(learned, settings),
        batch_tokens=settings.training.batch_tokens,
        seed=settings.seed,
    )
    if found:
        log.info("told of the %s sentences that were learned: %s", f"{len(learned):,}", found)
    return found


def _train(
    ready: _Ready, settings: Settings, context: RunContext
) -> tuple[Trained, Trained | None]:
    """Train in two phases: text, where there are reasons to learn from; then all rows."""
    model, vocabulary, rows, inputs = ready.model, ready.vocabulary, ready.rows, ready.inputs
    items = [row for of_kind in rows.values() for row in of_kind if not row.is_text]
    texts = [row for of_kind in rows.values() for row in of_kind if row.is_text]
    unmet_I = unmet_items(vocabulary, inputs, ready.night, settings.histories.active_days)
    kind_I = item_kinds(unmet_I.numpy(), met_items(vocabulary, inputs))
    text = None
    if rows["reason"] and settings.training.text_epochs:
        texts, held_out_texts = split_text(texts, settings.training.catalogue_items)
        texts += _canaries(split_text(rows["reason"])[0], settings)
        text = fit_text(
            model,
            vocabulary,
            texts,
            held_out_texts,
            items,
            settings=settings.training,
            seed=settings.seed,
            unmet_I=unmet_I,
            kind_I=kind_I,
            context=context,
        )
    warm = ready.champion is not None
    ranking = fit_ranking(
        model,
        vocabulary,
        [*items, *texts],
        validation_ndcg(
            vocabulary,
            inputs,
            settings.evaluation,
            settings.histories.max_events,
            mask_owned=settings.generation.exclude_owned,
        ),
        settings=refined(settings.training) if warm else settings.training,
        seed=settings.seed,
        may_keep_start=warm or (text is not None and text.best_epoch > 0),
        features_IF=feature_matrix(inputs.catalogue, vocabulary.item_ids),
        unmet_I=unmet_I,
        kind_I=kind_I,
        context=context,
    )
    if context.tensorboard is not None:
        context.tensorboard.close()
    return ranking, text


def _prior(ready: _Ready, settings: Settings) -> Prior:
    """Transitions of the past, or a mixture of counts, weighed by the validation half."""
    items, users = validation_half(ready.inputs, settings.evaluation.max_users)
    vocabulary, k = ready.vocabulary, settings.evaluation.k
    max_events, mask_owned = settings.histories.max_events, settings.generation.exclude_owned
    prior = choose_prior(
        ready.model,
        vocabulary,
        [user.known_items for user in ready.inputs.users],
        users,
        items,
        max_events,
        k,
        mask_owned=mask_owned,
    )
    sellable = {item.item_id for item in ready.inputs.catalogue if item.sellable}
    mixture = learn_mixture(
        ready.inputs.users,
        vocabulary.item_index,
        settings.histories.target_event_types,
        np.array([item in sellable for item in vocabulary.item_ids], dtype=np.bool_),
        ready.night,
        k,
        max_events,
        settings.seed,
        zone=shop_timezone(settings),
        mask_owned=mask_owned,
    )
    if mixture is None:
        return prior
    return choose_mixture(
        prior,
        mixture,
        ready.model,
        vocabulary,
        users,
        items,
        max_events,
        k,
        settings.seed,
        mask_owned=mask_owned,
    )


def _with_new_items(ready: _Ready, prior: Prior, settings: Settings) -> Prior:
    """The prior with new items in it; the model's rows of them are moved."""
    quantile = settings.training.new_item_quantile
    if not quantile:
        return prior
    model, vocabulary, inputs = ready.model, ready.vocabulary, ready.inputs
    new_I = unmet_items(vocabulary, inputs, ready.night, settings.histories.active_days).numpy()
    met_I = met_items(vocabulary, inputs)
    max_events = settings.histories.max_events
    lift(model, vocabulary, inputs.users, met_I, new_I, quantile, max_events)
    features_IF = feature_matrix(inputs.catalogue, vocabulary.item_ids)
    return with_stand_ins(prior, features_IF, met_I, new_I)
