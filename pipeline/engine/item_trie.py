"""The sellable items as a trie of their tokens: a few flat arrays a level, on the model's device.

The nodes of a level are numbered so that the children of a node are a range of the next level. They
are in the order of the first item below them, which is how ties are broken. An item of one token is
a leaf of the first level and has the item's number. A user's exclusions and prior become sparse
(user, node, value) entries of each level.

Shapes: N items, L tokens an item, M nodes of a level, V different tokens of a level, E exclusions,
B users, P entries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from pipeline.engine.exclusions import Integers

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """The nodes after one more token."""

    token_ids_V: torch.Tensor  # the different tokens; at the first level one a node, in order
    column_M: torch.Tensor  # which of them each node has
    token_M: torch.Tensor  # its id
    parent_M: torch.Tensor
    offset_M: torch.Tensor  # its place among its siblings
    first_child_M: torch.Tensor  # of the level below; empty at the leaves
    n_children_M: torch.Tensor
    most_children: int
    # On the host, for the users' entries: the node of each item, and how many items each node has.
    node_of_item_N: Integers
    n_items_M: Integers

    def __len__(self) -> int:
        return len(self.n_items_M)


@dataclass(frozen=True)
class Entries:
    """(row, node, value) triples of one level; value is added to the node's logit."""

    rows_P: torch.Tensor
    nodes_P: torch.Tensor
    values_P: torch.Tensor


class ItemTrie:
    """The trie of N items.

    Args:
        token_ids_NL: the items' tokens in the order that breaks ties; one-dimensional for items
            of one token.

    Raises:
        ValueError: two items have the same tokens.
    """

    def __init__(self, token_ids_NL: Integers, device: torch.device) -> None:
        tokens_NL = np.asarray(token_ids_NL, dtype=np.int64)
        tokens_NL = tokens_NL.reshape(len(tokens_NL), -1 if tokens_NL.size else 1)
        self.n_items, self.n_levels = tokens_NL.shape
        self.device = device
        nodes = _nodes(tokens_NL)
        self.levels = [self._level(tokens_NL, nodes, level) for level in range(self.n_levels)]
        n_leaves = len(self.levels[-1])
        if n_leaves != self.n_items:
            counts = self.levels[-1].n_items_M
            twice = np.flatnonzero(self.levels[-1].node_of_item_N == int(counts.argmax()))
            raise ValueError(
                f"{self.n_items - n_leaves} items share all their tokens with another; the first "
                f"are numbers {twice[:2].tolist()} ({tokens_NL[twice[0]].tolist()}); every item "
                "needs a sequence of its own"
            )
        item_of_leaf = np.empty(self.n_items, dtype=np.int64)
        item_of_leaf[self.levels[-1].node_of_item_N] = np.arange(self.n_items)
        self.item_of_leaf_M = torch.from_numpy(item_of_leaf).to(device)

    @property
    def widest_inner(self) -> int:
        """With so many beams every prefix is followed, and the search is exact."""
        return max((len(level) for level in self.levels[:-1]), default=1)

    def blocked(self, rows_E: Integers, items_E: Integers, level: int) -> Entries:
        """The nodes whose items are all excluded, by user."""
        nodes = self.levels[level]
        keys, counts = np.unique(
            rows_E * len(nodes) + nodes.node_of_item_N[items_E], return_counts=True
        )
        rows, of = np.divmod(keys, len(nodes))
        whole = counts == nodes.n_items_M[of]
        values: Floats = np.full(int(whole.sum()), -np.inf)
        return self._entries(rows[whole], of[whole], values)

    def favoured(self, prior_BN: scipy.sparse.csr_array, level: int) -> Entries:
        """The log-weights of nodes that follow from users' log-weights of items.

        An inner node gets the logarithm of its items' mean weight, which is exact if the model
        finds these items equally likely. A leaf gets the weight itself.
        """
        nodes = self.levels[level]
        rows_P = np.repeat(np.arange(prior_BN.shape[0]), np.diff(prior_BN.indptr))
        keys, where = np.unique(
            rows_P * len(nodes) + nodes.node_of_item_N[prior_BN.indices], return_inverse=True
        )
        rows, of = np.divmod(keys, len(nodes))
        if level == self.n_levels - 1:
            values = np.bincount(where, weights=prior_BN.data, minlength=len(keys)).astype(float)
        else:
            more = np.bincount(where, weights=np.expm1(prior_BN.data), minlength=len(keys))
            values = np.log1p(more / nodes.n_items_M[of])
        return self._entries(rows, of, values)

    def _entries(self, rows: Integers, nodes: Integers, values: Floats) -> Entries:
        return Entries(
            torch.from_numpy(rows).to(self.device),
            torch.from_numpy(nodes).to(self.device),
            torch.from_numpy(values.astype(np.float32)).to(self.device),
        )

    def _level(self, tokens_NL: Integers, nodes: list[Integers], level: int) -> Level:
        """Flat arrays of one level from the node that each item passes at every level."""
        node_N = nodes[level]
        first_N, n_items_M = _first_and_count(node_N)
        token_M = tokens_NL[first_N, level]
        parent_M = nodes[level - 1][first_N] if level else np.zeros(len(token_M), dtype=np.int64)
        starts = np.searchsorted(parent_M, parent_M)
        if level:
            token_V, column_M = np.unique(token_M, return_inverse=True)
        else:
            token_V, column_M = token_M, np.arange(len(token_M))
        if level + 1 < len(nodes):
            below_first, _ = _first_and_count(nodes[level + 1])
            n_children_M = np.bincount(node_N[below_first], minlength=len(token_M))
        else:
            n_children_M = np.zeros(len(token_M), dtype=np.int64)

        def there(array: Integers) -> torch.Tensor:
            return torch.from_numpy(np.asarray(array, dtype=np.int64)).to(self.device)

        return Level(
            token_ids_V=there(token_V),
            column_M=there(column_M),
            token_M=there(token_M),
            parent_M=there(parent_M),
            offset_M=there(np.arange(len(token_M)) - starts),
            first_child_M=there(np.cumsum(n_children_M) - n_children_M),
            n_children_M=there(n_children_M),
            most_children=int(n_children_M.max(initial=0)),
            node_of_item_N=node_N,
            n_items_M=n_items_M,
        )


def _nodes(tokens_NL: Integers) -> list[Integers]:
    """The node that each item passes at every level, numbered by (parent, first item below)."""
    parent_N = np.zeros(len(tokens_NL), dtype=np.int64)
    nodes: list[Integers] = []
    for level in range(tokens_NL.shape[1]):
        pairs = np.stack([parent_N, tokens_NL[:, level]], axis=1)
        _, first, where_N = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
        # Unique pairs come by token; siblings are to come by their first item.
        order = np.lexsort((first, parent_N[first]))
        number = np.empty(len(order), dtype=np.int64)
        number[order] = np.arange(len(order))
        parent_N = number[where_N.reshape(-1)]
        nodes.append(parent_N)
    return nodes


def _first_and_count(node_N: Integers) -> tuple[Integers, Integers]:
    """The first item below each node, and how many there are."""
    _, first, counts = np.unique(node_N, return_index=True, return_counts=True)
    return first.astype(np.int64), counts.astype(np.int64)
