"""What of a text identifies a person, and the text without it.

`without_contacts` replaces e-mail addresses, payment cards, phone numbers, IBANs, national ids and
secrets by `[email]`, `[card]`, `[phone]`, `[iban]`, `[id]` and `[token]`. Everything else stays as
it was written, to the character.

Gives up: names, postal addresses, nicknames in other services, numbers spelled in words, IP
addresses (in reviews of devices they are settings), and what each module beside this one names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.cleaning.contacts.credentials import credentials
from pipeline.cleaning.contacts.email_addresses import email_addresses
from pipeline.cleaning.contacts.national_ids import ibans, national_ids
from pipeline.cleaning.contacts.numbers_that_stay import stays, stays_first
from pipeline.cleaning.contacts.payment_cards import payment_cards
from pipeline.cleaning.contacts.phone_numbers import phone_numbers
from pipeline.cleaning.contacts.plain_text import plain
from pipeline.cleaning.contacts.spans import Span, Taken, replaced, runs

# Every number that is looked for has six digits close together, but India's tax number.
_DENSE = re.compile(
    r"[0-9](?:(?:[^\w]{0,4}|_{1,3}| ?[^\W\d_]{1,3})[0-9]){5,}|[A-Z]{5}[0-9]{4}[A-Z]"
)
# What is looked at around them: labels before, units and words after.
_BEFORE, _AFTER = 64, 48


def contacts(text: str) -> list[Span]:
    """What is to be replaced, from left to right, without overlaps; places in the text itself."""
    seen = plain(text)
    if not seen.text:
        return []
    found: list[Span] = []
    taken = Taken(len(seen.text))

    def keep(spans: Iterable[Span]) -> None:
        for span in spans:
            if not taken.any(span.start, span.end):
                taken.take(span.start, span.end)
                found.append(span)

    def keep_numbers(zone: str, offset: int) -> None:
        spoken = Taken(len(zone))
        for span in found:
            spoken.take(max(0, span.start - offset), max(0, min(len(zone), span.end - offset)))

        def put(spans: Iterable[Span]) -> None:
            for span in spans:
                if not spoken.any(span.start, span.end):
                    spoken.take(span.start, span.end)
                    found.append(Span(span.start + offset, span.end + offset, span.kind))

        put(ibans(zone))
        put(national_ids(zone, named=True))
        for start, end in stays_first(zone):
            spoken.take(start, end)
        put(span for run in runs(zone, spoken) for span in payment_cards(run))
        put(national_ids(zone))
        for start, end in stays(zone):
            spoken.take(start, end)
        put(span for run in runs(zone, spoken) for span in phone_numbers(run))

    keep(credentials(seen.text))
    keep(email_addresses(seen.text))
    for start, end in _dense_zones(seen.text):
        keep_numbers(seen.text[start:end], start)
    return sorted(Span(*seen.written(span.start, span.end), span.kind) for span in found)


def _dense_zones(text: str) -> list[tuple[int, int]]:
    """Where numbers may be, with what is said around them; a long text is mostly words."""
    zones: list[tuple[int, int]] = []
    for match in _DENSE.finditer(text):
        start, end = max(0, match.start() - _BEFORE), min(len(text), match.end() + _AFTER)
        start = max(start - 24, text.rfind(" ", 0, start) + 1) if start else 0
        if zones and start <= zones[-1][1]:
            zones[-1] = zones[-1][0], end
        else:
            zones.append((start, end))
    return zones


def without_contacts(text: str) -> str:
    """The text with each contact replaced by its kind in brackets."""
    found = contacts(text)
    return replaced(text, found) if found else text


def without_emails(text: str) -> str:
    """The text without e-mail addresses; numbers stay."""
    seen = plain(text)
    found = [Span(*seen.written(s.start, s.end), s.kind) for s in email_addresses(seen.text)]
    return replaced(text, found) if found else text
