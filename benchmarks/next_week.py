r"""What shoppers bought in the week after a night, ranked by that night's model and by baselines.

    python -m benchmarks.next_week --data ../shared/data/online_retail --scratch DIR

Ten nights a month apart, the last of them a week before the last delivery. Each is trained and
judged by the night's own stages (`fine_tune`, `evaluate`) on histories made as of its date; nothing
that happened later is read but to score. `--start full` trains every night from nothing,
`--start warm` from the champion of the night before (the month before; `--apart day` takes the last
ten trading days instead), `--start both` does both and compares their validation NDCG.

Scored: the users who get lists that night (active and consenting) and bought something in the seven
days after it. Ranking is over every sellable item. New to the user: what a user owned is masked and
what was bought of it again does not count, as lists are published. Not masked: every purchase
counts, repeated ones too. With more than one purchase NDCG@10 is a share of the best ten places.

`night` is what would be published: the champion with its prior, after the gate. `gpt2` is the
night's model alone; `recounted` the champion with its prior's shape and weight over everything
known as of the date, the held-out events too; `mixture` what the night learned of counts, without
the model. Baselines are fit on everything known as of the date:
`markov` (windowed counts, ten steps, backing off to popularity), `first-order chain`, `popularity`,
`item-kNN`, and for shops where items come again `gp_topfreq` (own purchases, then popularity) and
`tifu_knn`.

A simulated shop shows whether warm nights stay as good as a full retrain where tastes do not
change:

    nightcart simulate --users 800 --out SHOP/simulator
    python -m benchmarks.next_week --data SHOP/simulator --scratch DIR \
        --nights 5 --apart day --start both

Over 300 days of `online_retail` (540 thousand rows, 4,300 customers) preparing costs about 10
minutes of processor, once for `--scratch`; a night of training about one. Nights that were measured
are kept there too, and a later call with the same settings goes on from them. `--last` takes other
nights, which is where to develop: a choice is made on other nights than the ten that are reported.
`--without-model` trains nothing and measures counts alone, in some 20 seconds a night.

    python -m benchmarks.next_week --data ../shared/data/online_retail --scratch DIR \
        --last 2011-11-17 --nights 3 --without-model

`--set` changes settings as in `benchmarks.quality`. Prints a line a night and, last, one line of
JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks.next_week_lake import (
    RUN_ID,
    WEEK,
    bought_after,
    link,
    nights_of,
    prepare,
    settings_for,
)
from benchmarks.quality_baselines import baseline_scorers, repeat_scorers
from pipeline.evaluation.evaluate import evaluate
from pipeline.lake import Lake, Run
from pipeline.model.catalogue import read_catalogue
from pipeline.model.checkpoint import load_checkpoint
from pipeline.model.prior import Prior
from pipeline.model.transitions import fit_transitions
from pipeline.model.user_history import UserHistory, read_histories
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.held_out_ranks import (
    BATCH_USERS,
    Items,
    Scorer,
    history_scorer,
    known_numbers,
    model_scorer,
)
from pipeline.ranking.metrics import ndcgs, recalls, top_items
from pipeline.settings import Settings, shop_timezone
from pipeline.training.fine_tune import fine_tune
from pipeline.training.mixture_choice import learn_mixture

K = 10
BARS = ("markov", "popularity", "item-kNN", "tifu_knn")


def whole(user: UserHistory) -> UserHistory:
    """Nothing held out: what the night's list is made from."""
    return dataclasses.replace(user, holdout_index=None, holdout_split=None)


def measure(
    scorer: Scorer,
    users: Sequence[UserHistory],
    bought: Mapping[str, set[str]],
    items: Items,
    mask: bool,
) -> dict[str, np.ndarray]:
    """NDCG@10 and Recall@10 of each user, -1 for one who bought nothing that counts."""
    index = items.index
    found: dict[str, list[np.ndarray]] = {"ndcg": [], "recall": []}
    for start in range(0, len(users), BATCH_USERS):
        batch = users[start : start + BATCH_USERS]
        scores_BI = np.array(scorer(batch), dtype=np.float64)
        scores_BI[:, ~items.sellable_I] = -np.inf
        wanted_BI = np.zeros(scores_BI.shape, dtype=np.bool_)
        for row, user in enumerate(batch):
            wanted_BI[row, [index[item] for item in bought[user.user_id] if item in index]] = True
            if mask:
                owned = [index[item] for item in user.owned_before_holdout() if item in index]
                scores_BI[row, owned] = -np.inf
                wanted_BI[row, owned] = False
        wanted_BI[:, ~items.sellable_I] = False
        hit_BK = np.take_along_axis(wanted_BI, top_items(scores_BI, K), axis=1)
        n_B = wanted_BI.sum(axis=1)
        for name, of in (("ndcg", ndcgs), ("recall", recalls)):
            found[name].append(np.where(n_B > 0, of(hit_BK, n_B), -1.0))
    return {name: np.concatenate(values or [np.zeros(0)]) for name, values in found.items()}


def active_users(lake: Lake, night: dt.date) -> set[str]:
    """Who gets a list."""
    rows = [
        row
        for file in lake.require("histories", night).files
        for row in pq.read_table(file, columns=["user_id", "active", "consent"]).to_pylist()
    ]
    return {row["user_id"] for row in rows if row["active"] and row["consent"]}


def train(lake: Lake, night: dt.date, settings: Settings) -> dict[str, Any]:
    """The night's own training and gate; what they said."""
    run, started = Run(night, RUN_ID), time.process_time()
    made = fine_tune(lake, run, settings)
    judged = evaluate(lake, run, settings)
    return {
        "validation_ndcg": made.report["best_validation_ndcg"],
        "best_epoch": made.report["best_epoch"],
        "prior_weight": made.report["prior_weight"],
        "warm_start_from": made.report["warm_start_from"],
        "promoted": judged.champion.promoted,
        "gate": judged.report["ndcg"],
        "cpu_seconds": round(time.process_time() - started),
    }


def measure_night(events: Lake, lake: Lake, night: dt.date, settings: Settings) -> dict[str, Any]:
    """Every figure of a night that is trained and judged in `lake`."""
    catalogue = read_catalogue(lake, night)
    items = Items(
        tuple(item.item_id for item in catalogue),
        np.array([item.sellable for item in catalogue], dtype=np.bool_),
    )
    histories = read_histories(lake, night)
    known = [whole(user) for user in histories]
    bought = bought_after(events, night, settings.histories.target_event_types)
    active = active_users(lake, night)
    users = [user for user in known if user.user_id in bought and user.user_id in active]
    scorers = baseline_scorers(known, items, settings.histories.target_event_types)
    scorers["markov"] = scorers.pop("windowed counts")
    scorers |= repeat_scorers(known, items, settings.histories.target_event_types)
    if lake.current("champions", night) is not None:
        scorers |= night_scorers(lake, night, known, items, settings, scorers["markov"])
    row: dict[str, Any] = {"night": night.isoformat(), "users": len(users)}
    for mask in (True, False):
        mixture = mixture_scorer(histories, items, night, settings, mask_owned=mask)
        of_mixture = {"mixture": mixture} if mixture else {}
        row["new to the user" if mask else "not masked"] = compared(
            scorers | of_mixture, users, bought, items, mask, settings.seed
        )
    return row


def mixture_scorer(
    histories: Sequence[UserHistory],
    items: Items,
    night: dt.date,
    settings: Settings,
    *,
    mask_owned: bool,
) -> Scorer | None:
    """The mixture of counts that the night would learn; none where an expert alone is better."""
    mixture = learn_mixture(
        histories,
        items.index,
        settings.histories.target_event_types,
        items.sellable_I,
        night,
        K,
        settings.histories.max_events,
        settings.seed,
        zone=shop_timezone(settings),
        mask_owned=mask_owned,
    )
    if mixture is None:
        return None
    weights_I = mixture.new.item_I
    return history_scorer(lambda pasts: mixture.scores(pasts).toarray() + weights_I, items)


def night_scorers(  # noqa: PLR0917  all of a night
    lake: Lake,
    night: dt.date,
    known: Sequence[UserHistory],
    items: Items,
    settings: Settings,
    fallback: Scorer,
) -> dict[str, Scorer]:
    """The night's model alone, and what it published."""
    model = load_checkpoint(lake.require("models", night).path)
    champion_directory = lake.require("champions", night).path
    record = json.loads((champion_directory / "champion.json").read_text(encoding="utf-8"))
    of_model = (model.model, model.vocabulary, items, settings.histories.max_events)
    scorers = {"gpt2": model_scorer(*of_model), "night": fallback, "recounted": fallback}
    if record["model_run_id"] is not None:
        run = Run(dt.date.fromisoformat(record["model_run_date"]), record["model_run_id"])
        best = load_checkpoint(lake.run_directory("models", run))
        of_best = (best.model, best.vocabulary, items, settings.histories.max_events)
        scorers["night"] = model_scorer(*of_best, best.prior)
        assert best.prior is not None  # every night of ours has one
        pasts = known_numbers(known, best.vocabulary)
        scorers["recounted"] = model_scorer(*of_best, recounted(best.prior, pasts))
    return scorers


def recounted(prior: Prior, pasts: Sequence[Sequence[int]]) -> Prior:
    """The same prior over other pasts; a mixture's item weights stay."""
    n_items = prior.transitions.counts_II.shape[0]
    counted = fit_transitions(pasts, n_items, prior.transitions.shape)
    if prior.mixture is None:
        return dataclasses.replace(prior, transitions=counted)
    followed = fit_transitions(pasts, n_items, prior.mixture.followed.shape)
    return dataclasses.replace(
        prior,
        transitions=counted,
        mixture=dataclasses.replace(prior.mixture, same=counted, followed=followed),
    )


def compared(  # noqa: PLR0917  what `measure` is told too
    scorers: Mapping[str, Scorer],
    users: Sequence[UserHistory],
    bought: Mapping[str, set[str]],
    items: Items,
    mask: bool,
    seed: int,
) -> dict[str, Any]:
    """The means of all scorers, and the night's (or the mixture's) less each bar's."""
    found: dict[str, Any] = {}
    ndcg_of = {}
    for name, scorer in scorers.items():
        values = measure(scorer, users, bought, items, mask)
        counts_B = values["ndcg"] >= 0
        ndcg_of[name] = values["ndcg"][counts_B]
        found["users"] = int(counts_B.sum())
        found[name] = {
            f"{measure_name}@{K}": round(float(value_B[counts_B].mean()), 5)
            for measure_name, value_B in values.items()
        }
    for name in ("night", "mixture"):
        for bar in BARS if name in ndcg_of else ():
            difference = difference_interval(ndcg_of[name], ndcg_of[bar], seed)
            found[f"{name}_minus_{bar}"] = [
                round(float(value), 5)
                for value in (difference.mean, difference.low, difference.high)
            ]
    return found


def made_once(
    scratch: Path,
    base: Settings,
    which: tuple[str, str],
    night: dt.date,
    asked: argparse.Namespace,
) -> dict[str, Any]:
    """A night's row from `scratch`, or measured and left there."""
    start, measure_again = which[0], asked.measure_again
    counts = ["counts"] if asked.without_model else []
    name = "-".join([*which, *counts, *(change.replace("/", "_") for change in asked.set)])
    models, label = Lake(scratch / f"models-{name}"), scratch / f"rows-{name}" / f"{night}.json"
    done: dict[str, Any] = {}
    if label.is_file():
        done = json.loads(label.read_text(encoding="utf-8"))
    if done and not measure_again:
        row = done
    else:
        warm = dataclasses.replace(base.training, warm_start=start == "warm")
        settings = dataclasses.replace(base, training=warm)
        link(scratch / "lake", models.root)
        trained = done.get("training")
        if not trained and not asked.without_model:
            trained = train(models, night, settings)
        row = measure_night(Lake(scratch / "lake"), models, night, settings)
        row["training"] = trained or "none"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(json.dumps(row) + "\n", encoding="utf-8")
    say(start, row)
    return row


def say(start: str, row: Mapping[str, Any]) -> None:
    """A night's line."""
    found = row["new to the user"]
    shown = [name for name in ("night", "recounted", "gpt2", "mixture", *BARS) if name in found]
    figures = ", ".join(f"{name} {found[name]['ndcg@10']:.4f}" for name in shown)
    every = ", ".join(
        f"{name} {row['not masked'][name]['ndcg@10']:.4f}"
        for name in ("night", "mixture", *BARS)
        if name in row["not masked"]
    )
    print(
        f"{start} {row['night']}: {found['users']} users, {figures}; not masked {every}; "
        f"{row['training']}",
        flush=True,
    )


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over nights, and on how many the night's lists are above each bar."""
    found: dict[str, Any] = {}
    for masked in ("new to the user", "not masked"):
        # A night without a mixture, or without a model, is in no mean of theirs.
        names = [
            name
            for name, of in rows[0][masked].items()
            if isinstance(of, dict) and all(name in row[masked] for row in rows)
        ]
        ndcg_of = {name: [row[masked][name]["ndcg@10"] for row in rows] for name in names}
        found[masked] = {
            "ndcg@10": {name: round(float(np.mean(of)), 5) for name, of in ndcg_of.items()},
            "nights_above": {
                name: {
                    bar: int(np.sum(np.array(ndcg_of[name]) > np.array(ndcg_of[bar])))
                    for bar in BARS
                }
                for name in ("night", "mixture")
                if name in ndcg_of
            },
            # Of the mean over nights; nights are drawn, with all their shoppers.
            "less": {
                f"{name}_minus_{bar}": str(
                    difference_interval(np.array(ndcg_of[name]), np.array(ndcg_of[bar]), 0)
                )
                for name in ("night", "mixture")
                for bar in (BARS if name in ndcg_of else ())
            },
        }
    return found


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.next_week",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder named as its source")
    parser.add_argument("--scratch", type=Path, required=True, help="lakes are kept there")
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument(
        "--last",
        type=dt.date.fromisoformat,
        metavar="DATE",
        help="the last night (a week before the last delivery)",
    )
    parser.add_argument("--without-model", action="store_true", help="counts alone; no training")
    parser.add_argument("--apart", choices=["month", "day"], default="month")
    parser.add_argument("--start", choices=["full", "warm", "both"], default="full")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument(
        "--measure-again",
        action="store_true",
        help="score kept models again, train only the others",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare, train, measure."""
    asked = arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    data, scratch = asked.data.resolve(), asked.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    base = settings_for(data, scratch, scratch / "lake", asked.set)
    torch.set_num_threads(base.training.threads or torch.get_num_threads())
    nights = nights_of(data, asked.nights, asked.apart, asked.last)
    prepare(base, nights, nights[-1] + WEEK)
    result: dict[str, Any] = {"nights": len(nights), "apart": asked.apart, "set": asked.set}
    for start in ("full", "warm") if asked.start == "both" else (asked.start,):
        rows = [made_once(scratch, base, (start, asked.apart), night, asked) for night in nights]
        result[start] = {"rows": rows} | summary(rows)
    if asked.start == "both":
        ratios = [
            full["training"]["validation_ndcg"] / warm["training"]["validation_ndcg"]
            for full, warm in zip(result["full"]["rows"], result["warm"]["rows"], strict=True)
        ]
        result["full_by_warm_validation_ndcg"] = [round(ratio, 4) for ratio in ratios]
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
