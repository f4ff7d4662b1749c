"""What a review says of what: its key phrases, the aspect each is about, and praise or blame.

In English and German a phrase is a noun or two ("battery life", aspect itself), an adjective with
its noun ("low noise", aspect "noise"; "the sound is clear" gives "clear sound"), a noun with a verb
and how it does it ("zipper runs smoothly"), or an adjective said of the item itself ("silent").
In Chinese it is a noun ("电池"), a noun and what it is like, apart by a space ("音质 好", of both
"音质非常好" and "很好的音质"), or such a judgement alone ("很轻"). A phrase's words stand in the
review, near each other, though not always in its order: `pipeline.model.phrase.stands_in` looks.

Polarity is that of the stars (4 and more: 1; 2 and fewer: -1; else 0), except that "too short" is
blame whoever says it, and that what stands beyond a "but" (before it, in a bad review) is 0.

Other languages have no tagger here: every word of 3 to 24 letters that is none of its language's
common words is a phrase and its own aspect; in scripts without spaces a clause of 2 to 8 characters.

Gives up: irony, and what "it" stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.reviews.stop_words import EMPTY_NOUNS, PRAISE, common_words
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
_SAYS_HOW = re.compile(r"ly$|^(?:fast|well|hard|long|quick|great|loud)$")


class Phrase(NamedTuple):
    """A phrase in lower case, what it is about, and whether that is praised (1) or blamed (-1)."""

    phrase: str
    aspect: str
    polarity: int


def readable(text: str) -> str:
    """The part of a text that phrases are taken from: no digit, address, tag or control character."""
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
    of_clause = _chinese if language == "zh" else _european
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


def _european(clause: list[Word], language: str, polarity: int) -> Iterator[Phrase]:
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
                for said, how in _predicates(clause[end:], praise):
                    yield Phrase(
                        _joined(said, how, subject, language), aspect, _blame(how, polarity)
                    )
            place = end
            continue
        if word.kind in ("pronoun", "other") and not subject:
            for said, how in _predicates(clause[place + 1 :], praise):
                if not isinstance(said, str):
                    yield Phrase(how, said.base, _blame(how, polarity))
        place += 1


def _circumstance(before: list[Word]) -> bool:
    """Whether a noun stands behind a preposition ("for months"): it is not what is spoken of."""
    for word in reversed(before):
        if word.kind == "preposition":
            return word.text not in ("with", "mit")
        if word.kind not in ("adjective", "participle", "other", "pronoun", "adverb"):
            return False
    return False


def _joined(said: Word | str, how: str, subject: str, language: str) -> str:
    """Of "the sound is clear" "clear sound"; a German adjective would have to be inflected."""
    if isinstance(said, str):
        return f"{subject} {said}"
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
    """What a clause says of its subject: what it is like, or how it does what it does.

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


def _chinese(clause: list[Word], language: str, polarity: int) -> Iterator[Phrase]:
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
                judged = _with_adverb(before, word)
                if len(judged) > 1:
                    yield Phrase(judged, how, polarity)


def _chinese_noun(
    noun: str, before: list[Word], in_place: bool, praise: frozenset[str], polarity: int
) -> Iterator[Phrase]:
    """The noun itself, and with what is said right before it."""
    if len(noun) > 1 and not in_place:
        yield Phrase(noun, noun, polarity)
    judged = _judged_before(before)
    if judged is not None and judged.text not in praise:
        yield Phrase(f"{noun} {judged.text.lstrip('很')}", noun, polarity)
    elif before and before[-1].text in ("没有", "没", "无") and len(noun) > 1:
        yield Phrase(before[-1].text + noun, noun, polarity)


def _judged_before(before: list[Word]) -> Word | None:
    """The adjective of "清晰的屏幕", with or without its 的."""
    rest = before[:-1] if before and before[-1].kind == "of" else before
    return rest[-1] if rest and rest[-1].kind == "adjective" else None


def _with_adverb(before: list[Word], word: Word) -> str:
    """A judgement with the one adverb or "not" before it."""
    if before and before[-1].kind in ("adverb", "not"):
        return before[-1].text + word.text
    return word.text
