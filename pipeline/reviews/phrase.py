"""A key phrase of a review: the words, the aspect that they are about, praise or blame."""

from __future__ import annotations

from typing import NamedTuple


class Phrase(NamedTuple):
    """A phrase in lower case, what it is about, and whether that is praised (1) or blamed (-1)."""

    phrase: str
    aspect: str
    polarity: int
