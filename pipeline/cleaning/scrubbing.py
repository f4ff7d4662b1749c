"""Free text without markup and without what points at a person; Spark column expressions only.

`without_markup` takes HTML tags out and resolves entities. `scrub` then replaces e-mail addresses,
card numbers and phone numbers by `[email]`, `[card]` and `[phone]`. Everything else stays as it
was, to the character.

Gives up: names and postal addresses stay. A card number is 13 to 19 digits that pass Luhn's check
(ISO/IEC 7812), so a mistyped one stays, unless it looks like a phone number. A phone number needs
a country code, a leading zero, brackets, the American 3-3-4 grouping or the shape of a Chinese
mobile number: bare digits are more often a model or an order than a phone.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

_ELEMENTS = (
    "a abbr address article aside audio b big blockquote body br button canvas center cite code "
    "col dd del details div dl dt em embed figure font footer form frame h[1-6] head header hr "
    "html i iframe img input ins kbd label li link main mark meta nav noscript object ol option "
    "p param pre q s samp section select small source span strike strong sub summary sup svg "
    "table tbody td textarea tfoot th thead title tr tt u ul var video wbr"
).replace(" ", "|")
_BLOCKS = "br|p|div|li|ul|ol|tr|td|th|table|h[1-6]|hr|blockquote|dd|dt|pre|section|article"
_HIDDEN = r"(?is)<(script|style)\b[^>]*>.*?</\1\s*>|<!--.*?-->"
_BLOCK_TAG = rf"(?i)</?(?:{_BLOCKS})(?:\s[^<>]*=[^<>]*)?\s*/?>"
_TAG = rf"(?i)</?(?:{_ELEMENTS}|script|style)(?:\s[^<>]*=[^<>]*)?\s*/?>"

# &amp; last, so that what was escaped twice is resolved once.
_ENTITIES = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&apos;": "'",
    "&nbsp;": " ",
    "&ndash;": "–",
    "&mdash;": "—",
    "&hellip;": "…",
    "&rsquo;": "\u2019",
    "&lsquo;": "\u2018",
    "&rdquo;": "”",
    "&ldquo;": "“",
    "&euro;": "€",
    "&pound;": "£",
    "&copy;": "©",
    "&reg;": "®",
    "&trade;": "™",
    "&eacute;": "é",
    "&uuml;": "ü",
    "&ouml;": "ö",
    "&auml;": "ä",
    "&szlig;": "ß",
    "&amp;": "&",
}
_NUMBERED = r"&#([0-9]{1,7});"
_HEX_NUMBERED = r"(?i)&#x([0-9a-f]{1,6});"

_LOCAL = r"[\p{IsLatin}0-9._%+\-]"
_EMAIL = (
    rf"(?<!{_LOCAL}){_LOCAL}{{1,64}}+@(?:[\p{{IsLatin}}0-9\-]{{1,63}}\.)+[\p{{IsLatin}}]{{2,24}}"
)
_CARD = r"(?<![0-9])[0-9](?:[ \-]?[0-9]){12,18}(?![0-9])"
_PHONES = (
    # +44 20 7946 0958, 0049-30-123456, +86 (10) 1234 5678
    r"(?<![\w+])(?:\+|00)[1-9][0-9]{0,2}(?:[ .\-/]?\(?[0-9]{1,5}\)?){2,6}(?![0-9])",
    # (030) 123 456, 020 7946 0958, 0151-12345678
    r"(?<![\w.,\-])\(?0[1-9][0-9]{1,4}\)?[ .\-/]?[0-9]{3,4}[ .\-/]?[0-9]{3,5}(?![\w])",
    # 555-123-4567, (555) 123-4567
    r"(?<![\w.\-])(?:1[ .\-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .\-])[0-9]{3}[ .\-][0-9]{4}(?![\w\-])",
    # 138 0013 8000
    r"(?<![0-9A-Za-z.\-])1[3-9][0-9][ \-]?[0-9]{4}[ \-]?[0-9]{4}(?![0-9A-Za-z])",
)


def without_markup(text: Column) -> Column:
    """The text as its writer saw it: no tags, no comments or scripts, entities resolved once."""
    untagged = _let(text, lambda text: F.when(text.contains("<"), _untagged(text)).otherwise(text))
    return _let(
        untagged, lambda text: F.when(text.contains("&"), _entities_resolved(text)).otherwise(text)
    )


def scrub(text: Column) -> Column:
    """The text with e-mail addresses, card and phone numbers replaced by their kind."""
    return _let(
        scrub_emails(text),
        # No number hides in a text with fewer than seven digits, whatever stands between them.
        lambda text: F.when(text.rlike(r"(?s)(?:[0-9].*?){7}"), _without_numbers(text)).otherwise(
            text
        ),
    )


def may_hold_contacts(text: Column) -> Column:
    """False for a text that `scrub` would give back as it is; far cheaper than to scrub it."""
    return text.contains("@") | text.rlike("[0-9]")


def scrub_emails(text: Column) -> Column:
    """The text with e-mail addresses replaced by `[email]`."""
    return _let(
        text,
        lambda text: F.when(
            text.contains("@"), F.regexp_replace(text, _EMAIL, "[email]")
        ).otherwise(text),
    )


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """`body` with `value` computed once; written out, each nested use would double the plan."""
    return F.get(F.transform(F.array(value), body), F.lit(0))


def _untagged(text: Column) -> Column:
    plain = F.regexp_replace(text, _HIDDEN, " ")
    plain = F.regexp_replace(plain, _BLOCK_TAG, " ")
    return F.regexp_replace(plain, _TAG, "")


def _without_numbers(text: Column) -> Column:
    def without_card(scrubbed: Column, found: Column) -> Column:
        is_card = F.call_function("luhn_check", F.regexp_replace(found, "[ -]", ""))
        return F.when(is_card, F.replace(scrubbed, found, F.lit("[card]"))).otherwise(scrubbed)

    cards = F.regexp_extract_all(text, F.lit(_CARD), F.lit(0))
    scrubbed = F.reduce(cards, text, without_card)
    for phone in _PHONES:
        scrubbed = F.regexp_replace(scrubbed, phone, "[phone]")
    return scrubbed


def _entities_resolved(text: Column) -> Column:
    resolved = text
    resolved = _let(resolved, lambda text: _numbers_resolved(text, _NUMBERED, 10))
    resolved = _let(resolved, lambda text: _numbers_resolved(text, _HEX_NUMBERED, 16))
    for entity, character in _ENTITIES.items():
        resolved = F.replace(resolved, F.lit(entity), F.lit(character))
    return resolved


def _numbers_resolved(text: Column, regex: str, base: int) -> Column:
    found = F.array_distinct(F.regexp_extract_all(text, F.lit(regex), F.lit(0)))

    def one(resolved: Column, entity: Column) -> Column:
        number = F.regexp_extract(entity, regex, 1)
        return F.replace(resolved, entity, _character(number, base))

    return F.reduce(found, text, one)


def _character(number: Column, base: int) -> Column:
    """The character of a code point; the replacement character where there is none."""

    def decoded(code: Column) -> Column:
        valid = (code > 0) & (code <= 0x10FFFF) & ~code.between(0xD800, 0xDFFF)
        utf32 = F.unhex(F.lpad(F.hex(code), 8, "0"))
        return F.when(valid, F.decode(utf32, "UTF-32")).otherwise(F.lit("\ufffd"))

    return _let(F.conv(number, base, 10).cast("bigint"), decoded)
