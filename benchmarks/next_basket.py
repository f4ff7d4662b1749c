"""Next basket on Ta-Feng: counting, TIFU-KNN, every expert and their learned mixture, in one run.

    python -m benchmarks.next_basket --data ../shared/data/tafeng
    python -m benchmarks.next_basket --data ../shared/data/tafeng --split users --users 500
    python -m benchmarks.next_basket --data ../shared/data/tafeng --split time --without-test

`--split users` is `split.json`: everything is learned from the `train` users, chosen on `validate`,
and scored once on the last basket of the `test` users. The mixture learns from the last baskets of
the train users, a fifth of them at a time, under experts that are fit on the other four fifths.

`--split time` is `all_history.json` and `all_future.json`: the same users before and after. The
last basket of each history is held out: of some users the mixture learns from it, of others it is
what is chosen on. Then the experts are fit again on the whole histories, and `all_future` is scored
once.

Full ranking over every item; Recall, NDCG and PHR (the share of users with any hit) at 10, and each
of them for items that the user bought before (`repeat`) and for the others (`new`), of the same
lists. `counting` is GP-TopFreq. TIFU-KNN's parameters are chosen on validation. The mixture is the
mean of `--seeds` seeds, which draw the fifths, or who is learned from.

One thread, 2 cores shared: the users' split takes about 8 minutes, that of time 25; 3 GB of memory.
Prints each step, and last one line of JSON. GPT-2 is no expert here: the baskets have no words, and
its figures are on the page of experiments.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.next_basket_data import (
    Baskets,
    TimeSplit,
    UserSplit,
    read_time_split,
    read_user_split,
    wanted_of,
)
from pipeline.errors import InputError, NightcartError
from pipeline.model.list_methods import GP_TOPFREQ, TIFU_KNN
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.experts import Experts, fit_experts
from pipeline.ranking.metrics import ndcgs, recalls, top_items
from pipeline.ranking.mixture import BATCH_USERS, MIXTURE, alone_instead, gather, pair_rows
from pipeline.ranking.pair_logit import PairLogit
from pipeline.ranking.tifu_knn import TifuShape, fit_tifu_knn
from pipeline.ranking.visits import Booleans, Floats, Visits, visits_of

K = 10
FOLDS = 5
TIFU_SHAPES = tuple(
    TifuShape(neighbours, 0.9, across, groups, own)
    for neighbours, across, groups, own in product((100, 300, 900), (0.7,), (3, 7), (0.3, 0.5, 0.7))
)
# Of the time split: so many users are learned from, and so many chosen on.
MAX_LEARNING, MAX_VALIDATION = 2000, 600
COUNTING = ("g_topfreq", "p_topfreq", GP_TOPFREQ)
# What "1.15 times the best of counting and TIFU-KNN" is measured by.
BARS = (*COUNTING, TIFU_KNN)
MEASURES = ("recall", "ndcg", "phr")

UserValues = dict[str, Floats]


@dataclass(frozen=True)
class Asked:
    """Users with what they bought before, and what they bought next."""

    visits: Visits
    wanted_UI: Booleans

    def batches(self) -> Iterator[tuple[Visits, Booleans]]:
        """A few users at a time."""
        for start in range(0, self.visits.n_users, BATCH_USERS):
            stop = min(start + BATCH_USERS, self.visits.n_users)
            yield self.visits.of_users(start, stop), self.wanted_UI[start:stop]


def asked_of(baskets: Baskets, n_items: int) -> Asked:
    """The last basket is what is wanted."""
    earlier = [of_user[:-1] for of_user in baskets]
    return Asked(visits_of(earlier, n_items), wanted_of([b[-1] for b in baskets], n_items))


def measure(score_BI: Floats, wanted_BI: Booleans, bought_BI: Booleans) -> UserValues:
    """Each user's measures, over all that was bought, repeats alone and new items alone.

    A user for whom there is nothing to find has NaN.
    """
    top_BK = top_items(score_BI, K)
    values: UserValues = {}
    for kind, relevant_BI in (
        ("", wanted_BI),
        ("repeat ", wanted_BI & bought_BI),
        ("new ", wanted_BI & ~bought_BI),
    ):
        hit_BK = np.take_along_axis(relevant_BI, top_BK, axis=1)
        n_B = relevant_BI.sum(axis=1)
        found = (recalls(hit_BK, n_B), ndcgs(hit_BK, n_B), hit_BK.any(axis=1).astype(float))
        for name, value_B in zip(MEASURES, found, strict=True):
            values[kind + name] = np.where(n_B > 0, value_B, np.nan)
    return values


def measured(
    asked: Asked, experts: Experts, logits: Mapping[str, PairLogit]
) -> dict[str, UserValues]:
    """Every expert's and every mixture's measures of the same users, by name."""
    found: dict[str, list[UserValues]] = {}
    for visits, wanted_BI in asked.batches():
        feature_BIF, bought_BI = experts.features(visits)
        scores = experts.scores(visits)
        scores |= {name: logit.scores(feature_BIF, bought_BI) for name, logit in logits.items()}
        for name, score_BI in scores.items():
            found.setdefault(name, []).append(measure(score_BI, wanted_BI, bought_BI))
    return {
        name: {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        for name, parts in found.items()
    }


def best_tifu(reference: Visits, asked: Asked, say: Callable[[str], None]) -> TifuShape:
    """The shape of the highest NDCG; of equals the first."""
    figures = []
    for shape in TIFU_SHAPES:
        fitted = fit_tifu_knn(reference, shape)
        values = [
            measure(fitted.scores(visits), wanted_BI, visits.counts_UI.toarray() > 0)["ndcg"]
            for visits, wanted_BI in asked.batches()
        ]
        figures.append(float(np.mean(np.concatenate(values))))
    best = int(np.argmax(figures))
    say(f"TIFU-KNN: {TIFU_SHAPES[best]}, validation NDCG {figures[best]:.4f} of {len(figures)}")
    return TIFU_SHAPES[best]


def cross_fit(
    baskets: Baskets, n_items: int, shape: TifuShape, seed: int, ridge: float
) -> PairLogit:
    """The mixture of the users' split: each fifth of the users is asked of the other four."""
    fold_U = np.random.Generator(np.random.Philox(seed)).permutation(len(baskets)) % FOLDS
    rows = None
    for fold in range(FOLDS):
        others = [baskets[user] for user in np.flatnonzero(fold_U != fold)]
        mine = asked_of([baskets[user] for user in np.flatnonzero(fold_U == fold)], n_items)
        experts = fit_experts(visits_of(others, n_items), shape)
        rows = rows or pair_rows(experts)
        gather(rows, experts, mine.visits, mine.wanted_UI)
    assert rows is not None
    return rows.fit(ridge)


def by_users(
    split: UserSplit, seeds: int, ridge: float, test: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everything of `split.json`."""
    train, n_items = split.parts["train"], split.n_items
    reference = visits_of(train, n_items)
    chosen_on = asked_of(split.parts["validate"], n_items)
    shape = best_tifu(reference, chosen_on, say)
    experts = fit_experts(reference, shape)
    logits = {}
    for seed in range(seeds):
        logits[f"{MIXTURE} {seed}"] = cross_fit(train, n_items, shape, seed, ridge)
        say(f"seed {seed}: learned from {len(train):,} users")
    result = {"tifu": vars(shape), "weights": weights_of(logits[f"{MIXTURE} 0"])}
    validation = measured(chosen_on, experts, logits)
    result |= summary("validation", validation, say)
    if test:
        asked = asked_of(split.parts["test"], n_items)
        alone = result["validation"]["alone"]
        result |= summary("test", measured(asked, experts, logits), say, alone)
    return result


def by_time(
    split: TimeSplit, seeds: int, ridge: float, test: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everything of `all_history.json` and `all_future.json`."""
    n_items = split.n_items
    longer = [user for user, baskets in enumerate(split.history) if len(baskets) > 1]
    reference = visits_of(split.history, n_items).before_newest()
    order = np.random.Generator(np.random.Philox(0)).permutation(longer)
    n_validation = min(MAX_VALIDATION, len(order) // 2)
    if not n_validation:
        raise InputError(
            f"all_history.json has {len(order)} users of two or more baskets among those asked "
            "for; two are needed, one to learn from and one to choose on: ask for more --users"
        )
    others = order[n_validation:]
    chosen_on = asked_of([split.history[user] for user in order[:n_validation]], n_items)
    shape = best_tifu(reference, chosen_on, say)
    experts = fit_experts(reference, shape)
    logits = {}
    for seed in range(seeds):
        drawn = np.random.Generator(np.random.Philox([seed, 1])).permutation(others)[:MAX_LEARNING]
        mine = asked_of([split.history[user] for user in drawn], n_items)
        rows = pair_rows(experts)
        gather(rows, experts, mine.visits, mine.wanted_UI)
        logits[f"{MIXTURE} {seed}"] = rows.fit(ridge)
        say(f"seed {seed}: learned from {len(drawn):,} users")
    result = {"tifu": vars(shape), "weights": weights_of(logits[f"{MIXTURE} 0"])}
    result |= summary("validation", measured(chosen_on, experts, logits), say)
    if test:
        whole = visits_of(split.history, n_items)
        asked = Asked(whole, wanted_of(split.future, n_items))
        alone = result["validation"]["alone"]
        result |= summary("test", measured(asked, fit_experts(whole, shape), logits), say, alone)
    return result


def summary(
    part: str,
    values: Mapping[str, UserValues],
    say: Callable[[str], None],
    chosen: str | None = MIXTURE,
) -> dict[str, Any]:
    """Means by name, the mixture's over its seeds, and what is served: `alone`, or the mixture.

    Args:
        chosen: the expert that another part chose to rank alone, None for the mixture; by default
            this part chooses.
    """
    seeds = [name for name in values if name.startswith(MIXTURE)]
    singles = {name: of["ndcg"] for name, of in values.items() if name not in seeds}
    mean_of = {name: {key: float(np.nanmean(of[key])) for key in of} for name, of in values.items()}
    mixed = {key: float(np.mean([mean_of[s][key] for s in seeds])) for key in mean_of[seeds[0]]}
    rows = {name: mean_of[name] for name in singles} | {MIXTURE: mixed}
    for name, row in rows.items():
        figures = " / ".join(f"{row[measure]:.4f}" for measure in MEASURES)
        split = " / ".join(f"{row[f'{kind} recall']:.4f}" for kind in ("repeat", "new"))
        say(f"{part} {name}: Recall / NDCG / PHR@{K} {figures}; recall repeat / new {split}")
    best = {measure: max(rows[bar][measure] for bar in BARS) for measure in MEASURES}
    mean_ndcg_B = np.mean([values[name]["ndcg"] for name in seeds], axis=0)
    bar = max(BARS, key=lambda name: rows[name]["ndcg"])
    interval = difference_interval(mean_ndcg_B, values[bar]["ndcg"], 0)
    alone = alone_instead(mean_ndcg_B, singles) if chosen == MIXTURE else chosen
    return {
        part: {
            "users": len(mean_ndcg_B),
            "rows": {
                name: {key: round(value, 4) for key, value in row.items()}
                for name, row in rows.items()
            },
            "seeds": {name: round(mean_of[name]["ndcg"], 4) for name in seeds},
            "times_best_bar": {m: round(mixed[m] / best[m], 3) for m in MEASURES},
            f"ndcg_minus_{bar}": str(interval),
            "alone": alone,
            "served_ndcg": round(rows[alone or MIXTURE]["ndcg"], 4),
        }
    }


def weights_of(logit: PairLogit) -> dict[str, list[float]]:
    """The weights of items bought before and of new ones, by feature."""
    return {
        name: [round(float(logit.bought.weight_F[n]), 3), round(float(logit.new.weight_F[n]), 3)]
        for n, name in enumerate(logit.names)
    }


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.next_basket",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of Ta-Feng's files")
    parser.add_argument("--split", choices=["users", "time", "both"], default="both")
    parser.add_argument("--users", type=_positive, help="of each part only the first so many")
    parser.add_argument("--seeds", type=_positive, default=3, help="how many (3)")
    parser.add_argument("--ridge", type=float, default=10.0, help="of the mixture's weights (10)")
    parser.add_argument(
        "--without-test", action="store_true", help="validation only: for developing"
    )
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Read, choose, measure."""
    asked = arguments(argv)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    result: dict[str, Any] = {"k": K, "seeds": asked.seeds, "users": asked.users}
    options = (asked.seeds, asked.ridge, not asked.without_test, say)
    try:
        if asked.split in {"users", "both"}:
            result["by_users"] = by_users(read_user_split(asked.data, asked.users), *options)
        if asked.split in {"time", "both"}:
            result["by_time"] = by_time(read_time_split(asked.data, asked.users), *options)
    except NightcartError as error:
        raise SystemExit(str(error)) from None
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
