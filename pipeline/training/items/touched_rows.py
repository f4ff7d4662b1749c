"""Of a large vocabulary only the rows that a batch needs: its tokens, and the items of its sample.

What `DescribedTable` gives for all tokens, this gives for some, and a step's gradients reach only
those (`pipeline.training.items.row_adam`): so a step costs the same whatever the catalogue's size.

Shapes: U tokens of a batch, F features that describe its items, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy import sparse
from transformers import GPT2LMHeadModel

from pipeline.training.items.item_descriptions import DescribedTable, SparseProduct, sparse_tensor
from pipeline.training.items.row_adam import RowAdam

# Below so many items the whole table costs less than finding the rows that are touched.
MIN_ITEMS = 8_000


class TouchedRows:
    """A described table, whose rows and features' vectors are learned as they are touched."""

    def __init__(
        self,
        described: DescribedTable,
        features_IF: sparse.csr_matrix,
        *,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        self.described = described
        self.features_IF = features_IF.astype(np.float32)
        own_VD = described.model.transformer.wte.weight
        self.own = RowAdam(own_VD, betas=betas, weight_decay=weight_decay)
        self.vectors = RowAdam(described.vectors_FD, betas=betas, weight_decay=weight_decay)

    @property
    def tables(self) -> list[RowAdam]:
        """What a step moves beside the network."""
        return [self.own, self.vectors]

    def take(self, tokens_U: torch.Tensor) -> torch.Tensor:
        """Rows of these tokens (sorted, each once); gradients reach both parts."""
        own_UD = self.own.take(tokens_U)
        n_words = int((tokens_U < self.described.first).sum())
        items = (tokens_U[n_words:] - self.described.first).cpu().numpy()
        some_UF = self.features_IF[items]
        used = np.unique(some_UF.indices)
        if not len(used):
            return own_UD
        place = np.searchsorted(used, some_UF.indices)
        some_UF = sparse.csr_matrix(
            (some_UF.data, place, some_UF.indptr), shape=(len(items), len(used))
        )
        device = own_UD.device
        said_UD: torch.Tensor = SparseProduct.apply(  # type: ignore[no-untyped-call]
            sparse_tensor(some_UF, device),
            sparse_tensor(some_UF.T.tocsr(), device),
            self.vectors.take(torch.from_numpy(used).to(device, torch.int64)),
        )
        return torch.cat([own_UD[:n_words], own_UD[n_words:] + said_UD])

    @contextmanager
    def folded(self) -> Iterator[GPT2LMHeadModel]:
        """As `DescribedTable.folded`, with every row where it is by now."""
        for table in self.tables:
            table.catch_up()
        with self.described.folded() as model:
            yield model


def touched_rows(
    described: DescribedTable,
    features_IF: sparse.csr_matrix,
    n_items: int,
    sampled_items: int,
    *,
    betas: tuple[float, float],
    weight_decay: float,
) -> TouchedRows | None:
    """None where a step would touch most rows: a small catalogue, or no sample."""
    if n_items < MIN_ITEMS or not 0 < sampled_items <= n_items // 2:
        return None
    return TouchedRows(described, features_IF, betas=betas, weight_decay=weight_decay)
