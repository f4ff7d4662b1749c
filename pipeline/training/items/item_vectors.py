"""Where item and word vectors start before GPT-2 saw anything: what is met together, and words.

Items: the leading eigenvectors of the positive pointwise mutual information of items that stand
within a few events of each other in histories (Levy & Goldberg 2014 show that word2vec factorises
this matrix). GPT-2 ties input and output embeddings and its blocks start near the identity, so a
model with these rows ranks items by "met near the last one" before its first step, and training
goes on from there instead of finding it out one gradient at a time (docs/experiments/training.md:
NDCG@10 0.17 before training where random rows reach 0.18 after 15 epochs).

Words: the ridge solution for which the mean of a title's token vectors is closest to its item's
vector, so that an item nobody has met yet starts among those with like titles.

Deterministic: the iteration starts from a fixed vector. Pure; reads and writes nothing.

Shapes: I items, W word tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import eigsh

Floats = NDArray[np.float64]

WINDOW = 3
RIDGE = 0.05
# Below this many items a dense decomposition is exact and takes milliseconds.
DENSE_ITEMS = 500


def co_occurrence_vectors(histories: Sequence[Sequence[int]], n_items: int, width: int) -> Floats:
    """`vectors_ID`: mean square 1 over the rows of items that were met with another, 0 elsewhere.

    Args:
        histories: item numbers per user, held-out events left out.
    """
    information_II = _positive_information(_pairs(histories, n_items))
    if information_II.nnz == 0:
        return np.zeros((n_items, width))
    if n_items <= max(DENSE_ITEMS, width + 1):
        values, vectors = np.linalg.eigh(information_II.toarray())
        values, vectors = values[-width:], vectors[:, -width:]
    else:
        values, vectors = eigsh(information_II, k=width, which="LA", v0=np.ones(n_items))
    vectors_ID = np.zeros((n_items, width))
    vectors_ID[:, : len(values)] = vectors * np.sqrt(np.maximum(values, 0.0))
    met_I = np.asarray(information_II.sum(axis=1)).ravel() > 0
    vectors_ID[~met_I] = 0.0
    scale = np.sqrt(np.mean(vectors_ID[met_I] ** 2))
    return vectors_ID / scale if scale > 0 else vectors_ID


def word_vectors(titles: Sequence[Sequence[int]], vectors_ID: Floats, n_words: int) -> Floats:
    """`vectors_WD`: what the words of items contribute to their items' vectors; 0 if never used.

    Args:
        titles: token ids per item, below `n_words`.
        vectors_ID: of items; a row of zeros is an item to learn nothing from.
    """
    used = sorted({token for title in titles for token in title})
    number = {token: n for n, token in enumerate(used)}
    rows = [n for n, title in enumerate(titles) for _ in title]
    columns = [number[token] for title in titles for token in title]
    shares = [1 / len(title) for title in titles for _ in title]
    known_I1 = (np.abs(vectors_ID).sum(axis=1) > 0).astype(np.float64)[:, None]
    bags_IW = sparse.csr_matrix((shares, (rows, columns)), shape=(len(titles), len(used)))
    bags_IW = bags_IW.multiply(known_I1).tocsr()
    gram_WW = (bags_IW.T @ bags_IW).toarray() + RIDGE * np.eye(len(used))
    vectors_WD = np.zeros((n_words, vectors_ID.shape[1]))
    if used:
        vectors_WD[used] = np.linalg.solve(gram_WW, bags_IW.T @ vectors_ID)
    return vectors_WD


def _pairs(histories: Sequence[Sequence[int]], n_items: int) -> sparse.csr_matrix:
    """How often two different items stand at most WINDOW events apart, either order."""
    first, second = [], []
    for history in histories:
        items = np.asarray(history, dtype=np.int64)
        for distance in range(1, min(WINDOW, len(items) - 1) + 1):
            first.append(items[:-distance])
            second.append(items[distance:])
    rows = np.concatenate(first) if first else np.zeros(0, np.int64)
    columns = np.concatenate(second) if second else np.zeros(0, np.int64)
    different = rows != columns
    counts = sparse.csr_matrix(
        (np.ones(int(different.sum())), (rows[different], columns[different])),
        shape=(n_items, n_items),
    )
    return (counts + counts.T).tocsr()


def _positive_information(counts_II: sparse.csr_matrix) -> sparse.csr_matrix:
    """log(p(a, b) / p(a) p(b)) where it is positive."""
    pairs = counts_II.tocoo()
    sums_I = np.asarray(counts_II.sum(axis=1)).ravel()
    values = np.log(pairs.data * sums_I.sum() / (sums_I[pairs.row] * sums_I[pairs.col]))
    positive = values > 0
    return sparse.csr_matrix(
        (values[positive], (pairs.row[positive], pairs.col[positive])), shape=counts_II.shape
    )
