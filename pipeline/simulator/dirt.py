"""The dirt of a real delivery, planted into one day's rows and recorded.

Works on columns of JSON fragments (`"u17"`, `null`, `12.99`), one list a column, so that a fault
is the replacement of one fragment. Reads and writes nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.simulator.catalogue import NOBODY, Ints
from pipeline.simulator.clock import Clock
from pipeline.simulator.events import CART, PURCHASE, RETURN, SEARCH, VIEW, Events
from pipeline.simulator.planting import Page, Planter, lay_out

Columns = dict[str, list[str]]

NULL = "null"
_LATE_DAYS = 5
_BOT_EVENTS = (320, 900)
_STRANGE_TYPES = ("hover", "wishlist_add", "page_view_v2", "??")
_STRANGE_QUANTITIES = ("0", "-1", "-3", "1000000000")
_STRANGE_PRICES = ("-0.01", "-0.5", "-9.99", "-1")
_STRANGE_STARS = ("0", "6", "-1", "11", "100")
_CONTACTS = {
    "en": "You can reach me at {needle}.",
    "zh": "联系我：{needle}。",
    "de": "Meldet euch unter {needle}.",
    "es": "Pueden escribirme a {needle}.",
}


def quoted(text: str) -> str:
    """A JSON string, with its characters as they are."""
    return json.dumps(text, ensure_ascii=False)


def lines_of(columns: Columns) -> list[str]:
    """One JSON object a row, keys in the order of the columns."""
    template = "{" + ",".join(f'"{name}":%s' for name in columns) + "}"
    return [template % row for row in zip(*columns.values(), strict=True)]


def bots(draw: np.random.Generator, dirt: float, n_users: int, items: Ints) -> Events:
    """Views of hundreds of items in minutes, by users whom no list knows.

    Args:
        draw: the day's stream.
        dirt: multiplies how many there are.
        n_users: bots are numbered from here on; a larger shop attracts more of them.
        items: what is on sale.
    """
    rate = 0.06 * n_users / 1000 + 0.04
    n_bots = int(draw.poisson(rate * dirt)) if len(items) else 0
    user, item, second = [], [], []
    for number in range(n_bots):
        n = int(draw.integers(*_BOT_EVENTS))
        begin = int(draw.integers(0, 80_000))
        second.append(begin + np.sort(draw.integers(0, int(draw.integers(180, 1200)), n)))
        user.append(np.full(n, n_users + number))
        item.append(items[(int(draw.integers(len(items))) + np.arange(n)) % len(items)])
    n = sum(len(part) for part in user)
    nothing = np.zeros(0, dtype=np.int64)
    return Events(
        second=np.concatenate([nothing, *second]),
        kind=np.full(n, VIEW, dtype=np.int8),
        user=np.concatenate([nothing, *user]),
        item=np.concatenate([nothing, *item]),
        session=np.full(n, NOBODY),
        quantity=np.full(n, -1),
        price=np.full(n, np.nan),
        query=np.full(n, -1),
    )


class LatePost:
    """Events that were held back and are delivered on a later day."""

    def __init__(self) -> None:
        self._due: defaultdict[int, list[tuple[str, ...]]] = defaultdict(list)

    def hold(self, day: int, row: tuple[str, ...]) -> None:
        """Keep a row, as fragments, until that day."""
        self._due[day].append(row)

    def deliver(self, day: int) -> list[tuple[str, ...]]:
        """What is due on that day."""
        return self._due.pop(day, [])


def soil_events(
    planter: Planter,
    clock: Clock,
    day: int,
    kind: npt.NDArray[np.int8],
    columns: Columns,
    *,
    late: LatePost,
) -> Page:
    """Plant faults into the day's events, in place, and lay the file out.

    Args:
        planter: chooses the rows; those of bots are marked already.
        clock: the day's clock.
        day: days since the first.
        kind: of each row, one of the kinds of `sessions`.
        columns: of JSON fragments.
        late: takes what is held back and gives what is due.
    """
    draw = planter.draw
    held: list[int] = []
    if planter.dirt:
        searching = kind == SEARCH
        held = planter.choose("late")
        for row in held:
            fragments = tuple(column[row] for column in columns.values())
            late.hold(day + int(draw.integers(1, _LATE_DAYS + 1)), fragments)
        one_of = _one_of(draw)
        _replace(columns["user"], planter.choose("user_missing"), one_of((NULL, '""')))
        bought = kind == PURCHASE
        _replace(columns["item"], planter.choose("item_missing", bought), lambda: NULL)
        _replace(
            columns["item"], planter.choose("item_unknown", ~searching), lambda: _no_item(draw)
        )
        strange = tuple(quoted(name) for name in _STRANGE_TYPES)
        _replace(columns["type"], planter.choose("type_unknown"), one_of(strange))
        counted = (kind == CART) | bought | (kind == RETURN)
        _replace(
            columns["qty"],
            planter.choose("quantity_impossible", counted),
            one_of(_STRANGE_QUANTITIES),
        )
        _replace(
            columns["price"],
            planter.choose("price_impossible", ~searching),
            one_of(_STRANGE_PRICES),
        )
        _replace(columns["ts"], planter.choose("clock_future"), lambda: _future(draw, clock))
        _replace(columns["ts"], planter.choose("clock_1970"), lambda: _epoch(draw))
        for name, needle_of in NEEDLES.items():
            for row in planter.choose(f"{name}_in_query", searching):
                needle = needle_of(draw)
                planter.mark(row, f"{name}_in_query", needle)
                query = json.loads(columns["query"][row])
                columns["query"][row] = quoted(f"{query} {needle}")
    for fragments in late.deliver(day):
        planter.mark(len(columns["ts"]), "late")
        for column, fragment in zip(columns.values(), fragments, strict=True):
            column.append(fragment)
    return lay_out(planter, clock.date, lines_of(columns), columns["event_id"], left_out=held)


def soil_reviews(planter: Planter, clock: Clock, columns: Columns) -> Page:
    """Plant faults into the day's reviews, in place, and lay the file out."""
    draw = planter.draw
    if planter.dirt:
        one_of = _one_of(draw)
        _replace(columns["user"], planter.choose("user_missing"), one_of((NULL, '""')))
        _replace(columns["item"], planter.choose("item_unknown"), lambda: _no_item(draw))
        _replace(columns["ts"], planter.choose("clock_future"), lambda: _future(draw, clock))
        _replace(columns["body"], planter.choose("text_empty"), one_of(('""', '"  "')))
        _replace(columns["stars"], planter.choose("stars_impossible"), one_of(_STRANGE_STARS))
        for name, needle_of in NEEDLES.items():
            for row in planter.choose(f"{name}_in_text"):
                needle = needle_of(draw)
                planter.mark(row, f"{name}_in_text", needle)
                language = json.loads(columns["lang"][row]) or "en"
                contact = _CONTACTS[language].format(needle=needle)
                columns["body"][row] = quoted(f"{json.loads(columns['body'][row])} {contact}")
        for name, marked_up in (("html_tag", _tagged), ("html_entity", _escaped)):
            for row in planter.choose(name):
                text, needle = marked_up(draw, json.loads(columns["body"][row]))
                planter.mark(row, name, needle)
                columns["body"][row] = quoted(text)
    return lay_out(planter, clock.date, lines_of(columns), columns["review_id"])


def _replace(column: list[str], rows: list[int], fragment: Callable[[], str]) -> None:
    for row in rows:
        column[row] = fragment()


def _one_of(draw: np.random.Generator) -> Callable[[tuple[str, ...]], Callable[[], str]]:
    return lambda choices: lambda: choices[int(draw.integers(len(choices)))]


def _no_item(draw: np.random.Generator) -> str:
    return f'"sku-gone-{int(draw.integers(1000, 10_000))}"'


def _future(draw: np.random.Generator, clock: Clock) -> str:
    return quoted(clock.after_end(int(draw.integers(60, 400 * 86_400))))


def _epoch(draw: np.random.Generator) -> str:
    return f'"1970-01-01T00:00:{int(draw.integers(60)):02d}+00:00"'


def _email(draw: np.random.Generator) -> str:
    name = ("anna", "li.wei", "jonas_k", "maria", "tom-b")[int(draw.integers(5))]
    host = ("example.org", "mail.example.com", "example.net")[int(draw.integers(3))]
    return f"{name}{int(draw.integers(10, 1000))}@{host}"


def _phone(draw: np.random.Generator) -> str:
    a, b, c = (int(draw.integers(100, 1000)) for _ in range(3))
    forms = (
        f"+49 151 {b}{c}{a % 100:02d}",
        f"+1 ({a}) {b}-{c}{a % 10}",
        f"+34 6{a % 100:02d} {b} {c}",
        f"+86 138 {b}{a % 10} {c}{b % 10}",
        f"020 7946 0{a}",
    )
    return forms[int(draw.integers(len(forms)))]


def _card(draw: np.random.Generator) -> str:
    """Sixteen digits with a right check digit (Luhn), as a card has."""
    digits = [4, *draw.integers(0, 10, 14).tolist()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[::2]]
    digits.append(-(sum(doubled) + sum(digits[1::2])) % 10)
    text = "".join(map(str, digits))
    gap = (" ", "-", "")[int(draw.integers(3))]
    return gap.join(text[at : at + 4] for at in range(0, 16, 4))


NEEDLES: dict[str, Callable[[np.random.Generator], str]] = {
    "email": _email,
    "phone": _phone,
    "card": _card,
}


def _tagged(draw: np.random.Generator, text: str) -> tuple[str, str]:
    tag = ("p", "b", "div", "i")[int(draw.integers(4))]
    if draw.random() < 0.5:
        return f"{text}<br/>", "<br/>"
    return f"<{tag}>{text}</{tag}>", f"<{tag}>"


def _escaped(draw: np.random.Generator, text: str) -> tuple[str, str]:
    entity = ("&amp;", "&#39;", "&quot;", "&nbsp;")[int(draw.integers(4))]
    return f"{text} {entity} 5/5", entity
