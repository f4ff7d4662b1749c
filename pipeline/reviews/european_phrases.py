"""Key phrases of an English or German clause whose words are tagged.

A phrase is a noun or two ("battery life", aspect itself), an adjective with its noun ("low noise",
aspect "noise"; "the sound is clear" gives "clear sound"), a noun with a verb and how it does it
("zipper runs smoothly"), or an adjective about the item itself ("silent"). "Too short" is blame in
any review.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.reviews.phrase import Phrase
from pipeline.reviews.stop_words import EMPTY_NOUNS, PRAISE
from pipeline.reviews.tagged_words import Word

_SAYS_HOW = re.compile(r"ly$|^(?:fast|well|hard|long|quick|great|loud)$")


def european_phrases(clause: list[Word], language: str, polarity: int) -> Iterator[Phrase]:
    """The phrases of one clause, in its order; they may repeat."""
    empty, praise = EMPTY_NOUNS[language], PRAISE[language]
    place, subject = 0, ""
    while place < len(clause):
        word = clause[place]
        if word.kind == "noun":
            end = place
            while end < len(clause) and clause[end].kind == "noun":
                end += 1
            nouns = [noun for noun in clause[max(place, end - 2) : end] if len(noun.text) > 2]
            subject = ""
            # "quality" alone says nothing, "sound quality" does.
            if len(nouns) > 1 or (nouns and not {nouns[0].base, nouns[0].text} & empty):
                subject = " ".join(noun.text for noun in nouns)
                aspect = " ".join([*(noun.text for noun in nouns[:-1]), nouns[-1].base])
                if len(nouns) > 1 or not _circumstance(clause[:place]):
                    yield Phrase(subject, aspect, polarity)
                for modifier in _modifiers(clause[:place], praise):
                    yield Phrase(f"{modifier} {subject}", aspect, _blame(modifier, polarity))
                for predicate, how in _predicates(clause[end:], praise):
                    yield Phrase(
                        _joined(predicate, how, subject, language), aspect, _blame(how, polarity)
                    )
            place = end
            continue
        if word.kind in ("pronoun", "other") and not subject:
            for predicate, how in _predicates(clause[place + 1 :], praise):
                if not isinstance(predicate, str):
                    yield Phrase(how, predicate.base, _blame(how, polarity))
        place += 1


def _circumstance(before: list[Word]) -> bool:
    """Whether a noun stands behind a preposition ("for months"): it is not the topic."""
    for word in reversed(before):
        if word.kind == "preposition":
            return word.text not in ("with", "mit")
        if word.kind not in ("adjective", "participle", "other", "pronoun", "adverb"):
            return False
    return False


def _joined(predicate: Word | str, how: str, subject: str, language: str) -> str:
    """Of "the sound is clear" "clear sound"; a German adjective would have to be inflected."""
    if isinstance(predicate, str):
        return f"{subject} {predicate}"
    return f"{how} {subject}" if language == "en" else f"{subject} {how}"


def _modifiers(before: list[Word], praise: frozenset[str]) -> Iterator[str]:
    """The adjective right before a noun, with the "no" or "too" before it."""
    if not before:
        return
    last = before[-1]
    if last.kind == "not":
        yield last.text
    elif last.kind in ("adjective", "participle") and _telling(last, praise):
        yield _with_turner(before[:-1], last.text)


def _predicates(after: list[Word], praise: frozenset[str]) -> Iterator[tuple[Word | str, str]]:
    """The predicates of a clause about its subject: an adjective, or a verb with its adverb.

    Yields the adjective and it with its "not" or "too"; or a verb with its adverb, twice.
    """
    if not after:
        return
    if after[0].kind != "copula":
        if after[0].kind == "verb" and len(after) > 1:
            how = after[1]
            ends = how.kind == "adjective" and len(after) == 2
            if ends or (how.kind == "adverb" and _SAYS_HOW.search(how.text)):
                yield f"{after[0].text} {how.text}", f"{after[0].text} {how.text}"
        return
    for place, word in enumerate(after[1:], 1):
        following = after[place + 1 :]
        if word.kind == "adjective":
            if len(following) > 1 and following[0].text == "to" and following[1].kind == "verb":
                task = f"{word.text} to {following[1].text}"
                yield Word(task, "adjective", following[1].base), _with_turner(after[:place], task)
            elif _telling(word, praise) and not (
                following and following[0].kind in ("noun", "adjective", "of", "preposition")
            ):
                yield word, _with_turner(after[:place], word.text)
        elif word.kind == "participle" and after[place - 1].kind == "adverb":
            made = f"{after[place - 1].text} {word.text}"
            yield Word(made, "adjective", word.base), _with_turner(after[: place - 1], made)
        elif word.kind not in ("adverb", "and", "not", "too", "participle"):
            return


def _with_turner(before: list[Word], text: str) -> str:
    """The "not" or "too" that an adjective depends on, kept with it."""
    if before and before[-1].kind in ("not", "too"):
        return f"{before[-1].text} {text}"
    return text


def _blame(how: str, polarity: int) -> int:
    return -1 if how.startswith(("too ", "zu ")) else polarity


def _telling(word: Word, praise: frozenset[str]) -> bool:
    return word.text not in praise and len(word.text) > 2
