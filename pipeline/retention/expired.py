"""Up to which delivery a lake has expired: one date, in `<lake>/expired.json`.

Deliveries expire oldest first, so that a date says all. Their raw files may still be there: without
this date the next night would take them for new and clean them again. It is written before the
first file is removed and never goes back. Whoever compares what was made from deliveries leaves
those up to the date out on both sides (`Lineage.after`). Standard library only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from pipeline import durable
from pipeline.datasets import EXPIRING_DELIVERIES
from pipeline.errors import DamagedError, InputError
from pipeline.intact import FaultError, read_sealed_json, sealed_json
from pipeline.lake import Lake, storage_errors

EXPIRED_FILE = "expired.json"
_UNTIL = "deliveries_until"


def expired_until(lake: Lake) -> dt.date | None:
    """The newest delivery day that has expired; none where none has.

    Raises:
        DamagedError: the file does not say it.
    """
    path = lake.root / EXPIRED_FILE
    if not path.exists():
        return None
    try:
        return dt.date.fromisoformat(str(read_sealed_json(path)[_UNTIL]))
    except (FaultError, KeyError, ValueError) as error:
        raise DamagedError(
            f"{path} does not say which deliveries have expired: {error}. Bring it back from a "
            "backup; <lake>/expired/ has a record of each expiry with the date"
        ) from None


def expired_of(lake: Lake, datasets: Collection[str]) -> dt.date | None:
    """`expired_until` for what is made from some datasets; none where these do not expire."""
    return expired_until(lake) if {*datasets} & {*EXPIRING_DELIVERIES} else None


def note_expired(lake: Lake, until: dt.date) -> None:
    """Have deliveries up to a date count as expired, whatever of them is still there."""
    path = lake.root / EXPIRED_FILE
    with storage_errors(f"cannot write {path}"), durable.in_place(path) as file:
        file.write(sealed_json({_UNTIL: until.isoformat()}))


def refuse_expired(lake: Lake, night: dt.date) -> None:
    """Refuse to make a night whose own delivery has expired.

    Raises:
        InputError: it has.
    """
    until = expired_until(lake)
    if until is not None and night <= until:
        raise InputError(
            f"the delivery of {night} has expired by [retention], as all up to {until} in "
            f"{lake.root}: it is not cleaned again, and its night is not made again. Its raw files "
            "can be taken into another lake (another paths.lake in the settings)"
        )
