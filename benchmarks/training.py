"""Training speed beside transformers' Trainer: the same model, rows, epochs and rows a step.

Theirs: random batches padded to their longest row, logits of the whole vocabulary at every
position, the loss where there is a target. Ours: batches of nearly one length, hidden states
gathered at the targets first, projected on items only. Targets per second of processor time (and of
the clock), in turns in one process; NDCG@10 of held-out last events for both, and the 95 %
bootstrap interval of their difference over the same users: with enough steps to learn the shop, it
should hold 0.

    pip install accelerate    # Trainer needs it; Nightcart does not
    python -m benchmarks.training --users 1500 --items 1500 --epochs 12

takes one to two minutes of processor. The last line is one of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GPT2LMHeadModel, Trainer, TrainingArguments

from pipeline.model.checkpoint import small_config
from pipeline.model.next_item import next_item_logits, padded
from pipeline.model.prompt import Prompt, history_prompt
from pipeline.model.vocabulary import Vocabulary, build_vocabulary
from pipeline.ranking.bootstrap import difference_interval
from pipeline.ranking.metrics import Floats, hits_of, ndcgs, target_ranks
from pipeline.settings import Training
from pipeline.training.ranking_phase import fit_ranking
from pipeline.training.rows.batches import bucketed
from pipeline.training.rows.training_rows import TrainingRow

K = 10
N_POSITIONS = 64
ITEMS_A_KIND = 20
STAYS = 0.8  # how often a walk stays among the items of a kind


@dataclass(frozen=True)
class Shop:
    """Walks that mostly stay among the items of a kind, popular ones more often than others.

    The last step of each is held out.
    """

    vocabulary: Vocabulary
    rows: list[TrainingRow]
    prompts: list[Prompt]
    held_out: np.ndarray


def make_shop(users: int, items: int, seed: int) -> Shop:
    """Lengths as in real shops: most histories are short, a few are long."""
    random = np.random.default_rng(seed)
    popular_K = 1 / np.arange(1, ITEMS_A_KIND + 1)
    popular_K /= popular_K.sum()
    item_ids = [f"i{n:06d}" for n in range(items)]
    texts = [" ".join(random.choice(["red", "kettle", "phone", "soft"], 3)) for _ in range(50)]
    vocabulary = build_vocabulary(item_ids, ["en"], texts, text_vocab_size=4000)
    rows, prompts, held_out = [], [], []
    for _ in range(users):
        length = int(np.clip(random.lognormal(2.0, 0.9), 3, 50))
        walk = [int(random.integers(items))]
        for _step in range(length):
            if random.random() < STAYS:
                kind = walk[-1] // ITEMS_A_KIND * ITEMS_A_KIND
                walk.append(min(items - 1, kind + int(random.choice(ITEMS_A_KIND, p=popular_K))))
            else:
                walk.append(int(random.integers(items)))
        names = [item_ids[n] for n in walk[:-1]]
        prompt = history_prompt(vocabulary, names, ["view"] * len(names), (), "en", 50)
        rows.append(walk_row(prompt, len(names)))
        prompts.append(prompt)
        held_out.append(walk[-1])
    return Shop(vocabulary, rows, prompts, np.array(held_out))


def walk_row(prompt: Prompt, n_items: int) -> TrainingRow:
    """Each of the prompt's items, which are its last tokens, is asked for where it comes next."""
    start = len(prompt) - n_items
    return TrainingRow(
        prompt.token_ids[:-1],
        prompt.type_ids[:-1],
        list(range(start - 1, len(prompt) - 1)),
        prompt.token_ids[start:],
        False,
    )


def make_model(vocabulary: Vocabulary, layers: int, width: int, seed: int) -> GPT2LMHeadModel:
    """The same start for both."""
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        small_config(
            vocabulary,
            n_layer=layers,
            n_head=2,
            n_embd=width,
            n_positions=N_POSITIONS,
            dropout=0.1,
        )
    )


def quality(model: GPT2LMHeadModel, shop: Shop) -> Floats:
    """NDCG@10 of each held-out step."""
    model.eval()
    ranks = [
        target_ranks(
            next_item_logits(model, shop.vocabulary, shop.prompts[start : start + 256]).numpy(),
            shop.held_out[start : start + 256],
        )
        for start in range(0, len(shop.prompts), 256)
    ]
    ranks_B = np.concatenate(ranks)
    return ndcgs(hits_of(ranks_B, K), np.ones_like(ranks_B))


def ours(model: GPT2LMHeadModel, shop: Shop, settings: Training, seed: int) -> None:
    """The night's loop, with nothing measured on the way."""
    fit_ranking(model, shop.vocabulary, shop.rows, None, settings=settings, seed=seed)


def theirs(
    model: GPT2LMHeadModel, shop: Shop, settings: Training, rows_a_step: int, seed: int
) -> None:
    """Trainer with its own defaults for everything that is not the recipe."""
    pad = shop.vocabulary.control["pad"]

    def collate(some: list[TrainingRow]) -> dict[str, torch.Tensor]:
        whole = [
            Prompt([*row.token_ids, row.targets[-1]], [*row.type_ids, row.type_ids[-1]])
            for row in some
        ]
        tokens_BT, types_BT = padded(whole, pad)
        labels_BT = torch.full_like(tokens_BT, -100)
        for n, row in enumerate(some):
            labels_BT[n, [position + 1 for position in row.positions]] = torch.tensor(row.targets)
        mask_BT = (tokens_BT != pad).long()
        return {
            "input_ids": tokens_BT,
            "token_type_ids": types_BT,
            "attention_mask": mask_BT,
            "labels": labels_BT,
        }

    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=rows_a_step,
            num_train_epochs=settings.max_epochs,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup_steps=settings.warmup_share,
            lr_scheduler_type="cosine",
            adam_beta2=0.98,
            max_grad_norm=1.0,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            use_cpu=True,
            seed=seed,
        )
        rows: Any = shop.rows  # anything with a length and items serves as a dataset
        Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate).train()


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of processor and of the clock."""
    clock, before = time.monotonic(), os.times()
    work()
    after = os.times()
    return after.user + after.system - before.user - before.system, time.monotonic() - clock


def main() -> None:
    """Print one line a trainer and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--users", type=int, default=1500)
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shop = make_shop(arguments.users, arguments.items, arguments.seed)
    settings = Training(max_epochs=arguments.epochs, sampled_items=0, later_weight=0.0)
    batches = bucketed(shop.rows, settings.batch_tokens, np.random.default_rng(0))
    rows_a_step = round(len(shop.rows) / len(batches))
    asked = sum(len(row.targets) for row in shop.rows) * settings.max_epochs
    print(
        f"{len(shop.rows):,} rows, {asked:,} targets in {settings.max_epochs} epochs, "
        f"{rows_a_step} rows a step, vocabulary {shop.vocabulary.size:,}, {arguments.items:,} items"
    )
    rates: dict[str, float] = {}
    ndcg_B_of: dict[str, Floats] = {}
    for name in ("nightcart", "Trainer"):
        model = make_model(shop.vocabulary, arguments.layers, arguments.width, arguments.seed)
        if name == "nightcart":
            cpu, clock = timed(lambda: ours(model, shop, settings, arguments.seed))  # noqa: B023
        else:
            cpu, clock = timed(
                lambda: theirs(model, shop, settings, rows_a_step, arguments.seed)  # noqa: B023
            )
        rates[name] = asked / cpu
        ndcg_B_of[name] = quality(model, shop)
        print(
            f"{name}: {asked / cpu:,.0f} targets a second of processor ({cpu:.1f} s, {clock:.1f} s "
            f"of the clock), NDCG@{K} {ndcg_B_of[name].mean():.4f}",
            flush=True,
        )
    difference = difference_interval(ndcg_B_of["nightcart"], ndcg_B_of["Trainer"], arguments.seed)
    ratio = rates["nightcart"] / rates["Trainer"]
    print(f"ratio {ratio:.1f}; NDCG@{K} of ours less theirs {difference}")
    print(
        json.dumps(
            {
                "arguments": vars(arguments),
                "targets_a_processor_second": {name: round(rate) for name, rate in rates.items()},
                "ratio": round(ratio, 2),
                f"ndcg@{K}": {name: round(float(v.mean()), 4) for name, v in ndcg_B_of.items()},
                "difference": [difference.mean, difference.low, difference.high],
            }
        )
    )


if __name__ == "__main__":
    main()
