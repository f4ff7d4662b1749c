"""Of rows with the same key, one wins.

A loser that says what the winner says (of events and reviews the contract's columns, of items and
users the whole raw row) is removed as `duplicate`. One that differs is removed
as `superseded` where the source says which row is the latest, and else quarantined as
`<key>_conflict`. The winner is the latest by the delivery and then by the source's own order, else
the earliest; then the smaller hash of the row. Of two answers about one user of which neither is
known to be the later, the refusal wins.
"""

from __future__ import annotations

import numpy as np

from pipeline.cleaning.tagging import REMOVED
from pipeline.cleaning.verdicts import Rows, Verdicts


def without_duplicates(rows: Rows, verdicts: Verdicts, differs: tuple[str, str]) -> None:
    """Say of the good rows which of them lose.

    Args:
        rows: whole groups; rows with one key are in one of them.
        verdicts: of the rows.
        differs: fate and reason of a loser that does not say what the winner says.
    """
    at = np.flatnonzero(verdicts.is_good)
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
    verdicts.say(at[copies], REMOVED, "duplicate")
    verdicts.say(at[~wins & ~copies], *differs)
