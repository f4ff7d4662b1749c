"""The candidates: which items may be recommended tonight, which the model knows, who owns which.

Reads the night's catalogue. An item is a candidate if it is sellable. Candidates are in the order
of their ids, and everything below numbers them by their place in that order, which is also how ties
are broken. The model can rank only the candidates that are in its vocabulary; the fallback can rank
all of them.

Shapes: C candidates, N candidates that the model knows, E exclusions of all users.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline.arrow_columns import Column, Lists, column, compute
from pipeline.engine.exclusions import Exclusions, Integers, exclusions
from pipeline.errors import GateError
from pipeline.model.vocabulary import Vocabulary

FACTS = ("item_id", "title", "brand", "category", "price")


@dataclass(frozen=True)
class Candidates:
    """The sellable items and their facts, by item id."""

    facts: pa.Table

    def __len__(self) -> int:
        return int(self.facts.num_rows)

    @cached_property
    def item_ids(self) -> Column:
        """Ids, ascending."""
        return column(self.facts, "item_id")

    @cached_property
    def titles(self) -> list[str | None]:
        """Titles in the same order."""
        return list(self.facts.column("title").to_pylist())

    def places(self, item_ids: Column) -> Integers:
        """Where each id stands among the candidates; -1 for one that is not sellable."""
        found = compute.fill_null(compute.index_in(item_ids, value_set=self.item_ids), -1)
        return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)

    def excluded_by(self, owned: Lists) -> Exclusions:
        """The rule `exclude_owned`: nobody gets what they already bought or rated."""
        users_E = compute.list_parent_indices(owned).to_numpy(zero_copy_only=False)
        places_E = self.places(compute.list_flatten(owned))
        return exclusions(users_E.astype(np.int64), places_E, len(owned))

    def known_to(self, vocabulary: Vocabulary) -> KnownItems:
        """The candidates that the model has a token for, in candidate order."""
        index = compute.index_in(
            self.item_ids, value_set=pa.array(vocabulary.item_ids, pa.string())
        )
        index_C = np.asarray(
            compute.fill_null(index, -1).to_numpy(zero_copy_only=False), dtype=np.int64
        )
        places_N = np.flatnonzero(index_C >= 0).astype(np.int64)
        tokens = np.asarray(vocabulary.item_token_ids, dtype=np.int64)
        return KnownItems(places_N, tokens[index_C[places_N]], len(self))


@dataclass(frozen=True)
class KnownItems:
    """The candidates that a model can rank: places among the candidates, and token ids."""

    places_N: Integers
    token_ids_N: Integers
    n_candidates: int

    @cached_property
    def number_C(self) -> Integers:
        """A candidate's number among the known ones, -1 where the model does not know it."""
        number = np.full(self.n_candidates, -1, dtype=np.int64)
        number[self.places_N] = np.arange(len(self.places_N))
        return number


def sellable_candidates(catalogue: pa.Table, where: str) -> Candidates:
    """The sellable rows of a catalogue.

    Raises:
        GateError: there are none.
    """
    sellable = catalogue.filter(compute.fill_null(catalogue.column("sellable"), False))
    if sellable.num_rows == 0:
        raise GateError(
            f"none of the {catalogue.num_rows:,} items of {where} is sellable (listed and not "
            "out of stock), so there is nothing to recommend; look at the columns listed and "
            "stock of the item files"
        )
    return Candidates(sellable.select(list(FACTS)).sort_by("item_id").combine_chunks())
