"""Carrying out an expiry, so that a kill at any moment leaves a lake that holds together.

In this order: a record of what is to go; `views.sql` without what goes, aside; the day up to which
deliveries have expired; the new `views.sql` in its place; then each directory, under a hidden name
first and removed after. A night of which everything goes has its pointer with it, in one rename.
Where only some directories of a date go, its pointer goes before what it names. Whatever was cut
off is done by the next expiry.

Nobody else uses the lake meanwhile (`Lake.rewriting`). Who has read an older `views.sql` before may
still ask for a file that is gone. Writes `<lake>/expired/` (a record each time). Standard library
only.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

from pipeline import durable
from pipeline.intact import FaultError, read_sealed_json
from pipeline.lake import CURRENT, Lake, storage_errors, write_json
from pipeline.retention.directories import RUN
from pipeline.retention.expired import note_expired
from pipeline.retention.plan import Leaving, Plan, plan_expiry
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

RECORDS = "expired"


def expire(
    lake: Lake,
    settings: Settings,
    date: dt.date,
    views_without: Callable[[Collection[Path]], AbstractContextManager[None]],
    progress: Callable[[Path, int], None] = lambda _path, _bytes: None,
) -> Plan:
    """Remove what expires by the end of a day; what was removed, and what stays and why.

    Args:
        lake: whose users are waited for.
        settings: how long what is kept, and what later nights look back at.
        date: the last day that counts.
        views_without: writes `views.sql` aside without some directories, and renames it after the
            block.
        progress: told each directory before it is removed, and the bytes removed so far.

    Raises:
        DamagedError: something that is kept does not say what it was made from; nothing goes.
        StorageError: the disk or a permission refuses; the next expiry goes on.
    """
    with lake.rewriting(), storage_errors(f"cannot remove what has expired in {lake.root}"):
        _sweep(lake)
        plan = plan_expiry(lake, settings, date)
        if not plan.leaving:
            return plan
        record = _new_record(lake, date)
        write_json(record, _said(lake, plan, "begun"))
        with views_without({one.path for one in plan.leaving}):
            if plan.deliveries_until is not None:
                note_expired(lake, plan.deliveries_until)
        done = 0
        for path, size in _removals(plan):
            progress(path, done)
            durable.remove(path)
            done += size
        write_json(record, _said(lake, plan, "done"))
    return plan


def totals(leaving: Collection[Leaving]) -> dict[str, tuple[int, int]]:
    """Directories and bytes by dataset, in the order of their names."""
    number, size = Counter[str](), Counter[str]()
    for one in leaving:
        number[one.dataset] += 1
        size[one.dataset] += one.bytes
    return {name: (number[name], size[name]) for name in sorted(number)}


def _removals(plan: Plan) -> Iterator[tuple[Path, int]]:
    """What is renamed away, one by one: whole dates where nothing of them stays."""
    of_date: defaultdict[Path, dict[Path, int]] = defaultdict(dict)
    for one in plan.leaving:
        of_date[one.path.parent][one.path] = one.bytes
    for date, going in of_date.items():
        if going.keys() >= {*date.glob(f"{RUN}*")}:
            yield date, sum(going.values())
            continue
        for path, size in going.items():
            _unpoint(path)
            yield path, size


def _unpoint(directory: Path) -> None:
    """Remove a date's pointer, if it names a directory that goes."""
    pointer = directory.parent / CURRENT
    try:
        named = f"{RUN}{read_sealed_json(pointer)['run_id']}"
    except (FaultError, KeyError):
        return
    if named == directory.name:
        pointer.unlink()
        durable.sync_directory(pointer.parent)


def end_what_was_cut_off(lake: Lake) -> None:
    """Remove what an expiry has left: where [retention] sets no days any more, too.

    Raises:
        StorageError: the disk or a permission refuses.
    """
    if lake.cut_off_removals():
        with lake.rewriting(), storage_errors(f"cannot remove what has expired in {lake.root}"):
            _sweep(lake)


def _sweep(lake: Lake) -> None:
    for path in lake.cut_off_removals():
        log.info("removing %s, which an expiry has left", path)
        shutil.rmtree(path)


def _new_record(lake: Lake, date: dt.date) -> Path:
    directory = lake.root / RECORDS
    return next(
        path for n in count(1) if not (path := directory / f"{date.isoformat()}.{n}.json").exists()
    )


def _said(lake: Lake, plan: Plan, status: str) -> dict[str, Any]:
    until = plan.deliveries_until
    return {
        "status": status,
        "date": plan.date.isoformat(),
        "deliveries_until": until.isoformat() if until else None,
        "removed": {
            name: {"directories": number, "bytes": size}
            for name, (number, size) in totals(plan.leaving).items()
        },
        "directories": [
            {"path": one.path.relative_to(lake.root).as_posix(), "why": one.why}
            for one in plan.leaving
        ],
        "too_old_and_needed": [
            {"path": one.path.relative_to(lake.root).as_posix(), "why": one.why}
            for one in plan.staying
        ],
    }
