"""What partitions say they were made from, and in what two of them differ."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from pipeline.lake import Lake, Run
from pipeline.lineage import Lineage, inputs_of, inputs_upto, lineage_of
from tests.literals import files_of, spelled_out

DAYS = [dt.date(2026, 3, day) for day in (1, 2, 3)]
ACTS = Lineage(
    {"cleaned_events": {str(day): "r" for day in DAYS}, "retractions": {}},
    "c0de",
    {"histories.max_events": 200, "histories.target_event_types": ["purchase"]},
)


def deliver(lake: Lake, day: dt.date, run_id: str = "r") -> None:
    lake.begin("cleaned_events", Run(day, run_id))
    lake.commit("cleaned_events", Run(day, run_id))


def test_the_manifest_gives_back_what_was_written(lake: Lake) -> None:
    run = Run(DAYS[2], "r")
    lake.begin("acts", run)
    lake.commit("acts", run, **ACTS.facts())
    assert lineage_of(lake.require("acts", DAYS[2])) == ACTS
    lake.begin("acts", Run(DAYS[1], "r"))
    assert lineage_of(lake.commit("acts", Run(DAYS[1], "r"))) is None


def test_every_manifest_says_it_in_one_shape() -> None:
    for lineage in (ACTS, Lineage({})):
        [(key, said)] = json.loads(json.dumps(lineage.facts())).items()
        assert (key, sorted(said)) == ("lineage", ["code", "inputs", "settings"])
    # So that nobody writes or reads it by hand.
    assert files_of(spelled_out(["lineage"])) == {"pipeline/lineage.py"}


def test_inputs_are_what_the_pointers_name(lake: Lake) -> None:
    for day in DAYS:
        deliver(lake, day)
    deliver(lake, DAYS[0], "again")
    named = {"cleaned_events": {str(DAYS[0]): "again", str(DAYS[1]): "r"}, "retractions": {}}
    assert inputs_upto(lake, ["cleaned_events", "retractions"], DAYS[1]) == named
    newest = lake.require("cleaned_events", DAYS[2])
    assert inputs_of({"cleaned_events": newest}) == {"cleaned_events": {str(DAYS[2]): "r"}}


def test_a_directory_is_found_by_dataset_and_date() -> None:
    assert ACTS.directory("cleaned_events", DAYS[1]) == "r"
    assert ACTS.directory("retractions", DAYS[1]) is None
    assert ACTS.directory("cleaned_users", DAYS[1]) is None
    assert ACTS.upto(DAYS[1]).directory("cleaned_events", DAYS[1]) == "r"
    assert ACTS.upto(DAYS[1]).directory("cleaned_events", DAYS[2]) is None


@pytest.mark.parametrize(
    ("code", "settings", "names"),
    [
        ("c0de", {}, []),
        ("other", {}, ["code"]),
        (None, {"histories.max_events": 100}, ["code", "histories.max_events"]),
        ("c0de", {"more": 1}, ["more"]),
    ],
)
def test_what_was_made_with_other_values(
    code: str | None, settings: dict[str, int], names: list[str]
) -> None:
    other = Lineage({}, code, {**ACTS.settings, **settings})
    assert ACTS.other_values(other) == other.other_values(ACTS) == names


def test_what_was_made_from_other_directories() -> None:
    again = {**ACTS.inputs["cleaned_events"], str(DAYS[1]): "again"}
    other = Lineage({"cleaned_events": again, "cleaned_reviews": {str(DAYS[0]): "r"}})
    found = {"cleaned_events": [str(DAYS[1])], "cleaned_reviews": [str(DAYS[0])]}
    assert ACTS.other_inputs(other) == other.other_inputs(ACTS) == found
    assert ACTS.other_inputs(ACTS.upto(DAYS[0])) == {"cleaned_events": [*map(str, DAYS[1:])]}
    assert ACTS.other_inputs(ACTS) == {}
