"""Remove what is too old by [retention], counted from the night, but not what is still needed.

Waits until nobody uses the lake. Reads pointers and manifests; writes `expired/`, `expired.json`
and views.sql, and removes directories; kept snapshots and copies of tables of deliveries that have
expired, too. What stays although it is too old is logged with the reason.
"""

from __future__ import annotations

import logging
from argparse import Namespace
from functools import partial
from pathlib import Path

from pipeline.publishing.views import views_without
from pipeline.retention.expire import expire, totals
from pipeline.sources.shop_source import expire_snapshots
from pipeline.sources.tables.expiry import expire_tables
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import EXPIRE

log = logging.getLogger("nightcart")


def work(stage: Stage, _arguments: Namespace) -> Report:
    """Remove, then say how much."""

    def say(path: Path, _removed: int) -> None:
        log.info("removing %s", path)

    views = partial(views_without, stage.lake)
    plan = expire(stage.lake, stage.settings, stage.run.run_date, views, say)
    for one in plan.staying:
        log.info("%s is too old and stays: %s", one.path, one.why)
    dates = expire_snapshots(stage.settings, plan.deliveries_until)
    tables = expire_tables(stage.settings, plan.deliveries_until, stage.run.run_date)
    removed = totals(plan.leaving)
    return {
        "directories": sum(number for number, _ in removed.values()),
        "bytes": sum(size for _, size in removed.values()),
        "dates_of_snapshots": dates,
        "days_of_tables": tables,
        "too_old_and_needed": len(plan.staying),
        "removed": {name: number for name, (number, _) in removed.items()},
    }


def main(argv: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    return run_stage(EXPIRE, stage_parser(EXPIRE, __doc__), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
