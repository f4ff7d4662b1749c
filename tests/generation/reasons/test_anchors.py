"""What a recommendation is presented with."""

from __future__ import annotations

import pytest

from pipeline.generation.reasons.anchors import choose_anchor
from pipeline.generation.reasons.voice import BOUGHT, CHOSEN, RATED, SEEN

TITLES = {name: name.upper() for name in "abcde"}


@pytest.mark.parametrize(
    ("events", "kind", "item"),
    [
        ("", CHOSEN, None),
        ("a:purchase b:view", BOUGHT, "a"),
        ("a:purchase b:purchase", BOUGHT, "b"),
        ("a:purchase b:purchase b:return", BOUGHT, "a"),
        ("a:purchase a:return", CHOSEN, None),
        ("a:view b:rating", RATED, "b"),
        ("a:rating b:purchase", BOUGHT, "b"),
        ("a:view b:cart", SEEN, "b"),
        ("a:view b:wishlist", SEEN, "b"),
        ("a:view untitled:view", SEEN, "a"),
        ("r:purchase a:view", SEEN, "a"),  # never the recommended item itself
        ("r:purchase", CHOSEN, None),
    ],
)
def test_the_best_fact_of_the_past(events: str, kind: str, item: str | None) -> None:
    pairs = [event.split(":") for event in events.split()]
    titles = TITLES | {"r": "R"}
    found = choose_anchor([p[0] for p in pairs], [p[1] for p in pairs], "r", titles)
    assert found == (kind, item)
