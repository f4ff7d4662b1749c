"""Raw rows become rows with the raw contract's columns, and the retailer's user ids are gone.

`map_rows` gives the columns of `raw_<dataset>`, the user id already replaced by its keyed hash (an
id that is blank or too long stays as blank or as long, in dots, so that the contract's rules can
say so) and the free text of events scrubbed, and beside them what the rules need:

    __day          the delivery day              __undated   a dump's row without a time of its own
    __remove       the source's rule that takes the row out, or null
    __refuse       the source's reason to quarantine the row, or null
    __unparsable   why a value is not of its type
    __consent_unread   whether consent is false only because the row says nothing readable of it
    __order        the source's latest_by
    __content_id   an id for a row whose retailer gives none, else null
    __given_<name>   each raw column
    __pseudonym    the keyed hash of the mapped user id
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.pseudonym_column import pseudonym_column
from pipeline.cleaning.redaction import FREE_TEXT, PSEUDONYM
from pipeline.cleaning.scrubbing import may_hold_contacts, scrub
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import at_most, not_blank, quoted
from pipeline.errors import ContractError
from pipeline.sources.expressions import (
    columns_read,
    consent_unread,
    expression_faults,
    first_true,
    mapped_values,
    own_day,
)
from pipeline.sources.readers import DAY, READER_COLUMNS
from pipeline.sources.source import KEY_COLUMN, SourceDataset

MAX_ID_LENGTH = 200


@dataclass(frozen=True)
class Calendar:
    """Which delivery day a row of a dump belongs to.

    `days` are all delivery days, ascending, whether or not they are cleaned now; `exact` where a
    dump's own days are the delivery days, so that nothing has to be looked up.
    """

    timezone: str
    days: tuple[dt.date, ...]
    exact: bool = True


def map_rows(
    raw: DataFrame,
    dataset: SourceDataset,
    calendar: Calendar,
    key: bytes,
    *,
    hashed_users: bool = False,
) -> DataFrame:
    """Apply a source's expressions; see the module's docstring for the columns.

    Args:
        raw: as the reader gives it.
        dataset: whose expressions.
        calendar: the delivery days, for a dump.
        key: of the hash.
        hashed_users: the raw columns that the user id is read from hold its hash, as quarantine
            keeps them. The delivery day is then the one that the row has.

    Raises:
        ContractError: an expression is not Spark SQL over the raw columns; all are named.
    """
    # Rows from quarantine were mapped by the same expressions before.
    faults = [] if hashed_users else expression_faults(raw, dataset)
    if faults:
        raise ContractError(f"{dataset.where}: " + "; ".join(faults))
    values, unparsable = mapped_values(raw, dataset)
    user_id = values.get("user_id", F.lit(None).cast("string"))
    is_undated = F.lit(False)
    day = F.col(DAY)
    pseudonym = pseudonym_column(user_id, key)
    if hashed_users:
        columns = columns_read(dataset.mapping.get("user_id", ""), dataset.columns)
        user_id = pseudonym = F.coalesce(*(F.col(quoted(name)) for name in columns))
        values["user_id"] = user_id
    elif dataset.delivery == "dump":
        day = delivery_day_of_dump(dataset, calendar)
        is_undated = (
            own_day(dataset, calendar.timezone).isNull() if dataset.own_time else F.lit(False)
        )
    row_id = values[KEY_COLUMN[dataset.name]]
    if dataset.name == "events":
        # Spark compiles no projection that scrubs: there is one for the mapping and this.
        raw = raw.withColumns({_text(name): values[name] for name in FREE_TEXT["events"]})
        values |= {name: _scrubbed(F.col(_text(name))) for name in FREE_TEXT["events"]}
    mapped = raw.select(
        *(F.col(quoted(name)) for name in dataset.columns),
        *(F.col(name) for name in READER_COLUMNS if name != DAY),
        day.alias(DAY),
        is_undated.alias("__undated"),
        first_true(dataset.remove).alias("__remove"),
        first_true(dataset.quarantine).alias("__refuse"),
        unparsable.alias("__unparsable"),
        consent_unread(dataset).alias("__consent_unread"),
        F.expr(dataset.latest_by or "CAST(NULL AS string)").alias("__order"),
        pseudonym.alias(PSEUDONYM),
        # Hashing every row for the few sources without ids was an eighth of the whole pass.
        F.when(row_id.isNull(), _content_id(dataset, pseudonym)).alias("__content_id"),
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
            (_hashed_user_id() if name == "user_id" else F.col(f"__new_{name}")).alias(name)
            for name in load_contract(f"raw_{dataset.name}").column_names
        ),
    )


def _text(name: str) -> str:
    return f"__text_{name}"


def _scrubbed(text: Column) -> Column:
    return F.when(may_hold_contacts(text), scrub(text)).otherwise(text)


def given(name: str) -> str:
    """The column that a mapped row has a raw column in."""
    return f"__given_{name}"


def delivery_day_of_dump(dataset: SourceDataset, calendar: Calendar) -> Column:
    """The delivery day of a dump's row: its own day, or the next one on which anything came.

    A row without a time, or of a dump without times, belongs to the first delivery day, so that
    it is counted once however the days are cleaned.
    """
    first = F.lit(calendar.days[0])
    if not dataset.own_time:
        return first
    own = own_day(dataset, calendar.timezone)
    if calendar.exact:
        return F.coalesce(own, first)
    days = F.array(*(F.lit(day) for day in calendar.days))
    later = F.array_min(F.filter(days, lambda day: day >= own))
    return F.when(own.isNull(), first).otherwise(later)


def _hashed_user_id() -> Column:
    user_id = F.col("__new_user_id")
    longest = load_contract("raw_users").column("user_id").max_length or MAX_ID_LENGTH
    in_dots = F.repeat(F.lit("."), F.length(user_id))
    return (
        F.when(~F.expr(not_blank("__new_user_id")), user_id)
        .when(~F.expr(at_most("__new_user_id", longest)), in_dots)
        .otherwise(F.col(PSEUDONYM))
    )


def _content_id(dataset: SourceDataset, pseudonym: Column) -> Column:
    """A hash of a row's values, each with its length before it so that none runs into the next.

    The retailer's user id takes part only as its keyed hash: with the id itself, whoever knows the
    rest of the row could try ids until one fits.
    """
    user_columns = columns_read(dataset.mapping.get("user_id", ""), dataset.columns)
    values = [F.col(quoted(name)) for name in dataset.columns if name not in user_columns]
    texts = [
        F.coalesce(F.concat(F.length(value), F.lit(":"), value), F.lit("-"))
        for value in [*values, pseudonym]
    ]
    return F.substring(F.sha2(F.concat(*texts), 256), 1, 32)
