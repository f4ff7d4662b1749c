"""The tasks of a night that are more than one job: wait, train or skip, announce, export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, BaseOperator, Connection, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from dags import time_left
from dags.compute import Command
from dags.job_operator import (
    JobOperator,
    config_of,
    run_date_of,
    settings_of,
)
from pipeline import datasets
from pipeline.errors import DATA_ERROR, TRANSIENT_ERROR
from pipeline.lake import Lake, Run, run_id_of, write_json
from pipeline.night_dag import EVENTS_VARIABLE, NEVER, NEWEST, PER_NIGHT, WEEKLY
from pipeline.settings import Settings

RECOMMENDATIONS = Asset("nightcart_recommendations")
ANNOUNCED = "announced.json"

SUNDAY = 7
SHORTEST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 15.0, 300.0
LOOKS = 40  # spread over a short wait; a long one is looked at every five minutes


class WaitForRaw(JobOperator):
    """Looks for the day's files and asks its tables; gives its worker back until the next look.

    `wait_minutes` run from the first look. Then one last look fails for good, naming what is
    missing. `nightcart run` has no scheduler to come back by: there the job itself waits.
    """

    def execute(self, context: Context) -> None:
        """Look once.

        Raises:
            AirflowRescheduleException: something is missing and there is time left.
            AirflowFailException: the time is up, or the settings are at fault.
        """
        minutes = float(context["params"]["wait_minutes"])
        end = time_left.ends_at(context, settings_of(context))
        again = ["--fetch-again"] if context["params"].get("fetch_again") else []
        if os.environ.get(EVENTS_VARIABLE):
            self.job_arguments = ["--timeout-minutes", f"{minutes:g}", *again]
            super().execute(context)
            return
        now = datetime.now(UTC)
        first = context["ti"].get_first_reschedule_date(context) or now
        until = first + timedelta(minutes=minutes)
        if end is not None and end < until:
            until, minutes = end, max((end - first).total_seconds() / 60, 0.0)
        if now >= until:
            extra = ["--waited-minutes", f"{minutes:g}"]
        else:
            extra = ["--look-again-until", until.isoformat(timespec="minutes")]
        code, reason, _ = self.run_job(context, [*extra, *again])
        if code == DATA_ERROR:
            raise AirflowFailException(reason)
        if code == TRANSIENT_ERROR and now < until:
            pause = min(max(60 * minutes / LOOKS, SHORTEST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)
            raise AirflowRescheduleException(min(now + timedelta(seconds=pause), until))
        if code:
            raise AirflowException(reason)

    def _command(self, context: Context, settings: Settings, extra: Sequence[str]) -> Command:
        """The job, with the connections of the source's tables in its environment alone."""
        asked = super()._command(context, settings, extra)
        names = settings.compute.source_connections
        return replace(asked, environ={**asked.environ, **connection_variables(names)})


def connection_variables(names: Sequence[str]) -> dict[str, str]:
    """Airflow connections as the environment variables that Airflow itself reads.

    Raises:
        AirflowFailException: there is no such connection.
    """
    variables = {}
    for name in names:
        try:
            connection = Connection.get(name)
        except AirflowNotFoundException:
            raise AirflowFailException(
                f"compute.source_connections: Airflow has no connection {name!r}: add it "
                f"(airflow connections add {name} …), or take it out of the settings"
            ) from None
        variables[f"AIRFLOW_CONN_{name.upper()}"] = connection.get_uri()
    return variables


class FineTune(JobOperator):
    """Trains, unless `retrain` says that this night keeps the champion of its time."""

    def execute(self, context: Context) -> None:
        """Train or be skipped."""
        retrain, night = context["params"]["retrain"], self.night_of(context)
        if not trains(retrain, night):
            raise AirflowSkipException(
                f"retrain is {retrain!r}: the night of {night} keeps the champion as of that date"
            )
        super().execute(context)


class Evaluate(JobOperator):
    """Measures the night's model, or only the champion where none was trained."""

    def execute(self, context: Context) -> None:
        """Measure."""
        retrain = context["params"]["retrain"]
        if not trains(retrain, self.night_of(context)):
            self.job_arguments = ["--no-candidate", f"no model was trained: retrain is {retrain}"]
        super().execute(context)


class Degrade(JobOperator):
    """Publishes last night's lists if this night has none and `degrade_after_minutes` is set."""

    def execute(self, context: Context) -> None:
        """Publish or be skipped."""
        settings = settings_of(context)
        if not settings.night.degrade_after_minutes:
            raise AirflowSkipException(
                f"{time_left.SETTING} is 0: readers keep the night that was published last"
            )
        why = "deadline" if time_left.is_up(context, settings) else "failed"
        self.job_arguments = ["--why", why]
        super().execute(context)


class Expire(JobOperator):
    """Removes what is too old, if `retention.after_night` is set. The night never fails for it."""

    def execute(self, context: Context) -> None:
        """Remove or be skipped; skipped too where it failed, which the run's record says."""
        if not settings_of(context).retention.after_night:
            raise AirflowSkipException("retention.after_night is false")
        code, reason, _ = self.run_job(context)
        if code:
            raise AirflowSkipException(f"the night is complete all the same: {reason}")


class Report(JobOperator):
    """The night's page, with a link to its run in Airflow where there are pages to link to."""

    def execute(self, context: Context) -> None:
        """Write it."""
        if not os.environ.get(EVENTS_VARIABLE):
            self.job_arguments = ["--airflow-run", run_page(str(context["ti"].log_url))]
        super().execute(context)


def run_page(task_page: str) -> str:
    """The page of a task's run.

    >>> run_page("http://127.0.0.1:8080/dags/d/runs/r/tasks/report?try_number=1")
    'http://127.0.0.1:8080/dags/d/runs/r'
    """
    return task_page.partition("/tasks/")[0]


class Announce(BaseOperator):  # type: ignore[misc]  # Airflow's types are not checked
    """Emits the asset once for each night that readers were switched to, and for no other.

    A skipped task emits nothing: a night that is not the newest is skipped, unless `wake_export`
    is `always`, and so is one that was announced before (a retry, a cleared task).
    """

    def __init__(self, *, zone: str, **kwargs: Any) -> None:
        super().__init__(outlets=[RECOMMENDATIONS], **kwargs)
        self.zone = zone

    def execute(self, context: Context) -> None:
        """Compare the pointers, then emit or be skipped."""
        lake = Lake(settings_of(context).paths.lake)
        run = Run(run_date_of(context, self.zone), run_id_of(context["dag_run"].run_id))
        wake = context["params"]["wake_export"]
        published, newest = (
            lake.whole(datasets.RECOMMENDATIONS, run.run_date),
            lake.whole_latest(datasets.RECOMMENDATIONS),
        )
        if published is None or newest is None:
            raise AirflowFailException(f"nothing is published for {run.run_date}")
        if wake == NEVER:
            raise AirflowSkipException("wake_export is 'never'")
        if wake == NEWEST and published.path != newest.path:
            raise AirflowSkipException(
                f"{run.run_date} is published into the past; readers stay with {newest.run_date}"
            )
        what = {"run_date": run.run_date.isoformat(), "directory": published.directory_id}
        marker = published.path.parent / ANNOUNCED
        if marker.exists() and _said(marker) == what:
            raise AirflowSkipException(f"{published.path} was announced before")
        context["outlet_events"][RECOMMENDATIONS].extra = what
        # Last: should this process die before Airflow hears of it, the event is lost, not doubled;
        # the export is then started by hand.
        write_json(marker, what)


class ExportLists(JobOperator):
    """The export of one night: the `run_date` param, else whatever readers see now.

    The pointer is asked, not the event: events can be lost, doubled or late.
    """

    def night_of(self, context: Context) -> date:
        """The night to export.

        Raises:
            AirflowFailException: nothing is published.
        """
        override = context["params"].get("run_date")
        if override:
            return date.fromisoformat(override)
        lake = Lake(settings_of(context).paths.lake)
        newest = lake.latest(datasets.RECOMMENDATIONS)
        if newest is None:
            raise AirflowFailException(
                f"nothing is published in {lake.root} (settings: {config_of(context) or 'defaults'})"
            )
        return newest.run_date


def trains(retrain: str, night: date) -> bool:
    """Whether a model is trained for a night.

    >>> trains("weekly", date(2026, 3, 1)), trains("weekly", date(2026, 3, 2))
    (True, False)
    """
    return retrain == PER_NIGHT or (retrain == WEEKLY and night.isoweekday() == SUNDAY)


def _said(path: Any) -> Any:
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
