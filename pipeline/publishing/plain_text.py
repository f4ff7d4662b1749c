"""Strangers' text made safe to print: one line, no control of the terminal, nothing invisible."""

from __future__ import annotations

import unicodedata

# Overrides of the writing direction can make one title look like another, or swallow the rest of a
# line; a zero-width joiner belongs to real words and emoji, and stays.
_JOINERS = "\u200c\u200d"


def visible(text: str, most: int | None = None) -> str:
    """The text with white space made plain and each control or formatting character a `�`.

    Args:
        text: anything.
        most: cut to so many characters, the last then being `…`.
    """
    spaced = "".join(" " if letter.isspace() else letter for letter in text)
    shown = "".join(letter if _is_plain(letter) else "�" for letter in spaced)
    if most is not None and len(shown) > most:
        return shown[: most - 1].rstrip() + "…"
    return shown


def _is_plain(letter: str) -> bool:
    # Cc control, Cf formatting (direction), Cs half a surrogate pair, Co private, Cn unassigned.
    return letter in _JOINERS or unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
