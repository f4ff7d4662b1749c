"""A shopper's page: found by either id, honest about who gets nothing, safe to print."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from pipeline.errors import InputError
from pipeline.lake import Lake
from pipeline.pseudonym import pseudonym, read_or_make_key
from pipeline.publishing.query import run_query
from pipeline.publishing.show import ShopperPage, print_page, show_user
from tests.lake_rows import user_id_of
from tests.publishing.conftest import Night, catalogue_row, entry, history_row, list_row

KEY = b"k" * 32


def printed(page: ShopperPage) -> str:
    out = io.StringIO()
    print_page(page, Console(file=out, width=160, force_terminal=True), currency="EUR")
    return out.getvalue()


def plain(page: ShopperPage) -> str:
    out = io.StringIO()
    print_page(page, Console(file=out, width=160, color_system=None), currency="EUR")
    return out.getvalue()


def test_found_by_the_pseudonym(night: Night) -> None:
    night.publish()
    page = show_user(night.lake, user_id_of("bob"), None)
    assert [(event.event_type, event.title) for event in page.past] == [
        ("purchase", "Item a"),
        ("view", "Item a"),
    ]
    text = plain(page)
    for words in ("en · GB · has consented · active · 2 events", "Item b", "2.50 EUR", "“tea”"):
        assert words in text
    assert "Told: Because you liked tea." in text


def test_found_by_the_shops_own_id(night: Night, tmp_path: Path) -> None:
    key = read_or_make_key(tmp_path / "key")
    user_id = pseudonym("C-17850.0", key)
    night.histories = [*night.histories, history_row("ann", user_id=user_id)]
    night.lists = [*night.lists, list_row("ann", ("b", "a"), user_id=user_id)]
    night.users = [*night.users, {"user_id": user_id, "consent": True, "source": "test"}]
    night.generate()
    night.publish()
    assert show_user(night.lake, "C-17850.0", key).user_id == user_id
    with pytest.raises(InputError, match="no shopper 'C-17850.0'"):
        show_user(night.lake, "C-17850.0", KEY)


@pytest.mark.parametrize(
    ("name", "why"),
    [("dot", "has not agreed"), ("eve", "not active of late"), ("fay", "already owns every item")],
)
def test_who_gets_nothing_is_told_why(night: Night, name: str, why: str) -> None:
    night.publish()
    assert f"gets nothing: {why}" in plain(show_user(night.lake, user_id_of(name), None))


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("markov", "Fallback: what others chose next (the model could not)"),
        (
            "item_knn",
            "Fallback: what shoppers with the same items also chose (the model could not)",
        ),
        ("popularity", "Fallback: bestsellers (the model could not)"),
        (
            "last_night",
            "Fallback: the list of the night before (this one could not be made in time)",
        ),
    ],
)
def test_a_fallback_is_marked(night: Night, method: str, words: str) -> None:
    row = list_row("cid", ("c",), method=method, fallback_reason="prompt_failed")
    night = night.with_lists(row)
    night.generate()
    night.publish()
    assert words in plain(show_user(night.lake, user_id_of("cid"), None))


@pytest.mark.parametrize("user", ["nobody", "0" * 32, "", "[red]x[/red]\x1b[2J", "' OR 1=1 --"])
def test_an_unknown_shopper(night: Night, user: str) -> None:
    night.publish()
    with pytest.raises(InputError, match="no shopper .*Try one who is there: [0-9a-f]{32}") as told:
        show_user(night.lake, user, KEY)
    assert "\x1b" not in str(told.value)


def test_nothing_published(lake: Lake) -> None:
    with pytest.raises(InputError, match="nothing is published"):
        show_user(lake, "x", KEY)


def test_hostile_strings_are_printed_as_they_stand(night: Night) -> None:
    title = "Tea\x1b]0;owned\x07[bold]pot[/bold][/]\u202e\x9b2J"
    night.catalogue = [catalogue_row("b", title=title, brand="[/]"), *map(catalogue_row, "acd")]
    night.histories[0] = history_row("ann", queries=["\x1b[31mred[/red]"], language="[blink]")
    first = entry(1, "b", title=title, brand="[/]")
    for name, last in (("ann", "a"), ("bob", "c")):
        items = [first, entry(2, last)]
        night = night.with_lists(list_row(name, ("b", last), items=items, reason="[/]\x1b[5m"))
    night.generate()
    night.publish()
    page = show_user(night.lake, user_id_of("ann"), None)
    assert "Tea�]0;owned�[bold]pot[/bold][/]��2J" in plain(page)
    for letter in "\x07\x9b\u202e\x1b":
        assert letter not in plain(page)
    # On a terminal the only escapes are the ones that rich writes: colours, and nothing else.
    assert "\x1b[2J" not in printed(page)
    assert "\x1b[5m" not in printed(page)
    assert "\x1b]" not in printed(page)


def test_times_are_the_shops_and_say_their_zone(night: Night) -> None:
    night.publish()
    page = show_user(night.lake, user_id_of("bob"), None)
    zone = ZoneInfo("Asia/Tokyo")
    out = io.StringIO()
    print_page(page, Console(file=out, width=160, color_system=None), timezone=zone)
    assert "(times of Asia/Tokyo)" in out.getvalue()
    for event in page.past:
        assert f"{event.time.astimezone(zone):%Y-%m-%d %H:%M}" in out.getvalue()


@pytest.mark.parametrize("width", [70, 160])
def test_an_id_stands_whole_in_one_line(night: Night, width: int) -> None:
    night.publish()
    page = show_user(night.lake, user_id_of("bob"), None)
    long = "SKU-0123456789-0123456789-0123456789"
    past = tuple(dataclasses.replace(event, item_id=long) for event in page.past)
    assert page.recommendation is not None
    items = [{**item, "item_id": long} for item in page.recommendation["items"]]
    page = dataclasses.replace(
        page, past=past, recommendation=page.recommendation | {"items": items}
    )
    out = io.StringIO()
    print_page(page, Console(file=out, width=width, color_system=None))
    assert out.getvalue().count(long) == len(past) + len(items)


def test_spares_stand_apart_and_the_page_says_until_when_a_list_holds(night: Night) -> None:
    generation = dataclasses.replace(night.settings.generation, spares=1, valid_days=3)
    more = dataclasses.replace(
        night, settings=dataclasses.replace(night.settings, generation=generation)
    ).with_lists(list_row("ann", ("b", "a"), spares=[entry(3, "c")]))
    more.generate()
    more.publish()
    text = plain(show_user(night.lake, user_id_of("ann"), None))
    assert "Item c" in text
    assert "Spares, for what sells out: 3 to 3" in text
    assert "Holds until 2026-03-04" in text
    assert "Spares" not in plain(show_user(night.lake, user_id_of("bob"), None))
    spares = run_query(night.lake, "SELECT user_id, rank, item_id FROM spares_latest").rows
    assert list(spares) == [(user_id_of("ann"), 3, "c")]
