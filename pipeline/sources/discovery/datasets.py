"""Which table is which dataset: events, items, users, reviews, and tables that only help them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.sources.discovery.roles import Known
from pipeline.sources.discovery.words import table_scores


@dataclass
class Choice:
    """The table of each dataset, and why others have none."""

    tables: dict[str, Known] = field(default_factory=dict)
    unused: list[tuple[Known, str]] = field(default_factory=list)


def chosen_tables(tables: Sequence[Known]) -> Choice:
    """The best table of each dataset; a table serves one dataset, or its rows several."""
    choice = Choice()
    left = list(tables)
    for dataset, merit in (
        ("reviews", _review_merit),
        ("events", _event_merit),
        ("items", _item_merit),
        ("users", _user_merit),
    ):
        scored = [(merit(known), place, known) for place, known in enumerate(left)]
        scored = [one for one in scored if one[0] > 0]
        if not scored:
            continue
        _, _, best = max(scored, key=lambda one: (one[0], one[2].table.rows, -one[1]))
        choice.tables[dataset] = best
        left.remove(best)
        choice.unused += [
            (known, f"also looks like {dataset}; a dataset reads one kind of file")
            for _, _, known in scored
            if known is not best and _is_nothing_else(known, dataset)
        ]
    said = [known for known, _ in choice.unused]
    choice.unused += [
        (known, "no dataset needs it as it is")
        for known in tables
        if known not in choice.tables.values() and known not in said
    ]
    choice.unused = [
        (known, why) for known, why in choice.unused if known not in choice.tables.values()
    ]
    return choice


def _is_nothing_else(known: Known, dataset: str) -> bool:
    merits = {
        "reviews": _review_merit,
        "events": _event_merit,
        "items": _item_merit,
        "users": _user_merit,
    }
    return not any(merit(known) > 0 for name, merit in merits.items() if name != dataset)


def _name_says(known: Known, dataset: str) -> float:
    scores = table_scores(known.table.name)
    return 2.0 * min(1, scores[dataset]) - 0.5 * any(
        n for name, n in scores.items() if name != dataset
    )


def _review_merit(known: Known) -> float:
    if not known.has("rating"):
        return 0.0
    if not known.has("item_id") and not (known.has("order_id") and known.has("review_text")):
        return 0.0
    if known.has("event_type") and known.of("event_type").event_words:
        return 0.0
    if not known.has("user_id") and not known.has("review_text"):
        return 0.0  # an average of an item's stars
    if known.has("title", "brand") and not known.has("review_text"):
        return 0.0
    return 4.0 + known.has("review_text") + known.has("time") + _name_says(known, "reviews")


def _event_merit(known: Known) -> float:
    words = known.has("event_type") and bool(known.of("event_type").event_words)
    is_dated = known.has("time") and (known.has("user_id") or known.has("session_id"))
    if not known.has("item_id"):
        return 2.0 if is_dated and words else 0.0  # it will be said what is missing
    if is_dated:
        if known.of("item_id").unlike == 1 and known.has("title") and not words:
            return 0.0  # a catalogue that says who made an entry, and when
        return 7.0 + 2 * words + _name_says(known, "events")
    if known.has("order_id"):  # lines of orders that another file knows more of
        return 3.0 + known.has("quantity") + known.has("price") + _name_says(known, "events")
    if known.has("user_id") and known.of("item_id").unlike < 1:
        return 1.5 + _name_says(known, "events")
    return 0.0


def _item_merit(known: Known) -> float:
    if not known.has("item_id") or known.has("user_id") or known.has("order_id"):
        return 0.0
    words = sum(known.has(role) for role in ("title", "brand", "category", "stock", "listed"))
    words += known.has("price")
    unique = known.of("item_id").unlike
    if not words or unique < 0.3:
        return 0.0
    return words * unique + _name_says(known, "items")


def _user_merit(known: Known) -> float:
    if not known.has("user_id") or known.has("item_id"):
        return 0.0
    words = sum(known.has(role) for role in ("consent", "refusal", "language", "region"))
    unique = known.of("user_id").unlike
    if unique < 0.5 or known.has("order_id"):
        return 0.0
    return words + 2 * unique + _name_says(known, "users")
