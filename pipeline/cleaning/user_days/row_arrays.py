"""Rows as arrays for the rules over several rows, and the outcomes that the rules set.

NumPy and Arrow, no Spark. Spark gives the rows of a task in order, in batches. `whole_groups` cuts
them so that no group (a user's own day; one item or user of a delivery) is seen in part. A rule is
a function of a few arrays that calls `Outcomes.set`. Only columns that rules read come here; the
rows themselves stay with Spark, which spills them where a group is very large.

Gives up: a 64-bit hash of what a group has in common tells groups apart, so one pair in 2^64 of
groups that follow each other would be taken for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# The columns of `removed_events` beside the event and the rule, in Arrow's types and in Spark's.
EVIDENCE_FIELDS = {
    "bot_rules": (pa.list_(pa.string()), "array<string>"),
    "n_events": (pa.int64(), "bigint"),
    "n_items": (pa.int64(), "bigint"),
    "median_gap_seconds": (pa.float64(), "double"),
    "repeats_event_id": (pa.string(), "string"),
}
_EVIDENCE = pa.struct({name: kind for name, (kind, _) in EVIDENCE_FIELDS.items()})  # type: ignore[arg-type]
EVIDENCE_TYPE = (
    f"struct<{','.join(f'{name}:{kind}' for name, (_, kind) in EVIDENCE_FIELDS.items())}>"
)
OUTCOME_TYPE = f"struct<outcome:string,reason:string,evidence:{EVIDENCE_TYPE}>"
_OUTCOME = pa.struct({"outcome": pa.string(), "reason": pa.string(), "evidence": _EVIDENCE})  # type: ignore[arg-type]

ACT_TYPES = ("view", "wishlist", "cart", "purchase", "return", "search")


@dataclass(frozen=True)
class Acts:
    """The columns of events beside those of every row."""

    type: NDArray[np.int8]  # its place in ACT_TYPES; -1 of none
    time: Ints  # microseconds
    thing: Ints  # a hash of the item, or of a search's words

    def is_one_of(self, types: Iterable[str]) -> Bools:
        """Which acts are of some types."""
        return np.isin(self.type, [ACT_TYPES.index(name) for name in types])


@dataclass(frozen=True)
class Rows:
    """Whole groups in the order of Spark; every array has one entry a row."""

    group: Ints  # ascending from 0
    is_good: Bools  # by itself: rules over several rows ask no others
    key: pa.Array[Any]  # strings
    content: Ints  # a hash, equal for rows that say the same
    rank: Ints  # the smallest wins among rows with one key
    acts: Acts | None = None


class Outcomes:
    """The outcomes of rows that do not stay: one a row, of rows that were good until then."""

    def __init__(self, is_good: Bools) -> None:
        self.is_good = is_good.copy()
        self._rows: list[Ints] = []
        self._outcomes: list[pa.StructArray] = []

    def set(self, rows: Ints, outcome: str, reason: str, **evidence: Any) -> None:
        """Set the outcome of rows that were good until now.

        Args:
            rows: their places.
            outcome: removed or quarantined.
            reason: the rule.
            evidence: what the rule saw, by the names of `EVIDENCE_FIELDS`, one entry a row.
        """
        if not len(rows):
            return
        assert self.is_good[rows].all()
        self.is_good[rows] = False
        number = len(rows)
        seen = pa.nulls(number, _EVIDENCE)
        if evidence:
            fields = [
                pa.array(evidence[name], kind) if name in evidence else pa.nulls(number, kind)  # type: ignore[call-overload]
                for name, (kind, _) in EVIDENCE_FIELDS.items()
            ]
            seen = pa.StructArray.from_arrays(fields, fields=list(_EVIDENCE))
        columns = [pa.repeat(outcome, number), pa.repeat(reason, number), seen]
        self._rows.append(rows)
        self._outcomes.append(pa.StructArray.from_arrays(columns, fields=list(_OUTCOME)))

    def to_arrow(self) -> pa.StructArray:
        """One entry a row, null for a row that is left as it is."""
        number = len(self.is_good)
        if not self._rows:
            return pa.nulls(number, _OUTCOME)
        rows = np.concatenate(self._rows)
        place = np.full(number, -1, np.int64)
        place[rows] = np.arange(len(rows))
        return pa.concat_arrays(self._outcomes).take(pa.array(place, mask=place < 0))  # type: ignore[arg-type]


def whole_groups(
    batches: Iterable[tuple[pa.Array[Any], ...]],
) -> Iterator[tuple[pa.Array[Any], ...]]:
    """The same rows in the same order, in batches that begin and end with a group.

    Args:
        batches: arrays of one length; the first has one value for each group.
    """
    held: list[tuple[pa.Array[Any], ...]] = []
    for batch in batches:
        of = batch[0].to_numpy()
        if not len(of):
            continue
        starts = np.flatnonzero(of[1:] != of[:-1]) + 1
        last = int(starts[-1]) if len(starts) else 0
        if last:
            whole = [*held, tuple(column[:last] for column in batch)]
            yield _in_one(whole)
            held = []
        held.append(tuple(column[last:] for column in batch))
    if held:
        yield _in_one(held)


def _in_one(batches: list[tuple[pa.Array[Any], ...]]) -> tuple[pa.Array[Any], ...]:
    # Texts of one array with 32-bit offsets end at 2 GB: a user's day of ten million long ids.
    return tuple(
        pa.concat_arrays(
            [part.cast(pa.large_string()) if pa.types.is_string(part.type) else part for part in of]
        )
        for of in zip(*batches, strict=True)
    )


def groups_of(together: pa.Array[Any]) -> Ints:
    """The number of each row's group, from 0."""
    of = together.to_numpy()
    return np.concatenate([[0], np.cumsum(of[1:] != of[:-1])]).astype(np.int64)
