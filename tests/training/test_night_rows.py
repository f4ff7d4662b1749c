"""Which items nobody can have met yet, and which rows tell what a shopper went on to."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pipeline.lake import Lake
from pipeline.settings import Settings
from pipeline.training.night_inputs import read_inputs
from pipeline.training.night_rows import night_rows, night_vocabulary, unmet_items
from tests.lake_rows import write_rows
from tests.small_shop import N_ITEMS, NIGHT, RUN, catalogue_row, fill, quick


def new_item(name: str, days_before: int) -> dict[str, Any]:
    first_seen = NIGHT - dt.timedelta(days=days_before)
    return {**catalogue_row(0), "item_id": name, "first_seen_date": first_seen}


def test_new_items_that_nobody_met(lake: Lake, settings: Settings) -> None:
    settings = quick(settings)
    fill(lake)
    ring = [catalogue_row(n) for n in range(N_ITEMS)]
    others = [new_item("today", 0), new_item("month", 29), new_item("shelved", 30)]
    write_rows(lake, "catalogue", RUN, [*ring, *others])
    inputs = read_inputs(lake, RUN, settings.training, settings.histories.target_event_types)
    vocabulary = night_vocabulary(inputs, settings.model.text_vocab_size, None)
    unmet = unmet_items(vocabulary, inputs, NIGHT, settings.histories.active_days)
    found = {vocabulary.item_ids[n] for n in unmet.nonzero().flatten().tolist()}
    # The ring's items are as new, but have been met; one that was on sale for longer was not
    # wanted.
    assert found == {"today", "month"}


def test_rows_of_pasts_and_rows_of_words(lake: Lake, settings: Settings) -> None:
    settings = quick(settings)
    fill(lake)
    inputs = read_inputs(lake, RUN, settings.training, settings.histories.target_event_types)
    rows = night_rows(
        night_vocabulary(inputs, settings.model.text_vocab_size, None),
        inputs,
        max_events=settings.histories.max_events,
        n_positions=64,
        reasons=settings.reasons,
    )
    is_past = {kind: {row.is_past for row in of_kind} for kind, of_kind in rows.items()}
    assert is_past["history"] == is_past["query"] == {True}
    assert is_past["need"] == is_past["title"] == is_past["asked"] == {False}
