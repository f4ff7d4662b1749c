"""Alerts: what an operator who is woken needs to know, by e-mail and webhook.

`[alerts]` in the settings says who is told (`email_to`, by the Airflow connection `smtp_default`;
`webhook`, a URL that a JSON object is posted to). One alert for a task that has failed for good,
one for a night that is not over `deadline_minutes` after it was queued. An alert that cannot be
sent is logged and changes nothing.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow.sdk import Context
from airflow.sdk.bases.notifier import BaseNotifier

from dags.job_operator import run_date_of
from pipeline.datasets import RECOMMENDATIONS
from pipeline.errors import NightcartError
from pipeline.lake import Lake, Run, run_id_of
from pipeline.settings import Settings, load_settings
from pipeline.settings_files import CONFIG_VARIABLE

log = logging.getLogger("nightcart")

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Alert:
    """The whole alert, as text."""

    subject: str
    night: str
    stage: str
    reason: str
    ledger: str  # the stage's rows, if it counted any
    published: str  # what readers see now
    redo: str  # the command that heals it
    airflow: str  # the page of the task's log

    def text(self) -> str:
        """One line a fact."""
        return "\n".join(f"{name + ':':<11}{value}" for name, value in asdict(self).items())


class NightAlert(BaseNotifier):  # type: ignore[misc]  # Airflow's types are not checked
    """Airflow's callback for a task that failed for good."""

    def __init__(self, *, zone: str) -> None:
        super().__init__()
        self.zone = zone

    def notify(self, context: Context) -> None:
        """Send the alert by every configured way; raises nothing."""
        params = context.get("params") or {}
        settings = _settings(params.get("config"))
        if settings is not None:
            send(failure_of(context, settings, self.zone), settings)


def deadline_missed(context: Mapping[str, Any] | None = None, **_: Any) -> None:
    """Airflow's callback for a night that takes too long (run by the executor)."""
    settings = _settings(None)
    if settings is None:
        return
    run: Mapping[str, Any] = (context or {}).get("dag_run") or {}
    end = run.get("data_interval_end")
    night = f"the day that ends at {end}" if end else str(run.get("dag_run_id", "unknown"))
    alert = Alert(
        subject=f"{settings.shop.name}: the night is late",
        night=night,
        stage="see the run",
        reason=f"not over {settings.alerts.deadline_minutes} min after it was queued",
        ledger="",
        published=published_now(Lake(settings.paths.lake)),
        redo="nightcart status --stages says where it is; it goes on by itself",
        airflow="",
    )
    send(alert, settings)


def failure_of(context: Context, settings: Settings, zone: str) -> Alert:
    """The alert of a failed task."""
    ti, night = context["ti"], run_date_of(context, zone)
    run, lake = Run(night, run_id_of(context["dag_run"].run_id)), Lake(settings.paths.lake)
    return Alert(
        subject=f"{settings.shop.name}: the night of {night} failed at {ti.task_id}",
        night=str(night),
        stage=ti.task_id,
        reason=_reason(context, lake, run),
        ledger=_ledger(lake, run, ti.task_id),
        published=published_now(lake),
        redo=f"nightcart redo --date {night}",
        airflow=str(getattr(ti, "log_url", "") or ""),
    )


def published_now(lake: Lake) -> str:
    """What readers see, in words."""
    try:
        latest = lake.latest(RECOMMENDATIONS)
    except NightcartError as error:
        return str(error)
    if latest is None:
        return "nothing yet"
    return f"the night of {latest.run_date}, {latest.rows:,} shoppers"


def send(alert: Alert, settings: Settings) -> None:
    """Send by every way that is configured; a way that fails is logged."""
    log.error("%s\n%s", alert.subject, alert.text())
    if settings.alerts.webhook:
        try:
            _post(settings.alerts.webhook, alert)
        except (OSError, ValueError) as error:
            log.error("the alert was not posted: %s", error)
    if settings.alerts.email_to:
        try:
            _mail(list(settings.alerts.email_to), alert)
        except Exception as error:  # a mail server's troubles are of many kinds
            log.error("the alert was not mailed: %s", error)


def _post(url: str, alert: Alert) -> None:
    # `text` is what chat programs show; the rest is for programs. The settings allow http(s) only.
    body = json.dumps({"text": f"{alert.subject}\n{alert.text()}", **asdict(alert)}).encode()
    request = urllib.request.Request(  # noqa: S310
        url, data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
        pass


def _mail(to: list[str], alert: Alert) -> None:
    from html import escape

    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    # Plain facts from strangers' data: escaped, and no template is rendered from them.
    html = f"<pre>{escape(alert.text())}</pre>"
    SmtpNotifier(to=to, subject=alert.subject, html_content=html).notify({})


def _settings(config: str | None) -> Settings | None:
    try:
        return load_settings(config or os.environ.get(CONFIG_VARIABLE) or None, os.environ)
    except NightcartError as error:
        log.error("no alert: the settings cannot be read: %s", error)
        return None


def _reason(context: Context, lake: Lake, run: Run) -> str:
    """The exception's text, or the run record's where the task was killed."""
    said = str(context.get("exception") or "")
    record = lake.records(run) / f"{context['ti'].task_id}.json"
    try:
        recorded = str(json.loads(record.read_text(encoding="utf-8")).get("error") or "")
    except (OSError, ValueError):
        recorded = ""
    return said or recorded or "the task's process ended without a word (killed?)"


def _ledger(lake: Lake, run: Run, stage: str) -> str:
    from pipeline.ledger import stage_lines

    try:
        return "; ".join(str(line) for line in stage_lines(lake, run, stage))
    except (NightcartError, OSError):
        return ""
