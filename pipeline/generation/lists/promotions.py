"""The file of promotions: items that the shop wants seen, the place each gets, and for whom.

Reads a TOML file of tables `[[promotion]]`:

    [[promotion]]
    name = "spring"                    # named in the rows that it changed
    items = ["A-1", "A-2"]             # the first that the user may get
    slot = 3                           # its rank in the list
    from = 2026-03-01                  # first night; and all below: who it is for
    until = 2026-03-14                 # last night
    languages = ["de"]                 # BCP 47 tags, of which the primary language counts
    regions = ["DE"]
    categories = ["Care > Brushes"]    # who has something of one of these in their past

A promotion without a restriction is for every night and everybody. An item that a user may not get
(sold out, owned, sent and ignored) is never promoted to them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import tomllib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError
from pipeline.language_tag import UNKNOWN, primary_language


@dataclass(frozen=True)
class Promotion:
    """One table of the file."""

    name: str
    items: tuple[str, ...]
    slot: int
    first: dt.date = dt.date.min
    last: dt.date = dt.date.max
    languages: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()

    def is_for(self, language: str | None, region: str | None, past: Set[str]) -> bool:
        """Whether the promotion is for a user.

        Args:
            past: the categories of what is in their history.
        """
        return (
            (not self.languages or primary_language(language) in self.languages)
            and (not self.regions or region in self.regions)
            and (not self.categories or not self.categories.isdisjoint(past))
        )


_TEXTS = ("items", "languages", "regions", "categories")
_KINDS: Mapping[str, type] = {
    "name": str,
    "slot": int,
    "from": dt.date,
    "until": dt.date,
} | dict.fromkeys(_TEXTS, list)


def read_promotions(path: str, night: dt.date, k: int) -> tuple[Promotion, ...]:
    """The promotions of a night, in the order of the file; none without a path.

    Raises:
        SettingsError: the file is missing or not valid; the message names the promotion and the
            key.
    """
    if not path:
        return ()
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"generation.promotions: cannot read {path}: {error}") from None
    tables = content.get("promotion", [])
    if set(content) - {"promotion"} or not isinstance(tables, list):
        raise SettingsError(f"{path}: expected tables [[promotion]] only, found {sorted(content)}")
    promotions = [_promotion(f"{path}: promotion {n}", one, k) for n, one in enumerate(tables, 1)]
    names = [promotion.name for promotion in promotions]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"{path}: two promotions have the name {twice[0]!r}; rows name them")
    return tuple(one for one in promotions if one.first <= night <= one.last)


def _promotion(where: str, table: Any, k: int) -> Promotion:
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: expected a table [[promotion]], found {table!r}")
    value: Any
    for key, value in table.items():
        if key not in _KINDS:
            near = difflib.get_close_matches(key, _KINDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"{where}: unknown key {key!r}{hint}")
        if type(value) is not _KINDS[key] or (key in _TEXTS and not _are_texts(value)):
            wanted = "a list of texts" if key in _TEXTS else f"a {_KINDS[key].__name__}"
            raise SettingsError(f"{where}: {key} must be {wanted}, found {value!r}")
    for tag in table.get("languages", ()):
        if primary_language(tag) == UNKNOWN != tag:
            raise SettingsError(
                f"{where}: languages must be BCP 47 tags such as 'de' ('{UNKNOWN}': of whom none is "
                f"known), found {tag!r}"
            )
    missing = [key for key in ("name", "items", "slot") if not table.get(key)]
    if missing:
        raise SettingsError(f"{where}: {missing[0]} is missing")
    if not 1 <= table["slot"] <= k:
        raise SettingsError(
            f"{where}: slot must be a rank from 1 to generation.k = {k}, found {table['slot']}"
        )
    return Promotion(
        name=table["name"],
        items=tuple(table["items"]),
        slot=table["slot"],
        first=table.get("from", dt.date.min),
        last=table.get("until", dt.date.max),
        languages=frozenset(primary_language(tag) for tag in table.get("languages", ())),
        regions=frozenset(table.get("regions", ())),
        categories=frozenset(table.get("categories", ())),
    )


def _are_texts(values: Any) -> bool:
    return all(isinstance(text, str) and text for text in values)


def as_facts(promotions: Sequence[Promotion]) -> list[dict[str, Any]]:
    """The parts that lists depend on, for a fingerprint."""
    return [
        {
            key: sorted(value) if isinstance(value, frozenset) else value
            for key, value in dataclasses.asdict(promotion).items()
            if key not in ("first", "last")
        }
        for promotion in promotions
    ]
