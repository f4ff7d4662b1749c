"""Search a recipe for a data set, judged on its validation items only; the test is never scored.

    python -m benchmarks.tune --dataset ../shared/data/amazon_beauty --trials 20

The data set's format is that of `benchmarks.quality`, and so is the split. A trial trains with the
nights' own code on what comes before the validation item and is worth the NDCG@10 of the validation
items with the prior that `choose_prior` takes. The space:

    model.n_layer             1, 2
    model.n_embd              64, 128
    model.dropout             0.2 to 0.6, steps of 0.1
    training.learning_rate    1e-3 to 5e-3, logarithmic
    training.weight_decay     0.003 to 0.1, logarithmic
    training.later_weight     0, 0.25, 0.5
    training.batch_tokens     512, 1024, 2048

The first trial is the recipe of `benchmarks.quality`; then Optuna's tree of Parzen estimators
proposes, with a fixed seed. A trial whose validation NDCG at an epoch is below the median of the
earlier ones at that epoch ends there. The longest schedule is `--epochs`. On `amazon_beauty` a
trial takes two to five minutes of processor; `--every 10` takes a tenth of the users. Optuna is a
package of development: the product does not need it.

`--study FILE` keeps the trials in an SQLite file, and a later call goes on from them. Prints a line
a trial and, last, one line of JSON with the best recipe, ready for `benchmarks.quality --set`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import optuna
import torch

from benchmarks.quality import RECIPE, settings_of, train
from benchmarks.quality_data import MAX_EVENTS, Dataset, all_items, histories, read_dataset
from pipeline.errors import InputError
from pipeline.ranking.held_out_ranks import held_out_ranks, measurable, model_scorer
from pipeline.ranking.metrics import ndcg

SEED = 1
# Trials of which every epoch is seen before any is cut short.
WHOLE_TRIALS = 4
SPACE = (
    "model.n_layer",
    "model.n_embd",
    "model.dropout",
    "training.learning_rate",
    "training.weight_decay",
    "training.later_weight",
    "training.batch_tokens",
)


def proposed(trial: optuna.Trial) -> dict[str, str]:
    """A point of the space, as settings."""
    return {
        "model.n_layer": str(trial.suggest_categorical("model.n_layer", [1, 2])),
        "model.n_embd": str(trial.suggest_categorical("model.n_embd", [64, 128])),
        "model.dropout": f"{trial.suggest_float('model.dropout', 0.2, 0.6, step=0.1):.1f}",
        "training.learning_rate": (
            f"{trial.suggest_float('training.learning_rate', 1e-3, 5e-3, log=True):.2e}"
        ),
        "training.weight_decay": (
            f"{trial.suggest_float('training.weight_decay', 3e-3, 0.1, log=True):.2e}"
        ),
        "training.later_weight": str(
            trial.suggest_categorical("training.later_weight", [0.0, 0.25, 0.5])
        ),
        "training.batch_tokens": str(
            trial.suggest_categorical("training.batch_tokens", [512, 1024, 2048])
        ),
    }


def validation_ndcg(data: Dataset, trial: optuna.Trial, epochs: int) -> float:
    """Train one recipe; NDCG@10 of the validation items."""
    settings = settings_of(proposed(trial) | {"training.max_epochs": str(epochs)})
    known, items = histories(data.pasts, 2), all_items(data)
    epoch, started = itertools.count(), time.process_time()

    def watch(found: float) -> None:
        trial.report(found, next(epoch))
        if trial.should_prune():
            raise optuna.TrialPruned

    made = train(data, known, settings, validate=True, watch=watch)
    scorer = model_scorer(made.model, made.vocabulary, items, MAX_EVENTS, made.prior)
    ranks = held_out_ranks(scorer, measurable(known, items), items, mask_owned=True)
    found = ndcg(ranks, settings.evaluation.k)
    trial.set_user_attr("cpu_seconds", round(time.process_time() - started))
    trial.set_user_attr("prior_weight", made.prior.weight)
    return found


def say(_study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """A trial's line."""
    value = "cut short" if trial.value is None or trial.state.name != "COMPLETE" else trial.value
    print(f"trial {trial.number}: {value} {trial.user_attrs} {trial.params}", flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", type=Path, required=True, help="as of benchmarks.quality")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--minutes", type=float, help="start no trial after so many")
    parser.add_argument("--epochs", type=int, default=int(RECIPE["training.max_epochs"]))
    parser.add_argument("--every", type=int, default=1, help="one user in so many")
    parser.add_argument("--study", type=Path, help="keep the trials there, and go on from them")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print what was found."""
    asked = arguments(argv)
    try:
        data = read_dataset(asked.dataset, every=asked.every)
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(settings_of({}).training.threads or torch.get_num_threads())
    study = optuna.create_study(
        study_name=f"{data.name}, one in {asked.every}, {asked.epochs} epochs",
        storage=f"sqlite:///{asked.study.resolve()}" if asked.study else None,
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WHOLE_TRIALS),
    )
    if not study.trials:
        defaults = settings_of(RECIPE).values()
        study.enqueue_trial({name: defaults[name] for name in SPACE})
    study.optimize(
        lambda trial: validation_ndcg(data, trial, asked.epochs),
        n_trials=asked.trials,
        timeout=asked.minutes * 60 if asked.minutes else None,
        callbacks=[say],
    )
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if not done:
        print("no trial came to its end", file=sys.stderr)
        return 1
    best = study.best_trial
    print(
        json.dumps(
            {
                "dataset": data.name,
                "users": len(data.pasts),
                "trials": len(study.trials),
                "whole": len(done),
                "validation_ndcg@10": {"best": best.value, "recipe": study.trials[0].value},
                "best": best.params,
            }
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
