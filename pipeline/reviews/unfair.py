"""Unfair reviews: texts copied from each other, and review bombs.

`with_unfair_rule` compares each review with all that is known of the past, by the days that reviews
were written on and never by deliveries, so that a late review ends up as one that came in time. It
reads one row a review: user, item, day, stars, and a hash of the normalised text.

    copied_text   the same text (of `copied_min_characters` or more) stands in so many reviews, of
                  any users and items; the earliest stays
    review_bomb   an item, or a user, has far more reviews on a day than on its days before, most
                  of them with one or five stars; all reviews of that day are left out

Phrases of such a review are not used (`histories.item_words`). Its stars stay in the user's own
history, because they are what that account did.

Gives up: texts that were changed a little; bombs that are spread over days. Reviews without a
phrase do not count towards a bomb (they say nothing of the item either).
"""

from __future__ import annotations

import hashlib

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.settings import Reviews

COPIED, BOMB = "copied_text", "review_bomb"
UNFAIR_RULE = "unfair_rule"


def text_hash(text: str, min_characters: int) -> int | None:
    """Equal for texts that differ in case, punctuation and spaces only; none for a short one."""
    normal = "".join(letter for letter in text.casefold() if letter.isalnum())
    if len(normal) < min_characters:
        return None
    digest = hashlib.sha256(normal.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def with_unfair_rule(reviews: DataFrame, limits: Reviews) -> DataFrame:
    """The reviews and, as `unfair_rule`, the rule that leaves one out; null where it stays.

    Args:
        reviews: one row a review: `review_id, user_id, item_id, review_date, rating, text_hash`.
        limits: the thresholds.
    """
    return reviews.withColumn(
        UNFAIR_RULE,
        F.when(_is_copy(limits), F.lit(COPIED)).when(
            _is_bomb("item_id", limits) | _is_bomb("user_id", limits), F.lit(BOMB)
        ),
    )


def _is_copy(limits: Reviews) -> Column:
    """Whether a row's text is a later copy; a short text has no hash and is no copy."""
    same = F.coalesce(F.col("text_hash").cast("string"), F.concat("user_id", "review_id"))
    text = Window.partitionBy(same)
    earliest = F.min(F.struct("review_date", "user_id", "review_id")).over(text)
    is_first = earliest == F.struct("review_date", "user_id", "review_id")
    return (F.count(F.lit(1)).over(text) >= limits.copied_min_reviews) & ~is_first


def _is_bomb(whose: str, limits: Reviews) -> Column:
    """Whether the row's item (or user) has far more reviews than usual that day, mostly extreme."""
    day = Window.partitionBy(whose, "review_date")
    number = F.unix_date("review_date")
    before = Window.partitionBy(whose).orderBy(number).rangeBetween(Window.unboundedPreceding, -1)
    on_day = F.count(F.lit(1)).over(day)
    extreme = F.count_if(F.col("rating").isin(1.0, 5.0)).over(day)
    days_before = number - F.min(number).over(before)
    usual = F.coalesce(F.count(F.lit(1)).over(before) / days_before, F.lit(0.0))
    return (
        (on_day >= limits.bomb_min_reviews)
        & (on_day >= limits.bomb_times_usual * usual)
        & (extreme >= limits.bomb_extreme_share * on_day)
    )
