"""Training rows ask for the right token at the right place, and for nothing they were told."""

from __future__ import annotations

import dataclasses
import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.catalogue import CatalogueItem
from pipeline.model.prompt import history_prompt, reason_prompt
from pipeline.model.user_history import UserHistory
from pipeline.model.vocabulary import build_vocabulary
from pipeline.training.rows.training_rows import (
    TrainingRow,
    asked_rows,
    history_rows,
    need_rows,
    query_rows,
    title_rows,
)
from pipeline.training.rows.training_rows import text_row as make_text_row

V = build_vocabulary(["A", "B", "C", "D"], ["en"], ["kettle"] * 3, text_vocab_size=300)
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def user(
    items: str, held_out: int | None, queries: tuple[tuple[str, int], ...] = ()
) -> UserHistory:
    """Items a minute apart; queries as (text, minutes after noon)."""
    return UserHistory(
        user_id="u",
        item_ids=tuple(items),
        event_types=("view",) * len(items),
        event_times=tuple(NOON + dt.timedelta(minutes=n) for n in range(len(items))),
        queries=tuple(text for text, _ in queries),
        query_times=tuple(NOON + dt.timedelta(minutes=minute) for _, minute in queries),
        owned_item_ids=(),
        language="en",
        holdout_index=held_out,
        holdout_split=None if held_out is None else "test",
    )


def asked(row: TrainingRow) -> list[str]:
    """Item ids asked for, in order."""
    return [V.item_ids[target - V.first_item_token] for target in row.targets]


@given(st.text("ABCD?", max_size=12), st.integers(1, 12))
def test_every_event_before_the_held_out_one_is_asked_for(items: str, held_out: int) -> None:
    index = held_out if held_out < len(items) else None
    rows = history_rows(V, [user(items, index)], 50, 64)
    known = [item for item in items[:index] if item != "?"]
    assert [asked(row) for row in rows] == ([known] if known else [])
    for row in rows:
        # What stands at an asked position has only ever seen the items before it.
        for n, position in enumerate(row.positions):
            prefix = history_prompt(V, known[:n], ["view"] * n, [], "en", 50)
            assert row.token_ids[: position + 1] == prefix.token_ids
            assert row.type_ids[: position + 1] == prefix.type_ids


def test_a_query_is_followed_only_by_what_came_after_it() -> None:
    (row,) = query_rows(V, [user("ABCD", None, (("kettle", 2),))], 50, 64)
    assert asked(row) == ["C", "D"]
    shown = history_prompt(V, "ABC", ["view"] * 3, ["kettle"], "en", 50)
    assert row.token_ids == shown.token_ids


def test_a_query_after_the_held_out_event_is_not_known() -> None:
    # One at the very moment is not known either.
    assert user("ABCD", 3, (("kettle", 2), ("red", 3), ("tea", 9))).known_queries == ("kettle",)
    assert query_rows(V, [user("ABCD", 3, (("kettle", 3), ("red", 9)))], 50, 64) == []
    (row,) = query_rows(V, [user("ABCD", 3, (("kettle", 1), ("red", 9)))], 50, 64)
    assert asked(row) == ["B", "C"]


def test_a_query_alone_leads_to_what_was_done_next() -> None:
    (row,) = asked_rows(V, [user("ABCD", None, (("kettle", 2),))], 64)
    assert asked(row) == ["C"]
    assert row.token_ids == history_prompt(V, [], [], ["kettle"], "en", 1).token_ids
    assert row.positions == [len(row) - 1]
    # Not what is held out, not an unknown item, not what came much later.
    assert asked_rows(V, [user("ABCD", 2, (("kettle", 2),))], 64) == []
    assert asked_rows(V, [user("AB?", None, (("kettle", 2),))], 64) == []
    early = user("AB", None, (("kettle", 0),))
    late = dataclasses.replace(
        early, event_times=tuple(time + dt.timedelta(minutes=31) for time in early.event_times)
    )
    assert [asked(row) for row in asked_rows(V, [early], 64)] == [["A"]]
    assert asked_rows(V, [late], 64) == []


def test_what_an_item_is_leads_to_it_as_if_it_had_been_typed() -> None:
    kettle = CatalogueItem("B", "red kettle", "Acme", "Kitchen > kettle", True)
    rows = need_rows(V, [kettle, CatalogueItem("C", "", "Acme", "", True)], 64)
    assert [asked(row) for row in rows] == [["B"], ["B"], ["B"]]
    said = [
        history_prompt(V, [], [], [words], None, 1).token_ids
        for words in ("Acme kettle", "kettle", "red kettle")
    ]
    assert [row.token_ids for row in rows] == said
    assert need_rows(V, [CatalogueItem("?", "kettle", "", "", True)], 64) == []


def test_rows_fit_the_positions() -> None:
    for make in (history_rows, query_rows):
        for row in make(V, [user("ABCD" * 5, None, (("kettle", 1),))], 50, 9):
            assert len(row) <= 9
            assert max(row.positions) == len(row) - 1


def test_a_title_leads_to_its_item_and_back() -> None:
    to_item, to_title = title_rows(V, [("B", "kettle"), ("C", " "), ("?", "kettle")])
    assert asked(to_item) == ["B"]
    assert to_item.positions == [len(to_item) - 1]
    assert not to_item.is_text
    assert to_title.is_text
    assert V.decode_text(to_title.targets) == "kettle"


def test_text_is_asked_for_from_the_prompt_s_end_to_the_end_token() -> None:
    prompt = reason_prompt(V, "A", ["quiet"], "en")
    text = V.encode_text("so quiet")
    row = make_text_row(V, prompt, text)
    assert row.targets == [*text, V.control["end"]]
    assert row.token_ids == prompt.token_ids + text
    for position, target in zip(row.positions[:-1], row.targets[:-1], strict=True):
        assert row.token_ids[position + 1] == target
    assert row.positions[-1] == len(row) - 1
