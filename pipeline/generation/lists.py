"""One shard's ranked lists: by the model, by the fallback where it cannot, marked.

Returns a table of `RANKED`, by user id. A user for whom nothing at all may be recommended has an
empty list here and is counted; publishing leaves them out.

Shapes: U users of the shard, K list length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import scipy.sparse

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
from pipeline.generation.fallback import POPULARITY, Fallback
from pipeline.generation.progress import unheard
from pipeline.generation.ranking import (
    MODEL_FAILED,
    NO_ALLOWED_ITEM,
    PROMPT_FAILED,
    SCORES_NOT_FINITE,
    Ranker,
    empty_ranking,
)
from pipeline.generation.sentences import CHOSEN, POPULAR
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.prompt import Prompt, history_prompt
from pipeline.model.vocabulary import Vocabulary

MODEL = "model"
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
    """

    def __init__(
        self,
        champion: Champion,
        candidates: Candidates,
        titles: Mapping[str, str],
        fallback: Callable[[], Fallback],
        rules: ListRules,
    ) -> None:
        self.champion = champion
        self.candidates = candidates
        self.titles = titles
        self.rules = rules
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
        return Ranker(checkpoint.model, self.known.token_ids_N, pad)

    def make(
        self, users: pa.Table, done: Callable[[int], None] = unheard
    ) -> tuple[pa.Table, dict[str, int]]:
        """Ranked lists of a shard's users, and how many fell back for which reason."""
        n, k = users.num_rows, self.rules.k
        histories = column(users, "item_ids")
        excluded = no_exclusions(n)
        if self.rules.exclude_owned:
            excluded = self.candidates.excluded_by(column(users, "owned_item_ids"))
        items_UK, scores_UK, reasons = self._by_model(users, excluded, done)
        methods = np.full(n, MODEL, dtype=object)
        fallen = np.array(sorted(reasons), dtype=np.int64)
        if len(fallen):
            chosen = histories.take(pa.array(fallen))
            lists = self.fallback.rank(chosen, _of_users(excluded, fallen), k)
            items_UK[fallen], scores_UK[fallen] = lists.items_UK, lists.scores_UK
            methods[fallen] = self.fallback.methods(chosen)
            reasons |= {int(fallen[row]): NOTHING_LEFT for row in lists.errors}
        table = self._table(users, items_UK, scores_UK, list(methods), reasons)
        counts = Counter(reasons.values())
        length_U = (items_UK >= 0).sum(axis=1)
        counts[SHORT_LISTS] = int(((length_U > 0) & (length_U < k)).sum())
        counts[EMPTY_LISTS] = int((length_U == 0).sum())
        return table, dict(sorted(counts.items()))

    def _by_model(
        self, users: pa.Table, excluded: Exclusions, done: Callable[[int], None]
    ) -> tuple[Integers, np.ndarray, dict[int, str]]:
        """The model's lists, in candidate places, and why the others have none."""
        n, k = users.num_rows, self.rules.k
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
        )
        reasons = dict(ranking.errors)
        allowed_U = len(self.candidates) - excluded.counts_U
        listed_U = (ranking.items_UK >= 0).sum(axis=1)
        for user in np.flatnonzero(listed_U < np.minimum(allowed_U, k)):
            # A model that knows none of a user's items is an error; one that knows some is behind.
            reasons.setdefault(int(user), TOO_FEW_KNOWN)
        # Number -1 (no item) finds the -1 that stands last.
        places_UK = np.append(known.places_N, -1)[ranking.items_UK]
        return places_UK, ranking.scores_UK, reasons

    def _table(
        self,
        users: pa.Table,
        items_UK: Integers,
        scores_UK: np.ndarray,
        methods: list[str],
        reasons: Mapping[int, str],
    ) -> pa.Table:
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
                [reasons.get(u) for u in range(users.num_rows)], pa.string()
            ),
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


def history_prompts(
    users: pa.Table, vocabulary: Vocabulary, max_events: int, max_tokens: int
) -> list[Prompt | None]:
    """Each user's prompt; None where one cannot be made of the row."""
    prompts: list[Prompt | None] = []
    columns = [python_lists(column(users, name)) for name in ("item_ids", "event_types", "queries")]
    for items, types, queries, language in zip(
        *columns, users.column("language").to_pylist(), strict=True
    ):
        try:
            prompts.append(
                history_prompt(
                    vocabulary, items, types, queries, language, max_events, max_tokens=max_tokens
                )
            )
        # One user's row must not stop the night, whatever is wrong with it; it is counted.
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            prompts.append(None)
    return prompts


def prior_weights(
    users: pa.Table, checkpoint: Checkpoint, known: KnownItems
) -> scipy.sparse.csr_array | None:
    """What the champion's prior adds to each user's items; none where it has none, or no weight.

    It is told the same histories as in evaluation, so that what was measured is what is sent.
    """
    prior, vocabulary = checkpoint.prior, checkpoint.vocabulary
    if prior is None or not prior.weight:
        return None
    index = vocabulary.item_index
    histories = [
        [index[item] for item in items if item in index]
        for items in python_lists(column(users, "item_ids"))
    ]
    scores_UI = prior.scores(histories)
    return scipy.sparse.csr_array(scores_UI[:, known.token_ids_N - vocabulary.first_item_token])


def _of_users(excluded: Exclusions, users: Integers) -> Exclusions:
    rows, items = excluded.of(users)
    starts = np.searchsorted(rows, np.arange(len(users) + 1)).astype(np.int64)
    return Exclusions(starts, items)
