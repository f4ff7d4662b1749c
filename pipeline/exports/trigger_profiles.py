"""The tools' profiles of triggers: one record a shopper, with why to write to them today.

Made of the profiles of lists: the same key, files, limits and characters, and columns of their own
beside the lists', so that both may be loaded into one account. The first column of a trigger is its
kind, because a `win_back` names no item.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence

from pipeline.errors import SettingsError
from pipeline.exports.profile import TRIGGERS, Column, Fact, Profile
from pipeline.exports.profiles import PROFILES, profile_named

log = logging.getLogger("nightcart")

# What a trigger has, by the name that stands in a column.
_FACTS = {
    "kind": Fact.KIND,
    "item_id": Fact.ITEM,
    "title": Fact.TITLE,
    "price": Fact.PRICE,
    "price_before": Fact.PRICE_BEFORE,
    "lowest_price": Fact.LOWEST_PRICE,
    "valid_until": Fact.VALID_UNTIL,
}
_MAILCHIMP = {
    "kind": "NTKIND{n}",
    "item_id": "NTID{n}",
    "title": "NTTITLE{n}",
    "price": "NTPRICE{n}",
    "lowest_price": "NTLOW{n}",
    "valid_until": "NTUNTIL{n}",
}
_SALESFORCE = {name: f"Trigger{{n}}{name.title().replace('_', '')}" for name in _FACTS}
# One after another in a record; an audience of Mailchimp has 30 merge fields, of which a list and
# its spares need 23.
_MOST = {"braze": 100, "mailchimp": 1, "csv": 100, "spreadsheet": 100}
_MOST_ELSEWHERE = 10


def _names_of(profile: Profile) -> tuple[dict[str, str], str, str]:
    """The columns of a trigger, of how many there are, and of the night (empty: none)."""
    if profile.name == "mailchimp":
        return _MAILCHIMP, "NTCOUNT", ""
    if profile.name == "salesforce":
        return _SALESFORCE, "TriggerCount", "TriggerDate"
    before = "" if profile.name in ("iterable", "csv", "spreadsheet") else "nightcart_"
    each = "{name}s" if profile.name == "braze" else "{{n}}_{name}"
    names = {name: f"{before}trigger_{each.format(name=name)}" for name in _FACTS}
    return names, f"{before}trigger_count", f"{before}trigger_date"


def _of_triggers(lists: Profile) -> Profile:
    like = {column.fact: column for column in lists.item_columns}
    names, count, date = _names_of(lists)

    def made(name: str) -> Column:
        of = like.get(_FACTS[name], like[Fact.TITLE])
        return dataclasses.replace(of, name=names[name], fact=_FACTS[name])

    night = [dataclasses.replace(like[Fact.TITLE], name=date, fact=Fact.DATE)] if date else []
    return dataclasses.replace(
        lists,
        dataset=TRIGGERS,
        columns=(Column(count, Fact.COUNT, is_number=True), *night),
        item_columns=tuple(made(name) for name in names),
        most_items=_MOST.get(lists.name, _MOST_ELSEWHERE),
    )


# Amazon Personalize's own format has a place for items and scores alone.
TRIGGER_PROFILES = {
    name: _of_triggers(profile) for name, profile in PROFILES.items() if name != "personalize"
}


def profile_for(name: str, dataset: str) -> Profile:
    """The profile of a tool for a dataset.

    Raises:
        SettingsError: there is none; says which there are.
    """
    profile = profile_named(name)
    if dataset != TRIGGERS:
        return profile
    if name not in TRIGGER_PROFILES:
        raise SettingsError(
            f"the format of {profile.tool} has no place for triggers; export them to one of "
            f"{', '.join(TRIGGER_PROFILES)}"
        )
    return TRIGGER_PROFILES[name]


def profiles_for(names: Sequence[str], datasets: Iterable[str]) -> list[Profile]:
    """The profiles of several tools; a tool that has no place for triggers gets its lists alone.

    Raises:
        SettingsError: a name is that of no tool.
    """
    found = []
    for dataset in datasets:
        for name in names:
            try:
                found.append(profile_for(name, dataset))
            except SettingsError as error:
                if name not in PROFILES:
                    raise
                log.warning("%s", error)
    return found
