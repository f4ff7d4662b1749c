"""Whether a sentence contains a phrase: one test for training's sentences and for the model's.

A phrase is one word or several ("low noise", "音质 好"). Its words must stand in the sentence near
each other, in any order: "the noise is really low" contains "low noise". In a script without spaces
a word may stand anywhere in a clause; in other scripts it is a whole word. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
# How many other words (characters in scripts without spaces) may stand between a phrase's own.
MAX_BETWEEN = 4

_UNSPACED = re.compile(f"[{UNSPACED}]")


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script without spaces."""
    return _UNSPACED.search(text) is not None


def stands_in(phrase: str, sentence: str) -> bool:
    """Whether the sentence contains the phrase, in any case; an empty phrase is in no sentence."""
    words = phrase.casefold().split()
    if not words:
        return False
    text = sentence.casefold()
    places = []
    for word in words:
        found = [match.start() for match in re.finditer(_pattern(word), text)]
        if not found:
            return False
        places.append(found)
    return len(words) == 1 or _near(places, words, text)


def _pattern(word: str) -> str:
    escaped = re.escape(word)
    return escaped if is_unspaced(word) else rf"(?<!\w){escaped}(?!\w)"


def _near(places: Sequence[Sequence[int]], words: Sequence[str], text: str) -> bool:
    """Whether some place of each word lies within a window that begins at one of them."""
    for start in sorted(place for found in places for place in found):
        after = [min((at for at in found if at >= start), default=None) for found in places]
        if None in after:
            continue
        end = max(at for at in after if at is not None)
        between = text[start:end]
        # The end of a clause may not lie between: what follows is about another thing.
        if re.search(r"[.!?;。！？；，]", between):
            continue
        length = len(between) if is_unspaced(words[0]) else len(between.split())
        own = sum(map(len, words)) if is_unspaced(words[0]) else len(words)
        if length <= own + MAX_BETWEEN:
            return True
    return False
