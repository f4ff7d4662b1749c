"""Numbers of payment cards in a plain text: Luhn's check, an issuer's prefix, a length it uses.

Every row of neighbouring groups of digits is tried, so an expiry date or a price before or after
the card does not hide it. Source: ISO/IEC 7812 and the issuers' published ranges.

Gives up: a card with a mistyped digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import ean, luhn

from pipeline.cleaning.contacts.labels import OTHER, label_before
from pipeline.cleaning.contacts.spans import Run, Span

_UP_TO_19 = (16, 17, 18, 19)
_ISSUERS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("4", (13, 16, 19)),  # Visa
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
    (r"3[47]", (15,)),  # American Express
    (r"30[0-5]|3095|36|3[89]", (14, *_UP_TO_19)),  # Diners Club
    (r"6011|64[4-9]|65", _UP_TO_19),  # Discover
    (r"35(?:2[89]|[3-8])", _UP_TO_19),  # JCB
    (r"62|81", _UP_TO_19),  # UnionPay
    (r"50|5[6-9]|6[0-9]", (13, 14, 15, *_UP_TO_19)),  # Maestro, RuPay, Hipercard, Elo, Troy
    (r"220[0-4]", _UP_TO_19),  # Mir
    (r"9792", (16,)),  # Troy
    (r"60|65|8[12]|508|353|356", (16,)),  # RuPay
    (r"1", (15,)),  # UATP
)
_PREFIX = tuple((re.compile(prefix), lengths) for prefix, lengths in _ISSUERS)
_WORDS = re.compile(
    r"card|visa|master|amex|american express|maestro|diners|discover|jcb|unionpay|rupay|mir\b|karte|"
    r"carte|cartão|cartao|tarjeta|carta|kart|карт|kaart|kort|卡|カード|카드|कार्ड|cvv|cvc|\bcc\b|debit|credit",
    re.IGNORECASE,
)
_EXPIRY = re.compile(r"(?:0[1-9]|1[0-2])[2-4][0-9]|(?:0[1-9]|1[0-2])[2-4][0-9][0-9]{3}|[0-9]{3}")


def payment_cards(run: Run) -> Iterator[Span]:
    """The cards in a run of digits, from left to right."""
    groups = run.groups
    first = 0
    while first < len(groups):
        last = _card_from(run, groups, first)
        if last is None:
            inside = _card_within(run, groups, first)
            if inside is not None:
                yield inside
            first += 1
            continue
        yield Span(run.starts[first], run.ends[last], "card")
        first = last + 1


def _card_from(run: Run, groups: tuple[str, ...], first: int) -> int | None:
    """The last group of a card that begins with the group `first`; the longest there is."""
    number, found = "", None
    for last in range(first, len(groups)):
        number += groups[last]
        if len(number) > 19:
            break
        shape = [len(group) for group in groups[first : last + 1]]
        if len(number) >= 13 and is_card(number) and _is_plausible(run, first, last, shape):
            found = last
            may_go_on = number.startswith(("62", "81"))  # UnionPay: up to 19 digits
            if shape in ([4, 4, 4, 4], [4, 6, 5], [4, 6, 4], [16]) and not may_go_on:
                break
    return found


def is_card(number: str) -> bool:
    """Whether digits are a card of a known issuer."""
    return (
        any(len(number) in lengths and prefix.match(number) for prefix, lengths in _PREFIX)
        and luhn.is_valid(number)
        and len(set(number)) > 1
    )


def _is_plausible(run: Run, first: int, last: int, shape: list[int]) -> bool:  # noqa: PLR0911
    number = "".join(run.groups[first : last + 1])
    has_word = bool(_WORDS.search(run.text[max(0, run.starts[first] - 40) : run.starts[first]]))
    is_other = not has_word and label_before(run.text, run.starts[first]) == OTHER
    if len(shape) == 1:
        if is_other and len(number) not in (15, 16):
            return False
        if len(number) in (13, 14, 17, 18) and not has_word:
            # As long as the number of an article (GTIN), or of nothing in use.
            return len(number) < 17 and not ean.is_valid(number) and number[0] in "345"
        if len(number) == 15 and not has_word:
            return number[0] == "3" and number[:2] != "35"
        return number[0] != "1" or has_word
    usual = shape in ([4, 6, 5], [4, 6, 4], [4, 4, 5], [6, 13], [8, 8], [4, 12], [6, 10], [12, 4])
    fours = all(size == 4 for size in shape[:-1]) and 1 <= shape[-1] <= 4
    alike = len(set(shape)) == 1 and shape[0] in (1, 2, 4, 8)
    if not (usual or fours or alike or has_word):
        return False
    if any("," in run.gap(i) and run.gap(i) != ", " for i in range(first, last)) and not has_word:
        return False
    return number[0] != "1" or has_word


def _card_within(run: Run, groups: tuple[str, ...], place: int) -> Span | None:
    """A card that more digits follow without a space: its expiry date, its check value."""
    group = groups[place]
    if len(group) < 18:
        return None
    text, start = run.text, run.starts[place]
    if label_before(text, start) == OTHER:
        return None
    has_word = bool(_WORDS.search(text[max(0, start - 40) : start]))
    for size in (16, 15, 14, 19):
        for offset in range(len(group) - size + 1) if has_word else (0,):
            number, rest = group[offset : offset + size], group[offset + size :]
            if is_card(number) and (has_word or (rest and _EXPIRY.fullmatch(rest))):
                return Span(start + offset, start + offset + size, "card")
    return None
