"""What becomes of each row: `out`, `quarantined` for a reason, or `removed` by a rule.

`tag_rows` takes mapped rows and gives the cleaned contract's columns, with free text scrubbed, and
beside them `__fate` and `__reason`. Every rule looks at
one delivery day only, so that cleaning many days in one pass equals cleaning them one by one.

The order in which a row is asked, the first answer standing:
  1. `unreadable_line`: the reader could not make a row of it
  2. `undated`: a dump's row without a time of its own
  3. the source's `remove` rules, then its `quarantine` rules
  4. `<column>_unparsable`, then the contract's checks
  5. duplicates: of rows with the same key, one wins (`_winner_first`); a loser whose whole raw row
     is the winner's is removed as `duplicate`. One that differs is removed as `superseded` where
     the source says which row is the latest, and else quarantined as `<key>_conflict`
  6. bots: every event of a user with more than the limit of events on the day is removed as `bot`
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.redaction import FREE_TEXT
from pipeline.cleaning.scrubbing import scrub, without_markup
from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import first_broken_rule, quoted
from pipeline.sources.readers import DAY, FILE, KEYS, LINE, UNKNOWN_KEY
from pipeline.sources.source import KEY_COLUMN, TIME_COLUMN, SourceDataset

FATE, REASON, RAW = "__fate", "__reason", "__raw"
CONSENT_UNREAD = "__consent_unread"
OUT, QUARANTINED, REMOVED = "out", "quarantined", "removed"
ROW_ORDER = {
    "events": ("user_id", "event_time", "event_id"),
    "reviews": ("user_id", "review_time", "review_id"),
    "items": ("item_id",),
    "users": ("user_id",),
}
TAGS = (DAY, FILE, FATE, REASON, RAW, KEYS, UNKNOWN_KEY, CONSENT_UNREAD)


@dataclass(frozen=True)
class Rules:
    """What the rules compare with."""

    source: str
    timezone: str
    late_horizon_days: int
    bot_max_events_per_day: int


def tag_rows(
    mapped: DataFrame, dataset: SourceDataset, rules: Rules, known_items: DataFrame | None
) -> DataFrame:
    """Cleaned columns, plus `TAGS`.

    Args:
        mapped: as `mapping.map_rows` gives it.
        dataset: the source's entry.
        rules: what to compare with.
        known_items: `item_id`, `first_day`: the first delivery day that brought it. None where
            the source has no catalogue; then every item is known.
    """
    checked = first_tag(_with_context(_scrubbed(mapped, dataset.name), rules, known_items), dataset)
    cleaned = _cleaned(checked, dataset, rules)
    unique = without_duplicates(cleaned, dataset)
    if dataset.name == "events":
        unique = without_bots(unique, rules.bot_max_events_per_day)
    # The order of the rows in the files: one that does not depend on how the input was split.
    return unique.sortWithinPartitions(DAY, *ROW_ORDER[dataset.name])


def first_tag(frame: DataFrame, dataset: SourceDataset) -> DataFrame:
    """Rules 1 to 4: those that need nothing but the row and its context."""
    refusal = F.coalesce(
        F.col("__refuse"),
        F.col("__unparsable"),
        first_broken_rule(load_contract(f"raw_{dataset.name}")),
    )
    unreadable = F.col(LINE).isNotNull()
    fate = (
        F.when(unreadable | F.col("__undated"), F.lit(QUARANTINED))
        .when(F.col("__remove").isNotNull(), F.lit(REMOVED))
        .when(F.col("__refusal").isNotNull(), F.lit(QUARANTINED))
        .otherwise(F.lit(OUT))
    )
    reason = (
        F.when(unreadable, F.lit("unreadable_line"))
        .when(F.col("__undated"), F.lit("undated"))
        .otherwise(F.coalesce(F.col("__remove"), F.col("__refusal")))
    )
    return frame.withColumn("__refusal", refusal).withColumns({FATE: fate, REASON: reason})


def without_duplicates(frame: DataFrame, dataset: SourceDataset) -> DataFrame:
    """Rule 5. Rows with another fate already are left as they are, and compete with nobody."""
    key = F.col(KEY_COLUMN[dataset.name])
    competes = F.col(FATE) == OUT
    group = F.when(competes, F.concat(F.lit("k"), key)).otherwise(
        F.concat(F.lit("r"), F.col("__content").cast("string"))
    )
    order = Window.partitionBy(DAY, "__group").orderBy(*_winner_first(dataset))
    ranked = frame.withColumn("__group", group).withColumns(
        {
            "__rank": F.row_number().over(order),
            "__winner": F.first("__content").over(order),
        }
    )
    loses = (F.col(FATE) == OUT) & (F.col("__rank") > 1)
    copies = F.col("__content") == F.col("__winner")
    differs = (
        (F.lit(REMOVED), F.lit("superseded"))
        if dataset.latest_by
        else (F.lit(QUARANTINED), F.lit(f"{KEY_COLUMN[dataset.name]}_conflict"))
    )
    fate = F.when(copies, F.lit(REMOVED)).otherwise(differs[0])
    reason = F.when(copies, F.lit("duplicate")).otherwise(differs[1])
    cleaned = load_contract(f"cleaned_{dataset.name}").column_names
    # A row that loses was good: what is kept of it is what it was cleaned to.
    raw = F.when(
        loses & ~copies, F.to_json(F.struct(*(F.col(quoted(name)) for name in cleaned)))
    ).otherwise(F.col(RAW))
    return ranked.select(
        *cleaned,
        DAY,
        FILE,
        F.when(loses, fate).otherwise(F.col(FATE)).alias(FATE),
        F.when(loses, reason).otherwise(F.col(REASON)).alias(REASON),
        raw.alias(RAW),
        KEYS,
        UNKNOWN_KEY,
        CONSENT_UNREAD,
    )


def without_bots(frame: DataFrame, max_events_per_day: int) -> DataFrame:
    """Rule 6. Duplicates and refused rows do not count towards the limit."""
    everyone = Window.partitionBy(DAY, "user_id")
    busy = F.count(F.when(F.col(FATE) == OUT, F.lit(1))).over(everyone)
    is_bot = (F.col(FATE) == OUT) & (F.col("__busy") > max_events_per_day)
    return frame.withColumn("__busy", busy).select(
        *load_contract("cleaned_events").column_names,
        DAY,
        FILE,
        F.when(is_bot, F.lit(REMOVED)).otherwise(F.col(FATE)).alias(FATE),
        F.when(is_bot, F.lit("bot")).otherwise(F.col(REASON)).alias(REASON),
        RAW,
        KEYS,
        UNKNOWN_KEY,
        CONSENT_UNREAD,
    )


def _winner_first(dataset: SourceDataset) -> list[Column]:
    """The latest by the source's own order, else the earliest; then the smaller hash of the row.

    Of two answers about one user of which neither is known to be the later, the refusal wins.
    """
    order = []
    if dataset.latest_by:
        order.append(F.col("__order").desc_nulls_last())
    elif dataset.name in TIME_COLUMN:
        order.append(F.col(TIME_COLUMN[dataset.name]).asc())
    if dataset.name == "users":
        order.append(F.col("consent").asc())
    return [*order, F.col("__content").asc()]


def _scrubbed(frame: DataFrame, dataset: str) -> DataFrame:
    replaced = {
        name: scrub(without_markup(F.col(name)) if dataset == "reviews" else F.col(name))
        for name in FREE_TEXT[dataset]
    }
    return frame.withColumns(replaced) if replaced else frame


def _with_context(frame: DataFrame, rules: Rules, known_items: DataFrame | None) -> DataFrame:
    """The contract's `context` columns."""

    def midnight(days: int) -> Column:
        start = F.date_add(DAY, days).cast("timestamp")
        return F.to_utc_timestamp(start, rules.timezone)

    context = {
        "delivery_end": midnight(1),
        "horizon_start": midnight(-rules.late_horizon_days),
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


def _cleaned(frame: DataFrame, dataset: SourceDataset, rules: Rules) -> DataFrame:
    """The cleaned contract's columns, and what the rules on more than one row still need."""
    made: dict[str, Column] = {"source": F.lit(rules.source)}
    if dataset.name in TIME_COLUMN:
        time, key = TIME_COLUMN[dataset.name], KEY_COLUMN[dataset.name]
        local = F.from_utc_timestamp(F.col(time), rules.timezone)
        made[time.replace("_time", "_date")] = F.to_date(local)
        made[key] = F.coalesce(F.col(key), F.col("__content_id"))
    if dataset.name == "items":
        made["listed"] = F.coalesce(F.col("listed"), F.lit(True))
    columns = load_contract(f"cleaned_{dataset.name}").column_names
    refused = F.col(FATE) == QUARANTINED
    return frame.select(
        *(made.get(name, F.col(name)).alias(name) for name in columns),
        DAY,
        FILE,
        FATE,
        REASON,
        F.when(refused, F.col(RAW)).alias(RAW),
        KEYS,
        UNKNOWN_KEY,
        CONSENT_UNREAD,
        "__content",
        "__order",
    )
