"""The retailer's own ids by pseudonym: from each kind of file, newest first, and by Spark."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.errors import InputError
from pipeline.exports.own_ids import _connection, own_ids, plain_column
from pipeline.pseudonym import pseudonym
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import Source, SourceDataset, with_timezone
from pipeline.sources.source_yaml import parse_source
from pipeline.sources.user_ids import given_user_ids
from tests.key_files import key_file

KEY = b"k" * 32
PEOPLE = ["0017", " 17", "ann@shop.example", 'o"neil, a', "müller", "17850.0", "NULL", "17850"]
HEAD = "source: test\ndescription: A shop.\ndatasets:\n  events:\n"
EVENTS = """\
    files: "events_{date}.csv"
    format: csv
    columns: [when, who, what]
    map: {event_time: when, event_type: "'view'", user_id: who, item_id: what}
"""


def source_of(users: str) -> Source:
    return with_timezone(parse_source(f"{HEAD}{EVENTS}  users:\n{users}", "shop.yaml"), "UTC")


def no_spark(dataset: SourceDataset, files: Sequence[DeliveredFile]) -> Iterable[str]:
    raise AssertionError(f"Spark was asked for {dataset.name}")


def users(form: str, more: str = "", sql: str = "user") -> str:
    suffix = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet"}[form]
    return f"""\
    files: "users_{{date}}.{suffix}"
    format: {form}
    columns: [user, consent]
    map: {{user_id: "{sql}", consent: consent}}
{more}"""


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_csv(path: Path, people: Sequence[str]) -> None:
    lines = ["user,consent", *(f"{quoted(own)},true" for own in people)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_gz(path: Path, people: Sequence[str]) -> None:
    write_csv(path, people)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def write_jsonl(path: Path, people: Sequence[str]) -> None:
    lines = [json.dumps({"user": own, "consent": True}) for own in people]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_parquet(path: Path, people: Sequence[str]) -> None:
    pq.write_table(pa.table({"user": list(people), "consent": ["true"] * len(people)}), path)


@pytest.mark.parametrize(
    ("form", "write", "name"),
    [
        ("csv", write_csv, "users_2026-03-01.csv"),
        ("csv", write_gz, "users_2026-03-01.csv"),
        ("jsonl", write_jsonl, "users_2026-03-01.jsonl"),
        ("parquet", write_parquet, "users_2026-03-01.parquet"),
    ],
    ids=["csv", "csv.gz", "jsonl", "parquet"],
)
def test_a_plain_column_is_read_without_spark(
    tmp_path: Path, form: str, write: Callable[[Path, Sequence[str]], None], name: str
) -> None:
    write(tmp_path / name, PEOPLE)
    wanted = {pseudonym(own, KEY): own for own in PEOPLE}
    found = own_ids(source_of(users(form)), str(tmp_path), KEY, set(wanted), no_spark)
    assert found == wanted


def test_of_people_in_no_file_nothing_is_said(tmp_path: Path) -> None:
    write_csv(tmp_path / "users_2026-03-01.csv", ["ann", "bob"])
    wanted = {pseudonym(own, KEY) for own in ("bob", "zoe")}
    found = own_ids(source_of(users("csv")), str(tmp_path), KEY, wanted, no_spark)
    assert found == {pseudonym("bob", KEY): "bob"}


def test_the_newest_files_are_enough_where_they_know_everybody(tmp_path: Path) -> None:
    write_csv(tmp_path / "users_2026-03-02.csv", ["ann"])
    # Never opened: it has not the source's columns.
    (tmp_path / "users_2026-01-01.csv").write_text("what,ever\n1,2\n")
    for day in range(1, 29):
        write_csv(tmp_path / f"users_2026-02-{day:02}.csv", ["zoe"])
    for day in range(10, 15):
        write_csv(tmp_path / f"users_2026-01-{day:02}.csv", ["zoe"])
    wanted = {pseudonym("ann", KEY)}
    source = source_of(users("csv"))
    assert len(own_ids(source, str(tmp_path), KEY, wanted, no_spark)) == 1
    with pytest.raises(InputError, match="names none of the columns user,consent"):
        own_ids(source, str(tmp_path), KEY, {*wanted, "0" * 32}, no_spark)


def test_events_tell_who_is_in_no_file_of_users(tmp_path: Path) -> None:
    write_csv(tmp_path / "users_2026-03-01.csv", ["ann"])
    (tmp_path / "events_2026-02-01.csv").write_text("when,who,what\n2026-02-01 10:00:00,bob,i1\n")
    wanted = {pseudonym(own, KEY) for own in ("ann", "bob")}
    found = own_ids(source_of(users("csv")), str(tmp_path), KEY, wanted, no_spark)
    assert set(found.values()) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("user,consent\n,true\n,false\n", "none of the 1 shoppers is in the files below"),
        ("user,consent\n", "none of the 1 shoppers is in the files below"),
        ("customer,consent\nann,true\n", "column user is missing"),
        (None, r"looked at 0 of users \(users_\{date\}.csv\), 0 of events"),
    ],
    ids=["blank ids", "no rows", "no column", "no file"],
)
def test_files_without_ids_are_one_message(tmp_path: Path, rows: str | None, says: str) -> None:
    if rows is not None:
        (tmp_path / "users_2026-03-01.csv").write_text(rows)
    wanted = {pseudonym("ann", KEY)}
    with pytest.raises(InputError, match=says) as refused:
        own_ids(source_of(users("csv")), str(tmp_path), KEY, wanted, no_spark)
    assert "\n" not in str(refused.value)


def test_ids_are_not_put_aside_on_the_disk() -> None:
    with _connection() as connection:
        assert connection.execute("SELECT current_setting('temp_directory')").fetchall() == [("",)]


@pytest.mark.parametrize(
    ("sql", "column"),
    [("user", "user"), ("`user`", "user"), ("USER", "user"), ("trim(user)", None), ("'x'", None)],
)
def test_which_mapping_is_plain(sql: str, column: str | None) -> None:
    dataset = source_of(users("csv", sql=sql)).datasets["users"]
    assert plain_column(dataset) == column


@pytest.mark.parametrize("sql", ["trim(user)", "user"])
def test_an_expression_and_another_encoding_are_sparks(tmp_path: Path, sql: str) -> None:
    more = "" if sql != "user" else "    options: {encoding: latin-1}\n"
    source = source_of(users("csv", more, sql=sql))
    for day in (1, 2):
        write_csv(tmp_path / f"users_2026-03-0{day}.csv", ["someone"])
    asked: list[str] = []

    def by_spark(dataset: SourceDataset, files: Sequence[DeliveredFile]) -> Iterable[str]:
        asked.extend(file.relative for file in files)
        return ["ann", "bob"]

    found = own_ids(source, str(tmp_path), KEY, {pseudonym("bob", KEY)}, by_spark)
    assert list(found.values()) == ["bob"]
    assert sorted(asked) == ["users_2026-03-01.csv", "users_2026-03-02.csv"]


@pytest.mark.parametrize("options", ["", "    options: {multiline: true}\n"])
def test_quotes_that_go_over_lines_are_sparks(tmp_path: Path, options: str) -> None:
    many = [f"u{n}" for n in range(3000)]
    stray = '"two\nlines",true' if options else '"cut off,true'
    lines = ["user,consent", *(f"{own},true" for own in many), stray, "zoe,true"]
    (tmp_path / "users_2026-03-01.csv").write_text("\n".join(lines) + "\n")
    # Newer, and good: it is read at once.
    write_csv(tmp_path / "users_2026-03-02.csv", ["ann"])
    asked: list[str] = []

    def by_spark(dataset: SourceDataset, files: Sequence[DeliveredFile]) -> Iterable[str]:
        asked.extend(file.relative for file in files)
        return ["ann", *many, "zoe"] if options else [*many, "zoe"]

    wanted = {pseudonym(own, KEY): own for own in ("ann", "u7", "zoe")}
    source = source_of(users("csv", options))
    assert own_ids(source, str(tmp_path), KEY, set(wanted), by_spark) == wanted
    newer = ["users_2026-03-02.csv"] if options else []
    assert sorted(asked) == ["users_2026-03-01.csv", *newer]


def test_spark_gives_the_ids_that_cleaning_hashes(spark: SparkSession, tmp_path: Path) -> None:
    from pipeline.cleaning.rows.pseudonym_column import pseudonym_column
    from pipeline.sources.expressions import mapped_values
    from pipeline.sources.readers import read_rows

    source = source_of(users("csv", sql="split_part(trim(user), '.', 1)"))
    write_csv(tmp_path / "users_2026-03-01.csv", [*PEOPLE, "", "  "])
    dataset = source.datasets["users"]
    files = dataset.pattern.files(tmp_path)
    key = key_file(tmp_path, KEY)
    cleaned, _ = mapped_values(raw := read_rows(spark, dataset, tmp_path, files), dataset)
    wanted = {
        row[0] for row in raw.select(pseudonym_column(cleaned["user_id"], key)).collect() if row[0]
    }
    found = own_ids(
        source,
        str(tmp_path),
        KEY,
        wanted,
        lambda of, some: given_user_ids(spark, of, tmp_path, some),
    )
    assert set(found) == wanted
    assert {"17850", "müller"} <= set(found.values())
