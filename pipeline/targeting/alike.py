"""Which items may stand for which, and which are bought by the same shoppers: pure arrays.

Three things say that two items are alike, each a cosine from 0 to 1: the words of their
descriptions, their rows in the GPT-2's table (around the mean row), and their buyers, shrunk so
that one common buyer of two rare items says little. An item of the same category comes before any
other, because it is an alternative and the other is not. A variant is no alternative: the same
brand, and titles that differ in one word (a colour, a size, a volume).

Memory holds a block of rows of items by items, of at most `BLOCK_CELLS` pairs. Shapes: I items,
F features, D width, U shoppers, N neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

# 256 rows of 12,000 items: some 100 MB.
BLOCK_CELLS = 256 * 12_000
# What each says, in the order of `Alike.parts_IN3`; its name is the reason.
REASONS = ("words", "model", "buyers")
_WEIGHTS = np.array([1.0, 0.5, 1.0], dtype=np.float32)
# As many common buyers as weigh half of what is counted.
_SHRINK = 2.0
_SAME_CATEGORY = np.float32(_WEIGHTS.sum() + 1)


@dataclass(frozen=True)
class Items:
    """What is known of the items, in one order.

    Attributes:
        words_IF: descriptions; rows of length 1 or empty.
        vectors_ID: rows of the model's table; zeros where the model does not know the item.
        buyers_IU: 1 where the shopper has bought the item.
        categories_I: a number a category; -1 where there is none.
        brands_I: a number a brand; -1 where there is none.
        titles_IW: 1 where the title has the word.
        sellable_I: may be offered.
    """

    words_IF: sparse.csr_matrix
    vectors_ID: Floats
    buyers_IU: sparse.csr_matrix
    categories_I: Integers
    brands_I: Integers
    titles_IW: sparse.csr_matrix
    sellable_I: Booleans


@dataclass(frozen=True)
class Neighbours:
    """Pairs of items, by the first, best first.

    Attributes:
        item_P: the first of each pair.
        other_P: the second.
        score_P: of the pair; falls with the rank.
        parts_P3: what `REASONS` say, weighted; empty of `bought_together`.
        both_P: shoppers who have bought both.
    """

    item_P: Integers
    other_P: Integers
    score_P: Floats
    parts_P3: Floats
    both_P: Integers


def alternatives(items: Items, n: int) -> Neighbours:
    """The `n` best alternatives of each item, sellable or not; of it only what is sellable."""
    if not n:
        return _nothing()
    vectors_ID = centred(items.vectors_ID)
    bought_I = np.asarray(items.buyers_IU.sum(axis=1)).ravel()
    words_I = np.asarray(items.titles_IW.sum(axis=1)).ravel()
    found = [_nothing()]
    for rows in _blocks(len(items.sellable_I)):
        both_BI = (items.buyers_IU[rows] @ items.buyers_IU.T).toarray()
        of_buyers_BI = (
            both_BI
            / np.sqrt(np.maximum(np.outer(bought_I[rows], bought_I), 1))
            * (both_BI / (both_BI + _SHRINK))
        )
        parts = (
            (items.words_IF[rows] @ items.words_IF.T).toarray(),
            np.maximum(vectors_ID[rows] @ vectors_ID.T, 0),
            of_buyers_BI,
        )
        parts_BI3 = np.stack([part.astype(np.float32, copy=False) for part in parts], axis=2)
        parts_BI3 *= _WEIGHTS
        score_BI = parts_BI3.sum(axis=2)
        same_BI = items.categories_I[rows, None] == items.categories_I
        score_BI += _SAME_CATEGORY * (same_BI & (items.categories_I[rows, None] >= 0))
        shared_BI = (items.titles_IW[rows] @ items.titles_IW.T).toarray()
        longest_BI = np.maximum(words_I[rows, None], words_I)
        variant_BI = (shared_BI >= np.maximum(longest_BI - 1, 2)) & (
            items.brands_I[rows, None] == items.brands_I
        )
        score_BI[variant_BI | ~items.sellable_I] = 0
        found.append(_best(rows.start, score_BI, parts_BI3, both_BI, n))
    return _joined(found)


def together(buyers_IU: sparse.csr_matrix, sellable_I: Booleans, n: int, least: int) -> Neighbours:
    """The `n` items that most of the same shoppers have bought, with at least `least` of them.

    The score is the cosine of the buyers (Sarwar et al., WWW 2001): how often both, beside how
    often each.
    """
    if not n:
        return _nothing(parts=0)
    bought_I = np.asarray(buyers_IU.sum(axis=1)).ravel()
    found = [_nothing(parts=0)]
    for rows in _blocks(len(sellable_I)):
        both_BI = (buyers_IU[rows] @ buyers_IU.T).toarray()
        score_BI = (both_BI / np.sqrt(np.maximum(np.outer(bought_I[rows], bought_I), 1))).astype(
            np.float32
        )
        score_BI[(both_BI < least) | ~sellable_I] = 0
        none_BI0 = np.zeros((*score_BI.shape, 0), np.float32)
        found.append(_best(rows.start, score_BI, none_BI0, both_BI, n))
    return _joined(found)


def centred(vectors_ID: Floats) -> Floats:
    """Rows around the mean of those that are not zero, of length 1; zeros stay."""
    known_I = np.abs(vectors_ID).sum(axis=1) > 0
    if not known_I.any():
        return vectors_ID
    centred_ID = np.where(known_I[:, None], vectors_ID - vectors_ID[known_I].mean(axis=0), 0)
    lengths_I1 = np.linalg.norm(centred_ID, axis=1, keepdims=True)
    scaled: Floats = (centred_ID / np.maximum(lengths_I1, 1e-12)).astype(np.float32)
    return scaled


def _best(first: int, score_BI: Floats, parts_BI3: Floats, both_BI: Integers, n: int) -> Neighbours:
    """The best of each row of a block: equal scores by the number of the item."""
    block = np.arange(len(score_BI))
    score_BI[block, first + block] = 0
    score_BI = np.round(score_BI, 5)
    order_BN = np.argsort(-score_BI, axis=1, kind="stable")[:, :n]
    rows_BN = np.broadcast_to(block[:, None], order_BN.shape)
    good_BN = score_BI[rows_BN, order_BN] > 0
    rows_P, others_P = rows_BN[good_BN], order_BN[good_BN]
    return Neighbours(
        rows_P + first,
        others_P,
        score_BI[rows_P, others_P],
        parts_BI3[rows_P, others_P],
        both_BI[rows_P, others_P].astype(np.int64),
    )


def _blocks(n_items: int) -> Iterator[slice]:
    n_rows = max(1, BLOCK_CELLS // max(n_items, 1))
    return (slice(first, first + n_rows) for first in range(0, n_items, n_rows))


def _nothing(parts: int = len(REASONS)) -> Neighbours:
    none = np.zeros(0, np.int64)
    return Neighbours(none, none, np.zeros(0, np.float32), np.zeros((0, parts), np.float32), none)


def _joined(found: list[Neighbours]) -> Neighbours:
    names = ("item_P", "other_P", "score_P", "parts_P3", "both_P")
    return Neighbours(*(np.concatenate([getattr(part, name) for part in found]) for name in names))
