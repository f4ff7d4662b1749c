"""Lists for users whom the model cannot serve, by the baseline that was chosen on validation.

The baseline is what follows a user's newest items (`markov`, which is also taken where nothing was
measured), what is chosen by the same users (`item_knn`), or what is popular; where items may come
again also what the user bought most often (`gp_topfreq`), or that and what similar users bought
(`tifu_knn`). A list is the
baseline's where it holds an item that was counted with one of the user's; a list that only
popularity ordered is popularity's. The baseline is fit from the whole past of the consenting users
as of the night, by the code of the gate's baselines (which leave the held-out events out). It ranks
every sellable item, new ones too, under the same exclusions as the model. The score is the
estimated share of the item as the next event.

Shapes: U users, B users of a batch, I items of the whole catalogue, C candidates (sellable ones).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from pipeline.arrow_columns import Column, Lists, column, compute, numbers
from pipeline.datasets import HISTORIES
from pipeline.engine.beam_search import best_in_order
from pipeline.engine.exclusions import Exclusions, Integers
from pipeline.engine.ranker import NO_ALLOWED_ITEM, Ranking, empty_ranking
from pipeline.generation.lists.candidates import Candidates
from pipeline.generation.sharded_rows import contract_columns, read_batches
from pipeline.model.list_methods import REPEAT_BASELINES, TIFU_KNN
from pipeline.model.transitions import Transitions, TransitionShape, transition_counts
from pipeline.ranking.baselines import SHAPES, Booleans, Floats, Markov, popularity_of
from pipeline.ranking.best_baseline import DEFAULT
from pipeline.ranking.visit_baselines import (
    MAX_REFERENCE,
    VisitBaseline,
    fit_visit_baseline,
    is_later_rating,
    visits_of_events,
)
from pipeline.ranking.visits import Visits

# Scores at a time: 16 MB for each of several copies. With 16 million at a time the peak was
# 1,112 MB, not 741, and the time a third longer (100,000 users, 2,000 items;
# docs/experiments/fallback.md).
MAX_SCORES = 2 * 1024 * 1024
_DAY = 24 * 60 * 60 * 1_000_000  # in the unit of `event_times`


@dataclass(frozen=True)
class CountedRanking(Ranking):
    """`counted_UK`: which items of the lists were counted with one of the user's."""

    counted_UK: Booleans


@dataclass(frozen=True)
class Events:
    """What else is known of each history's events, in their order."""

    types: Lists
    times: Lists


@dataclass(frozen=True)
class Fallback:
    """The fitted baseline over the whole catalogue, and which of its items may be sold."""

    name: str
    counted: Markov | VisitBaseline  # popularity is a Markov that has counted no pair
    item_ids: Column  # the whole catalogue, ascending: items 0 … I-1
    sellable_C: Integers
    target_event_types: Sequence[str] = ()

    def rank(
        self, histories: Lists, excluded: Exclusions, k: int, events: Events | None = None
    ) -> CountedRanking:
        """The K best sellable items of each history.

        Args:
            histories: item ids per user, oldest first.
            excluded: candidates that each user may not get.
            events: types and times of the same events; needed by `REPEAT_BASELINES` alone.
        """
        n, n_items = len(histories), len(self.sellable_C)
        empty = empty_ranking(n, k, {})
        items_UK, scores_UK = empty.items_UK, empty.scores_UK
        counted_UK = np.zeros((n, k), dtype=np.bool_)
        score = self._scorer(histories, events)
        step = max(1, MAX_SCORES // max(1, len(self.item_ids)))
        for start in range(0, n, step):
            users_B = np.arange(start, min(n, start + step))
            shares_BI, counted_BI = score(start, start + len(users_B))
            scores_BC = torch.from_numpy(shares_BI[:, self.sellable_C])
            rows, items = excluded.pairs_of(users_B)
            scores_BC[torch.from_numpy(rows), torch.from_numpy(items)] = -torch.inf
            best_BK, items_BK = best_in_order(scores_BC, min(k, n_items))
            there_BK = torch.isfinite(best_BK).numpy()
            width = items_BK.shape[1]
            items_UK[users_B, :width] = np.where(there_BK, items_BK.numpy(), -1)
            scores_UK[users_B, :width] = np.where(there_BK, best_BK.numpy(), 0.0)
            numbers_BK = self.sellable_C[items_BK.numpy()]
            counted_UK[users_B, :width] = there_BK & np.take_along_axis(counted_BI, numbers_BK, 1)
        nothing = np.flatnonzero(items_UK[:, 0] < 0)
        errors = {int(user): NO_ALLOWED_ITEM for user in nothing}
        return CountedRanking(items_UK, scores_UK, errors, counted_UK)

    def _scorer(
        self, histories: Lists, events: Events | None
    ) -> Callable[[int, int], tuple[Floats, Booleans]]:
        """Shares of a run of users, and which of them were counted."""
        counted = self.counted
        if isinstance(counted, Markov):
            numbers_U = _item_numbers(histories, self.item_ids)
            return lambda start, stop: counted.scores_and_counted(numbers_U[start:stop])
        assert events is not None
        targets = () if counted.every_event else self.target_event_types
        visits = _visits(histories, events, self.item_ids, targets)
        return lambda start, stop: counted.scores_and_counted(visits.of_users(start, stop))


def fit_fallback(
    history_files: Sequence[Path],
    catalogue_item_ids: Column,
    candidates: Candidates,
    target_event_types: Sequence[str],
    name: str = DEFAULT,
) -> Fallback:
    """Count what is bought and a baseline's pairs, over all consenting users of the night.

    Holds the counts and a few thousand users at a time.

    Args:
        target_event_types: what popularity counts (`histories.target_event_types`, as evaluation
            does); every event where none is one of them.
        name: of `pipeline.ranking.baselines`.
    """
    n_items = len(catalogue_item_ids)
    every_I, targets_I = np.zeros(n_items), np.zeros(n_items)
    shape = SHAPES.get(name)  # popularity has none
    pairs_II = transition_counts([], n_items, shape or TransitionShape())
    is_repeat = name in REPEAT_BASELINES
    more = ("user_id", "event_times") if is_repeat else ()
    columns = contract_columns(HISTORIES, ("item_ids", "event_types", "consent", *more))
    reference = pa.table({"user_id": []})
    wanted = pa.array(target_event_types, pa.string())
    for batch in read_batches(history_files, columns):
        consenting = batch.filter(compute.fill_null(batch.column("consent"), False))
        items, types = consenting.column("item_ids"), consenting.column("event_types")
        numbers_U = _item_numbers(items, catalogue_item_ids)
        known_E = compute.is_in(compute.list_flatten(items), value_set=catalogue_item_ids)
        target_E = compute.is_in(compute.list_flatten(types), value_set=wanted)
        number_E = np.concatenate([*numbers_U, np.zeros(0, np.int64)])
        is_target_E = target_E.filter(known_E).to_numpy(zero_copy_only=False).astype(bool)
        every_I += np.bincount(number_E, minlength=n_items)
        targets_I += np.bincount(number_E[is_target_E], minlength=n_items)
        if name == TIFU_KNN:
            reference = _first_users(reference, consenting)
        if shape:
            pairs_II += transition_counts(numbers_U, n_items, shape)
    popularity = popularity_of(targets_I if targets_I.any() else every_I)
    counted: Markov | VisitBaseline
    if is_repeat:
        every_event = not targets_I.any()
        visits = _reference_visits(
            reference, catalogue_item_ids, () if every_event else target_event_types
        )
        counted = fit_visit_baseline(name, popularity, visits, every_event=every_event)
    else:
        counted = Markov(Transitions(pairs_II, shape or TransitionShape()), popularity)
    places = compute.index_in(candidates.item_ids, value_set=catalogue_item_ids)
    sellable_C = np.asarray(places, dtype=np.int64)
    return Fallback(name, counted, catalogue_item_ids, sellable_C, target_event_types)


def _first_users(reference: pa.Table, batch: pa.RecordBatch) -> pa.Table:
    """The first `MAX_REFERENCE` users by id, of those so far and a batch."""
    more = pa.Table.from_batches([batch])
    both = pa.concat_tables([reference, more]) if reference.num_rows else more
    return both.sort_by("user_id").slice(0, MAX_REFERENCE)


def _reference_visits(reference: pa.Table, item_ids: Column, targets: Sequence[str]) -> Visits:
    if not reference.num_rows:
        none = np.zeros(0, dtype=np.int64)
        return visits_of_events(none, none, none, 0, len(item_ids))
    events = Events(column(reference, "event_types"), column(reference, "event_times"))
    return _visits(column(reference, "item_ids"), events, item_ids, targets)


def _visits(histories: Lists, events: Events, item_ids: Column, targets: Sequence[str]) -> Visits:
    """What each user bought.

    Args:
        targets: event types that count; every type where there are none.
    """
    index_E = compute.index_in(compute.list_flatten(histories), value_set=item_ids)
    known_E = compute.is_valid(index_E)
    user_E = numbers(compute.list_parent_indices(histories).filter(known_E))
    item_E = numbers(index_E.filter(known_E))
    day_E = numbers(compute.list_flatten(events.times).filter(known_E).cast(pa.int64())) // _DAY
    if targets:
        kind_E = compute.list_flatten(events.types).filter(known_E)
        kind_E = kind_E.to_numpy(zero_copy_only=False).astype(np.str_)
        counts_E = np.isin(kind_E, list(targets)) & ~is_later_rating(user_E, item_E, kind_E)
        user_E, item_E, day_E = user_E[counts_E], item_E[counts_E], day_E[counts_E]
    return visits_of_events(user_E, item_E, day_E, len(histories), len(item_ids))


def _item_numbers(histories: Lists, item_ids: Column) -> list[Integers]:
    """Every history's items that the catalogue has, as numbers."""
    index_E = compute.index_in(compute.list_flatten(histories), value_set=item_ids)
    known_E = compute.is_valid(index_E)
    users_E = np.asarray(compute.list_parent_indices(histories).filter(known_E), dtype=np.int64)
    cuts = np.searchsorted(users_E, np.arange(1, len(histories)))
    return np.split(np.asarray(index_E.filter(known_E), dtype=np.int64), cuts)[: len(histories)]
