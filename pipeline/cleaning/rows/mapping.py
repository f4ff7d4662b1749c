"""Raw rows become rows with the raw contract's columns, without the retailer's ids of people.

`map_rows` gives the columns of `raw_<dataset>`. The ids of users, events, reviews and visits are
already replaced by their keyed hashes; an id that is too long stays as long, in dots, and a blank
user id stays blank, so that the contract's rules can refuse it. The free text of events is
scrubbed. Beside these columns are those that the rules need:

    __day          the delivery day              __undated   a dump's row without a time of its own
    __remove       the source's rule that takes the row out, or null
    __refuse       the source's reason to quarantine the row, or null
    __unparsable   why a value is not of its type
    __consent_unread   whether consent is false only because the row has no readable answer
    __order        the source's latest_by
    __content_id   an id for a row whose retailer gives none, else null
    __given_<name>   each raw column
    __pseudonym    the keyed hash of the mapped user id
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.rows.pseudonym_column import pseudonym_column
from pipeline.cleaning.rows.redaction import (
    FREE_TEXT,
    PSEUDONYM,
    hidden_columns,
    kept,
    kept_columns,
)
from pipeline.cleaning.rows.scrubbing import scrub
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import at_most, not_blank, quoted, spark_schema
from pipeline.errors import ContractError
from pipeline.pseudonym import KeyFile
from pipeline.sources.expressions import (
    consent_unread,
    expression_faults,
    first_true,
    mapped_values,
    own_day,
)
from pipeline.sources.reader_columns import BROKEN, DAY, NO_ELEMENT, READER_COLUMNS
from pipeline.sources.source import ACT_IDS, KEY_COLUMN, TIME_COLUMN, SourceDataset, columns_read

MAX_ID_LENGTH = 200


@dataclass(frozen=True)
class Calendar:
    """Which delivery day a row of a dump belongs to.

    `days` are all delivery days, ascending, whether or not they are cleaned now; `exact` where a
    dump's own days are the delivery days, so that nothing has to be looked up. Days up to `expired`
    keep their rows, and are never cleaned again. `emptied` are days in the lake that no row is
    dated on any more, since the mapping was corrected.
    """

    timezone: str
    days: tuple[dt.date, ...]
    exact: bool = True
    expired: dt.date | None = None
    emptied: tuple[dt.date, ...] = ()

    @property
    def open_days(self) -> tuple[dt.date, ...]:
        """The days that may be cleaned; the night is the last."""
        return tuple(day for day in self.days if self.expired is None or day > self.expired)


def map_rows(
    raw: DataFrame,
    dataset: SourceDataset,
    calendar: Calendar,
    key: KeyFile,
    *,
    hashed_users: bool = False,
) -> DataFrame:
    """Apply a source's expressions; see the module's docstring for the columns.

    Args:
        raw: as the reader gives it.
        dataset: whose expressions.
        calendar: the delivery days, for a dump.
        key: of the hash.
        hashed_users: the raw columns that ids are read from hold hashes, as quarantine keeps them,
            and beside them are the mapped values that it keeps (`redaction.kept_columns`). The
            delivery day is then the one that the row has.

    Raises:
        ContractError: an expression is not Spark SQL over the raw columns; all are named.
    """
    # Rows from quarantine were mapped by the same expressions before.
    faults = [] if hashed_users else expression_faults(raw, dataset)
    if faults:
        raise ContractError(f"{dataset.where}: " + "; ".join(faults))
    asked = _readable_when_hashed(dataset) if hashed_users else dataset
    values, unparsable = mapped_values(raw, asked)
    if hashed_users:
        values["user_id"] = pseudonym = _hash_in_raw_columns(dataset)
        for field in spark_schema(load_contract(f"raw_{dataset.name}")):
            if field.name in kept_columns(dataset):
                values[field.name] = F.col(kept(field.name)).cast(field.dataType)
        day, is_undated = F.col(DAY), F.lit(False)
    else:
        pseudonym = pseudonym_column(values.get("user_id", F.lit(None).cast("string")), key)
        day, is_undated = _delivery_day(dataset, calendar)
    removed_by, refused_for = first_true(asked.remove), first_true(asked.quarantine)
    if dataset.is_combined and not hashed_users:
        # Rules over what was joined mean nothing of a row that found no partner.
        is_whole = F.col(BROKEN).isNull()
        removed_by = F.coalesce(F.col(NO_ELEMENT), F.when(is_whole, removed_by))
        refused_for = F.coalesce(F.col(BROKEN), refused_for)
        is_undated &= is_whole & F.col(NO_ELEMENT).isNull()
    row_id = values[KEY_COLUMN[dataset.name]]
    time = TIME_COLUMN.get(dataset.name)
    acts = [values[name] for name in (time, "event_type", "item_id") if name and name in values]
    if dataset.name == "events":
        # Scrubbed apart: Python is handed one column of each row, and Spark keeps the rows.
        # Not of a source that has none: Python would be handed a null for each row.
        texts = [name for name in FREE_TEXT["events"] if name in dataset.mapping]
        raw = raw.withColumns({_text(name): values[name] for name in texts})
        values |= {name: scrub(F.col(_text(name))) for name in texts}
    mapped = raw.select(
        *(F.col(quoted(name)) for name in dataset.columns),
        *(F.col(name) for name in READER_COLUMNS if name != DAY),
        day.alias(DAY),
        is_undated.alias("__undated"),
        removed_by.alias("__remove"),
        refused_for.alias("__refuse"),
        unparsable.alias("__unparsable"),
        consent_unread(dataset).alias("__consent_unread"),
        _order(raw, dataset, asked).alias("__order"),
        pseudonym.alias(PSEUDONYM),
        # Hashing every row for the few sources without ids was an eighth of the whole pass.
        F.when(row_id.isNull(), _content_id(dataset, pseudonym, acts)).alias("__content_id"),
        *(value.alias(f"__new_{name}") for name, value in values.items()),
    )
    return mapped.select(
        *READER_COLUMNS,
        "__undated",
        "__remove",
        "__refuse",
        "__unparsable",
        "__consent_unread",
        "__order",
        "__content_id",
        *(F.col(quoted(name)).alias(given(name)) for name in dataset.columns),
        PSEUDONYM,
        *(
            _with_hashed_id(name, dataset.name, key, is_hashed=hashed_users).alias(name)
            for name in load_contract(f"raw_{dataset.name}").column_names
        ),
    )


def _readable_when_hashed(dataset: SourceDataset) -> SourceDataset:
    """The source's expressions without those over columns that quarantine has only hashes of.

    A row that waits for its item had passed the source's rules when it was refused.
    """

    def is_readable(sql: str) -> bool:
        return not {*columns_read(sql, dataset.columns)} & hidden_columns(dataset)

    left_out = kept_columns(dataset)
    return dataclasses.replace(
        dataset,
        layouts=tuple(
            dataclasses.replace(
                one,
                mapping={name: sql for name, sql in one.mapping.items() if name not in left_out},
            )
            for one in dataset.layouts
        ),
        mapping={name: sql for name, sql in dataset.mapping.items() if name not in left_out},
        remove=tuple(rule for rule in dataset.remove if is_readable(rule.when)),
        quarantine=tuple(rule for rule in dataset.quarantine if is_readable(rule.when)),
        latest_by=dataset.latest_by if is_readable(dataset.latest_by) else "",
    )


def _order(raw: DataFrame, dataset: SourceDataset, asked: SourceDataset) -> Column:
    """The source's `latest_by`, or null of its type."""
    if asked.latest_by or not dataset.latest_by:
        return F.expr(asked.latest_by or "CAST(NULL AS string)")
    kind = raw.select(F.expr(dataset.latest_by)).schema[0].dataType
    return F.lit(None).cast(kind)


def _hash_in_raw_columns(dataset: SourceDataset) -> Column:
    """The hash of the user id, from the raw columns that quarantine keeps it in."""
    return F.coalesce(*(F.col(quoted(name)) for name in dataset.user_columns))


def _delivery_day(dataset: SourceDataset, calendar: Calendar) -> tuple[Column, Column]:
    """A row's delivery day, and whether it is a dump's row without a time of its own."""
    if dataset.delivery != "dump":
        return F.col(DAY), F.lit(False)
    day = delivery_day_of_dump(dataset, calendar)
    if not dataset.own_time:
        return day, F.lit(False)
    return day, own_day(dataset, calendar.timezone).isNull()


def _text(name: str) -> str:
    return f"__text_{name}"


def given(name: str) -> str:
    """The column that a mapped row has a raw column in."""
    return f"__given_{name}"


def delivery_day_of_dump(dataset: SourceDataset, calendar: Calendar) -> Column:
    """The delivery day of a dump's row: its own day, or the next one on which anything came.

    A row without a time, or of a dump without times, belongs to the first delivery day that has not
    expired, so that it is counted once whichever days a pass cleans.
    """
    first = F.lit(calendar.open_days[0])
    if not dataset.own_time:
        return first
    own = own_day(dataset, calendar.timezone)
    if calendar.exact:
        return F.coalesce(own, first)
    days = F.array(*(F.lit(day) for day in calendar.days))
    later = F.array_min(F.filter(days, lambda day: day >= own))
    return F.when(own.isNull(), first).otherwise(later)


def _with_hashed_id(name: str, dataset: str, key: KeyFile, *, is_hashed: bool) -> Column:
    """A mapped column; of an id of a person or an act its hash.

    Args:
        name: the column.
        dataset: whose.
        key: of the hash.
        is_hashed: ids of acts are hashes already.
    """
    value = F.col(f"__new_{name}")
    if name != "user_id" and (is_hashed or name not in ACT_IDS):
        return value
    longest = load_contract(f"raw_{dataset}").column(name).max_length or MAX_ID_LENGTH
    hashed = F.col(PSEUDONYM) if name == "user_id" else pseudonym_column(value, key)
    in_dots = F.repeat(F.lit("."), F.length(value))
    fits = F.when(~F.expr(at_most(f"__new_{name}", longest)), in_dots).otherwise(hashed)
    if name == "user_id":
        return F.when(~F.expr(not_blank(f"__new_{name}")), value).otherwise(fits)
    return fits


def _content_id(dataset: SourceDataset, pseudonym: Column, acts: Sequence[Column]) -> Column:
    """A hash of a row's values, each with its length before it so that none runs into the next.

    What is joined is left out, because it may change later (an order's status): the row would be
    another act then. What it brings of the act itself takes part: time, type and item.

    The retailer's user id takes part only as its keyed hash: with the id itself, a person who knows
    the rest of the row could try ids until one fits.
    """
    left_out = {*dataset.user_columns, *(name for join in dataset.joins for name in join.columns)}
    values = [F.col(quoted(name)) for name in dataset.columns if name not in left_out]
    if dataset.joins:
        values += [value.cast("string") for value in acts]
    texts = [
        F.coalesce(F.concat(F.length(value), F.lit(":"), value), F.lit("-"))
        for value in [*values, pseudonym]
    ]
    return F.substring(F.sha2(F.concat(*texts), 256), 1, 32)
