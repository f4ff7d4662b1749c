"""The formats in which a source may write its times: which words there are, and which patterns.

Checks the entry `times` of a source YAML; `sources.instants` makes SQL of it. Standard library
only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipeline.errors import ContractError
from pipeline.sources.yaml_entries import checked, nearest

ISO = "iso"  # a date, perhaps a time, perhaps an offset or a zone
EPOCH = "epoch"  # seconds, milliseconds, microseconds or nanoseconds, told apart by their size
EPOCH_UNITS = {"epoch_seconds": 1_000_000, "epoch_millis": 1_000, "epoch_micros": 1}
WORDS = (ISO, EPOCH, *EPOCH_UNITS)

DEFAULT_FORMATS = (ISO,)
ROW_TIME = "row_time"

# What Spark can parse by; it refuses the letters of weeks, and others are for writing only.
_PATTERN_LETTERS = "GyMLdDHhKkmsSaVzOXxZ"
_ZONE_LETTERS = "VzOXxZ"
_QUOTED = re.compile(r"'[^']*'")


def time_formats(given: Any, columns: Sequence[str], where: str) -> dict[str, tuple[str, ...]]:
    """The formats of each time column that `times` names.

    Args:
        given: the entry's value, or none.
        columns: what may be named.
        where: names the entry in errors.

    Raises:
        ContractError: a column is no time, a word is unknown, a pattern cannot be parsed by.
    """
    found = {}
    for column, formats in checked(given or {}, columns, f"{where}: times").items():
        place = f"{where}: times: {column}"
        if not isinstance(formats, list) or not formats:
            raise ContractError(f"{place} must be a list of formats, found {formats!r:.80}")
        found[column] = tuple(_format(text, place) for text in formats)
    return found


def has_zone(pattern: str) -> bool:
    """Whether a text of that pattern has its own offset or zone."""
    return any(letter in _ZONE_LETTERS for letter in _QUOTED.sub("", pattern))


def _format(text: Any, where: str) -> str:
    if text in WORDS:
        return str(text)
    letters = set(re.findall(r"[A-Za-z]", _QUOTED.sub("", str(text))))
    wrong = sorted(letters - set(_PATTERN_LETTERS))
    has_day = "y" in letters and (letters >= {"D"} or ("d" in letters and letters & {"M", "L"}))
    if wrong or not has_day:
        why = f"letters {', '.join(wrong)} mean nothing in it" if wrong else "it names no day"
        raise ContractError(
            f"{where}: {text!r} is neither one of {', '.join(WORDS)} nor a pattern such as "
            f"'dd/MM/yyyy HH:mm': {why};{nearest(str(text), WORDS)}"
        )
    return str(text)
