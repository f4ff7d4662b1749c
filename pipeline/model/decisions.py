"""A person's decision on which model generates: promote or roll back, as a new champion record.

Writes `champions/run_date=D/run_id=manual-…/champion.json` with who, when and why, and points the
date at it; the gate's record stays beside it. The decision holds from D on: D's generation uses it
if it is run again, and the next night's model starts from it and must not be worse. Evaluating D
again keeps the decision. Guarantees: a model of a later night is never made the champion of an
earlier date; a model that cannot be loaded is never made champion.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from pathlib import Path

import torch

from pipeline.datasets import CHAMPIONS, MODELS
from pipeline.errors import DamagedError, InputError
from pipeline.lake import Lake, Run, run_id_of, storage_errors
from pipeline.model.champion import CHAMPION_FILE, ChampionRecord, champion_of, write_champion
from pipeline.model.checkpoint import load_checkpoint, read_version

log = logging.getLogger("nightcart")


def find_model(lake: Lake, name: str) -> Run:
    """The run of the model that a person names.

    Args:
        name: a model version (`2026-03-01-0a1b2c3d`), a night (`2026-03-01`: the model its pointer
            names) or a night and a run (`2026-03-01/scheduled`).

    Raises:
        InputError: there is none such; the message names those there are.
    """
    date_text, _, run_id = name.partition("/")
    try:
        date = dt.date.fromisoformat(date_text[:10])
    except ValueError:
        raise InputError(
            f"{name!r} names no model: give a version (2026-03-01-0a1b2c3d), a night (2026-03-01) "
            f"or a night and a run (2026-03-01/RUN). {_there_are(lake)}"
        ) from None
    if run_id:
        runs = [Run(date, run_id_of(run_id))]
    elif len(date_text) > 10:
        paths = sorted(lake.date_directory(MODELS, date).glob("run_id=*"))
        runs = [Run(date, path.name.removeprefix("run_id=")) for path in paths]
        runs = [run for run in runs if read_version(lake.run_directory(MODELS, run)) == name]
    else:
        current = lake.current(MODELS, date)
        runs = [Run(date, current.directory_id)] if current else []
    for run in runs:
        if read_version(lake.run_directory(MODELS, run)) is not None:
            return run
    raise InputError(f"there is no model {name!r} in {lake.root}. {_there_are(lake)}")


def promote(  # noqa: PLR0917  who, when and why belong to it
    lake: Lake, model: Run, date: dt.date, by: str, at: dt.datetime, why: str
) -> ChampionRecord:
    """Make a model the champion as of a date.

    Raises:
        InputError: the model is of a later night, or cannot be used.
    """
    return _decide(lake, model, date, by, at, f"promoted by {by}: {why}")


def _decide(  # noqa: PLR0917
    lake: Lake, model: Run, date: dt.date, by: str, at: dt.datetime, reason: str
) -> ChampionRecord:
    if model.run_date > date:
        raise InputError(
            f"the model of {model.run_date} was trained on what happened after {date}: it cannot "
            f"be the champion as of that date. Give --date {model.run_date} or later"
        )
    checkpoint = load_checkpoint(lake.run_directory(MODELS, model))
    for name, weights in checkpoint.model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise InputError(
                f"{checkpoint.model_version} has weights that are not finite numbers ({name})"
            )
    record = ChampionRecord(
        model.run_date.isoformat(),
        model.run_id,
        checkpoint.model_version,
        model.run_date == date,  # whether this night's own model generates
        reason,
        by,
        at.isoformat(timespec="seconds"),
        _measured_fallback(lake, date),
    )
    _write(lake, date, record, at)
    return record


def _measured_fallback(lake: Lake, date: dt.date) -> str | None:
    """The fallback that evaluation named for the date, which stays; none if it cannot be read."""
    try:
        now = champion_of(lake, date)
    except (InputError, DamagedError) as error:
        log.warning("the new record of %s names no fallback: %s", date, error)
        return None
    return now.fallback if now else None


def rollback(  # noqa: PLR0917
    lake: Lake, to: Run | None, date: dt.date, by: str, at: dt.datetime, why: str
) -> ChampionRecord:
    """Go back to an earlier champion.

    Args:
        to: which; None for the champion before the one that `date` has now.

    Raises:
        InputError: there is no champion, or none before it.
    """
    now = champion_of(lake, date)
    if now is None or now.model_run is None:
        raise InputError(f"there is no champion as of {date}, so there is nothing to roll back")
    target = to or _champion_before_this(lake, date, now)
    reason = f"rolled back from {now.model_version} by {by}: {why}"
    return _decide(lake, target, date, by, at, reason)


def _champion_before_this(lake: Lake, date: dt.date, now: ChampionRecord) -> Run:
    for earlier in reversed(lake.dates(CHAMPIONS, date - dt.timedelta(days=1))):
        record = champion_of(lake, earlier)
        if record is not None and record.model_run not in (None, now.model_run):
            assert record.model_run is not None
            return record.model_run
    raise InputError(
        f"{now.model_version} is the first champion that {lake.root} knows: there is nothing "
        "before it to roll back to; name a model with --to"
    )


def _write(lake: Lake, date: dt.date, record: ChampionRecord, at: dt.datetime) -> None:
    before = lake.whole(CHAMPIONS, date)
    run = Run(date, f"manual-{at:%Y%m%dT%H%M%S}")
    directory = lake.begin(CHAMPIONS, run)
    # The card and other files beside the record are still what the night measured.
    for path in before.files if before and before.is_intact() else ():
        if path.name != CHAMPION_FILE:
            with storage_errors(f"cannot write {directory}"):
                shutil.copy2(path, directory / path.name)
    write_champion(directory, record)
    lake.commit(CHAMPIONS, run, rows=1, model_version=record.model_version)


def _there_are(lake: Lake) -> str:
    found = [
        version
        for date in lake.dates(MODELS)[-5:]
        if (current := lake.whole(MODELS, date)) is not None
        and (version := read_version(Path(current.path))) is not None
    ]
    return f"The newest are {', '.join(found)}" if found else "No model was trained yet"
