"""`nightcart source check`: what it finds in values, and what it says may mend it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.cli.main import main
from pipeline.encryption.parquet_files import is_encrypted
from pipeline.errors import ContractError, InputError
from pipeline.sources.check import check_source, proposal
from pipeline.sources.required import missing_datasets
from pipeline.sources.source_yaml import load_source, parse_source

SHOP = """
source: shop
description: A dump of events.
datasets:
  events:
    files: "events.csv"
    format: csv
    delivery: dump
    options: {delimiter: ";"}
    columns: [user, item, price, time]
    map: {event_time: time, event_type: "'purchase'", user_id: user, item_id: item, price: price}
"""
USERS = """
  users:
    files: "users.csv"
    format: csv
    delivery: dump
    columns: [user, agrees, region]
    map: {user_id: user, consent: "agrees = 'Y'", region: region}
"""


def shop(tmp_path: Path, *rows: str, more: str = "") -> Path:
    (tmp_path / "events.csv").write_text("user;item;price;time\n" + "\n".join(rows) + "\n")
    (tmp_path / "shop.yaml").write_text(SHOP + more)
    return tmp_path / "shop.yaml"


def test_most_rows_refused_is_a_fault_with_values_and_a_remedy(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Then, with what it proposed, none is; one user stays two until ids are put right."""
    rows = ["17850.0;A1;12,50;2026-03-01", "17850;A2;1.299,00;2026-03-02", "3.5E12;A;1;2026-03-03"]
    yaml = shop(tmp_path, *rows)
    (check,) = check_source(spark, yaml, tmp_path)
    assert not check.ok
    assert any("2 of 3 rows would be refused" in fault for fault in check.faults)
    assert any("3.5E12" not in fault and "2.82E+18" in fault for fault in check.faults)
    warned = " ".join(check.warnings)
    assert "such as '1.299,00' and '12,50'" in warned
    assert 'write numbers: {price: {decimal: ",", group: "."}}' in warned
    assert "1 values of user_id are written like 17850.0, 1 like 17850" in warned

    right = '    numbers: {price: {decimal: ",", group: "."}}\n    ids: {strip_decimal: true}\n'
    (check,) = check_source(spark, shop(tmp_path, *rows[:2], more=right), tmp_path)
    assert (check.faults, check.warnings) == ([], [])
    assert [(row["user_id"], row["price"]) for row in check.rows] == [
        ("17850", 12.5),
        ("17850", 1299.0),
    ]
    assert check.facts[:2] == [
        "from 2026-03-01 00:00:00 to 2026-03-02 00:00:00 UTC",
        "about 1 different values of user_id",
    ]


def test_a_wrong_unit_users_who_differ_and_languages(spark: SparkSession, tmp_path: Path) -> None:
    """Seconds that were read as milliseconds lie in 1970; N and S are no languages."""
    (tmp_path / "users.csv").write_text("user,agrees,region\nu1,Y,N\nu1,Y,S\nu2,N,\nu2,N,\n")
    millis = "    times: {event_time: [epoch_millis]}\n"
    named = USERS.replace("region: region", "language: region")
    users, events = check_source(
        spark,
        shop(tmp_path, "u1;A;1;1772359200", more=millis + named),
        tmp_path,
        written_in={"en", "de"},
    )
    assert "all times lie before 1980" in events.faults[0]
    assert users.ok
    languages, differ = users.warnings
    assert languages.startswith("4 of 4 users have no language, or one without sentences")
    assert differ.startswith("1 values of user_id have rows that differ")


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("event_time", ["1772359200", "1772359201.5"], "[epoch_seconds]"),
        ("event_time", ["01.03.2026 10:15"], '["dd.MM.yyyy HH:mm"]'),
        ("event_time", ["1772359200", "01.03.2026 10:15"], ""),
        ("price", ["1,299.00"], 'numbers: {price: {group: ","}}'),
        ("quantity", ["1.5"], "quantity is a whole number"),
        ("price", ["1.5.1"], ""),
        ("price", ["$12.50", "12.50 €"], "regexp_replace(…, '[^0-9.,+-]', '')"),
        ("price", ["1\u00a0299.00", "1'299.50"], "between thousands: regexp_replace"),
        ("price", [None, None], ""),
    ],
)
def test_what_is_proposed(column: str, values: list[str | None], said: str) -> None:
    events = load_source("simulator").datasets["events"]
    found = proposal(events, f"quarantined: {column}_unparsable", values)
    assert said in found if said else found == ""


def test_what_would_stop_a_night_is_a_fault(spark: SparkSession, tmp_path: Path) -> None:
    """No row, and too many lines of one file that cannot be read, whatever the share of all."""

    def faults(*rows: str, more: str = "") -> str:
        (check,) = check_source(spark, shop(tmp_path, *rows, more=more), tmp_path)
        return " ".join(check.faults)

    good = "u1;i1;2.50;2026-03-01 10:00:00"
    assert "there is no row: a night takes it for a failed delivery" in faults()
    assert faults(more="    required: false\n") == ""
    nested = good.replace("u1", "{'id': 7}")
    (check,) = check_source(spark, shop(tmp_path, good, nested, "u1;i1", good), tmp_path)
    assert check.faults == []  # a single such line is always quarantined
    assert "1 values of user_id are JSON" in check.warnings[1]
    assert "get_json_object(user, '$.id')" in check.warnings[1]
    assert "events.csv: 2 of 6 lines cannot be read" in faults(*[good] * 4, "u1;i1", "u1")


def test_parquet_without_a_column_is_a_fault_with_its_name(
    spark: SparkSession, tmp_path: Path
) -> None:
    """In another case it is another column; the files are not read further."""
    source = shop(tmp_path)
    (tmp_path / "events.csv").unlink()
    text = SHOP.replace("csv", "parquet").replace('    options: {delimiter: ";"}\n', "")
    source.write_text(text)
    table = pa.table({name: ["1"] for name in ("User", "item", "price", "time")})
    pq.write_table(table, tmp_path / "events.parquet")
    (check,) = check_source(spark, source, tmp_path)
    (fault,) = check.faults
    assert "column user is missing; column 'User' is not expected" in fault
    assert check.files == ["events.parquet"]


def test_folders_and_links_are_named(spark: SparkSession, tmp_path: Path) -> None:
    """A table that Spark wrote is a folder; a link to a disk that is gone is no missing file."""
    source = shop(tmp_path)
    (tmp_path / "events.csv").unlink()
    (tmp_path / "events.csv").mkdir()
    (check,) = check_source(spark, source, tmp_path)
    assert "events.csv is a folder: files must name what lies in it" in check.faults
    (tmp_path / "events.csv").rmdir()
    (tmp_path / "events.csv").symlink_to("gone")
    (check,) = check_source(spark, source, tmp_path)
    assert "events.csv is a link to gone, which is not there" in check.faults


def test_no_key_is_asked_for_before_the_first_night(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first night that encrypts makes it; what Spark writes for the check stays plain."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SparkSession, "stop", lambda _: None)  # it is the whole suite's session
    source = shop(tmp_path, "u1;i1;2.50;2026-03-01 10:00:00", more=USERS)
    (tmp_path / "users.csv").write_text("user,agrees,region\nu1,Y,north\n")
    (tmp_path / "shop.toml").write_text('[encryption]\nenabled = true\nkey_file = "lake.key"\n')
    for command in (["check", str(source), "--raw", str(tmp_path)], ["new", str(tmp_path)]):
        main(["source", *command, "--config", "shop.toml"])
        out, err = capsys.readouterr()
        assert "not mapped (null)" in out + err, "the rows were looked at"
        assert "key_file" not in out + err
    spark.range(1).write.parquet(str(tmp_path / "written"))
    assert not [path for path in (tmp_path / "written").glob("*.parquet") if is_encrypted(path)]
    assert not (tmp_path / "lake.key").exists()


def test_a_source_without_users_or_items_cannot_be_green(tmp_path: Path) -> None:
    source = load_source(shop(tmp_path))
    assert [fault.split()[0] for fault in missing_datasets(source)] == ["users", "items"]
    assert missing_datasets(load_source("simulator")) == []


def test_buckets_and_databases_are_named(spark: SparkSession, tmp_path: Path) -> None:
    for files, words in (
        ("s3a://bucket/events.csv", "buckets are not read: copy the files, or mount the bucket"),
        ("jdbc:postgresql://host/shop", "write format: jdbc and table"),
    ):
        with pytest.raises(ContractError, match=words):
            _ = parse_source(SHOP.replace("events.csv", files), "here").main.pattern
    with pytest.raises(InputError, match="mount the bucket"):
        check_source(spark, shop(tmp_path), "s3a://bucket")
