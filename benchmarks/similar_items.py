"""Alternatives of rarely bought items beside co-purchase alone, on held-out co-purchases.

    python -m benchmarks.similar_items --data ../shared/data/amazon_beauty

The last item of each shopper with at least three is held out. Asked is its predecessor: are the ten
alternatives (`targeting.alike`, words and buyers, no model) more often right than the ten items
bought together with it? Only predecessors that fewer than five shoppers have are asked.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.quality_data import read_dataset
from pipeline.model.item_features import feature_matrix
from pipeline.targeting.alike import Items, Neighbours, alternatives, together

RARE, K = 5, 10
_WORD = re.compile(r"\w+")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = read_dataset(parser.parse_args().data)
    ids = sorted({item for past in data.pasts.values() for item in past})
    place = {item: n for n, item in enumerate(ids)}
    asked, pairs = [], []
    for user, past in enumerate(data.pasts.values()):
        known = [place[item] for item in past]
        if len(known) >= 3:
            asked.append((known[-2], known.pop()))
        pairs += [(item, user) for item in set(known)]
    of = {item.item_id: item for item in data.catalogue}
    words = [
        (n, word)
        for n, item in enumerate(ids)
        for word in set(_WORD.findall(of[item].title.casefold() if item in of else ""))
    ]
    numbers = {word: n for n, word in enumerate(sorted({word for _, word in words}))}
    items = Items(
        words_IF=feature_matrix([replace(it, brand="") for it in data.catalogue], ids).astype("f4"),
        vectors_ID=np.zeros((len(ids), 1), np.float32),
        buyers_IU=_ones(pairs, (len(ids), len(data.pasts))),
        categories_I=_numbered([of[item].category if item in of else "" for item in ids]),
        brands_I=_numbered([of[item].brand if item in of else "" for item in ids]),
        titles_IW=_ones([(n, numbers[word]) for n, word in words], (len(ids), len(numbers))),
        sellable_I=np.ones(len(ids), dtype=bool),
    )
    bought_I = np.asarray(items.buyers_IU.sum(axis=1)).ravel()
    rare = [(one, then) for one, then in asked if bought_I[one] < RARE]
    print(f"{len(ids):,} items, {len(rare):,} held-out pairs after a rare item")
    print(f"bought together: {_hits(together(items.buyers_IU, items.sellable_I, K, 1), rare):.4f}")
    print(f"alternatives: {_hits(alternatives(items, K), rare):.4f}")


def _ones(pairs: list[tuple[int, int]], shape: tuple[int, int]) -> sparse.csr_matrix:
    rows, columns = np.array(pairs).T
    return sparse.csr_matrix((np.ones(len(pairs), np.int64), (rows, columns)), shape=shape)


def _numbered(names: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    numbers = {name: n for n, name in enumerate(sorted(set(names)))}
    return np.array([numbers[name] if name else -1 for name in names], np.int64)


def _hits(found: Neighbours, asked: list[tuple[int, int]]) -> float:
    said = set(zip(found.item_P.tolist(), found.other_P.tolist(), strict=True))
    return sum(pair in said for pair in asked) / max(len(asked), 1)


if __name__ == "__main__":
    main()
