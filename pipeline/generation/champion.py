"""The model that generates tonight: the champion as of the date, or the reason there is none.

Reads `champion.json` of the night's `champions` partition and the model directory that it names.
A champion that is missing or cannot be used does not stop the night: every list is then made by
the fallback and says why.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.datasets import CHAMPIONS
from pipeline.engine.precision import Precision
from pipeline.errors import NightcartError, SettingsError
from pipeline.lake import MANIFEST, Lake
from pipeline.model.champion import ChampionRecord, champion_of
from pipeline.model.checkpoint import Checkpoint, load_checkpoint
from pipeline.settings import Generation

log = logging.getLogger("nightcart")

NO_CHAMPION = "no_champion"
CHAMPION_UNREADABLE = "champion_unreadable"
WEIGHTS_NOT_FINITE = "weights_not_finite"
NO_MODEL = "none"


@dataclass(frozen=True)
class Champion:
    """A checkpoint and its precision, or the reason why every list comes from the fallback."""

    checkpoint: Checkpoint | None
    fallback_reason: str | None
    precision: Precision = Precision.FLOAT32

    @property
    def model_version(self) -> str:
        """The model version that rows name."""
        return self.checkpoint.model_version if self.checkpoint else NO_MODEL


def read_champion(lake: Lake, run_date: dt.date) -> ChampionRecord:
    """The champion as of a date.

    Raises:
        InputError: evaluation has not run for this date, or its file is not one.
    """
    lake.require(CHAMPIONS, run_date)
    record = champion_of(lake, run_date)
    assert record is not None
    return record


def identity(lake: Lake, record: ChampionRecord) -> dict[str, Any]:
    """What a list depends on: the champion record and the checksums of its model's files."""
    files: Any = None
    directory = record.model_directory(lake)
    if directory is not None:
        try:
            files = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["files"]
        except (OSError, ValueError, KeyError, TypeError):
            files = None  # the model cannot be loaded either, and `load_champion` says so
    return {"champion": asdict(record), "model_files": files}


def load_champion(lake: Lake, record: ChampionRecord, settings: Generation) -> Champion:
    """Load the champion's checkpoint; any fault of it becomes a fallback reason.

    Raises:
        SettingsError: this machine has no such device.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise SettingsError(
            "generation.device is cuda and torch sees no GPU here; set it to cpu, or generate where "
            "there is one and torch was built for it (TORCH_BACKEND in the Makefile)"
        )
    directory = record.model_directory(lake)
    if directory is None:
        log.warning("there is no champion yet: every list is made by the fallback")
        return Champion(None, NO_CHAMPION)
    return _load_model(directory, settings)


def _load_model(directory: Path, settings: Generation) -> Champion:
    """A checkpoint that can generate, or why it cannot."""
    try:
        checkpoint = load_checkpoint(directory)
    except (NightcartError, OSError, ValueError, RuntimeError) as error:
        log.error("the champion cannot be used, every list is made by the fallback: %s", error)
        return Champion(None, CHAMPION_UNREADABLE)
    broken = [
        name
        for name, weights in checkpoint.model.named_parameters()
        if not bool(torch.isfinite(weights).all())
    ]
    if broken:
        log.error(
            "the champion in %s has weights that are not finite numbers (%s): every list is made "
            "by the fallback; run fine_tune for that date again",
            directory,
            ", ".join(broken[:3]),
        )
        return Champion(None, WEIGHTS_NOT_FINITE)
    checkpoint.model.to(settings.device)
    return Champion(checkpoint, None, Precision(settings.precision))
