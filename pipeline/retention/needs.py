"""What of a lake is needed, and what for: followed from what is kept to what that was made from.

In: the directories of a lake, and which of them are too old. Out: each directory that stays, with
the reason; empty where it is simply not too old.

Lists are followed to their histories, catalogue, item words and champion record, histories to their
acts and user attributes, a champion record to its model, an export to its lists, and whatever has a
lineage to what it names. Two things are not followed: deliveries, of which `acts` carry on what is
to be remembered (how far they are needed is `deliveries.py`); and what a model was trained on, for
a model stands for itself. Standard library only.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.datasets import (
    ACTS,
    CATALOGUE,
    CHAMPIONS,
    EXPIRING_DELIVERIES,
    GENERATED,
    HISTORIES,
    ITEM_WORDS,
    METRICS,
    MODELS,
    RECOMMENDATIONS,
    USER_ATTRIBUTES,
)
from pipeline.errors import DamagedError
from pipeline.intact import FaultError, read_sealed_json
from pipeline.lake import LATEST, Lake
from pipeline.lineage import LINEAGE, LISTS_OF, Lineage, inputs_upto
from pipeline.model.champion import CHAMPION_FILE
from pipeline.retention.directories import Directory, Key
from pipeline.retention.expired import expired_of

# Of these the next night goes on from the newest.
CONTINUED = (
    ACTS,
    CATALOGUE,
    USER_ATTRIBUTES,
    HISTORIES,
    ITEM_WORDS,
    GENERATED,
    RECOMMENDATIONS,
    CHAMPIONS,
    METRICS,
)

Reasons = dict[Key, str]


def needed(
    lake: Lake, found: Sequence[Directory], too_old: Iterable[Key], no_repeat_nights: int
) -> tuple[Reasons, set[Key]]:
    """The reason for each directory that stays, and all keys that what stays was made from.

    Args:
        found: all directories.
        too_old: keys of those that stay only for a reason.
        no_repeat_nights: so many nights' lists are looked back at.

    Raises:
        DamagedError: what is kept does not say what it was made from.
    """
    by_key = {directory.key: directory for directory in found}
    pointed = {(one.dataset, one.date): one for one in found if one.pointed}
    old = set(too_old)
    reasons: Reasons = {one.key: "" for one in found if one.pointed and one.key not in old}
    reasons |= {
        key: why for key, why in _roots(lake, pointed, no_repeat_nights) if reasons.get(key) != ""
    }
    made_from: set[Key] = set()
    todo = [key for key in reasons if key in by_key]
    while todo:
        one = by_key[todo.pop()]
        for key in _made_from(one, pointed):
            made_from.add(key)
            if key in by_key and key not in reasons:
                reasons[key] = f"{one} was made from it"
                todo.append(key)
    return reasons, made_from


def _roots(
    lake: Lake, pointed: Mapping[tuple[str, dt.date], Directory], no_repeat_nights: int
) -> Iterator[tuple[Key, str]]:
    """What is needed at any age."""
    if (key := latest_key(lake, RECOMMENDATIONS)) is not None:
        yield key, "readers see it"
    for name in CONTINUED:
        dates = sorted(date for dataset, date in pointed if dataset == name)
        if dates:
            yield pointed[name, dates[-1]].key, "the next night goes on from it"
        if name == RECOMMENDATIONS and dates:
            first = dates[-1] - dt.timedelta(days=max(no_repeat_nights, 1) - 1)
            for date in dates:
                if first <= date < dates[-1]:
                    yield pointed[name, date].key, "generation.no_repeat_nights looks back at it"
    for name in (ACTS, CATALOGUE, USER_ATTRIBUTES):
        dates = sorted((date for dataset, date in pointed if dataset == name), reverse=True)
        holding = next((date for date in dates if _holds(lake, pointed[name, date])), None)
        for of in (name, HISTORIES) if name == ACTS else (name,):
            if holding is not None and (of, holding) in pointed:
                yield pointed[of, holding].key, "the next night goes on from it"
    records = [pointed[key] for key in sorted(pointed) if key[0] == CHAMPIONS]
    newest = _model_of(records[-1]) if records else None
    for record in reversed(records):
        if (model := _model_of(record)) is not None and model != newest and newest is not None:
            yield record.key, "models rollback goes back to it"
            return


def _holds(lake: Lake, one: Directory) -> bool:
    """Whether a night's directory was made from the deliveries as they are (`increment_of`)."""
    said = (one.manifest or {}).get(LINEAGE)
    if said is None:
        return False
    expired = expired_of(lake, said["inputs"])
    now = Lineage(inputs_upto(lake, said["inputs"], one.date)).after(expired)
    return not now.other_inputs(Lineage(said["inputs"]).after(expired))


def latest_key(lake: Lake, name: str) -> Key | None:
    """What readers see; none before the first night.

    Raises:
        DamagedError: `latest.json` does not say it.
    """
    path = lake.dataset(name) / LATEST
    if not path.exists():
        return None
    try:
        said = read_sealed_json(path)
        return name, dt.date.fromisoformat(said["run_date"]), str(said["run_id"])
    except (FaultError, KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{path}: {error}. Nothing expires; see nightcart verify") from None


def _made_from(one: Directory, pointed: Mapping[tuple[str, dt.date], Directory]) -> Iterator[Key]:
    if one.manifest is None or not one.manifest:
        raise DamagedError(
            f"{one.path} does not say what it was made from, and is needed. Nothing expires; "
            "see nightcart verify"
        )
    inputs = one.manifest.get(LINEAGE, {}).get("inputs", {})
    for name, dates in inputs.items():
        for date, directory_id in dates.items():
            yield name, dt.date.fromisoformat(date), str(directory_id)
    if one.dataset in (GENERATED, RECOMMENDATIONS):
        night = dt.date.fromisoformat(one.manifest.get(LISTS_OF) or one.date.isoformat())
        said = (HISTORIES, CATALOGUE) if not inputs else ()
        for name in (*said, ITEM_WORDS, CHAMPIONS):
            if (beside := pointed.get((name, night))) is not None:
                yield beside.key
    elif one.dataset == CHAMPIONS and (model := _model_of(one)) is not None:
        yield model


def _model_of(champion: Directory) -> Key | None:
    """The model that a champion record names, or none."""
    path = champion.path / CHAMPION_FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        date, directory_id = said["model_run_date"], said["model_run_id"]
        return None if date is None else (MODELS, dt.date.fromisoformat(date), str(directory_id))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(
            f"{path} does not say which model generates: {error}. Nothing expires; see nightcart "
            "verify"
        ) from None


def is_delivery(key: Key) -> bool:
    """Whether it is of a delivery that expires by its day."""
    return key[0] in EXPIRING_DELIVERIES
