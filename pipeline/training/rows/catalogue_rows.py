"""Which items' words an epoch learns: of a large catalogue a part, by what is known of the items.

Rows of words (titles, needs) are made for every item of the catalogue; an epoch over all of them
would cost what the catalogue costs, not what the shop's events do. An epoch takes at most so many
items: the new ones that nobody has met come first, up to half of them, because words are all that
is known of these; then items of somebody's history; and at least a tenth are drawn from the rest.
Within a kind every item comes up once before any comes up twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.training.rows.training_rows import TrainingRow

NEW_SHARE = 1 / 2
REST_SHARE = 1 / 10
# The kinds of items, in the order in which they come first.
NEW, MET, REST = range(3)

Kinds = NDArray[np.int8]  # by the vocabulary's number of the item


def item_kinds(unmet_I: NDArray[np.bool_], met_I: NDArray[np.bool_]) -> Kinds:
    """Of each item: new and met by nobody, met by somebody, or neither."""
    kinds: Kinds = np.full(len(met_I), REST, dtype=np.int8)
    kinds[met_I] = MET
    kinds[unmet_I] = NEW
    return kinds


def epochs_of_rows(
    rows: Sequence[TrainingRow],
    kind_I: Kinds | None,
    most_items: int,
    n_epochs: int,
    order: np.random.Generator,
) -> Iterator[list[TrainingRow]]:
    """The rows of each epoch: those that say nothing of the catalogue, and a part of the others.

    Args:
        kind_I: none counts all items as the rest.
        most_items: whose rows an epoch takes; 0: all. Where there are no more, each epoch has all
            rows, and `order` is left as it is.
    """
    described = np.array(sorted({row.about for row in rows if row.about is not None}), np.int64)
    if not most_items or len(described) <= most_items:
        for _ in range(n_epochs):
            yield list(rows)
        return
    kind_N = np.full(len(described), REST) if kind_I is None else kind_I[described]
    members = [described[kind_N == kind] for kind in (NEW, MET, REST)]
    sizes = _sizes([len(some) for some in members], most_items)
    queues = [np.zeros(0, np.int64) for _ in members]
    for _ in range(n_epochs):
        chosen: set[int] = set()
        for kind, size in enumerate(sizes):
            if len(left := queues[kind]) < size:
                again = order.permutation(members[kind])
                twice = np.isin(again, left)  # none comes up twice in one epoch
                queues[kind] = np.concatenate([left, again[~twice], again[twice]])
            chosen.update(queues[kind][:size].tolist())
            queues[kind] = queues[kind][size:]
        yield [row for row in rows if row.about is None or row.about in chosen]


def _sizes(there_are: Sequence[int], most: int) -> list[int]:
    """How many of each kind an epoch takes: `most` together, and never more than there are."""
    new, met, rest = there_are
    at_least = min(rest, int(most * REST_SHARE))
    n_new = min(new, max(int(most * NEW_SHARE), most - met - at_least))
    n_met = min(met, most - n_new - at_least)
    return [n_new, n_met, min(rest, most - n_new - n_met)]
