"""Everything that looks at several rows of one user's own day, on rows that were shuffled once.

The frame that `judge_user_days` is given has the cleaned columns and `tagging.TAGS`, and all rows
of a user's own day lie in one task (`day_files.place`). A window that begins with `USER_DAY` needs
no further shuffle; one whose order begins with the same columns as another's no further sort. The
user comes first in every order: Spark compares the first eight bytes of the first column before it
looks at a row, and what is the same in all rows tells it nothing.
Rows with another fate than `out` pass through as they are; their `user_id` is a hash of their own.

  5. duplicates by id (`duplicates`)
  6. bots (`bots`)
  7. near duplicates (`near_duplicates`): after bots, whose haste is evidence

The pairs of the seventh are looked for before the sixth, so that events leave in the order of time,
which is that of the files.

It is one function of all rows of a user's day, whichever delivery brought them. A delivery judges
the rows of its own day here; rows of earlier days are put aside as `late` and judged together with
what is known of their day (`late_rows`), by this same function.

Rules over several users' rows, such as of many reviews of one item, are not for here: they need
rows that lie elsewhere, and another answer to late ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame

from pipeline.cleaning.bots import BotLimits, without_bots
from pipeline.cleaning.duplicates import without_duplicates
from pipeline.cleaning.near_duplicates import with_repetitions, without_repetitions
from pipeline.cleaning.tagging import BUCKET, OWN_DAY, Rules
from pipeline.sources.readers import DAY
from pipeline.sources.source import KEY_COLUMN

# The delivery too: it keeps the rows that came late, which are not judged here, apart.
USER_DAY = ("user_id", OWN_DAY, BUCKET, DAY)


def judge_user_days(
    frame: DataFrame,
    rules: Rules,
    user_day: Sequence[str] = USER_DAY,
    order_of_winners: Sequence[Column] | None = None,
) -> DataFrame:
    """The same rows and columns; fate, reason and evidence are set for those that lose.

    Args:
        frame: see the module's docstring.
        rules: whose dataset says which rules there are.
        user_day: the columns that the rows share which are judged as one.
        order_of_winners: of rows with one id; by default `duplicates.winner_first`.
    """
    key = KEY_COLUMN[rules.dataset.name]
    unique = without_duplicates(frame, rules, (*user_day, key), order_of_winners)
    if rules.dataset.name != "events":
        return unique
    limits = rules.limits
    paired = with_repetitions(
        unique, limits.near_duplicate_seconds, limits.near_duplicate_types, user_day
    )
    shoppers = without_bots(
        paired,
        BotLimits(
            limits.bot_max_events_per_day,
            limits.bot_max_items_per_day,
            limits.bot_no_dwell_min_events,
            limits.bot_no_dwell_seconds,
        ),
        user_day,
    )
    return without_repetitions(shoppers)
