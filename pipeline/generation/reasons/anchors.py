"""The anchor of a recommendation: the item of the user's past in "because you bought this".

The anchor is the newest purchase that was not returned, else the newest rating, else the newest
view, wish or cart. It is never the recommended item itself and never an item without a title.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.generation.reasons.voice import BOUGHT, CHOSEN, RATED, SEEN

_KIND_OF_EVENT = {
    "purchase": BOUGHT,
    "rating": RATED,
    "view": SEEN,
    "wishlist": SEEN,
    "cart": SEEN,
}
_ORDER = (BOUGHT, RATED, SEEN)


def choose_anchor(
    item_ids: Sequence[str],
    event_types: Sequence[str],
    recommended: str,
    titles: Mapping[str, str],
) -> tuple[str, str | None]:
    """The kind of anchor and its item; `CHOSEN` and none where no item of the past qualifies.

    Args:
        titles: of every item of the catalogue that has one.
    """
    returned: set[str] = {recommended}
    newest: dict[str, str] = {}
    for item_id, event_type in zip(reversed(item_ids), reversed(event_types), strict=True):
        if event_type == "return":
            returned.add(item_id)
        kind = _KIND_OF_EVENT.get(event_type)
        if kind is None or kind in newest or item_id in returned or item_id not in titles:
            continue
        newest[kind] = item_id
        if kind == BOUGHT:
            break
    return next(((kind, newest[kind]) for kind in _ORDER if kind in newest), (CHOSEN, None))
