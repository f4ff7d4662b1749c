"""What scrubbing takes out of free text, and what it leaves as it was."""

from __future__ import annotations

import html
import json
import random
import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.cleaning.contacts.contacts import without_contacts
from pipeline.cleaning.rows.scrubbing import may_hold_contacts, scrub, without_markup
from tests.cleaning.contacts.contacts_corpus import corpus

SCRUBBED = {
    "mail me at john.doe+x@mail.example.co.uk please": "mail me at [email] please",
    "联系我a_b@b.com谢谢": "联系我[email]谢谢",
    "writé to jürgen@beispiel.de.": "writé to [email].",
    "card 4111 1111 1111 1111 ok": "card [card] ok",
    "card 4111-1111-1111-1111, 378282246310005": "card [card], [card]",
    "+44 20 7946 0958 or (555) 123-4567": "[phone] or [phone]",
    "+1 (212) 555-01234, +34 612 345 678, +86 138 0013 8000": "[phone], [phone], [phone]",
    "Tel. 020 7946 0958, 030/1234567, 0049 151 12345679": "Tel. [phone], [phone], [phone]",
    "13800138000 给我打电话": "[phone] 给我打电话",
}
KEPT = [
    "model SM57, 5150 at 100-240V, 2.5x3, serial 1234567",
    "2019-10-01 00:00:00 and 12:30, 192.168.0.1, 0.123456789",
    "4111111111111112 fails Luhn",
    "@home 5@ a@b",
    "I <3 this, 3 < 4 & 5 > 2, a<b & c>d",
    "costs 1 000 000 or 12,345,678",
]
MARKED_UP = {
    "one<br/>two<BR>three": "one two three",
    "<p>so <b>very</b> good</p>": " so very good ",
    '<a href="http://x.example">link</a>': "link",
    "<script>alert('x')</script>after<!-- hidden -->": " after ",
    "&quot;fine&quot; &amp;amp; &#39;dandy&#39; &#x1F600; &lt;b&gt;": "\"fine\" &amp; 'dandy' 😀 <b>",
    "at&#116; &#0; &#99999999; &nosuch;": "att \ufffd &#99999999; &nosuch;",
    "john&#64;example.org": "john@example.org",
}


@pytest.mark.parametrize(("texts", "column"), [(SCRUBBED, scrub), (MARKED_UP, without_markup)])
def test_what_is_taken_out(spark: SparkSession, texts: dict[str, str], column) -> None:
    """Each text becomes what stands beside it."""
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    rows = frame.select("text", column(F.col("text")).alias("found")).collect()
    assert {row["text"]: row["found"] for row in rows} == texts


def test_what_only_looks_like_it_stays(spark: SparkSession) -> None:
    """Models, prices, dates and comparisons are what reviews are made of."""
    frame = spark.createDataFrame([(text,) for text in KEPT], "text string")
    found = [row[0] for row in frame.select(scrub(without_markup(F.col("text")))).collect()]
    assert found == KEPT


def test_spark_hands_every_contact_to_python(spark: SparkSession) -> None:
    """What picks the texts that Python looks at lets none through that has something to find."""
    texts = [one.text for one in corpus()]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    rows = frame.select("text", scrub(F.col("text")).alias("found")).collect()
    assert len(rows) == len(texts)
    assert [row["text"] for row in rows if row["found"] != without_contacts(row["text"])] == []


_LABELS = [
    "cookie", "key", "sid", "session", "session id", "PHPSESSID", "connect.sid", "token", "csrf-token", "secret", "api key",
    "X-Api-Key", "access_token", "client secret", "secret-key", "password", "Mot de passe", "ПАРОЛЬ", "HASŁO", "contraseña", "ŞIFRE",
]  # fmt: skip


def test_spark_hands_every_labelled_secret_to_python(spark: SparkSession) -> None:
    """Whatever the label, what is between it and the value, and what the value is cut up by."""
    made = random.Random(5)
    starts = [
        *(f"my {label}{sign}" for label in _LABELS for sign in (":", ": ", "=", " = ", "：", "\u00a0: ")),
        *(f"{page}/" for page in ("a.example/reset", "a.example/my-login", "a.example/share-links")),
        *(f"https://a.example/?{name}=" for name in ("t", "a.b", "my_long_name_of_a_session_token")),
    ]  # fmt: skip
    texts = [
        start + mark.join(f"{''.join(made.choices('bcdfgk', k=3))}{made.randrange(10)}" for _ in "abcde")
        for start in starts
        for mark in ("", ".", "%", "+", "/", "-")
    ]  # fmt: skip
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    passed = {row[0] for row in frame.where(~may_hold_contacts(F.col("text"))).collect()}
    found = {text for text in texts if without_contacts(text) != text}
    assert found & passed == set()
    assert {start for start in starts if not any(text.startswith(start) for text in found)} == {
        "https://a.example/?a.b="
    }


def test_entities_are_resolved_as_by_the_standard_library(spark: SparkSession) -> None:
    """Numbered entities of every plane, once each."""
    numbers = [9, 38, 233, 8364, 20080, 0xE000, 0xFFFD, 0x1F600, 0x10FFFF]
    texts = [f"a&#{n};b&#x{n:x};c" for n in numbers]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    found = [row[0] for row in frame.select(without_markup(F.col("text"))).collect()]
    # Python leaves noncharacters out, as HTML says; Spark's decoder keeps them.
    assert [text for text, n in zip(found, numbers, strict=True) if n != 0x10FFFF] == [
        html.unescape(text) for text, n in zip(texts, numbers, strict=True) if n != 0x10FFFF
    ]


def test_hostile_strings_survive_but_for_what_is_scrubbed(
    spark: SparkSession, shared_data: Path
) -> None:
    """Nothing crashes, nothing is lost: without digits, '@', '<' and '&' a text stays the same."""
    strings = json.loads((shared_data / "hostile_strings" / "blns.json").read_text("utf-8"))
    frame = spark.createDataFrame([(text,) for text in strings], "text string")
    rows = frame.select("text", scrub(F.col("text")).alias("found")).collect()
    assert len(rows) == len(strings)
    for row in rows:
        if "@" not in row["text"] and len(re.findall("[0-9]", row["text"])) < 7:
            assert row["found"] == row["text"]
    plain = frame.where("text NOT LIKE '%<%' AND text NOT LIKE '%&%'")
    assert plain.where(without_markup(F.col("text")) != F.col("text")).count() == 0


def test_a_long_run_of_letters_is_scrubbed_in_linear_time(spark: SparkSession) -> None:
    """A pattern that backtracks would not come back from a megabyte."""
    texts = ["a" * 500_000 + "@", "1 " * 200_000, "<" * 200_000, "&#" * 100_000]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    found = [row[0] for row in frame.select(scrub(without_markup(F.col("text")))).collect()]
    assert found[0] == texts[0]
    assert found[2:] == texts[2:]
