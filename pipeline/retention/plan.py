"""What expires on a day, and what stays although it is too old, each with the reason.

Reads a lake and `[retention]`; writes nothing. A directory goes if it is too old and nothing needs
it (`needs`), or if it was superseded: no pointer names it, and nothing that stays was made from it.
The age of a partition is counted from its own date, that of what is superseded or unfinished from
the day on which it was written. A night that a run is at work on stays whole: whoever makes a night
of the past must not lose it between two stages. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets import (
    ACTS,
    ALL,
    BESIDE_LISTS,
    CATALOGUE,
    CHAMPIONS,
    EXPIRING_DELIVERIES,
    GENERATED,
    HISTORIES,
    ITEM_WORDS,
    LEDGER,
    METRICS,
    MODELS,
    RECOMMENDATIONS,
    RUNS,
    USER_ATTRIBUTES,
)
from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.retention.deliveries import needed_from
from pipeline.retention.directories import (
    Directory,
    Key,
    bytes_in,
    day_of,
    directories,
    scratch,
)
from pipeline.retention.expired import expired_until
from pipeline.retention.needs import is_delivery, latest_key, needed
from pipeline.settings import Retention, Settings

# Setting -> the datasets that it is about.
KEPT_FOR: Mapping[str, tuple[str, ...]] = {
    "deliveries_days": EXPIRING_DELIVERIES,
    "nights_days": (CATALOGUE, USER_ATTRIBUTES, ACTS, HISTORIES, ITEM_WORDS, GENERATED),
    "lists_days": (RECOMMENDATIONS, *BESIDE_LISTS),
    "models_days": (MODELS, METRICS, CHAMPIONS),
    "records_days": (RUNS, LEDGER),
}
_WITHOUT_MANIFESTS = (RUNS, LEDGER)
WORK = "work"
_OF_A_NIGHT = KEPT_FOR["nights_days"]
_FIRST_DATE = dt.date(1970, 1, 1)
# For so long a run without lists may still be at work: a night takes hours, a retry may wait.
_BEING_MADE_DAYS = 2
_RETRY = re.compile(r"\.\d+$")


@dataclass(frozen=True)
class Leaving:
    """A directory that goes."""

    dataset: str
    path: Path
    bytes: int
    why: str


@dataclass(frozen=True)
class Staying:
    """A directory that is too old, and stays."""

    dataset: str
    path: Path
    bytes: int
    why: str


@dataclass(frozen=True)
class Plan:
    """What an expiry would do.

    Attributes:
        date: the last day that counts.
        leaving: what goes.
        staying: what is too old and needed.
        deliveries_until: the newest delivery that counts as expired then; none where none does.
    """

    date: dt.date
    leaving: tuple[Leaving, ...]
    staying: tuple[Staying, ...]
    deliveries_until: dt.date | None


def plan_expiry(lake: Lake, settings: Settings, date: dt.date) -> Plan:
    """What goes by the end of a day.

    Raises:
        InputError: the day is before any night.
        DamagedError: something that is kept does not say what it was made from.
    """
    if date < _FIRST_DATE:
        raise InputError(f"no night is as old as {date}: give a day after {_FIRST_DATE}")
    retention, horizon = settings.retention, settings.cleaning.late_horizon_days
    repeats = settings.generation.no_repeat_nights
    found = directories(lake, ALL)
    expired = expired_until(lake)
    in_the_making = _in_the_making(found)
    old = {
        one.key
        for one in found
        if _is_too_old(one, retention, date) and one.date not in in_the_making
    }
    of_nights = [one for one in found if not is_delivery(one.key)]
    kept, _ = needed(lake, of_nights, old, repeats)

    until, why = expired, ""
    if retention.deliveries_days:
        limit, why = needed_from(lake, found, kept, horizon, expired)
        last = min(date - dt.timedelta(days=retention.deliveries_days + 1), limit)
        # Only a day that a delivery came on, so that the date says what it did.
        days = [one.date for one in found if is_delivery(one.key) and one.date <= last]
        until = max([*days, *([expired] if expired else [])], default=None)

    gone = {one.key for one in found if is_delivery(one.key) and until and one.date <= until}
    rest = [one for one in found if one.key not in gone]
    reasons, made_from = needed(lake, rest, old - {key for key in old if is_delivery(key)}, repeats)
    leaving = [Leaving(one.dataset, one.path, one.bytes, "too old") for one in _in(found, gone)]
    staying = []
    named = reasons.keys() | made_from
    published = latest_key(lake, RECOMMENDATIONS)
    for one in rest:
        if one.date in in_the_making:
            if _is_too_old(one, retention, date):
                staying.append(Staying(one.dataset, one.path, one.bytes, "its night is being made"))
        elif why_gone := _superseded(one, retention, date, named):
            leaving.append(Leaving(one.dataset, one.path, one.bytes, why_gone))
        elif one.key in old:
            needed_for = reasons.get(one.key, "")
            if is_delivery(one.key):
                needed_for = why
            elif one.dataset in _WITHOUT_MANIFESTS and published and one.date == published[1]:
                needed_for = "readers see the night"
            if needed_for:
                staying.append(Staying(one.dataset, one.path, one.bytes, needed_for))
            else:
                leaving.append(Leaving(one.dataset, one.path, one.bytes, "too old"))
    leaving += _old_scratch(lake, retention, date)
    return Plan(date, tuple(leaving), tuple(staying), until)


def _in_the_making(found: Sequence[Directory]) -> set[dt.date]:
    """Nights of which a run has made something just now, and no lists yet: maybe a backfill."""
    since = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=_BEING_MADE_DAYS)
    listed = {
        (one.date, _run_of(one))
        for one in found
        if one.dataset == RECOMMENDATIONS and one.manifest is not None
    }
    return {
        one.date
        for one in found
        if one.dataset in _OF_A_NIGHT
        and one.made >= since
        and (one.date, _run_of(one)) not in listed
    }


def _run_of(one: Directory) -> str:
    """Its name without the number of a retry."""
    return _RETRY.sub("", one.directory_id)


def _is_too_old(one: Directory, retention: Retention, date: dt.date) -> bool:
    days = next((getattr(retention, name) for name, of in KEPT_FOR.items() if one.dataset in of), 0)
    return bool(days) and one.date < date - dt.timedelta(days=days)


def _superseded(one: Directory, retention: Retention, date: dt.date, named: set[Key]) -> str:
    """Why a directory goes that is not too old; empty where it stays."""
    days = retention.superseded_days
    if not days or one.made >= date - dt.timedelta(days=days):
        return ""
    if one.pointed or one.key in named or one.dataset in _WITHOUT_MANIFESTS:
        return ""
    return "superseded" if one.manifest is not None else "never finished"


def _old_scratch(lake: Lake, retention: Retention, date: dt.date) -> list[Leaving]:
    days = retention.superseded_days
    first = date - dt.timedelta(days=days)
    paths = [path for path in scratch(lake) if days and day_of(path) < first]
    return [Leaving(WORK, path, bytes_in(path), "never finished") for path in paths]


def _in(found: Sequence[Directory], keys: set[Key]) -> list[Directory]:
    return [one for one in found if one.key in keys]
