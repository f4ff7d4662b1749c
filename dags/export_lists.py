"""Export the published lists for mail tools: woken by the asset `nightcart_recommendations`.

| task | does | when it fails |
|--|--|--|
| `export_lists` | files for each tool of `exports.profiles`, of the night that readers see \
(lists, and triggers where `exports.datasets` has them), by the shop's own ids, without those \
who do not agree to be written to; who has left since is told \
| nothing is published, the key is not there, the raw files know nobody, or the disk refuses: the \
last export to the tool that the message names stays; clear this task |

The pointer `recommendations/latest.json` is read, not the event: an event that came twice or late
exports the same night. The files lie in `<paths.exports>/<tool>/<night>/`, and `latest.json` beside
them names the newest. They are written aside, read back against the tool's limits, and renamed
(docs/exports.md).

To export by hand, also an older night: trigger this DAG, with `run_date` or without, or
`nightcart export --to TOOL`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from dags.alerts import NightAlert
from dags.night_tasks import RECOMMENDATIONS, ExportLists
from pipeline.night_dag import EXPORT_DAG

with DAG(
    dag_id=EXPORT_DAG,
    description="The published lists as files for the shop's mail tools.",
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
    },
    default_args={"retries": 2, "on_failure_callback": NightAlert(zone="UTC")},
    tags=["nightcart"],
) as dag:
    ExportLists(task_id="export_lists", job="export_lists", zone="UTC")
