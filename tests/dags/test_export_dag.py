"""The export's DAG: woken by the asset alone, cheap to import, params that are said and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.dags.test_nightly_dag import ENGINES, REPOSITORY, import_dag


@pytest.fixture(scope="session")
def export(airflow_home: Path) -> Any:
    from dags.export_lists import dag

    return dag


def test_import_loads_no_engine_and_not_the_jobs(airflow_home: Path) -> None:
    script = "import sys, json; import dags.export_lists; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(import_dag(airflow_home, script))}
    assert not (ENGINES | {"jobs", "yaml", "duckdb"}) & (loaded - {"yaml"})


def test_it_is_woken_by_the_asset_that_the_night_emits(export: Any, dag: Any) -> None:
    from dags.night_tasks import RECOMMENDATIONS

    assert RECOMMENDATIONS in dag.get_task("announce").outlets
    assert list(export.timetable.asset_condition.objects) == [RECOMMENDATIONS]
    assert export.task_ids == ["export_lists"]
    assert export.max_active_runs == 1
    for task_id in set(dag.task_ids) - {"announce"}:
        assert not dag.get_task(task_id).outlets


def test_params_are_described_and_refuse_nonsense(export: Any) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    for name, wrong in (("run_date", "yesterday"), ("config", 7), ("csv", "excel")):
        param = export.params.get_param(name)
        assert param.description
        assert param.schema["title"]
        with pytest.raises(ParamValidationError):
            param.resolve(wrong)


def test_the_profile_of_the_csv_is_the_jobs(export: Any) -> None:
    from pipeline.publishing.spreadsheet_cells import PLAIN, PROFILES

    param = export.params.get_param("csv")
    assert (param.value, tuple(param.schema["enum"])) == (PLAIN, PROFILES)
    task = export.get_task("export_lists")
    assert task.job_arguments == ["--csv", "{{ params.csv }}"]
    assert "job_arguments" in task.template_fields


def test_its_page_names_its_task(export: Any) -> None:
    assert "| `export_lists` |" in export.doc_md


def test_airflow_parses_the_dags_and_nothing_else_of_the_folder(airflow_home: Path) -> None:
    from airflow.utils.file import list_py_file_paths

    found = list_py_file_paths(str(REPOSITORY / "dags"), safe_mode=False)
    assert {Path(path).name for path in found} == {"nightly_recommendations.py", "export_lists.py"}
