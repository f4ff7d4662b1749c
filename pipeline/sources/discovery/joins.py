"""Which other files say what a table's rows lack: a shopper, a time, an item, found by keys.

A key is a column that two tables have under one name (or both have in one role) and whose values
are single in the other table and come in both. What the other table says is then a field of the
rows, `orders.customer_id`, and what that leads to is looked for in turn. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pipeline.sources.discovery.formats import Field, Table
from pipeline.sources.discovery.roles import Known
from pipeline.sources.discovery.words import tokens

_SINGLE = 0.95  # of the values of a key, in the table that is joined
_KEY_ROLES = ("order_id", "user_id", "item_id", "session_id")
_NEEDED = {"events": ("user_id", "time", "item_id"), "reviews": ("user_id", "item_id", "time")}


@dataclass(frozen=True)
class Join:
    """Another table, under an alias: this side's SQL and the other side's column are equal."""

    alias: str
    table: Table
    this: str
    other: str
    overlap: float  # of this side's sampled values: how many the other side's sample has
    latest_by: str = ""  # where a key has several rows


@dataclass
class Joined:
    """A table with what other tables add to it."""

    known: Known
    joins: list[Join] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def joined(dataset: str, known: Known, tables: Sequence[Known]) -> Joined:
    """The table, with the roles that it lacks from other tables, as far as keys lead to them."""
    result = Joined(replace(known, roles=dict(known.roles), values=dict(known.values)))
    result.known.times = dict(known.times)
    here: list[tuple[Known, str]] = [(known, "")]
    while lacking := [role for role in _NEEDED.get(dataset, ()) if not result.known.has(role)]:
        found = max(
            (step for base, prefix in here for step in _steps(base, prefix, tables, lacking)),
            key=lambda step: (step[0], -tables.index(step[1])),
            default=None,
        )
        if found is None or len(result.joins) == 3:
            break
        _, other, this, key, overlap = found
        alias = _alias(other, [join.alias for join in result.joins], known.table)
        several = "" if other.values[key.name].unlike >= _SINGLE else other.roles["item_id"].sql
        result.joins.append(Join(alias, other.table, this, key.sql, overlap, several))
        if several:
            result.said.append(f"of the rows of {alias} with one {key.name}, one is taken")
        if not overlap:
            result.said.append(
                f"{this} of the sample has no value that {other.table.group.pattern} has in "
                f"{key.name}: are these files of one time?"
            )
        _take(result.known, other, alias)
        here.append((other, alias))
        tables = [one for one in tables if one is not other]
    return result


def _steps(
    base: Known, prefix: str, tables: Sequence[Known], lacking: Sequence[str]
) -> Iterator[tuple[float, Known, str, Field, float]]:
    """Joins from a table, each with its merit: what they bring of what is lacking."""
    for other in tables:
        if other is base or other.table is base.table or other.table.format == "jsonl":
            continue
        if other.table.exploded:
            continue  # what is joined has no elements
        brings = [role for role in lacking if other.has(role)]
        if not brings:
            continue
        # An order has several items, and what is said of the order is said of one of them.
        single = 0.0 if lacking == ["item_id"] else _SINGLE
        for this, key in _keys(base, other, single):
            if set(brings) <= {role for role, one in other.roles.items() if one is key}:
                continue  # it brings nothing but the key itself
            overlap = _overlap(base, this, other, key)
            if overlap or not (base.table.is_whole and other.table.is_whole):
                sql = f"{prefix}.{this.sql}" if prefix else this.sql
                yield len(brings) + 0.5 * overlap, other, sql, key, overlap


def _keys(base: Known, other: Known, single: float) -> Iterator[tuple[Field, Field]]:
    """Pairs of columns that may be one key; the other side's values are as single as asked."""
    seen: set[str] = set()
    for role in _KEY_ROLES:
        if base.has(role) and other.has(role) and other.of(role).unlike >= single:
            seen.add(other.roles[role].name)
            yield base.roles[role], other.roles[role]
    by_name = {one.name.lower(): one for one in base.table.fields}
    for one in other.table.fields:
        this = by_name.get(one.name.lower())
        is_key = "id" in tokens(one.name)[-1:] and other.values[one.name].unlike >= single
        if this and is_key and one.name not in seen and len(tokens(one.name)) > 1:
            yield this, one


def _overlap(base: Known, this: Field, other: Known, key: Field) -> float:
    left, right = base.values[this.name].counts, other.values[key.name].counts
    return sum(1 for value in left if value in right) / len(left) if left else 0.0


def _alias(other: Known, taken: Sequence[str], base: Table) -> str:
    """A word for the table, that no column is called."""
    said = tokens(other.table.name)
    own = {*tokens(base.name)}
    words = [w for w in said if w not in own and w not in ("dataset", "data", "table", "export")]
    alias = re.sub(r"\W", "", "_".join(words or said)) or "other"
    alias = alias if re.match(r"[A-Za-z]", alias) and alias.isascii() else f"t_{len(taken) + 1}"
    columns = {name.lower() for name in base.columns}
    while alias in taken or alias.lower() in columns:
        alias += "_2"
    return alias


def _take(known: Known, other: Known, alias: str) -> None:
    """Add what the other table says; what the rows say themselves comes first."""
    for role, one in other.roles.items():
        if known.has(role):
            continue
        there = Field(f"{alias}.{one.name}", f"{alias}.{one.sql}", one.values)
        known.roles[role] = there
        known.values[there.name] = other.values[one.name]
        if one.name in other.times:
            known.times[there.name] = other.times[one.name]
