"""Write the night's report: one HTML page with everything there is to say about the run.

Reads the run's records and ledger, and, where they are there, its catalogue, histories, models,
metrics, champions and recommendations. Writes `<lake>/runs/run_date=D/run_id=R/report.html`.
Runs after a failed night too and then says where it stopped and what readers see instead.
"""

from __future__ import annotations

import argparse
import logging

from pipeline.report.page import write_report
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import REPORT

log = logging.getLogger("nightcart")


def work(stage: Stage, arguments: argparse.Namespace) -> Report:
    """Write the page; say where it is and what it had to leave out."""
    path, night = write_report(stage.lake, stage.run, stage.settings, arguments.airflow_run)
    for note in night.unreadable:
        log.warning("left out of the report: %s", note)
    log.info("wrote %s", path)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "published": night.outcome.published,
        "shoppers": night.lists.n_users if night.lists else 0,
        "unreadable_parts": len(night.unreadable),
    }


def main(argv: list[str] | None = None) -> int:
    """Run the stage; returns the process's exit code."""
    parser = stage_parser(REPORT, __doc__)
    parser.add_argument(
        "--airflow-run", type=_page, metavar="URL", help="the run's page in Airflow, to be linked"
    )
    return run_stage(REPORT, parser, work, argv)


def _page(text: str) -> str:
    """An address that may stand in a link."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no http(s) address")
    return text


if __name__ == "__main__":
    raise SystemExit(main())
