"""The champion record, `champions/…/champion.json`: which model generates as of a night.

It also names the baseline that makes the lists that the model cannot. Evaluate writes a record for
every night, whatever its outcome. A person who promotes or rolls back (`nightcart models`) writes
one too, in a new directory beside the old one, which stays. The next night's fine_tune starts from
the champion, and its evaluate must beat it. A night looks only at nights before it, so that a
backfilled date meets the champion of its own time.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.datasets import CHAMPIONS, MODELS
from pipeline.errors import DamagedError, InputError
from pipeline.lake import Lake, Run, write_json
from pipeline.model.list_methods import BASELINES

log = logging.getLogger("nightcart")

CHAMPION_FILE = "champion.json"


@dataclass(frozen=True)
class ChampionRecord:
    """The content of `champion.json`. The first three are null where no model was ever promoted.

    `decided_by` and `decided_at` name a person's decision; null where the gate decided. `fallback`
    is the baseline for lists that the model cannot make; null where too few users were measured.
    """

    model_run_date: str | None
    model_run_id: str | None
    model_version: str | None
    promoted: bool
    why: str
    decided_by: str | None = None
    decided_at: str | None = None
    fallback: str | None = None

    @property
    def model_run(self) -> Run | None:
        """The run that made the champion."""
        if self.model_run_date is None or self.model_run_id is None:
            return None
        return Run(dt.date.fromisoformat(self.model_run_date), self.model_run_id)

    def model_directory(self, lake: Lake) -> Path | None:
        """The directory of the champion."""
        return None if self.model_run is None else lake.run_directory(MODELS, self.model_run)


def write_champion(directory: Path, record: ChampionRecord) -> None:
    """Write the file; the caller commits the directory."""
    write_json(directory / CHAMPION_FILE, asdict(record))


def champion_before(lake: Lake, run_date: dt.date) -> ChampionRecord | None:
    """The champion as of the newest evaluated night before a date, or none.

    Raises:
        InputError: that night's file is damaged.
    """
    dates = lake.dates(CHAMPIONS, run_date - dt.timedelta(days=1))
    if not dates:
        return None
    record = champion_of(lake, dates[-1])
    return None if record is None or record.model_run is None else record


def champion_of(lake: Lake, run_date: dt.date) -> ChampionRecord | None:
    """The record of a date, or none where there is none.

    Raises:
        InputError: its file is damaged.
    """
    try:
        partition = lake.current(CHAMPIONS, run_date)
        if partition is None:
            return None
        (path,) = partition.verified([partition.path / CHAMPION_FILE])
    except DamagedError as error:
        raise InputError(str(error)) from None
    try:
        record = ChampionRecord(**json.loads(path.read_text(encoding="utf-8")))
        _ = record.model_run  # a date or run id that is not valid is noticed here
        if record.fallback not in (None, *BASELINES):
            raise ValueError(f"{record.fallback!r} is no baseline")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} does not say which model generates: {error}; run evaluate for {run_date} again"
        ) from None
    return record
