"""Cleaned reviews as rows of `review_phrases`: Arrow batches through Python, in parallel.

The models are loaded once a Python worker, at its first review. A review whose text breaks the
extraction would stop the night; none of the hostile strings does (a test holds that).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import spark_schema
from pipeline.datasets import REVIEW_PHRASES
from pipeline.reviews.language import language_of
from pipeline.reviews.phrases import phrases
from pipeline.reviews.unfair import text_hash

_SAME = ("review_id", "user_id", "item_id", "review_date", "rating")
_READ = (*_SAME, "title", "text", "language")


def phrase_rows(reviews: DataFrame, delivered: str, copied_min_characters: int) -> DataFrame:
    """The columns of `review_phrases` and the delivery day, a row for each phrase of a review.

    Args:
        reviews: the columns of `cleaned_reviews` and `delivered`.
        delivered: the name of the column of the delivery day, a date.
        copied_min_characters: a shorter text has no `text_hash`.
    """
    contract = load_contract(REVIEW_PHRASES)
    schema = spark_schema(contract).add(delivered, T.DateType())
    arrow = arrow_schema(contract).append(pa.field(delivered, pa.date32()))

    def extract(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            rows = [
                row
                for review in batch.to_pylist()
                for row in _rows(review, delivered, copied_min_characters)
            ]
            yield pa.RecordBatch.from_pylist(rows, schema=arrow)

    return reviews.select(*_READ, delivered).mapInArrow(extract, schema)


def _rows(review: dict[str, Any], delivered: str, min_characters: int) -> Iterator[dict[str, Any]]:
    title, text = review["title"], review["text"] or ""
    whole = f"{title}\n{text}" if title else text
    language = language_of(review["language"], whole)
    same = {name: review[name] for name in _SAME} | {
        "text_hash": text_hash(text, min_characters),
        "language": language,
        delivered: review[delivered],
    }
    for phrase in phrases(title, text, language, review["rating"]):
        yield same | phrase._asdict()
