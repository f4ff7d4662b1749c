"""Free text without markup and without contact data, as columns of Spark.

`without_markup` takes HTML tags out and resolves entities. `scrub` then replaces e-mail addresses,
phone numbers, payment cards, IBANs, national ids and secrets by `[email]`, `[phone]`, `[card]`,
`[iban]`, `[id]` and `[token]`. Everything else stays as it was, to the character.

What is found is the room `contacts`' business; here an expression picks the few texts that it has
to look at, so that the others never leave Spark. Names and postal addresses stay.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.functions import arrow_udf

from pipeline.cleaning.contacts.credentials import PRIVATE_PAGES, SECRET_LABELS

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

# What `contacts` finds something in has one of these; most texts have none and stay with Spark.
# Each begins with a character that is rare among letters, and one look at a class tells: a pattern
# whose branches begin with letters is tried branch by branch at each of them.
_DIGITS = "0-9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\u0e50-\u0e59\uff10-\uff19"
_DIGIT = f"[{_DIGITS}]"
_SIGNS = (
    "[@\uff20\ufe6b]|%40|&(?:#64|#[xX]40|commat);|://",
    r"[\[({<\uff08\uff3b]\s{0,2}(?i:at|ät|arroba|arobase|chiocciola|apenstaartje|małpa|malpa|собака|собачка|a|et|"
    r"kukac|zavináč|zavinac|snabel-?a|alfakr[øo]ll|miukumauku|kr[øo]llalfa|παπάκι|papaki|arobas|at[ -]sign)"
    r"\s{0,2}[\])}>\uff09\uff3d]",
    # six digits close together, or India's tax number
    rf"{_DIGIT}(?:(?:[^\p{{L}}\p{{Nd}}]{{0,6}}| ?\p{{L}}{{1,3}}){_DIGIT}){{5}}",
    r"[0-9]{4}[A-Z](?<=[A-Z]{5}[0-9]{4}[A-Z])",
    # a query of a URL, a label of a secret, a long word with a digit
    r"[?&;#][A-Za-z0-9_.\-]{1,100}=",
    rf"[:=\uff1a\uff1d\ufe55\ufe66](?<=(?iu:{SECRET_LABELS})[\s\p{{Z}}]?.)",
    # a secret behind a page's name, in an address without "://"
    rf"/(?<=/(?i:[a-z]{{1,12}}-)?(?i:{PRIVATE_PAGES})(?i:s?)(?i:-[a-z]{{1,12}})?/)",
    # "password is hunter22": a word with a letter and a digit, behind such a word and a verb
    r"[0-9](?<=(?i:passwor[dt]|kennwort|passwd|pwd|passe|contraseña|senha|wachtwoord|hasło|пароль|parola|lösenord|"
    r"salasana|heslo|jelszó|şifre|adgangskode|passord)\p{L}{0,2}\s\p{L}{1,6}\s:?\s?[^\s]{0,30})",
    # "Bearer mF_9.B5f": parts of a token may be shorter
    r"[0-9](?<=(?i:bearer|basic)\s{1,3}[A-Za-z0-9+/_.~\-]{0,40})",
    r"[0-9](?:(?<=[A-Za-z0-9_\-]{12})|(?=[A-Za-z0-9_\-]{11}))",
)
_BEGINS = rf"@\uff20\ufe6b\uff1a\uff1d\ufe55\ufe66/%&:;?#=\[({{<\uff08\uff3b{_DIGITS}"
# " at " before what looks like a domain
_SPELLED = (
    r"[\s_\-*~](?=[aAcCgGkKmMpPsSzZсСмМрРπΠ])(?i:at(?:[ -]sign)?|arroba|arobase?|chiocciola|apenstaartje|"
    r"собака|собачка|ma[łl]pa|kukac|zavin[áa][čc]|snabel-?a|alfakr[øo]ll|miukumauku|kr[øo]llalfa|παπάκι|papaki|"
    r"маймунско а|равлик|güzel a)[\s_\-*~]{1,3}[^\s.]{2,40}"
    r"(?i:\.[a-z]{2}|[\s_\-*~]{1,2}(?:dot|punkt|punto|ponto|point|kropka|точка|крапка|punt|piste|te[čc]ka|bodka|pont|prick|"
    r"punktum|nokta|τελεία|punct)[\s_\-])"
    # "sue at gmail com"
    r"|[\s_\-](?=[aA])(?i:at)\s{1,3}(?i:gmail|googlemail|hotmail|outlook|yahoo|icloud|gmx|protonmail|yandex|rediffmail)[\s,;c]"
)
_SIGN = rf"(?=[{_BEGINS}])(?:{'|'.join(_SIGNS)})|{_SPELLED}"


def without_markup(text: Column) -> Column:
    """The text as its writer saw it: no tags, no comments or scripts, entities resolved once."""
    untagged = _let(text, lambda text: F.when(text.contains("<"), _untagged(text)).otherwise(text))
    return _let(
        untagged, lambda text: F.when(text.contains("&"), _entities_resolved(text)).otherwise(text)
    )


def scrub(text: Column) -> Column:
    """The text with what identifies a person replaced by its kind (`contacts.without_contacts`).

    Python gets nulls for the texts that hold nothing of it. Spark evaluates it for every row of the
    frame, also inside a condition: for rows that do not need it the text must be null.
    """
    return F.coalesce(_without_contacts(F.when(may_hold_contacts(text), text)), text)


def may_hold_contacts(text: Column) -> Column:
    """False for a text that `scrub` would give back as it is; far cheaper than to scrub it."""
    return text.rlike(_SIGN)


@arrow_udf(T.StringType())  # type: ignore[call-overload, untyped-decorator]
def _without_contacts(texts: pa.Array) -> pa.Array:  # type: ignore[type-arg]
    if texts.null_count == len(texts):
        return texts
    from pipeline.cleaning.contacts.contacts import without_contacts

    return pa.array(
        [None if text is None else without_contacts(text) for text in texts.to_pylist()],
        pa.string(),
    )


def _let(value: Column, body: Callable[[Column], Column]) -> Column:
    """`body` with `value` computed once; written out, each nested use would double the plan."""
    return F.get(F.transform(F.array(value), body), F.lit(0))


def _untagged(text: Column) -> Column:
    plain = F.regexp_replace(text, _HIDDEN, " ")
    plain = F.regexp_replace(plain, _BLOCK_TAG, " ")
    return F.regexp_replace(plain, _TAG, "")


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
