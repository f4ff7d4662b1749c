"""The words that satisfied shoppers use of an item more than of others, per language.

In: `cleaned_reviews` of the past and the night's `catalogue`. Out: the `item_words` contract. Only
reviews of four stars or more are read. What counts as a word is decided by script, not by the
review's language tag, which may be missing or wrong:

- an alphabet: a run of letters, 3 to 24 of them, that is no stop word of its language;
- Chinese, Japanese, Thai: a whole clause between punctuation, 2 to 8 characters, that is no common
  praise.

Anything with a digit, an `@`, a web address or a placeholder in brackets is cut out first, so no
price, e-mail address or order number comes through. A word is kept only if two reviews in its
language use it, which drops misspellings and most names; words of the item's own title and brand
are dropped, because the list that quotes them shows the title anyway.

Score: (reviews of the item with the word) x ln(1 + items / items with the word); ties go by the
word. Items without a word that passes have no row.

Gives up: long Chinese clauses. Real word segmentation comes with a later issue.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import conform
from pipeline.histories.past import DELIVERED
from pipeline.histories.stop_words import STOP_WORDS

SATISFIED = 4.0
MIN_REVIEWS = 2

_UNSPACED = r"\p{IsHan}\p{IsHiragana}\p{IsKatakana}\p{IsThai}"
_CLAUSE = rf"[{_UNSPACED}]+"
_WORD = rf"[\p{{L}}&&[^{_UNSPACED}]][\p{{L}}\p{{M}}'&&[^{_UNSPACED}]]*"
# Tags, placeholders of the scrubber, addresses, and whatever holds a digit. A digit takes only its
# own neighbours with it in unspaced scripts, where a "word" by spaces would be the whole sentence.
_NOISE = (
    rf"<[^>]*>|\[[^\]]*\]|https?://\S+|www\.\S+|\S*@\S*|[^\s{_UNSPACED}]*\p{{N}}[^\s{_UNSPACED}]*"
)


def item_words(
    reviews: DataFrame, catalogue: DataFrame, *, night: dt.date, words_per_item: int
) -> DataFrame:
    """`cleaned_reviews` of the past as the `item_words` contract."""
    liked = (
        _each_review_once(reviews, night)
        .where(F.col("rating") >= SATISFIED)
        .select("item_id", language_of("language").alias("language"), review_words())
    )
    counted = (
        liked.withColumn("word", F.explode("words"))
        .groupBy("language", "item_id", "word")
        .agg(F.count(F.lit(1)).alias("n"))
    )
    best = _best_words(_without_title(_scored(counted, liked), catalogue), words_per_item)
    read = liked.groupBy("language", "item_id").agg(
        F.count(F.lit(1)).cast("int").alias("n_reviews")
    )
    rows = best.join(read, on=["language", "item_id"], how="inner")
    return conform(rows, load_contract("item_words"))


def _each_review_once(reviews: DataFrame, night: dt.date) -> DataFrame:
    """The first delivery of a review wins, then the smaller row; none after the night's day."""
    content = ("item_id", "rating", "language", "title", "text")
    first = F.min(F.struct(DELIVERED, *content)).alias("first")
    known = reviews.where(F.col("review_date") <= F.lit(night))
    return known.groupBy("user_id", "review_id").agg(first).select("first.*")


def language_of(tag: str) -> Column:
    """The primary subtag in lower case; `und` where there is none."""
    primary = F.lower(F.regexp_extract(F.coalesce(F.col(tag), F.lit("")), "^[A-Za-z]{2,3}", 0))
    return F.when(primary != "", primary).otherwise(F.lit("und"))


def review_words() -> Column:
    """The distinct words of a review's title and text, as the array column `words`.

    Reads the columns `title`, `text` and `language`.
    """
    whole = F.concat_ws(" . ", "title", "text")
    lower = F.lower(F.regexp_replace(F.regexp_replace(whole, "[’‘]", "'"), _NOISE, " "))
    words = F.transform(
        F.regexp_extract_all(lower, F.lit(_WORD), F.lit(0)),
        lambda word: F.regexp_replace(word, "'+$", ""),
    )
    clauses = F.regexp_extract_all(lower, F.lit(_CLAUSE), F.lit(0))
    long = F.filter(words, lambda word: F.length(word).between(3, 24))
    short = F.filter(clauses, lambda clause: F.length(clause).between(2, 8))
    # array_except also leaves each word once.
    return F.array_except(F.concat(long, short), _stop_words()).alias("words")


def _stop_words() -> Column:
    """The list of the row's language; every list where the language is unknown."""
    language = language_of("language")
    listed = F.when(language == "und", _word_list(" ".join(STOP_WORDS.values())))
    for name, words in STOP_WORDS.items():
        listed = listed.when(language == name, _word_list(words))
    return listed.otherwise(_word_list(""))


def _word_list(words: str) -> Column:
    """An array of words; the optimiser splits the one literal once."""
    return F.split(F.lit(words), " ")


def _without_title(scored: DataFrame, catalogue: DataFrame) -> DataFrame:
    named = catalogue.select("item_id", F.lower(F.concat_ws(" ", "title", "brand")).alias("names"))
    joined = scored.join(named, on="item_id", how="left")
    in_title = F.array_contains(
        F.concat(
            F.regexp_extract_all("names", F.lit(_WORD), F.lit(0)),
            F.regexp_extract_all("names", F.lit(_CLAUSE), F.lit(0)),
        ),
        F.col("word"),
    )
    return joined.where(~F.coalesce(in_title, F.lit(False))).drop("names")


def _scored(counted: DataFrame, liked: DataFrame) -> DataFrame:
    """Join each word's and each language's totals; both are small beside the reviews."""
    totals = counted.groupBy("language", "word").agg(
        F.sum("n").alias("n_in_language"), F.count(F.lit(1)).alias("n_items")
    )
    languages = liked.groupBy("language").agg(F.count_distinct("item_id").alias("all_items"))
    joined = counted.join(
        totals.where(F.col("n_in_language") >= MIN_REVIEWS), on=["language", "word"], how="inner"
    ).join(F.broadcast(languages), on="language", how="inner")
    rarity = F.log1p(F.col("all_items") / F.col("n_items"))
    return joined.withColumn("score", F.col("n") * rarity)


def _best_words(scored: DataFrame, words_per_item: int) -> DataFrame:
    best_first = Window.partitionBy("language", "item_id").orderBy(
        F.col("score").desc(), F.col("word")
    )
    kept = scored.withColumn("place", F.row_number().over(best_first)).where(
        F.col("place") <= words_per_item
    )
    placed = F.sort_array(F.collect_list(F.struct("place", "word")))
    return (
        kept.groupBy("language", "item_id")
        .agg(placed.alias("placed"))
        .select("language", "item_id", F.col("placed.word").alias("words"))
    )
