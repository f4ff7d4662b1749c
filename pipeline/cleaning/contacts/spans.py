"""Places in a text: what is to be replaced there, and runs of digits to be looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Span(NamedTuple):
    """`text[start:end]` is of a kind: `email`, `card`, `phone`, `iban`, `id` or `token`."""

    start: int
    end: int
    kind: str


class Taken:
    """Which characters of a text are spoken for."""

    def __init__(self, length: int) -> None:
        self._marks = bytearray(length)

    def take(self, start: int, end: int) -> None:
        """Nothing else is looked for from `start` to before `end`."""
        self._marks[start:end] = b"\x01" * (end - start)

    def any(self, start: int, end: int) -> bool:
        """Whether one of these characters is taken."""
        return 1 in self._marks[start:end]


@dataclass(frozen=True)
class Run:
    """Groups of digits that stand close together; `gaps[i]` is between the groups i and i + 1."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The digits of each group."""
        return tuple(self.text[a:b] for a, b in zip(self.starts, self.ends, strict=True))

    def gap(self, after: int) -> str:
        """What stands between the group `after` and the next."""
        return self.text[self.ends[after] : self.starts[after + 1]]


# Some writers take a second space, a space around the slash, or brackets around an area code.
_GAP = re.compile(r"[ \-./_,:()*~+]{1,4}\Z|\n\Z")
_DIGITS = re.compile(r"[0-9]+")
# More than so many numbers in a row are a table: looking at each of them would take seconds.
_MAX_GROUPS = 2000


def runs(text: str, taken: Taken) -> list[Run]:
    """The runs of digits of a text that are not taken, each as long as it gets."""
    found: list[Run] = []
    starts: list[int] = []
    ends: list[int] = []

    def close() -> None:
        if 0 < len(starts) <= _MAX_GROUPS:
            found.append(Run(text, tuple(starts), tuple(ends)))
        starts.clear()
        ends.clear()

    for match in _DIGITS.finditer(text):
        start, end = match.span()
        if taken.any(start, end):
            close()
            continue
        if starts and (taken.any(ends[-1], start) or not _GAP.match(text[ends[-1] : start])):
            close()
        starts.append(start)
        ends.append(end)
    close()
    return found


def replaced(text: str, spans: Sequence[Span]) -> str:
    """The text with `[kind]` in the place of each span; the spans do not overlap."""
    pieces, done = [], 0
    for start, end, kind in sorted(spans):
        pieces += [text[done:start], f"[{kind}]"]
        done = end
    return "".join([*pieces, text[done:]])
