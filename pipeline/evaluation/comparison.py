"""Two models compared on the same held-out users of one night, in pairs.

Reads the night's `histories` and `catalogue` and both models. The `metrics` of two nights are of
different users and say little about which model is better; this comparison does.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from pipeline.datasets import MODELS
from pipeline.errors import InputError
from pipeline.evaluation.night_measures import Measures
from pipeline.lake import Lake, Run
from pipeline.model.catalogue import read_catalogue
from pipeline.model.checkpoint import load_checkpoint
from pipeline.model.user_history import held_out, read_histories
from pipeline.ranking.bootstrap import Interval, difference_interval, mean_intervals
from pipeline.ranking.held_out_ranks import Items, measurable, model_scorer, rank_users
from pipeline.settings import Settings


@dataclass(frozen=True)
class ComparedMeasure:
    """One measure of both models, and the difference first minus second."""

    metric: str
    first: Interval
    second: Interval
    difference: Interval

    @property
    def verdict(self) -> str:
        """Who is better beyond noise, in a word."""
        if self.difference.low > 0:
            return "first"
        return "second" if self.difference.high < 0 else "no difference beyond noise"


@dataclass(frozen=True)
class Comparison:
    """All measures, with the night and the number of users they are of."""

    versions: tuple[str, str]
    run_date: dt.date
    k: int
    n_users: int
    measures: list[ComparedMeasure]


def compare(lake: Lake, first: Run, second: Run, date: dt.date, settings: Settings) -> Comparison:
    """Rank the test half of a night with both models.

    Raises:
        InputError: a model is of a later night than the one compared on, or nobody is held out.
    """
    latest = max(first.run_date, second.run_date)
    if latest > date:
        raise InputError(
            f"a model of {latest} was trained on what {date} holds out; compare as of {latest} or "
            "a later night that was evaluated"
        )
    catalogue = read_catalogue(lake, date)
    items = Items(
        tuple(item.item_id for item in catalogue),
        np.array([item.sellable for item in catalogue], dtype=np.bool_),
    )
    users = measurable(held_out(read_histories(lake, date), "test"), items)
    users = users[: settings.evaluation.max_users]
    if not users:
        raise InputError(f"nobody has a held-out event in the test half of {date}")
    k = settings.evaluation.k
    measured, versions = [], []
    for run in (first, second):
        checkpoint = load_checkpoint(lake.run_directory(MODELS, run))
        versions.append(checkpoint.model_version)
        scorer = model_scorer(
            checkpoint.model,
            checkpoint.vocabulary,
            items,
            settings.histories.max_events,
            checkpoint.prior,
        )
        ranks = rank_users(
            scorer,
            users,
            items,
            k,
            mask_owned=settings.generation.exclude_owned,
            log_scores=True,
        )
        measured.append(Measures(checkpoint.model_version, "test", ranks, k).accuracy_B)
    one, other = measured
    return Comparison(
        (versions[0], versions[1]),
        date,
        k,
        len(users),
        [
            ComparedMeasure(
                name,
                mean_intervals(one[name][:, None], settings.seed)[0],
                mean_intervals(other[name][:, None], settings.seed)[0],
                difference_interval(one[name], other[name], settings.seed),
            )
            for name in ("ndcg", "recall", "mrr")
        ],
    )
