"""The Great Expectations context of one run, and the Data Docs it leaves behind.

Writes below `<lake>/runs/run_date=…/run_id=…/`: `data_docs/` (open `index.html`) and `gx/`, the
suites and results that the pages are made from, kept so that the next validate stage of the same
run adds its pages to the site instead of replacing it.

Guarantees: nothing is sent anywhere, neither here nor by the browser that opens a page
(`pages.finish_site`). Great Expectations 1.24.1 has no usage analytics any more; they are switched
off all the same, for other versions.
"""

from __future__ import annotations

import html
import logging
import os
from pathlib import Path
from typing import Any

import great_expectations as gx
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from pipeline.validation.pages import finish_site

SITE = "data_docs"


def open_context(records: Path) -> Any:
    """An ephemeral context whose suites, results and pages live in a run's record directory."""
    # Read by versions that have analytics, before any context is made.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    for chatty in ("great_expectations", "py4j"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    defaults = InMemoryStoreBackendDefaults()
    defaults.stores |= {
        defaults.expectations_store_name: _store("ExpectationsStore", records / "gx" / "suites"),
        defaults.validation_results_store_name: _store(
            "ValidationResultsStore", records / "gx" / "results"
        ),
    }
    config = DataContextConfig(
        store_backend_defaults=defaults,
        data_docs_sites={
            SITE: {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": _directory(records / "data_docs"),
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def store_result(context: Any, key: Any, result: Any) -> None:
    """Store a suite's result for the pages, made safe to look at.

    Great Expectations writes sample values, column names and error texts into its pages as they
    are: a title of `<script>…` would run in the browser of a person who opens the page.
    """
    for found in result.results:
        found.result = escaped(found.result)
        found.exception_info = escaped(found.exception_info)
    context.validation_results_store.set(key, result)


def escaped(value: Any) -> Any:
    """The value with every string in it, at any depth, escaped for HTML."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, dict):
        return {key: escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(inner) for inner in value]
    return value


def write_data_docs(context: Any, records: Path) -> Path:
    """Render every suite and result of the run; returns the index page."""
    context.build_data_docs(site_names=[SITE])
    return finish_site(records / "data_docs", records / "gx" / "results")


def _store(class_name: str, directory: Path) -> dict[str, Any]:
    return {"class_name": class_name, "store_backend": _directory(directory)}


def _directory(path: Path) -> dict[str, Any]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(path.absolute())}
