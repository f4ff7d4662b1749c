"""Which language a review is in: the retailer's tag, or what the text shows where it says more.

The model is py3langid's (naive Bayes over byte n-grams, 4.6 MB, inside the package); it is loaded
at the first use in a process. Measured on the simulator's and on 10,261 real English reviews
(docs/experiments/formats.md): right in 99.9 % and more, 8,000 to 26,000 reviews a second and core.

Gives up: two languages in one text; a text too short to tell is `und`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipeline.language_tag import UNKNOWN, primary_language

# Fewer letters than this tell nothing; a character of a script without spaces weighs three.
MIN_LETTERS = 12
# Over a tag, only a long text that leaves no doubt is believed.
MIN_LETTERS_AGAINST_A_TAG = 80
SURE, SURE_AGAINST_A_TAG = 0.6, 0.99
# More of a text tells no more of its language.
_MAX_CHARACTERS = 1000

_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_NO_LETTER = re.compile(r"\[[a-z]+\]|https?://\S+|\S*@\S*|[\W\d_]+")


def detected_language(text: str) -> str:
    """The primary subtag of a text's language; `und` where it is too short or unclear."""
    return _detected(text, MIN_LETTERS, SURE)


def language_of(tag: str | None, text: str) -> str:
    """The language to treat a review as: the tag's, unless there is none or the text refutes it."""
    primary = primary_language(tag)
    if primary == UNKNOWN:
        return detected_language(text)
    seen = _detected(text, MIN_LETTERS_AGAINST_A_TAG, SURE_AGAINST_A_TAG)
    return primary if seen == UNKNOWN else seen


def language_column(tag: Column, text: Column) -> Column:
    """The retailer's tag, or `language_of` the text where that says something else; null: unknown.

    Args:
        text: the title on a line of its own, then the text, as phrases are taken from them: what
            is said of an item in a language and what is learned to say of it are then of the same.
    """
    return F.coalesce(_other_language(tag, text), tag)


@F.udf(T.StringType(), useArrow=True)
def _other_language(tag: str | None, text: str | None) -> str | None:
    language = language_of(tag, text or "")
    return None if language in (UNKNOWN, primary_language(tag)) else language


def _detected(text: str, min_letters: int, sure: float) -> str:
    letters = _NO_LETTER.sub(" ", text[:_MAX_CHARACTERS]).strip()
    weight = len(letters) - letters.count(" ") + 2 * len(_UNSPACED.findall(letters))
    if weight < min_letters:
        return UNKNOWN
    language, probability = _identifier().classify(letters)
    return str(language) if language and probability >= sure else UNKNOWN


@cache
def _identifier() -> Any:
    """0.4 s and 40 MB, once a process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
