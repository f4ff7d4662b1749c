"""Events of the simulated shop as columns: one array entry an event. Reads and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from pipeline.simulator.catalogue import Flags, Floats, Ints

VIEW, CART, PURCHASE, RETURN, SEARCH = range(5)
EVENT_TYPES = ("view", "add_to_cart", "purchase", "return", "search")


@dataclass
class Events:
    """Columns of events. `item`, `session`, `query` and `quantity` are -1 where there is none."""

    second: Ints  # since the day began
    kind: npt.NDArray[np.int8]
    user: Ints
    item: Ints
    session: Ints
    quantity: Ints
    price: Floats  # NaN where there is none
    query: Ints

    def __len__(self) -> int:
        return len(self.second)

    def take(self, rows: Ints | Flags) -> Events:
        """Some of the rows, in the order asked for."""
        return Events(**{entry.name: getattr(self, entry.name)[rows] for entry in fields(self)})


def join_events(parts: list[Events]) -> Events:
    """All rows of all parts, part after part."""
    return Events(
        **{
            entry.name: np.concatenate([getattr(part, entry.name) for part in parts])
            for entry in fields(Events)
        }
    )


def no_events() -> Events:
    """Zero rows, with the right types."""
    whole = np.zeros(0, dtype=np.int64)
    kind = np.zeros(0, dtype=np.int8)
    return Events(whole, kind, whole, whole, whole, whole, np.zeros(0), whole)
