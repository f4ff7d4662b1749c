"""Rows with the same key: one wins (`winning_row`), the others are removed or quarantined.

A loser that says what the winner says is removed as `duplicate`. Rows are compared by the
contract's columns: what differs only in raw columns that are not mapped is a copy. A loser that
differs is removed as `superseded` where the source says which row is the latest, and else
quarantined as `<key>_conflict`.
"""

from __future__ import annotations

import numpy as np

from pipeline.cleaning.rows.row_rules import REMOVED
from pipeline.cleaning.user_days.row_arrays import Outcomes, Rows


def resolve_duplicates(rows: Rows, outcomes: Outcomes, differs: tuple[str, str]) -> None:
    """Remove or quarantine the good rows that lose against another row of their key.

    Args:
        rows: whole groups; rows with one key are in one of them.
        outcomes: of the rows.
        differs: outcome and reason of a loser that does not say what the winner says.
    """
    at = np.flatnonzero(outcomes.is_good)
    key = rows.key.take(at).dictionary_encode()
    keys = len(key.dictionary)
    if keys == len(at):
        return
    pair = rows.group[at] * keys + key.indices.to_numpy()
    order = np.lexsort((rows.rank[at], pair))
    at, pair = at[order], pair[order]
    wins = np.concatenate([[True], pair[1:] != pair[:-1]])
    winner = at[np.maximum.accumulate(np.where(wins, np.arange(len(at)), 0))]
    copies = ~wins & (rows.content[at] == rows.content[winner])
    outcomes.set(at[copies], REMOVED, "duplicate")
    outcomes.set(at[~wins & ~copies], *differs)
