"""What other precisions than float32 cost a trained model's ranking, and what they gain.

    make demo
    python -m benchmarks.precision --lake demo/lake --date 2026-03-01

The model of a night ranks every shopper's held-out validation item over all sellable items, with
the engine that makes the nights' lists, in each of `generation.precision`'s values; what was owned
is masked. Said of each: NDCG@10 and Recall@10, the paired difference to float32's NDCG with its
bootstrap interval, how many lists of ten are the same, item by item, and shoppers a second of
processor. Once for the model alone, and once with its prior, as nights do. Ends with one line of
JSON.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch

from pipeline.engine.exclusions import exclusions
from pipeline.engine.precision import Precision
from pipeline.engine.ranker import Ranker
from pipeline.lake import Lake
from pipeline.model.catalogue import read_catalogue
from pipeline.model.checkpoint import Checkpoint, load_checkpoint
from pipeline.model.user_history import UserHistory, held_out, read_histories
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.held_out_ranks import Items, history_prompts, known_numbers, measurable
from pipeline.ranking.metrics import ndcgs, recalls

K = 10
BATCH_USERS = 256
SEED = 20260301


def measure(
    checkpoint: Checkpoint, users: Sequence[UserHistory], items: Items, precision: Precision
) -> dict[str, dict[str, Any]]:
    """Hits, lists and speed, without the prior and with it."""
    vocabulary, index = checkpoint.vocabulary, items.index
    token_I = np.array([vocabulary.item_token(name) or -1 for name in items.item_ids])
    may_N = np.flatnonzero((token_I >= 0) & items.sellable_I)
    place_I = np.full(len(items.item_ids), -1)
    place_I[may_N] = np.arange(len(may_N))
    ranker = Ranker(checkpoint.model, token_I[may_N], 0, precision=precision)
    config = checkpoint.model.config
    prompts = history_prompts(users, vocabulary, config.n_positions - 8, config.n_positions)
    owned = [
        (row, place_I[index[name]])
        for row, user in enumerate(users)
        for name in user.owned_before_holdout()
        if name in index and place_I[index[name]] >= 0
    ]
    rows_P, places_P = np.array(sorted(set(owned)), dtype=np.int64).reshape(-1, 2).T
    masked = exclusions(rows_P, places_P, len(users))
    target_U = np.array([place_I[index[user.held_out_item]] for user in users])
    priors: dict[str, scipy.sparse.csr_array | None] = {"model": None}
    if checkpoint.prior is not None and not checkpoint.prior.adds_nothing:
        scores_UI = checkpoint.prior.scores(known_numbers(users, vocabulary))
        columns = token_I[may_N] - vocabulary.first_item_token
        priors["with its prior"] = scipy.sparse.csr_array(scores_UI[:, columns])
    found = {}
    for name, prior_UN in priors.items():
        started = time.process_time()
        ranked = ranker.rank(prompts, masked, K, BATCH_USERS, prior_UN=prior_UN)
        seconds = time.process_time() - started
        hit_UK = ranked.items_UK == target_U[:, None]
        one_U = np.ones(len(users), dtype=np.int64)
        found[name] = {
            "ndcg_U": ndcgs(hit_UK, one_U),
            "recall_U": recalls(hit_UK, one_U),
            "items_UK": ranked.items_UK,
            "users_per_s": len(users) / seconds,
        }
    return found


def compare(checkpoint: Checkpoint, users: Sequence[UserHistory], items: Items) -> dict[str, Any]:
    """All precisions beside the reference."""
    reference = measure(checkpoint, users, items, Precision.FLOAT32)
    figures: dict[str, Any] = {}
    for precision in Precision:
        for name, of in measure(checkpoint, users, items, precision).items():
            exact = reference[name]
            difference = difference_interval(of["ndcg_U"], exact["ndcg_U"], SEED)
            same_U = (of["items_UK"] == exact["items_UK"]).all(axis=1)
            line = {
                "ndcg@10": float(of["ndcg_U"].mean()),
                "recall@10": float(of["recall_U"].mean()),
                "ndcg_difference": [difference.mean, difference.low, difference.high],
                "same_lists": float(same_U.mean()),
                "same_first_items": float((of["items_UK"][:, 0] == exact["items_UK"][:, 0]).mean()),
                "users_per_s": of["users_per_s"],
            }
            rounded = {key: np.round(value, 5).tolist() for key, value in line.items()}
            print(f"{name}, {precision}: {rounded}", flush=True)
            figures.setdefault(name, {})[precision.value] = rounded
    return figures


def main(argv: list[str] | None = None) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--date", type=dt.date.fromisoformat, required=True, help="of the night")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--users", type=int, default=20_000, help="at most so many")
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.threads)
    lake = Lake(asked.lake)
    checkpoint = load_checkpoint(lake.require("models", asked.date).path)
    catalogue = read_catalogue(lake, asked.date)
    items = Items(
        tuple(item.item_id for item in catalogue),
        np.array([item.sellable for item in catalogue], dtype=np.bool_),
    )
    known = set(checkpoint.vocabulary.item_ids)
    users = [
        user
        for user in measurable(held_out(read_histories(lake, asked.date), "validation"), items)
        if user.held_out_item in known
    ][: asked.users]
    config = checkpoint.model.config
    size = {
        "n_layer": config.n_layer,
        "n_embd": config.n_embd,
        "users": len(users),
        "items": int(items.sellable_I.sum()),
    }
    print(json.dumps(size | compare(checkpoint, users, items)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
