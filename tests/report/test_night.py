"""Stages and rows: what the records and the ledger say, added up."""

from __future__ import annotations

import datetime as dt

from pipeline.lake import Lake, Run, write_json
from pipeline.ledger import LedgerLine
from pipeline.report.night import funnels, lists_of, read_outcome, read_stages, run_partition
from tests.report.night_by_hand import NIGHT, STAGES, write_lists


def line(stage: str, dataset: str, day: int, **counts: object) -> LedgerLine:
    return LedgerLine(NIGHT - dt.timedelta(days=day), "r", stage, dataset, **counts)  # type: ignore[arg-type]


def test_funnels_add_up_over_days_and_follow_the_night() -> None:
    lines = [
        line("generate", "lists", 0, rows_in=5, rows_out=5),
        line("clean", "items", 0, rows_in=7, rows_out=6, quarantined={"b": 1}),
        line("clean", "events", 1, rows_in=10, rows_out=6, quarantined={"a": 1}, removed={"x": 3}),
        line("clean", "events", 0, rows_in=20, rows_out=14, quarantined={"a": 2, "b": 4}),
    ]
    found = funnels(lines)
    assert [(f.stage, f.dataset, f.days) for f in found] == [
        ("clean", "events", 2),
        ("clean", "items", 1),
        ("generate", "lists", 1),
    ]
    events = found[0]
    assert (events.rows_in, events.rows_out) == (30, 20)
    assert events.quarantined == (("b", 4), ("a", 3))
    assert events.removed == (("x", 3),)
    assert events.share(events.rows_out) + events.share(10) == 1.0
    assert funnels([line("clean", "users", 0, rows_in=0, rows_out=0)])[0].share(0) == 0.0


def test_stages_come_in_the_nights_order_with_what_ran_last(good_night: Lake, run: Run) -> None:
    write_json(good_night.records(run) / "extra_step.json", {"status": "done", "seconds": 1})
    write_json(good_night.records(run) / "report.json", {"status": "running"})
    warned = {"status": "done", "report": {"warnings": ["a.csv.gz cannot be read"]}}
    write_json(good_night.records(run) / "warned_step.json", warned)
    (good_night.records(run) / "torn.json").write_text('{"status": "do', encoding="utf-8")
    stages = read_stages(good_night, run)
    assert [stage.name for stage in stages] == [*STAGES, "extra_step", "warned_step"]
    assert [stage.warnings for stage in stages[-2:]] == [(), ("a.csv.gz cannot be read",)]
    assert {stage.status for stage in stages} == {"done"}
    assert stages[1].seconds == 37.5
    assert stages[1].figures == (("ok", "yes"), ("rows", "2,000"))


def test_published_is_what_the_pointer_says(lake: Lake, run: Run) -> None:
    outcome = read_outcome(lake, run, read_stages(lake, run))
    assert (outcome.state, outcome.failed, outcome.readers_date) == ("unpublished", None, None)
    write_lists(lake, run)
    assert read_outcome(lake, run, []).published
    later = Run(run.run_date, "attempt-2")
    write_lists(lake, later)
    outcome = read_outcome(lake, run, [])
    assert outcome.state == "replaced"
    assert outcome.readers_run_id == "attempt-2"


def test_what_a_run_publishes_again_is_still_its_own(lake: Lake, run: Run) -> None:
    write_lists(lake, run, generated_by=run.run_id)
    again = write_lists(lake, Run(run.run_date, "attempt-1.2"), generated_by=run.run_id)
    assert read_outcome(lake, run, []).published
    assert lists_of(lake, run) == (again, "published")
    assert not read_outcome(lake, Run(run.run_date, "attempt-2"), []).published


def test_a_run_reads_its_own_partition_before_the_dates(lake: Lake, run: Run) -> None:
    assert run_partition(lake, "recommendations", run) is None
    write_lists(lake, run)
    later = Run(run.run_date, "attempt-2")
    write_lists(lake, later)
    own, other = (run_partition(lake, "recommendations", one) for one in (run, Run(NIGHT, "new")))
    assert own is not None
    assert own.run_id == "attempt-1"
    assert other is not None
    assert other.run_id == "attempt-2"
