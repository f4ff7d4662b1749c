"""Files that no writer of ours would write: each is refused for what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.exports.profiles import profile_named
from pipeline.exports.validator import MOST_FAULTS, Validator
from pipeline.intact import file_sha256
from tests.exports.conftest import K, Shop, item

TEA, POT = item("i1", "Tea"), item("i2", "Pot")


def faults(path: Path, name: str, rows: int) -> list[str]:
    """What is wrong with a file, its size and checksum being what a manifest says."""
    entry = {
        "path": path.name,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "rows": rows,
    }
    return Validator(profile_named(name), K).check(path.parent, [entry])


def part(shop: Shop, name: str, stem: str = "part") -> Path:
    """The file of two shoppers; or of one who has left."""
    own = ["ann@shop.example", "bob@shop.example"] if name == "mailchimp" else ["ann", "bob"]
    shop.publish({own[0]: [TEA, POT], own[1]: [TEA]})
    made = shop.export(name, known=own).made
    if stem == "left":
        made = shop.export(name, known=own[1:]).made
    return next(path for path in made.files if path.name.startswith(stem))


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("csv", b"bob", b"ann", "record 2 user_id: is there twice"),
        ("csv", b"bob", b'"bob', "cannot be read as csv"),
        ("csv", b"bob,en", b"bob,en,en", "a row has 16 fields, not 15"),
        ("csv", b"user_id,", b"user,", "it has another header"),
        ("csv", b"Pot", b"Pot\x00", "should have been: control characters removed"),
        ("csv", b"Pot", b"\xff", "UnicodeDecodeError"),
        ("csv", b"bob", b"", "user_id: has no value"),
        ("csv", b"i1,Tea,2.5,i2", b",Tea,2.5,i2", "has an item without an id"),
        ("spreadsheet", b"Pot", b"=1+1", "should have been: a formula made text"),
        ("spreadsheet", b"\xef\xbb\xbf", b"", "it has another header"),
        ("emarsys", b"Pot", "🍵".encode(), "should have been: characters beyond 3 bytes removed"),
        ("emarsys", b"Pot", b'"P\r\not"', "should have been: line breaks and tabs made spaces"),
        ("emarsys", b"Pot", b"P" * 256, "nightcart_item_2_title: longer than 255 characters"),
        ("customerio", b"Pot", b"P" * 1001, "nightcart_item_2_title: longer than 1,000 bytes"),
        ("salesforce", b"ann,2", b"ann,3", "says that it has 3 items, and has 2"),
        ("iterable", b"ann", b"a.n", "key: has other characters than letters, digits and dashes"),
        ("iterable", b"Pot", b"P" * 30_000, "has more than 29,999 bytes"),
        ("hubspot", b"ann,2", b"ann,two", "is no record of hubspot (ValueError)"),
        ("klaviyo", b'"Pot"', b"null", "has a null, which the tool takes for no value"),
        ("klaviyo", b'"Pot"', b"7", "is no record of klaviyo (TypeError)"),
        ("klaviyo", b'"type":"profile",', b"", "is no record of klaviyo (ValueError)"),
        ("klaviyo", b'"Pot"', b'"%s"' % (b"P" * 100_000), "has more than 100,000 bytes"),
        ("klaviyo", b"]}}}}", b"]}}}", "it is another document"),
        ("klaviyo", b'"Pot"', b"Pot", "a line is no JSON"),
        ("mailchimp", b"bob@shop.example", b"bob", "is no e-mail address"),
        ("mailchimp", b'"NCID1"', b'"STATUS"', "is no record of mailchimp"),
        ("personalize", b"-0.5", b"NaN", "a line is no JSON"),
        ("personalize", b"-0.5", b"true", "scores: is no number"),
        ("personalize", b"[-0.5]", b"[]", "is no record of personalize"),
    ],
)
def test_what_breaks_a_limit_is_named(
    shop: Shop, name: str, old: bytes, new: bytes, says: str
) -> None:
    path = part(shop, name)
    assert faults(path, name, 2) == []
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    found = faults(path, name, 2)
    assert any(says in fault for fault in found), found
    assert "i1" not in "".join(found)
    assert "Tea" not in "".join(found)


def test_of_a_last_line_that_does_not_end(shop: Shop) -> None:
    path = part(shop, "personalize")
    path.write_bytes(path.read_bytes()[:-1])
    assert "its last line does not end" in faults(path, "personalize", 2)[0]


@pytest.mark.parametrize("name", ["hubspot", "klaviyo", "braze", "personalize"])
def test_who_has_left_is_cleared(shop: Shop, name: str) -> None:
    path = part(shop, name, "left")
    assert faults(path, name, 1) == []
    # A list of somebody in a file of who has left.
    path.write_bytes(part(shop, name).read_bytes())
    assert "is of somebody who has left, and is not cleared" in faults(path, name, 2)[0]


def test_more_records_than_a_file_may_have(shop: Shop) -> None:
    path = part(shop, "mailchimp")
    profile = profile_named("mailchimp")
    head, tail = profile.file.head.encode(), profile.file.tail.encode()
    record = path.read_bytes()[len(head) : -len(tail)].split(b",\n")[0]
    many = [record.replace(b"@shop", b"@s%d.shop" % n) for n in range(501)]
    path.write_bytes(head + b",\n".join(many) + tail)
    assert faults(path, "mailchimp", 501) == ["part-00001.json has 501 records, more than 500"]
    assert faults(path, "mailchimp", 9)[0].endswith("has 501 records, its manifest says 9")


def test_no_more_faults_than_a_person_reads(shop: Shop) -> None:
    path = part(shop, "mailchimp")
    profile = profile_named("mailchimp")
    head, tail = profile.file.head.encode(), profile.file.tail.encode()
    record = path.read_bytes()[len(head) : -len(tail)].split(b",\n")[0]
    path.write_bytes(head + b",\n".join([record] * 100) + tail)
    assert len(faults(path, "mailchimp", 100)) == MOST_FAULTS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda said: {**said, "nightcart_item_ids": ["i1"] * 4}, "is no record of braze"),
        (lambda said: {**said, "nightcart_reason": "x" * 256}, "longer than 255 characters"),
        (lambda said: {**said, "more": 1}, "is no record of braze"),
        (lambda said: {**said, "nightcart_count": "2"}, "nightcart_count: is no number"),
        (
            lambda said: (
                said | {name: value * 4 for name, value in said.items() if isinstance(value, list)}
            ),
            "items, more than 3",
        ),
    ],
)
def test_payloads_of_braze(shop: Shop, change: object, says: str) -> None:
    assert callable(change)
    path = part(shop, "braze")
    rows = pq.read_table(path).to_pylist()
    rows[0]["payload"] = json.dumps(change(json.loads(rows[0]["payload"])))
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert says in faults(path, "braze", 2)[0]


def test_other_columns_of_braze(shop: Shop) -> None:
    path = part(shop, "braze")
    pq.write_table(pa.table({"external_id": ["ann"], "PAYLOAD": ["{}"]}), path)
    assert "it has other columns" in faults(path, "braze", 1)[0]
