"""Places of a plain text whose digits are known to be no contact: books, parcels, days, amounts.

`stays_first` are those that are surer than a card (a valid ISBN or article number, an identifier in
hexadecimal), `stays` those that are surer than a phone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import ean, isbn

from pipeline.cleaning.contacts.labels import OTHER, PHONE, label
from pipeline.cleaning.contacts.numbering_plans import has_country

_HEXADECIMAL = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|(?=[0-9]*[a-fA-F])[0-9a-fA-F]{24,}|(?:[0-9a-fA-F]{2}[:\-]){5}[0-9a-fA-F]{2}"
    r"|0x[0-9a-fA-F]+)(?![0-9A-Za-z])"
)
_BOOK_OR_ARTICLE = re.compile(
    r"(?<![0-9A-Za-z+\-])[0-9](?:[ \-]?[0-9]){6,12}[ \-]?[0-9Xx](?![0-9A-Za-z])"
)
_PARCEL = re.compile(
    r"(?<![0-9A-Za-z])(?:1Z ?[0-9A-Z]{3} ?[0-9A-Z]{3} ?[0-9A-Z]{2} ?[0-9A-Z]{4} ?[0-9A-Z]{3} ?[0-9A-Z]"
    r"|1Z[0-9A-Z]{16}|[A-Z]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3} ?[A-Z]{2}|[A-Z]{2} ?[0-9]{9} ?[A-Z]{2}"
    r"|(?:JD|JJD|TBA|TBC|CC|LX|LP|YT|SF|3S)[0-9A-Z]{9,20}|00[0-9]{18}|9[1-5][0-9]{2}(?: ?[0-9]{4}){4}(?: ?[0-9]{2})?)"
    r"(?![0-9A-Za-z])"
)
_ORDER = re.compile(
    r"(?<![0-9+\-])(?:[0-9]{3}-[0-9]{7}-[0-9]{7}|[0-9]{2}-[0-9]{5}-[0-9]{5}|[A-Z]{1,6}[\-/]?[0-9]{2,4}[\-/][0-9\-/]{3,})(?![0-9\-])"
)
_APPROVAL = re.compile(r"\bECE[ \-]?R ?[0-9]{1,3}(?:[/.\-][0-9]{2})?[ ,]{1,2}[0-9]{6,9}(?![0-9])")
_YEAR = r"(?:1[89]|20)[0-9]{2}"
_DAY, _MONTH = r"(?:0?[1-9]|[12][0-9]|3[01])", r"(?:0?[1-9]|1[0-2])"
# Of the Buddhist and of the Persian and Islamic calendars.
_OTHER_YEAR = r"(?:2[45]|1[34])[0-9]{2}"
_TIME = r"[0-2]?[0-9][:.h][0-5][0-9](?:[:.][0-5][0-9](?:[.,][0-9]{1,9})?)?"
_DATE = re.compile(
    rf"(?<![0-9.\-/])(?:{_YEAR}([\-./ ])(?:{_MONTH}|{_DAY})\1 ?{_DAY}|{_DAY}([\-./ ]) ?{_MONTH}\2 ?(?:{_YEAR}|[0-9]{{2}}(?= [0-2]?[0-9]:))"
    rf"|{_OTHER_YEAR}([\-./]){_MONTH}\3{_DAY}|{_DAY}([\-./]){_MONTH}\4{_OTHER_YEAR}"
    rf"|{_MONTH}/{_DAY}/(?:{_YEAR}|[0-9]{{2}})|{_YEAR} ?[\-/] ?{_YEAR}|{_MONTH}[/.]{_YEAR}|{_YEAR}[01][0-9][0-3][0-9](?:[T_ \-]?[0-2][0-9][0-5][0-9](?:[0-5][0-9])?)?)"
    rf"(?:[T, ]{{1,2}}{_TIME}(?:Z|[+\-][0-9]{{2}}:?[0-9]{{2}})?(?: ?- ?{_TIME})?)?(?![0-9]|[\-/.][0-9])"
)
_CLOCK = re.compile(rf"(?<![0-9.:]){_TIME}(?: ?- ?{_TIME})?(?![0-9:]|\.[0-9])")
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_HOST = re.compile(rf"(?<![0-9.]){_BYTE}(?:\.{_BYTE}){{3}}(?:[:/][0-9]{{1,5}})?(?![0-9]|\.[0-9])")
_COORDINATES = re.compile(
    r"(?<![0-9.])[+\-]?[0-9]{1,3}\.[0-9]{3,}°?(?: ?[NSEWO])?(?:, ?| ?[;/] ?| )[+\-]?[0-9]{1,3}\.[0-9]{3,}"
    r"|[0-9]{1,3}°(?: ?[0-9]{1,2}['′])?(?: ?[0-9]{1,2}(?:\.[0-9]+)?[\"″])?"
)
_DECIMAL = re.compile(
    r"(?<![0-9.,])[+\-]?(?:0|[1-9][0-9]{0,2})\.[0-9]{5,}(?![0-9]|\.[0-9])|(?<![0-9.,])[0-9]+,[0-9]{1,3}(?![0-9,])"
)
_SIZE = re.compile(
    r"(?<![0-9])[0-9]+(?:[.,][0-9]+)? ?(?:mm|cm|m|in|\"|'')? ?[x×*] ?[0-9]+(?:[.,][0-9]+)?(?: ?(?:mm|cm|m|in)? ?[x×*] ?[0-9]+(?:[.,][0-9]+)?)*",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"(?<![0-9A-Za-z])[vV][0-9]+(?:[.\-][0-9]+)+|(?<![0-9.+(])[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,6}(?:[.\-][0-9]{1,6})?(?![0-9]|\.[0-9])(?<!\.[0-9][0-9])"
)
_GROUPED_AMOUNT = re.compile(
    r"(?<![0-9.,+(\-])[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+(?:\.[0-9]{1,2})?|(?:\.[0-9]{3})+,[0-9]{1,2}"
    r"|(?:'[0-9]{3})+(?:[.,][0-9]{1,2})?|(?: [0-9]{3})+[.,][0-9]{2}|(?:,[0-9]{2})*,[0-9]{3})(?![0-9]|[.,\-][0-9])"
)
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s<>\"']+", re.IGNORECASE)
_CALLS = re.compile(
    r"(?:wa\.me/|phone=|tel[:=]|text=|whatsapp\.com/|mobile=|msisdn=|callto:|/tel/|number=)",
    re.IGNORECASE,
)
_ANY = (
    _PARCEL,
    _ORDER,
    _APPROVAL,
    _DATE,
    _CLOCK,
    _HOST,
    _COORDINATES,
    _DECIMAL,
    _GROUPED_AMOUNT,
)


def stays_first(text: str) -> Iterator[tuple[int, int]]:
    """Places that hold no card either."""
    for match in _HEXADECIMAL.finditer(text):
        yield match.span()
    for match in _PARCEL.finditer(text):
        yield match.span()
    for match in _BOOK_OR_ARTICLE.finditer(text):
        if _is_book_or_article(text, *match.span()):
            yield match.span()


def stays(text: str) -> Iterator[tuple[int, int]]:
    """Places that hold no phone and no id."""
    for pattern in _ANY:
        for match in pattern.finditer(text):
            yield match.span()
    for pattern in (_VERSION, _SIZE):  # "555-0132 x4" has an extension
        for match in pattern.finditer(text):
            if label(text, *match.span()) != PHONE:
                yield match.span()
    for match in _ADDRESS.finditer(text):
        calls = _CALLS.search(match.group())
        yield match.start(), match.start() + calls.end() if calls else match.end()


def _is_book_or_article(text: str, start: int, end: int) -> bool:  # noqa: PLR0911
    """Whether a number is a valid ISBN or article number and is written as one."""
    written = text[start:end]
    number = re.sub("[ -]", "", written).upper()
    said = label(text, start, end)
    if said != OTHER and re.search(r"[0-9)+][ \-/]?\Z", text[max(0, start - 2) : start]):
        return False  # a piece of a longer number
    if len(number) == 10:
        if said == OTHER:
            return isbn.is_valid(number)
        if said == PHONE or not isbn.is_valid(number):
            return False
        if number == written:
            # As many books as phones look so; a mobile number is the more private.
            return (number[0] in "0123" and number[:2] not in ("06", "07")) or number[-1] == "X"
        sizes = [len(part) for part in re.split("[ -]", written)]
        return len(sizes) == 4 and sizes[0] == 1 and sizes[-1] == 1
    if number.endswith("X"):
        return False
    if len(number) == 13 and number[:3] in ("978", "979"):
        return said != PHONE and ean.is_valid(number)
    if said == PHONE or not ean.is_valid(number):
        return False
    if len(number) == 8:
        return number == written and said == OTHER
    if len(number) not in (12, 13) or (
        has_country(number.removeprefix("00")) and number[:2] == "00"
    ):
        return False
    # UPC is printed as 0 36000 29145 2, EAN as 4 006381 333931.
    return number == written or [len(p) for p in re.split("[ -]", written)] in (
        [1, 5, 5, 1],
        [1, 6, 6],
    )
