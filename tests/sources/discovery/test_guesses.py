"""What is read out of names and values: dates in paths, dialects, times, numbers, ids, words."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.sources.discovery.folder import FileGroup, look_at
from pipeline.sources.discovery.formats import NotReadError, Table, read_table
from pipeline.sources.discovery.times import times_of
from pipeline.sources.discovery.values import Values, numbers_of_texts
from pipeline.sources.discovery.words import EVENT_WORDS, name_score, plain
from pipeline.sources.file_pattern import FilePattern


def write(root: Path, *paths: str, text: str = "a,b\n1,2\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        (["2026-03-01.csv", "2026-03-02.csv"], "{date}.csv"),
        (["ev_20260301.jsonl.gz", "ev_20260302.jsonl.gz"], "ev_{date:%Y%m%d}.jsonl.gz"),
        (["date=2026-03-01/part-0.csv", "date=2026-03-01/part-1.csv"], "date={date}/part-*.csv"),
        (["2026/03/01/e.csv", "2026/03/02/e.csv"], "{date:%Y/%m/%d}/e.csv"),
        (["y=2026/m=03/d=01/e.csv"], "{date:y=%Y/m=%m/d=%d}/e.csv"),
        (["e_2026_03_01.csv", "e_2026_03_14.csv"], "e_{date:%Y_%m_%d}.csv"),
        (["e 01.03.2026.csv", "e 14.03.2026.csv"], "e {date:%d.%m.%Y}.csv"),
        (["e-03-14-2026.csv", "e-03-01-2026.csv"], "e-{date:%m-%d-%Y}.csv"),
        (["d/2026-03-01/e_2026-03-01.csv"], "d/{date}/e_{date}.csv"),
        (["part-00000.parquet", "part-00001.parquet"], "part-*.parquet"),
        (["2019-Oct.csv", "2019-Nov.csv"], "2019-*.csv"),
        (["orders.csv"], "orders.csv"),
    ],
)
def test_names_of_one_kind_become_a_pattern_that_finds_them(
    tmp_path: Path, paths: list[str], pattern: str
) -> None:
    write(tmp_path, *paths)
    (group,) = look_at(tmp_path).groups
    # An ending of compression may stand behind any pattern; only its own file has it here.
    assert group.pattern == pattern
    assert [*group.paths] == sorted(paths)
    found = FilePattern(pattern.removesuffix(".gz"), "x").files(tmp_path)
    assert [file.relative for file in found] == sorted(paths)
    assert {file.date for file in found} - {None} == {*group.days}


def test_day_and_month_that_may_be_either_are_said(tmp_path: Path) -> None:
    write(tmp_path, "e-03-04-2026.csv", "e-05-04-2026.csv")
    (group,) = look_at(tmp_path).groups
    assert "other way round" in group.doubt


def test_other_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "b.xlsx", "c.zip", ".hidden.csv", "_SUCCESS", "readme.md", "x.foo")
    folder = look_at(tmp_path)
    assert [group.pattern for group in folder.groups] == ["a.csv"]
    said = dict(folder.left_out)
    assert "save each sheet as CSV" in said["b.xlsx"]
    assert "unpack" in said["c.zip"]
    assert "unknown kind" in said["x.foo"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda at: at / "gone", "is no folder"),
        (lambda at: (at / "f.csv").write_text("a") and at / "f.csv", "is a file"),
        (lambda at: (at / "empty").mkdir() or at / "empty", "holds no file"),
    ],
)
def test_what_is_no_folder_of_files_is_said(tmp_path: Path, make, said: str) -> None:
    with pytest.raises(InputError, match=said):
        look_at(make(tmp_path))


def table_of(root: Path, name: str) -> Table:
    groups = [group for group in look_at(root).groups if group.pattern.startswith(name)]
    return read_table(root, groups[0])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "||", "\x01"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    rows = [["user", "item", "price"], ["u1", "Müller; a, b", "1.50"], ["u2", "x", "2"]]
    if len(delimiter) > 1:
        lines = [delimiter.join(row) for row in rows]
    else:
        lines = [delimiter.join(f'"{v}"' if " " in v else v for v in row) for row in rows]
    write(tmp_path, "a.csv", text="\n".join(lines) + "\n")
    table = table_of(tmp_path, "a")
    assert table.columns == rows[0]
    assert table.options.get("delimiter", ",") == delimiter
    assert [field.values[0] for field in table.fields] == rows[1]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("windows-1252", "Kunde;Größe\nMüller;groß\nJosé;für Übergröße\n"),
        ("gb18030", "用户,商品,行为\n张三,红色连衣裙,浏览\n李四,手机壳,购买\n"),
        ("shift_jis", "顧客,商品\nたなか,カメラのケース\nさとう,ノートパソコン\n"),
        ("windows-1251", "клиент,товар\nИванов,красное платье\nПетров,чехол для телефона\n"),
        ("utf-16", "user,item\nMüller,a\n"),
        ("utf-16-le", "user,item\nMüller,a\n"),
        ("utf-8", "\ufeffuser,item\nMüller,カメラ\n"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, text: str) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    table = table_of(tmp_path, "a")
    assert table.options.get("encoding", "utf-8") == encoding
    names = text.removeprefix("\ufeff").split("\n", 1)[0]
    assert table.columns == names.replace(";", ",").split(",")


def test_a_header_is_told_from_rows_and_its_double_names_are_made_different(tmp_path: Path) -> None:
    write(tmp_path, "bare.csv", text="1,2268318,pv,1511544070\n1,2333346,buy,1511561733\n")
    write(tmp_path, "twice.csv", text="id,name,Name,\n1,a,b,c\n")
    bare, twice = table_of(tmp_path, "bare"), table_of(tmp_path, "twice")
    assert bare.options["header"] is False
    assert bare.rows == 2
    assert twice.columns == ["id", "name", "Name_2", "column_4"]
    assert twice.header_row == ("id", "id")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (" order_id , customer_id ", ["order_id", "customer_id"]),
        ("__id,__name", ["_id", "_name"]),
        (" ,__name", ["column_1", "_name"]),
        (" id ", ["id"]),
    ],
)
def test_a_header_of_which_every_name_is_changed(
    tmp_path: Path, header: str, names: list[str]
) -> None:
    """It is told from rows by one of its own words."""
    rows = "ab,cd\nef,gh\n" if "," in header else "ab\nef\n"
    write(tmp_path, "t.csv", text=f"{header}\n{rows}")
    table = table_of(tmp_path, "t")
    assert table.columns == names
    word = next(word for word in header.split(",") if word.strip())
    assert table.header_row == (names[-1] if header.startswith(" ,") else names[0], word)


def test_quotes_escapes_comments_and_line_breaks(tmp_path: Path) -> None:
    write(tmp_path, "plain.csv", text='a,b\n5" disk,x\n3" disk,y\n')
    write(tmp_path, "escaped.csv", text='a,b\n"say \\"hi\\"",x\n"so \\"be\\" it",y\n')
    write(tmp_path, "noted.csv", text="# made by hand\na,b\n1,2\n")
    write(tmp_path, "broken.csv", text='a,b\n"one\ntwo",2\n')
    assert table_of(tmp_path, "plain").options == {"quote": ""}
    assert table_of(tmp_path, "escaped").options == {"escape": "\\"}
    assert table_of(tmp_path, "noted").options == {"comment": "#"}
    assert table_of(tmp_path, "broken").options == {"multiline": True}


def test_json_lines_their_nested_values_and_keys_that_lines_lack(tmp_path: Path) -> None:
    rows = [{"u": 1, "item": {"sku": "a", "it's": 1}, "q": "x"}] + [
        {"u": 2, "item": {"sku": "b"}}
    ] * 3
    write(tmp_path, "e.json", text="\n".join(map(json.dumps, rows)))
    table = table_of(tmp_path, "e")
    assert (table.format, table.columns, table.absent) == ("jsonl", ["u", "item", "q"], ["q"])
    sku = next(field for field in table.fields if field.name == "item.sku")
    assert (sku.sql, sku.values[:2]) == ("get_json_object(item, '$.sku')", ["a", "b"])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'[{"a": 1}]', "one JSON array"),
        ("a.json", b'{\n  "a": 1\n}', "is not JSON Lines"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"<!DOCTYPE html><html>", "HTML"),
        ("a.csv", b"PK\x03\x04rest", "ZIP archive"),
        ("a.csv", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\n\x00\x01\xdb\x00,\x00\n", "is no text"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.parquet", b"no parquet", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_with_a_remedy(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotReadError, match=said):
        table_of(tmp_path, "a")


def test_compressed_files_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (tmp_path / "b.csv.bz2").write_bytes(bz2.compress(b"a,b\n1,2\n"))
    when = dt.datetime(2026, 3, 1, 10, tzinfo=dt.UTC)
    rows = [{"user": 1.0, "at": when, "naive": when.replace(tzinfo=None), "in": {"x": [1]}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    assert table_of(tmp_path, "a").columns == table_of(tmp_path, "b").columns == ["a", "b"]
    fields = {field.name: field.values for field in table_of(tmp_path, "c").fields}
    assert fields["user"] == ["1"]
    assert fields["at"] == ["2026-03-01 10:00:00Z"]
    assert fields["naive"] == ["2026-03-01 10:00:00"]


def test_a_large_file_is_read_no_further_than_the_sample(tmp_path: Path) -> None:
    line = "u1,i1," + "x" * 90 + "\n"
    (tmp_path / "a.csv").write_text("user,item,text\n" + line * 30_000 + '"torn')
    table = table_of(tmp_path, "a")
    assert not table.is_whole
    assert table.rows == 10_000


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        (["2026-03-01 10:00:00", "2026-03-02T11:00:00Z"], ("iso",)),
        (["2019-10-01 00:00:00 UTC"], ("iso",)),
        (["2026-09-03 10:14:00 -0400"], ("yyyy-MM-dd HH:mm:ss xx",)),
        (["1772359200", "1772359201"], ("epoch_seconds",)),
        (["1772359200000"], ("epoch_millis",)),
        (["1772359200000000"], ("epoch_micros",)),
        (["1772359200", "1772359200000"], ("epoch",)),
        (["14.03.2026 10:00", "01.03.2026 11:30"], ("dd.MM.yyyy HH:mm",)),
        (["3/14/2026 9:05", "12/1/2026 10:00"], ("M/d/yyyy H:mm",)),
        (["03/14/2026 09:05:07 PM"], ("MM/dd/yyyy hh:mm:ss a",)),
        (["14-Mar-2026", "01-Apr-2026"], ("dd-MMM-yyyy",)),
        (["Mar 3, 2026", "Mar 14, 2026"], ("MMM d, yyyy",)),
        (["20260314", "20260301"], ("yyyyMMdd",)),
        (["20260314101500"], ("yyyyMMddHHmmss",)),
        (["2026/03/14 10:00:00"], ("yyyy/MM/dd HH:mm:ss",)),
        (["2026-03-14 10:00:00,123"], ("yyyy-MM-dd HH:mm:ss,SSS",)),
        (["14.03.26 10:00"], ("dd.MM.yy HH:mm",)),
    ],
)
def test_times(values: list[str], formats: tuple[str, ...]) -> None:
    times = times_of(values)
    assert times is not None
    assert times.formats == formats


def test_a_day_that_may_be_a_month_is_not_guessed() -> None:
    times = times_of(["03/04/2026 10:00", "05/04/2026 11:00"])
    assert times is not None
    assert times.formats == ()
    assert {*times.either} == {"dd/MM/yyyy HH:mm", "MM/dd/yyyy HH:mm"}
    assert times_of(["03/04/2026", "13/04/2026"]).formats == ("dd/MM/yyyy",)  # one value decides


@pytest.mark.parametrize("values", [["abc"], ["12"], ["2026"], ["99/99/2026"], ["5.5"], [None]])
def test_what_is_no_time(values: list[str | None]) -> None:
    assert times_of(values) is None


@pytest.mark.parametrize(
    ("texts", "decimal", "group", "high"),
    [
        (["1.50", "12"], ".", "", 12.0),
        (["1,50", "12"], ",", "", 12.0),
        (["1.299,00", "5,10"], ",", ".", 1299.0),
        (["1,299.00", "12.5"], ".", ",", 1299.0),
        (["1 299,00", "5,10"], ",", " ", 1299.0),
        (["€ 12,50", "€ 3,00"], ",", "", 12.5),
        (["-3", "+4"], ".", "", 4.0),
    ],
)
def test_numbers(texts: list[str], decimal: str, group: str, high: float) -> None:
    numbers = numbers_of_texts(texts)
    assert numbers is not None
    assert (numbers.decimal, numbers.group, numbers.high) == (decimal, group, high)


def test_numbers_that_may_be_either_are_doubted_and_words_are_none() -> None:
    assert numbers_of_texts(["1,299", "2,500"]).doubt
    assert numbers_of_texts(["a", "1"]) is None


def test_ids_null_words_and_answers() -> None:
    ids = Values(["17850.0", "17850", "2.82E+18", "2.82E18", "NULL", None])
    assert (ids.with_point_zero, ids.scientific, ids.null_words) == (1, 2, ("NULL",))
    assert Values(["Ja", "nein", "JA"]).yes_and_no == (("JA", "Ja"), ("nein",))
    assert Values(["yes", "perhaps"]).yes_and_no is None
    assert Values(["-", "Levi's"]).null_words == ()  # a brand may be called anything


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        *((word, "view") for word in ("PV", "view_item", "Product Viewed", "浏览", "просмотр")),
        *((word, "cart") for word in ("AddToCart", "In den Warenkorb", "加购", "sepete ekle")),
        *((word, "wishlist") for word in ("add_to_wishlist", "Product Added to Wishlist", "fav")),
        *((word, "wishlist") for word in ("Merkzettel", "ajouter aux favoris", "收藏")),
        *((word, "purchase") for word in ("Order Completed", "gekauft", "acheté", "购买", "購入")),
        *((word, "return") for word in ("Retoure", "refund", "退款")),
        *((word, "search") for word in ("view_search_results", "Suche", "搜索")),
        *((word, "") for word in ("page_view", "scroll", "remove_from_cart", "Wishlist Viewed")),
    ],
)
def test_event_words(word: str, ours: str) -> None:
    assert EVENT_WORDS[plain(word)] == ours


@pytest.mark.parametrize(
    ("role", "names", "others"),
    [
        (
            "user_id",
            ("CustomerID", "kunden_nr", "用户ID", "reviewerID"),
            ("customer_state", "item"),
        ),
        ("item_id", ("StockCode", "Artikelnummer", "商品ID", "asin"), ("product_name", "price")),
        ("time", ("unixReviewTime", "order_purchase_timestamp"), ("shipping_limit_date", "x")),
        ("price", ("UnitPrice", "Einzelpreis", "单价"), ("total_price_tax", "compare_at_price")),
        ("consent", ("opt_in", "Accepts Marketing", "Einwilligung"), ("consent_updated_at",)),
    ],
)
def test_names_say_roles(role: str, names: tuple[str, ...], others: tuple[str, ...]) -> None:
    for name in names:
        assert name_score(name, role) >= 0.4, name
    for name in others:
        assert name_score(name, role) < 0.4, name


def test_a_group_is_called_by_its_files() -> None:
    assert FileGroup("date={date}/events.jsonl.gz", (), "json").name == "events"
    assert FileGroup("{date}.csv", (), "text").name == "files"
    assert FileGroup("sales/part-*.parquet", (), "parquet").name == "sales"
