"""What rules over several rows see, as arrays, and what they say of them. NumPy and Arrow, no Spark.

Spark gives the rows of a task in order, in batches. `whole_groups` cuts them so that no group (a
user's own day; one item or user of a delivery) is seen in part, and a rule is then a function of a
few arrays that calls `Verdicts.say`. Only columns that rules ask for come here; the rows themselves
stay with Spark, which spills them where a group is very large.

Gives up: groups are told apart by a 64-bit hash of what they have in common, so of two groups that
follow each other, one pair in 2^64 would be taken for one.
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

# What `removed_events` says beside the event and the rule, in Arrow's types and in Spark's.
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
VERDICT_TYPE = f"struct<fate:string,reason:string,evidence:{EVIDENCE_TYPE}>"
VERDICT = pa.struct({"fate": pa.string(), "reason": pa.string(), "evidence": _EVIDENCE})  # type: ignore[arg-type]

ACT_TYPES = ("view", "cart", "purchase", "return", "search")


@dataclass(frozen=True)
class Acts:
    """What is asked of events beside what is asked of every row."""

    type: NDArray[np.int8]  # its place in ACT_TYPES; -1 of none
    time: Ints  # microseconds
    thing: Ints  # a hash of the item; of a search, of its words

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
    rank: Ints  # of rows with one key, the smallest wins
    acts: Acts | None = None


class Verdicts:
    """What becomes of rows that do not stay: one word a row, of rows that were good until then."""

    def __init__(self, is_good: Bools) -> None:
        self.is_good = is_good.copy()
        self._rows: list[Ints] = []
        self._said: list[pa.StructArray] = []

    def say(self, rows: Ints, fate: str, reason: str, **evidence: Any) -> None:
        """Rows that were good are so no longer.

        Args:
            rows: which.
            fate: what they meet.
            reason: why.
            evidence: what was seen, by the names of `EVIDENCE_FIELDS`, one entry a row.
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
        said = [pa.repeat(fate, number), pa.repeat(reason, number), seen]
        self._rows.append(rows)
        self._said.append(pa.StructArray.from_arrays(said, fields=list(VERDICT)))

    def to_arrow(self) -> pa.StructArray:
        """One entry a row, null for a row that is left as it is."""
        number = len(self.is_good)
        if not self._rows:
            return pa.nulls(number, VERDICT)
        rows = np.concatenate(self._rows)
        place = np.full(number, -1, np.int64)
        place[rows] = np.arange(len(rows))
        return pa.concat_arrays(self._said).take(pa.array(place, mask=place < 0))  # type: ignore[arg-type]


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
