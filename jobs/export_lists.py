"""Write a published night's lists for the shop's mail tools (exports.profiles, exports.datasets).

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

from pipeline.datasets import RECOMMENDATIONS, TRIGGERS
from pipeline.errors import InputError, NightcartError
from pipeline.exports.export import EXPIRED, Exported, Order, already_exported, export
from pipeline.exports.folder import exports_root
from pipeline.exports.lookup import exported_partition, known_ids, published_lists
from pipeline.exports.own_ids import BySpark
from pipeline.exports.profile import TRIGGERS as TRIGGERS_EXPORT
from pipeline.exports.trigger_profiles import profiles_for
from pipeline.lake import Partition
from pipeline.ledger import LedgerLine, write_ledger
from pipeline.progress import Progress
from pipeline.settings import Settings, shop_timezone
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
    parts = _parts(stage, lists)
    known = None
    if asked.profiles and parts:
        known = known_ids(
            stage.lake, settings, [*parts.values()], asked.ids, ids_by_spark(settings)
        )
    now = dt.datetime.now(dt.UTC)
    lines: list[LedgerLine] = []
    report: Report = {}
    failures: list[NightcartError] = []
    for profile in profiles_for(asked.profiles, parts):
        name, dataset = profile.name, profile.dataset
        order = Order(
            profile,
            parts[dataset],
            asked.ids,
            known,
            only_changed=asked.only_changed,
            dry_run=False,
            now=now,
            keep_days=asked.keep_days,
            run_id=stage.run.run_id,
            today=now.astimezone(shop_timezone(settings)).date(),
        )
        try:
            done = already_exported(root, order)
            if done is not None:
                log.info("%s: this run has exported %s already", profile.folder, done.made.path)
            else:
                progress = Progress(f"{dataset} for {name}", parts[dataset].rows)
                done = export(stage.lake, root, order, progress.add)
        except NightcartError as error:
            log.error("%s: %s", profile.folder, error)
            failures.append(error)
            report[profile.folder] = {"failed": str(error)}
            continue
        of = TRIGGERS if dataset == TRIGGERS_EXPORT else RECOMMENDATIONS
        lines.append(_ledger_line(stage, f"{of}_to_{name}", done))
        report[profile.folder] = {"path": str(done.made.path), **done.counts}
    write_ledger(stage.lake, stage.run, stage.name, lines)
    for line in lines:
        log.info("%s", line)
    if failures:
        raise type(failures[0])("; ".join(map(str, failures)))
    return report


def _parts(stage: Stage, lists: Partition) -> dict[str, Partition]:
    """What is exported, by dataset. A night without triggers is a warning: its lists go out."""
    parts: dict[str, Partition] = {}
    for dataset in stage.settings.exports.datasets:
        try:
            parts[dataset] = exported_partition(stage.lake, lists, dataset)
        except InputError as error:
            log.warning("%s", error)
    return parts


def _ledger_line(stage: Stage, dataset: str, done: Exported) -> LedgerLine:
    removed = {
        why: n
        for why, n in done.counts.items()
        if n and why in ("unchanged", "consent_withdrawn", "id_unknown", "left_out", EXPIRED)
    }
    return LedgerLine(
        run_date=stage.run.run_date,
        run_id=stage.run.run_id,
        stage=stage.name,
        dataset=dataset,
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
