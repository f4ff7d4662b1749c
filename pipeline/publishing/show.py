"""One shopper's page: who they are to the shop, what they did, what they get and why.

`show_user` reads the latest published night: its `recommendations`, and the `histories` and
`catalogue` that they were made from. `print_page` writes for people, on a terminal. Titles, queries
and reasons are strangers' text: they are printed as they stand, without markup and control
characters.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.datasets import CATALOGUE, HISTORIES, RECOMMENDATIONS
from pipeline.encryption.duckdb_tables import bring, parquet_source
from pipeline.errors import InputError
from pipeline.lake import Lake, Partition
from pipeline.model.list_methods import LAST_NIGHT, TEMPLATE, WORDS
from pipeline.pseudonym import pseudonym
from pipeline.publishing.consent import withdrawn_from
from pipeline.publishing.list_origin import input_of
from pipeline.publishing.plain_text import visible

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")
_TITLE = 60


@dataclass(frozen=True)
class PastEvent:
    """One thing a shopper did; title and price as the catalogue has them now."""

    time: dt.datetime
    event_type: str
    item_id: str
    title: str | None


@dataclass(frozen=True)
class ShopperPage:
    """Everything the page says. `past` is newest first."""

    night: dt.date
    user_id: str
    language: str | None
    region: str | None
    consent: bool
    active: bool
    n_events: int
    past: tuple[PastEvent, ...]
    queries: tuple[str, ...]
    recommendation: dict[str, Any] | None

    @property
    def why_nothing(self) -> str:
        """Why there is no list, for a shopper who has none."""
        if not self.consent:
            return "gets nothing: has not agreed to personalised marketing"
        if not self.active:
            return "gets nothing: not active of late (settings histories.active_days)"
        return "gets nothing: already owns every item that can be sold, or came after publishing"


def show_user(lake: Lake, user: str, key: bytes | None) -> ShopperPage:
    """Find a shopper by pseudonym or by the retailer's own id.

    Args:
        user: 32 hexadecimal digits, or the id as it stands in the retailer's files.
        key: of `pipeline.pseudonym`; without it only pseudonyms can be looked up.

    Raises:
        InputError: nothing is published, or there is no such shopper; says what to try.
    """
    latest = lake.latest(RECOMMENDATIONS)
    if latest is None:
        raise InputError(f"nothing is published in {lake.root} yet; run a night first")
    histories = input_of(lake, HISTORIES, latest)
    candidates = [user.lower()] if _PSEUDONYM.fullmatch(user.lower()) else []
    if key is not None:
        candidates.append(pseudonym(user, key))
    for user_id in candidates:
        found = _rows(histories, "user_id = ?", [user_id])
        if found:
            return _page(lake, latest, found[0])
    raise InputError(_nobody(lake, user, key, histories))


def print_page(
    page: ShopperPage,
    console: Console,
    *,
    currency: str = "",
    past: int = 15,
    timezone: dt.tzinfo = dt.UTC,
) -> None:
    """Print a page; of the past the newest `past` events, at the times of `timezone`."""
    console.print(Text(f"Shopper {page.user_id}", style="bold"))
    facts = [
        page.language or "language unknown",
        page.region or "region unknown",
        "has consented" if page.consent else "has not consented",
        "active" if page.active else "not active",
        f"{page.n_events} events",
    ]
    console.print(Text(visible(" · ".join(facts))))
    console.print(Text(f"as of the night of {page.night}", style="dim"))
    console.print()
    heading = Text("Past, newest first", style="bold")
    console.print(heading.append(f" (times of {timezone})", style="not bold dim"))
    console.print(_past_table(page.past[:past], timezone))
    if page.n_events > past:
        console.print(Text(f"and {page.n_events - min(past, len(page.past))} before", style="dim"))
    if page.queries:
        asked = ", ".join(f"“{visible(query, _TITLE)}”" for query in reversed(page.queries))
        console.print(Text(f"Searched for {asked}"))
    console.print()
    _print_recommendations(page, console, currency)


def _print_recommendations(page: ShopperPage, console: Console, currency: str) -> None:
    given = page.recommendation
    if given is None:
        console.print(Text(f"This shopper {page.why_nothing}."))
        return
    console.print(Text("Gets", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("item")
    entries = [*given["items"], *(given.get("spares") or [])]
    _add_id_column(table, [entry["item_id"] for entry in entries])
    table.add_column("brand")
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    n_spares = len(entries) - given["n_items"]
    for entry in entries:
        price = "–" if entry["price"] is None else f"{entry['price']:,.2f} {currency}".rstrip()
        table.add_row(
            str(entry["rank"]),
            _text(entry["title"], "(no title)"),
            Text(visible(entry["item_id"]), style="dim"),
            _text(entry["brand"], "–"),
            price,
            f"{entry['score']:.3f}",
            style="dim" if entry["rank"] > given["n_items"] else None,
        )
    console.print(table)
    if n_spares:
        of = f"{given['n_items'] + 1} to {len(entries)}"
        console.print(Text(f"Spares, for what sells out: {of}", style="dim"))
    if given.get("valid_until") is not None:
        console.print(Text(f"Holds until {given['valid_until']}", style="dim"))
    if given["reason"]:
        by = " (from a template)" if given["reason_method"] == TEMPLATE else ""
        console.print(Text(f"Told: {visible(given['reason'])}").append(by, style="dim"))
    console.print(Text(visible(_chosen_by(given)), style="dim"))


def _chosen_by(given: dict[str, Any]) -> str:
    method = given["method"]
    if method not in WORDS:
        return f"Chosen by model {given['model_version']}"
    late = method == LAST_NIGHT
    why = "this one could not be made in time" if late else "the model could not"
    return f"Fallback: {WORDS[method]} ({why})"


def _past_table(events: Sequence[PastEvent], timezone: dt.tzinfo) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    _add_id_column(table, [event.item_id for event in events])
    for event in events:
        table.add_row(
            Text(f"{event.time.astimezone(timezone):%Y-%m-%d %H:%M}", style="dim"),
            Text(event.event_type),
            _text(event.title, "(no title)"),
            Text(visible(event.item_id), style="dim"),
        )
    return table


def _add_id_column(table: Table, ids: Iterable[str]) -> None:
    """As wide as the longest id, so that each can be copied from one line; titles give way."""
    longest = max((cell_len(visible(item_id)) for item_id in ids), default=0)
    table.add_column("id", no_wrap=True, overflow="fold", min_width=longest)


def _text(value: str | None, otherwise: str) -> Text:
    return Text(visible(value, _TITLE)) if value else Text(otherwise, style="dim")


def _page(lake: Lake, latest: Partition, history: dict[str, Any]) -> ShopperPage:
    titles = {
        row["item_id"]: row["title"]
        for row in _rows(
            input_of(lake, CATALOGUE, latest),
            "list_contains(?, item_id)",
            [history["item_ids"]],
        )
    }
    acts = zip(history["event_times"], history["event_types"], history["item_ids"], strict=True)
    gone = history["user_id"] in withdrawn_from(lake, latest)
    given = [] if gone else _rows(latest, "user_id = ?", [history["user_id"]])
    return ShopperPage(
        night=latest.run_date,
        user_id=history["user_id"],
        language=history["language"],
        region=history["region"],
        consent=history["consent"] and not gone,
        active=history["active"],
        n_events=history["n_events"],
        past=tuple(
            PastEvent(time, event_type, item_id, titles.get(item_id))
            for time, event_type, item_id in reversed(list(acts))
        ),
        queries=tuple(history["queries"]),
        recommendation=given[0] if given else None,
    )


def _rows(partition: Partition, condition: str, values: list[Any]) -> list[dict[str, Any]]:
    """Rows of a partition; files are sorted by their key, so that most of them is skipped."""
    # The condition is one of this module's own; values are parameters.
    sql = f"SELECT * FROM {parquet_source(partition.files)} WHERE {condition}"  # noqa: S608
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        cursor = connection.execute(bring(connection, sql), values)
        names = [str(column[0]) for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _nobody(lake: Lake, user: str, key: bytes | None, histories: Partition) -> str:
    tried = ["as a pseudonym"] if _PSEUDONYM.fullmatch(user.lower()) else []
    tried += ["as the shop's own id"] if key is not None else []
    looked = " and ".join(tried) or "not at all: a pseudonym has 32 hexadecimal digits"
    some = [row["user_id"] for row in _rows(histories, "active AND consent LIMIT 1", [])]
    example = f" Try one who is there: {some[0]}." if some else ""
    return (
        f"no shopper {visible(user, 80)!r} in the histories of {histories.run_date} in {lake.root} "
        f"(looked up {looked}; {histories.rows:,} shoppers are there). Ids are matched exactly, as "
        "they stand in the shop's files; a shopper without a view, wish, cart, purchase, return "
        f"or review up to that night has no page.{example}"
    )
