"""Which of the model's sentences are refused, and why.

A sentence that the model wrote is shown only if it keeps to every rule of `fault`; otherwise a
template is shown (`templates`). So the model never states a number, a price, an address or a brand
of another item, and a sentence has nothing of a person in it. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from itertools import pairwise

from pipeline.model.phrase import UNSPACED as _SPACELESS
from pipeline.model.phrase import is_unspaced, stands_in
from pipeline.model.reason_style import is_contrast, is_personal

MIN_WORDS = 3
# Shorter words ("the", "und", "que") may well come twice in a good sentence.
LONG_WORD = 4

_DIRECTION = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_UNSPACED = re.compile(f"[{_SPACELESS}]")
# A word is a run of letters; in scripts without spaces every character counts as one.
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W\d_{_SPACELESS}]+(?:['’][^\W\d_{_SPACELESS}]+)*")
_FIRST_SENTENCE = re.compile(r".*?(?:[.!?…]+(?=\s|$)|[。！？]+)", re.DOTALL)
_ADDRESS = re.compile(r"https?:|www\.|@|\w\.(?:com|net|org|de|es|cn|co|uk|io)\b", re.IGNORECASE)
# A run of letters; in scripts without spaces that is a clause.
_RUN = re.compile(r"[^\W\d_]+")
_DOUBLED_MARK = re.compile(r"[^\w\s]\s*[^\w\s]")
_PLACEHOLDER = re.compile(r"[<>\[\]{}|_*#\\~^]|xxx", re.IGNORECASE)


def first_sentence(text: str) -> str:
    """The first sentence of a continuation; the whole of it where none ends."""
    collapsed = " ".join(text.split())
    match = _FIRST_SENTENCE.match(collapsed)
    return match.group() if match else collapsed


def fault(
    sentence: str,
    words: Sequence[str],
    brands: frozenset[tuple[str, ...]] = frozenset(),
    own_brand: str = "",
    *,
    unsupported: Collection[str] = frozenset(),
    forbidden: Collection[str] = (),
) -> str | None:
    """The first rule that a model's sentence breaks, or none: it may be shown.

    Args:
        words: phrases that the model was asked to say; one at least must be there whole.
        brands: every brand of the shop; only the item's own and the given words may be named.
        own_brand: the item's.
        unsupported: words that reviews use of other items, not of this one; none may be in it.
        forbidden: words and phrases that the shop never uses (`voice`).
    """
    found = _words(sentence)
    checks = (
        ("not_clean", _unclean(sentence)),
        ("too_short", len(found) < MIN_WORDS),
        ("number", any(unicodedata.category(char)[0] == "N" for char in sentence)),
        ("currency", any(unicodedata.category(char) == "Sc" for char in sentence)),
        ("address", bool(_ADDRESS.search(sentence))),
        ("placeholder", bool(_PLACEHOLDER.search(sentence))),
        ("other_brand", _names_any(found, brands - brand_words([own_brand, *words]))),
        ("word_missing", not any(stands_in(word, sentence) for word in words)),
        ("forbidden", any(forbids(word, sentence) for word in forbidden)),
        ("personal", is_personal(sentence)),
        ("contrast", is_contrast(sentence)),
        ("repeats", _repeats(found) or bool(_DOUBLED_MARK.search(sentence))),
        ("unsupported", _says_any(sentence, unsupported)),
        ("no_end", not sentence.endswith((".", "!", "?", "…", "。", "！", "？"))),
    )
    return next((name for name, broken in checks if broken), None)


def forbids(phrase: str, sentence: str) -> bool:
    """Whether a forbidden word or phrase stands in the sentence, in any case.

    `garant*` stands for each word that begins so. In scripts without spaces it may stand anywhere.
    """
    return bool(_forbidden(phrase).search(sentence.casefold()))


@cache
def _forbidden(phrase: str) -> re.Pattern[str]:
    words = [re.escape(word).replace(r"\*", r"\w*") for word in phrase.casefold().split()]
    found = r"[\W_]+".join(words)
    return re.compile(found if is_unspaced(phrase) else rf"(?<!\w){found}(?!\w)")


def runs(text: str) -> set[str]:
    """The words of a text; in scripts without spaces, its clauses."""
    return set(_RUN.findall(text.casefold()))


def _says_any(sentence: str, words: Collection[str]) -> bool:
    """Whether one of the words stands in the sentence, anywhere in scripts without spaces."""
    if not runs(sentence).isdisjoint(words):
        return True
    return is_unspaced(sentence) and any(
        len(word) > 1 and word in sentence for word in words if is_unspaced(word)
    )


def brand_words(brands: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """Brands as tuples of words, for `fault`."""
    return frozenset(tuple(_words(brand)) for brand in brands) - {()}


def is_invisible(char: str) -> bool:
    """Control characters, lone surrogates and what turns the direction of text around."""
    return unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn") or char in _DIRECTION


def _unclean(sentence: str) -> bool:
    return "\ufffd" in sentence or any(is_invisible(char) for char in sentence)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _names_any(words: Sequence[str], brands: frozenset[tuple[str, ...]]) -> bool:
    longest = max(map(len, brands), default=0)
    return any(
        tuple(words[start : start + n]) in brands
        for n in range(1, longest + 1)
        for start in range(len(words) - n + 1)
    )


def _repeats(words: Sequence[str]) -> bool:
    """A word twice in a row, three words twice, or a long word twice: small models' stutter."""
    threes = list(zip(words, words[1:], words[2:], strict=False))
    long = [word for word in words if len(word) >= LONG_WORD]
    return (
        len(set(threes)) < len(threes)
        or len(set(long)) < len(long)
        # 慢慢, 刚刚: in Chinese a character twice is a word.
        or any(one == other and not _UNSPACED.match(one) for one, other in pairwise(words))
    )
