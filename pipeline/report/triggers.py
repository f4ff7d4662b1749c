"""The triggers of a night, counted, for its page.

Reads the manifest of `triggers` and the ledger's lines of the stage `target`. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.datasets import HISTORIES, TRIGGERS
from pipeline.lake import Partition
from pipeline.ledger import LedgerLine
from pipeline.stages import TARGET


@dataclass(frozen=True)
class TriggerCounts:
    """How many there are, of which kinds, and what was left out.

    Attributes:
        n: of all.
        n_users: shoppers with at least one.
        n_all_users: shoppers of the histories.
        kinds: from the most frequent one on.
        left_out: candidates that a cap or the past kept back, by reason.
        without: shoppers who get none, by reason.
    """

    n: int
    n_users: int
    n_all_users: int
    kinds: tuple[tuple[str, int], ...]
    left_out: tuple[tuple[str, int], ...]
    without: tuple[tuple[str, int], ...]


def read_triggers(triggers: Partition, ledger: Iterable[LedgerLine]) -> TriggerCounts:
    """Count a night's triggers."""
    lines = {line.dataset: line for line in ledger if line.stage == TARGET}
    shoppers, candidates = lines[HISTORIES], lines[TRIGGERS]
    return TriggerCounts(
        triggers.rows,
        shoppers.rows_out,
        shoppers.rows_in,
        _most_first(triggers.manifest["kinds"]),
        _most_first(candidates.removed),
        _most_first(shoppers.removed),
    )


def _most_first(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))
