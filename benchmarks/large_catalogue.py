"""What an epoch costs beside a catalogue that is twenty times as large, for the same events.

Shoppers walk among the items of a kind, all of them among the first of the catalogue; the larger
catalogue has the same items first, and then others of the same kinds that nobody has met, a part
of them new. Both are trained by the night's own phase, in turns in one process. Prints for each
the processor time of an epoch, NDCG@10 of held-out last events over the items that both have, and
how often a new item's own kind stands among the ten met items nearest to it.

    python -m benchmarks.large_catalogue --users 800 --epochs 3

`--whole` also measures the larger catalogue as it was trained before: every item's rows in every
epoch, all rows of the table at every step (minutes). The last line is one of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from benchmarks.training import walk_row
from pipeline.model.catalogue import CatalogueItem
from pipeline.model.checkpoint import small_config
from pipeline.model.item_features import feature_matrix
from pipeline.model.next_item import next_item_logits
from pipeline.model.prompt import Prompt, history_prompt
from pipeline.model.vocabulary import Vocabulary, build_vocabulary
from pipeline.ranking.metrics import hits_of, ndcgs, target_ranks
from pipeline.settings import Training
from pipeline.training.items import touched_rows
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.catalogue_rows import item_kinds
from pipeline.training.rows.training_rows import TrainingRow, need_rows, title_rows

K = 10
N_POSITIONS = 64
ITEMS_A_KIND = 20
STAYS = 0.8  # how often a walk stays among the items of a kind
NEW = 0.02  # of the items that nobody has met
COLOURS = ("red", "blue", "green", "black", "white")


@dataclass(frozen=True)
class Shop:
    """Rows to train on, and the last step of each walk."""

    vocabulary: Vocabulary
    catalogue: list[CatalogueItem]
    rows: list[TrainingRow]
    prompts: list[Prompt]
    held_out: np.ndarray
    met_I: np.ndarray
    new_I: np.ndarray


def make_shop(users: int, met: int, items: int, seed: int) -> Shop:
    """Walks over the first `met` items of a catalogue; the same walks whatever its size."""
    random = np.random.default_rng(seed)
    n_kinds = met // ITEMS_A_KIND
    catalogue = [
        CatalogueItem(
            f"i{n:06d}",
            f"{COLOURS[n % 5]} thing{n // ITEMS_A_KIND % n_kinds} model{n % 997}",
            f"brand{n % 211}",
            f"all > kind{n // ITEMS_A_KIND % n_kinds}",
            True,
        )
        for n in range(items)
    ]
    vocabulary = build_vocabulary(
        [item.item_id for item in catalogue],
        ["en"],
        [item.description for item in catalogue[:met]],
        text_vocab_size=4000,
    )
    rows, prompts, held_out = [], [], []
    met_I = np.zeros(items, dtype=np.bool_)
    for _ in range(users):
        walk = [int(random.integers(met))]
        for _step in range(50):
            if random.random() < STAYS:
                kind = walk[-1] // ITEMS_A_KIND * ITEMS_A_KIND
                walk.append(min(met - 1, kind + int(random.integers(ITEMS_A_KIND))))
            else:
                walk.append(int(random.integers(met)))
        names = [catalogue[n].item_id for n in walk[:-1]]
        met_I[walk[:-1]] = True
        prompt = history_prompt(vocabulary, names, ["view"] * len(names), (), "en", 50)
        rows.append(replace(walk_row(prompt, len(names)), is_past=True))
        prompts.append(prompt)
        held_out.append(walk[-1])
    rows += need_rows(vocabulary, catalogue, N_POSITIONS)
    rows += title_rows(vocabulary, [(item.item_id, item.title) for item in catalogue])
    new_I = ~met_I & (np.arange(items) >= met) & (random.random(items) < NEW)
    return Shop(vocabulary, catalogue, rows, prompts, np.array(held_out), met_I, new_I)


def ndcg(model: GPT2LMHeadModel, shop: Shop, n_items: int) -> float:
    """NDCG@10 of each held-out step among the first items."""
    model.eval()
    ranks = [
        target_ranks(
            next_item_logits(model, shop.vocabulary, shop.prompts[at : at + 256]).numpy()[
                :, :n_items
            ],
            shop.held_out[at : at + 256],
        )
        for at in range(0, len(shop.prompts), 256)
    ]
    rank_B = np.concatenate(ranks)
    return float(ndcgs(hits_of(rank_B, K), np.ones_like(rank_B)).mean())


def of_own_kind(model: GPT2LMHeadModel, shop: Shop) -> float | None:
    """The share of a new item's ten nearest met items that are of its kind; None without one."""
    first = shop.vocabulary.first_item_token
    table = model.transformer.wte.weight.detach()[first : shop.vocabulary.size]
    table = torch.nn.functional.normalize(table, dim=1)
    new, met = np.flatnonzero(shop.new_I)[:500], np.flatnonzero(shop.met_I)
    if not len(new):
        return None
    nearest = met[(table[new] @ table[met].T).topk(K, dim=1).indices.numpy()]
    kinds = np.array([item.category for item in shop.catalogue])
    return float((kinds[nearest] == kinds[new][:, None]).mean())


def main() -> None:
    """Print a line a catalogue, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=800)
    parser.add_argument("--items", type=int, nargs=2, default=(5_000, 100_000))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="also as it was trained before")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = Training(max_epochs=arguments.epochs)
    found = {}
    small, large = arguments.items
    runs = [("small", small, False), ("large", large, False)]
    for name, items, whole in [*runs, *([("large, whole", large, True)] * arguments.whole)]:
        shop = make_shop(arguments.users, small, items, arguments.seed)
        torch.manual_seed(arguments.seed)
        model = GPT2LMHeadModel(
            small_config(
                shop.vocabulary, n_layer=2, n_head=2, n_embd=64, n_positions=64, dropout=0.1
            )
        )
        touched_rows.MIN_ITEMS = 10**9 if whole else 8_000
        # Once a night, not once an epoch.
        features_IF = feature_matrix(shop.catalogue, shop.vocabulary.item_ids)
        before, clock = os.times(), time.monotonic()
        fit_ranking(
            model,
            shop.vocabulary,
            shop.rows,
            None,
            settings=replace(settings, catalogue_items=0) if whole else settings,
            seed=arguments.seed,
            features_IF=features_IF,
            unmet_I=torch.from_numpy(shop.new_I),
            kind_I=item_kinds(shop.new_I, shop.met_I),
        )
        after = os.times()
        cpu = (after.user + after.system - before.user - before.system) / arguments.epochs
        kind = of_own_kind(model, shop)
        found[name] = {
            "items": items,
            "processor_s_an_epoch": round(cpu, 2),
            "clock_s_an_epoch": round((time.monotonic() - clock) / arguments.epochs, 2),
            "ndcg@10": round(ndcg(model, shop, small), 4),
            "new_items_beside_their_kind": None if kind is None else round(kind, 3),
        }
        print(f"{name}: {found[name]}", flush=True)
    times = [found[name]["processor_s_an_epoch"] for name in ("large", "small")]
    ratio = float(times[0] or 0) / float(times[1] or 1)
    print(f"an epoch of the larger catalogue takes {ratio:.2f} times that of the smaller")
    print(json.dumps({"arguments": vars(arguments), "found": found, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
