"""What expires and what stays: properties over lakes of some nights, and kills. No Spark."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from jobs.cli.airflow_expiry import AirflowHome, clean_database, old_logs, remove_logs
from jobs.cli.airflow_home import airflow_environment
from jobs.cli.main import main
from jobs.expire import main as expire_stage
from pipeline import durable
from pipeline.contracts.arrow import arrow_schema
from pipeline.contracts.contract import load_contract
from pipeline.datasets import (
    ACTS,
    ALL,
    CHAMPIONS,
    CLEANED_EVENTS,
    CLEANED_ITEMS,
    CLEANED_USERS,
    EXPIRING_DELIVERIES,
    GENERATED,
    HISTORIES,
    LEDGER,
    MODELS,
    PROFILES,
    RECOMMENDATIONS,
    RUNS,
)
from pipeline.encryption.keyring import use
from pipeline.encryption.parquet_files import write_table
from pipeline.errors import DamagedError, InputError
from pipeline.histories.increment import INCREMENTAL, increment_of
from pipeline.lake import Lake, Run
from pipeline.publishing.outdated import outdated_nights
from pipeline.publishing.views import view_statements, views_without
from pipeline.retention.expire import expire
from pipeline.retention.expired import expired_until, note_expired, refuse_expired
from pipeline.retention.plan import KEPT_FOR, Plan, plan_expiry
from pipeline.settings import Retention, Settings, load_settings
from pipeline.verification import verify_lake
from tests.lake_rows import write_again
from tests.retention.lake_of_nights import (
    REMEMBERED,
    Nights,
    day,
    manifest,
    named_by_views,
    pointed,
    tree,
)


@pytest.fixture(autouse=True)
def no_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here."""
    monkeypatch.setattr(durable, "_sync", lambda path: None)


def with_days(horizon: int = 0, repeats: int = 0, **days: Any) -> Settings:
    """Settings with `[retention]`."""
    base = Settings()
    return dataclasses.replace(
        base,
        retention=Retention(**{f"{name}_days": n for name, n in days.items()}),
        cleaning=dataclasses.replace(base.cleaning, late_horizon_days=horizon),
        generation=dataclasses.replace(base.generation, no_repeat_nights=repeats),
    )


def expired(lake: Lake, settings: Settings, date: dt.date) -> Plan:
    return expire(lake, settings, date, partial(views_without, lake))


def age(lake: Lake, days: int) -> None:
    """As if everything had been written some days ago."""
    then = dt.datetime(2026, 3, 1, tzinfo=dt.UTC) - dt.timedelta(days=days)
    for path in lake.root.rglob("*"):
        os.utime(path, (then.timestamp(), then.timestamp()))


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delivery and a night a day; the model of the third still generates."""
    lake = Lake(tmp_path_factory.mktemp("ten") / "lake")
    nights = Nights(lake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "_sync", lambda path: None)
        for number in range(10):
            nights.deliver(number)
            nights.night(number, promoted=number <= 2)
    return lake.root


@pytest.fixture
def ten_nights(ten: Path, lake: Lake) -> Lake:
    """A copy of it."""
    shutil.copytree(ten, lake.root)
    return lake


# -- one thing at a time ---------------------------------------------------------------------


def test_by_default_everything_is_kept(ten_nights: Lake) -> None:
    lake = ten_nights
    before = tree(lake)
    assert expired(lake, Settings(), day(3650)).leaving == ()
    assert tree(lake) == before
    assert expired_until(lake) is None


def test_each_setting_is_about_its_own_datasets(ten_nights: Lake) -> None:
    lake = ten_nights
    for name, of in KEPT_FOR.items():
        plan = plan_expiry(lake, with_days(**{name.removesuffix("_days"): 1}), day(9))
        assert {one.dataset for one in plan.leaving} <= set(of), name
    assert {name for of in KEPT_FOR.values() for name in of} | {
        CLEANED_ITEMS,
        CLEANED_USERS,
        PROFILES,
        "catalogue_changes",
    } == set(ALL)


def test_deliveries_go_and_who_agreed_and_the_items_stay(ten_nights: Lake) -> None:
    lake = ten_nights
    plan = expired(lake, with_days(deliveries=3, nights=3, lists=3), day(9))
    assert plan.deliveries_until == expired_until(lake) == day(5)
    for name in EXPIRING_DELIVERIES:
        assert list(pointed(lake, name)) == [day(n) for n in range(6, 10)], name
    for name in (CLEANED_ITEMS, CLEANED_USERS, PROFILES):
        assert len(pointed(lake, name)) == 10
    assert list(pointed(lake, HISTORIES)) == [day(n) for n in range(6, 10)]
    with pytest.raises(InputError, match=r"the delivery of 2026-03-03 has expired.*2026-03-06"):
        refuse_expired(lake, day(2))
    refuse_expired(lake, day(6))


def test_lists_that_stay_hold_what_they_were_made_from(ten_nights: Lake) -> None:
    lake = ten_nights
    plan = expired(lake, with_days(deliveries=1, nights=1), day(9))
    assert {one.dataset for one in plan.leaving} == {GENERATED}, "which they are a copy of"
    reasons = {one.why for one in plan.staying if one.dataset == HISTORIES}
    assert "recommendations of 2026-03-01 was made from it" in reasons
    assert {one.why for one in plan.staying if one.dataset == CLEANED_EVENTS} == {
        "acts of 2026-03-01 was made from it"
    }


def test_the_champion_stays_and_the_one_before_it_for_a_rollback(ten_nights: Lake) -> None:
    lake = ten_nights
    plan = expired(lake, with_days(models=1, lists=1, nights=1), day(9))
    # The third night's model generates; before it the second's did.
    assert list(pointed(lake, MODELS)) == [day(1), day(2), day(8), day(9)]
    assert list(pointed(lake, CHAMPIONS)) == [day(1), day(8), day(9)]
    assert {one.why for one in plan.staying if one.dataset == CHAMPIONS} == {
        "models rollback goes back to it"
    }


def test_what_rules_of_the_next_night_look_back_at_stays(ten_nights: Lake) -> None:
    lake = ten_nights
    chosen = with_days(horizon=4, repeats=3, deliveries=1, nights=1, lists=1)
    plan = expired(lake, chosen, day(9))
    assert list(pointed(lake, RECOMMENDATIONS)) == [day(7), day(8), day(9)]
    assert plan.deliveries_until == day(5)
    assert {one.why for one in plan.staying if one.dataset == CLEANED_EVENTS} == {
        "events come up to 4 days late (cleaning.late_horizon_days)"
    }


def test_nothing_goes_that_no_night_has_taken_in(lake: Lake) -> None:
    nights = Nights(lake)
    for number in range(4):
        nights.deliver(number)
    plan = expired(lake, with_days(deliveries=1), day(30))
    assert (plan.leaving, plan.deliveries_until) == ((), None)
    assert {one.why for one in plan.staying} == {"no night has taken it in yet"}
    nights.night(3)
    nights.deliver(1)  # cleaned again: the next night is made from the whole past
    plan = expired(lake, with_days(deliveries=1), day(30))
    assert plan.leaving == ()
    assert "a night has to be made first" in plan.staying[0].why


def test_a_night_that_took_in_several_deliveries_holds_them(lake: Lake) -> None:
    nights = Nights(lake)
    for number in range(8):
        nights.deliver(number)
        if number in (2, 6, 7):
            nights.night(number)
    chosen = with_days(deliveries=1, nights=1, lists=1)
    plan = expired(lake, chosen, day(7))
    assert plan.deliveries_until == day(2)
    assert "acts of 2026-03-07 was made from it" in {one.why for one in plan.staying}


def test_what_was_made_again_goes_when_nothing_names_it(lake: Lake) -> None:
    nights = Nights(lake)
    for number in range(3):
        nights.deliver(number)
        nights.night(number)
    old = nights.night(1)  # a rerun of the second night
    nights.night(1)  # and one more
    shutil.rmtree(lake.run_directory(MODELS, old))
    half = lake.begin(GENERATED, Run(day(1), "half"))
    (half / "part").write_text("never closed")
    lake.work("generate", old).mkdir(parents=True)
    chosen = with_days(superseded=7)
    age(lake, 6)
    assert expired(lake, chosen, day(0)).leaving == (), "not so soon"
    age(lake, 8)
    plan = expired(lake, chosen, day(0))
    gone = {one.path.relative_to(lake.root).parts[0] for one in plan.leaving}
    assert {"acts", "histories", "generated", "recommendations", "work"} <= gone
    assert not half.exists()
    assert not lake.work("generate", old).exists()
    # Deliveries, records and what readers see are none of this.
    assert not {CLEANED_EVENTS, RUNS} & gone
    assert verify_lake(lake).faults == []
    assert not list(lake.dataset(HISTORIES).glob(f"run_date={day(1)}/run_id={old.run_id}"))
    # A run's later directories are found without the first one.
    again = nights.made[-1]
    for name in (HISTORIES, ACTS):
        assert lake.committed(name, again) is not None


def test_a_run_whose_first_directory_went_goes_on_after_its_last(lake: Lake) -> None:
    run = Run(day(0), "r")
    for _ in range(3):
        (lake.begin(HISTORIES, run) / "part").write_text("x")
        lake.commit(HISTORIES, run)
    shutil.rmtree(lake.run_directory(HISTORIES, run))
    assert [part.directory_id for part in lake.attempts(HISTORIES, run)] == ["r.2", "r.3"]
    shutil.rmtree(lake.run_directory(HISTORIES, run).with_name("run_id=r.2"))
    assert [part.directory_id for part in lake.attempts(HISTORIES, run)] == ["r.3"]
    assert lake.begin(HISTORIES, run).name == "run_id=r.4"
    (lake.run_directory(HISTORIES, run).with_name("run_id=r.4") / "part").write_text("y")
    assert lake.commit(HISTORIES, run).directory_id == "r.4"


def test_what_is_kept_and_unreadable_stops_everything(ten_nights: Lake) -> None:
    lake = ten_nights
    path = lake.require(RECOMMENDATIONS, day(9)).path / "manifest.json"
    path.write_text("{")
    before = tree(lake)
    with pytest.raises(DamagedError, match=r"does not say what it was made from.*verify"):
        expired(lake, with_days(nights=1), day(9))
    assert tree(lake) == before


def test_a_damaged_delivery_that_expires_stops_neither_the_expiry_nor_a_night(
    ten_nights: Lake,
) -> None:
    lake = ten_nights
    chosen = with_days(deliveries=3, nights=3, lists=3)
    for number in (1, 4):
        lake.require(CLEANED_EVENTS, day(number)).paths[0].write_text("damaged")
    plan = expired(lake, chosen, day(9))
    assert plan.deliveries_until == day(5)
    assert all(path.exists() for path in named_by_views(lake))


def test_deliveries_that_count_as_expired_are_in_no_view(ten_nights: Lake) -> None:
    """As after a kill between the note and the removal."""
    lake = ten_nights
    damaged = lake.require(CLEANED_EVENTS, day(1)).paths[0]
    damaged.write_text("damaged")
    note_expired(lake, day(2))
    assert str(damaged) not in "".join(view_statements(lake))


def test_the_stage_leaves_views_of_encrypted_tables_out(ten_nights: Lake, tmp_path: Path) -> None:
    """As publishing does: an engine without a key stops at a view that it cannot read."""
    lake, config = ten_nights, tmp_path / "shop.toml"
    config.write_text(
        f'[paths]\nlake = "{lake.root}"\n[retention]\nnights_days = 3\nlists_days = 3\n'
        '[encryption]\nenabled = true\nkey_file = "lake.key"\n'
    )
    use(load_settings(config, {})).prepare()
    events = arrow_schema(load_contract(CLEANED_EVENTS)).empty_table()
    write_again(lake, CLEANED_EVENTS, day(9), lambda _, target: write_table(events, target))
    use(Settings())
    assert expire_stage(["--date", str(day(9)), "--config", str(config)]) == 0
    views = (lake.root / "views.sql").read_text()
    assert "VIEW events " not in views
    assert "VIEW recommendations " in views
    assert day(1) not in pointed(lake, HISTORIES), "something has expired"


def test_views_that_cannot_be_written_let_nothing_expire(ten_nights: Lake) -> None:
    lake = ten_nights
    lake.require(CLEANED_EVENTS, day(8)).paths[0].write_text("damaged")
    before = tree(lake)
    with pytest.raises(DamagedError, match="cleaned_events"):
        expired(lake, with_days(deliveries=3, nights=3, lists=3), day(9))
    assert (tree(lake), expired_until(lake)) == (before, None)


def test_a_night_of_the_past_that_is_being_made_stays_whole(ten_nights: Lake) -> None:
    lake = ten_nights
    run = Nights(lake).night(-20, promoted=False, published=False)
    plan = plan_expiry(lake, with_days(nights=3, models=3, records=3), day(9))
    assert not [one for one in plan.leaving if str(run.run_date) in str(one.path)]
    kept = [one.dataset for one in plan.staying if one.why == "its night is being made"]
    assert {HISTORIES, MODELS, RUNS} <= {*kept}
    age(lake, 1)  # nobody is at work on it any more
    plan = plan_expiry(lake, with_days(nights=3), day(9))
    assert lake.require(HISTORIES, run.run_date).path in {one.path for one in plan.leaving}


def test_the_records_of_what_readers_see_stay(lake: Lake) -> None:
    nights = Nights(lake)
    for number in range(2):
        nights.deliver(number)
        nights.night(number)
    # Newer lists that no reader sees: publishing stopped after they were closed.
    run = nights.night(2, published=False)
    (lake.begin(RECOMMENDATIONS, run) / "part-00000.parquet").write_text("lists")
    lake.close(RECOMMENDATIONS, run, rows=1)
    plan = plan_expiry(lake, with_days(records=1), day(30))
    assert {(one.dataset, one.path.parent.name) for one in plan.staying} == {
        (name, f"run_date={day(1)}") for name in (RUNS, LEDGER)
    }


def test_the_record_says_what_went_and_what_stays(ten_nights: Lake) -> None:
    lake = ten_nights
    plan = expired(lake, with_days(deliveries=3, nights=3, lists=3, models=1), day(9))
    record = json.loads((lake.root / "expired" / f"{day(9)}.1.json").read_text())
    assert (record["status"], record["deliveries_until"]) == ("done", str(day(5)))
    assert len(record["directories"]) == len(plan.leaving)
    assert record["removed"][HISTORIES]["directories"] == 6
    assert {one["why"] for one in record["too_old_and_needed"]} == {one.why for one in plan.staying}


def test_a_night_that_is_rebuilt_says_what_it_is_rebuilt_without(ten_nights: Lake) -> None:
    lake = ten_nights
    expired(lake, with_days(deliveries=3, nights=3, lists=3), day(9))
    found = increment_of(lake, ACTS, REMEMBERED, day(9), code="2", settings={})
    assert found.built == (
        f"rebuilt because the acts of {day(8)} were made with another code, "
        f"without deliveries up to {day(5)}, which have expired"
    )
    assert list(found.lineage.inputs[CLEANED_EVENTS]) == [str(day(n)) for n in range(6, 10)]


def test_a_night_whose_deliveries_have_expired_is_not_to_be_made_again(ten_nights: Lake) -> None:
    lake = ten_nights
    assert outdated_nights(lake, 30) == []
    expired(lake, with_days(deliveries=3, nights=3, lists=3), day(9))
    assert outdated_nights(lake, 30) == []


# -- the command -----------------------------------------------------------------------------


def test_the_command(ten_nights: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(f'[paths]\nlake = "{ten_nights.root}"\nairflow = "airflow"\n')
    words = ["expire", "--config", str(config), "--date", str(day(9))]
    words += ["--state", str(tmp_path / "server")]
    left = ten_nights.dataset(HISTORIES) / ".removed.run_date=2026-01-01"
    left.mkdir()
    assert main(words) == 0
    assert not left.exists(), "an expiry that was cut off has left it"
    assert "kept for ever" in capsys.readouterr().out
    days = "nights_days = 3\nlists_days = 3\nmodels_days = 1\n"
    config.write_text(f"{config.read_text()}[retention]\n{days}airflow_days = 2\n")
    old, new = (tmp_path / "airflow" / "logs" / "dag" / name for name in ("old.log", "new.log"))
    old.parent.mkdir(parents=True)
    old.write_text("x" * 1000)
    new.write_text("y")
    then = dt.datetime(2026, 3, 1, tzinfo=dt.UTC).timestamp()
    os.utime(old, (then, then))
    before = tree(ten_nights)
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert tree(ten_nights) == before
    assert re.search(r"histories +6 would go +0.0 MB", said)
    assert "too old and kept: 1 of champions, 0.0 MB: models rollback goes back to it" in said
    assert main(words) == 0
    assert "histories" in capsys.readouterr().out
    assert list(pointed(ten_nights, HISTORIES)) == [day(n) for n in range(6, 10)]
    assert old.exists(), "there is no Airflow of a lake without its database"
    future = dt.date.today() + dt.timedelta(days=3)  # noqa: DTZ011
    assert main([*words[:3], "--date", str(future)]) == 65
    assert "still to come" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("days", "date", "place", "says"),
    [
        (800_000, "2026-03-10", "lake", "retention.deliveries_days must be between 0 and 36,500"),
        (8, "0001-01-05", "lake", "no night is as old as 0001-01-05: give a day after 1970-01-01"),
        (8, "2026-03-10", "lale", "there is no lake in "),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    lake: Lake,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    days: int,
    date: str,
    place: str,
    says: str,
) -> None:
    lake.root.mkdir()
    config = tmp_path / "shop.toml"
    folder = lake.root.with_name(place)
    config.write_text(f'[paths]\nlake = "{folder}"\n[retention]\ndeliveries_days = {days}\n')
    assert main(["expire", "--config", str(config), "--date", date]) == 65
    assert says in capsys.readouterr().err
    assert folder.exists() == (place == "lake")


def test_a_directory_of_no_date_is_named_and_stays(
    ten_nights: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    odd = ten_nights.dataset(ACTS) / "run_date=foo" / "run_id=x"
    odd.mkdir(parents=True)
    assert expired(ten_nights, with_days(nights=3, lists=3), day(9)).leaving
    assert f"{odd} is of no date" in caplog.text
    assert odd.exists()


def test_the_logs_of_airflow(tmp_path: Path) -> None:
    old, new = (tmp_path / "logs" / name / "1.log" for name in ("old", "new"))
    for path in (old, new):
        path.parent.mkdir(parents=True)
        path.write_text("x")
    then = dt.datetime(2026, 3, 1, 23, tzinfo=dt.UTC).timestamp()
    os.utime(old, (then, then))
    home = AirflowHome(tmp_path, None)
    assert old_logs(home, dt.date(2026, 3, 1)) == []
    assert old_logs(home, dt.date(2026, 3, 2)) == [old]
    remove_logs(home, [old])
    assert not old.parent.exists()
    assert new.exists()


@pytest.mark.airflow
def test_the_database_of_airflow(airflow_of_the_tests: Path, tmp_path: Path) -> None:
    home = tmp_path / "airflow"
    shutil.copytree(airflow_of_the_tests, home)
    with closing(sqlite3.connect(home / "airflow.db")) as database, database:
        for when in ("2026-02-28 23:00:00.000000", "2026-03-01 01:00:00.000000"):
            database.execute("INSERT INTO log (dttm, event) VALUES (?, 'a test')", [when])
    clean_database(AirflowHome(home, airflow_environment(home, os.environ)), dt.date(2026, 3, 1))
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        kept = database.execute("SELECT dttm FROM log WHERE event = 'a test'").fetchall()
    assert kept == [("2026-03-01 01:00:00.000000",)]


# -- whatever was kept -----------------------------------------------------------------------


@st.composite
def shops(draw: st.DrawFn) -> dict[str, Any]:
    """What happened in some days, and what is to be kept."""
    number = draw(st.integers(1, 5))
    nights = draw(st.lists(st.booleans(), min_size=number, max_size=number))
    flags = st.fixed_dictionaries({"promoted": st.booleans(), "published": st.booleans()})
    made = [draw(flags) if is_night else None for is_night in nights]
    reruns = draw(st.lists(st.tuples(st.integers(0, number - 1), st.booleans()), max_size=3))
    keep = st.sampled_from([0, 1, 2, 4])
    kinds = [name.removesuffix("_days") for name in (*KEPT_FOR, "superseded_days")]
    return {
        "made": made,
        "reruns": reruns,
        "days": {name: draw(keep) for name in kinds},
        "horizon": draw(st.integers(0, 3)),
        "repeats": draw(st.integers(0, 3)),
        "date": number - 1 + draw(st.integers(0, 4)),
    }


def made(lake: Lake, shop: dict[str, Any]) -> None:
    nights = Nights(lake)
    for number, flags in enumerate(shop["made"]):
        nights.deliver(number)
        if flags is not None:
            nights.night(number, **flags)
    for number, of_delivery in shop["reruns"]:
        if of_delivery:
            nights.deliver(number)
        elif shop["made"][number] is not None:
            nights.night(number, **shop["made"][number])


@tried(
    max_examples=15,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller example takes minutes
)
@given(shop=shops())
def test_nothing_goes_that_a_kept_thing_was_made_from(
    shop: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = Lake(tmp_path_factory.mktemp("shop") / "lake")
    made(lake, shop)
    age(lake, 1)
    before = {name: pointed(lake, name) for name in ALL}
    went_on = increment_of(lake, ACTS, REMEMBERED, day(50), code="1", settings={})
    chosen = with_days(shop["horizon"], shop["repeats"], **shop["days"])
    date = day(shop["date"])
    expired(lake, chosen, date)
    until = expired_until(lake)

    assert verify_lake(lake).faults == []
    assert not list(lake.root.rglob(".removed.*"))
    if (lake.root / "views.sql").exists():
        assert all(path.exists() for path in named_by_views(lake))
    for name, dates in before.items():
        now = pointed(lake, name)
        assert now.items() <= dates.items(), "nothing points elsewhere"
        days = next((days for of, days in limits(chosen) if name in of), 0)
        young = {date for date in dates if not days or date >= day(shop["date"] - days)}
        assert now.keys() >= young, (name, "is not too old")
        for of, directory_id in now.items():
            must_be_there(lake, name, of, directory_id, until)
    for name in EXPIRING_DELIVERIES:
        dates = before[name].keys()
        assert pointed(lake, name).keys() == {of for of in dates if until is None or of > until}
    if until is not None:
        newest = max(before[CLEANED_EVENTS])
        assert until <= newest - dt.timedelta(days=shop["horizon"]), "rows may still come late"
    # The next night goes on from where it would have gone on.
    goes_on = increment_of(lake, ACTS, REMEMBERED, day(50), code="1", settings={})
    assert goes_on.before == went_on.before or went_on.before is None
    if went_on.before is not None:
        assert goes_on.built == INCREMENTAL
        assert goes_on.new == went_on.new
    assert expired(lake, chosen, date).leaving == (), "once is enough"
    shutil.rmtree(lake.root.parent)


def limits(settings: Settings) -> Iterator[tuple[tuple[str, ...], int]]:
    for name, of in KEPT_FOR.items():
        yield of, getattr(settings.retention, name)


def must_be_there(
    lake: Lake, name: str, date: dt.date, directory_id: str, until: dt.date | None
) -> None:
    """What a pointed directory was made from, as its manifest and its files say."""
    said = manifest(lake, name, date, directory_id)
    for of, dates in said.get("lineage", {}).get("inputs", {}).items():
        for on, directory in dates.items():
            is_gone = until is not None and on <= until.isoformat()
            if of in EXPIRING_DELIVERIES and is_gone:
                # Carried on in the acts: never the night's own.
                assert on < said.get("since", date.isoformat()) or on == said.get("since")
                continue
            assert manifest(lake, of, dt.date.fromisoformat(on), directory), (name, date, of)
    if name == CHAMPIONS:
        path = lake.date_directory(name, date) / f"run_id={directory_id}" / "champion.json"
        record = json.loads(path.read_text())
        model = dt.date.fromisoformat(record["model_run_date"])
        assert manifest(lake, MODELS, model, record["model_run_id"])
    if name in (GENERATED, RECOMMENDATIONS):
        assert date in pointed(lake, CHAMPIONS)


# -- kills -----------------------------------------------------------------------------------

CHOSEN = with_days(deliveries=1, nights=1, lists=1, models=1, records=1, superseded=3)


@pytest.fixture(scope="module")
def old_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Four nights, one of them made again."""
    lake = Lake(tmp_path_factory.mktemp("old") / "lake")
    nights = Nights(lake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "_sync", lambda path: None)
        for number in range(4):
            nights.deliver(number)
            nights.night(number)
        nights.night(2)
        age(lake, 9)
    return lake


def killed_at(lake: Lake, operation: int) -> bool:
    """Expire in a process that ends before the given change of the disk; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = operation

        def watched(real: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return real(*args, **kwargs)

            return call

        for name in ("replace", "unlink", "rmdir"):
            setattr(os, name, watched(getattr(os, name)))
        expired(lake, CHOSEN, day(3))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 9


def test_a_kill_at_any_moment_leaves_a_lake_that_holds_and_the_next_expiry_ends_it(
    old_lake: Lake, tmp_path: Path
) -> None:
    root = old_lake.root
    kept = root.with_name("kept")
    shutil.copytree(root, kept)  # views.sql names absolute paths: each try is at the same place
    expired(old_lake, CHOSEN, day(3))
    whole, files = tree(old_lake), named_by_views(old_lake)
    operation, kills = 0, 0
    while True:
        shutil.rmtree(root)
        shutil.copytree(kept, root)
        if not killed_at(old_lake, operation):
            break
        kills += 1
        assert verify_lake(old_lake).faults == [], operation
        assert all(path.exists() for path in named_by_views(old_lake)), operation
        went_on = increment_of(old_lake, ACTS, REMEMBERED, day(4), code="1", settings={})
        assert went_on.built == INCREMENTAL
        expired(old_lake, CHOSEN, day(3))
        assert tree(old_lake) == whole, operation
        assert named_by_views(old_lake) == files
        operation += 1 if operation < 10 else 23
    assert kills >= 20, kills
