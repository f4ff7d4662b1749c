"""Hostile text, made fit for a page or a terminal. Standard library only."""

from __future__ import annotations

import unicodedata


def printable(text: str | None) -> str:
    """Hostile text without what could not be written or would break out of its place.

    Control characters, lone surrogates and the marks that reorder neighbouring text become the
    replacement character; everything else, every script and emoji, stays.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(letter) in ("Cc", "Cs") or letter in _REORDERING
        else letter
        for letter in (text or "").replace("\n", " ").replace("\t", " ")
    )


_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
