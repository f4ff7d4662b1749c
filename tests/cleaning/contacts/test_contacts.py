"""What of a text is found, measured on strings of our own words, and that no text takes long."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import (
    PhoneNumberFormat,
    PhoneNumberType,
    example_number_for_type,
    format_number,
)

from pipeline.cleaning.contacts.contacts import contacts, without_contacts, without_emails
from pipeline.cleaning.contacts.numbering_plans import REGIONS
from pipeline.cleaning.contacts.plain_text import plain
from tests.cleaning.contacts.contacts_corpus import Marked, corpus

CORPUS = corpus()


def test_the_corpus_is_large_and_from_many_countries() -> None:
    """600 strings, half of them to stay, from more than twelve countries."""
    found = [one for one in CORPUS if one.contacts]
    assert len(found) >= 450
    assert len(CORPUS) - len(found) >= 450
    countries = Counter(one.country for one in found if one.country != "ZZ")
    assert sum(count >= 5 for count in countries.values()) >= 12
    assert {kind for one in found for _, _, kind in one.contacts} == {
        "email", "phone", "card", "iban", "id", "token",
    }  # fmt: skip


def test_recall_and_precision() -> None:
    """Nearly all contacts are found, whole, and nearly nothing else is altered."""
    found = {one: contacts(one.text) for one in CORPUS}
    missed = [one for one in CORPUS for place in one.contacts if not _covered(place, found[one])]
    wrong = [one for one in CORPUS for place in found[one] if not _touches(place, one)]
    expected = sum(len(one.contacts) for one in CORPUS)
    given = sum(map(len, found.values()))
    assert (expected - len(missed)) / expected >= 0.98, [one.text for one in missed]
    assert (given - len(wrong)) / given >= 0.99, [one.text for one in wrong]


def test_each_kind_has_its_mark_and_nothing_around_it_changes() -> None:
    """The scrubbed text is the written one, to the character, but for the marks."""
    other = [one.text for one in CORPUS if without_contacts(one.text) != one.scrubbed]
    assert len(other) <= 0.005 * len(CORPUS), other


@pytest.mark.parametrize(
    ("order", "lost", "number", "call"),
    [
        ("Lieferschein Nr.", "Lieferschein fehlt,", "0171 2345678", "bitte anrufen"),
        ("kargo takip numarası", "Kargo gelmedi,", "0532 123 45 67", "beni arayin"),
        ("tilausnumero", "tilaus myohassa,", "040 123 4567", "soittakaa"),
        ("comanda nr.", "comanda nu a ajuns", "0722 123 456", "sunati-ma"),
        ("bestilling nr.", "bestilling mangler", "912 34 567", "ring meg"),
        ("订单号是", "订单没收到,", "13812345678", "请打电话"),
    ],
)
def test_a_word_for_orders_counts_only_beside_the_number(
    order: str, lost: str, number: str, call: str
) -> None:
    """An order's number stays, whatever follows; a phone goes, with a word for it or without."""
    assert without_contacts(f"{order} {number}") == f"{order} {number}"
    assert without_contacts(f"{order} {number}, {call}") == f"{order} {number}, {call}"
    assert without_contacts(f"{lost} {number}") == f"{lost} [phone]"
    assert without_contacts(f"{lost} {number} {call}") == f"{lost} [phone] {call}"


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/authentic-leather-bag?c=brown",
        "https://shop.example/authentic-leather-bag?c=brown12",
        "https://shop.example/authors/anna?key=books",
        "https://shop.example/login?c=books",
        "https://shop.example/confirmed-deals?code=SAVE10",
        "https://shop.example/activated-charcoal?code=DETOX20",
        "https://shop.example/?utm_campaign=SummerSale2026Women11Sale",
        "https://shop.example/?utm_content=x7Kq2mZp9Rt4Vb8Nw3Lc",
        "https://shop.example/?campaign=SummerSale2026Women11Sale",
        "example.com/share/nike-air-max-270-react",
        "example.com/share/Nike_Air_Max_270_React_2026",
        "example.com/session/blue-night-lamp-2026-x",
        "cookie: oatmeal-raisin-500g-pack",
        "secret: ingredients-250g-bag-x",
        "key: samsung-galaxy-s24-128gb",
        "key: oak-table-120cm-80cm-75cm",
        "https://shop.example/s?k=samsung-galaxy-s24-128gb",
    ],
)
def test_the_names_of_articles_are_no_secrets(text: str) -> None:
    """Words and sizes joined by hyphens stay; so do campaigns, and codes on pages of no account."""
    assert without_contacts(text) == text


@pytest.mark.parametrize(
    "secret",
    [
        "https://shop.example/verify-email?code=!Zk3f9Qp2",
        "https://shop.example/account/emailconfirmation?c=!482913",
        "https://shop.example/oauth2/authorize?code=!4f9a-11",
        "https://shop.example/i?key=!550e8400-e29b-41d4-a716-446655440000",
        "https://shop.example/?x=!x7Kq2mZp9Rt4Vb8Nw3Lc",
        "example.com/share/!x7kq-9mzp-4rtv-8bnw-3lcd",
        "cookie: !abc1.def2.ghi3.jkl4",
        "key: !XXXXX-12345-ABCDE-67890-FGHIJ",
    ],
)
def test_what_names_no_article_is_a_secret(secret: str) -> None:
    """Everything behind the mark goes."""
    kept, value = secret.split("!")
    assert without_contacts(kept + value) == f"{kept}[token]"


@pytest.mark.parametrize("region", REGIONS)
def test_an_international_number_of_any_region_is_found(region: str) -> None:
    """With its country code; and at home with a word for phones beside it."""
    for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
        number = example_number_for_type(region, kind)
        if number is None:
            continue
        for form in (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.E164):
            assert without_contacts(format_number(number, form)) == "[phone]"
        at_home = format_number(number, PhoneNumberFormat.NATIONAL)
        assert not re.search("[0-9]{2}", without_contacts(f"phone: {at_home}"))


def test_only_emails_go_where_only_they_are_asked_for() -> None:
    """A column of numbers loses no number."""
    assert without_emails("4111 1111 1111 1111 of a＠b.example") == "4111 1111 1111 1111 of [email]"


def test_a_plain_text_knows_where_each_character_was_written() -> None:
    """Marks that nobody sees are inside what is replaced; full-width digits count."""
    written = "\u200bTel\u00ad.\u00a0０３０\u2011１２３４５６７８ ½ m²"
    seen = plain(written)
    assert seen.text == "Tel. 030-12345678 ½ m²"
    start = seen.text.index("030")
    first, last = seen.written(start, start + 12)
    assert written[first:last] == "０３０\u2011１２３４５６７８"
    assert without_contacts(written) == "\u200bTel\u00ad.\u00a0[phone] ½ m²"


@pytest.mark.parametrize(
    "piece",
    [
        "a", "1 ", "1-", "1", "a@", "@", "at ", "(", " ", "+1", "0", "a.", "tel ", "?token=", "ab12 ",
        "john dot ", '"', "1.1.", "A1", "x=1&", "12:30 ", "12x", "x [ at ] ", "a_", " dot b", "https://a/", "a.a", "O0", "-at-", "x underscore ", "https://a/verify?", "a@b ",
        "4111 1111 1111 1111 ", "é", "١",
    ],
)  # fmt: skip
def test_no_text_takes_long(piece: str) -> None:
    """A pattern that backtracks, or that looks at everything again at each place, would not end."""
    text = piece * (20_000 // len(piece))
    without_contacts(f"a@b{text}")
    without_contacts(f"{text}@b.example")


def test_hostile_strings_survive(shared_data: Path) -> None:
    """Nothing crashes; without digits and signs of addresses a text stays the same."""
    for text in json.loads((shared_data / "hostile_strings" / "blns.json").read_text("utf-8")):
        scrubbed = without_contacts(text)
        assert scrubbed == without_contacts(scrubbed)
        if not any(sign in plain(text).text for sign in "@=") and not any(map(str.isdigit, text)):
            assert scrubbed == text


# What the patterns look for, of several scripts, next to what breaks programs.
_PIECES = (
    "1", "23", "0", "٥", "９", "O", "l", " ", "\u00a0", "-", ".", "/", "(", ")", "+", "@", "＠", "%40", " at ", " dot ",
    "gmail com", "tel ", "order ", "電話", "https://a.example/", "?token=", "\u0301", "\ud800", "\U0001f600",
    "\u200b", "\n", "ำ", "%", "&#64;", "DE12", "x", "İ", "ﬁ", "½", "\x00",
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=24).map("".join))
def test_any_text_is_scrubbed_and_stays_about_as_long(text: str) -> None:
    """No text of any characters crashes; places are in order, and a mark is the longest growth."""
    found = contacts(text)
    places = [(span.start, span.end) for span in found]
    assert places == sorted(places)
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(end <= start for (_, end), (start, _) in pairwise(places)), places
    assert len(without_contacts(text)) <= len(text) + len("[phone]") * len(found)


def test_what_was_scrubbed_is_not_scrubbed_again() -> None:
    """A released row is scrubbed a second time and has to stay as it is."""
    once = [without_contacts(one.text) for one in CORPUS[::3]]
    assert [without_contacts(text) for text in once] == once


def _covered(place: tuple[int, int, str], found: list) -> bool:
    return any(start <= place[0] and place[1] <= end for start, end, _ in found)


def _touches(place: tuple[int, int, str], one: Marked) -> bool:
    return any(place[0] < end and start < place[1] for start, end, _ in one.contacts)
