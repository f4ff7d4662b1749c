"""`nightcart source check`: which columns of a retailer's files map, and what would become of them.

Reads the source YAML and all rows of the files of one day (of a dump and a snapshot, all its files;
of a table, a sample of its newest rows); writes nothing that stays. Shown are ten mapped rows, the
rows by outcome with values that were refused and what may mend it, the first and the last time, how
many users and items there are. Values are shown as the source maps them, before pseudonymisation,
because the reader wants to see that ids map: the output is for the retailer's own terminal.

A fault is what a night would fail for, or would publish wrong lists from: most rows refused, times
of 1970, ids of which digits are lost. What a person should look at is a warning.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.contracts.contract import load_contract
from pipeline.contracts.spark import quoted, row_rules
from pipeline.error_words import in_words
from pipeline.errors import ContractError, InputError, NightcartError
from pipeline.settings import Cleaning
from pipeline.sources.expressions import (
    expression_faults,
    first_true,
    mapped_values,
)
from pipeline.sources.file_checks import check_files
from pipeline.sources.file_pattern import DeliveredFile, no_path
from pipeline.sources.joined_files import joined_files
from pipeline.sources.joined_rows import AMBIGUOUS, UNMATCHED, WITHOUT_KEY, look_up_counts
from pipeline.sources.reader_columns import (
    BROKEN,
    FILE,
    LINE,
    NO_ELEMENT,
    UNKNOWN_KEY,
    found_column,
)
from pipeline.sources.readers import read_rows
from pipeline.sources.source import (
    KEY_COLUMN,
    TIME_COLUMN,
    Join,
    Source,
    SourceDataset,
    columns_read,
    with_timezone,
)
from pipeline.sources.source_yaml import load_source
from pipeline.sources.tables.open_table import Access
from pipeline.sources.tables.sample import SAMPLE_ROWS as TABLE_ROWS
from pipeline.sources.tables.sample import write_sample

SAMPLE_ROWS = 10
_IDS = " (17850.0 is not 17850: ids: {strip_decimal: true})"
_OUTCOME, ACCEPTED = "__outcome", "accepted"
_UNREADABLE = "quarantined: unreadable_line"
MOST_REFUSED = 0.5  # of the rows: beyond it, something is mapped wrongly
WORTH_A_WARNING = 0.01
USERS, LANGUAGE = "users", "language"
_PRIMARY_LANGUAGE = "^\\s*([A-Za-z]{2,3})(?=[-_]|\\s*$)"
_FIRST_TIME, _LAST_TIME, _UNIT_IS_WRONG = "1900-01-01", "2200-01-01", "1980-01-01"
_NO_FRACTION, _FRACTION, _LOST_DIGITS = (
    "^[0-9]+$",
    "^[0-9]+[.]0+$",
    "^[0-9][.,][0-9]+[eE][+]?[0-9]+$",
)
_JSON = r"^\s*([{].*[}]|[\[].*[\]])\s*$"


@dataclass(frozen=True)
class DatasetCheck:
    """The findings about one dataset of a source."""

    dataset: str
    files: list[str]
    mapped: dict[str, str]
    unmapped: list[str]
    unused: list[str]
    faults: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the dataset could be cleaned, as far as the look went."""
        return not self.faults

    def lines(self) -> Iterator[str]:
        """The findings as text, for a terminal."""
        some = f" and {len(self.files) - 3} more" if len(self.files) > 3 else ""
        yield f"{self.dataset}: {', '.join(self.files[:3]) or 'no file'}{some}"
        for column, sql in self.mapped.items():
            yield f"  {column:<12} <- {sql}"
        if self.unmapped:
            yield f"  not mapped (null): {', '.join(self.unmapped)}"
        if self.unused:
            yield f"  raw columns not used: {', '.join(self.unused)}"
        for fault in self.faults:
            yield f"  FAULT {fault}"
        for warning in self.warnings:
            yield f"  WARNING {warning}"
        for fact in self.facts:
            yield f"  {fact}"
        for outcome, rows in self.outcomes.items():
            yield f"  {rows:>8,} rows: {outcome}"
        for row in self.rows:
            yield "  " + ", ".join(f"{name}={value!r}" for name, value in row.items())


def check_source(  # noqa: PLR0917  where to look, and by whose clock and limits
    spark: SparkSession,
    source: str | Path | Source,
    raw_root: str | Path,
    date: dt.date | None = None,
    timezone: str = "UTC",
    limits: Cleaning | None = None,
    written_in: Collection[str] = (),
) -> list[DatasetCheck]:
    """Look at a source and at the files of one day (by default the newest there is).

    The outcome of a row follows from the source's rules and those of the contract that need nothing
    but the row; unknown items, duplicates and bots are left to cleaning.

    Args:
        spark: a session.
        source: or the file that it is read from.
        raw_root: where the files lie.
        date: the day; by default the newest.
        timezone: of the shop.
        limits: how much may be refused before a night stops; by default that of the defaults.
        written_in: primary languages that there are sentences in; none: users' are not asked for.

    Raises:
        ContractError: the YAML itself is wrong.
        InputError: the raw root is no folder.
    """
    if "://" in str(raw_root):
        raise InputError(f"{raw_root} is no folder: {no_path(str(raw_root))}")
    if not isinstance(source, Source):
        source = load_source(source)
    source = with_timezone(source, timezone)
    with tempfile.TemporaryDirectory(prefix="nightcart-check-") as directory:
        samples = _Samples(spark, source, Path(raw_root), Path(directory))
        checks = []
        for dataset in source.datasets.values():
            root = samples.root_of(dataset)
            files = _newest(dataset, root, date if root == raw_root else None)
            check, raw = _check(spark, dataset, (root, raw_root), files, samples.fault_of(dataset))
            if raw is not None and not check.faults:
                _look_at_rows(check, raw, dataset, limits or Cleaning(), written_in)
            checks.append(samples.described(dataset, check))
    return checks


class _Samples:
    """The tables of a source, a sample of each instead of its files."""

    def __init__(self, spark: SparkSession, source: Source, raw_root: Path, scratch: Path) -> None:
        self._raw_root, self._scratch = raw_root, scratch
        access = Access(raw_root, os.environ, lambda: spark, scratch)
        self._words: dict[str, str] = {}  # by the files that stand for the table
        self._faults: dict[str, str] = {}
        for dataset in source.datasets.values():
            if dataset.table is None:
                continue
            self._words[dataset.files] = dataset.table.words
            try:
                rows = write_sample(dataset, dataset.table, access)
                newest = f" newest by {dataset.table.watermark}" if dataset.table.watermark else ""
                if rows >= TABLE_ROWS:
                    self._words[dataset.files] += f" (a sample: {rows:,} rows{newest})"
                else:
                    self._words[dataset.files] += f" (all of its {rows:,} rows)"
            except NightcartError as error:
                self._faults[dataset.files] = str(error)

    def root_of(self, dataset: SourceDataset) -> Path:
        """Below which folder the dataset's files are looked for."""
        return self._scratch if dataset.files in self._words else self._raw_root

    def fault_of(self, dataset: SourceDataset) -> str | None:
        """Why its table could not be read; empty where it could, None where it has none."""
        return self._faults.get(dataset.files, "") if dataset.files in self._words else None

    def described(self, dataset: SourceDataset, check: DatasetCheck) -> DatasetCheck:
        """The findings, by the table's name."""
        words = self._words.get(dataset.files)
        return check if words is None else replace(check, files=[words])


def _newest(
    dataset: SourceDataset, raw_root: str | Path, date: dt.date | None
) -> list[DeliveredFile]:
    files = dataset.pattern.files(raw_root, date if dataset.delivery == "daily" else None)
    dates = [file.date for file in files if file.date is not None]
    return [file for file in files if not dates or file.date == max(dates)]


def _check(
    spark: SparkSession,
    dataset: SourceDataset,
    roots: tuple[str | Path, str | Path],
    files: list[DeliveredFile],
    fault: str | None = None,
) -> tuple[DatasetCheck, DataFrame | None]:
    """The findings about the files, and their rows.

    Of a table, its sample lies below the first root, and joined files below the second.
    """
    raw_root, joined_root = roots
    contract = load_contract(f"raw_{dataset.name}")
    faults = [
        f"map: {column.name} is required by the contract and not mapped"
        for column in contract.columns
        if not column.nullable and column.name not in dataset.mapping
    ]
    if fault:
        faults.append(fault)
    elif not files:
        faults.append(f"no file matches {dataset.files!r} below {raw_root}")
    if fault is None:
        days = {file.date for file in files}
        faults += dataset.pattern.no_files(raw_root, days, folders=not files)[:3]
    readable = files
    try:
        damaged = check_files(dataset, files)
    except InputError as error:
        faults.append(str(error))
        damaged, readable = [], []  # without its columns no file can be read
    faults += [str(damage) for damage in damaged]
    broken = [damage.file for damage in damaged]
    files, readable = ([file for file in some if file not in broken] for some in (files, readable))
    raw = None
    try:
        faults += _of_joined_files(dataset, joined_root)
        raw = read_rows(spark, dataset, raw_root, readable, joined_root=joined_root)
        faults += [f"{dataset.where}: {fault}" for fault in expression_faults(raw, dataset)]
    except (InputError, ContractError) as error:
        faults.append(str(error))
    check = DatasetCheck(
        dataset=dataset.name,
        files=[file.relative for file in files],
        mapped=dict(dataset.mapping),
        unmapped=[name for name in contract.column_names if name not in dataset.mapping],
        unused=[name for name in dataset.own.columns if name not in dataset.columns_that_count],
        faults=faults,
    )
    if dataset.delivery == "snapshot":
        check.facts.append(
            "a snapshot: each night keeps what it reads, and delivers what has changed since"
        )
    elif dataset.delivery == "dump" and dataset.name not in TIME_COLUMN and not dataset.row_time:
        check.warnings.append(
            "a dump that is joined, exploded or of several layouts is no snapshot: where its file "
            "is overwritten, tonight's rows become those of the first day, and every past day is "
            "cleaned again. Deliver it with {date} in its name, or joined already"
        )
    return check, raw


def _of_joined_files(dataset: SourceDataset, raw_root: str | Path) -> list[str]:
    """What is wrong with the files that a dataset is joined with.

    Raises:
        InputError: one has other columns than the source says.
    """
    tables = joined_files(dataset, raw_root)
    faults = [str(damage) for table in tables for damage in table.damaged]
    return faults + [
        f"with: {join.name}: no file matches {join.table.files!r} below {raw_root}"
        for join, table in zip(dataset.joins, tables, strict=True)
        if not table.files and join.table.required
    ]


def _look_at_rows(
    check: DatasetCheck,
    raw: DataFrame,
    dataset: SourceDataset,
    limits: Cleaning,
    written_in: Collection[str],
) -> None:
    """Fill in the outcomes, the facts, the sample, and what is wrong with the values."""
    mapped, unparsable = mapped_values(raw, dataset)
    removed_by, refused_for = first_true(dataset.remove), first_true(dataset.quarantine)
    if dataset.is_combined:  # as cleaning does
        removed_by = F.coalesce(F.col(NO_ELEMENT), F.when(F.col(BROKEN).isNull(), removed_by))
        refused_for = F.coalesce(F.col(BROKEN), refused_for)
    texts = {name: F.expr(f"CAST(({sql}) AS string)") for name, sql in dataset.mapping.items()}
    ruled = raw.select(
        FILE,
        LINE,
        UNKNOWN_KEY,
        removed_by.alias("__remove"),
        F.coalesce(refused_for, unparsable).alias("__refuse"),
        *(value.alias(name) for name, value in mapped.items()),
        *(text.alias(f"__text_{name}") for name, text in texts.items()),
    )
    outcome = (
        F.when(F.col(UNKNOWN_KEY).isNotNull(), F.concat(F.lit("unknown key "), F.col(UNKNOWN_KEY)))
        .when(F.col(LINE).isNotNull(), F.lit(_UNREADABLE))
        .when(F.col("__remove").isNotNull(), F.concat(F.lit("removed: "), "__remove"))
        .when(F.col("__refuse").isNotNull(), F.concat(F.lit("quarantined: "), "__refuse"))
        .otherwise(F.coalesce(_own_refusal(dataset), F.lit("accepted")))
    )
    rows = ruled.withColumn(_OUTCOME, outcome)
    try:
        found = _by_outcome(rows, dataset, written_in)
        accepted = rows.where(F.col(_OUTCOME) == ACCEPTED)
        first = accepted.select(*dataset.mapping).limit(10 * SAMPLE_ROWS).collect()
        conflicts = _conflicts(accepted, dataset)
        if dataset.is_combined:
            _judge_joins(check, raw, dataset)
        if any(one[_OUTCOME] == _UNREADABLE for one in found):
            _judge_unreadable(check, rows, limits)
    except (PySparkException, Py4JJavaError) as error:
        check.faults.append(f"an expression fails on a row: {in_words(error)}")
        return
    check.rows.extend(row.asDict() for row in [*dict.fromkeys(first)][:SAMPLE_ROWS])
    check.outcomes.update({one[_OUTCOME]: one["rows"] for one in found})
    _judge_refusals(check, found, dataset)
    if not found and dataset.required:
        check.faults.append(
            "there is no row: a night takes it for a failed delivery. Write required: false where "
            "a day without rows is normal"
        )
    _judge_ids(check, found, dataset)
    for one in found:
        if one[_OUTCOME] == ACCEPTED:
            _judge_accepted(check, one, dataset)
            if dataset.name == USERS and written_in:
                _judge_languages(check, one)
    if conflicts:
        check.warnings.append(
            f"{conflicts:,} values of {KEY_COLUMN[dataset.name]} have rows that differ: where they "
            "are of one day, all but one are quarantined. latest_by says which is the latest"
        )


def _judge_joins(check: DatasetCheck, raw: DataFrame, dataset: SourceDataset) -> None:
    """How many rows found their partner in each joined file, with a key that did not."""
    counts = look_up_counts(raw, dataset)
    if dataset.explode:
        check.facts.append(
            f"explode: {counts.raw_rows:,} rows of the file, {counts.no_element:,} without "
            f"{dataset.explode.element}, became {counts.rows:,} rows"
        )
    for join in dataset.joins:
        found = counts.found[join.name]
        total = sum(found.values())
        alone = found[UNMATCHED] + found[WITHOUT_KEY]
        said = f"with {join.name}: {alone:,} of {total:,} rows found none"
        said += f" ({found[WITHOUT_KEY]:,} have no key)" if found[WITHOUT_KEY] else ""
        if found[UNMATCHED]:
            said += f", such as {_unmatched_key(raw, join)}"
        if alone == total and total:
            check.faults.append(f"{said}: is on: right? Keys are compared as texts{_IDS}")
        elif alone > WORTH_A_WARNING * total:
            check.warnings.append(said)
        else:
            check.facts.append(said)
        if found[AMBIGUOUS]:
            check.warnings.append(
                f"with {join.name}: {found[AMBIGUOUS]:,} of {total:,} rows have a key with several "
                "rows that differ, and would be quarantined; latest_by says which of them counts"
            )


def _unmatched_key(raw: DataFrame, join: Join) -> str:
    keys = [F.expr(ours).cast("string").alias(f"key_{n}") for n, (ours, _) in enumerate(join.keys)]
    alone = F.col(quoted(found_column(join.name))) == UNMATCHED
    return ", ".join(repr(value) for row in raw.where(alone).select(*keys).take(1) for value in row)


def _by_outcome(rows: DataFrame, dataset: SourceDataset, written_in: Collection[str]) -> list[Row]:
    """Rows by outcome, the most first: how many, two values that were refused, times, ids."""
    refused = [
        F.when(F.col(_OUTCOME).startswith(f"quarantined: {name}_"), F.col(f"__text_{name}"))
        for name in sorted(dataset.mapping, key=len, reverse=True)
    ]
    value = F.coalesce(*refused, F.lit(None).cast("string"))
    columns = [
        F.count("*").alias("rows"),
        F.min(value).alias("low"),
        F.max(value).alias("high"),
    ]
    time = TIME_COLUMN.get(dataset.name, "")
    if time in dataset.mapping:
        columns += [
            F.min(time).cast("string").alias("first"),
            F.max(time).cast("string").alias("last"),
        ]
    if dataset.name == USERS and LANGUAGE in dataset.mapping and written_in:
        primary = F.lower(F.regexp_extract(LANGUAGE, _PRIMARY_LANGUAGE, 1))
        columns.append(F.count_if(primary.isin(*written_in)).alias("written to"))
    for name in _ids(dataset):
        column = F.col(name)
        columns += [
            F.approx_count_distinct(column).alias(f"different {name}"),
            *(
                F.count_if(column.rlike(pattern)).alias(f"{kind} {name}")
                for kind, pattern in (
                    ("plain", _NO_FRACTION),
                    ("fraction", _FRACTION),
                    ("lost", _LOST_DIGITS),
                    ("json", _JSON),
                )
            ),
        ]
    return rows.groupBy(_OUTCOME).agg(*columns).orderBy(F.desc("rows"), _OUTCOME).collect()


def _ids(dataset: SourceDataset) -> list[str]:
    return [name for name in ("user_id", "item_id") if name in dataset.mapping]


def _conflicts(accepted: DataFrame, dataset: SourceDataset) -> int:
    """Users or items with rows that differ in what is mapped."""
    if dataset.name in TIME_COLUMN or dataset.latest_by:
        return 0
    key = KEY_COLUMN[dataset.name]
    content = F.to_json(F.struct(*dataset.mapping))
    kinds = accepted.groupBy(key).agg(F.count_distinct(content).alias("kinds"))
    return kinds.where(F.col("kinds") > 1).count()


def _judge_unreadable(check: DatasetCheck, rows: DataFrame, limits: Cleaning) -> None:
    """Files of which so many lines cannot be read that a night takes them for another kind."""
    unreadable = F.count_if(F.col(_OUTCOME) == _UNREADABLE)
    lines = [F.count("*").alias("rows"), unreadable.alias("unreadable")]
    for one in rows.groupBy(FILE).agg(*lines).orderBy(FILE).collect():
        if one["unreadable"] > max(1, limits.max_unreadable_share * one["rows"]):
            check.faults.append(
                f"{one[FILE]}: {one['unreadable']:,} of {one['rows']:,} lines cannot be read "
                f"(cleaning.max_unreadable_share is {limits.max_unreadable_share:g}): are options "
                "and columns right?"
            )


def _judge_refusals(check: DatasetCheck, found: list[Row], dataset: SourceDataset) -> None:
    total = sum(one["rows"] for one in found)
    refused = [one for one in found if not one[_OUTCOME].startswith((ACCEPTED, "removed"))]
    judged = sum(one["rows"] for one in refused)
    most = judged > MOST_REFUSED * total
    if most:
        check.faults.append(
            f"{judged:,} of {total:,} rows would be refused; a night stops at "
            "cleaning.max_quarantined_share"
        )
    for one in refused:
        if most or one["rows"] > WORTH_A_WARNING * total:
            values = " and ".join(dict.fromkeys(repr(one[n]) for n in ("low", "high") if one[n]))
            said = f"{one['rows']:,} of {total:,} rows: {one[_OUTCOME]}"
            said += f", such as {values[:200]}" if values else ""
            said += proposal(dataset, one[_OUTCOME], [one["low"], one["high"]])
            check.warnings.append(said)
    if total and not check.outcomes.get(ACCEPTED) and not most:
        check.faults.append(f"not one of {total:,} rows is accepted")


def _judge_accepted(check: DatasetCheck, one: Row, dataset: SourceDataset) -> None:
    names = one.asDict()
    if names.get("first"):
        check.facts.append(f"from {one['first']} to {one['last']} UTC")
        if one["last"] < _UNIT_IS_WRONG:
            check.faults.append(
                f"all times lie before 1980 (the last is {one['last']}): is the unit in times "
                "right? epoch tells seconds, milliseconds and microseconds apart"
            )
        elif one["first"] < _UNIT_IS_WRONG:
            check.warnings.append(f"times begin in {one['first'][:10]}: does a 0 stand for none?")
    check.facts.extend(
        f"about {one[f'different {name}']:,} different values of {name}" for name in _ids(dataset)
    )


def _judge_languages(check: DatasetCheck, one: Row) -> None:
    without = one["rows"] - one.asDict().get("written to", 0)
    if without >= WORTH_A_WARNING * one["rows"]:
        check.warnings.append(
            f"{without:,} of {one['rows']:,} users have no language, or one without sentences, so "
            "no words are written to them; map BCP 47 tags (where all have the same, a constant: "
            "language: \"'en'\"), set reasons.default_language, or add sentences (reasons.voice)"
        )


def _judge_ids(check: DatasetCheck, found: list[Row], dataset: SourceDataset) -> None:
    """Ids of all rows: one that is refused today is accepted when its fault is mended."""
    for name in _ids(dataset):
        plain, fraction, lost, json_ = (
            sum(one[f"{kind} {name}"] for one in found)
            for kind in ("plain", "fraction", "lost", "json")
        )
        if json_:
            check.warnings.append(
                f"{json_:,} values of {name} are JSON objects or arrays; map the value inside, as "
                f"in get_json_object({dataset.mapping[name]}, '$.id')"
            )
        if lost:
            check.faults.append(
                f"{lost:,} values of {name} are written like 2.82E+18: a spreadsheet or a double has "
                "dropped their last digits, and different ones are now one; export the column as text"
            )
        if fraction:
            beside = f", {plain:,} like 17850: one id would be two" if plain else ""
            check.warnings.append(
                f"{fraction:,} values of {name} are written like 17850.0{beside}; write ids: "
                "{strip_decimal: true}"
            )


def proposal(dataset: SourceDataset, outcome: str, values: Sequence[str | None]) -> str:
    """What may mend values that are not of their column's type, as the end of a sentence."""
    contract = load_contract(f"raw_{dataset.name}")
    column = next(
        (one for one in contract.columns if outcome == f"quarantined: {one.name}_unparsable"), None
    )
    given = [value.strip() for value in values if value]
    if column is None or not given or column.name not in dataset.mapping:
        return ""
    if column.type == "double" and column.name in dataset.numbers:
        return f"; numbers says of {column.name} that other marks stand in it"
    kinds = _TIMES if column.type == "timestamp" else _PRICES
    kinds = _NUMBERS if column.type in ("int", "bigint") else kinds
    for pattern, words in kinds.items():
        if all(re.fullmatch(pattern, value) for value in given):
            return words.format(column.name)
    return ""


# What a text may look like -> what the source YAML may say of its column.
_TIMES = {
    pattern: f"; write times: {{{{{{}}: [{words}]}}}}"
    for pattern, words in {
        r"\d{10}(\.\d*)?": "epoch_seconds",
        r"\d{13}": "epoch_millis",
        r"\d{16}": "epoch_micros",
        r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}": '"dd.MM.yyyy HH:mm"',
        r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}:\d{2}": '"dd.MM.yyyy HH:mm:ss"',
        r"\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}": '"yyyy/MM/dd HH:mm:ss"',
        r"\d{8}": '"yyyyMMdd"',
    }.items()
}
_NUMBERS = {
    r"[+-]?\d{1,3}(\.\d{3})*,\d+|[+-]?\d+,\d+": (
        '; write numbers: {{{}: {{decimal: ",", group: "."}}}}'
    ),
    r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?": '; write numbers: {{{}: {{group: ","}}}}',
    r"[+-]?\d+\.\d+": "; {} is a whole number",
}
_CURRENCY = r"(?:[^\d\s.,+-]{1,3}|[A-Z]{3})"
_PRICES = {
    **{pattern: words for pattern, words in _NUMBERS.items() if "whole" not in words},
    rf"{_CURRENCY}\s*[+-]?[\d.]+|[+-]?[\d.]+\s*{_CURRENCY}": (
        "; write it without its currency: regexp_replace(…, '[^0-9.,+-]', '')"
    ),
    r"[+-]?\d{1,3}(?:[\s'’]\d{3})+(?:\.\d+)?": (
        "; write it without what stands between thousands: regexp_replace(…, '[^0-9.,+-]', '')"
    ),
}


def _own_refusal(dataset: SourceDataset) -> Column:
    """The first contract rule that a row breaks by itself; rules on the context are left out."""
    contract = load_contract(f"raw_{dataset.name}")
    context = [column.name for column in contract.context]
    cases = []
    time = TIME_COLUMN.get(dataset.name, "")
    if time in dataset.mapping:
        # As cleaning does by rules on the context: such a date stands for none.
        in_range = F.col(time).between(F.lit(_FIRST_TIME), F.lit(_LAST_TIME))
        cases.append(F.when(~in_range, F.lit(f"quarantined: {time}_out_of_range")))
    cases += [
        F.when(~F.coalesce(F.expr(predicate), F.lit(False)), F.lit(f"quarantined: {reason}"))
        for reason, predicate in row_rules(contract)
        if not columns_read(predicate, context)
    ]
    return F.coalesce(*cases, F.lit(None).cast("string"))
