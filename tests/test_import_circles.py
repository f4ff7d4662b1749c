"""No module imports itself through others, at its top or inside a function."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest

PACKAGES = ("pipeline", "jobs", "dags", "schemas")


def assert_no_circle(graph: grimp.ImportGraph) -> None:
    order = TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    )
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_no_module_imports_itself_through_others() -> None:
    assert_no_circle(grimp.build_graph(*PACKAGES))


def test_a_circle_is_found() -> None:
    graph = grimp.build_graph(*PACKAGES)
    graph.add_import(importer="pipeline.errors", imported="jobs.clean")
    with pytest.raises(pytest.fail.Exception, match=r"jobs\.clean"):
        assert_no_circle(graph)
