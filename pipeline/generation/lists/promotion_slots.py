"""Which item a promotion gives a user, and which place it gets in the list.

A promotion gives the first of its items that the user may get. It gets the place that the promotion
asks for or, where an earlier promotion has it, the next free one. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from pipeline.generation.lists.promotions import Promotion


@dataclass(frozen=True)
class PromotedItem:
    """An item that a promotion wants at a place, counted from 1."""

    name: str
    slot: int
    item: int


def promoted_items(
    promotions: Sequence[Promotion],
    language: str | None,
    region: str | None,
    categories: Set[str],
    *,
    place_of: Mapping[str, int],
    refused: Set[int],
) -> tuple[PromotedItem, ...]:
    """The items that a night's promotions give a user, in their order, no item twice.

    Args:
        categories: of what is in the user's past.
        place_of: the place of each candidate, by item id.
        refused: places of candidates that the user may not get, or has had and ignored.
    """
    promoted: list[PromotedItem] = []
    for promotion in promotions:
        if not promotion.is_for(language, region, categories):
            continue
        taken = {other.item for other in promoted}
        places = (place_of[item] for item in promotion.items if item in place_of)
        allowed = (place for place in places if place not in refused and place not in taken)
        item = next(allowed, None)
        if item is not None:
            promoted.append(PromotedItem(promotion.name, promotion.slot, item))
    return tuple(promoted)


def items_by_slot(promoted: Sequence[PromotedItem], k: int) -> dict[int, int]:
    """The item at each promoted place of a list: its own or the next that is free, each once."""
    slots: dict[int, int] = {}
    for one in promoted:
        free = [place for place in range(one.slot, k + 1) if place not in slots]
        if free and one.item not in slots.values():
            slots[free[0]] = one.item
    return dict(sorted(slots.items()))


def with_promoted(others: Sequence[int], slots: Mapping[int, int], k: int) -> list[int]:
    """The list: promoted items at their places, the others around them; no place stays empty."""
    left, promoted = list(others), dict(slots)
    ordered: list[int] = []
    for place in range(1, k + 1):
        if place in promoted:
            ordered.append(promoted.pop(place))
        elif left:
            ordered.append(left.pop(0))
    return [*ordered, *promoted.values()][:k]
