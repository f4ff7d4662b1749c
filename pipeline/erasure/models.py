"""Models that learned from erased users: which are dropped, and which only stop being gone on from.

A model's weights cannot be searched. What can be read of it are its texts: the tokenizer's tokens
are pieces of what shoppers wrote, and a token may be a word that only an erased user wrote. Such a
model is dropped, the champion too: lists that are published stay, `nightcart recommend` has no
model until the next night, and the next night trains anew. All other models stay, and are noted
(`pipeline.erased`): no night starts from their weights any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import decoders

from pipeline.datasets import MODELS
from pipeline.erasure.directories import RunDirectory
from pipeline.erasure.exchange import take_away
from pipeline.erasure.words import words_that_tell
from pipeline.intact import FaultError, read_sealed_json
from pipeline.lake import CURRENT, Lake

TOKENIZER_FILE = "tokenizer.json"
REPORT_FILE = "training_report.json"


def words_of_model(directory: Path) -> set[str]:
    """The words that a model's own tokenizer was taught; none of a base model's tokenizer.

    Whoever cannot read a file of it finds nothing: the model cannot be loaded either.
    """
    try:
        tokenizer = json.loads((directory / TOKENIZER_FILE).read_text(encoding="utf-8"))
        tokens = list(tokenizer["model"]["vocab"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    if _has_base_model(directory):
        return set()
    decoder = decoders.ByteLevel()
    return words_that_tell(
        decoder.decode([token]) for token in tokens if not token.startswith("<|")
    )


def _has_base_model(directory: Path) -> bool:
    try:
        report = json.loads((directory / REPORT_FILE).read_text(encoding="utf-8"))
        return bool(report["settings"]["model.base_model"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def drop_model(lake: Lake, model: RunDirectory) -> None:
    """Remove a model; first the pointer of its date, if it names it."""
    pointer = lake.date_directory(MODELS, model.date) / CURRENT
    if pointer.exists():
        try:
            named = read_sealed_json(pointer)["run_id"]
        except (FaultError, KeyError):
            named = None
        if named == model.directory_id:
            pointer.unlink()
    take_away(model.path)


def models_in(directories: Iterable[RunDirectory]) -> list[RunDirectory]:
    """The models among some directories."""
    return [directory for directory in directories if directory.dataset == MODELS]
