"""A text as it is looked at: plain digits, hyphens, dots and spaces, with the way back.

Writers have full-width digits, non-breaking hyphens, narrow spaces and marks that nobody sees.
`PlainText` has one plain character for each of them and knows where it came from, so that what is
found in it is replaced in the text as it was written. Letters keep their case and accents. "O" and
"l" are digits inside of a row of digits ("2O2-555-O143").

Gives up: superscripts and fractions.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_PLAIN = {
    "\u2212": "-",  # the minus sign is no dash to Unicode
    "\u00b7": ".",
    "\u2022": ".",
    "\u2219": ".",
    "\u22c5": ".",
    "\u30fb": ".",
    "\u3002": ".",
    "\uff61": ".",
    "\u2044": "/",
    "\u2215": "/",
    "\u0085": "\n",
    "\u2028": "\n",
    "\u2029": "\n",
}


# Japan's sign for a long vowel is typed for a dash.
_LONG_VOWEL = re.compile("(?<=[0-9])\u30fc(?=[0-9])")

_ROW = re.compile(r"(?<![A-Za-z0-9])[0-9OoIl](?:[.\-() ]{0,2}[0-9OoIl]){6,14}(?![A-Za-z0-9])")
# No group of letters alone, and none of a number with a unit ("10 l").
_NO_ROW = re.compile(r"(?<![0-9OoIl])[OoIl]+(?![0-9OoIl])|[Il](?![0-9Oo])")
_LOOKALIKES = str.maketrans("OoIl", "0011")


@dataclass(frozen=True)
class PlainText:
    """`text[i]` stands for the character `origins[i]` of what was written."""

    text: str
    origins: list[int] | range

    def written(self, start: int, end: int) -> tuple[int, int]:
        """Where the plain characters from `start` to before `end` (not empty) were written."""
        return self.origins[start], self.origins[end - 1] + 1


def plain(text: str) -> PlainText:
    """The text without what hides a number or an address from a pattern."""
    if text.isascii() and "\t" not in text:
        return PlainText(_ROW.sub(_in_digits, text), range(len(text)))
    characters: list[str] = []
    origins: list[int] = []
    for place, character in enumerate(text):
        if "\u0300" <= character <= "\u036f" and characters:
            # An accent as a character of its own.
            whole = unicodedata.normalize("NFC", characters[-1] + character)
            if len(whole) == 1:
                characters[-1] = whole
                continue
        for one in _plain(character):
            characters.append(one)
            origins.append(place)
    seen = _LONG_VOWEL.sub("-", "".join(characters))
    return PlainText(_ROW.sub(_in_digits, seen), origins)


def _in_digits(row: re.Match[str]) -> str:
    written = row[0]
    if written.isascii() and sum(map(str.isdigit, written)) >= 5 and not _NO_ROW.search(written):
        return written.translate(_LOOKALIKES)
    return written


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:  # noqa: PLR0911
    if character in _PLAIN:
        return _PLAIN[character]
    if character == "\t":
        return " "
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""  # soft hyphens, zero-width spaces, marks of direction and of emoji
    if category == "Pd":
        return "-"
    if category == "Zs":
        return " "
    compatible = unicodedata.normalize("NFKC", character)
    if any(map(str.isdigit, compatible)) or " " in compatible:
        return character  # superscripts, fractions, circled numbers; accents that stand alone
    return compatible
