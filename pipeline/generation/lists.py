"""One shard's ranked lists: by the model, by the fallback where it cannot, marked.

Returns a table of `RANKED`, by user id. A user for whom nothing at all may be recommended has an
empty list here and is counted; publishing leaves them out. Once the deadline is past, whoever has
no list yet gets what the night before sent them, without what they may not get any more and filled
up by the fallback.

Shapes: U users of the shard, K list length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline.evaluation.baselines import POPULARITY
from pipeline.generation.anchors import choose_anchor
from pipeline.generation.candidates import (
    Candidates,
    Exclusions,
    Integers,
    KnownItems,
    no_exclusions,
)
from pipeline.generation.champion import Champion
from pipeline.generation.columns import Column, column, compute, python_lists
from pipeline.generation.fallback import Fallback
from pipeline.generation.model_inputs import history_prompts, prior_weights
from pipeline.generation.progress import unheard
from pipeline.generation.ranking import (
    DEADLINE,
    MODEL_FAILED,
    NO_ALLOWED_ITEM,
    PROMPT_FAILED,
    SCORES_NOT_FINITE,
    Ranker,
    empty_ranking,
)
from pipeline.generation.sent import Before
from pipeline.generation.sentences import CHOSEN, POPULAR
from pipeline.generation.slates import Drawn, Slates
from pipeline.generation.unchanged import KeptList, Unchanged

MODEL, LAST_NIGHT = "model", "last_night"
KEPT = "kept"
SHORT_LISTS = "short_lists"
EMPTY_LISTS = "empty_lists"
# The model can fill less of the list than the shop could: new items that it has never seen.
TOO_FEW_KNOWN = "too_few_known_items"
# Nothing that is sellable is left for this user: no row, and nobody's error.
NOTHING_LEFT = "nothing_left"
# What counts against `generation.max_error_share`: the model should have served these users.
ERRORS = (PROMPT_FAILED, MODEL_FAILED, SCORES_NOT_FINITE, NO_ALLOWED_ITEM)

# Scores are published to 5 decimals: what batching moves lies below that.
SCORE_DECIMALS = 5

RANKED = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_ids", pa.list_(pa.string()), nullable=False),
        pa.field("scores", pa.list_(pa.float64()), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("fallback_reason", pa.string()),
        pa.field("rules", pa.list_(pa.string()), nullable=False),
        pa.field("anchor_kind", pa.string(), nullable=False),
        pa.field("anchor_item_id", pa.string()),
        pa.field("language", pa.string()),
        pa.field("last_event_time", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


@dataclass(frozen=True)
class ListRules:
    """The settings that shape a list."""

    k: int
    exclude_owned: bool
    batch_users: int
    max_events: int


class ListMaker:
    """Everything a shard needs: the champion, the candidates, the fallback, the rules.

    Args:
        titles: of every item of the catalogue that has one.
        fallback: called the first time somebody needs it; many nights never do.
        slates: the shop's rules beyond the ranking.
        before: what earlier nights sent; without it nothing is known of them.
        unchanged: whose lists stay as they were.
    """

    def __init__(
        self,
        champion: Champion,
        candidates: Candidates,
        titles: Mapping[str, str],
        fallback: Callable[[], Fallback],
        rules: ListRules,
        *,
        slates: Slates | None = None,
        before: Before | None = None,
        unchanged: Unchanged | None = None,
    ) -> None:
        self.champion = champion
        self.candidates = candidates
        self.titles = titles
        self.rules = rules
        self.slates = slates
        self.before = before
        self.unchanged = unchanged
        self.is_late: Callable[[], bool] = lambda: False
        self._make_fallback = fallback

    @cached_property
    def fallback(self) -> Fallback:
        """Fit when first needed."""
        return self._make_fallback()

    @cached_property
    def known(self) -> KnownItems | None:
        """What the champion can rank."""
        checkpoint = self.champion.checkpoint
        return self.candidates.known_to(checkpoint.vocabulary) if checkpoint else None

    @cached_property
    def ranker(self) -> Ranker | None:
        """The engine, if there is a champion that knows anything of what is sold."""
        checkpoint = self.champion.checkpoint
        if checkpoint is None or self.known is None or not len(self.known.places_N):
            return None
        pad = checkpoint.vocabulary.control["pad"]
        return Ranker(
            checkpoint.model, self.known.token_ids_N, pad, precision=self.champion.precision
        )

    def make(
        self, users: pa.Table, done: Callable[[int], None] = unheard
    ) -> tuple[pa.Table, dict[str, int]]:
        """Ranked lists of a shard's users, and how many fell back for which reason."""
        n, k = users.num_rows, self.rules.k
        excluded = no_exclusions(n)
        if self.rules.exclude_owned:
            excluded = self.candidates.excluded_by(column(users, "owned_item_ids"))
        kept = self.unchanged.lists(users) if self.unchanged else {}
        done(len(kept))
        drawn = Drawn.empty(n, k)
        drawn.put(self._kept(kept), np.array(list(kept), dtype=np.int64))
        others = np.array([user for user in range(n) if user not in kept], dtype=np.int64)
        if len(others):
            some = users.take(_indices(others))
            drawn.put(self._made(some, _of_users(excluded, others), done), others)
        table = self._table(users, drawn)
        counts = Counter(drawn.reasons.values())
        length_U = (drawn.items_UK >= 0).sum(axis=1)
        counts[SHORT_LISTS] = int(((length_U > 0) & (length_U < k)).sum())
        counts[EMPTY_LISTS] = int((length_U == 0).sum())
        counts[KEPT] = len(kept)
        return table, dict(sorted(counts.items()))

    def _kept(self, lists: Mapping[int, KeptList]) -> Drawn:
        """Lists that stay as they were."""
        drawn = Drawn.empty(len(lists), self.rules.k)
        for row, (items, scores, rules) in enumerate(lists.values()):
            drawn.items_UK[row, : len(items)] = self.candidates.places(pa.array(items, pa.string()))
            drawn.scores_UK[row, : len(items)] = scores
            drawn.rules[row] = list(rules)
        return drawn

    def _made(self, users: pa.Table, excluded: Exclusions, done: Callable[[int], None]) -> Drawn:
        """Lists made tonight, by the shop's rules where there are any."""
        heard = [done]

        def draw(rows: Integers, size: int) -> Drawn:
            some = users.take(_indices(rows))
            # Whoever is ranked once more, deeper, was counted already.
            tell = heard.pop() if heard else unheard
            return self._draw(some, _of_users(excluded, rows), size, tell)

        ignored = self.before.ignored(users) if self.before else [frozenset()] * users.num_rows
        if self.slates is None or not self.slates.in_force(ignored):
            drawn = draw(np.arange(users.num_rows), self.rules.k)
        else:
            drawn = self.slates.apply(users, excluded, ignored, draw)
        by_baseline_U = ~np.isin(drawn.methods, (MODEL, LAST_NIGHT))
        drawn.methods[by_baseline_U & ~drawn.counted_UK.any(axis=1)] = POPULARITY
        return drawn

    def _draw(
        self, users: pa.Table, excluded: Exclusions, k: int, done: Callable[[int], None]
    ) -> Drawn:
        """The K best of each user: the model's, else last night's or the fallback's."""
        items_UK, scores_UK, reasons = self._by_model(users, excluded, k, done)
        drawn = Drawn.empty(users.num_rows, k)
        drawn.items_UK, drawn.scores_UK, drawn.reasons = items_UK, scores_UK, reasons
        late = [user for user, reason in sorted(reasons.items()) if reason == DEADLINE]
        last = self._last_lists(users, excluded, late)
        full = {user for user, (items, _) in last.items() if len(items) >= self.rules.k}
        fallen = np.array(sorted(reasons.keys() - full), dtype=np.int64)
        if len(fallen):
            chosen = column(users, "item_ids").take(pa.array(fallen))
            lists = self.fallback.rank(chosen, _of_users(excluded, fallen), k)
            items_UK[fallen], scores_UK[fallen] = lists.items_UK, lists.scores_UK
            drawn.methods[fallen], drawn.counted_UK[fallen] = self.fallback.name, lists.counted_UK
            reasons |= {int(fallen[row]): NOTHING_LEFT for row in lists.errors}
        for user, (items, scores) in last.items():
            more = [item for item in items_UK[user].tolist() if item >= 0 and item not in items]
            listed = [*items, *([] if user in full else more)][:k]
            items_UK[user] = -1
            items_UK[user, : len(listed)] = listed
            # What fills up a list stands below it.
            scores_UK[user] = scores[-1]
            scores_UK[user, : len(items)] = scores[:k]
            drawn.methods[user] = LAST_NIGHT
        return drawn

    def _last_lists(
        self, users: pa.Table, excluded: Exclusions, late: Sequence[int]
    ) -> dict[int, tuple[list[int], list[float]]]:
        """What the night before sent to some users and they may still get, by user."""
        if not late or self.before is None:
            return {}
        lists = self.before.last_lists(users)
        user_ids = column(users, "user_id").to_pylist()
        last: dict[int, tuple[list[int], list[float]]] = {}
        for user in late:
            items, scores = lists.get(user_ids[user], ((), ()))
            start, end = excluded.starts_U1[user : user + 2]
            refused = {-1, *excluded.items_E[start:end].tolist()}
            places = self.candidates.places(pa.array(items, pa.string())).tolist()
            told = [pair for pair in zip(places, scores, strict=True) if pair[0] not in refused]
            if told:
                last[user] = [place for place, _ in told], [score for _, score in told]
        return last

    def _by_model(
        self, users: pa.Table, excluded: Exclusions, k: int, done: Callable[[int], None]
    ) -> tuple[Integers, np.ndarray, dict[int, str]]:
        """The model's lists, in candidate places, and why the others have none."""
        n = users.num_rows
        checkpoint, ranker, known = self.champion.checkpoint, self.ranker, self.known
        if checkpoint is None or ranker is None or known is None:
            done(n)
            # Item ids may have changed overnight: everything is new to a model in order.
            reason = self.champion.fallback_reason or TOO_FEW_KNOWN
            empty = empty_ranking(n, k, {})
            return empty.items_UK, empty.scores_UK, dict.fromkeys(range(n), reason)
        prompts = history_prompts(
            users, checkpoint.vocabulary, self.rules.max_events, checkpoint.model.config.n_positions
        )
        ranking = ranker.rank(
            prompts,
            excluded.renumbered(known.number_C),
            k,
            self.rules.batch_users,
            done,
            prior_UN=prior_weights(users, checkpoint, known),
            is_late=self.is_late,
        )
        reasons = dict(ranking.errors)
        allowed_U = len(self.candidates) - excluded.counts_U
        listed_U = (ranking.items_UK >= 0).sum(axis=1)
        for user in np.flatnonzero(listed_U < np.minimum(allowed_U, self.rules.k)):
            # A model that knows none of a user's items is an error; one that knows some is behind.
            reasons.setdefault(int(user), TOO_FEW_KNOWN)
        # Number -1 (no item) finds the -1 that stands last.
        places_UK = np.append(known.places_N, -1)[ranking.items_UK]
        return places_UK, ranking.scores_UK, reasons

    def _table(self, users: pa.Table, drawn: Drawn) -> pa.Table:
        items_UK, scores_UK, methods = drawn.items_UK, drawn.scores_UK, list(drawn.methods)
        there_UK = items_UK >= 0
        starts = pa.array(np.concatenate([[0], there_UK.sum(axis=1).cumsum()]), pa.int32())
        item_ids = self.candidates.item_ids.take(pa.array(items_UK[there_UK]))
        scores = pa.array(np.round(scores_UK[there_UK], SCORE_DECIMALS) + 0.0, pa.float64())
        firsts = compute.list_element(
            pa.ListArray.from_arrays(starts, item_ids).filter(pa.array(there_UK[:, 0])), 0
        )
        anchors = self._anchors(users, methods, there_UK[:, 0], firsts.to_pylist())
        columns: dict[str, Column] = {
            "user_id": column(users, "user_id"),
            "item_ids": pa.ListArray.from_arrays(starts, item_ids),
            "scores": pa.ListArray.from_arrays(starts, scores),
            "method": pa.array(methods, pa.string()),
            "fallback_reason": pa.array(
                [drawn.reasons.get(u) for u in range(users.num_rows)], pa.string()
            ),
            "rules": pa.array(drawn.rules, pa.list_(pa.string())),
            "anchor_kind": pa.array([kind for kind, _ in anchors], pa.string()),
            "anchor_item_id": pa.array([item for _, item in anchors], pa.string()),
            "language": column(users, "language"),
            "last_event_time": column(users, "last_event_time"),
        }
        return pa.table([columns[field.name] for field in RANKED], schema=RANKED)

    def _anchors(
        self, users: pa.Table, methods: Sequence[str], has_list: np.ndarray, firsts: list[str]
    ) -> list[tuple[str, str | None]]:
        """What each recommendation can be said to come from."""
        first = iter(firsts)
        anchors: list[tuple[str, str | None]] = []
        for user, (items, types) in enumerate(
            zip(
                python_lists(column(users, "item_ids")),
                python_lists(column(users, "event_types")),
                strict=True,
            )
        ):
            if not has_list[user]:
                anchors.append((CHOSEN, None))
            elif methods[user] == POPULARITY:
                next(first)
                anchors.append((POPULAR, None))
            else:
                anchors.append(choose_anchor(items, types, next(first), self.titles))
        return anchors


def _of_users(excluded: Exclusions, users: Integers) -> Exclusions:
    rows, items = excluded.of(users)
    starts = np.searchsorted(rows, np.arange(len(users) + 1)).astype(np.int64)
    return Exclusions(starts, items)


def _indices(rows: Integers) -> Column:
    return pa.array(rows, pa.int64())
