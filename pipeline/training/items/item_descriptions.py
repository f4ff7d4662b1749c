"""The part of an item's row that its words give, learned beside the row and folded into it.

An item's description is a sparse row of features (`pipeline.model.item_features`). While the model
trains, an item's row of the embedding table is its own plus the mean of its features' vectors; so
what is learned of one nail polish is learned of all, and an item that few have met is not alone.
Afterwards the sum is written into the table: the checkpoint is a plain GPT-2 that knows of none
of this (docs/experiments/quality.md: the largest gain after the start from co-occurrence).

Shapes: I items, F features, V vocabulary, D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn
from transformers import GPT2LMHeadModel

from pipeline.model.vocabulary import Vocabulary


class SparseProduct(torch.autograd.Function):
    """`features_IF @ vectors_FD`; the transposed matrix is made once, not at every step."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        features_IF: torch.Tensor,
        features_FI: torch.Tensor,
        vectors_FD: torch.Tensor,
    ) -> torch.Tensor:
        ctx.features_FI = features_FI
        product_ID: torch.Tensor = features_IF @ vectors_FD
        return product_ID

    @staticmethod
    def backward(  # noqa: D102
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[None, None, torch.Tensor]:
        (gradient_ID,) = gradients
        return None, None, torch.mm(ctx.features_FI, gradient_ID)


class DescribedTable(nn.Module):
    """A model's embedding table with the features' vectors beside it, for as long as it trains.

    The vectors start at 0: the table starts as the model's own.
    """

    def __init__(
        self, model: GPT2LMHeadModel, vocabulary: Vocabulary, features_IF: sparse.csr_matrix
    ) -> None:
        super().__init__()
        own_VD = model.transformer.wte.weight
        self.model = model
        self.first = vocabulary.first_item_token
        self.features_IF = sparse_tensor(features_IF, own_VD.device)
        self.features_FI = sparse_tensor(features_IF.T.tocsr(), own_VD.device)
        self.vectors_FD = nn.Parameter(own_VD.new_zeros((features_IF.shape[1], own_VD.shape[1])))

    def table_VD(self) -> torch.Tensor:
        """What the model is to read and to choose from; gradients reach both parts."""
        own_VD: torch.Tensor = self.model.transformer.wte.weight
        if not len(self.vectors_FD):
            return own_VD
        said_ID: torch.Tensor = SparseProduct.apply(  # type: ignore[no-untyped-call]
            self.features_IF, self.features_FI, self.vectors_FD
        )
        return torch.cat([own_VD[: self.first], own_VD[self.first :] + said_ID])

    @contextmanager
    def folded(self) -> Iterator[GPT2LMHeadModel]:
        """The model as it would be saved; its own rows are put back bit for bit afterwards."""
        weight = self.model.transformer.wte.weight
        own_VD = weight.detach().clone()
        with torch.no_grad():
            weight.copy_(self.table_VD())
        try:
            yield self.model
        finally:
            with torch.no_grad():
                weight.copy_(own_VD)


def sparse_tensor(matrix: sparse.csr_matrix, device: torch.device) -> torch.Tensor:
    """The same matrix for torch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )
