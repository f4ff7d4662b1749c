"""Waiting without a worker, training or not, announcing once."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.lake import Lake, Run, run_id_of
from tests.lake_rows import point_latest

NIGHT = dt.date(2026, 3, 1)
AIRFLOW_RUN = "manual__2026-03-02T00:00:00+00:00"
RUN = Run(NIGHT, run_id_of(AIRFLOW_RUN))
PARAMS = {"wait_minutes": 60, "retrain": "per_night", "wake_export": "newest"}


@pytest.fixture
def shop(airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "shop.toml"
    config.write_text('[paths]\nraw = "raw"\nlake = "lake"\n')
    monkeypatch.setenv("NIGHTCART_CONFIG", str(config))
    monkeypatch.delenv("NIGHTCART_EVENTS", raising=False)
    return tmp_path


class Outlets(dict[Any, Any]):
    def __missing__(self, asset: Any) -> Any:
        self[asset] = SimpleNamespace(extra={})
        return self[asset]


def context(
    first_look: dt.datetime | None = None, started: dt.datetime | None = None, **params: Any
) -> Any:
    return {
        "params": PARAMS | params,
        "ti": SimpleNamespace(try_number=1, get_first_reschedule_date=lambda _: first_look),
        "outlet_events": Outlets(),
        "dag_run": SimpleNamespace(
            run_id=AIRFLOW_RUN,
            start_date=started or dt.datetime.now(dt.UTC),
            data_interval_end=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
            run_after=dt.datetime(2026, 3, 2, tzinfo=dt.UTC),
        ),
    }


def task(name: str, job: str) -> Any:
    from dags import night_tasks

    return getattr(night_tasks, name)(task_id=job, job=job, zone="UTC")


def deliver(shop: Path) -> None:
    for name in ("events.jsonl", "items.csv", "reviews.jsonl", "users.csv"):
        path = shop / "raw" / f"date={NIGHT}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_what_is_missing_is_looked_for_later_and_the_worker_is_free(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowRescheduleException

    before = dt.datetime.now(dt.UTC)
    with pytest.raises(AirflowRescheduleException) as raised:
        task("WaitForRaw", "wait_for_raw").execute(context())
    pause = raised.value.reschedule_date - before
    assert dt.timedelta(seconds=15) <= pause <= dt.timedelta(minutes=10)
    record = json.loads((Lake(shop / "lake").records(RUN) / "wait_for_raw.json").read_text())
    assert "lacks" in record["error"]
    assert "looked for again until" in record["error"]
    deliver(shop)
    task("WaitForRaw", "wait_for_raw").execute(context(first_look=before))


def test_tables_are_asked_again_where_the_run_says_so_by_connections_of_airflow(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The connection is in the environment of this one job, and in nothing that it is told by."""
    from airflow.sdk.exceptions import AirflowFailException

    config = shop / "shop.toml"
    config.write_text(config.read_text() + '[compute]\nsource_connections = ["shop_db"]\n')
    deliver(shop)
    with pytest.raises(AirflowFailException, match="no connection 'shop_db': add it"):
        task("WaitForRaw", "wait_for_raw").execute(context())
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", "postgresql://ann:hunter2@db/shop")
    waiting = task("WaitForRaw", "wait_for_raw")
    from dags.job_operator import settings_of

    asked = waiting._command(context(), settings_of(context()), ["--fetch-again"])
    assert "ann:hunter2@db" in asked.environ["AIRFLOW_CONN_SHOP_DB"]
    with pytest.raises(AirflowFailException, match="source simulator has no tables"):
        waiting.execute(context(fetch_again=True))
    said = capfd.readouterr()
    assert "hunter2" not in said.out + said.err + " ".join(asked.arguments)


def test_past_the_deadline_it_fails_for_good_and_names_what_is_missing(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=61)
    with pytest.raises(AirflowFailException, match=r"events\.jsonl.*waited 60 min"):
        task("WaitForRaw", "wait_for_raw").execute(context(first_look=long_ago))


def give_time(shop: Path, minutes: int) -> None:
    with (shop / "shop.toml").open("a") as file:
        file.write(f"[night]\ndegrade_after_minutes = {minutes}\n")


def test_files_are_not_waited_for_longer_than_the_night_has_time(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

    give_time(shop, 30)
    now = dt.datetime.now(dt.UTC)
    begun = now - dt.timedelta(minutes=29)
    with pytest.raises(AirflowRescheduleException) as raised:
        task("WaitForRaw", "wait_for_raw").execute(context(first_look=begun, started=begun))
    assert raised.value.reschedule_date <= begun + dt.timedelta(minutes=30)
    begun = now - dt.timedelta(minutes=31)
    with pytest.raises(AirflowFailException, match=r"events\.jsonl.*waited 30 min"):
        task("WaitForRaw", "wait_for_raw").execute(context(first_look=begun, started=begun))


def test_a_run_that_claims_to_have_started_at_its_logical_date_is_not_out_of_time(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dags.night_tasks import settings_of
    from dags.time_left import is_up

    give_time(shop, 30)
    long_ago = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    said = context(started=long_ago)
    settings = settings_of(said)
    assert is_up(said, settings)
    said["dag_run"].logical_date = long_ago  # `airflow dags test`
    assert not is_up(said, settings)
    now = dt.datetime.now(dt.UTC)
    for minutes, expected in ((29, False), (31, True)):
        started = now - dt.timedelta(minutes=minutes)
        monkeypatch.setenv("NIGHTCART_NIGHT_STARTED", started.isoformat())
        assert is_up(said, settings) is expected


def test_last_nights_lists_stand_in_only_if_asked_to(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from dags.job_operator import JobOperator

    degrade = task("Degrade", "degrade")
    with pytest.raises(AirflowSkipException, match="degrade_after_minutes is 0"):
        degrade.execute(context())
    give_time(shop, 30)
    told: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobOperator, "execute", lambda self, ctx: told.append(self.command(ctx)))
        degrade.execute(context())
        degrade.execute(context(started=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=31)))
    assert [words[-2:] for words in told] == [["--why", "failed"], ["--why", "deadline"]]


@pytest.mark.parametrize(
    ("retrain", "night", "expected"),
    [
        ("per_night", dt.date(2026, 3, 2), True),
        ("weekly", dt.date(2026, 3, 1), True),  # a Sunday
        ("weekly", dt.date(2026, 3, 2), False),
        ("never", dt.date(2026, 3, 1), False),
    ],
)
def test_which_nights_train(
    airflow_home: Path, retrain: str, night: dt.date, expected: bool
) -> None:
    from dags.night_tasks import trains

    assert trains(retrain, night) is expected


def test_a_night_that_keeps_its_champion_skips_training_and_looks_at_no_model(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from dags.job_operator import JobOperator

    with pytest.raises(AirflowSkipException, match="never"):
        task("FineTune", "fine_tune").execute(context(retrain="never"))
    seen: list[list[str]] = []
    monkeypatch.setattr(
        JobOperator, "execute", lambda self, context: seen.append(self.command(context))
    )
    task("Evaluate", "evaluate").execute(context(retrain="never"))
    task("Evaluate", "evaluate").execute(context())
    assert seen[0][-2] == "--no-candidate"
    assert "--no-candidate" not in seen[1]


def publish(lake: Lake, night: dt.date, run_id: str = RUN.run_id) -> None:
    run = Run(night, run_id)
    (lake.begin("recommendations", run) / "part-0.parquet").write_text(run_id)
    lake.close("recommendations", run, rows=1)
    point_latest(lake, "recommendations", run)


def announce(**params: Any) -> Any:
    """What the asset event carries; none if the task was skipped."""
    from airflow.sdk.exceptions import AirflowSkipException

    from dags.night_tasks import RECOMMENDATIONS, Announce

    said = context(**params)
    try:
        Announce(task_id="announce", zone="UTC").execute(said)
    except AirflowSkipException:
        return None
    return said["outlet_events"][RECOMMENDATIONS].extra


def test_a_night_that_readers_were_switched_to_is_announced_once(shop: Path) -> None:
    lake = Lake(shop / "lake")
    publish(lake, NIGHT)
    event = {"run_date": str(NIGHT), "directory": RUN.run_id}
    assert announce() == event
    assert announce() is None  # cleared and run again: the same lists
    publish(lake, NIGHT)  # the same run made other lists: R.2
    assert announce() == event | {"directory": f"{RUN.run_id}.2"}


def test_a_night_of_the_past_wakes_nobody_unless_asked(shop: Path) -> None:
    lake = Lake(shop / "lake")
    publish(lake, NIGHT + dt.timedelta(days=1), "newer")
    publish(lake, NIGHT)
    assert announce() is None
    assert announce(wake_export="never") is None
    assert announce(wake_export="always") is not None


def test_the_export_takes_the_night_that_readers_see_unless_told_another(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    export = task("ExportLists", "export_lists")
    with pytest.raises(AirflowFailException, match="nothing is published"):
        export.night_of(context(run_date=None))
    publish(Lake(shop / "lake"), NIGHT)
    assert export.night_of(context(run_date=None)) == NIGHT
    assert export.night_of(context(run_date="2026-02-01")) == dt.date(2026, 2, 1)


def test_what_is_too_old_is_removed_if_asked_to_and_never_fails_the_night(shop: Path) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    lake = Lake(shop / "lake")
    for night in (NIGHT - dt.timedelta(days=9), NIGHT):
        publish(lake, night)
    with pytest.raises(AirflowSkipException, match=r"retention\.after_night is false"):
        task("Expire", "expire").execute(context())
    config = shop / "shop.toml"
    config.write_text(f"{config.read_text()}[retention]\nafter_night = true\nlists_days = 3\n")
    task("Expire", "expire").execute(context())
    assert lake.dates("recommendations") == [NIGHT]
    record = json.loads((lake.records(RUN) / "expire.json").read_text())
    assert (record["status"], record["report"]["removed"]) == ("done", {"recommendations": 1})

    (lake.dataset("recommendations") / "latest.json").write_text("{")
    with pytest.raises(AirflowSkipException, match="complete all the same: .*latest.json"):
        task("Expire", "expire").execute(context())
