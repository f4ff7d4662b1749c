"""The outcome of each row by itself: accepted, quarantined for a reason, or removed by a rule.

`apply_row_rules` takes mapped rows and gives the cleaned contract's columns, with free text
scrubbed (the text of events is scrubbed when they are mapped), and beside them `OUTCOME_COLUMNS`.
It reads one row and its context only, so the order and the number of files do not matter. Rules
over several rows come after one shuffle (`multi_row_rules`).

The rules in their order; the first that applies decides:
  1. `unreadable_line`: the reader could not make a row of it
  2. `undated`: a dump's row without a time of its own that no `remove` rule takes out
  3. the source's `remove` rules, then its `quarantine` rules
  4. `<column>_unparsable`, then the contract's checks

The outcome columns:
    __own_day    the day whose rows a row is compared with and written with: the own calendar day of
                 an event or review, the delivery day of every other row (refused ones too)
    __bucket     a part of a large day (`placement`); here always 0
    __outcome, __reason, __evidence   the last is what a rule saw (`evidence`), or null
    __raw        the raw columns of a refused row as JSON, redacted
    __content    a hash of what a good row says in the columns that are mapped, or of the whole raw
                 row of another: equal for equal rows
    __order      the source's `latest_by`, or null
    __consent_unread, and the reader's columns: __day, __file

A good event or review of a day before the delivery has the outcome `late`. All that is known of its
user's own day decides what becomes of it (`late_rows`).

Rows of users who were erased (`pipeline.erased`) are removed by the rule `erased` before all of
these but the first; of a line that could not be read and names one of them, only the outline is
kept. Where nobody was erased, none of this is asked.

A row that is neither `accepted` nor `late` has its hash where its key would be, so that no two of
them look related and a million rows without a user do not meet in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.cleaning.late.late_horizon import oldest_own_day
from pipeline.cleaning.rows.mapping import given
from pipeline.cleaning.rows.pseudonym_column import was_erased
from pipeline.cleaning.rows.redaction import FREE_TEXT, GIVEN, PSEUDONYM, redacted_row
from pipeline.cleaning.rows.scrubbing import scrub, without_markup
from pipeline.cleaning.user_days.row_arrays import EVIDENCE_TYPE
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import first_broken_rule, quoted
from pipeline.datasets import cleaned
from pipeline.pseudonym import KeyFile
from pipeline.reviews.encoding import repaired_column
from pipeline.reviews.language import language_column
from pipeline.settings import Cleaning
from pipeline.sources.reader_columns import DAY, FILE, LINE
from pipeline.sources.source import KEY_COLUMN, TIME_COLUMN, SourceDataset

OUTCOME, REASON, EVIDENCE, RAW = "__outcome", "__reason", "__evidence", "__raw"
CONTENT, ORDER, CONSENT_UNREAD = "__content", "__order", "__consent_unread"
OWN_DAY, BUCKET = "__own_day", "__bucket"
_NO_KEY = KeyFile("", "")
ACCEPTED, QUARANTINED, REMOVED, LATE = "accepted", "quarantined", "removed", "late"
ERASED = "erased"  # the rule that removes rows of users who were erased
# Events that these rules remove are kept (`removed_events`): a later delivery may restore them.
RESTORABLE_RULES = ("bot", "near_duplicate")
OUTCOME_COLUMNS = (
    DAY,
    OWN_DAY,
    BUCKET,
    FILE,
    OUTCOME,
    REASON,
    EVIDENCE,
    RAW,
    CONTENT,
    ORDER,
    CONSENT_UNREAD,
)


@dataclass(frozen=True)
class Rules:
    """What the rules compare with, for one dataset; the key hides users in what is refused.

    `erased` are the digests of erased users (`pipeline.erased`).
    """

    dataset: SourceDataset
    source: str
    timezone: str
    limits: Cleaning
    key: KeyFile = _NO_KEY
    erased: frozenset[str] = field(default=frozenset(), repr=False)


def own_day_column(dataset: str) -> str:
    """The cleaned column with a row's own calendar day; empty where a row has none."""
    time = TIME_COLUMN.get(dataset, "")
    return time.replace("_time", "_date")


def no_evidence() -> Column:
    """Null, with the type of `evidence`."""
    return F.lit(None).cast(EVIDENCE_TYPE)


def content(dataset: str) -> Column:
    """A hash, equal for rows that say the same, whatever the file or the delivery.

    The retailer's own columns count, without the row's id; columns that the cleaner derives do not.
    Spark's hash skips nulls, so their places are hashed too.
    """
    kept = load_contract(cleaned(dataset)).column_names
    raw = load_contract(f"raw_{dataset}").column_names
    given_names = [name for name in raw if name in kept and name != KEY_COLUMN[dataset]]
    return F.xxhash64(*given_names, *(F.isnull(name) for name in given_names))


def apply_row_rules(mapped: DataFrame, rules: Rules, known_items: DataFrame | None) -> DataFrame:
    """Cleaned columns, plus `OUTCOME_COLUMNS`.

    Args:
        mapped: as `mapping.map_rows` gives it.
        rules: what to compare with.
        known_items: `item_id`, `first_day`: the first delivery day that brought it. None where
            the source has no catalogue; then every item is known.
    """
    scrubbed = _scrubbed(_without_erased(mapped, rules), rules.dataset.name)
    return _cleaned(
        first_outcome(_with_context(scrubbed, rules, known_items), rules.dataset), rules
    )


def _without_erased(mapped: DataFrame, rules: Rules) -> DataFrame:
    """Rows of erased users are to be removed, whatever else is wrong with them."""
    if not rules.erased or not rules.dataset.user_columns:
        return mapped
    is_erased = F.coalesce(was_erased(F.col(PSEUDONYM), rules.key, rules.erased), F.lit(False))
    return mapped.withColumns(
        {
            "__remove": F.when(is_erased, F.lit(ERASED)).otherwise(F.col("__remove")),
            "__undated": F.col("__undated") & ~is_erased,
        }
    )


def first_outcome(frame: DataFrame, dataset: SourceDataset) -> DataFrame:
    """Rules 1 to 4, which need nothing but the row and its context."""
    refusal = F.coalesce(
        F.col("__refuse"),
        F.col("__unparsable"),
        first_broken_rule(load_contract(f"raw_{dataset.name}")),
    )
    unreadable = F.col(LINE).isNotNull()
    # A rule may name what has no time: an order that is not there yet brings none.
    undated = F.col("__undated") & F.col("__remove").isNull()
    outcome = (
        F.when(unreadable | undated, F.lit(QUARANTINED))
        .when(F.col("__remove").isNotNull(), F.lit(REMOVED))
        .when(F.col("__refusal").isNotNull(), F.lit(QUARANTINED))
        .otherwise(F.lit(ACCEPTED))
    )
    reason = (
        F.when(unreadable, F.lit("unreadable_line"))
        .when(undated, F.lit("undated"))
        .otherwise(F.coalesce(F.col("__remove"), F.col("__refusal")))
    )
    return frame.withColumn("__refusal", refusal).withColumns({OUTCOME: outcome, REASON: reason})


def _scrubbed(frame: DataFrame, dataset: str) -> DataFrame:
    if dataset == "reviews":
        legible = {
            name: repaired_column(without_markup(F.col(name))) for name in FREE_TEXT[dataset]
        }
        frame = frame.withColumns(legible)
        replaced = {name: scrub(F.col(name)) for name in FREE_TEXT[dataset]}
        # A rating without words is a good review.
        replaced["text"] = F.when(F.length(F.trim("text")) > 0, replaced["text"])
        whole = F.concat_ws("\n", *map(F.col, FREE_TEXT[dataset]))
        replaced["language"] = language_column(F.col("language"), whole)
    elif dataset == "items":
        replaced = {name: repaired_column(F.col(name)) for name in ("title", "brand")}
    else:
        return frame
    return frame.withColumns(replaced)


def _with_context(frame: DataFrame, rules: Rules, known_items: DataFrame | None) -> DataFrame:
    """The contract's `context` columns."""

    def midnight(day: Column) -> Column:
        return F.to_utc_timestamp(day.cast("timestamp"), rules.timezone)

    context = {
        "delivery_end": midnight(F.date_add(DAY, 1)),
        "horizon_start": midnight(oldest_own_day(F.col(DAY), rules.limits)),
        "item_known": F.lit(True),
    }
    if known_items is None or "item_id" not in frame.columns:
        return frame.withColumns(context)
    known = known_items.select(F.col("item_id").alias("__known_item"), "first_day")
    joined = frame.join(known, F.col("item_id") == F.col("__known_item"), "left")
    is_known = F.col("item_id").isNull() | F.coalesce(
        F.col("first_day") <= F.col(DAY), F.lit(False)
    )
    return joined.withColumns(context | {"item_known": is_known})


def _cleaned(frame: DataFrame, rules: Rules) -> DataFrame:
    """The cleaned contract's columns, and the outcome columns.

    Spark does not compile the last projection, which redacts, and copies all that comes to it, so
    good rows carry no raw columns there. Expressions with much code stand there too,
    because HotSpot leaves a method of more than 8,000 bytes uncompiled, and all projections before
    it are one method (6,390 bytes for the simulated shop's events).
    """
    dataset = rules.dataset.name
    key = KEY_COLUMN[dataset]
    is_good = F.col(OUTCOME) == ACCEPTED
    made: dict[str, Column] = {"source": F.lit(rules.source)}
    beside: dict[str, Column] = {
        OWN_DAY: F.col(DAY),
        BUCKET: F.lit(0),
        RAW: F.lit(None).cast("string"),
        EVIDENCE: no_evidence(),
        CONTENT: F.lit(None).cast("bigint"),
    }
    if dataset in TIME_COLUMN:
        local = F.from_utc_timestamp(F.col(TIME_COLUMN[dataset]), rules.timezone)
        own_day = F.to_date(local)
        made[own_day_column(dataset)] = own_day
        made[key] = F.coalesce(F.col(key), F.col("__content_id"))
        beside[OWN_DAY] = F.when(is_good, own_day).otherwise(F.col(DAY))
        beside[OUTCOME] = F.when(is_good & (own_day < F.col(DAY)), F.lit(LATE)).otherwise(
            F.col(OUTCOME)
        )
    if dataset == "items":
        made["listed"] = F.coalesce(F.col("listed"), F.lit(True))
    columns = load_contract(cleaned(dataset)).column_names
    raw = F.struct(*(F.col(quoted(given(name))).alias(name) for name in rules.dataset.columns))
    rows = frame.select(
        *(made.get(name, F.col(name)).alias(name) for name in columns),
        *(beside.get(name, F.col(name)).alias(name) for name in OUTCOME_COLUMNS),
        is_good.alias("__is_good"),
        F.when(~is_good, raw).alias(GIVEN),
        LINE,
        F.when(~is_good, F.col(PSEUDONYM)).alias(PSEUDONYM),
    )
    return rows.select(*_with_raw(rules))


def _with_raw(rules: Rules) -> list[Column]:
    """The columns of `apply_row_rules`, with the hash and the redacted text of the raw row."""
    dataset = rules.dataset.name
    is_good = F.col("__is_good")
    raw_values = (F.col(GIVEN).getField(name) for name in rules.dataset.columns)
    # Spark's hash skips nulls, so they are given a value of their own.
    hashed = F.xxhash64(*(F.coalesce(value, F.lit("\x00")) for value in raw_values))
    hashed = F.when(is_good, content(dataset)).otherwise(hashed)
    placed_by = "user_id" if dataset in TIME_COLUMN else KEY_COLUMN[dataset]
    made = {
        placed_by: F.when(is_good, F.col(placed_by)).otherwise(hashed.cast("string")),
        CONTENT: hashed,
        RAW: redacted_row(
            rules.dataset, rules.key, F.col(OUTCOME) == QUARANTINED, erased=rules.erased
        ),
    }
    columns = load_contract(f"cleaned_{dataset}").column_names
    return [made.get(name, F.col(name)).alias(name) for name in (*columns, *OUTCOME_COLUMNS)]
