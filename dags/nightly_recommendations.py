"""Nightly recommendations: the runbook.

One run makes the recommendations of one night. The night is the calendar day of the data
interval in the shop's time zone (`shop.timezone`): the run for 1 March starts when 1 March is
over, and sees what was known by then and nothing later, whenever it is run.

| task | does | when it fails |
|--|--|--|
| `wait_for_raw` | looks every few minutes for the files that the source expects of the day, and \
holds no worker in between; then asks the source's tables, if it has any, for the day's rows, once \
a date \
| `wait_minutes` are over: the message names what is missing and its folder. Ask whoever delivers \
it; then `nightcart redo --date D`. A table that cannot be read: the message says what to do; \
`fetch_again` asks again for a date that has its rows |
| `clean` | maps, pseudonymises, scrubs, refuses bad rows to `quarantine`, counts every row in \
`ledger` \
| the files are not what `schemas/sources/<source>.yaml` says (try `nightcart source check`), or \
too many rows were refused (read `quarantine`) |
| `validate_cleaned` | Great Expectations over the cleaned day \
| a whole day looks wrong: the run's `data_docs` shows which expectation; nothing after \
it has run |
| `build_histories` | goes on from an earlier night, or rebuilds and says why: one row per user, \
the ordered past, active flag, consent \
| the catalogue or the events are empty as of this date |
| `validate_histories` | Great Expectations over the catalogue, the histories and the item words \
| the model is not trained: the run's `data_docs` shows which expectation |
| `fine_tune` | warm-starts from the last promoted model, or starts small \
| memory, threads, GPU: retried, after want of memory with half the `training.batch_tokens`. \
Skipped where `retrain` says so |
| `evaluate` | ranks held-out events against popularity, what follows what and the champion; \
promotes or not \
| a candidate that loses is **not** a failure: the champion generates, and the report says so |
| `generate` | top-K and a reason for every active, consenting user; shard by shard \
| a retry makes only the shards that are missing |
| `target` | triggers: why to write to whom today, from prices, stock, carts and visits; which \
items stand for which, and which are bought together \
| the quiet list (`triggers.quiet_list`) cannot be read; or the disk, which is retried. Any other \
fault is a warning: the lists are published without |
| `validate_generated` | Great Expectations over the lists, the triggers and the lists of items \
| nothing is published; yesterday's stays what readers see |
| `publish` | immutable run directory, manifest, then one pointer \
| nothing was switched: clear this task when there is room or permission |
| `degrade` | only where nothing could be published and `night.degrade_after_minutes` is set: the \
lists of the night before, marked `last_night`, in this night's place; every task before it is \
ended when that time is up \
| there is no night before, or no room: readers keep what they had |
| `announce` | emits the asset `nightcart_recommendations`, which wakes `export_lists`, once a \
night that became what readers see; skipped for nights of the past \
| nothing was exported: trigger `export_lists` |
| `report` | one HTML page; runs also when something above failed \
| what is published stays published; clear this task |
| `night_complete` | nothing; fails the run if anything above failed, the report included \
| see the task that failed |
| `expire` | after a night that is complete, where `retention.after_night` is set: removes what \
`[retention]` says is too old, but not what is still needed \
| it is skipped and says why; the night does not fail. `nightcart expire --dry-run` |

**Retries.** A job that exits with 65 is refused a retry: the same input would fail the same way.
Any other failure is retried, after Airflow's `[core] default_task_retry_delay`. A retry keeps the
`run_id` and replaces what the attempt had not committed.

**Redo a date.** `nightcart redo --date D` goes on from the stage that failed, with everything
after it; `--from STAGE` names another. Trigger the DAG with `run_date` to make a date again from
the start: it gets a new `run_id`, and readers go on seeing the old one until the new one is
published. For a range, `nightcart backfill --from D1 --to D2`, or
`airflow backfill create --dag-id nightly_recommendations --from-date D1 --to-date D2
--max-active-runs 1`. One at a time, because a night needs the one before it (its champion, its
cleaned past); a backfill heeds only its own limit, which is 10 without that option. Dates that
already have a run are skipped unless `--reprocess-behavior completed` is given. Do not give a
backfill a `run_date`. On one machine without a scheduler: `nightcart run --date D`.

**A gap heals itself.** A night cleans every delivery that is not in the lake yet, and looks for the
newest champion before its date; no task waits for the run of another date.

**Before the first run.** `NIGHTCART_CONFIG` names the settings file on the scheduler and the
workers; the pool `gpu` exists (`airflow pools set gpu 1 "one model at a time"`): without it
`fine_tune` and `generate` are never scheduled. docs/runbook.md has the rest.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronDataIntervalTimetable, Param, TriggerRule, chain
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from dags.alerts import NightAlert, deadline_missed
from dags.job_operator import JobOperator
from dags.night_tasks import Announce, Degrade, Evaluate, Expire, FineTune, Report, WaitForRaw
from pipeline.errors import NightcartError
from pipeline.night_dag import NEWEST, NIGHT_DAG, PER_NIGHT, RETRAIN, WAKE_EXPORT
from pipeline.settings import Settings, load_settings
from pipeline.settings_files import chosen_config
from pipeline.stages import (
    ANNOUNCE,
    DEGRADE,
    EVALUATE,
    EXPIRE,
    FINE_TUNE,
    NIGHT_COMPLETE,
    PUBLISH,
    REPORT,
    STAGES,
    WAIT_FOR_RAW,
    NightStage,
)

GPU_POOL = "gpu"

PARAMS = {
    "config": Param(
        None,
        type=["null", "string"],
        title="Settings file",
        description="Path of a TOML settings file on the worker. Empty: `NIGHTCART_CONFIG`.",
    ),
    "run_date": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Night",
        description=(
            "The day to make recommendations for, instead of the day of the data interval. "
            "Leave it empty in a backfill."
        ),
    ),
    "wait_minutes": Param(
        240,
        type="integer",
        minimum=0,
        maximum=1440,
        title="Wait for the raw files, in minutes",
        description="How long `wait_for_raw` waits for a delivery that is late. 0: not at all.",
    ),
    "fetch_again": Param(
        False,
        type="boolean",
        title="Ask the tables again",
        description=(
            "Where the source reads tables: ask them again for a date whose rows were fetched "
            "before. A rerun otherwise sees the rows of the first time."
        ),
    ),
    "retrain": Param(
        PER_NIGHT,
        enum=list(RETRAIN),
        title="Train a model",
        description=(
            "per_night; weekly: only for Sundays; never: the champion as of the date generates. "
            "A night that trains no model and has no champion before it publishes fallback lists."
        ),
    ),
    "wake_export": Param(
        NEWEST,
        enum=list(WAKE_EXPORT),
        title="Wake the export",
        description=(
            "Whether `export_lists` is woken: newest: only by a night that becomes what readers "
            "see; always: also by nights of the past; never."
        ),
    ),
}


def night_settings() -> Settings:
    """The settings that the schedule needs: the shop's time zone and the deadline.

    With settings that cannot be read the DAG must still be there to fail with their error, so
    the schedule falls back to the defaults until they are repaired; every task says what is wrong.
    """
    try:
        return load_settings(chosen_config(None, os.environ), os.environ)
    except NightcartError as error:
        logging.getLogger(__name__).warning("the schedule falls back to UTC: %s", error)
        return Settings()


SETTINGS = night_settings()
ZONE = SETTINGS.shop.timezone


def deadline() -> DeadlineAlert | None:
    """When a night counts as late; none under `airflow dags test`.

    There Airflow 3.3.2 ends a run of a DAG that has a deadline with an error of its own: it looks
    for the alert by an id, and has the alert itself.
    """
    if sys.argv[1:3] == ["dags", "test"]:
        return None
    return DeadlineAlert(
        # Not the logical date: every backfilled night would be late from the start.
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        # In seconds: Airflow 3.3.2 stores a timedelta as an object that it cannot read again when a
        # run whose deadline is ahead is cleared, which is what every redo of a failed night does.
        interval=SETTINGS.alerts.deadline_minutes * 60,
        callback=SyncCallback(deadline_missed),
    )


# What a task does beside its job.
OPERATORS: dict[str, type[JobOperator]] = {
    WAIT_FOR_RAW: WaitForRaw,
    FINE_TUNE: FineTune,
    EVALUATE: Evaluate,
    REPORT: Report,
}
# How a task differs from one that must be done before the night's time is up.
OPTIONS: dict[str, dict[str, Any]] = {
    # It gives up by itself when the time is up.
    WAIT_FOR_RAW: {"in_time": False},
    # A model that fell over once for want of memory may pass once; a second retry costs hours.
    FINE_TUNE: {"retries": 1},
    # A night that trains nothing is measured all the same: what is skipped is no failure.
    EVALUATE: {"trigger_rule": TriggerRule.NONE_FAILED},
    # Never ended half way, and never too late to begin: lists that are made are better than old.
    PUBLISH: {"in_time": False},
    REPORT: {"in_time": False, "trigger_rule": TriggerRule.ALL_DONE},
}


def task_of(stage: NightStage) -> JobOperator:
    """The task that runs a stage's job."""
    options: dict[str, Any] = {"in_time": True, **OPTIONS.get(stage.name, {})}
    if stage.gpu:
        options["pool"] = GPU_POOL
    return OPERATORS.get(stage.name, JobOperator)(
        task_id=stage.name,
        job=stage.job,
        job_arguments=stage.arguments,
        zone=ZONE,
        **options,
    )


with DAG(
    dag_id=NIGHT_DAG,
    description="Raw shop data in, published recommendations out, once a night.",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone=ZONE),
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={"retries": 2, "on_failure_callback": NightAlert(zone=ZONE)},
    deadline=deadline(),
    tags=["nightcart"],
) as dag:
    tasks = {stage.name: task_of(stage) for stage in STAGES}
    publish, report = tasks[PUBLISH], tasks[REPORT]
    degrade = Degrade(task_id=DEGRADE, job=DEGRADE, zone=ZONE, trigger_rule=TriggerRule.ONE_FAILED)
    # Whichever of the two readers were switched to.
    announce = Announce(task_id=ANNOUNCE, zone=ZONE, trigger_rule=TriggerRule.ONE_SUCCESS)
    # The report runs after a failure and would end the run as a success: a run's state is that
    # of its last tasks. This one succeeds only if everything did; `announce` may be skipped.
    night_complete = EmptyOperator(task_id=NIGHT_COMPLETE, trigger_rule=TriggerRule.NONE_FAILED)

    chain(*(task for task in tasks.values() if task is not report), degrade, report)
    chain([publish, degrade], announce)
    # It never fails, so the run's state is still that of `night_complete`.
    expire = Expire(task_id=EXPIRE, job=EXPIRE, zone=ZONE)
    chain([publish, announce, report], night_complete, expire)
