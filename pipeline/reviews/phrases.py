"""The key phrases of a review, the aspect that each is about, and praise or blame.

English, German (`european_phrases`) and Chinese (`chinese_phrases`) have a tagger. A phrase's words
stand in the review, near each other, though not always in its order:
`pipeline.model.phrase.stands_in` looks.

Polarity is that of the stars (4 and more: 1; 2 and fewer: -1; else 0), with two exceptions: "too
short" is blame in any review, and a phrase behind a "but" (before it, in a bad review) has 0.

Other languages have no tagger here: every word of 3 to 24 letters that is none of its language's
common words is a phrase and its own aspect; in scripts without spaces a clause of 2 to 8 characters
is one.

Gives up: irony, and what "it" stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.reviews.chinese_phrases import chinese_phrases
from pipeline.reviews.european_phrases import european_phrases
from pipeline.reviews.phrase import Phrase
from pipeline.reviews.stop_words import common_words
from pipeline.reviews.tagged_words import TAGGED_LANGUAGES, Word, tagged

SATISFIED, UNSATISFIED = 4.0, 2.0
# What is read of a review, and kept of it. The longest of 10,261 real ones has 32,000 characters.
MAX_CHARACTERS, MAX_PHRASES = 4000, 60
MAX_PHRASE_CHARACTERS = 40

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
# Tags, the scrubber's placeholders, addresses, and whatever holds a digit. A digit takes only its
# own neighbours with it in unspaced scripts, where a "word" by spaces would be the whole sentence.
_NOISE = re.compile(
    rf"<[^<>]*>|\[[^\[\]]*\]|https?://\S+|www\.\S+|\S*@\S*|[^\s\d{_UNSPACED}]*\d[^\s{_UNSPACED}]*"
    r"|[\ufffd\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+"
)
_WORD = re.compile(rf"[^\W\d_{_UNSPACED}]{{3,24}}(?![^\W\d_])")
_CLAUSE = re.compile(rf"[{_UNSPACED}]+")
_HAN_ONLY = re.compile(r"[\u3400-\u9fff]")


def readable(text: str) -> str:
    """The text that phrases are taken from: no digits, addresses, tags or control characters."""
    return _NOISE.sub(" ; ", text[:MAX_CHARACTERS])


def phrases(title: str | None, text: str, language: str, rating: float) -> list[Phrase]:
    """The distinct phrases of a review, in the order in which they first stand in it.

    Args:
        title: the headline, or none.
        text: the review.
        language: its primary subtag, `und` where unknown.
        rating: stars, 1 to 5.
    """
    whole = readable(f"{title}\n{text}" if title else text)
    stars = 1 if rating >= SATISFIED else -1 if rating <= UNSATISFIED else 0
    found: dict[str, Phrase] = {}
    for phrase in _all_phrases(whole, language, stars):
        if len(phrase.phrase) > MAX_PHRASE_CHARACTERS or any(map(str.isdigit, phrase.phrase)):
            continue  # a superscript is a digit too, though no `\d`
        before = found.setdefault(phrase.phrase, phrase)
        if before.polarity != phrase.polarity:
            found[phrase.phrase] = before._replace(polarity=0)
    return list(found.values())[:MAX_PHRASES]


def _all_phrases(text: str, language: str, stars: int) -> Iterator[Phrase]:
    if language not in TAGGED_LANGUAGES:
        yield from _untagged(text, language, stars)
        return
    of_clause = chinese_phrases if language == "zh" else european_phrases
    for sentence in tagged(text, language):
        for clause, polarity in _clauses(sentence, stars):
            yield from of_clause(clause, language, polarity)


def _untagged(text: str, language: str, stars: int) -> Iterator[Phrase]:
    common = common_words(language)
    lower = text.lower()
    for word in _WORD.findall(lower):
        if word not in common:
            yield Phrase(word, word, stars)
    for clause in _CLAUSE.findall(lower):
        if 2 <= len(clause) <= 8 and clause not in common:
            yield Phrase(clause, clause, stars)


def _clauses(sentence: list[Word], stars: int) -> Iterator[tuple[list[Word], int]]:
    """The clauses of a sentence with the polarity of what they say."""
    turns = [place for place, word in enumerate(sentence) if word.kind == "turn"]
    clause: list[Word] = []
    start = 0
    for place, word in enumerate([*sentence, Word("", "break", "")]):
        if word.kind not in ("break", "turn"):
            clause.append(word)
            continue
        if clause:
            beyond = any(turn < start if stars > 0 else turn >= start for turn in turns)
            yield clause, 0 if beyond else stars
        clause, start = [], place + 1
