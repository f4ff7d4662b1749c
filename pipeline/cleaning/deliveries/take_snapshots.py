"""A night keeps what it reads of files that the retailer overwrites (`delivery: snapshot`).

Reads the files below `paths.raw`, each once it stands still: the bytes are copied, the copy is
hashed and is all that is read, and a file that changed meanwhile is copied again. Writes what
`pipeline.sources.snapshots` describes. Content that the night before has kept already is not read
by Spark and not kept again.

Only columns that an expression of the source reads are kept, so that names and addresses in a
customers' file stay where they are. Rows of users who were erased are counted and not kept.

Gives up: a writer that stops in the middle of a file for longer than the copying takes. Deliver by
writing aside and renaming.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline import durable
from pipeline.cleaning.deliveries.corrupt_files import refuse_or_warn
from pipeline.cleaning.rows.pseudonym_column import pseudonym_column, was_erased
from pipeline.cleaning.spark_errors import explain
from pipeline.contracts.spark import quoted
from pipeline.encryption.parquet_files import row_count
from pipeline.errors import ContractError, InputError
from pipeline.intact import file_sha256
from pipeline.lake import Run, storage_errors
from pipeline.pseudonym import KeyFile
from pipeline.settings import Settings
from pipeline.sources.expressions import expression_faults, mapped_values
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.reader_columns import FILE, LINE, UNKNOWN_KEY
from pipeline.sources.readers import count_rows, read_rows
from pipeline.sources.snapshots import USER, Snapshots
from pipeline.sources.source import Source, SourceDataset

log = logging.getLogger("nightcart")

TRIES, PAUSE_SECONDS = 4, 1.0


@dataclass(frozen=True)
class Taking:
    """What the snapshots of one night are taken with.

    Attributes:
        erased: digests of users who are not to be taken in (`pipeline.erased`).
    """

    spark: SparkSession
    settings: Settings
    run: Run
    key: KeyFile
    erased: frozenset[str] = frozenset()


def take_snapshots(taking: Taking, source: Source) -> list[str]:
    """Keep what the night reads of each dataset that is delivered as a snapshot; warnings.

    A night before the newest that has read one takes none: it sees what was kept.

    Raises:
        ContractError: an expression of the source is wrong.
        InputError: a file is missing, empty, not what the source says, or does not stand still.
        DamagedError: what is kept cannot be read.
        StorageError: it cannot be kept.
    """
    warnings = []
    for dataset in source.datasets.values():
        if dataset.delivery != "snapshot":
            continue
        store = dataset.snapshots
        doing = f"cannot keep the snapshot of {dataset.name} in {store.root}"
        with storage_errors(doing), store.alone():
            warnings += _take(taking, source, dataset, store)
    for warning in warnings:
        log.warning("%s", warning)
    return warnings


def _take(taking: Taking, source: Source, dataset: SourceDataset, store: Snapshots) -> list[str]:
    date, dates = taking.run.run_date, store.dates()
    if dates and date < dates[0]:
        return [
            f"{dataset.name}: the first snapshot is of {dates[0]}: the night of {date} sees that "
            "one, and not the file as it was on that day"
        ]
    if dates and date < dates[-1]:
        seen = max(one for one in dates if one <= date)
        log.info("%s: the night of %s sees the snapshot of %s", dataset.name, date, seen)
        return []
    raw_root = taking.settings.paths.raw
    files = dataset.pattern.files(raw_root)
    newest = store.on(dates[-1]) if dates else None
    if not files:
        if dataset.required and date not in source.closed and date not in dates:
            raise InputError(
                f"{Path(raw_root) / dataset.pattern.on(date)} does not exist ({dataset.where}: "
                f"files {dataset.files!r}); deliver it, then run the date again"
            )
        return []
    made_of = _made_of(taking, dataset)
    is_kept = newest is not None and newest.manifest["made_of"] == made_of
    if newest is not None and is_kept and _hashes(newest.manifest["raw"]) == _hashes(_sums(files)):
        if date not in dates:
            store.note(date, newest, taking.run.run_id)
        log.info("%s: the file is as it was for the night of %s", dataset.name, dates[-1])
        return []
    aside = store.begin(date)
    try:
        made, warnings = _made(taking, dataset, files, aside, made_of)
        if made is None:
            if newest is None:
                raise InputError(f"{warnings[0]}; no other file of {dataset.where} can be read")
            instead = f"{dataset.name}: the night of {date} sees the snapshot of {dates[-1]}"
            return [*warnings, instead]
        digest = hashlib.sha256(
            json.dumps([made_of, _hashes(made["raw"]), made["kept"]], sort_keys=True).encode()
        )
        snapshot = store.put(aside / "kept", f"{date}.{digest.hexdigest()[:12]}", made)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if date in dates:
        log.warning("%s: the snapshot of %s is taken again", dataset.name, date)
    store.note(date, snapshot, taking.run.run_id)
    return warnings


def _made_of(taking: Taking, dataset: SourceDataset) -> str:
    """A digest of all that decides the kept rows beside the files."""
    said = [
        dataset.format,
        sorted(dataset.options.items()),
        dataset.columns,
        dataset.columns_that_count,
        dataset.may_be_absent,
        dataset.mapping.get("user_id", ""),
        dataset.timezone,
        taking.key.fingerprint,
        sorted(taking.erased),
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _made(
    taking: Taking,
    dataset: SourceDataset,
    files: Sequence[DeliveredFile],
    aside: Path,
    made_of: str,
) -> tuple[dict[str, Any] | None, list[str]]:
    """Write the rows of the files below `aside`; the manifest, and warnings.

    No manifest where a file is damaged and the settings have the night go on.
    """
    raw_root, date = taking.settings.paths.raw, taking.run.run_date
    copies = copy_whole(files, aside / "raw")
    try:
        damaged = check_files(dataset, copies)
    except InputError as error:
        raise InputError(
            str(error).replace(f"{aside / 'raw'}/", f"{raw_root.rstrip('/')}/")
        ) from None
    by_name = {file.relative: file for file in files}
    damaged = [
        type(one)(by_name[one.file.relative], one.fault, one.readable_rows) for one in damaged
    ]
    refuse_or_warn(damaged, taking.settings.cleaning.on_corrupt_file)
    if damaged:
        return None, [str(one) for one in damaged]
    try:
        counted = count_rows(taking.spark, dataset, aside / "raw", copies)
        kept = _write(taking, dataset, copies, aside)
    except (PySparkException, Py4JJavaError) as error:
        explain(error, dataset)
        raise
    rows = sum(counted.values())
    if not rows and dataset.required:
        raise InputError(
            f"{Path(raw_root) / dataset.pattern.on(date)} holds no row; {dataset.where} is "
            "required, so an empty file is taken for a failed delivery (write required: false "
            "where it is normal); deliver it, then run the date again"
        )
    if kept > rows or (kept < rows and not taking.erased):
        raise InputError(
            f"{dataset.where}: {rows:,} lines in {dataset.files}, but {kept:,} rows were read; do "
            "fields hold line breaks? Then write options: {multiline: true}"
        )
    return {
        "made_of": made_of,
        "raw": _sums(copies),
        "rows": counted,
        "kept": kept,
        "erased": rows - kept,
        "columns": list(dataset.columns_that_count),
        "user_columns": list(dict.fromkeys((*dataset.user_columns, *dataset.users_elsewhere))),
    }, []


def _write(taking: Taking, dataset: SourceDataset, copies: list[DeliveredFile], aside: Path) -> int:
    """The rows as the reader gives them, without those of erased users; how many."""
    # Words that stand for no value are asked when the rows are read back: they may be corrected.
    plain = dataclasses.replace(dataset, null_words=())
    raw = read_rows(taking.spark, plain, aside / "raw", copies)
    if faults := expression_faults(raw, dataset):
        raise ContractError(f"{dataset.where}: " + "; ".join(faults))
    user = F.lit(None).cast("string")
    if "user_id" in dataset.mapping:
        user = pseudonym_column(mapped_values(raw, dataset)[0]["user_id"], taking.key)
    kept = [F.col(quoted(name)) for name in dataset.columns_that_count]
    rows = raw.select(*kept, FILE, LINE, UNKNOWN_KEY, user.alias(USER))
    if taking.erased:
        gone = F.coalesce(was_erased(F.col(USER), taking.key, taking.erased), F.lit(False))
        rows = rows.where(~gone)
    rows.write.parquet(str(aside / "rows"))
    folder = aside / "kept"
    folder.mkdir()
    written = sorted((aside / "rows").glob("part-*.parquet"))
    for number, path in enumerate(written):
        path.rename(folder / f"rows-{number:05d}.parquet")
    return sum(row_count(path) for path in folder.iterdir())


def copy_whole(
    files: Sequence[DeliveredFile],
    folder: Path,
    *,
    tries: int = TRIES,
    pause_seconds: float = PAUSE_SECONDS,
) -> list[DeliveredFile]:
    """Copies of files that did not change while they were copied.

    Raises:
        InputError: a file changed at each try.
    """
    copies = []
    for file in files:
        target = folder / file.relative
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(tries)):
            if _stood_still(file.path, target):
                break
            if left:
                log.info("%s changed while it was copied; it is copied again", file.path)
                time.sleep(pause_seconds)
        else:
            raise InputError(
                f"{file.path} is being written: it changed each of the {tries} times that it was "
                "copied. Have it written aside and renamed, then run the date again"
            )
        copies.append(dataclasses.replace(file, path=target))
    return copies


def _stood_still(path: Path, target: Path) -> bool:
    try:
        before = _stamp(path)
        durable.copy(path, target)
        return before == _stamp(path) and target.stat().st_size == before[0]
    except FileNotFoundError:
        return False  # between the removal of the old file and the new one


def _stamp(path: Path) -> tuple[int, int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _sums(files: Iterable[DeliveredFile]) -> dict[str, dict[str, Any]]:
    return {
        file.relative: {"bytes": file.path.stat().st_size, "sha256": file_sha256(file.path)}
        for file in files
    }


def _hashes(sums: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: of["sha256"] for name, of in sums.items()}
