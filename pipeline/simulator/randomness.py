"""Keyed random streams: what day N draws depends on the seed, the day and the purpose alone.

So a simulation of 31 days begins with the same bytes as one of 30, and a new kind of draw does
not shift the others. Reads and writes nothing.
"""

from __future__ import annotations

import numpy as np

BEFORE_OPENING = -1  # the "day" of draws that shape the shop itself


def stream(seed: int, day: int, purpose: str) -> np.random.Generator:
    """An independent generator for one purpose on one day."""
    # SeedSequence mixes the words into a 128-bit pool, so near seeds do not give near streams.
    words = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, day + 1, *purpose.encode()]
    return np.random.default_rng(np.random.SeedSequence(words))
