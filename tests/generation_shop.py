"""A tiny shop with a random GPT-2 for the tests of generation, and the means to change it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import GPT2LMHeadModel

from pipeline.generation.night import Generated, Night
from pipeline.lake import Lake, Run
from pipeline.model.checkpoint import Checkpoint, save_checkpoint, small_config
from pipeline.model.prior import Prior
from pipeline.model.prompt import Prompt, history_prompt
from pipeline.model.vocabulary import build_vocabulary
from pipeline.settings import Settings
from tests.lake_rows import user_id_of, write_rows

NIGHT = dt.date(2026, 3, 1)
TRAINED = Run(NIGHT, "trained")
INSTANT = dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC)
N_ITEMS = 40
TEXTS = ["I love the soft brush, it is great.", "Sehr weicher Pinsel.", "刷子很柔软。"] * 3

Row = dict[str, Any]


def item(n: int) -> str:
    return f"item-{n:03d}"


def history(name: str, items: list[str], **changes: Any) -> Row:
    """A history of purchases, with whatever else a test wants to say."""
    row: Row = {
        "user_id": user_id_of(name),
        "item_ids": items,
        "event_types": ["purchase"] * len(items),
        "event_times": [INSTANT] * len(items),
        "queries": [],
        "query_times": [],
        "owned_item_ids": sorted(set(items)),
        "n_events": max(1, len(items)),
        "last_event_time": INSTANT,
        "active": True,
        "consent": True,
        "language": "en",
        "region": None,
        "holdout_index": None,
        "holdout_split": None,
    }
    return row | changes


def catalogue_item(item_id: str, **changes: Any) -> Row:
    row: Row = {
        "item_id": item_id,
        "title": f"Brush {item_id}",
        "brand": "Borsta",
        "category": "Care > Brushes",
        "price": 9.5,
        "stock": 3,
        "sellable": True,
        "first_seen_date": NIGHT,
    }
    return row | changes


def many_histories(n_users: int, seed: int) -> list[Row]:
    """Histories of mixed length over the catalogue, some with queries, in several languages."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        n = int(rng.integers(1, 20))
        items = [item(int(i)) for i in rng.integers(0, N_ITEMS, n)]
        types = [str(t) for t in rng.choice(["view", "cart", "purchase", "rating"], n)]
        owned = sorted(
            {i for i, t in zip(items, types, strict=True) if t in ("purchase", "rating")}
        )
        queries = ["soft brush"] if user % 3 == 0 else []
        rows.append(
            history(
                f"user-{user}",
                items,
                event_types=types,
                owned_item_ids=owned,
                queries=queries,
                query_times=[INSTANT] * len(queries),
                language=[None, "en", "de-AT", "zh-CN", "fr"][user % 5],
            )
        )
    return rows


def random_checkpoint(directory: Path, item_ids: list[str], seed: int = 1) -> Checkpoint:
    """A GPT-2 with random weights, saved where a champion would be."""
    vocabulary = build_vocabulary(item_ids, ["en", "de", "zh"], TEXTS, text_vocab_size=300)
    config = small_config(vocabulary, n_layer=2, n_head=2, n_embd=16, n_positions=64, dropout=0.1)
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            # Wider than GPT-2's own start, so that scores differ by more than rounding.
            weights.add_(torch.randn_like(weights) * 0.2)
    directory.mkdir(parents=True, exist_ok=True)
    return save_checkpoint(directory, model, vocabulary, NIGHT)


@dataclass(frozen=True)
class Shop:
    """What a test changes before it generates."""

    lake: Lake
    settings: Settings

    def put(self, dataset: str, rows: list[Row]) -> None:
        write_rows(self.lake, dataset, Run(NIGHT, "upstream"), rows, files=2)

    def put_champion(self, model_run: Run | None = TRAINED, **more: Any) -> None:
        run = Run(NIGHT, "upstream")
        record = {
            "model_run_date": model_run.run_date.isoformat() if model_run else None,
            "model_run_id": model_run.run_id if model_run else None,
            "model_version": "said" if model_run else None,
            "promoted": model_run is not None,
            "why": "a test says so",
            **more,
        }
        (self.lake.begin("champions", run) / "champion.json").write_text(json.dumps(record))
        self.lake.commit("champions", run, rows=1)

    def model_directory(self) -> Path:
        return self.lake.run_directory("models", TRAINED)

    def put_model(
        self, item_ids: list[str] | None = None, prior: Prior | None = None
    ) -> Checkpoint:
        self.lake.begin("models", TRAINED)
        items = [item(n) for n in range(N_ITEMS)] if item_ids is None else item_ids
        checkpoint = random_checkpoint(self.model_directory(), items)
        if prior is not None:
            prior.save(self.model_directory())
        self.lake.commit("models", TRAINED, rows=1)
        return checkpoint

    def with_settings(self, section: str, **changes: Any) -> Shop:
        changed = dataclasses.replace(getattr(self.settings, section), **changes)
        return Shop(self.lake, dataclasses.replace(self.settings, **{section: changed}))

    def night(self, run_id: str = "R") -> Night:
        return Night(self.lake, Run(NIGHT, run_id), self.settings)

    def generate(self, run_id: str = "R") -> Generated:
        return self.night(run_id).generate()


def rows_of(generated: Generated) -> list[Row]:
    """All rows, by user id."""
    rows: list[Row] = [
        row for path in generated.partition.files for row in pq.read_table(path).to_pylist()
    ]
    return sorted(rows, key=lambda row: row["user_id"])


def checksums(generated: Generated) -> list[str]:
    return [entry["sha256"] for entry in generated.partition.manifest["files"]]


def random_prompts(checkpoint: Checkpoint, lengths: Sequence[int]) -> list[Prompt]:
    """Prompts of histories of views, so many of random items each."""
    numbers = np.random.default_rng(5)
    vocabulary = checkpoint.vocabulary
    return [
        history_prompt(
            vocabulary,
            [str(name) for name in numbers.choice(vocabulary.item_ids, n)],
            ["view"] * n,
            [],
            "en",
            50,
        )
        for n in lengths
    ]
