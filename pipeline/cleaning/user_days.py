"""Everything that looks at several rows of one user's own day, on rows that were shuffled once.

The frame that `judge_user_days` is given has the cleaned columns and `tagging.TAGS`, and all rows
of a user's own day lie in one task (`day_files.place`). A window that begins with `USER_DAY` needs
no further shuffle; one whose order begins with the same columns as another's no further sort.
Rows with another fate than `out` pass through as they are; their `user_id` is a hash of their own.

  5. duplicates by id (`duplicates`)
  6. bots: every event of a user with more than the limit of events on the day is removed as `bot`
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.cleaning.duplicates import without_duplicates
from pipeline.cleaning.tagging import BUCKET, FATE, OUT, OWN_DAY, REASON, REMOVED, Rules
from pipeline.sources.readers import DAY
from pipeline.sources.source import KEY_COLUMN

USER_DAY = (OWN_DAY, BUCKET, "user_id")


def judge_user_days(frame: DataFrame, rules: Rules) -> DataFrame:
    """The same rows and columns; fate and reason are set for those that lose."""
    key = KEY_COLUMN[rules.dataset.name]
    unique = without_duplicates(frame, rules, (*USER_DAY, DAY, key))
    if rules.dataset.name != "events":
        return unique
    return without_bots(unique, rules.bot_max_events_per_day)


def without_bots(frame: DataFrame, max_events_per_day: int) -> DataFrame:
    """Rule 6. Duplicates and refused rows do not count towards the limit."""
    user_day = Window.partitionBy(*USER_DAY, DAY)
    busy = F.count(F.when(F.col(FATE) == OUT, F.lit(1))).over(user_day)
    is_bot = (F.col(FATE) == OUT) & (F.col("__busy") > max_events_per_day)
    judged = {
        FATE: F.when(is_bot, F.lit(REMOVED)).otherwise(F.col(FATE)),
        REASON: F.when(is_bot, F.lit("bot")).otherwise(F.col(REASON)),
    }
    return frame.withColumn("__busy", busy).select(
        *(judged.get(name, F.col(name)).alias(name) for name in frame.columns)
    )
