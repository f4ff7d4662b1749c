"""Whom an erasure looks for, and where they stand in a text.

A pseudonym is 32 hexadecimal digits, so all of them are looked for at once, in one pass over the
digits of a text. A retailer's id is looked for as a whole word, and only where it can be told from
other words: "17" would be found in every price, and "events" in every record. Ids are hidden by
cleaning, so this finds what an older version let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from pipeline.pseudonym import PSEUDONYM_LENGTH, pseudonym

# Fewer characters, or fewer digits and no letter, may well stand for something else.
MIN_ID, MIN_DIGITS = 5, 9

_DIGITS = re.compile(rb"[0-9a-f]{%d,}" % PSEUDONYM_LENGTH)
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+(?:[-.@][0-9A-Za-z_\x80-\xff]+)*")
_PART = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")


@dataclass(frozen=True)
class Wanted:
    """Pseudonym -> the retailer's id."""

    id_of: Mapping[str, str]

    @classmethod
    def of_ids(cls, ids: Iterable[str], key: bytes) -> Wanted:
        """By ids as the source's mapping gives them, and the lake's key."""
        return cls({pseudonym(user_id, key): user_id for user_id in ids})

    @cached_property
    def pseudonyms(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.id_of)

    @cached_property
    def values(self) -> pa.StringArray:
        """The pseudonyms, to look values of a column up in."""
        return pa.array(sorted(self.id_of), pa.string())

    @cached_property
    def ids(self) -> frozenset[bytes]:
        """Ids that are looked for in clear, in UTF-8."""
        return frozenset(user_id.encode() for user_id in self.id_of.values() if is_telling(user_id))

    def in_bytes(self, content: bytes | memoryview) -> set[bytes]:
        """The pseudonyms in a content, whatever it is."""
        found = set()
        for match in _DIGITS.finditer(content):
            run = match.group()
            for start in range(len(run) - PSEUDONYM_LENGTH + 1):
                if (one := run[start : start + PSEUDONYM_LENGTH]).decode() in self.pseudonyms:
                    found.add(one)
        return found

    def in_text(self, content: bytes) -> set[bytes]:
        """The pseudonyms and ids in a text."""
        return self.in_bytes(content) | self.ids_in(content)

    def ids_in(self, content: bytes) -> set[bytes]:
        """The ids that stand in a text as whole words."""
        found: set[bytes] = set()
        for pattern, ids in self._ids_by_pattern:
            if ids:
                found |= ids.intersection(pattern.findall(content))
        return found | {user_id for user_id in self._odd if user_id in content}

    @cached_property
    def _ids_by_pattern(self) -> list[tuple[re.Pattern[bytes], frozenset[bytes]]]:
        """Ids that are one run of letters and digits, and those with a mark between two runs."""
        parts = frozenset(user_id for user_id in self.ids if _PART.fullmatch(user_id))
        words = frozenset(user_id for user_id in self.ids if _WORD.fullmatch(user_id)) - parts
        return [(_PART, parts), (_WORD, words)]

    @cached_property
    def _odd(self) -> list[bytes]:
        """Ids that are no word."""
        return [user_id for user_id in self.ids if not _WORD.fullmatch(user_id)]


def is_telling(user_id: str) -> bool:
    """Whether an id can be told from other words, numbers and dates.

    >>> is_telling("ann-7"), is_telling("17850"), is_telling("178501234")
    (True, False, True)
    >>> is_telling("events"), is_telling("run_id"), is_telling("ann@shop"), is_telling("2026-03-01")
    (False, False, True, False)
    """
    digits = sum(character.isdigit() for character in user_id)
    if not any(character.isalpha() for character in user_id):
        return digits >= MIN_DIGITS
    return len(user_id) >= MIN_ID and (digits > 0 or "@" in user_id)
