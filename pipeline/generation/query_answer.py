"""The champion's answer to a sentence of need ("a new phone"), from the newest catalogue.

Reads the champion as of a night and the night's `catalogue`. The sentence counts as a search of a
user of whom nothing else is known. Guarantees: sellable items only; facts come from the catalogue;
equal scores in the order of ids. A score is the model's log-probability among the sellable items
that it knows. Writes nothing.

Shapes: I items of the model, C candidates.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from pipeline.datasets import CATALOGUE, CHAMPIONS
from pipeline.encryption.parquet_files import read_table
from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.model.champion import champion_of
from pipeline.model.checkpoint import Checkpoint, load_checkpoint
from pipeline.model.next_item import next_item_logits
from pipeline.model.prompt import history_prompt
from pipeline.model.query_language import query_language

_COLUMNS = ["item_id", "title", "brand", "category", "price", "sellable"]


@dataclass(frozen=True)
class Suggestion:
    """One item."""

    rank: int
    item_id: str
    title: str | None
    brand: str | None
    category: str | None
    price: float | None
    score: float


@dataclass(frozen=True)
class QueryAnswer:
    """The answer to a sentence, as of a night."""

    sentence: str
    language: str | None
    run_date: dt.date
    model_version: str
    items: list[Suggestion]

    def as_json(self) -> dict[str, Any]:
        """The answer as a JSON object."""
        return asdict(self) | {"run_date": self.run_date.isoformat()}


def answer_query(lake: Lake, sentence: str, k: int) -> QueryAnswer:
    """The best k items, as of the newest night with a champion.

    Raises:
        InputError: there is no such night or no model, nothing in the sentence can be read, or the
            model knows nothing that is sold.
    """
    dates = lake.dates(CHAMPIONS)
    if not dates:
        raise InputError(
            f"no night of {lake.root} was evaluated yet, so there is no model to ask; run a night "
            "first: nightcart run --date YYYY-MM-DD, or nightcart demo"
        )
    date = dates[-1]
    record = champion_of(lake, date)
    directory = record.model_directory(lake) if record else None
    if directory is None:
        raise InputError(f"no model was promoted up to {date}: {record.why if record else ''}")
    checkpoint = load_checkpoint(directory)
    language = query_language(sentence, checkpoint.vocabulary.languages)
    if not checkpoint.vocabulary.encode_text(sentence.strip()):
        raise InputError("the sentence is empty: say what is wanted, in any words")
    rows = [
        row
        for file in lake.require(CATALOGUE, date).files
        for row in read_table(file, columns=_COLUMNS).to_pylist()
        if row["sellable"]
    ]
    return QueryAnswer(
        sentence,
        language,
        date,
        checkpoint.model_version,
        _best(checkpoint, sentence, language, rows, k),
    )


def _best(
    checkpoint: Checkpoint, sentence: str, language: str | None, rows: list[dict[str, Any]], k: int
) -> list[Suggestion]:
    index = checkpoint.vocabulary.item_index
    known = sorted((row for row in rows if row["item_id"] in index), key=lambda row: row["item_id"])
    if not known:
        raise InputError(
            f"the model {checkpoint.model_version} knows none of the {len(rows):,} items that are "
            "sold; run fine_tune and evaluate for a newer night"
        )
    score_C = sentence_scores(checkpoint, sentence, language)[
        [index[row["item_id"]] for row in known]
    ]
    score_C = score_C - np.logaddexp.reduce(score_C)
    order = np.argsort(-score_C, kind="stable")[:k]
    facts = ("item_id", "title", "brand", "category", "price")
    return [
        Suggestion(
            rank=rank,
            score=round(float(score_C[place]), 4),
            **{name: known[place][name] for name in facts},
        )
        for rank, place in enumerate(order, start=1)
    ]


def sentence_scores(checkpoint: Checkpoint, sentence: str, language: str | None) -> np.ndarray:
    """Logits over the model's items, `logits_I`, for a user with this search and nothing else."""
    prompt = history_prompt(
        checkpoint.vocabulary,
        [],
        [],
        [sentence],
        language,
        max_events=1,
        max_tokens=checkpoint.model.config.n_positions,
    )
    with torch.random.fork_rng(devices=[]):
        logits_1I = next_item_logits(checkpoint.model, checkpoint.vocabulary, [prompt])
    logits_I: np.ndarray = logits_1I[0].double().numpy()
    return logits_I
