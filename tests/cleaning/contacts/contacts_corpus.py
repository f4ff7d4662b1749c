r"""Strings of our own words: which part of each is a contact, and strings that must stay.

A line of the files is a country (ZZ: none), a tab and a text; `<<kind|…>>` marks what is to be
found, `\n` is a line break. No number in them is known to be anybody's: examples of documentation,
or made up around their check digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_MARK = re.compile(r"<<(\w+)\|(.*?)>>")


@dataclass(frozen=True)
class Marked:
    """A string of the corpus, without its marks, and what stands where in it."""

    country: str
    text: str
    contacts: tuple[tuple[int, int, str], ...]
    scrubbed: str


def corpus() -> list[Marked]:
    """All strings of both files."""
    folder = Path(__file__).parent
    return [
        _marked(*line.replace("\\n", "\n").split("\t", 1))
        for name in ("corpus_found.tsv", "corpus_stay.tsv")
        for line in (folder / name).read_text("utf-8").split("\n")
        if line
    ]


def _marked(country: str, marked: str) -> Marked:
    places, dropped = [], 0
    for mark in _MARK.finditer(marked):
        start = mark.start() - dropped
        places.append((start, start + len(mark[2]), mark[1]))
        dropped += len(mark[0]) - len(mark[2])
    text = _MARK.sub(lambda mark: mark[2], marked)
    return Marked(country, text, tuple(places), _MARK.sub(lambda mark: f"[{mark[1]}]", marked))
