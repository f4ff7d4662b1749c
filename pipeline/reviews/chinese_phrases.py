"""Key phrases of a Chinese clause whose words are tagged.

A phrase is a noun ("电池"), a noun and what it is like, apart by a space ("音质 好", of both
"音质非常好" and "很好的音质"), or an opinion alone ("很轻").
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.reviews.phrase import Phrase
from pipeline.reviews.stop_words import EMPTY_NOUNS, PRAISE
from pipeline.reviews.tagged_words import Word


def chinese_phrases(clause: list[Word], language: str, polarity: int) -> Iterator[Phrase]:
    """The phrases of one clause, in its order; they may repeat."""
    empty, praise = EMPTY_NOUNS[language], PRAISE[language]
    topic = ""  # what comes first, unless a preposition is before it, is what is spoken of
    for place, word in enumerate(clause):
        before, after = clause[:place], clause[place + 1 :]
        if word.kind == "noun" or word.text in empty:
            in_place = bool(before) and before[-1].kind == "preposition"
            if word.text not in empty:
                yield from _chinese_noun(word.text, before, in_place, praise, polarity)
            if not topic and not in_place:
                topic = word.text
        elif word.kind == "verb" and not topic and len(word.text) > 1:
            if after and after[0].kind in ("adverb", "adjective", "not"):
                topic = word.text
        elif word.kind == "adjective" and not (after and after[0].kind in ("noun", "of")):
            refused = before and before[-1].kind == "not"
            how = before[-1].text + word.text if refused else word.text.lstrip("很")
            if topic and topic not in empty:
                yield Phrase(f"{topic} {how}", topic, polarity)
            elif not topic and word.text not in praise:
                opinion = _with_adverb(before, word)
                if len(opinion) > 1:
                    yield Phrase(opinion, how, polarity)


def _chinese_noun(
    noun: str, before: list[Word], in_place: bool, praise: frozenset[str], polarity: int
) -> Iterator[Phrase]:
    """The noun itself, and with the words right before it."""
    if len(noun) > 1 and not in_place:
        yield Phrase(noun, noun, polarity)
    adjective = _adjective_before(before)
    if adjective is not None and adjective.text not in praise:
        yield Phrase(f"{noun} {adjective.text.lstrip('很')}", noun, polarity)
    elif before and before[-1].text in ("没有", "没", "无") and len(noun) > 1:
        yield Phrase(before[-1].text + noun, noun, polarity)


def _adjective_before(before: list[Word]) -> Word | None:
    """The adjective of "清晰的屏幕", with or without its 的."""
    rest = before[:-1] if before and before[-1].kind == "of" else before
    return rest[-1] if rest and rest[-1].kind == "adjective" else None


def _with_adverb(before: list[Word], word: Word) -> str:
    """An opinion with the one adverb or "not" before it."""
    if before and before[-1].kind in ("adverb", "not"):
        return before[-1].text + word.text
    return word.text
