"""What the model learns to write reasons from: sentences of satisfied shoppers' reviews.

Reads `cleaned_reviews` of the past and the night's `item_words`. A row is an item, the phrases of
it that one sentence says, the review's language, and that sentence. Only reviews of four stars or
more by shoppers who agree to personalised marketing are learned from; a sentence with a digit, an
address, a placeholder or markup is left out, so the model never sees a price or a contact to
repeat. Left out too is what no shop would say of its own wares: a reviewer speaking of themselves,
a "but", and a sentence whose words are rather those of unsatisfied shoppers (naive Bayes).

Gives up: names that the shop's own scrubbing let through.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.datasets import CLEANED_REVIEWS, ITEM_WORDS
from pipeline.encryption.parquet_files import read_table
from pipeline.lake import Lake
from pipeline.language_tag import primary_language
from pipeline.model.phrase import stands_in
from pipeline.model.prompt import reason_prompt
from pipeline.model.reason_style import is_contrast, is_personal
from pipeline.model.vocabulary import Vocabulary
from pipeline.training.rows.training_rows import TrainingRow, text_row

SATISFIED = 4.0
UNSATISFIED = 3.0
# Added to every count of a term: one review alone says little.
SMOOTHING = 0.5
MIN_CHARACTERS, MAX_CHARACTERS = 6, 160

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
# A digit may be a price or a number of somebody's; the rest are addresses, placeholders, markup,
# and characters that are not seen but act (controls, direction marks).
_UNWANTED = re.compile(
    r"\d|@|https?:|www\.|[<>\[\]{}|\\#*_=]|\ufffd"
    r"|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
# Between punctuation, or between spaces where there are any.
_TERM = re.compile(r"\w+")


@dataclass(frozen=True)
class Review:
    """A review that sentences may be taken from."""

    item_id: str
    language: str
    text: str
    satisfied: bool = True


def read_reviews(lake: Lake, run_date: dt.date, consenting: Collection[str]) -> list[Review]:
    """Decided reviews of the past by the given users, each once, in a fixed order.

    With words; of four stars or more (satisfied), or of three and fewer.
    """
    columns = ["review_id", "review_date", "user_id", "item_id", "rating", "text", "language"]
    found: dict[str, Review] = {}
    for partition in lake.past(CLEANED_REVIEWS, run_date):
        for file in partition.files:
            for row in read_table(file, columns=columns).to_pylist():
                if (
                    row["text"] is not None
                    and not UNSATISFIED < row["rating"] < SATISFIED
                    and row["user_id"] in consenting
                    and row["review_date"] <= run_date
                ):
                    language = primary_language(row["language"])
                    # The first delivery of a review wins, as in the histories.
                    found.setdefault(
                        row["review_id"],
                        Review(row["item_id"], language, row["text"], row["rating"] >= SATISFIED),
                    )
    return [found[review_id] for review_id in sorted(found)]


def read_item_words(lake: Lake, run_date: dt.date) -> dict[tuple[str, str], list[str]]:
    """Words by (item_id, language); empty where the night has none."""
    partition = lake.current(ITEM_WORDS, run_date)
    rows = [
        row
        for file in (partition.files if partition else ())
        for row in read_table(file, columns=["item_id", "language", "words"]).to_pylist()
    ]
    return {(row["item_id"], row["language"]): row["words"] for row in rows}


def reason_rows(
    vocabulary: Vocabulary,
    reviews: Sequence[Review],
    item_words: Mapping[tuple[str, str], Sequence[str]],
    *,
    max_prompt_words: int,
    max_new_tokens: int,
) -> list[TrainingRow]:
    """Two rows per sentence that uses a word of its item and fits `max_new_tokens` with its end.

    One prompt has the sentence's words, most telling first; the other has one of them alone,
    because at night a word is asked for without knowing which others go with it.
    """
    leaning = complaint_weights(reviews)
    rows = []
    for review in reviews:
        words = item_words.get((review.item_id, review.language), ())
        if not review.satisfied or not words or vocabulary.item_token(review.item_id) is None:
            continue
        for sentence in sentences(review.text):
            if is_personal(sentence) or is_contrast(sentence):
                continue
            if is_complaint(sentence, leaning[review.language]):
                continue
            used = [word for word in words if stands_in(word, sentence)]
            text = vocabulary.encode_text(sentence) if used else []
            if text and len(text) < max_new_tokens:
                alone = used[zlib.crc32(sentence.encode()) % len(used)]
                for shown in (used[:max_prompt_words], [alone]):
                    prompt = reason_prompt(vocabulary, review.item_id, shown, review.language)
                    rows.append(text_row(vocabulary, prompt, text))
    return rows


def complaint_weights(reviews: Sequence[Review]) -> Mapping[str, Mapping[str, float]]:
    """How much more likely each term is in an unsatisfied review, as a log ratio, by language."""
    counts: dict[tuple[str, bool], Counter[str]] = {}
    totals: Counter[tuple[str, bool]] = Counter()
    for review in reviews:
        kind = (review.language, review.satisfied)
        totals[kind] += 1
        counts.setdefault(kind, Counter()).update(_terms(review.text))
    found = {}
    for language in {review.language for review in reviews}:
        good = counts.get((language, True), Counter())
        bad = counts.get((language, False), Counter())
        even = math.log((totals[language, True] + 1) / (totals[language, False] + 1))
        found[language] = {
            term: math.log((bad[term] + SMOOTHING) / (good[term] + SMOOTHING)) + even
            for term in sorted(good.keys() | bad.keys())
        }
    return found


def is_complaint(sentence: str, weights: Mapping[str, float]) -> bool:
    """Whether its terms, taken together, are rather those of unsatisfied shoppers."""
    return sum(weights.get(term, 0.0) for term in sorted(_terms(sentence))) > 0


def _terms(text: str) -> set[str]:
    """The words of a text and its pairs of neighbours; clauses in scripts without spaces."""
    words = _TERM.findall(text.lower())
    return {*words, *map(" ".join, pairwise(words))}


def sentences(text: str) -> Iterator[str]:
    """The sentences of a review that may be shown to the model, in their order."""
    for part in _SENTENCE_END.split(text):
        sentence = " ".join(part.split())
        if MIN_CHARACTERS <= len(sentence) <= MAX_CHARACTERS and not _UNWANTED.search(sentence):
            yield sentence
