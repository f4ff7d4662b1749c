"""Which column of a table is what: by its name, as far as its values allow it.

A role is one of `words.ROLES`. Each role has one field at most, and each field one role: the best
score first. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.sources.discovery.formats import Field, Table
from pipeline.sources.discovery.times import Times, times_of
from pipeline.sources.discovery.values import Values
from pipeline.sources.discovery.words import (
    ROLES,
    name_score,
    speaks_against,
    table_scores,
    tokens,
)

LEAST_SCORE = 0.4
_ID_OF = {"items": "item_id", "users": "user_id", "reviews": "review_id", "events": "order_id"}
_IDS = ("user_id", "item_id", "order_id", "session_id", "event_id", "review_id")


@dataclass
class Known:
    """A table with what its columns are."""

    table: Table
    roles: dict[str, Field]
    values: dict[str, Values]
    times: dict[str, Times]
    by_position: list[str] = field(default_factory=list)  # roles that no name says
    rivals: dict[str, str] = field(default_factory=dict)  # role -> another column of equal claim

    def has(self, *roles: str) -> bool:
        """Whether the table has all these roles."""
        return all(role in self.roles for role in roles)

    def of(self, role: str) -> Values:
        """The values of a role's field."""
        return self.values[self.roles[role].name]

    def time(self, role: str = "time") -> Times | None:
        """How a role's times are written, if it has such a field."""
        return self.times.get(self.roles[role].name) if role in self.roles else None


def known_columns(table: Table) -> Known:
    """The roles of a table's columns."""
    values = {one.name: Values(one.values) for one in table.fields}
    times = {}
    for one in table.fields:
        says = name_score(one.name, "time") > 0 or not _has_names(table)
        found = times_of(values[one.name].given, name_says_time=says)
        if found:
            times[one.name] = found
    known = Known(table, {}, values, times)
    reviews = any(_score(one, "rating", known) >= LEAST_SCORE for one in table.fields)
    roles = [role for role in ROLES if reviews or not role.startswith("review_")]
    scored = []
    for place, one in enumerate(table.fields):
        if not values[one.name].given or _is_nested(values[one.name]):
            continue
        for role in roles:
            score = _score(one, role, known)
            if score >= LEAST_SCORE:
                scored.append((-score, place, role, one))
    taken: set[str] = set()
    claims: dict[str, float] = {}
    for merit, _, role, one in sorted(scored, key=lambda entry: entry[:3]):
        claims.setdefault(role, merit)
        if role in known.roles:
            equal = one.name not in taken and merit <= claims[role] + 0.15
            if equal and role in ("user_id", "item_id", "time"):
                known.rivals.setdefault(role, one.name)
        elif one.name not in taken:
            known.roles[role] = one
            taken.add(one.name)
    if not _has_names(table):
        _by_position(known, taken)
    return known


def _has_names(table: Table) -> bool:
    return table.options.get("header") is not False or table.header_row is not None


def _score(one: Field, role: str, known: Known) -> float:
    said = name_score(one.name, role)
    values = known.values[one.name]
    if tokens(one.name) in (("id",), ("nr",), ("no",), ("code",)):
        noun = _noun(known.table)
        said = 0.9 if noun and _ID_OF[noun] == role else 0.0
    if role == "time" and one.name in known.times and not speaks_against(tokens(one.name), role):
        said = max(said, 0.0 if known.times[one.name].is_date else 0.5)
    if role == "event_type" and _few_event_words(values):
        said = max(said, 0.9 if said else 0.6)
    if not said:
        return 0.0
    return said * _GATES.get(role, _any)(one, values, known)


def _is_nested(values: Values) -> bool:
    return all(text[0] in "{[" for text in values.given[:100])


def _noun(table: Table) -> str:
    scores = table_scores(table.name)
    best = max(scores, key=lambda name: scores[name])
    if "line" in tokens(table.name) or "lines" in tokens(table.name):
        return ""  # its ids are those of lines
    return best if scores[best] else ""


def _few_event_words(values: Values) -> bool:
    known = [word for word, meaning in values.event_words.items() if meaning]
    return bool(known) and len(values.counts) <= 60 and len(known) >= 0.2 * len(values.counts)


# -- what values allow, from 0 to 1 ------------------------------------------------------------


def _any(_one: Field, _values: Values, _known: Known) -> float:
    return 1.0


def _time(one: Field, values: Values, known: Known) -> float:
    times = known.times.get(one.name)
    if times is None:
        return 0.0
    fits = 0.85 if times.is_date else 1.0
    fits *= 1.0 if times.formats else 0.95
    # Of two columns that say the same moment, the one that has an offset needs no time zone.
    fits *= 0.97 if times.is_local else 1.0
    return fits * (0.5 + 0.5 * values.filled)


def _id(one: Field, values: Values, known: Known) -> float:
    if values.mean_length > 80 or (one.name in known.times and name_is_time(one.name)):
        return 0.0
    numbers = values.numbers
    if numbers and not numbers.is_whole:
        return 0.0
    return 0.6 + 0.4 * values.filled


def name_is_time(name: str) -> bool:
    """Whether a name says that its column is a time."""
    return name_score(name, "time") >= LEAST_SCORE


def _event_type(_one: Field, values: Values, _known: Known) -> float:
    if len(values.counts) > 200 or values.mean_length > 60 or values.yes_and_no:
        return 0.0
    if _few_event_words(values):
        return 1.0
    return 0.6 if len(values.counts) <= 20 and values.unlike < 0.5 else 0.0


def _number(_one: Field, values: Values, _known: Known) -> float:
    return 1.0 if values.numbers else 0.0


def _price(one: Field, values: Values, known: Known) -> float:
    numbers = values.numbers
    if not numbers or numbers.high > 1e8 or one.name in known.times:
        return 0.0
    return 1.0


def _quantity(_one: Field, values: Values, _known: Known) -> float:
    numbers = values.numbers
    return 1.0 if numbers and numbers.is_whole and numbers.high < 1e6 else 0.0


def _rating(_one: Field, values: Values, _known: Known) -> float:
    numbers = values.numbers
    if not numbers or numbers.low < 0 or numbers.high > 100 or len(values.counts) > 101:
        return 0.0
    return 1.0 if numbers.high <= 10 else 0.6


def _flag(_one: Field, values: Values, _known: Known) -> float:
    return 1.0 if values.yes_and_no else 0.0


def _answer(_one: Field, values: Values, _known: Known) -> float:
    return 1.0 if 0 < len(values.counts) <= 12 else 0.0


def _language(_one: Field, values: Values, _known: Known) -> float:
    tags = sum(
        n
        for text, n in values.counts.items()
        if re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", text)
    )
    return 1.0 if tags >= 0.8 * len(values.given) else 0.0


def _words_not_numbers(one: Field, values: Values, known: Known) -> float:
    if _few_event_words(values):
        return 0.3
    if one.name in known.times or values.numbers or values.mean_length > 400:
        return 0.0
    return 1.0


def _text(one: Field, values: Values, known: Known) -> float:
    if one.name in known.times or values.numbers:
        return 0.0
    return min(1.0, 0.5 + values.mean_length / 60)


def _category(one: Field, values: Values, known: Known) -> float:
    if one.name in known.times or values.mean_length > 200:
        return 0.0
    weight = 0.6 if values.numbers else 1.0  # a number says less than words do
    return weight * (1.0 if values.unlike < 0.9 or len(values.given) < 50 else 0.4)


def _region(_one: Field, values: Values, _known: Known) -> float:
    return 1.0 if values.mean_length <= 60 and not values.numbers else 0.0


_GATES: Mapping[str, Callable[[Field, Values, Known], float]] = {
    "time": _time,
    **dict.fromkeys(_IDS, _id),
    "event_type": _event_type,
    "quantity": _quantity,
    "price": _price,
    "rating": _rating,
    "stock": _number,
    "sequence": _number,
    "listed": _flag,
    "consent": _answer,
    "refusal": _answer,
    "language": _language,
    "region": _region,
    "title": _words_not_numbers,
    "brand": _words_not_numbers,
    "query": _words_not_numbers,
    "category": _category,
    "review_title": _words_not_numbers,
    "review_text": _text,
}


def _by_position(known: Known, taken: set[str]) -> None:
    """Roles of columns without names: what the values say, then ids in their usual order."""
    left = [one for one in known.table.fields if one.name not in taken]
    for one in left:
        values, role = known.values[one.name], ""
        numbers = values.numbers
        if one.name in known.times:
            role = "time"
        elif _few_event_words(values):
            role = "event_type"
        elif numbers and not numbers.is_whole and 0 < numbers.high < 1e6:
            role = "price"
        elif values.mean_length > 40:
            role = "review_text"
        elif values.given and values.mean_length <= 80:
            ids = ("user_id", "item_id", "rating" if _is_stars(values) else "category")
            role = next((r for r in ids if r not in known.roles), "")
        if role and role not in known.roles and values.given:
            known.roles[role] = one
            known.by_position.append(role)


def _is_stars(values: Values) -> bool:
    numbers = values.numbers
    return numbers is not None and numbers.low >= 1 and numbers.high <= 5
