"""Nobody who has refused, is inactive, unknown or erased is in a trigger, whatever changes when."""

from __future__ import annotations

import dataclasses
import datetime as dt
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline.datasets import CLEANED_USERS, TRIGGERS
from pipeline.errors import DamagedError
from pipeline.lake import Lake, Run
from pipeline.publishing.query import run_query
from pipeline.settings import Settings
from pipeline.targeting.triggers import make_triggers
from tests.lake_rows import read_rows, user_id_of, write_rows
from tests.targeting.conftest import NAMES, NIGHT, Shop, act, day

AGREES, REFUSES, INACTIVE, UNKNOWN, ERASED, LATER = range(6)
STATES = st.lists(st.integers(0, 5), min_size=len(NAMES), max_size=len(NAMES))


@given(nights=st.lists(STATES, min_size=1, max_size=3))
@examples(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nights_with_changing_consent(settings: Settings, nights: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for place, states in enumerate(nights):
            of = dict(zip(NAMES, states, strict=True))
            night = day(len(nights) - 1 - place)
            _night(lake, settings, night, of)
            allowed = {user_id_of(name) for name, state in of.items() if state == AGREES}
            found = {row["user_id"] for row in read_rows(lake, TRIGGERS, night)}
            assert found == allowed
        # Who withdraws after the night is shown no more, in whatever night.
        gone = sorted(allowed)[:1]
        withdrawn = [{"user_id": user, "consent": False, "source": "test"} for user in gone]
        write_rows(lake, CLEANED_USERS, Run(NIGHT + dt.timedelta(days=9), "later"), withdrawn)
        latest = {user for (user,) in run_query(lake, "SELECT user_id FROM triggers_latest").rows}
        assert latest == allowed - {*gone}
        shown = run_query(lake, "SELECT DISTINCT user_id FROM triggers").rows
        assert not {user for (user,) in shown} & {*gone}


def test_consents_that_are_not_as_they_were_written_are_refused(
    lake: Lake, settings: Settings
) -> None:
    shop, run = Shop(lake, settings), Run(NIGHT, "one")
    shop.put("a")
    shop.acts.append(act("ann", "cart", "a"))
    shop.fill(run)
    (file,) = lake.require(CLEANED_USERS, NIGHT).paths
    file.write_bytes(file.read_bytes().replace(b"test", b"tesT"))
    with pytest.raises(DamagedError, match=CLEANED_USERS):
        make_triggers(lake, run, settings)


def _night(lake: Lake, settings: Settings, night: dt.date, of: dict[str, int]) -> None:
    """Everybody has left a cart; what a shopper is, is said of the night."""
    shop = Shop(lake, settings).with_triggers(quiet_days=0, cart_left_days=30)
    shop.put("a")
    shop.does(*(act(name, "cart", "a", 5) for name, state in of.items() if state != ERASED))
    said = {
        REFUSES: {"consent": False},
        UNKNOWN: {"consent": False},
        INACTIVE: {"active": False},
    }
    shop.people = {name: said[state] for name, state in of.items() if state in said}
    # Delivered after the night, and known when it is made again.
    later = [
        {"user_id": user_id_of(name), "consent": False, "source": "test"}
        for name, state in of.items()
        if state == LATER
    ]
    after = Run(night + dt.timedelta(days=5), "after")
    write_rows(lake, CLEANED_USERS, after, later)
    made = shop.make(night)
    # What came after is not what came before of the nights that follow.
    write_rows(lake, CLEANED_USERS, dataclasses.replace(after, run_id="none"), [])
    shop.publish(made)
    removed = dict(made.lines[0].removed)
    refused = sum(state in (REFUSES, UNKNOWN) for state in of.values())
    assert removed.pop("no_consent", 0) == refused
    assert removed.pop("inactive", 0) == sum(state == INACTIVE for state in of.values())
    assert removed.pop("consent_withdrawn", 0) == len(later)
    assert not removed
    for line in made.lines:
        line.check()
