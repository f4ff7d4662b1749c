"""A raw row as quarantine may keep it: whole, but pointing at nobody.

User ids are replaced by their keyed hash. A column that feeds free text, and one that no
expression of the source reads (nobody said what it holds), is scrubbed like a text; a column that
is read for something else (an item, a time, a price) loses only e-mail addresses. A line that
could not be read is kept as it stood, scrubbed, with the user id replaced where it can be found.

It is dear to make, and few rows are refused: who needs it asks for it inside a condition.
"""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipeline.cleaning.pseudonym_column import pseudonym_column
from pipeline.cleaning.scrubbing import scrub, scrub_emails
from pipeline.sources.expressions import columns_read
from pipeline.sources.readers import LINE
from pipeline.sources.source import SourceDataset

GIVEN, PSEUDONYM = "__given", "__pseudonym"
FREE_TEXT = {"events": ("query",), "reviews": ("title", "text"), "items": (), "users": ()}


def redacted_row(dataset: SourceDataset, key: bytes) -> Column:
    """JSON of the raw columns that are not null, or the scrubbed line, of a row that was mapped.

    Args:
        dataset: whose raw columns the row has in `__given`.
        key: for a raw user id that the mapping made nothing of.
    """
    user_columns = columns_read(dataset.mapping.get("user_id", ""), dataset.columns)
    texts = {
        name
        for column in FREE_TEXT[dataset.name]
        for name in columns_read(dataset.mapping.get(column, ""), dataset.columns)
    }
    read = {name for sql in dataset.mapping.values() for name in columns_read(sql, dataset.columns)}
    fields = []
    line = F.col(LINE)
    for name in dataset.columns:
        value = F.col(GIVEN).getField(name)
        if name in user_columns:
            # A broken CSV line still shows its user id in a column, a broken JSON line in its text.
            line = _hide(line, value, key)
            line = _hide(line, _json_value(F.col(LINE), name), key)
            hashed = F.coalesce(F.col(PSEUDONYM), pseudonym_column(value, key))
            value = F.when(value.isNotNull(), hashed)
        elif name in texts or name not in read:
            value = scrub(value)
        else:
            value = scrub_emails(value)
        fields.append(value.alias(name))
    return F.when(F.col(LINE).isNotNull(), scrub(line)).otherwise(F.to_json(F.struct(*fields)))


def _hide(line: Column, user_id: Column, key: bytes) -> Column:
    present = F.coalesce(F.length(user_id) > 0, F.lit(False))
    return F.when(present, F.replace(line, user_id, pseudonym_column(user_id, key))).otherwise(line)


def _json_value(line: Column, name: str) -> Column:
    return F.regexp_extract(line, rf'"{re.escape(name)}"\s*:\s*"?([^",}}\s]+)', 1)
