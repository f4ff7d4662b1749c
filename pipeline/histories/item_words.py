"""What satisfied users praise of an item more than of others, per language, aspect by aspect.

In: `review_phrases` of the past and the night's `catalogue`. Out: the `item_words` contract. Each
review counts once, in its first delivery. Reviews that a later delivery took back, copied texts and
review bombs (`pipeline.reviews.unfair`) do not count.

Only phrases that praise count. A phrase is kept if two reviews in its language use it, which drops
misspellings and most names, and if its aspect is praised more often than blamed. Phrases made of
the item's own title and brand are dropped, because the list that quotes them shows the title
anyway. Each aspect is represented by its best phrase.

Score: (reviews of the item that praise with the phrase) x ln(1 + items / items with the phrase),
half as much again for more than one word ("low noise" tells more than "noise"); ties go by the
phrase. An item without a phrase that passes has no row.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.datasets import ITEM_WORDS
from pipeline.histories.past import DELIVERED
from pipeline.reviews.unfair import UNFAIR_RULE, with_unfair_rule
from pipeline.settings import Reviews

MIN_REVIEWS = 2
SEVERAL_WORDS = 1.5
_REVIEW = ("review_id", "user_id", "item_id", "review_date", "rating", "text_hash")
_PAIR = ["language", "item_id"]
_HAN = r"\p{IsHan}"


def standing_phrases(
    phrases: DataFrame, retractions: DataFrame, night: dt.date, limits: Reviews
) -> DataFrame:
    """The phrases of each review once, with `unfair_rule`: the rule that leaves it out, or null.

    Args:
        phrases: of deliveries up to the night.
        retractions: of deliveries up to the night; both with their delivery day.
        night: reviews of a later day are left out.
        limits: of copies and bombs.
    """
    standing = _standing(_each_review_once(phrases, night), retractions)
    reviews = standing.select(*_REVIEW).distinct()
    unfair = with_unfair_rule(reviews, limits).where(F.col(UNFAIR_RULE).isNotNull())
    rule = unfair.select("user_id", "review_id", UNFAIR_RULE)
    return standing.join(rule, ["user_id", "review_id"], "left")


def item_words(standing: DataFrame, catalogue: DataFrame, *, words_per_item: int) -> DataFrame:
    """`standing_phrases` and the night's catalogue as the `item_words` contract."""
    fair = standing.where(F.col(UNFAIR_RULE).isNull())
    scored = _without_title(_scored(fair), catalogue)
    best = _best_of_aspects(scored.join(_aspects(fair), on=[*_PAIR, "aspect"], how="inner"))
    rows = _in_order(best, words_per_item).join(
        fair.groupBy(*_PAIR).agg(F.count_distinct(_review()).cast("int").alias("n_reviews")),
        on=_PAIR,
        how="inner",
    )
    return conform(rows, load_contract(ITEM_WORDS))


def _review() -> Column:
    return F.struct("user_id", "review_id")


def _each_review_once(phrases: DataFrame, night: dt.date) -> DataFrame:
    """The first delivery of a review wins; none after the night's day."""
    first = F.min(DELIVERED).over(Window.partitionBy("user_id", "review_id"))
    known = phrases.where(F.col("review_date") <= F.lit(night)).withColumn("first", first)
    return known.where(F.col(DELIVERED) == F.col("first")).drop("first")


def _standing(phrases: DataFrame, retractions: DataFrame) -> DataFrame:
    taken_back = (
        retractions.where(F.col("dataset") == "reviews")
        .groupBy("user_id", F.col("event_id").alias("review_id"))
        .agg(F.max(DELIVERED).alias("taken_back"))
    )
    beside = phrases.join(F.broadcast(taken_back), on=["user_id", "review_id"], how="left")
    stands = F.col("taken_back").isNull() | (F.col("taken_back") <= F.col(DELIVERED))
    return beside.where(stands).drop("taken_back")


def _aspects(phrases: DataFrame) -> DataFrame:
    """How many reviews praise and blame each aspect; those with more praise than blame."""

    def reviews(polarity: int) -> Column:
        return F.count_distinct(F.when(F.col("polarity") == polarity, _review())).cast("int")

    counted = phrases.groupBy(*_PAIR, "aspect").agg(
        reviews(1).alias("praised"), reviews(-1).alias("blamed")
    )
    return counted.where(F.col("praised") > F.col("blamed"))


def _scored(phrases: DataFrame) -> DataFrame:
    """Join each phrase's and each language's totals; both are small beside the phrases."""
    counted = (
        phrases.where(F.col("polarity") > 0)
        .groupBy(*_PAIR, "aspect", "phrase")
        .agg(F.count(F.lit(1)).alias("n"))
    )
    totals = counted.groupBy("language", "phrase").agg(
        F.sum("n").alias("n_in_language"), F.count_distinct("item_id").alias("n_items")
    )
    languages = phrases.groupBy("language").agg(F.count_distinct("item_id").alias("all_items"))
    joined = counted.join(
        totals.where(F.col("n_in_language") >= MIN_REVIEWS), on=["language", "phrase"], how="inner"
    ).join(F.broadcast(languages), on="language", how="inner")
    rarity = F.log1p(F.col("all_items") / F.col("n_items"))
    weight = F.when(F.col("phrase").contains(" "), SEVERAL_WORDS).otherwise(1.0)
    return joined.withColumn("score", F.col("n") * rarity * weight)


def _without_title(scored: DataFrame, catalogue: DataFrame) -> DataFrame:
    named = catalogue.select("item_id", F.lower(F.concat_ws(" ", "title", "brand")).alias("names"))
    joined = scored.join(named, on="item_id", how="left")
    title_words = F.split("names", r"[^\p{L}\p{M}]+")
    in_title = F.forall(
        F.split("phrase", " "),
        lambda word: (
            F.array_contains(title_words, word)
            | (word.rlike(_HAN) & F.contains(F.col("names"), word))
        ),
    )
    return joined.where(~F.coalesce(in_title, F.lit(False))).drop("names")


def _best_of_aspects(scored: DataFrame) -> DataFrame:
    best_first = Window.partitionBy(*_PAIR, "aspect").orderBy(F.col("score").desc(), "phrase")
    ranked = scored.withColumn("place", F.row_number().over(best_first))
    # "screen" and "bright screen" may be the best of two aspects; a phrase is used once.
    once = Window.partitionBy(*_PAIR, "phrase").orderBy(F.col("score").desc(), "aspect")
    firsts = ranked.where(F.col("place") == 1).withColumn("repeat", F.row_number().over(once))
    return firsts.where(F.col("repeat") == 1)


def _in_order(best: DataFrame, words_per_item: int) -> DataFrame:
    best_first = Window.partitionBy(*_PAIR).orderBy(F.col("score").desc(), "phrase")
    kept = best.withColumn("place", F.row_number().over(best_first)).where(
        F.col("place") <= words_per_item
    )
    aspect = F.struct("aspect", "phrase", "praised", "blamed").alias("aspect")
    placed = kept.groupBy(*_PAIR).agg(
        F.sort_array(F.collect_list(F.struct(F.col("place"), aspect))).alias("placed")
    )
    return placed.select(
        *_PAIR,
        F.col("placed.aspect.phrase").alias("words"),
        F.col("placed.aspect").alias("aspects"),
    )
