"""Next-item quality on a public data set, by the nights' own training code, beside baselines.

    python -m benchmarks.quality --dataset ../shared/data/amazon_beauty --seeds 1,2,3

The data set is a directory with `interactions.csv` (`user_id,item_id` and `position` or
`timestamp`) and, if there is one, `items.csv` (`item_id` and any of `title,brand,category`): the
format is described in `benchmarks.quality_data`. Leave-one-out by that order: each user's last item
is the test, the one before it the validation, earlier ones are trained on; users with fewer than
three are trained on only. Inputs are the last 50 events; ranking is over every item.

`strict`: the validation item is only part of the test's input. `refit`: it is trained on and
counted too, as a night would; the whole schedule is run, and the prior's shape and weight are those
of the strict run of the same seed. Every choice is made on validation; the test is scored once for
each row printed. `--mask` leaves out of a list what the user has; `--no-mask` leaves it in; by
default both are shown.

The recipe is the settings' own but for `RECIPE`, what many items with few events each ask for;
`--set training.max_epochs=8` tries another, `--quick` takes a tenth of the users and two epochs to
see that everything runs. Prints a line per figure and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from benchmarks.quality_baselines import baseline_scorers
from benchmarks.quality_data import (
    MAX_EVENTS,
    START,
    Dataset,
    all_items,
    every_so_often,
    histories,
    items_vocabulary,
    read_dataset,
)
from benchmarks.quality_networks import NETWORKS
from pipeline.errors import InputError
from pipeline.model.checkpoint import load_checkpoint, save_checkpoint
from pipeline.model.item_features import feature_matrix
from pipeline.model.prior import Prior
from pipeline.model.transitions import fit_transitions
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import Vocabulary
from pipeline.ranking.held_out_ranks import Items, Scorer, held_out_ranks, measurable, model_scorer
from pipeline.ranking.metrics import ndcg, recall
from pipeline.settings import Settings, load_settings
from pipeline.training.prior_choice import choose_prior
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.training_rows import history_rows
from pipeline.training.starting_model import starting_model

CUTOFFS = (5, 10, 20)
# Chosen on the validation items of amazon_beauty (docs/experiments/quality.md).
RECIPE = {
    "model.n_layer": "1",
    "model.n_embd": "128",
    "model.dropout": "0.5",
    "training.learning_rate": "2e-3",
    "training.max_epochs": "12",
}
# What a kept model must have been made with to be used again.
_DECIDES = ("model.", "training.", "seed")


@dataclass(frozen=True)
class Trained:
    """A model, what it speaks, and what is added to it."""

    model: GPT2LMHeadModel
    vocabulary: Vocabulary
    prior: Prior
    cpu_seconds: float


def train(
    data: Dataset,
    known: Sequence[UserHistory],
    settings: Settings,
    *,
    validate: bool,
    watch: Callable[[float], None] = lambda _: None,
) -> Trained:
    """Train on what is known of the users; the epoch and the prior by what is held out of them.

    Args:
        watch: told the validation NDCG before the first epoch and after each.
    """
    started = time.process_time()
    vocabulary = items_vocabulary(data)
    pasts = [user.known_items for user in known]
    model = starting_model(vocabulary, {}, settings.model, settings.seed, pasts=pasts)
    rows = history_rows(vocabulary, known, MAX_EVENTS, model.config.n_positions)
    items = all_items(data)
    users = measurable(known, items)
    some = every_so_often(users)

    def validation_ndcg(model: GPT2LMHeadModel) -> float:
        scorer = model_scorer(model, vocabulary, items, MAX_EVENTS)
        found = ndcg(held_out_ranks(scorer, some, items, mask_owned=True), settings.evaluation.k)
        watch(found)
        return found

    fit_ranking(
        model,
        vocabulary,
        rows,
        validation_ndcg if validate else None,
        settings=settings.training,
        seed=settings.seed,
        features_IF=feature_matrix(data.catalogue, vocabulary.item_ids),
    )
    prior = Prior(fit_transitions([], len(vocabulary.item_ids)), 0.0)
    if validate:
        prior = choose_prior(
            model,
            vocabulary,
            pasts,
            users,
            items,
            MAX_EVENTS,
            settings.evaluation.k,
            mask_owned=True,
        )
    return Trained(model, vocabulary, prior, time.process_time() - started)


def figures(
    scorer: Scorer, users: Sequence[UserHistory], items: Items, mask: bool
) -> dict[str, float]:
    """NDCG and Recall at every cut-off."""
    ranks = held_out_ranks(scorer, users, items, mask_owned=mask)
    return {f"ndcg@{k}": ndcg(ranks, k) for k in CUTOFFS} | {
        f"recall@{k}": recall(ranks, k) for k in CUTOFFS
    }


def measure_seed(
    data: Dataset, settings: Settings, protocols: Sequence[str], masks: Sequence[bool], keep: str
) -> list[dict[str, Any]]:
    """Every row of one seed. The strict model is made even where only refit is asked for."""
    validation, test = histories(data.pasts, 2), histories(data.pasts, 1)

    def strict_model() -> Trained:
        return train(data, validation, settings, validate=True)

    def refit_model() -> Trained:
        again = train(data, test, settings, validate=False)
        index = again.vocabulary.item_index
        counted = fit_transitions(
            [[index[item] for item in user.known_items] for user in test],
            len(index),
            strict.prior.transitions.shape,
        )
        return dataclasses.replace(
            again, prior=dataclasses.replace(strict.prior, transitions=counted)
        )

    strict = made_once(strict_model, data, settings, "strict", keep)
    rows = []
    if "strict" in protocols:
        rows += measure_model(strict, data, test, masks, ("strict", settings.seed))
    if "refit" in protocols:
        refit = made_once(refit_model, data, settings, "refit", keep)
        rows += measure_model(refit, data, test, masks, ("refit", settings.seed))
    return rows


def made_once(
    make: Callable[[], Trained], data: Dataset, settings: Settings, protocol: str, keep: str
) -> Trained:
    """A model of this data, protocol and settings from `keep`, or made and left there."""
    if not keep:
        return make()
    directory = Path(keep) / f"{data.name}-{protocol}-{settings.seed}"
    made_with = {
        "users": len(data.pasts),
        **{name: value for name, value in settings.values().items() if name.startswith(_DECIDES)},
    }
    label = directory / "benchmark.json"
    if label.is_file() and json.loads(label.read_text(encoding="utf-8"))["made_with"] == made_with:
        found = load_checkpoint(directory)
        seconds = json.loads(label.read_text(encoding="utf-8"))["cpu_seconds"]
        assert found.prior is not None  # saved with the label
        return Trained(found.model, found.vocabulary, found.prior, seconds)
    made = make()
    directory.mkdir(parents=True, exist_ok=True)
    save_checkpoint(directory, made.model, made.vocabulary, START.date(), made.prior)
    text = json.dumps({"made_with": made_with, "cpu_seconds": made.cpu_seconds}, indent=1)
    label.write_text(text + "\n", encoding="utf-8")
    return made


def measure_model(
    made: Trained,
    data: Dataset,
    test: Sequence[UserHistory],
    masks: Sequence[bool],
    which: tuple[str, int],
) -> list[dict[str, Any]]:
    """The test's rows of a model: alone and with its prior, masked and not."""
    items = all_items(data)
    users = measurable(test, items)
    rows = []
    for name, prior in (("gpt2", None), ("gpt2+prior", made.prior)):
        scorer = model_scorer(made.model, made.vocabulary, items, MAX_EVENTS, prior)
        for mask in masks:
            row = {
                "model": name,
                "protocol": which[0],
                "mask": mask,
                "seed": which[1],
                "prior_weight": prior.weight if prior else 0.0,
                "cpu_seconds": round(made.cpu_seconds),
                **figures(scorer, users, items, mask),
            }
            rows.append(row)
            say(row)
    return rows


def measure_baselines(
    data: Dataset, protocols: Sequence[str], masks: Sequence[bool]
) -> list[dict[str, Any]]:
    """Every row of the models without training."""
    items = all_items(data)
    test = histories(data.pasts, 1)
    users = measurable(test, items)
    rows = []
    for protocol in protocols:
        known = histories(data.pasts, 2) if protocol == "strict" else test
        for name, scorer in baseline_scorers(known, items).items():
            for mask in masks:
                row = {"model": name, "protocol": protocol, "mask": mask, "seed": None}
                rows.append(row | figures(scorer, users, items, mask))
                say(rows[-1])
    return rows


def measure_networks(
    data: Dataset, settings: Settings, masks: Sequence[bool]
) -> list[dict[str, Any]]:
    """Every strict row of the networks to compare with, of one seed."""
    items = all_items(data)
    known, test = histories(data.pasts, 2), histories(data.pasts, 1)
    vocabulary = items_vocabulary(data)
    rows = history_rows(vocabulary, known, MAX_EVENTS, settings.model.n_positions)
    some = every_so_often(measurable(known, items))
    users = measurable(test, items)
    made = []
    for name, network in NETWORKS.items():
        scorer = network(vocabulary, rows, some, items, MAX_EVENTS, settings)
        for mask in masks:
            row = {"model": name, "protocol": "strict", "mask": mask, "seed": settings.seed}
            made.append(row | figures(scorer, users, items, mask))
            say(made[-1])
    return made


def say(row: Mapping[str, Any]) -> None:
    """One figure's line."""
    mask = "seen masked" if row["mask"] else "not masked"
    print(
        f"{row['protocol']:7}{row['model']:22}{mask:12} seed {row['seed']}: "
        f"NDCG@10 {row['ndcg@10']:.4f}, Recall@10 {row['recall@10']:.4f}",
        flush=True,
    )


def means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Over seeds, with the spread of NDCG@10."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["protocol"], row["mask"]), []).append(row)
    return [
        {"model": model, "protocol": protocol, "mask": mask, "seeds": len(group)}
        | {
            name: round(statistics.fmean(row[name] for row in group), 5)
            for name in group[0]
            if "@" in name
        }
        | {"ndcg@10_sd": round(statistics.pstdev(row["ndcg@10"] for row in group), 5)}
        for (model, protocol, mask), group in groups.items()
    ]


def settings_of(recipe: Mapping[str, str]) -> Settings:
    """The defaults with what a recipe says otherwise."""
    return load_settings(
        None,
        {f"NIGHTCART_{key.replace('.', '__').upper()}": value for key, value in recipe.items()},
    )


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, required=True, help="a directory, see above")
    parser.add_argument(
        "--seeds", default="1,2,3", help="default: %(default)s; empty: baselines only"
    )
    parser.add_argument("--protocol", choices=["strict", "refit", "both"], default="both")
    parser.add_argument("--mask", action=argparse.BooleanOptionalAction, help="default: both")
    parser.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--networks", action="store_true", help="train a plain GPT-2 and a GRU too (strict only)"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the users, two epochs")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument(
        "--keep", default="", metavar="DIR", help="leave models there, use them again"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for."""
    asked = arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    changed = dict(change.split("=", 1) for change in asked.set)
    recipe = RECIPE | ({"training.max_epochs": "2"} if asked.quick else {}) | changed
    settings = settings_of(recipe)
    torch.set_num_threads(settings.training.threads or torch.get_num_threads())
    try:
        data = read_dataset(asked.dataset, every=10 if asked.quick else 1)
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    protocols = ["strict", "refit"] if asked.protocol == "both" else [asked.protocol]
    masks = [True, False] if asked.mask is None else [asked.mask]
    rows = measure_baselines(data, protocols, masks) if asked.baselines else []
    for seed in filter(None, asked.seeds.split(",")):
        seeded = dataclasses.replace(settings, seed=int(seed))
        rows += measure_seed(data, seeded, protocols, masks, asked.keep)
        if asked.networks and "strict" in protocols:
            rows += measure_networks(data, seeded, masks)
    found = means(rows)
    for row in found:
        say(row | {"seed": f"mean of {row['seeds']}"})
    print(
        json.dumps(
            {
                "dataset": data.name,
                "users": len(data.pasts),
                "items": len(data.catalogue),
                "recipe": recipe,
                "quick": asked.quick,
                "rows": rows,
                "means": found,
            }
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
