"""Export the published lists for a mail tool: woken by the asset `nightcart_recommendations`.

| task | does | when it fails |
|--|--|--|
| `export_lists` | one CSV row a shopper of the night that readers see, without those who have \
withdrawn consent since \
| nothing is published, or the disk refuses: the last export stays; clear this task |

The pointer `recommendations/latest.json` is read, not the event: an event that came twice or late
exports the same night. The file is `<lake>/mail_lists/run_date=D/run_id=R/mail_list.csv`, and
`<lake>/mail_lists/latest.json` names the newest. The file is written aside and switched like every
dataset.

With the param `csv` = `spreadsheet` no text in the file is a formula to a spreadsheet: those that
begin like one get an apostrophe before them. In `plain` every value is as it is stored.

To export by hand, also an older night: trigger this DAG, with `run_date` or without.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from dags.alerts import NightAlert
from dags.night_tasks import RECOMMENDATIONS, ExportLists
from pipeline.night_dag import EXPORT_DAG

with DAG(
    dag_id=EXPORT_DAG,
    description="The published lists as CSV for a mail tool.",
    doc_md=__doc__,
    schedule=[RECOMMENDATIONS],
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
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
            description="The night to export. Empty: the one that readers see.",
        ),
        "csv": Param(
            "plain",
            enum=["plain", "spreadsheet"],
            title="For whom",
            description=(
                "plain: every value as it is stored, for a mail tool; spreadsheet: no text is a "
                "formula."
            ),
        ),
    },
    default_args={"retries": 2, "on_failure_callback": NightAlert(zone="UTC")},
    tags=["nightcart"],
) as dag:
    ExportLists(
        task_id="export_lists",
        job="export_lists",
        job_arguments=["--csv", "{{ params.csv }}"],
        zone="UTC",
    )
