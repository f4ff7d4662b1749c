"""A text as it is looked at: plain digits, hyphens, dots and spaces, with the way back.

Writers have full-width digits, non-breaking hyphens, narrow spaces and marks that nobody sees.
`PlainText` has one plain character for each of them and knows where it came from, so that what is
found in it is replaced in the text as it was written. Letters keep their case and accents.

Gives up: letters that only look like digits ("O" for 0), superscripts and fractions.
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
        return PlainText(text, range(len(text)))
    characters: list[str] = []
    origins: list[int] = []
    for place, character in enumerate(text):
        for one in _plain(character):
            characters.append(one)
            origins.append(place)
    return PlainText(_LONG_VOWEL.sub("-", "".join(characters)), origins)


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
