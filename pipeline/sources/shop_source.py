"""The source of a shop's settings, as nights use it: with its time zone and where snapshots are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.lake import storage_errors
from pipeline.settings import Settings
from pipeline.sources.snapshots import all_snapshots
from pipeline.sources.source import Source, with_snapshots, with_timezone
from pipeline.sources.source_yaml import load_source


def shop_source(settings: Settings) -> Source:
    """The shop's source.

    Raises:
        ContractError: there is no such source, or an entry of it is wrong.
        SettingsError: snapshots would lie in the lake or among the retailer's files.
    """
    source = with_timezone(load_source(settings.shop.source), settings.shop.timezone)
    if any(dataset.delivery == "snapshot" for dataset in source.datasets.values()):
        _refuse_a_wrong_place(settings)
    return with_snapshots(source, settings.paths.snapshots)


def _refuse_a_wrong_place(settings: Settings) -> None:
    """Raw ids have no place in the lake, and kept rows are no delivery."""
    root = Path(settings.paths.snapshots).resolve()
    for name in ("lake", "raw"):
        folder = Path(getattr(settings.paths, name)).resolve()
        # A lake may lie in the folder of the files, and what is kept beside it too.
        if folder.is_relative_to(root) or (name == "lake" and root.is_relative_to(folder)):
            raise SettingsError(
                f"paths.snapshots is {root}, and paths.{name} is {folder}: they must lie apart, "
                "because snapshots hold the shop's own ids; leave paths.snapshots empty, and they "
                "lie beside the lake"
            )


def expire_snapshots(settings: Settings, until: dt.date | None, *, dry_run: bool = False) -> int:
    """Remove what is kept of deliveries that have expired; how many dates of how many datasets.

    Raises:
        StorageError: the disk or a permission refuses.
    """
    dates = 0
    for store in all_snapshots(settings.paths.snapshots) if until else ():
        assert until is not None
        with storage_errors(f"cannot remove snapshots in {store.root}"):
            old, paths = store.expiring(until)
            if (old or paths) and not dry_run:
                store.expire(until)
        dates += len(old)
    return dates
