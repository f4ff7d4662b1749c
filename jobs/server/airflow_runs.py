"""Airflow's side of `nightcart backfill` and `redo`, in a process with the server's environment.

    python -m jobs.server.airflow_runs runs FROM TO         what Airflow has of a range of dates
    python -m jobs.server.airflow_runs follow RUN_ID …      states, as they change, to the end
    python -m jobs.server.airflow_runs clear RUN_ID TASK …  exactly these tasks of one run

Airflow's command line cannot follow a backfill and clears by dates only; its ORM can do both. One
JSON object a line on standard output.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from jobs.server.airflow_cli import keep_transactions_whole
from pipeline.night_dag import NIGHT_DAG

POLL_SECONDS = 3.0
PATIENCE_SECONDS = 600.0  # for a database that does not answer
ENDED = ("success", "failed")


def _say(**facts: Any) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


def runs(first: dt.datetime, last: dt.datetime) -> None:
    """Every run whose data interval starts in a range: its id, state and interval."""
    from airflow.models import DagModel, DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        model = session.scalar(select(DagModel).where(DagModel.dag_id == NIGHT_DAG))
        _say(dag=model is not None, paused=bool(model and model.is_paused))
        found = session.scalars(
            select(DagRun)
            .where(DagRun.dag_id == NIGHT_DAG)
            .where(DagRun.data_interval_start >= first, DagRun.data_interval_start <= last)
            .order_by(DagRun.data_interval_start)
        )
        for run in found:
            _say(
                run_id=run.run_id,
                state=str(run.state),
                start=run.data_interval_start.isoformat(),
                end=run.data_interval_end.isoformat(),
            )


def follow(run_ids: Sequence[str]) -> None:
    """Say each change of a task's or a run's state, until every run has ended.

    A database that is away for a while (a restart) is asked again, for ten minutes; then its error
    is raised.
    """
    from sqlalchemy.exc import DBAPIError

    said: dict[tuple[str, str], str] = {}
    answered = time.monotonic()
    while True:
        try:
            states = _states(run_ids)
        except DBAPIError:
            if time.monotonic() - answered > PATIENCE_SECONDS:
                raise
            time.sleep(POLL_SECONDS)
            continue
        answered = time.monotonic()
        for (run_id, task), state in states.items():
            if state and said.get((run_id, task)) != state:
                said[(run_id, task)] = state
                _say(run_id=run_id, state=state, **({"task": task} if task else {}))
        if all(state in ENDED for (_, task), state in states.items() if not task):
            return
        time.sleep(POLL_SECONDS)


def _states(run_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """(run, task) -> state, tasks first; the run's own state has an empty task."""
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    of_tasks = select(TaskInstance.run_id, TaskInstance.task_id, TaskInstance.state).where(
        TaskInstance.dag_id == NIGHT_DAG, TaskInstance.run_id.in_(run_ids)
    )
    of_runs = select(DagRun.run_id, DagRun.state).where(
        DagRun.dag_id == NIGHT_DAG, DagRun.run_id.in_(run_ids)
    )
    with create_session() as session:
        tasks = {
            (run_id, task): str(state or "") for run_id, task, state in session.execute(of_tasks)
        }
        runs = {(run_id, ""): str(state) for run_id, state in session.execute(of_runs)}
    return tasks | runs


def clear(run_id: str, task_ids: Sequence[str]) -> None:
    """Clear tasks of one run and queue it again."""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.scalar(SerializedDagModel.latest_item_select_object(NIGHT_DAG))
        if found is None:
            raise SystemExit(f"Airflow does not know the DAG {NIGHT_DAG} yet")
        cleared = found.dag.clear(
            task_ids=list(task_ids),
            run_id=run_id,
            session=session,
        )
        _say(cleared=cleared)


def main(argv: Sequence[str] | None = None) -> int:
    """Do one of the three."""
    action, *words = argv if argv is not None else sys.argv[1:]
    keep_transactions_whole()
    if action == "runs":
        runs(*(dt.datetime.fromisoformat(word) for word in words))
    elif action == "follow":
        follow(words)
    elif action == "clear":
        clear(words[0], words[1:])
    else:
        raise SystemExit(f"runs, follow or clear, not {action!r}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
