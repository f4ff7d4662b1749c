"""The lists of items: `similar_items` and `bought_together`, of the night.

Reads the night's `catalogue`, `histories` and `acts` (who bought what, of the shoppers who agree),
and the champion's vectors of items. Writes both datasets and a line of the ledger for each: how
many items of the catalogue have a list. Of no person: a row says of a pair of items how many
shoppers bought both.

Memory holds the pairs of shopper and item that were bought (12 bytes each), the items, and a block
of items by items (`alike`). Time grows with the square of the items, of which there are at most
`item_lists.max_items`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from pipeline.contracts.arrow import arrow_schema, check_table
from pipeline.contracts.contract import load_contract
from pipeline.datasets import ACTS, BOUGHT_TOGETHER, CATALOGUE, HISTORIES, SIMILAR_ITEMS
from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.ledger import LedgerLine
from pipeline.lineage import Lineage, inputs_of
from pipeline.model.catalogue import CatalogueItem, read_catalogue
from pipeline.model.item_features import feature_matrix
from pipeline.settings import Settings
from pipeline.sql_values import sql_text
from pipeline.stages import TARGET
from pipeline.targeting.alike import REASONS, Items, Neighbours, alternatives, together
from pipeline.targeting.item_vectors import item_vectors
from pipeline.targeting.shoppers import make_shoppers
from pipeline.targeting.triggers import SWITCHED_OFF, acts_of, engine

log = logging.getLogger("nightcart")

_WORD = re.compile(r"\w+")

_BOUGHT = """
SELECT DISTINCT item_id, user_id FROM {files} SEMI JOIN agreeing USING (user_id)
WHERE event_type IN ('purchase', 'rating') AND NOT cancelled AND event_date <= {night}
"""


@dataclass(frozen=True)
class ItemLists:
    """What was written, and how many items have a list."""

    lines: tuple[LedgerLine, LedgerLine]
    report: dict[str, Any]
    warnings: tuple[str, ...] = ()


def make_item_lists(lake: Lake, run: Run, settings: Settings) -> ItemLists:
    """Find what is alike and what is bought together, and commit both.

    Raises:
        InputError: the night has no histories, acts or catalogue.
        StorageError: the disk refuses.
    """
    night, asked = run.run_date, settings.item_lists
    if not asked.similar and not asked.together:
        return no_item_lists(lake, run, SWITCHED_OFF)
    histories, catalogue = lake.require(HISTORIES, night), lake.require(CATALOGUE, night)
    acts = acts_of(lake, histories)
    items = read_catalogue(lake, night)
    if not items:
        return no_item_lists(lake, run, "no_items")
    n_all = len(items)
    warnings: tuple[str, ...] = ()
    buyers_IU = _buyers(lake, run, histories, acts, [item.item_id for item in items])
    kept_I = _most_bought(buyers_IU, asked.max_items)
    if len(kept_I) < n_all:
        items, buyers_IU = [items[place] for place in kept_I], buyers_IU[kept_I]
        warnings = (
            f"of {n_all:,} items only the {len(items):,} that most shoppers have bought are in "
            "lists of items (item_lists.max_items): time grows with its square",
        )
        log.warning("%s", warnings[0])
    ids = [item.item_id for item in items]
    vectors_ID, version = item_vectors(lake, night, ids)
    # That two items are of one brand makes neither an alternative to the other.
    brandless = [replace(item, brand="") for item in items]
    known = Items(
        words_IF=feature_matrix(brandless, ids).astype(np.float32),
        vectors_ID=vectors_ID,
        buyers_IU=buyers_IU,
        categories_I=_numbered(item.category for item in items),
        brands_I=_numbered(item.brand for item in items),
        titles_IW=_title_words(items),
        sellable_I=np.array([item.sellable for item in items], dtype=bool),
    )
    alike = alternatives(known, asked.similar)
    beside = together(known.buyers_IU, known.sellable_I, asked.together, asked.min_buyers)
    facts = (
        pa.concat_tables(
            pq.read_table(file, columns=["item_id", "title", "brand", "category", "price"])
            for file in catalogue.files
        )
        .sort_by("item_id")
        .take(kept_I)
    )
    lineage = Lineage(inputs_of({HISTORIES: histories, ACTS: acts, CATALOGUE: catalogue}))
    said = {
        "because": pa.array(_reasons(alike), pa.string()),
        "other_brand": _other_brand(known, alike),
        "model_version": pa.array([version] * len(alike.item_P), pa.string()),
    }
    common: dict[str, Any] = dict(facts=facts, lineage=lineage, n_all=n_all)  # noqa: C408  # arguments
    lines = (
        _put(lake, run, SIMILAR_ITEMS, alike, other="similar_item_id", said=said, **common),
        _put(lake, run, BOUGHT_TOGETHER, beside, other="together_item_id", said={}, **common),
    )
    report = {line.dataset: line.rows_out for line in lines} | {"vectors_of": version}
    return ItemLists(lines, report, warnings)


def no_item_lists(lake: Lake, run: Run, why: str) -> ItemLists:
    """Commit none, so that the lists can be published.

    Args:
        why: a name for it, for the ledger.

    Raises:
        InputError: the night has no catalogue.
        StorageError: the disk refuses.
    """
    catalogue = lake.require(CATALOGUE, run.run_date)
    lineage = Lineage(inputs_of({CATALOGUE: catalogue}))
    similar, beside = (
        _commit(
            lake,
            run,
            dataset,
            arrow_schema(load_contract(dataset)).empty_table(),
            lineage=lineage,
            removed={why: catalogue.rows},
            n_items=catalogue.rows,
        )
        for dataset in (SIMILAR_ITEMS, BOUGHT_TOGETHER)
    )
    return ItemLists((similar, beside), {SIMILAR_ITEMS: 0, BOUGHT_TOGETHER: 0})


def _buyers(
    lake: Lake, run: Run, histories: Partition, acts: Partition, ids: Sequence[str]
) -> sparse.csr_matrix:
    """`buyers_IU`: 1 where an agreeing shopper has bought the item; shoppers in no order."""
    night = f"DATE {sql_text(run.run_date.isoformat())}"
    places, users, n_users = [], [], 0
    order = pa.array(ids, pa.string())
    with engine(lake.work(TARGET, run)) as connection:
        make_shoppers(connection, lake, histories, set())
        for file in acts.files:
            bought = _BOUGHT.format(files=parquet_source([file]), night=night)
            pairs: Any = connection.sql(bring(connection, bought)).to_arrow_table()
            found = pa.compute.index_in(pairs["item_id"].combine_chunks(), value_set=order)
            who: Any = pairs["user_id"].combine_chunks().dictionary_encode()
            place = np.asarray(pa.compute.fill_null(found, -1), dtype=np.int64)
            user = np.asarray(who.indices, dtype=np.int64) + n_users
            n_users += len(who.dictionary)  # a shopper is in one file of acts
            places.append(place[place >= 0])
            users.append(user[place >= 0])
    none = [np.zeros(0, np.int64)]
    place, user = np.concatenate(places or none), np.concatenate(users or none)
    ones = np.ones(len(place), np.int64)
    return sparse.csr_matrix((ones, (place, user)), shape=(len(ids), n_users))


def _most_bought(buyers_IU: sparse.csr_matrix, n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The places of the `n` items with the most buyers, ascending; of equal ones the first."""
    bought_I = np.asarray(buyers_IU.sum(axis=1)).ravel()
    return np.sort(np.argsort(-bought_I, kind="stable")[:n])


def _numbered(names: Iterable[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A number for each different name; -1 for none."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(name, len(numbers)) if name else -1 for name in names], np.int64
    )


def _title_words(items: Sequence[CatalogueItem]) -> sparse.csr_matrix:
    numbers: dict[str, int] = {}
    rows, columns = [], []
    for row, item in enumerate(items):
        for word in sorted(set(_WORD.findall(item.title.casefold()))):
            rows.append(row)
            columns.append(numbers.setdefault(word, len(numbers)))
    ones = np.ones(len(rows), np.int64)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(len(items), len(numbers)))


def _reasons(found: Neighbours) -> list[str]:
    """What says most; the category where nothing else does."""
    best = found.parts_P3.argmax(axis=1) if len(found.item_P) else []
    says = found.parts_P3.max(axis=1) > 0 if len(found.item_P) else []
    return [REASONS[n] if yes else "category" for n, yes in zip(best, says, strict=True)]


def _other_brand(items: Items, found: Neighbours) -> Any:
    one, other = items.brands_I[found.item_P], items.brands_I[found.other_P]
    return pa.array(one != other, pa.bool_(), mask=(one < 0) | (other < 0))


def _put(
    lake: Lake,
    run: Run,
    dataset: str,
    found: Neighbours,
    *,
    facts: pa.Table,
    lineage: Lineage,
    n_all: int,
    other: str,
    said: dict[str, Any],
) -> LedgerLine:
    """Commit one of the two; the line says how many items have a list."""
    contract = load_contract(dataset)
    schema = arrow_schema(contract)
    firsts = np.flatnonzero(np.diff(found.item_P, prepend=-1))
    lengths = np.diff(np.append(firsts, len(found.item_P)))
    ranks = np.arange(len(found.item_P)) - np.repeat(firsts, lengths) + 1
    others = facts.take(found.other_P)
    columns = {
        "item_id": facts["item_id"].take(found.item_P),
        "rank": pa.array(ranks, pa.int32()),
        other: others["item_id"],
        **{name: others[name] for name in ("title", "brand", "category", "price")},
        "score": pa.array(found.score_P.astype(np.float64)),
        "buyers_of_both": pa.array(found.both_P, pa.int32()),
        **said,
    }
    rows = pa.table({name: columns[name] for name in schema.names})
    rows = check_table(rows.cast(pa.schema([f.with_nullable(True) for f in schema])), contract)
    n_items = facts.num_rows
    removed = {"no_other_item": n_items - len(firsts), "over_max_items": n_all - n_items}
    return _commit(lake, run, dataset, rows, lineage=lineage, removed=removed, n_items=n_all)


def _commit(
    lake: Lake,
    run: Run,
    dataset: str,
    rows: pa.Table,
    *,
    lineage: Lineage,
    removed: dict[str, int],
    n_items: int,
) -> LedgerLine:
    directory = lake.begin(dataset, run)
    with storage_errors(f"cannot write {directory}"):
        pq.write_table(rows, directory / "part-00000.parquet", compression="zstd")
    lake.commit(dataset, run, rows=rows.num_rows, **lineage.facts())
    return LedgerLine(
        run.run_date,
        run.run_id,
        TARGET,
        dataset,
        n_items,
        n_items - sum(removed.values()),
        removed={reason: n for reason, n in removed.items() if n},
    )
