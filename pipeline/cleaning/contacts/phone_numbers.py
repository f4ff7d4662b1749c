"""Phone numbers in a plain text, national and international, by Google's list of numbering plans.

A number is looked for in each run of digits. What it takes to be a phone depends on how it is
written:

- with a country code (`+`, `00`): a length that the country has
- with a word for phones beside it, in some twenty languages: a valid number of one of `REGIONS`
- with a leading zero: a valid number of one of them
- otherwise: valid, and in groups as that country writes it; bare digits only as mobile numbers of
  countries where they are written so
- with a word for something else right beside it (order, parcel, model), a currency or a unit: a
  country code only; with a word for orders or parcels farther away: also a mobile number of a
  country where that word is spoken

Source: `numbering_plans`.

Gives up: bare digits without any word beside them, in most countries; numbers spelled as words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from pipeline.cleaning.contacts.labels import OTHER, PHONE, is_amount, label, regions_spoken
from pipeline.cleaning.contacts.numbering_plans import (
    country_of,
    has_country,
    is_mobile_in,
    is_mobile_with_country,
    is_possible,
    valid_in,
)
from pipeline.cleaning.contacts.spans import Run, Span

# Written without a leading zero, in these groups (of the number without its country code).
_GROUPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "US": ((3, 3, 4),),
    "CA": ((3, 3, 4),),
    "ES": ((3, 3, 3), (3, 6), (2, 7), (3, 2, 2, 2), (2, 3, 2, 2), (2, 3, 4)),
    "PT": ((3, 3, 3), (2, 3, 2, 2), (2, 3, 4)),
    "PL": ((3, 3, 3), (2, 7), (2, 3, 2, 2), (2, 3, 4)),
    "CZ": ((3, 3, 3),),
    "SK": ((3, 3, 3),),
    "IT": ((3, 3, 4), (3, 7), (3, 3, 2, 2), (3, 4, 3), (3, 2, 2, 3)),
    "GR": ((3, 3, 4), (3, 7), (2, 4, 4), (4, 3, 3), (3, 3, 2, 2)),
    "IN": ((5, 5), (3, 3, 4), (4, 3, 3), (4, 6)),
    "BR": ((2, 5, 4), (2, 4, 4), (2, 9), (2, 1, 4, 4)),
    "CN": ((3, 4, 4),),
    "CL": ((1, 4, 4),),
    "CO": ((3, 3, 4), (3, 7)),
    "MX": ((2, 4, 4), (3, 3, 4)),
    "PE": ((3, 3, 3),),
    "NO": ((3, 2, 3), (2, 2, 2, 2)),
    "DK": ((2, 2, 2, 2),),
    "LU": ((2, 2, 2, 2),),
    "RU": ((3, 3, 2, 2), (3, 3, 4)),
    "UA": ((2, 3, 2, 2),),
    "TR": ((3, 3, 2, 2), (3, 3, 4)),
}
# Bare digits that are a mobile number more often than anything else of this length.
_BARE = re.compile(
    r"1[3-9][0-9]{9}"  # China
    r"|[78]9[0-9]{9}"  # Russia
    r"|[6-9][0-9]{9}"  # India
    r"|(?:1[1-9]|2[12478]|3[1-578]|[4689][1-9]|5[1345]|7[134579])9[0-9]{8}"  # Brazil
)
_NORTH_AMERICA = re.compile(
    r"(?:1[ .\-])?(?:\((?:[2-9][0-9]{2}|123)\)[ \-.]?|(?:[2-9][0-9]{2}|123)(?P<sign>[ .\-]))[0-9]{3}(?(sign)(?P=sign)|[ .\-])[0-9]{4}"
)
_FREE_OF_CHARGE = re.compile(r"1[ \-]?[38]00[ \-][0-9]{3}[ \-][0-9]{3,4}")
_NUMBER_WORD = re.compile(
    r"(?:number|nummer|num[eé]ro|n[úu]mero|numer|номер|\bno|\bnr)\W{0,3}(?:is |ist |es |é )?\Z",
    re.IGNORECASE,
)
_LETTERS_AND_DASH = re.compile(r"(?<![^\W_])[A-Za-z]{1,5}-\Z")
_TWO_YEARS = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}[ \-/](?:19|20)[0-9]{2}\Z")
_LOCAL = re.compile(r"[2-9][0-9]{2}[\-. ][0-9]{4}")
_ZERO_LED = re.compile(
    r"\(?0[1-9][0-9]{1,4}\)?(?: ?[ .\-/] ?[0-9]{2,8}){1,5}|\(?0[1-9][0-9]{1,4}\)[0-9]{4,8}"
)
_BRACKETED = re.compile(
    r"\(0?[1-9][0-9]{0,4}\)[ \-.]{0,2}[0-9]{1,5}(?:[ .\-/]{1,3}[0-9]{2,5}){0,4}|\(0?[1-9][0-9]{1,4}\) ?[0-9]{6,8}"
)
_EXTENSION = re.compile(
    r",? ?(?:ext\.?|extension|x|durchwahl|dw|poste|доб\.?|wewn\.?|int\.?|ramal) ?[0-9]{1,6}(?![0-9])",
    re.IGNORECASE,
)
_MIN, _MAX, _MAX_INTERNATIONAL = 7, 13, 15
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\u0900-\u097f\u0600-\u06ff]"
)


def phone_numbers(run: Run) -> Iterator[Span]:
    """The phone numbers of a run of digits, from left to right."""
    count, first = len(run.starts), 0
    while first < count:
        last = _phone_from(run, first, count)
        if last is None:
            first += 1
            continue
        start, end = _outer(run, first, last)
        extension = _EXTENSION.match(run.text, end)
        yield Span(start, extension.end() if extension else end, "phone")
        first = last + 1


def _phone_from(run: Run, first: int, count: int) -> int | None:
    """The last group of the longest phone that begins with the group `first`."""
    if not _may_begin(run, first):
        return None
    size, lasts = 0, []
    for last in range(first, min(count, first + 12)):
        if last > first and not _may_join(run, last - 1):
            break
        if (
            size > _MIN
            and run.gap(last - 1) in (" - ", " / ")
            and run.text[run.starts[last]] == "0"
        ):
            break  # the next phone
        size += run.ends[last] - run.starts[last]
        if size > _MAX_INTERNATIONAL + 3:
            break
        if size >= _MIN - 1:
            lasts.append(last)
    return next((last for last in reversed(lasts) if _is_phone(run, first, last)), None)


def _outer(run: Run, first: int, last: int) -> tuple[int, int]:
    """With the plus sign and the bracket that belong to it."""
    start, end = run.starts[first], run.ends[last]
    before = run.text[max(0, start - 4) : start]
    sign = re.search(r"(?:\+ ?\(?|\(\+?)\Z", before)
    if sign and (")" in run.text[start:end] or "+" in sign.group()):
        start -= len(sign.group())
    if (
        run.text.count("(", start, end) > run.text.count(")", start, end)
        and run.text[end : end + 1] == ")"
    ):
        end += 1
    return start, end


def _may_begin(run: Run, first: int) -> bool:
    start, text = run.starts[first], run.text
    before = text[start - 1] if start else " "
    if before.isalpha() and not _UNSPACED.match(before):
        word = re.search(r"[^\W\d_]+\Z", text[max(0, start - 24) : start])
        return bool(word) and label(text, start, start) == PHONE
    if _LETTERS_AND_DASH.search(text, max(0, start - 8), start) and (
        label(text, start, start) != PHONE
    ):
        return False  # a part's number: SS-2230 001 234
    return not (first and run.gap(first - 1) in ("-", ".", "_", "*")) and before not in "#@$€£_"


def _may_join(run: Run, after: int) -> bool:
    """Whether one phone may go on after the group."""
    gap = run.gap(after)
    if gap == "_":
        return True
    if any(sign in gap for sign in "+,:*_~\n"):
        return False
    return (
        len(gap) <= 2
        or gap in (" - ", " / ", " . ", ") -", " ) ", ")  ", " -(")
        or bool(re.fullmatch(r" ?\(0\) ?", gap))
    )


def _is_phone(run: Run, first: int, last: int) -> bool:  # noqa: PLR0911
    text = run.text
    start, end = _outer(run, first, last)
    written = text[start:end]
    digits = "".join(run.groups[first : last + 1])
    if not _ends_there(run, last):
        return False
    if written.startswith(("+", "(+")):
        return _is_international(digits, written)
    said = label(text, start, end)
    if _TWO_YEARS.search(written) or (
        said != PHONE and (_is_series(run, first, last) or "_" in written)
    ):
        return False
    if digits.startswith("00") and said != OTHER:
        return _is_international(digits[2:], written) and (
            has_country(digits[2:]) or (first < last and is_possible(digits[2:]))
        )
    if digits.startswith("011") and len(digits) > 11 and said != OTHER and has_country(digits[3:]):
        return True
    if len(digits) > _MAX or said == OTHER or (said != PHONE and is_amount(text, start, end)):
        return False
    if said == PHONE and not re.search(r"\d,\d", written):
        if is_amount(text, start, end):
            return False
        return (
            bool(valid_in(digits))
            or bool(_NORTH_AMERICA.fullmatch(written))
            or bool(_LOCAL.fullmatch(written))
            or digits[0] == "0"
            or (
                "/" not in written
                and len(digits) <= 11
                and len(run.groups[first : last + 1]) <= 5
                and _is_even(run, first, last)
            )
        )
    return _is_national(run, first, last, written, digits) or (
        not re.search("[,/]", written) and is_mobile_in(digits, regions_spoken(text, start, end))
    )


def _is_series(run: Run, first: int, last: int) -> bool:
    """Whether the groups grow by the same step: a table, a scale."""
    numbers = [int(group) for group in run.groups[first : last + 1]]
    steps = {b - a for a, b in pairwise(numbers)}
    small = all(number < 100 or number % 10 == 0 for number in numbers)
    return len(numbers) > 2 and len(steps) == 1 and small


def _is_even(run: Run, first: int, last: int) -> bool:
    """Whether one sign parts the groups."""
    return len({run.gap(i).strip() or " " for i in range(first, last)}) <= 1


def _ends_there(run: Run, last: int) -> bool:
    text, end = run.text, run.ends[last]
    after = text[end : end + 2]
    if after[:1].isalpha() and not _UNSPACED.match(after):
        return bool(re.match(r"(?:x|ext)\.? ?[0-9]", text[end : end + 6], re.IGNORECASE))
    if after[:1] in ("_", "@", "%", "°"):
        return False
    return not (after[:1] in tuple(".,-:*") and after[1:2].isdigit())


def _is_international(digits: str, written: str) -> bool:
    if not 7 <= len(digits) <= _MAX_INTERNATIONAL + 1:
        return False
    digits = re.sub(r"\(0\)", "", written) if "(0)" in written else digits
    digits = "".join(filter(str.isdigit, digits)).removeprefix("00")
    return is_possible(digits) or (
        # A country that exists, and groups: mistyped, but meant.
        len(digits) >= 9 and country_of(digits) != 0 and bool(re.search(r"[ \-().]", written))
    )


def _is_national(run: Run, first: int, last: int, written: str, digits: str) -> bool:  # noqa: PLR0911, PLR0912
    groups = run.groups[first : last + 1]
    gaps = {run.gap(i) for i in range(first, last)}
    if len(groups) > 2 and len(set(groups)) == 1:
        return False  # a colour: 255 255 255
    if _FREE_OF_CHARGE.fullmatch(written):
        return True
    if _NORTH_AMERICA.fullmatch(written) and (
        # Who makes a number up writes 555.
        "555" in groups
        or digits == "1234567890"
        or any(region in ("US", "CA") for region, _ in valid_in(digits))
    ):
        return gaps != {" "} or not _goes_on(run, first, last)
    if gaps and any(gap.strip() == "/" for gap in gaps) and not digits.startswith("0"):
        return False
    if digits.startswith("0") or written.startswith("(0"):
        return _is_zero_led(groups, gaps, written, digits)
    if is_mobile_with_country(groups, digits):
        return True
    valid = valid_in(digits)
    if len(groups) == 1:
        # "Confirmation number 9182736450": of what, nobody can list.
        named = _NUMBER_WORD.search(run.text[max(0, run.starts[first] - 16) : run.starts[first]])
        return bool(valid) and bool(_BARE.fullmatch(digits)) and not named
    if written.startswith("("):
        return bool(valid) and bool(_BRACKETED.fullmatch(written))
    if digits[0] in "78" and len(digits) == 11 and groups[0][0] in "78":
        # Russia: 8 (912) 345-67-89
        sizes = tuple(map(len, groups))
        if (
            sizes[0] == 1 and sizes[1:] in (*_GROUPS["RU"], (3, 7), (3, 2, 2, 3), (3, 3, 2, 2))
        ) or "(" in written:
            return any(region in ("RU", "KZ") for region, _ in valid_in("8" + digits[1:]))
    sizes = tuple(map(len, groups))
    if max(sizes) <= 4 and _goes_on(run, first, last):
        return False
    if max(sizes) == 2 and list(groups) == sorted(groups):
        return False  # sizes: 36 38 40 42
    if sizes[:1] == (4,) and "-" in gaps:
        return False  # a part's number: 7100-123-456
    later_gaps = {run.gap(i).strip() for i in range(first + 1, last)}
    return len(later_gaps) <= 1 + (sizes[0] > 2) and any(
        sizes in _GROUPS.get(region, ()) for region, national in valid if national == digits
    )


def _goes_on(run: Run, first: int, last: int) -> bool:
    """Whether the groups are some of a longer row: an amount, sizes, a table."""
    inside = run.gap(first)
    before = first > 0 and run.gap(first - 1) == inside
    after = last + 1 < len(run.starts) and run.gap(last) == inside
    is_next_phone = len(run.starts) - 1 - last >= last - first + 1
    is_later_phone = first >= last - first + 1
    return (before and not is_later_phone) or (after and not is_next_phone)


def _is_zero_led(groups: tuple[str, ...], gaps: set[str], written: str, digits: str) -> bool:
    if len(digits) < (9 if " - " in gaps else 8) or digits.startswith("00"):
        return False
    if len(groups) > 1 and len(groups[0]) == 1 and not written.startswith("("):
        sizes = [len(group) for group in groups[1:]]
        # Also how makers of car parts write; only services are that short.
        is_service = groups[1].startswith("8") and groups[1][1] in "0129"
        return (
            bool(valid_in(digits))
            and all(gap == " " for gap in gaps)
            and len(digits) >= 9
            and (sizes != [3, 3, 3] or is_service)
        )
    if len(groups) == 1:
        return len(digits) >= 9 and bool(valid_in(digits))
    if not (_ZERO_LED.fullmatch(written) or _BRACKETED.fullmatch(written)):
        return bool(valid_in(digits)) and len(groups) <= 6
    if len(gaps) == 1 and gaps != {" "} and len(groups[-1]) < min(4, len(groups[-2])):
        return False  # a part's number: 0815-4711-01, 099-0818-300
    return bool(valid_in(digits)) or (9 <= len(digits) <= 12 and len(groups) <= 4)
