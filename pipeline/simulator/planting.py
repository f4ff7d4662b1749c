"""Choosing rows for faults, and laying out a file so that every fault's line is known.

A row gets at most one fault, so that each has one expected outcome. Reads and writes nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from pipeline.simulator.catalogue import Flags
from pipeline.simulator.faults import Fault, Kind, kinds_of

_CUT_LAST_LINE_RATE = 0.02  # files a day whose last line the retailer's export cut off


@dataclass(frozen=True)
class Mark:
    """A row's fault, before its line is known."""

    kind: Kind
    needle: str | None = None


class Planter:
    """Chooses rows of one file on one day."""

    def __init__(self, draw: np.random.Generator, file: str, dirt: float, n_rows: int) -> None:
        self.draw = draw
        self.dirt = dirt
        self.kinds = kinds_of(file)
        self.n_rows = n_rows
        self.marks: dict[int, Mark] = {}
        self._clean = np.ones(n_rows, dtype=np.bool_)

    def choose(self, name: str, eligible: Flags | None = None) -> list[int]:
        """Some clean rows, ascending, now marked with that kind of fault."""
        pool = np.flatnonzero(self._clean if eligible is None else self._clean & eligible)
        kind = self.kinds[name]
        wanted = int(self.draw.poisson(kind.rate * self.dirt * len(pool)))
        chosen = self.draw.choice(pool, min(wanted, len(pool)), replace=False)
        rows: list[int] = np.sort(chosen).tolist()
        for row in rows:
            self.mark(row, name)
        return rows

    def mark(self, row: int, name: str, needle: str | None = None) -> None:
        """Say that a row has a fault; rows beyond the first `n_rows` may be marked too."""
        self.marks[row] = Mark(self.kinds[name], needle)
        if row < len(self._clean):
            self._clean[row] = False


@dataclass(frozen=True)
class Page:
    """A file's text and the faults in it."""

    text: str
    n_lines: int
    faults: list[Fault]


def lay_out(
    planter: Planter,
    day: dt.date,
    lines: list[str],
    ids: list[str],
    *,
    left_out: list[int] | None = None,
    header: str | None = None,
) -> Page:
    """The file: lines in order, copies put after their originals, some lines cut.

    Args:
        planter: holds the marks of the rows that have a fault already.
        day: the day of delivery.
        lines: one text per row, without line breaks.
        ids: the row's id, for the record; quotation marks around it are dropped.
        left_out: rows that are not delivered today.
        header: a first line (CSV); without one, lines are JSON, which can be cut.
    """
    draw, n_rows = planter.draw, len(lines)
    copied, cut = [], []
    if planter.dirt:
        copied = planter.choose("duplicate")
        cut = planter.choose("truncated") if header is None else []
    for row in cut:
        lines[row] = _cut(draw, lines[row])
    # Half of the copies follow at once, half come anywhere later in the file.
    later = np.where(draw.random(len(copied)) < 0.5, 0.0, draw.random(len(copied)))
    behind = np.array(copied, dtype=np.int64)
    place = np.concatenate(
        [np.arange(n_rows), behind + 0.5 + (later * (n_rows - behind)).astype(int)]
    )
    # Rows that came in the post lie anywhere among the day's own.
    place[planter.n_rows : n_rows] = draw.random(n_rows - planter.n_rows) * n_rows
    order = np.argsort(place, kind="stable")
    order = order[~np.isin(order, np.array(left_out or [], dtype=np.int64))]
    source = np.concatenate([np.arange(n_rows), behind])
    body = [lines[row] for row in source[order].tolist()]

    line_of = np.full(len(place), -1)
    line_of[order] = np.arange(len(order)) + (1 if header is None else 2)
    found = [(n_rows + number, planter.marks[row]) for number, row in enumerate(copied)]
    originals = set(copied)
    found += [(row, mark) for row, mark in planter.marks.items() if row not in originals]
    faults = [
        Fault(day, mark.kind, int(line_of[at]), ids[source[at]].strip('"'), mark.needle)
        for at, mark in found
        if line_of[at] > 0
    ]
    ending = "\n"
    cut_last = draw.random() < _CUT_LAST_LINE_RATE * planter.dirt
    if header is None and body and cut_last and source[order[-1]] not in planter.marks:
        body[-1] = _cut(draw, body[-1])
        last = ids[source[order[-1]]].strip('"')
        faults.append(Fault(day, planter.kinds["truncated"], len(body), last, None))
        ending = ""
    whole = body if header is None else [header, *body]
    faults.sort(key=lambda fault: fault.line)
    return Page("\n".join(whole) + (ending if whole else ""), len(whole), faults)


def _cut(draw: np.random.Generator, line: str) -> str:
    """A part of the line from its beginning: never valid JSON, never blank."""
    return line[: int(draw.integers(1, len(line) - 1))]
