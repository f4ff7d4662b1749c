"""What a column's values look like: numbers, ids, yes and no, words that stand for no value.

Pure; standard library only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.sources.discovery.words import EVENT_WORDS, NO_WORDS, YES_WORDS, plain

NULL_WORDS = (
    *("NULL", "null", "\\N", "N/A", "n/a", "NA", "NaN", "nan", "None", "none", "(null)", "<NA>"),
    *("#N/A", "-", "--", "?"),
)

_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_COMMA_DECIMALS = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+$")
_COMMA_GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?$")
_POINT_GROUPS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+$")
_SPACE_GROUPS = re.compile(r"[+-]?\d{1,3}([ \u00a0\u202f']\d{3})+([.,]\d+)?$")
_MONEY = re.compile(r"^\s*(?:[$€£¥₹]|[A-Z]{3}\b|R\$|kr)\s*|\s*(?:[$€£¥₹]|[A-Z]{3}|kr|zł)\s*$")
_WHOLE_WITH_POINT = re.compile(r"\d+\.0+$")
_SCIENTIFIC = re.compile(r"\d[.,]\d+[eE]\+?\d+$")


@dataclass(frozen=True)
class Numbers:
    """How a column's numbers are written."""

    decimal: str = "."
    group: str = ""
    has_currency: bool = False
    low: float = 0.0
    high: float = 0.0
    is_whole: bool = False
    zeros: int = 0
    negatives: int = 0
    doubt: str = ""


class Values:
    """The values of a column of the sample, looked at once."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        self.texts = texts
        self.null_words = self._null_words()
        self.given = [
            text.strip() for text in texts if text and text.strip() and text not in self.null_words
        ]

    def _null_words(self) -> tuple[str, ...]:
        """Words for no value: certain ones anywhere, doubtful ones among numbers and times."""
        counts = Counter(text for text in self.texts if text in NULL_WORDS)
        if not counts:
            return ()
        others = [text for text in self.texts if text and text not in NULL_WORDS]
        digits = sum(1 for text in others if re.match(r"[+-]?\d", text))
        certain = {"NULL", "null", "\\N", "NaN", "nan", "(null)", "<NA>", "#N/A", "N/A", "n/a"}
        among_numbers = len(others) > 0 and digits > 0.9 * len(others)
        return tuple(sorted(word for word in counts if word in certain or among_numbers))

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value comes."""
        return Counter(self.given)

    @property
    def filled(self) -> float:
        """The share of rows that have a value."""
        return len(self.given) / len(self.texts) if self.texts else 0.0

    @property
    def unlike(self) -> float:
        """Different values, by how many there are: 1 where none comes twice."""
        return len(self.counts) / len(self.given) if self.given else 0.0

    @cached_property
    def mean_length(self) -> float:
        """Characters of a value, on average."""
        return sum(map(len, self.given)) / len(self.given) if self.given else 0.0

    @cached_property
    def numbers(self) -> Numbers | None:
        """How its numbers are written, or none where a tenth of the values are no numbers."""
        return numbers_of_texts(self.given)

    @cached_property
    def with_point_zero(self) -> int:
        """How many values are written like 17850.0."""
        return sum(n for text, n in self.counts.items() if _WHOLE_WITH_POINT.match(text))

    @cached_property
    def scientific(self) -> int:
        """How many are written like 2.82E+18."""
        return sum(n for text, n in self.counts.items() if _SCIENTIFIC.match(text))

    @cached_property
    def yes_and_no(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The words for yes and for no, or none where there are others."""
        words = [*self.counts]
        if not words or len(words) > 8:
            return None
        yes = tuple(sorted(word for word in words if plain(word) in YES_WORDS))
        no = tuple(sorted(word for word in words if plain(word) in NO_WORDS))
        return (yes, no) if len(yes) + len(no) == len(words) and yes else None

    @cached_property
    def event_words(self) -> dict[str, str]:
        """Which of its words name an event type, and which one; `` for one of no interest."""
        return {
            word: EVENT_WORDS[plain(word)] for word in self.counts if plain(word) in EVENT_WORDS
        }


def numbers_of_texts(given: Sequence[str]) -> Numbers | None:
    """How numbers are written, or none where they are not numbers."""
    if not given:
        return None
    bare = [_MONEY.sub("", text) for text in given]
    money = sum(1 for text, raw in zip(bare, given, strict=False) if text != raw)
    kinds = {
        kind: sum(1 for text in bare if regex.match(text))
        for kind, regex in (
            ("plain", _PLAIN_NUMBER),
            ("comma", _COMMA_DECIMALS),
            ("groups", _COMMA_GROUPS),
            ("points", _POINT_GROUPS),
            ("spaces", _SPACE_GROUPS),
        )
    }
    numeric = sum(1 for text in bare if any(k.match(text) for k in _NUMBER_KINDS))
    if numeric < 0.9 * len(bare):
        return None
    decimal, group, doubt = ".", "", ""
    only_comma = sum(1 for t in bare if _COMMA_DECIMALS.match(t) and not _COMMA_GROUPS.match(t))
    only_groups = sum(1 for t in bare if _COMMA_GROUPS.match(t) and not _COMMA_DECIMALS.match(t))
    if only_comma:
        decimal = ","
        group = "." if any("." in text for text in bare) else ""
    elif only_groups:
        group = ","
    elif kinds["comma"] and kinds["groups"]:
        doubt = "1,299 may be 1299 or 1.299: say decimal or group"
    spaced = next((t for t in bare if _SPACE_GROUPS.match(t)), "")
    if spaced:
        group = next(letter for letter in spaced if not letter.isalnum() and letter not in "+-")
        decimal = "," if any("," in text for text in bare) else "."
    values = [
        value
        for text in bare
        if (value := _value(text, decimal, group or "," * bool(doubt))) is not None
    ]
    if not values:
        return None
    return Numbers(
        decimal=decimal,
        group=group,
        has_currency=money > 0,
        low=min(values),
        high=max(values),
        is_whole=all(value.is_integer() for value in values),
        zeros=sum(1 for value in values if value == 0),
        negatives=sum(1 for value in values if value < 0),
        doubt=doubt,
    )


_NUMBER_KINDS = (_PLAIN_NUMBER, _COMMA_DECIMALS, _COMMA_GROUPS, _POINT_GROUPS, _SPACE_GROUPS)


def _value(text: str, decimal: str, group: str) -> float | None:
    try:
        return float((text.replace(group, "") if group else text).replace(decimal, "."))
    except ValueError:
        return None
