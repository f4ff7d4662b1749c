"""The DAG: what its import costs, its order, retries, pool, params and time zone."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipeline.stages import (
    ANNOUNCE,
    BESIDE,
    DEGRADE,
    EXPIRE,
    NAMES,
    NIGHT_COMPLETE,
    REPORT,
    STAGES,
    names_before,
)

REPOSITORY = Path(__file__).resolve().parents[2]
ORDER = [*names_before(REPORT), DEGRADE, ANNOUNCE, REPORT, NIGHT_COMPLETE, EXPIRE]
# One after the other; `announce` stands beside the report.
CHAIN = [task for task in ORDER if task != ANNOUNCE]
ENGINES = {"pyspark", "torch", "transformers", "pandas", "numpy", "pyarrow", "great_expectations"}


def import_dag(airflow_home: Path, script: str, **environ: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()[-1]


def test_import_loads_no_engine_and_not_the_jobs(airflow_home: Path) -> None:
    script = (
        "import sys, json; import airflow.sdk; before = set(sys.modules);"
        "import dags.nightly_recommendations;"
        "print(json.dumps([sorted(sys.modules), sorted(set(sys.modules) - before)]))"
    )
    loaded, added = json.loads(import_dag(airflow_home, script))
    assert not ENGINES & {name.split(".")[0] for name in loaded}
    assert not {name for name in loaded if name.split(".")[0] == "jobs"}
    ours = {name for name in added if name.startswith("pipeline")}
    names = (
        "class_archive",
        "datasets",
        "durable",
        "errors",
        "file_modes",
        "intact",
        "java",
        "lake",
        "locks",
    )
    names += ("night_dag", "night_jvm", "settings", "settings_files", "settings_ranges")
    names += ("spark_network", "spark_scratch", "stages")
    assert ours == {"pipeline", *(f"pipeline.{name}" for name in names)}


def test_broken_config_does_not_break_the_import(airflow_home: Path, tmp_path: Path) -> None:
    config = tmp_path / "broken.toml"
    config.write_text("[shop]\ntimezone = 'Mars/Olympus'\n")
    script = "from dags.nightly_recommendations import ZONE, dag; print(ZONE, len(dag.tasks))"
    said = import_dag(airflow_home, script, NIGHTCART_CONFIG=str(config))
    assert said == f"UTC {len(ORDER)}"


def test_schedule_is_midnight_in_the_shops_zone(airflow_home: Path, tmp_path: Path) -> None:
    config = tmp_path / "shop.toml"
    config.write_text("[shop]\ntimezone = 'Asia/Tokyo'\n")
    script = (
        "from dags.nightly_recommendations import dag;"
        "print(dag.timetable.expression, dag.timetable.timezone, dag.catchup)"
    )
    said = import_dag(airflow_home, script, NIGHTCART_CONFIG=str(config))
    assert said == "0 0 * * * Asia/Tokyo False"


def test_tasks_run_one_after_the_other_in_the_order_of_the_night(dag: Any) -> None:
    assert set(dag.task_ids) == set(ORDER)
    for before, after in itertools.pairwise(CHAIN):
        assert after in dag.get_task(before).downstream_task_ids
    assert dag.max_active_runs == 1


def test_the_dags_tasks_are_the_stages_and_what_stands_beside_them(dag: Any) -> None:
    assert [task for task in dag.task_ids if task in NAMES] == list(NAMES)
    assert set(dag.task_ids) - set(NAMES) == set(BESIDE)


def test_a_stage_that_is_added_to_the_table_is_a_task_in_its_place(airflow_home: Path) -> None:
    script = (
        "from pipeline import stages;"
        "added = stages.NightStage('weigh', 'Weigh', 'weigh', ('--by', 'price'), gpu=True);"
        "place = stages.NAMES.index('evaluate');"
        "stages.STAGES = (*stages.STAGES[:place], added, *stages.STAGES[place:]);"
        "from dags.nightly_recommendations import dag; task = dag.get_task('weigh');"
        "print(task.job, task.job_arguments, task.pool, task.in_time,"
        " *task.upstream_task_ids, *task.downstream_task_ids)"
    )
    said = import_dag(airflow_home, script)
    assert said == "weigh ['--by', 'price'] gpu True fine_tune evaluate"


def test_jobs_and_arguments(dag: Any) -> None:
    jobs = {
        task.task_id: (task.job, task.job_arguments) for task in dag.tasks if hasattr(task, "job")
    }
    assert set(jobs) == set(CHAIN) - {NIGHT_COMPLETE}
    for stage in STAGES:
        assert jobs[stage.name] == (stage.job, list(stage.arguments))
    assert jobs["degrade"] == ("degrade", [])
    assert jobs["expire"] == ("expire", [])
    assert jobs["validate_histories"] == ("validate", ["--dataset", "histories"])
    # What comes before the lists are published must be done in time.
    in_time = {task for task in jobs if dag.get_task(task).in_time}
    assert in_time == set(CHAIN[1 : CHAIN.index("publish")])


def test_model_tasks_share_the_gpu_pool(dag: Any) -> None:
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert {task for task, pool in pools.items() if pool == "gpu"} == {"fine_tune", "generate"}
    assert {stage.name for stage in STAGES if stage.gpu} == {"fine_tune", "generate"}


def test_every_job_is_retried_and_only_degrade_and_report_run_after_a_failure(dag: Any) -> None:
    for task_id in set(ORDER) - {NIGHT_COMPLETE}:
        assert dag.get_task(task_id).retries >= 1
    rules = {task.task_id: str(task.trigger_rule.value) for task in dag.tasks}
    assert {task: rule for task, rule in rules.items() if rule != "all_success"} == {
        "report": "all_done",
        "degrade": "one_failed",
        # Whichever of publish and degrade readers were switched to.
        "announce": "one_success",
        # What is skipped (no training tonight, a night of the past) is no failure.
        "evaluate": "none_failed",
        "night_complete": "none_failed",
    }


def test_a_run_with_a_failure_counts_as_failed_though_the_report_succeeds(dag: Any) -> None:
    # A run's state is that of its leaves. `expire` never fails by itself, and does not run where
    # `night_complete` failed, which must depend on publish itself.
    leaves = [task.task_id for task in dag.tasks if not task.downstream_task_ids]
    assert leaves == ["expire"]
    assert dag.get_task("expire").upstream_task_ids == {"night_complete"}
    assert dag.get_task("night_complete").upstream_task_ids == {"publish", "announce", "report"}
    assert dag.get_task("degrade").upstream_task_ids == {"publish"}
    assert dag.get_task("announce").upstream_task_ids == {"publish", "degrade"}


def test_params_have_titles_and_descriptions_and_refuse_nonsense(dag: Any) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        assert param.schema["title"], name
        param.resolve()
    wrongs = [("run_date", "1 March"), ("wait_minutes", -1), ("config", 7)]
    wrongs += [("retrain", "monthly"), ("wake_export", "yes"), ("fetch_again", "yes")]
    assert {name for name, _ in wrongs} == set(dag.params)
    for name, wrong in wrongs:
        with pytest.raises(ParamValidationError):
            dag.params.get_param(name).resolve(wrong)


def test_runbook_names_every_task(dag: Any) -> None:
    for task_id in ORDER:
        assert f"| `{task_id}` |" in dag.doc_md


def test_runbooks_backfill_runs_one_night_at_a_time_by_an_option_that_airflow_has(
    dag: Any,
) -> None:
    from airflow.cli.cli_parser import get_parser

    (command,) = re.findall(r"`(airflow backfill [^`]*)`", dag.doc_md)
    words = command.replace("D1", "2026-03-01").replace("D2", "2026-03-05").split()
    # A backfill's runs are limited by this, not by the DAG's max_active_runs.
    assert get_parser().parse_args(words[1:]).max_active_runs == 1


# -- which night a run is --------------------------------------------------------------------


def context_of(
    run_date: str | None = None,
    end: dt.datetime | None = None,
    run_after: dt.datetime | None = None,
) -> Any:
    return {
        "params": {"run_date": run_date},
        "dag_run": SimpleNamespace(data_interval_end=end, run_after=run_after),
    }


def core_timetable(zone: str) -> Any:
    from airflow.sdk import CronDataIntervalTimetable
    from airflow.serialization.encoders import coerce_to_core_timetable

    return coerce_to_core_timetable(CronDataIntervalTimetable("0 0 * * *", timezone=zone))


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("Europe/Berlin", dt.date(2026, 3, 28), [24, 23, 24]),
        ("Europe/Berlin", dt.date(2026, 10, 24), [24, 25, 24]),
        ("America/New_York", dt.date(2026, 3, 7), [24, 23, 24]),
        ("Asia/Tokyo", dt.date(2026, 3, 28), [24, 24, 24]),
        # Clocks skip from midnight to 1: the day begins at 1.
        ("Africa/Cairo", dt.date(2026, 4, 23), [24, 23, 24]),
        # A leap day is a night like any other.
        ("Europe/Berlin", dt.date(2028, 2, 28), [24, 24, 24]),
    ],
)
def test_scheduled_runs_are_the_shops_calendar_days(
    airflow_home: Path, zone: str, first: dt.date, hours: list[int]
) -> None:
    import pendulum
    from airflow.timetables.base import DataInterval, TimeRestriction

    from dags.job_operator import run_date_of

    start = dt.datetime.combine(first, dt.time(), ZoneInfo(zone)).astimezone(dt.UTC)
    before = pendulum.instance(start - dt.timedelta(days=1))
    interval = DataInterval(before, pendulum.instance(start))
    for day, expected in enumerate(hours):
        info = core_timetable(zone).next_dagrun_info(
            last_automated_data_interval=interval,
            restriction=TimeRestriction(earliest=before, latest=None, catchup=True),
        )
        interval = info.data_interval
        assert (interval.end - interval.start).total_seconds() == 3600 * expected
        assert run_date_of(context_of(end=interval.end), zone) == first + dt.timedelta(days=day)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Africa/Cairo", "Pacific/Auckland", "UTC"])
def test_a_run_triggered_by_hand_is_the_last_day_that_is_over(
    airflow_home: Path, zone: str
) -> None:
    import pendulum

    from dags.job_operator import run_date_of

    timetable = core_timetable(zone)
    for day in range(1, 366):
        midnight = dt.datetime.combine(
            dt.date(2026, 1, 1) + dt.timedelta(days=day), dt.time(), ZoneInfo(zone)
        )
        for hour in (0, 1, 12):
            at = pendulum.instance(midnight.astimezone(dt.UTC) + dt.timedelta(hours=hour))
            interval = timetable.infer_manual_data_interval(run_after=at)
            yesterday = midnight.date() - dt.timedelta(days=1)
            assert run_date_of(context_of(end=interval.end), zone) == yesterday, at


def test_run_date_param_wins_and_a_run_without_interval_is_yesterday(airflow_home: Path) -> None:
    from dags.job_operator import run_date_of

    at = dt.datetime(2026, 3, 2, 23, 30, tzinfo=dt.UTC)
    assert run_date_of(context_of("2026-01-05", end=at), "UTC") == dt.date(2026, 1, 5)
    assert run_date_of(context_of(run_after=at), "UTC") == dt.date(2026, 3, 1)
    assert run_date_of(context_of(run_after=at), "Asia/Tokyo") == dt.date(2026, 3, 2)


def test_a_late_night_has_a_deadline_but_not_where_airflow_would_trip_over_it(
    airflow_home: Path,
) -> None:
    script = "import sys; sys.argv = {}; from dags.nightly_recommendations import dag;"
    script += "print(bool(dag.deadline))"
    scheduled, tested = (["airflow", "scheduler"], ["airflow", "dags", "test", "x", "2026-03-01"])
    assert import_dag(airflow_home, script.format(scheduled)) == "True"
    assert import_dag(airflow_home, script.format(tested)) == "False"


def test_a_late_nights_deadline_can_be_read_again_when_its_run_is_cleared(
    airflow_home: Path,
) -> None:
    """As Airflow does it: `timedelta(seconds=…)` of what its database has."""
    script = "import sys; sys.argv = ['airflow']; from dags.nightly_recommendations import dag;"
    script += "from airflow.serialization.encoders import encode_deadline_alert as encode;"
    script += "from datetime import timedelta; (alert,) = dag.deadline;"
    script += "print(timedelta(seconds=encode(alert)['interval']))"
    assert import_dag(airflow_home, script) == "8:00:00"
