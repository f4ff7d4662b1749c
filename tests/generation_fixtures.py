"""Fixtures for engine and generation: a tiny shop in a lake, a random GPT-2, one thread.

Each room's conftest imports them by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.lake import Lake
from pipeline.model.checkpoint import Checkpoint
from pipeline.settings import Settings
from tests.generation_shop import (
    N_ITEMS,
    Shop,
    catalogue_item,
    item,
    many_histories,
    random_checkpoint,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small only wait for one another on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shop(lake: Lake, settings: Settings) -> Shop:
    """Thirty users, forty items, a random champion; English for whom nothing is known."""
    shop = Shop(lake, settings).with_settings("generation", shards=3, k=5)
    shop = shop.with_settings("reasons", default_language="en")
    shop.put("histories", many_histories(30, seed=3))
    shop.put("catalogue", [catalogue_item(item(n)) for n in range(N_ITEMS)])
    words = [
        {"item_id": item(n), "language": language, "words": phrases, "aspects": [], "n_reviews": 3}
        for n in range(N_ITEMS)
        for language, phrases in (("en", ["soft", "brush"]), ("zh", ["柔软"]))
    ]
    shop.put("item_words", words)
    shop.put_model()
    shop.put_champion()
    return shop


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """A random GPT-2 over forty items."""
    return random_checkpoint(tmp_path / "checkpoint", [item(n) for n in range(N_ITEMS)])
