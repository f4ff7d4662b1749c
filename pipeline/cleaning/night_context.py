"""What the passes over the datasets of one night share: session, settings, lake, source, days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pyspark.sql import SparkSession

from pipeline.cleaning.rows.mapping import Calendar
from pipeline.lake import Lake, Run
from pipeline.lineage import Lineage
from pipeline.pseudonym import KeyFile
from pipeline.settings import Settings
from pipeline.sources.source import Source


@dataclass(frozen=True)
class NightContext:
    """One night of cleaning; `days` are the delivery days that it cleans, ascending.

    `erased` are the digests of users who are not to be taken in (`pipeline.erased`).
    """

    spark: SparkSession
    settings: Settings
    lake: Lake
    run: Run
    source: Source
    calendar: Calendar
    days: list[dt.date]
    key: KeyFile
    scratch: Path
    erased: frozenset[str] = frozenset()
    made_by: Mapping[str, Lineage] = field(default_factory=dict)  # what decides, by dataset

    @property
    def raw_root(self) -> str:
        """Where the retailer's files lie."""
        return self.settings.paths.raw
