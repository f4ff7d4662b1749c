"""Reviews that are no shopper's honest word: texts copied from each other, and bombs.

`with_fate` judges each review by all that is known of the past, over the days that reviews were written
on and never over deliveries, so that a late review ends up as one that came in time. It reads one
row a review: who, of what, when, how many stars, and a hash of its normalised text.

    copied_text   the same text (of `copied_min_characters` or more) stands in so many reviews, by
                  whomever and of whatever; the earliest stays
    review_bomb   an item, or a writer, has far more reviews on a day than on its days before, most
                  of them with one or five stars; all of that day's are left out

What such a review says of an item is not learned (`histories.item_words`); its stars stay in its
writer's own history, because they are what that account did.

Gives up: texts that were changed a little; bombs that are spread over days; reviews in which no
phrase was found do not count towards a bomb (they tell nothing of the item either).
"""

from __future__ import annotations

import hashlib

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.settings import Reviews

COPIED, BOMB = "copied_text", "review_bomb"
FATE = "fate"


def text_hash(text: str, min_characters: int) -> int | None:
    """Equal for texts that differ in case, punctuation and spaces only; none for a short one."""
    normal = "".join(letter for letter in text.casefold() if letter.isalnum())
    if len(normal) < min_characters:
        return None
    digest = hashlib.sha256(normal.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def with_fate(reviews: DataFrame, limits: Reviews) -> DataFrame:
    """The reviews and, as `fate`, the rule that leaves one out; null where it stays.

    Args:
        reviews: one row a review: `review_id, user_id, item_id, review_date, rating, text_hash`.
        limits: the thresholds.
    """
    return reviews.withColumn(
        FATE,
        F.when(_is_copy(limits), F.lit(COPIED)).when(
            _is_bomb("item_id", limits) | _is_bomb("user_id", limits), F.lit(BOMB)
        ),
    )


def _is_copy(limits: Reviews) -> Column:
    """Nulls are one group each: a short text is no copy of another."""
    same = F.coalesce(F.col("text_hash").cast("string"), F.concat("user_id", "review_id"))
    text = Window.partitionBy(same)
    earliest = F.min(F.struct("review_date", "user_id", "review_id")).over(text)
    is_first = earliest == F.struct("review_date", "user_id", "review_id")
    return (F.count(F.lit(1)).over(text) >= limits.copied_min_reviews) & ~is_first


def _is_bomb(whose: str, limits: Reviews) -> Column:
    """Whether the row's item (or writer) has a day out of all proportion, mostly of extremes."""
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
