"""Stage `publish`: checked lists become what readers see, all at once or not at all.

Reads `generated` of the same run, what `checks` compares it with, and who has withdrawn consent by
now, also after the night: they are left out. The manifest names what the run made beside the lists
(triggers, lists of items); triggers of people who have withdrawn are written again without
theirs, and whoever reads them leaves out who withdraws later. Writes, in this
order:

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

import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.code_version import code_version
from pipeline.datasets import (
    BESIDE_LISTS,
    CATALOGUE,
    CLEANED_USERS,
    GENERATED,
    HISTORIES,
    RECOMMENDATIONS,
    TRIGGERS,
)
from pipeline.encryption.parquet_files import is_encrypted, read_table
from pipeline.errors import GateError, InputError, StorageError
from pipeline.intact import file_sha256
from pipeline.lake import Lake, Partition, Run, storage_errors
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.list_validity import last_valid_day
from pipeline.publishing.checks import Inputs, check_recommendations
from pipeline.publishing.consent import known_until, withdrawn_from
from pipeline.publishing.list_origin import lineage_of_lists, with_beside
from pipeline.publishing.views import views_beside
from pipeline.settings import Settings
from pipeline.stages import PUBLISH

log = logging.getLogger("nightcart")

SCHEMA = f"{RECOMMENDATIONS}.v1"
# In a manifest of triggers: how many of users who had withdrawn by the publish are not in it.
TRIGGERS_LEFT_OUT = "withdrawn_rows"
_OWN_FACTS = ("dataset", "run_date", "run_id", "rows", "files", "seal")


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
        with lake.writing(RECOMMENDATIONS, run):
            return _publish(lake, run, settings)
    except StorageError as error:
        raise type(error)(f"{error}. {_what_readers_see(lake, run, pointed)}") from error


def _publish(lake: Lake, run: Run, settings: Settings) -> Published:
    generated = _generated(lake, run)
    scratch = lake.work(PUBLISH, run)
    with storage_errors(f"cannot check {generated.path}"):
        counts = check_recommendations(_inputs(lake, generated, settings, scratch))
        shutil.rmtree(scratch, ignore_errors=True)
    log.info("checked %s lists: fit to be published", f"{counts['users']:,}")

    withdrawn = withdrawn_from(lake, generated)
    if withdrawn:
        log.warning(
            "%s users of the lists of %s have withdrawn consent since: they are left out",
            f"{len(withdrawn):,}",
            run.run_date,
        )
    made = {name: lake.committed(name, run) for name in BESIDE_LISTS}
    triggers = made[TRIGGERS]
    if triggers is not None:
        made[TRIGGERS] = triggers = _without_withdrawn(lake, run, triggers)
    beside = [partition for partition in made.values() if partition is not None]
    made_of = _fingerprint(generated, withdrawn, beside)
    partition = _published_before(lake, run, made_of)
    if partition is None:
        _put_files(lake, run, generated, withdrawn)
        partition = lake.close(
            RECOMMENDATIONS,
            run,
            rows=generated.rows - len(withdrawn),
            schema=SCHEMA,
            k=settings.generation.k,
            spares=settings.generation.spares,
            valid_days=settings.generation.valid_days,
            source=settings.shop.source,
            seed=settings.seed,
            generated_by=run.run_id,
            code=code_version(),
            counts=counts,
            withdrawn=len(withdrawn),
            consent_until=known_until(lake, run.run_date).isoformat(),
            made_of=made_of,
            **with_beside(lineage_of_lists(lake, generated), beside).facts(),
        )
    line = LedgerLine(
        run_date=run.run_date,
        run_id=run.run_id,
        stage=PUBLISH,
        dataset=GENERATED,
        rows_in=generated.rows,
        rows_out=partition.rows,
        removed={"consent_withdrawn": len(withdrawn)} if withdrawn else {},
    )
    write_ledger(lake, run, PUBLISH, [line, *_triggers_left_out(run, triggers)])
    is_latest = lake.publish(
        RECOMMENDATIONS, partition, lambda newest: views_beside(lake, newest, adding=partition)
    )
    log.info("published %s as %s", partition.path, "the latest" if is_latest else "history")
    report = counts | {
        "path": str(partition.path),
        "run_id": partition.directory_id,
        "files": len(partition.paths),
        "latest": is_latest,
        **({"withdrawn": len(withdrawn)} if withdrawn else {}),
    }
    return Published(partition, line, report)


def _without_withdrawn(lake: Lake, run: Run, triggers: Partition) -> Partition:
    """The run's triggers; where users have withdrawn since, written again without theirs.

    A retry finds what was written again, and nobody left in it who has withdrawn.
    """
    gone = pa.array(sorted(set(withdrawn_from(lake, triggers))), pa.string())
    if not len(gone):
        return triggers
    files, rows, kinds = triggers.files, 0, Counter[str]()
    directory = lake.begin(TRIGGERS, run)
    with storage_errors(f"cannot write {directory}"):
        for file in files:
            table = read_table(file)
            stay = table.filter(pc.invert(pc.is_in(table.column("user_id"), value_set=gone)))
            pq.write_table(stay, directory / file.name, compression="zstd")
            rows += stay.num_rows
            kinds.update(map(str, stay.column("kind").to_pylist()))
    left_out = triggers.manifest.get(TRIGGERS_LEFT_OUT, 0) + triggers.rows - rows
    facts = {key: said for key, said in triggers.manifest.items() if key not in _OWN_FACTS}
    facts |= {"kinds": dict(sorted(kinds.items())), TRIGGERS_LEFT_OUT: left_out}
    log.warning("%s users of the triggers have withdrawn consent since", f"{len(gone):,}")
    return lake.commit(TRIGGERS, run, rows=rows, **facts)


def _triggers_left_out(run: Run, triggers: Partition | None) -> list[LedgerLine]:
    """What became of triggers that users who have withdrawn had; of none, no line."""
    left_out = triggers.manifest.get(TRIGGERS_LEFT_OUT, 0) if triggers is not None else 0
    if triggers is None or not left_out:
        return []
    return [
        LedgerLine(
            run_date=run.run_date,
            run_id=run.run_id,
            stage=PUBLISH,
            dataset=TRIGGERS,
            rows_in=triggers.rows + left_out,
            rows_out=triggers.rows,
            removed={"consent_withdrawn": left_out},
        )
    ]


def _pointed(lake: Lake, run: Run) -> list[Path]:
    """What the pointers name of this date; a publish of another date may move the rest any time."""
    named = (lake.whole(RECOMMENDATIONS, run.run_date), lake.whole_latest(RECOMMENDATIONS))
    return [
        partition.path for partition in named if partition and partition.run_date == run.run_date
    ]


def _what_readers_see(lake: Lake, run: Run, before: list[Path]) -> str:
    """What the pointers say after a failure: they decide, not how far the code believes it got."""
    latest = lake.whole_latest(RECOMMENDATIONS)
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
        histories=lake.require(HISTORIES, night),
        catalogue=lake.require(CATALOGUE, night),
        users=lake.past(CLEANED_USERS, night),
        k=settings.generation.k,
        spares=settings.generation.spares,
        valid_until=last_valid_day(night, settings.generation.valid_days),
        exclude_owned=settings.generation.exclude_owned,
        scratch=scratch,
    )


def _fingerprint(
    generated: Partition, withdrawn: Sequence[str], beside: Sequence[Partition]
) -> str:
    """What says which rows are published: the generated files, who is left out, what is beside."""
    said: list[object] = [generated.manifest["files"], list(withdrawn)]
    said += [[part.manifest["dataset"], part.directory_id] for part in beside]
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _published_before(lake: Lake, run: Run, made_of: str) -> Partition | None:
    """The same rows in a directory that an earlier attempt of this run has closed."""
    for attempt in lake.attempts(RECOMMENDATIONS, run):
        if attempt.manifest.get("made_of") == made_of and attempt.is_intact():
            return attempt
    return None


def _put_files(lake: Lake, run: Run, generated: Partition, withdrawn: Sequence[str]) -> None:
    """Fill a directory with verified files; what an unfinished attempt left is removed.

    A file with rows of users who have withdrawn is written again without these, and an encrypted
    one plainly.
    """
    gone = pa.array(withdrawn, pa.string())
    directory = lake.begin(RECOMMENDATIONS, run)
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
            if withdrawn or is_encrypted(final):
                _write_again(final, gone)


def _write_again(file: Path, gone: pa.StringArray) -> None:
    """Put a plain file, without some users, in the place of a link to the generated one."""
    rows = read_table(file)
    stay = pc.invert(pc.is_in(rows.column("user_id"), value_set=gone))
    if is_encrypted(file) or not pc.all(stay).as_py():
        with durable.in_place(file) as target:
            pq.write_table(rows.filter(stay), target, compression="zstd")


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link needs no room; a copy is flushed to the disk before anybody relies on it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        durable.copy(source, target)
