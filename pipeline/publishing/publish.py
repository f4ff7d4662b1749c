"""Stage `publish`: checked lists become what readers see, all at once or not at all.

Reads `generated` of the same run, and what `checks` compares it with. Writes, in this order:

1. `recommendations/run_date=D/run_id=R/`: each file linked (or copied, across file systems) under
   a hidden name, its SHA-256 compared with the generated manifest's, then renamed;
2. its `manifest.json`, and the stage's ledger line;
3. `views.sql` (see `views`), `latest.json` and `current.json`, all three aside;
4. three renames: `run_date=D/current.json` puts the night into the history,
   `recommendations/latest.json` makes it the latest, unless a later night is published already,
   and `views.sql` follows.

Until step 4 nothing that a reader sees has changed, and step 4 needs no room. Each step leaves
every reader with a whole night, yesterday's or this one; a retry takes up from wherever the last
attempt stopped. A published directory is never written again: if the same run has been generated
anew with other rows, they are published beside it as `R.2`, `R.3` ….
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.code_version import code_version
from pipeline.errors import GateError, InputError, StorageError
from pipeline.lake import Lake, Partition, Run, file_sha256, storage_errors
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.publishing.checks import Inputs, check_recommendations
from pipeline.publishing.made_from import made_from
from pipeline.publishing.views import views_beside
from pipeline.settings import Settings

log = logging.getLogger("nightcart")

STAGE = "publish"
DATASET = "recommendations"
GENERATED = "generated"
SCHEMA = "recommendations.v1"


@dataclass(frozen=True)
class Published:
    """What the stage did: its ledger line and the figures people are shown."""

    partition: Partition
    ledger: LedgerLine
    report: dict[str, Any]


def publish(lake: Lake, run: Run, settings: Settings) -> Published:
    """Check and publish what this run generated.

    Raises:
        InputError: this run has generated nothing for the date.
        GateError: a check found a fault; nothing was published.
        StorageError: the disk or a permission refuses; the message says what readers see.
    """
    pointed = _pointed(lake, run)
    try:
        return _publish(lake, run, settings)
    except StorageError as error:
        raise StorageError(f"{error}. {_what_readers_see(lake, run, pointed)}") from error


def _publish(lake: Lake, run: Run, settings: Settings) -> Published:
    generated = _generated(lake, run)
    scratch = lake.work(STAGE, run)
    with storage_errors(f"cannot check {generated.path}"):
        counts = check_recommendations(_inputs(lake, generated, settings, scratch))
        shutil.rmtree(scratch, ignore_errors=True)
    log.info("checked %s lists: fit to be published", f"{counts['users']:,}")

    partition = _published_before(lake, run, generated)
    if partition is None:
        _put_files(lake, run, generated)
        partition = lake.close(
            DATASET,
            run,
            rows=generated.rows,
            schema=SCHEMA,
            k=settings.generation.k,
            source=settings.shop.source,
            seed=settings.seed,
            generated_by=run.run_id,
            made_from=made_from(lake, generated),
            code=code_version(),
            counts=counts,
        )
    line = LedgerLine(run.run_date, run.run_id, STAGE, GENERATED, generated.rows, partition.rows)
    write_ledger(lake, run, STAGE, [line])
    is_latest = lake.publish(
        DATASET, partition, lambda newest: views_beside(lake, newest, adding=partition)
    )
    log.info("published %s as %s", partition.path, "the latest" if is_latest else "history")
    report = counts | {
        "path": str(partition.path),
        "run_id": partition.directory_id,
        "files": len(partition.files),
        "latest": is_latest,
    }
    return Published(partition, line, report)


def _pointed(lake: Lake, run: Run) -> list[Path]:
    """What the pointers name of this date; a publish of another date may move the rest any time."""
    named = (lake.current(DATASET, run.run_date), lake.latest(DATASET))
    return [
        partition.path for partition in named if partition and partition.run_date == run.run_date
    ]


def _what_readers_see(lake: Lake, run: Run, before: list[Path]) -> str:
    """What the pointers say after a failure: they decide, not how far the code believes it got."""
    latest = lake.latest(DATASET)
    seen = f"readers see {latest.path}" if latest else "readers have no night yet"
    if _pointed(lake, run) == before:
        return f"Nothing was published: {seen}"
    return f"It is published all the same ({seen}); the next attempt finishes what is left"


def _generated(lake: Lake, run: Run) -> Partition:
    """This run's lists: another run's of the same date may have been made from other data."""
    generated = lake.require(GENERATED, run.run_date)
    if generated.run_id != run.run_id:
        raise InputError(
            f"the lists of {run.run_date} in {lake.root} were generated by run "
            f"{generated.run_id!r}, not by this run {run.run_id!r}; run generate for this run, or "
            f"publish with --run-id {generated.run_id}"
        )
    return generated


def _inputs(lake: Lake, generated: Partition, settings: Settings, scratch: Path) -> Inputs:
    night = generated.run_date
    return Inputs(
        generated=generated,
        histories=lake.require("histories", night),
        catalogue=lake.require("catalogue", night),
        users=lake.past("cleaned_users", night),
        k=settings.generation.k,
        exclude_owned=settings.generation.exclude_owned,
        scratch=scratch,
    )


def _published_before(lake: Lake, run: Run, generated: Partition) -> Partition | None:
    """The same files in a directory that an earlier attempt of this run has closed."""
    for attempt in lake.attempts(DATASET, run):
        if attempt.manifest["files"] == generated.manifest["files"]:
            return attempt
    return None


def _put_files(lake: Lake, run: Run, generated: Partition) -> None:
    """Fill a directory with verified files; what an unfinished attempt left is removed."""
    directory = lake.begin(DATASET, run)
    with storage_errors(f"cannot publish to {directory}"):
        for entry in generated.manifest["files"]:
            source, final = generated.path / entry["path"], directory / entry["path"]
            final.parent.mkdir(parents=True, exist_ok=True)
            aside = final.with_name(f".{final.name}.aside")
            _link_or_copy(source, aside)
            if (found := file_sha256(aside)) != entry["sha256"]:
                raise GateError(
                    f"{source} has SHA-256 {found}, its manifest says {entry['sha256']}: the file "
                    "was changed or damaged after it was generated. Nothing was published; run "
                    "generate again"
                )
            aside.replace(final)


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link needs no room; a copy is flushed to the disk before anybody relies on it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        with source.open("rb") as reader, target.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
