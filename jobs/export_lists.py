"""Write a published night's lists for the shop's mail tools (exports.profiles).

Reads the night's recommendations, who agrees to be written to by now and, for the retailer's own
ids, the key and the raw files. Writes below paths.exports, outside the lake, and a ledger line for
each tool. A tool that fails does not keep the others from their files,
and a retry of the run exports only to those that failed.
"""

from __future__ import annotations

import datetime as dt
import logging
from argparse import Namespace
from collections.abc import Iterator, Sequence

from pipeline.datasets import RECOMMENDATIONS
from pipeline.errors import NightcartError
from pipeline.exports.export import Exported, Order, already_exported, export
from pipeline.exports.folder import exports_root
from pipeline.exports.lookup import known_ids, published_lists
from pipeline.exports.own_ids import BySpark
from pipeline.exports.profiles import profile_named
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.sources.file_pattern import DeliveredFile
from pipeline.sources.source import SourceDataset
from pipeline.stage import Report, Stage, run_stage, stage_parser
from pipeline.stages import EXPORT_LISTS

log = logging.getLogger("nightcart")


def work(stage: Stage, _arguments: Namespace) -> Report:
    """Export for each tool, then account for every list of each."""
    settings = stage.settings
    asked = settings.exports
    root = exports_root(settings)
    lists = published_lists(stage.lake, stage.run.run_date)
    known = None
    if asked.profiles:
        known = known_ids(stage.lake, settings, lists, asked.ids, ids_by_spark(settings))
    lines: list[LedgerLine] = []
    report: Report = {}
    failures: list[NightcartError] = []
    for name in asked.profiles:
        order = Order(
            profile_named(name),
            lists,
            asked.ids,
            known,
            only_changed=asked.only_changed,
            dry_run=False,
            now=dt.datetime.now(dt.UTC),
            keep_days=asked.keep_days,
            run_id=stage.run.run_id,
        )
        try:
            done = already_exported(root, order)
            if done is not None:
                log.info("%s: this run has exported %s already", name, done.made.path)
            else:
                progress = Progress(f"lists for {name}", lists.rows)
                done = export(stage.lake, root, order, progress.add)
        except NightcartError as error:
            log.error("%s: %s", name, error)
            failures.append(error)
            report[name] = {"failed": str(error)}
            continue
        lines.append(_ledger_line(stage, name, done))
        report[name] = {"path": str(done.made.path), **done.counts}
    write_ledger(stage.lake, stage.run, stage.name, lines)
    for line in lines:
        log.info("%s", line)
    if failures:
        raise type(failures[0])("; ".join(map(str, failures)))
    return report


def _ledger_line(stage: Stage, name: str, done: Exported) -> LedgerLine:
    removed = {
        why: n
        for why, n in done.counts.items()
        if n and why in ("unchanged", "consent_withdrawn", "id_unknown", "left_out")
    }
    return LedgerLine(
        run_date=stage.run.run_date,
        run_id=stage.run.run_id,
        stage=stage.name,
        dataset=f"{RECOMMENDATIONS}_to_{name}",
        rows_in=done.counts["published"],
        rows_out=done.counts["exported"],
        removed=removed,
    )


def ids_by_spark(settings: Settings) -> BySpark:
    """Reads ids by a mapping that only Spark can evaluate; Spark starts when it is asked."""

    def read(dataset: SourceDataset, files: Sequence[DeliveredFile]) -> Iterator[str]:
        from pipeline.sources.user_ids import given_user_ids
        from pipeline.spark_session import open_spark

        log.info("%s: the user id is an expression, so Spark reads it", dataset.name)
        # Its scratch lies outside the lake, in which no raw id may stand.
        spark = open_spark(settings.spark, "export")
        yield from given_user_ids(spark, dataset, settings.paths.raw, files)

    return read


def main(argv: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    return run_stage(EXPORT_LISTS, stage_parser(EXPORT_LISTS, __doc__), work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
